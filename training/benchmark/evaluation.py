"""The 144-crop protocol against the bare network on as many crops."""

from training.benchmark import alternate


def evaluation(threads, rounds, seconds, photos, batch=64) -> dict:
    """Crops per second of the whole protocol, from JPEG files to averaged probabilities, and of the network alone.

    Of the 224-pixel network of the paper, and of the small one for 32 pixels, whose network takes the least time.
    """
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    files = sorted(path for path in photos.iterdir() if path.suffix.lower() in (".jpg", ".jpeg"))
    if not files:
        raise ValueError(f"expected a folder with JPEG files; Received: photos={str(photos)!r}")
    return {
        "paper, 224 pixels": _measure(files[:4], rounds, seconds, batch, {}),
        "batch_norm, 32 pixels": _measure(
            files[:40], rounds, seconds, batch, {"variant": "batch_norm", "stem": "small", "input_shape": (32, 32, 3)}
        ),
    }


def _measure(files, rounds, seconds, batch, options) -> dict:
    import numpy as np
    import tensorflow as tf

    from keras_inception import GoogLeNet
    from keras_inception.evaluation.crops import find_protocol
    from keras_inception.evaluation.ensemble import Ensemble
    from keras_inception.evaluation.evaluate import averaged_photos
    from keras_inception.evaluation.stream import examples
    from keras_inception.preprocessing import find_preprocessing

    model = GoogLeNet(weights=None, **options)
    network = tf.function(lambda crops: model(crops, training=False))
    crops = tf.random.uniform((batch, *model.input_shape[1:]), 0, 255)
    protocol = find_protocol("144")
    ensemble = Ensemble(model, mirrored=protocol.mirrored)
    # The bytes are in memory, as a disk's cache would have them.
    dataset = examples(tf.data.Dataset.from_tensor_slices(([file.read_bytes() for file in files], [0] * len(files))))
    calls = -(-len(files) * protocol.crops // batch)

    def bare():
        for _ in range(calls):
            np.asarray(network(crops))

    def whole():
        found = averaged_photos(ensemble, dataset, protocol, find_preprocessing(None, model), batch)
        count = sum(len(labels) for _, labels in found)
        if count != len(files):
            raise RuntimeError(f"expected {len(files)} photos; Received: {count}")

    rates = alternate({"protocol": whole, "network": bare}, rounds, seconds)
    rates = {"protocol": rates["protocol"] * len(files) * protocol.crops, "network": rates["network"] * calls * batch}
    return {
        "144-crop protocol, crops/s": round(rates["protocol"], 1),
        "network alone, crops/s": round(rates["network"], 1),
        "protocol / network": round(rates["protocol"] / rates["network"], 3),
    }
