"""The input pipeline against torchvision's on PIL."""

import pathlib
import tempfile

from training.benchmark import alternate, import_torchvision


def input_pipeline(threads, rounds, seconds, photos, batch=32, at_least=8192) -> dict:
    """Training images per second, from JPEG files to batches at 224: ours in tf.data, and PIL's in torch's loader.

    Theirs is torchvision's nearest equivalent: no lighting noise, and one interpolation instead of four. An epoch is
    `at_least` images, so that its start counts as little as it does in training.
    """
    import torch

    files = sorted(str(path) for path in photos.iterdir() if path.suffix.lower() in (".jpg", ".jpeg"))
    if not files:
        raise ValueError(f"expected a folder with JPEG files; Received: photos={str(photos)!r}")
    files *= -(-at_least // len(files))
    files = files[: len(files) // batch * batch]
    loaders = {
        f"torchvision on PIL, {workers} worker processes": _photo_loader(files, batch, workers)
        for workers in (threads, 0)
    }
    for loader in loaders.values():
        next(iter(loader))  # starts its processes, which should come before TensorFlow's threads
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as folder:
        contestants = {"keras_inception": _photo_dataset(files, batch, folder), **loaders}
        rates = _epochs(contestants, batch, rounds, seconds)
    results = {f"{name}, images/s": round(rate * len(files), 1) for name, rate in rates.items()}
    best = max(rates[name] for name in loaders)
    return {**results, "ours / the faster of theirs": round(rates["keras_inception"] / best, 3)}


def _epochs(contestants, batch, rounds, seconds) -> dict[str, float]:
    """Epochs per second of each."""

    def epoch(batches):
        def call():
            images = (part[0] if isinstance(part, tuple) else part for part in batches)  # ours have labels too
            shapes = {tuple(part.shape[:1]) + tuple(sorted(part.shape[1:])) for part in images}
            if shapes != {(batch, 3, 224, 224)}:
                raise RuntimeError(f"expected batches of {batch} images of 224 x 224; Received: {shapes}")

        return call

    return alternate({name: epoch(batches) for name, batches in contestants.items()}, rounds, seconds)


def _photo_dataset(files, batch, folder):
    """The training pipeline itself, over a data set of two classes that are links to the files."""
    from keras_inception.datasets import FolderSource
    from training.input_pipeline import training_batches
    from training.options import Augmentation

    for part in ("train", "validation"):
        for number, file in enumerate(files):
            link = pathlib.Path(folder, part, str(number % 2), f"{number}.jpg")
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(pathlib.Path(file).absolute())
    source = FolderSource(folder, "train")
    return training_batches(
        source, size=224, batch_size=batch, augmentation=Augmentation(), seed=0, epochs=[0], on_broken=print
    )


def _photo_loader(files, batch, workers):
    import torch
    from PIL import Image

    transforms = import_torchvision().transforms
    steps = (
        transforms.RandomResizedCrop(224, scale=(0.08, 1)),
        transforms.ColorJitter(0.5, 0.5, 0.5),
        transforms.RandomHorizontalFlip(),
        transforms.ToTensor(),
    )
    transform = transforms.Compose(steps)

    class Photos(torch.utils.data.Dataset):
        def __len__(self):
            return len(files)

        def __getitem__(self, index):
            return transform(Image.open(files[index]).convert("RGB"))

    return torch.utils.data.DataLoader(
        Photos(), batch, drop_last=True, num_workers=workers, persistent_workers=workers > 0
    )
