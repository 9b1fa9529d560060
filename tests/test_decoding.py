"""Chunks of images decoded in order: broken ones anywhere, and errors of the references themselves."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from training import decoding
from training.decoding import chunk_length, decode_chunks

SIZE = 2


def decode(reference):
    """An image of the reference's number; broken where that is negative."""
    number = reference["number"]
    with tf.control_dependencies([tf.debugging.assert_non_negative(number)]):
        return tf.fill((SIZE, SIZE, 3), tf.cast(number, tf.uint8))


def references(numbers, chunk):
    numbers = np.asarray(numbers, "int64")
    dataset = tf.data.Dataset.from_tensor_slices({"id": [str(number) for number in numbers], "number": numbers})
    return dataset.batch(chunk), -(-len(numbers) // chunk)


def decoded(chunks, count, load=lambda reference: reference):
    found = list(decode_chunks(chunks.skip, count, load, decode, SIZE, "numbers").as_numpy_iterator())
    images = np.concatenate([images for _, images, _ in found])
    assert images.shape[1:] == (SIZE, SIZE, 3)
    ids = [name.decode() for part, _, _ in found for name in part["id"]]
    assert [len(part["id"]) for part, _, _ in found] == [len(weights) for *_, weights in found]
    return ids, images[:, 0, 0, 0], np.concatenate([weights for *_, weights in found])


@settings(max_examples=20, deadline=None)
@given(broken=st.lists(st.booleans(), min_size=1, max_size=14), chunk=st.integers(1, 5))
def test_every_row_stays_in_its_place(broken, chunk):
    numbers = [-number - 1 if bad else number for number, bad in enumerate(broken)]
    ids, images, weights = decoded(*references(numbers, chunk))
    assert ids == [str(number) for number in numbers]
    np.testing.assert_array_equal(images, [max(number, 0) for number in numbers])
    np.testing.assert_array_equal(weights, [number >= 0 for number in numbers])


@pytest.mark.parametrize("lost", [0, 5, 11])
@pytest.mark.parametrize("broken", [False, True])
def test_what_cannot_be_read_is_an_error_and_not_a_broken_image(lost, broken):
    numbers = [-3 if broken and number == 3 else number for number in range(12)]
    chunks, count = references(numbers, 2)

    def read(reference):
        fine = tf.debugging.Assert(tf.reduce_all(reference["number"] != lost), ["the disk is gone"])
        with tf.control_dependencies([fine]):
            return tf.nest.map_structure(tf.identity, reference)

    with pytest.raises(tf.errors.InvalidArgumentError, match="the disk is gone"):
        decoded(chunks.map(read), count)


@pytest.mark.parametrize("lost", [0, 5, 11])
def test_an_image_that_cannot_be_loaded_is_an_error_too(lost):
    def load(reference):
        fine = tf.debugging.Assert(reference["number"] != lost, ["the file is gone"])
        with tf.control_dependencies([fine]):
            return tf.nest.map_structure(tf.identity, reference)

    with pytest.raises(tf.errors.InvalidArgumentError, match="the file is gone"):
        decoded(*references(range(12), 2), load)


@pytest.mark.parametrize("there", [0, 2])
def test_references_that_end_too_early_are_an_error(there):
    chunks, count = references(range(6), 2)
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"expected 3 chunks of numbers .*chunk {there}"):
        decoded(chunks.take(there), count)


@pytest.mark.parametrize(
    "rows, size, length", [(32, 224, 32), (128, 32, 64), (96, 32, 48), (7, 32, 7), (256, 224, 32), (32, 3000, 1)]
)
def test_a_call_decodes_as_much_as_fits(rows, size, length):
    assert chunk_length(rows, size) == length and rows % length == 0
    assert length * size**2 <= max(decoding.CHUNK_PIXELS, size**2)
