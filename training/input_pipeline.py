"""From a data set to batches: order, decoding, augmentation, and who gets which rows.

Every random choice is a function of seed, epoch and example. So a run can go on at any step, and any number of workers
sees together the batches that one would.

The first two functions make a `tf.data.Dataset`; the `array_` functions do without TensorFlow.
"""

import numpy as np

# Images, and pixels, at most that are decoded one after the other: many, for each chunk has a cost of its own, but few
# enough that the chunks that are under way on all cores fit into memory.
CHUNK, CHUNK_PIXELS = 64, 2**20


def training_batches(
    source,
    *,
    size: int,
    batch_size: int,
    augmentation,
    seed: int,
    epoch: int,
    first_step: int = 0,
    worker: tuple[int, int] = (0, 1),
    shuffle_buffer: int = 16_384,
    shard_by: str = "examples",
    own_order: bool = False,
    broken: str = "skip",
    on_broken=None,
):
    """The batches of an epoch, or of what is left of it.

    An image that cannot be decoded keeps its row: black, with weight 0.

    Args:
        source: a `keras_inception.datasets.Source`.
        size: height and width of the images in pixels.
        batch_size: images in a global batch.
        augmentation: a `training.options.Augmentation`.
        seed, epoch: decide order and augmentation.
        first_step: batches of the epoch that were done before.
        worker: index and count. Worker i of w gets rows i * b / w to (i + 1) * b / w of each global batch of b.
        shuffle_buffer: undecoded examples that the order is drawn from, for a source that shuffles its files alone.
        shard_by: `"examples"`: all workers read all examples, and share the batches that one worker would see.
            `"files"`: each reads only its own files, where there are enough of them, again from the first where they
            are too few for the epoch.
        own_order: each iterator draws an order of its own, for workers that take steps by themselves.
        broken: `"skip"` or `"fatal"`: what an image is that cannot be decoded.
        on_broken: called with the id of each broken image, from threads of the pipeline; None: TensorFlow prints the
            id, which it can do where no Python function can be called.

    Returns:
        A `tf.data.Dataset` of `len(source) // batch_size - first_step` tuples: images, float32 (b / w, size, size, 3),
        RGB in 0..255; labels, int64 (b / w,); weights, float32 (b / w,), 1 or 0.

    Raises:
        ValueError: an argument is not what it should be.
        tf.errors.InvalidArgumentError: while iterating: a label has no class, or a broken image is fatal.
    """
    import tensorflow as tf

    from training.augmentation import augment

    steps = _steps_left(source, batch_size, first_step)
    rows = _rows(batch_size, worker)
    if shard_by not in ("examples", "files"):
        raise ValueError(f"expected shard_by to be examples or files; Received: shard_by={shard_by!r}")
    by_files = shard_by == "files" and source.num_files >= worker[1] > 1

    def in_order(seed):
        references = source.references(seed=seed, shard=worker if by_files else (0, 1))
        if not source.fully_shuffled:
            references = _shuffled(references, shuffle_buffer, seed)
        return references

    if own_order:
        # Drawn where the iterator is made: a seed that is drawn here would be the same for all.
        seeds = tf.data.Dataset.from_tensors(0).map(lambda _: tf.raw_ops.NonDeterministicInts(shape=(), dtype=tf.int64))
        references = seeds.flat_map(in_order)
    else:
        references = in_order(_order_seed(seed, epoch))
    if by_files:
        references = references.repeat().skip(first_step * rows)
    else:
        references = _worker_rows(references.skip(first_step * batch_size), batch_size, worker)
    keys = ([seed, epoch], [epoch, ~seed])  # of siphash

    def decode(reference):
        example = source.load(reference)
        hashes = [tf.strings.to_hash_bucket_strong(example["id"], 2**62, [k % 2**63 for k in key]) for key in keys]
        return augment(example["image"], tf.stack(hashes), size, augmentation)

    references = references.take(steps * rows)
    return _batches(references, source, decode, size, rows, steps, broken, on_broken)


def evaluation_batches(
    source,
    *,
    size: int,
    resize_to: int,
    batch_size: int,
    worker: tuple[int, int] = (0, 1),
    broken: str = "skip",
    on_broken=None,
):
    """All examples of a source, each exactly once, as evaluation sees them.

    Args:
        source, size, batch_size, worker, broken, on_broken: as for `training_batches`.
        resize_to: short side in pixels before the central crop.

    Returns:
        A `tf.data.Dataset` as from `training_batches`. All batches are full, and all workers have equally many; the
        last ends with black rows of label 0 and weight 0.

    Raises:
        ValueError: an argument is not what it should be.
        tf.errors.InvalidArgumentError: while iterating: a label has no class, or a broken image is fatal.
    """
    from training.augmentation import center

    rows = _rows(batch_size, worker)
    steps = -(-len(source) // batch_size)

    def decode(reference):
        return center(source.load(reference)["image"], size, resize_to)

    references = _worker_rows(source.references(), batch_size, worker)
    return _batches(references, source, decode, size, rows, steps, broken, on_broken)


def array_batches(
    source,
    *,
    size: int,
    batch_size: int,
    augmentation,
    seed: int,
    epoch: int,
    first_step: int = 0,
    worker: tuple[int, int] = (0, 1),
):
    """`training_batches` of an `ArraySource`, in NumPy: shifts, mirror and resizing by area.

    The choices are a function of seed, epoch and index as well, but not those that TensorFlow makes.

    Args:
        source: a `keras_inception.datasets.ArraySource`.
        size, batch_size, seed, epoch, first_step, worker: as for `training_batches`.
        augmentation: an `Augmentation` with `crop="shift"` or `"none"`, photometric and lighting 0.

    Returns:
        An iterator of tuples of arrays, as from `training_batches`.

    Raises:
        ValueError: an argument is not what it should be, or the augmentation needs TensorFlow.
    """
    steps, rows = _steps_left(source, batch_size, first_step), _rows(batch_size, worker)
    if augmentation.crop not in ("shift", "none") or augmentation.photometric or augmentation.lighting:
        raise ValueError(
            "expected crop shift or none, photometric=0 and lighting=0, or TensorFlow, which all else needs; "
            f"Received: {augmentation}"
        )
    order = np.random.default_rng((seed, epoch)).permutation(len(source))
    shift = augmentation.shift if augmentation.crop == "shift" else 0

    def batch(step):
        start = step * batch_size + worker[0] * rows
        indices = order[start : start + rows]
        views = [
            _shifted(source.images[i], shift, augmentation.mirror, np.random.default_rng((seed, epoch, i)))
            for i in indices
        ]
        images = np.stack(views)
        return _resized(images if shift else _central_square(images), size), source.labels[indices], np.ones(rows, "f4")

    return (batch(step) for step in range(first_step, first_step + steps))


def array_evaluation_batches(
    source, *, size: int, batch_size: int, resize_to: int | None = None, worker: tuple[int, int] = (0, 1)
):
    """`evaluation_batches` of an `ArraySource`, in NumPy, resized by area.

    Args:
        source: a `keras_inception.datasets.ArraySource`.
        size, batch_size, worker: as for `evaluation_batches`.
        resize_to: likewise; None: `size`.

    Returns:
        An iterator of tuples of arrays, as from `evaluation_batches`.

    Raises:
        ValueError: an argument is not what it should be.
    """
    resize_to, rows = resize_to or size, _rows(batch_size, worker)
    if resize_to < size:
        raise ValueError(f"expected resize_to of at least the size, {size}; Received: resize_to={resize_to!r}")
    offset = round((resize_to - size) / 2)

    def batch(start):
        indices = np.arange(start, min(start + rows, len(source)))
        images, labels, weights = np.zeros((rows, size, size, 3), "f4"), np.zeros(rows, "i8"), np.zeros(rows, "f4")
        if len(indices):
            resized = _resized(_central_square(source.images[indices]), resize_to)
            images[: len(indices)] = resized[:, offset : offset + size, offset : offset + size]
            labels[: len(indices)], weights[: len(indices)] = source.labels[indices], 1
        return images, labels, weights

    return (batch(start + worker[0] * rows) for start in range(0, len(source), batch_size))


def _steps_left(source, batch_size, first_step) -> int:
    steps = len(source) // batch_size
    if not steps:
        raise ValueError(
            f"expected at least {batch_size} examples in {source.name}, one batch; Received: {len(source)}"
        )
    if not 0 <= first_step <= steps:
        raise ValueError(f"expected first_step in [0, {steps}]; Received: first_step={first_step!r}")
    return steps - first_step


def _rows(batch_size, worker) -> int:
    """Rows of one worker in a global batch."""
    index, count = worker
    if not 0 <= index < count or batch_size < 1 or batch_size % count:
        raise ValueError(
            "expected worker=(index, count) and a batch_size that count divides; "
            f"Received: worker={worker!r}, batch_size={batch_size!r}"
        )
    return batch_size // count


def _order_seed(seed, epoch) -> int:
    """One number from two, below 2**63."""
    return int(np.random.SeedSequence((seed, epoch)).generate_state(1, np.uint64)[0] >> np.uint64(1))


def _shuffled(dataset, buffer, seed):
    """`Dataset.shuffle` by this seed alone: that one mixes TensorFlow's global seed in."""
    import tensorflow as tf

    specs = tf.nest.flatten(dataset.element_spec)
    shuffled = tf.raw_ops.ShuffleDatasetV3(
        input_dataset=tf.data.experimental.to_variant(dataset),
        buffer_size=tf.constant(buffer, tf.int64),
        seed=tf.cast(seed, tf.int64),
        seed2=tf.constant(1, tf.int64),  # two zeros would stand for chance
        seed_generator=tf.raw_ops.DummySeedGenerator(),
        output_types=[spec.dtype for spec in specs],
        output_shapes=[spec.shape for spec in specs],
        reshuffle_each_iteration=False,
    )
    return tf.data.experimental.from_variant(shuffled, dataset.element_spec)


def _worker_rows(references, batch_size, worker):
    """This worker's rows of each global batch."""
    index, count = worker
    if count == 1:
        return references
    rows = batch_size // count
    numbered = references.enumerate().filter(lambda number, _: number % batch_size // rows == index)
    return numbered.map(lambda _, reference: reference)


def _batches(references, source, decode, size, rows, steps, broken, on_broken):
    """Batches of `rows` images, labels and weights, in the order of the references, decoded in parallel.

    An error cannot be caught inside of a graph, but a data set can leave out what has one: each chunk of a batch is
    decoded by a small data set of its own, and the rows that are missing from it are the broken ones. (With one data
    set for each image, small images would take twice as long.)
    """
    import tensorflow as tf

    if broken not in ("skip", "fatal"):
        raise ValueError(f"expected broken to be skip or fatal; Received: broken={broken!r}")
    longest = max(1, min(CHUNK, CHUNK_PIXELS // size**2))
    chunk = max(length for length in range(1, longest + 1) if rows % length == 0)

    def decoded(references):
        one_by_one = tf.data.Dataset.from_tensor_slices(references).enumerate()
        images = one_by_one.map(lambda number, reference: (number, decode(reference))).ignore_errors()
        # There may be none, and a single element there must be.
        images = images.concatenate(tf.data.Dataset.from_tensors((tf.zeros((), tf.int64), tf.zeros((size, size, 3)))))
        numbers, images = images.batch(chunk + 1).get_single_element()
        where, images = numbers[:-1, tf.newaxis], images[:-1]
        images = tf.cond(
            tf.shape(where)[0] == chunk,
            lambda: images,
            lambda: tf.scatter_nd(where, images, (chunk, size, size, 3)),
        )
        weights = tf.scatter_nd(where, tf.ones_like(numbers[:-1], tf.float32), (chunk,))
        end = [[0, chunk - tf.shape(references["id"])[0]]]
        ids = tf.concat([references["id"], tf.fill(end[0][1:], "")], 0)
        return tf.ensure_shape(images, (chunk, size, size, 3)), tf.pad(references["label"], end), weights, ids

    def checked(images, labels, weights, ids):
        wrong = (labels < 0) | (labels >= len(source.classes))
        missing = tf.boolean_mask(ids, (weights == 0) & (ids != ""))
        done = [_check_labels(labels, wrong, ids, len(source.classes)), _report(missing, broken, on_broken)]
        with tf.control_dependencies(done):
            return tf.identity(images), tf.ensure_shape(labels, (chunk,)), weights

    def joined(images, labels, weights):
        return tf.reshape(images, (rows, size, size, 3)), tf.reshape(labels, (rows,)), tf.reshape(weights, (rows,))

    chunks = references.batch(chunk).map(decoded, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True).map(checked)
    blank = (tf.zeros((chunk, size, size, 3)), tf.zeros((chunk,), tf.int64), tf.zeros((chunk,)))
    chunks = chunks.concatenate(tf.data.Dataset.from_tensors(blank).repeat()).take(steps * rows // chunk)
    batches = chunks.batch(rows // chunk, drop_remainder=True).map(joined)
    options = tf.data.Options()
    options.deterministic = True
    # The workers' rows are dealt already.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    options.threading.max_intra_op_parallelism = 1  # images are the unit of parallel work
    batches = batches.apply(tf.data.experimental.assert_cardinality(steps))
    return batches.prefetch(tf.data.AUTOTUNE).with_options(options)


def _check_labels(labels, wrong, ids, classes):
    """An operation that fails if a label is wrong, and names the first."""
    import tensorflow as tf

    named = tf.strings.join([tf.strings.as_string(labels), ids], " of ")
    first = tf.strings.reduce_join(tf.boolean_mask(named, wrong)[:1])
    text = tf.strings.join([f"expected labels in [0, {classes}); Received: ", first])
    return tf.debugging.Assert(~tf.reduce_any(wrong), [text])


def _report(missing, broken, on_broken):
    """An operation that tells of the ids in `missing`, or fails if there are any and they are fatal."""
    import tensorflow as tf

    if broken == "fatal":
        text = "expected an image that can be decoded; Received: " + tf.strings.reduce_join(missing[:1])
        return tf.debugging.Assert(tf.size(missing) == 0, [text])

    def report(ids):
        for name in ids:
            on_broken(name.decode(errors="surrogateescape"))
        return np.int64(len(ids))

    def told():
        if on_broken is not None:
            return tf.numpy_function(report, [missing], tf.int64)
        with tf.control_dependencies([tf.print("Left out, for they cannot be decoded:", missing, summarize=-1)]):
            return tf.size(missing, tf.int64)

    return tf.cond(tf.size(missing) > 0, told, lambda: tf.zeros((), tf.int64))


def _shifted(image, shift, mirror, rng):
    """A random window of the stored size over reflected borders, mirrored in half of the cases; uint8."""
    if shift:
        top, left = rng.integers(-shift, shift + 1, 2)
        image = image[_reflected(top, image.shape[0])][:, _reflected(left, image.shape[1])]
    return image[:, ::-1] if mirror and rng.random() < 0.5 else image


def _reflected(start, length):
    """Indices of `length` pixels from `start`, reflected at the borders without repeating the border's own pixel."""
    period = max(2 * (length - 1), 1)
    index = (start + np.arange(length)) % period
    return np.minimum(index, period - index)


def _central_square(images):
    height, width = images.shape[1:3]
    side = min(height, width)
    top, left = round((height - side) / 2), round((width - side) / 2)
    return images[:, top : top + side, left : left + side]


def _resized(images, size):
    """uint8 (n, h, w, 3) to float32 (n, size, size, 3): each pixel is the mean of the area that it covers."""
    images = images.astype("float32")
    if images.shape[1:3] == (size, size):
        return images
    down, across = (_area_weights(length, size) for length in images.shape[1:3])
    return np.einsum("yi,nijc,xj->nyxc", down, images, across, optimize=True)


def _area_weights(length, size):
    """The share of each of `length` stored pixels in each of `size` new ones: float32 (size, length)."""
    edges = np.arange(size + 1) * (length / size)
    pixels = np.arange(length)
    overlap = np.minimum(edges[1:, np.newaxis], pixels + 1) - np.maximum(edges[:-1, np.newaxis], pixels)
    return (overlap.clip(0) * (size / length)).astype("float32")
