"""The input pipeline against torchvision's on PIL."""

import pathlib
import statistics
import tempfile
import time

import numpy as np

from training.benchmark import import_torchvision

PER_EPOCH, EPOCHS = 8192, 1000  # images of our data set, and epochs, of which theirs is one long one
UNTIMED = 24  # batches, more than any contestant has in its buffers


def input_pipeline(threads, rounds, seconds, photos, batch=32) -> dict:
    """Training images per second, from JPEG files to batches of bytes at 224: ours in tf.data, PIL's in torch's loader.

    Theirs is torchvision's nearest equivalent: no lighting noise, and one interpolation instead of four. All run on
    through all rounds, as in a training, and take turns, each of which begins with batches that are not timed.
    """
    import torch

    files = sorted(str(path) for path in photos.iterdir() if path.suffix.lower() in (".jpg", ".jpeg"))
    if not files:
        raise ValueError(f"expected a folder with JPEG files; Received: photos={str(photos)!r}")
    files *= -(-PER_EPOCH // len(files))
    loaders = {
        f"torchvision on PIL, {workers} worker processes": iter(_photo_loader(files, batch, workers))
        for workers in (threads, 0)
    }
    for batches in loaders.values():
        next(batches)  # starts its processes, which should come before TensorFlow's threads
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as folder:
        contestants = {"keras_inception": iter(_photo_dataset(files, batch, folder)), **loaders}
        turns = {name: [] for name in contestants}
        for _ in range(rounds):
            for name, batches in contestants.items():
                turns[name].append(rate(batches, batch, seconds))
    rates = {name: statistics.median(values) for name, values in turns.items()}
    best = max(rates[name] for name in loaders)
    results = {f"{name}, images/s": round(rate, 1) for name, rate in rates.items()}
    return {**results, "ours / the faster of theirs": round(rates["keras_inception"] / best, 3)}


def rate(batches, batch: int, seconds: float, untimed: int = UNTIMED) -> float:
    """Images per second of one turn of a pipeline, after the batches that waited for it.

    Meanwhile the contestant before fills its own buffers again, and is done with that.
    """
    for _ in range(untimed):
        next(batches)
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        images = next(batches)
        images = np.asarray(images[0] if isinstance(images, tuple) else images)  # ours have labels too
        if images.dtype != np.uint8 or sorted(images.shape) != sorted((batch, 3, 224, 224)):
            raise RuntimeError(f"expected {batch} images of 224 x 224, uint8; Received: {images.dtype} {images.shape}")
        count += batch
    return count / (time.perf_counter() - start)


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
        source, size=224, batch_size=batch, augmentation=Augmentation(), seed=0, epochs=range(EPOCHS), on_broken=print
    )


def _photo_loader(files, batch, workers):
    import torch
    from PIL import Image

    transforms = import_torchvision().transforms
    steps = (
        transforms.RandomResizedCrop(224, scale=(0.08, 1)),
        transforms.ColorJitter(0.5, 0.5, 0.5),
        transforms.RandomHorizontalFlip(),
        transforms.PILToTensor(),
    )
    transform = transforms.Compose(steps)

    class Photos(torch.utils.data.Dataset):
        def __len__(self):
            return EPOCHS * len(files)

        def __getitem__(self, index):
            return transform(Image.open(files[index % len(files)]).convert("RGB"))

    return torch.utils.data.DataLoader(Photos(), batch, drop_last=True, num_workers=workers)
