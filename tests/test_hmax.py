"""HMAX against its definition, written out slowly; prototypes cut out of images; a linear classifier upon it."""

import keras
import numpy as np
import pytest

from keras_inception.layers.gabor import GaborFilterBank
from keras_inception.models.hmax import C1, C1_GRIDS, HMAX, Prototypes, imprint


def images(count=4, size=40, seed=0):
    """Stripes of several directions and widths, with noise: something for Gabor filters to tell apart."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size]
    angles = np.arange(count) % 4 * np.pi / 4
    waves = [128 + 80 * np.sin((x * np.cos(a) + y * np.sin(a)) * 1.3 + rng.uniform(0, 6)) for a in angles]
    grey = np.stack(waves)[..., None] + rng.normal(0, 10, (count, size, size, 3))
    return np.clip(grey, 0, 255).astype("float32")


def test_c1_is_the_maximum_over_scales_and_places():
    s1 = np.random.default_rng(0).uniform(size=(2, 20, 24, 8)).astype("float32")
    found = np.asarray(C1(8)(s1))
    scales = np.maximum(s1[..., :4], s1[..., 4:])
    assert found.shape == (2, 5, 6, 4)
    np.testing.assert_array_equal(found[:, 2, 3], scales[:, 6:14, 10:18].max((1, 2)))
    np.testing.assert_array_equal(found[:, 0, 0], scales[:, :6, :6].max((1, 2)))  # cut by the border: two of eight


@pytest.mark.parametrize("beta", [1.0, 0.1, None])
def test_s2_is_the_likeness_of_the_nearest_patch(beta):
    rng = np.random.default_rng(0)
    c1 = rng.uniform(size=(3, 6, 7, 4)).astype("float32")
    layer = Prototypes(5, 4, beta)
    layer(c1)
    kernel = rng.uniform(size=(4, 4, 4, 5)).astype("float32")
    kernel[..., 0] = c1[1, 2:6, 3:7]
    layer.kernel.assign(kernel)
    found = np.asarray(layer(c1))
    patches = np.array([[c1[:, r : r + 4, c : c + 4] for c in range(4)] for r in range(3)])  # (3, 4, n, 4, 4, 4)
    squares = ((patches[..., None] - kernel) ** 2).sum((3, 4, 5)).min((0, 1))
    expected = -np.sqrt(squares) if beta is None else np.exp(-beta * squares)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=2e-3)
    assert found[1, 0] == pytest.approx(1 if beta else 0, abs=2e-3) and found[1, 0] > found[0, 0]


@pytest.mark.parametrize("beta", [None, 1.0])
def test_gradients_where_a_prototype_was_cut_out(beta):
    """There the distance is 0, and its root has no gradient."""
    import tensorflow as tf

    pixels = tf.constant(images(4))
    model = HMAX(20, patch_sizes=(4,), bands=(1,), input_shape=(40, 40, 3), beta=beta)
    imprint(model, pixels.numpy())
    with tf.GradientTape() as tape:
        tape.watch(pixels)
        found = model(pixels)
    gradient = tape.gradient(found, pixels).numpy()
    assert np.isfinite(gradient).all() and np.abs(gradient).max() > 0


def test_a_map_smaller_than_the_prototypes():
    layer = Prototypes(2, 8)
    assert layer(np.ones((1, 5, 9, 4), "float32")).shape == (1, 2)


def test_the_whole_is_its_parts():
    pixels = images(3)
    model = HMAX(6, patch_sizes=(2, 4), bands=(1, 3), input_shape=(40, 40, 3), beta=0.5)
    imprint(model, pixels)
    found = np.asarray(model(pixels))
    assert found.shape == (3, 6) and not model.trainable_variables
    maps = [C1(C1_GRIDS[b - 1])(GaborFilterBank(sizes=sizes)(pixels)) for b, sizes in ((1, (7, 9)), (3, (15, 17)))]
    column = 0
    for size in (2, 4):
        kernel = np.asarray(model.get_layer(f"s2_{size}x{size}").kernel)
        best = np.zeros((3, 3))
        for part in map(np.asarray, maps):
            for row in range(part.shape[1] - size + 1):
                for col in range(part.shape[2] - size + 1):
                    patch = part[:, row : row + size, col : col + size, :, None]
                    best = np.maximum(best, np.exp(-0.5 * ((patch - kernel) ** 2).sum((1, 2, 3))))
        np.testing.assert_allclose(found[:, column : column + 3], best, rtol=1e-3, atol=1e-4)
        column += 3


def test_prototypes_are_patches_of_the_images():
    pixels = images(5)
    model = HMAX(20, patch_sizes=(4,), bands=(1,), input_shape=(40, 40, 3))
    imprint(model, pixels, seed=3, batch_size=2)
    c1 = np.asarray(keras.Model(model.input, model.get_layer("c1_band1").output)(pixels))
    kernel = np.asarray(model.get_layer("s2_4x4").kernel)
    places = range(c1.shape[1] - 3)
    patches = np.array([c1[n, r : r + 4, c : c + 4] for n in range(5) for r in places for c in places])
    for number in range(20):
        assert np.abs(patches - kernel[..., number]).max((1, 2, 3)).min() < 1e-6
    assert len(np.unique(kernel.reshape(-1, 20), axis=1).T) > 10
    # each prototype is found again where it was cut out
    assert np.asarray(model(pixels)).max(0) == pytest.approx(np.zeros(20), abs=2e-3)


def test_prototypes_depend_on_the_seed_and_not_on_the_batches():
    def imprinted(seed, batch_size):
        model = HMAX(12, patch_sizes=(2, 4), bands=(1, 2), input_shape=(40, 40, 3))
        imprint(model, images(5), seed=seed, batch_size=batch_size)
        return [np.asarray(model.get_layer(name).kernel) for name in ("s2_2x2", "s2_4x4")]

    first, again, other = imprinted(3, 2), imprinted(3, 5), imprinted(4, 5)
    for a, b, c in zip(first, again, other, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
        assert not np.allclose(a, c, atol=1e-3)


def test_prototypes_of_every_size_tell_images_apart():
    """With the defaults, and the batch normalization of a linear classifier: its epsilon is above the variance of the
    published tuning to large patches, with a sharpness of 1.
    """
    model = HMAX(20, input_shape=(128, 128, 3))
    imprint(model, images(6, 128))
    c2 = np.asarray(keras.layers.BatchNormalization()(np.asarray(model(images(16, 128, seed=1))), training=True))
    for size, part in zip((4, 8, 12, 16), np.split(c2, 4, axis=1), strict=True):
        assert np.median(part.std(0)) > 0.4, size


def test_a_linear_classifier_upon_it():
    pixels, labels = images(32), np.arange(32) % 4
    model = HMAX(40, patch_sizes=(4,), bands=(1,), input_shape=(40, 40, 3))
    imprint(model, pixels)
    classifier = keras.Sequential(
        [model, keras.layers.BatchNormalization(), keras.layers.Dense(4, activation="softmax")]
    )
    classifier.compile(keras.optimizers.Adam(0.05), "sparse_categorical_crossentropy", metrics=["accuracy"])
    classifier.fit(pixels, labels, epochs=30, verbose=0)
    assert classifier.evaluate(images(16, seed=1), np.arange(16) % 4, verbose=0)[1] > 0.9


def test_saved_and_loaded(tmp_path):
    pixels = images(2)
    model = HMAX(4, patch_sizes=(4,), bands=(1, 2), input_shape=(40, 40, 3))
    imprint(model, pixels)
    model.save(tmp_path / "hmax.keras")
    np.testing.assert_allclose(keras.saving.load_model(tmp_path / "hmax.keras")(pixels), model(pixels), rtol=1e-5)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: HMAX(input_shape=(None, 40, 3)), "a known height, width and number of channels"),
        (lambda: HMAX(bands=(0,)), "bands among 1, 2, .*8; Received: bands="),
        (lambda: HMAX(bands=(1, 1)), r"different bands among .*Received: bands=\(1, 1\)"),
        (lambda: HMAX(patch_sizes=(4, 4)), r"different sizes of patches, from 1; Received: patch_sizes=\(4, 4\)"),
        (lambda: HMAX(patch_sizes=(0, 4)), r"different sizes of patches, from 1; Received: patch_sizes=\(0, 4\)"),
        (lambda: HMAX(beta=-1), "beta to be None or above 0; Received: beta=-1"),
        (
            lambda: imprint(HMAX(4, input_shape=(40, 40, 3)), np.full((2, 40, 40, 3), np.nan)),
            "finite numbers; Received",
        ),
        (lambda: HMAX(10, patch_sizes=(4, 8, 12)), "as many prototypes of each"),
        (lambda: imprint(HMAX(4, input_shape=(40, 40, 3)), np.zeros((0, 40, 40, 3))), "an HMAX and images"),
        (lambda: imprint(HMAX(4, patch_sizes=(16,), bands=(8,), input_shape=(40, 40, 3)), images(1)), "room for proto"),
    ],
)
def test_wrong_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()
