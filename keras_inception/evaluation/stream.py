"""From a data set to crops in batches, as they are wanted: no more than a few photos are in memory."""

import io

import numpy as np

from keras_inception.datasets import ArraySource, Source
from keras_inception.datasets.photos import decode_photo
from keras_inception.datasets.source import cores
from keras_inception.evaluation.crops import Protocol, cut
from keras_inception.preprocessing import Preprocessing, open_image


def examples(dataset):
    """A data set of any kind as a `tf.data.Dataset` of tuples: image, label, name.

    Args:
        dataset: a `keras_inception.datasets.Source`; a `tf.data.Dataset` of tuples or of dicts with `image` and
            `label`, one by one or in batches; a tuple of arrays (images, labels); or an iterable of such tuples, whose
            images are whatever `open_image` takes, or bytes. An image is RGB in 0..255, (h, w, 3), or the bytes of a
            file.

    Raises:
        ValueError: it is none of these.
    """
    import tensorflow as tf

    if isinstance(dataset, tuple) and len(dataset) == 2 and all(hasattr(part, "__array__") for part in dataset):
        images, labels = map(np.asarray, dataset)
        if images.dtype == np.uint8:
            dataset = ArraySource(images, labels, [""] * (int(labels.max(initial=0)) + 1))
        else:
            dataset = tf.data.Dataset.from_tensor_slices((images, labels))
    if isinstance(dataset, Source):
        loaded = dataset.references().map(dataset.load, num_parallel_calls=cores(), deterministic=True)
        return loaded.map(lambda example: (example["image"], example["label"], example["id"]))
    if not isinstance(dataset, tf.data.Dataset):
        dataset = _from_iterable(dataset)
    spec = dataset.element_spec
    if isinstance(spec, dict) and {"image", "label"} <= set(spec):
        dataset = dataset.map(lambda example: (example["image"], example["label"]))
    elif not (isinstance(spec, tuple) and len(spec) == 2 and all(isinstance(part, tf.TensorSpec) for part in spec)):
        raise ValueError(f"expected a data set of (image, label); Received: {spec}")
    image, label = dataset.element_spec
    single = 0 if image.dtype == tf.string else 3
    if image.shape.rank == single + 1 and label.shape.rank == 1:
        dataset = dataset.unbatch()
    elif image.shape.rank not in (single, None) or label.shape.rank not in (0, None):
        raise ValueError(f"expected images (h, w, 3), or encoded, with a label each; Received: {image} and {label}")
    if image.dtype != tf.string and image.shape.rank is not None and image.shape[-1] not in (3, None):
        raise ValueError(f"expected RGB images, (h, w, 3); Received: {image.shape}")
    return dataset.enumerate().map(
        lambda number, example: (example[0], tf.cast(example[1], tf.int64), "image " + tf.strings.as_string(number))
    )


def _from_iterable(pairs):
    import tensorflow as tf

    if not hasattr(pairs, "__iter__"):
        raise ValueError(f"expected a data set of (image, label); Received: {type(pairs).__name__}")

    def opened():
        for image, label in pairs:
            image = io.BytesIO(image) if isinstance(image, bytes) else image
            yield np.asarray(open_image(image)), int(label)

    signature = (tf.TensorSpec((None, None, 3), tf.uint8), tf.TensorSpec((), tf.int64))
    return tf.data.Dataset.from_generator(opened, output_signature=signature)


def crop_batches(dataset, protocol: Protocol, preprocessing: Preprocessing, batch_size: int):
    """The crops of all photos, without their mirror images, in the order of the photos.

    Args:
        dataset: as `examples` gives it.
        protocol: which crops.
        preprocessing: the model's.
        batch_size: crops in a batch; the last may be smaller.

    Returns:
        A `tf.data.Dataset` of tuples: crops, float32 (n, height, width, 3), and the labels of their photos, int64 (n,).
    """
    import tensorflow as tf

    scales = protocol.scales(preprocessing)
    sides = [scale.resize_to or 0 for scale in scales]

    def decoded(image, label, name):
        return (decode_photo(image) if image.dtype == tf.string else image), label, name

    def crops_of(which, photo):
        pixels, label, _ = photo
        crops = cut(pixels, protocol, scales[0], tf.gather(sides, which))
        return crops, tf.fill((protocol.crops // len(scales) // (1 + protocol.mirrored),), label)

    photos = dataset.map(decoded, num_parallel_calls=cores(), deterministic=True)
    # Scale by scale, so that a photo's crops are not all in memory at once.
    scaled = photos.flat_map(lambda *photo: tf.data.Dataset.from_tensors(photo).repeat(len(scales)).enumerate())
    crops = scaled.map(crops_of, num_parallel_calls=cores(), deterministic=True)
    options = tf.data.Options()
    options.deterministic = True
    options.autotune.enabled = False
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return crops.rebatch(batch_size).prefetch(2).with_options(options)
