"""Images decoded in parallel and in order, any of which may be broken."""

import numpy as np

from keras_inception.datasets.source import cores

# Images, and pixels, at most that one call decodes: many, for each call has a cost of its own, but few enough that the
# calls that are under way on all cores fit into memory.
CHUNK, CHUNK_PIXELS = 64, 2**21


def chunk_length(rows: int, size: int) -> int:
    """How many images of `size` x `size` pixels a call decodes: a part of `rows` without a rest."""
    longest = max(1, min(CHUNK, CHUNK_PIXELS // size**2))
    return max(length for length in range(1, longest + 1) if rows % length == 0)


def decode_chunks(chunks_from, count: int, load, decode, size: int, name: str):
    """Decodes the images of chunks of references, in order, and gives those that are broken the weight 0.

    An error cannot be caught inside of a graph, but a data set can leave out the element that has one. So each chunk
    is announced, as it is, and then decoded by one call. Where a chunk is not followed by its images it has a broken
    one, and is decoded anew, image by image, each an element that can be left out. (To do that with every chunk would
    take up to a fifth more time: a small data set has to be made for it.)

    What cannot be read is not broken, but an error: a file that is gone, for which a chunk's images are loaded anew
    before they are decoded one by one; and references, where a chunk lacks even its announcement.

    Args:
        chunks_from: gives, from a number on, a `tf.data.Dataset` of batched references, dicts of tensors (n,) with at
            least `"id"`.
        count: how many chunks there are.
        load: from a reference to a dict of tensors, whose errors are errors.
        decode: from what `load` gives to the image, uint8 (size, size, 3); it has an error if the image is broken.
        size: height and width of the images in pixels.
        name: of the source, for messages.

    Returns:
        A `tf.data.Dataset` of tuples: the references; images, uint8 (n, size, size, 3), black where broken; weights,
        float32 (n,), 1 or 0.
    """
    import tensorflow as tf

    chunks = chunks_from(0)
    nothing = tf.nest.map_structure(lambda spec: tf.zeros((0,), spec.dtype), chunks.element_spec)
    no_images = tf.zeros((0, size, size, 3), tf.uint8)
    loaded_spec = chunks.unbatch().map(load).element_spec

    def announce_and_decode(number, references):
        return tf.data.Dataset.from_tensors((number, references)).repeat(2).enumerate()

    def attempt(turn, chunk):
        number, references = chunk
        image = tf.TensorSpec((size, size, 3), tf.uint8)

        def decoded():
            return tf.map_fn(lambda reference: decode(load(reference)), references, fn_output_signature=image)

        images = tf.cond(turn == 0, lambda: no_images, decoded)
        return turn, number, references, images

    def match(state, attempted):
        """The state is the next number to be announced, and the references that wait for their images."""
        (following, waiting), (turn, number, references, images) = state, attempted
        lost = (turn == 0) & (number != following)
        with tf.control_dependencies([tf.cond(lost, lambda: reread(following), tf.no_op)]):
            waiting, settled = tf.cond(turn == 0, lambda: (references, waiting), lambda: (nothing, references))
        return (number + 1, waiting), (settled, images)

    def reread(number):
        """Has the error that a chunk was lost by once more, where it is not left out."""
        found = chunks_from(number).take(1).reduce(np.int64(0), lambda total, _: total + 1)
        text = f"expected {count} chunks of {name} to be readable; Received: an error in chunk "
        with tf.control_dependencies([found]):
            return tf.debugging.Assert(False, [tf.strings.join([text, tf.strings.as_string(number)])])

    def complete(references, images):
        whole = tf.shape(images)[0] > 0
        results = tf.cond(whole, lambda: (images, tf.ones(tf.shape(images)[:1])), lambda: decode_each(references))
        return references, *results

    def decode_each(references):
        length = tf.shape(references["id"], tf.int64)[:1]
        loaded = tf.map_fn(load, references, fn_output_signature=loaded_spec)
        images = tf.data.Dataset.from_tensor_slices(loaded).enumerate()
        images = images.map(lambda number, example: (number, decode(example))).ignore_errors()
        # There may be none, and a single element there must be.
        none = tf.data.Dataset.from_tensors((tf.zeros((0,), tf.int64), no_images))
        where, images = images.batch(length[0]).concatenate(none).take(1).get_single_element()
        where = where[:, tf.newaxis]
        images = tf.scatter_nd(where, images, tf.concat([length, (size, size, 3)], 0))
        return images, tf.scatter_nd(where, tf.ones(tf.shape(where)[:1]), length)

    # Where a chunk cannot be read, its number is lost with it. One more at the end shows whether the last was.
    numbered = tf.data.Dataset.zip((tf.data.Dataset.range(count), chunks))
    numbered = numbered.concatenate(tf.data.Dataset.from_tensors((np.int64(count), nothing)))
    attempts = numbered.flat_map(announce_and_decode)
    attempts = attempts.map(attempt, num_parallel_calls=2 * (cores() + 1), deterministic=True).ignore_errors()
    settled = attempts.scan((np.int64(0), nothing), match)
    settled = settled.filter(lambda references, images: tf.shape(references["id"])[0] > 0)
    return settled.map(complete, num_parallel_calls=cores(), deterministic=True)
