"""The input pipeline against torchvision's on PIL."""

from training.benchmark import alternate, import_torchvision


def input_pipeline(threads, rounds, seconds, photos, batch=32, at_least=2048) -> dict:
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
    contestants = {"keras_inception": _photo_dataset(files, batch, threads), **loaders}

    def epoch(batches):
        def call():
            shapes = {tuple(images.shape[:1]) + tuple(sorted(images.shape[1:])) for images in batches}
            if shapes != {(batch, 3, 224, 224)}:
                raise RuntimeError(f"expected batches of {batch} images of 224 x 224; Received: {shapes}")

        return call

    rates = alternate({name: epoch(batches) for name, batches in contestants.items()}, rounds, seconds)
    results = {f"{name}, images/s": round(rate * len(files), 1) for name, rate in rates.items()}
    best = max(rates[name] for name in loaders)
    return {**results, "ours / the faster of theirs": round(rates["keras_inception"] / best, 2)}


def _photo_dataset(files, batch, threads):
    import tensorflow as tf

    from training.augmentation import Augmentation, augment

    def load(index, file):
        return augment(tf.io.read_file(file), tf.stack([0, index]), 224, Augmentation())

    dataset = tf.data.Dataset.from_tensor_slices(files).enumerate()
    dataset = dataset.map(load, num_parallel_calls=threads).batch(batch, drop_remainder=True).prefetch(2)
    options = tf.data.Options()
    options.threading.private_threadpool_size = threads
    options.threading.max_intra_op_parallelism = 1  # images are the unit of parallel work
    options.autotune.enabled = False  # there is nothing to tune, and it measures every step
    return dataset.with_options(options)


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
