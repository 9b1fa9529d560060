"""From a data set to batches: order, decoding, augmentation, and who gets which rows.

Every random choice is a function of seed, epoch and example. So a run can go on at any step, and any number of workers
sees together the batches that one would. (Asynchronous workers, which no one repeats, draw orders and views of their
own.)

`training.array_pipeline` does the same for arrays in NumPy alone.
"""

import numpy as np

from keras_inception.datasets.source import cores
from training.decoding import chunk_length, decode_chunks


def training_batches(
    source,
    *,
    size: int,
    batch_size: int,
    augmentation,
    seed: int,
    epochs,
    first_step: int = 0,
    worker: tuple[int, int] = (0, 1),
    shuffle_buffer: int = 16_384,
    shard_by: str = "examples",
    own_order: bool = False,
    pil: bool = True,
    broken: str = "skip",
    on_broken=None,
):
    """The batches of epochs, one after another.

    An image that cannot be decoded keeps its row: black, with weight 0. To begin costs half a second or more, most of
    which TensorFlow takes to build its graph: many epochs of a small data set should be one pipeline.

    Args:
        source: a `keras_inception.datasets.Source`.
        size: height and width of the images in pixels.
        batch_size: images in a global batch.
        augmentation: a `training.options.Augmentation`.
        seed: decides, with the epoch, order and augmentation.
        epochs: their numbers.
        first_step: batches of the first epoch that were done before.
        worker: index and count. Worker i of w gets rows i * b / w to (i + 1) * b / w of each global batch of b.
        shuffle_buffer: undecoded examples that the order is drawn from, for a source that shuffles its files alone.
        shard_by: `"examples"`: all workers read all examples, and share the batches that one worker would see.
            `"files"`: each reads only its own files, where there are enough of them, again from the first where they
            are too few for the epoch.
        own_order: each iterator draws orders of its own, for workers that take steps by themselves.
        pil: False where another process makes the batches, and has none of this one's Python functions.
        broken: `"skip"` or `"fatal"`: what an image is that cannot be decoded.
        on_broken: called with the id of each broken image, from threads of the pipeline; None: TensorFlow prints the
            id, which it can do where no Python function can be called.

    Returns:
        A `tf.data.Dataset` of `len(epochs) * (len(source) // batch_size) - first_step` tuples: images, uint8
        (b / w, size, size, 3), RGB; labels, int64 (b / w,); weights, float32 (b / w,), 1 or 0.

    Raises:
        ValueError: an argument is not what it should be.
        tf.errors.InvalidArgumentError: while iterating: a label has no class, or a broken image is fatal.
    """
    import tensorflow as tf

    from training.augmentation import augment

    rows, epochs = rows_of(batch_size, worker), np.array(epochs, np.int64)
    chunk = chunk_length(rows, size)
    per_epoch = steps_per_epoch(source, batch_size)
    steps = steps_left(per_epoch, first_step, len(epochs))
    if shard_by not in ("examples", "files"):
        raise ValueError(f"expected shard_by to be examples or files; Received: shard_by={shard_by!r}")
    by_files = shard_by == "files" and source.num_files >= worker[1] > 1

    def in_order(epoch, order, done):
        """Chunks of what is left for this worker of an epoch, in the order of a seed."""
        if own_order:
            order = tf.raw_ops.NonDeterministicInts(shape=(), dtype=tf.int64)
        references = source.references(seed=order, shard=worker if by_files else (0, 1))
        if not source.fully_shuffled:
            references = _shuffled(references, shuffle_buffer, order)
        if by_files:
            references = references.repeat().skip(done * rows)
        else:
            references = _worker_rows(references.skip(done * batch_size), batch_size, worker)
        chunks = references.take((per_epoch - done) * rows).batch(chunk)
        # Workers that draw their own orders each begin with the first epoch, and again when they were lost: its number
        # would give them all the same views of an image.
        views = order if own_order else epoch
        return chunks.map(lambda references: {**references, "seed": seeds(views, references["id"])})

    def seeds(views, ids):
        """Of the augmentation of each example: its name and the number of its views, hashed by this run's seed."""
        names = tf.strings.join([tf.strings.as_string(views), ids], "/")
        return tf.stack([tf.strings.to_hash_bucket_strong(names, 2**62, [seed, part]) for part in (0, 1)], 1)

    def load(reference):
        return {**source.load(reference), "seed": reference["seed"]}

    def decode(example):
        return augment(example["image"], example["seed"], size, augmentation, pil=pil)

    orders = np.array([_order_seed(seed, int(epoch)) for epoch in epochs], np.int64)
    done = np.array([first_step, *[0] * (len(epochs) - 1)], np.int64)

    def chunks_from(number):
        """This worker's chunks from one of them on; no epoch before it is read."""
        number, in_epoch = tf.cast(number, tf.int64), per_epoch * rows // chunk
        begun = number + first_step * rows // chunk
        parts = tf.data.Dataset.from_tensor_slices((epochs, orders, done)).skip(begun // in_epoch)
        before = tf.where(begun < in_epoch, number, begun % in_epoch)
        return parts.flat_map(in_order).skip(before)

    return _batches(chunks_from, steps * rows, chunk, source, load, decode, size, rows, steps, broken, on_broken)


def evaluation_batches(
    source,
    *,
    size: int,
    resize_to: int,
    batch_size: int,
    worker: tuple[int, int] = (0, 1),
    seed: int | None = None,
    broken: str = "skip",
    on_broken=None,
):
    """All examples of a source, each exactly once, as evaluation sees them.

    Args:
        source, size, batch_size, worker, broken, on_broken: as for `training_batches`.
        resize_to: short side in pixels before the central crop.
        seed: of the order, as far as the source shuffles its examples; None for the source's own.

    Returns:
        A `tf.data.Dataset` as from `training_batches`. All batches are full, and all workers have equally many; the
        last ends with black rows of label 0 and weight 0.

    Raises:
        ValueError: an argument is not what it should be.
        tf.errors.InvalidArgumentError: while iterating: a label has no class, or a broken image is fatal.
    """
    from training.augmentation import center

    rows = rows_of(batch_size, worker)
    chunk, steps = chunk_length(rows, size), -(-len(source) // batch_size)

    def decode(example):
        return center(example["image"], size, resize_to)

    def chunks_from(number):
        return _worker_rows(source.references(seed=seed), batch_size, worker).skip(number * chunk).batch(chunk)

    whole, rest = divmod(len(source), batch_size)
    examples = whole * rows + min(max(0, rest - worker[0] * rows), rows)
    return _batches(chunks_from, examples, chunk, source, source.load, decode, size, rows, steps, broken, on_broken)


def steps_per_epoch(source, batch_size: int) -> int:
    """Batches of an epoch.

    Raises:
        ValueError: the source is smaller than a batch.
    """
    if len(source) < batch_size:
        raise ValueError(
            f"expected at least {batch_size} examples in {source.name}, one batch; Received: {len(source)}"
        )
    return len(source) // batch_size


def steps_left(per_epoch: int, first_step: int, epochs: int) -> int:
    """Batches of some epochs, from a step of the first on.

    Raises:
        ValueError: the epoch is shorter, or there is none.
    """
    if not 0 <= first_step <= per_epoch:
        raise ValueError(f"expected first_step in [0, {per_epoch}]; Received: first_step={first_step!r}")
    if epochs < 1:
        raise ValueError(f"expected at least one epoch; Received: {epochs}")
    return epochs * per_epoch - first_step


def rows_of(batch_size, worker) -> int:
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


def _batches(chunks_from, examples, chunk, source, load, decode, size, rows, steps, broken, on_broken):
    """Batches of `rows` images, labels and weights, from the chunks of the references, of which there are `examples`.

    `chunks_from` gives the chunks, of `chunk` references each, from a number on.
    """
    import tensorflow as tf

    if broken not in ("skip", "fatal"):
        raise ValueError(f"expected broken to be skip or fatal; Received: broken={broken!r}")

    def checked(references, images, weights):
        labels, ids = references["label"], references["id"]
        wrong = (labels < 0) | (labels >= len(source.classes))
        missing = tf.boolean_mask(ids, weights == 0)
        done = [_check_labels(labels, wrong, ids, len(source.classes)), _report(missing, broken, on_broken)]
        with tf.control_dependencies(done):
            return images, labels, weights

    def filled(images, labels, weights):
        # Only at the end of an evaluation is there something to fill.
        end = chunk - tf.shape(labels)[0]
        parts = (tf.pad(part, [[0, end]] + [[0, 0]] * (part.shape.rank - 1)) for part in (labels, weights))
        images = tf.cond(end == 0, lambda: images, lambda: tf.pad(images, [[0, end], [0, 0], [0, 0], [0, 0]]))
        labels, weights = (tf.ensure_shape(part, (chunk,)) for part in parts)
        return tf.ensure_shape(images, (chunk, size, size, 3)), labels, weights

    def joined(images, labels, weights):
        return tf.reshape(images, (rows, size, size, 3)), tf.reshape(labels, (rows,)), tf.reshape(weights, (rows,))

    chunks = decode_chunks(chunks_from, -(-examples // chunk), load, decode, size, source.name)
    chunks = chunks.map(checked).map(filled)
    blank = (tf.zeros((chunk, size, size, 3), tf.uint8), tf.zeros((chunk,), tf.int64), tf.zeros((chunk,)))
    chunks = chunks.concatenate(tf.data.Dataset.from_tensors(blank).repeat()).take(steps * rows // chunk)
    # To join chunks is to copy them.
    batches = chunks if chunk == rows else chunks.batch(rows // chunk, drop_remainder=True).map(joined)
    options = tf.data.Options()
    options.deterministic = True
    # The workers' rows are dealt already.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    options.threading.max_intra_op_parallelism = 1  # images are the unit of parallel work
    # With as many threads as cores, which also wait for one another, 5 % fewer images a second were measured.
    options.threading.private_threadpool_size = 2 * cores()
    # Left to itself, tf.data may take the whole of a short epoch to find out that there is more than one core.
    options.autotune.enabled = False
    batches = batches.apply(tf.data.experimental.assert_cardinality(steps))
    return batches.prefetch(2).with_options(options)


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
