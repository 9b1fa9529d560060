"""Measures speed, side by side with the peer on the same work, in one run.

    python -m training.benchmark inference     this package against torchvision's GoogLeNet on torch, batch 1 and 32
    python -m training.benchmark lrn           what local response normalization costs of the forward pass
    python -m training.benchmark import        the time that importing the package adds to importing Keras, and that
    building takes
    python -m training.benchmark input --photos FOLDER     our augmentation in tf.data against torchvision's on PIL

Machines are shared and noisy: the contestants take turns, round by round, and the medians and their ratio are what
counts. `--output` writes them as JSON, for `training/results/`.
"""

import argparse
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time


def alternate(contestants: dict, rounds: int, seconds: float) -> dict[str, float]:
    """Median calls per second of each contestant, which take turns for `rounds` rounds of about `seconds` each."""
    calls = {}
    for name, call in contestants.items():
        call()  # traces, compiles, allocates
        call()
        start = time.perf_counter()
        call()
        calls[name] = max(1, round(seconds / (time.perf_counter() - start)))
    rates = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, call in contestants.items():
            start = time.perf_counter()
            for _ in range(calls[name]):
                call()
            rates[name].append(calls[name] / (time.perf_counter() - start))
    return {name: statistics.median(values) for name, values in rates.items()}


def _import_torchvision():
    """Next to torch's CPU build, torchvision's wheel lacks two operators."""
    import torch

    try:
        import torchvision
    except RuntimeError:
        library = torch.library.Library("torchvision", "DEF")
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        import torchvision
    return torchvision


def _torchvision(threads):
    """torchvision's GoogLeNet in evaluation mode."""
    import torch

    torch.set_num_threads(threads)
    model = _import_torchvision().models.googlenet(weights=None, aux_logits=False, init_weights=False).eval()
    return model.to(memory_format=torch.channels_last)


def inference(threads, rounds, seconds, batches=(1, 32)) -> dict:
    """Images per second of our variants and of torchvision's network, eager and compiled."""
    import numpy as np
    import tensorflow as tf
    import torch

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    from keras_inception import GoogLeNet

    theirs = _torchvision(threads)
    compiled = torch.compile(theirs)
    ours = {variant: GoogLeNet(weights=None, variant=variant) for variant in ("torchvision", "paper")}
    results = {}
    for batch in batches:
        pixels = np.random.default_rng(0).uniform(0, 255, (batch, 224, 224, 3)).astype("float32")
        tensor = tf.constant(pixels)
        planes = torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy()).contiguous(memory_format=torch.channels_last)

        def keras_call(model, tensor=tensor):
            function = tf.function(lambda x: model(x, training=False), jit_compile=False)
            return lambda: function(tensor)

        def torch_call(model, planes=planes):
            def call():
                with torch.inference_mode():
                    return model(planes)

            return call

        contestants = {f"keras_inception {variant}": keras_call(model) for variant, model in ours.items()}
        contestants |= {"torchvision eager": torch_call(theirs), "torchvision compiled": torch_call(compiled)}
        shapes = {tuple(contestant().shape) for contestant in contestants.values()}
        if shapes != {(batch, 1000)}:
            raise RuntimeError(f"expected every output to be {(batch, 1000)}; Received: {shapes}")
        rates = {name: rate * batch for name, rate in alternate(contestants, rounds, seconds).items()}
        results[f"batch {batch}"] = {name: round(rate, 1) for name, rate in rates.items()}
        best = max(rates["torchvision eager"], rates["torchvision compiled"])
        results[f"batch {batch}"]["same network, ours / the faster of theirs"] = round(
            rates["keras_inception torchvision"] / best, 2
        )
    return results


def lrn(threads, rounds, seconds, batch=32) -> dict:
    """The share of local response normalization in the paper network's forward pass."""
    import keras
    import numpy as np
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    from keras_inception import GoogLeNet, LocalResponseNormalization

    def without(layer):
        if isinstance(layer, LocalResponseNormalization):
            return keras.layers.Identity(name=layer.name)
        return type(layer).from_config(layer.get_config())

    model = GoogLeNet(weights=None)
    bare = keras.models.clone_model(model, clone_function=without)
    tensor = tf.constant(np.random.default_rng(0).uniform(0, 255, (batch, 224, 224, 3)).astype("float32"))
    functions = {
        "with": tf.function(lambda x: model(x, training=False)),
        "without": tf.function(lambda x: bare(x, training=False)),
    }
    rates = alternate({name: lambda f=f: f(tensor) for name, f in functions.items()}, rounds, seconds)
    images = {f"{name} LRN, images/s": round(rate * batch, 1) for name, rate in rates.items()}
    return {f"batch {batch}": {**images, "share of the forward pass": round(1 - rates["with"] / rates["without"], 3)}}


def importing(threads, rounds, seconds) -> dict:
    """Seconds that `import keras_inception` adds to `import keras`, and that a network without weights takes to
    build."""
    code = (
        "import time, keras; a = time.perf_counter(); import keras_inception; b = time.perf_counter();"
        "keras_inception.GoogLeNet(weights=None); print(b - a, time.perf_counter() - b)"
    )
    times = []
    for _ in range(rounds):
        result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        times.append([float(value) for value in result.stdout.split()[-2:]])
    added, built = (round(statistics.median(column), 3) for column in zip(*times, strict=True))
    return {"import keras_inception after keras, s": added, "GoogLeNet(weights=None), s": built}


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

    transforms = _import_torchvision().transforms
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


def environment(threads) -> dict:
    """What the numbers depend on."""
    import importlib.metadata

    def version(package):
        try:
            return importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            return None

    cpu = (
        next(
            (line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")),
            platform.processor(),
        )
        if os.path.exists("/proc/cpuinfo")
        else platform.processor()
    )
    packages = ("keras", "tensorflow", "torch", "torchvision", "numpy")
    return {"cpu": cpu, "threads": threads, **{package: version(package) for package in packages}}


MEASUREMENTS = {"inference": inference, "lrn": lrn, "import": importing, "input": input_pipeline}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("measurement", choices=MEASUREMENTS)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=2.0, help="of a contestant's turn in one round")
    parser.add_argument("--photos", type=pathlib.Path, help="a folder of JPEG files, which `input` needs")
    parser.add_argument("--output", type=pathlib.Path, help="write the numbers as JSON here")
    arguments = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    options = {"photos": arguments.photos} if arguments.measurement == "input" else {}
    if None in options.values():
        parser.error("input needs --photos FOLDER")
    results = MEASUREMENTS[arguments.measurement](arguments.threads, arguments.rounds, arguments.seconds, **options)
    report = {"measurement": arguments.measurement, **environment(arguments.threads), "results": results}
    print(json.dumps(report, indent=2))
    if arguments.output:
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        arguments.output.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
