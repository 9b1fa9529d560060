"""Inference against torchvision's network, the cost of local response normalization, and that of importing."""

import statistics
import subprocess
import sys

from training.benchmark import alternate, import_torchvision


def _torchvision(threads):
    """torchvision's GoogLeNet in evaluation mode."""
    import torch

    torch.set_num_threads(threads)
    model = import_torchvision().models.googlenet(weights=None, aux_logits=False, init_weights=False).eval()
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
