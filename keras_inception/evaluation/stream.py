"""From a data set to crops in batches, as they are wanted: no more than a few photos are in memory."""

import io

import numpy as np

from keras_inception.datasets import ArraySource, Source
from keras_inception.datasets.photos import decode_photo
from keras_inception.datasets.source import cores
from keras_inception.evaluation.crops import Protocol, cut
from keras_inception.preprocessing import Preprocessing, open_image


def examples(dataset, *, drawn: bool = False):
    """A data set of any kind as a `tf.data.Dataset` of tuples: image, label, name.

    Args:
        dataset: a `keras_inception.datasets.Source`; a `tf.data.Dataset` of tuples or of dicts with `image` and
            `label`, one by one or in batches; a tuple of arrays (images, labels); or an iterable of such tuples, whose
            images are whatever `open_image` takes, or bytes. An image is RGB in 0..255, (h, w, 3), or the bytes of a
            file.
        drawn: whether a source gives its examples in a random order, always the same, as far as it can give one: the
            first of them are then of all classes, which a folder has one after another.

    Raises:
        ValueError: it is none of these.
    """
    import tensorflow as tf

    if isinstance(dataset, tuple) and len(dataset) == 2 and all(hasattr(part, "__array__") for part in dataset):
        images, labels = map(np.asarray, dataset)
        if len(images) != len(labels):
            raise ValueError(f"expected a label for each image; Received: {len(images)} images, {len(labels)} labels")
        if images.dtype == np.uint8 and labels.dtype.kind in "iu":
            dataset = ArraySource(images, labels, [""] * (int(labels.max(initial=0)) + 1))
        else:
            dataset = tf.data.Dataset.from_tensor_slices((images, labels))
    if isinstance(dataset, Source):
        references = dataset.references(seed=0 if drawn and dataset.fully_shuffled else None)
        loaded = references.map(dataset.load, num_parallel_calls=cores(), deterministic=True)
        return loaded.map(lambda example: (example["image"], example["label"], example["id"]))
    if not isinstance(dataset, tf.data.Dataset):
        dataset = _from_iterable(dataset)
    spec = dataset.element_spec
    if isinstance(spec, dict) and {"image", "label"} <= set(spec):
        dataset = dataset.map(lambda example: (example["image"], example["label"]))
    elif not (isinstance(spec, tuple) and len(spec) == 2 and all(isinstance(part, tf.TensorSpec) for part in spec)):
        raise ValueError(f"expected a data set of (image, label); Received: {spec}")
    image, label = dataset.element_spec
    if not label.dtype.is_integer:
        raise ValueError(f"expected labels that are integers; Received: {label.dtype.name}")
    if image.dtype != tf.string and not (image.dtype.is_integer or image.dtype.is_floating):
        raise ValueError(f"expected pixels in 0..255, or encoded images; Received: {image.dtype.name}")
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


def _checked(pixels):
    """Pixels that somebody decoded himself: RGB, in 0..255."""
    import tensorflow as tf

    checks = []
    if pixels.shape[-1] is None:
        message = tf.strings.format("expected RGB images, (h, w, 3); Received: {}", tf.shape(pixels))
        checks.append(tf.debugging.Assert(tf.equal(tf.shape(pixels)[-1], 3), [message]))
    if pixels.dtype != tf.uint8:
        low, high = tf.reduce_min(pixels), tf.reduce_max(pixels)
        message = "expected pixels in 0..255, neither normalized nor 16-bit; Received: values in {}..{}"
        # Written so that NaN fails too.
        inside = (tf.cast(low, tf.float64) >= 0) & (tf.cast(high, tf.float64) <= 255)
        checks.append(tf.debugging.Assert(inside, [tf.strings.format(message, (low, high))]))
    with tf.control_dependencies(checks):
        return tf.ensure_shape(pixels, (None, None, 3))


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
        return (decode_photo(image) if image.dtype == tf.string else _checked(image)), label, name

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
