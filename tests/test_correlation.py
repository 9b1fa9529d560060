"""Correlation statistics against numpy over all activations at once; in any batches and any order."""

import logging
import threading

import keras
import numpy as np
import pytest

from keras_inception.topology import correlation_statistics
from keras_inception.topology.correlation import _Parallel, half_plane


@pytest.fixture(scope="module")
def network():
    """Two maps of different sizes, whose channels are mixtures of each other, and far from zero."""
    keras.utils.set_random_seed(1)
    inputs = keras.Input((12, 10, 3))
    x = keras.layers.Conv2D(5, 3, padding="same", activation="relu", bias_initializer="ones", name="first")(inputs)
    y = keras.layers.MaxPooling2D(2, name="pool")(x)
    y = keras.layers.Conv2D(7, 3, padding="same", name="second")(y)
    y = keras.layers.Rescaling(1.0, offset=1000.0, name="far")(y)
    return keras.Model(inputs, keras.layers.GlobalAveragePooling2D(name="mean")(y))


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).normal(size=(23, 12, 10, 3)).astype("float32")


def activations(network, images, layer):
    return np.asarray(keras.Model(network.input, network.get_layer(layer).output)(images), "float64")


@pytest.mark.parametrize("layer", ["first", "second", "far"])
def test_equal_to_numpy_at_offset_0(network, images, layer):
    found = correlation_statistics(network, layer, images, batch_size=5)[layer]
    flat = activations(network, images, layer).reshape(-1, found.units)
    assert found.images == 23 and found.moments[0, 0].count == len(flat)
    # What two programs make of one convolution differs by float32's last digit, which beside 1000 is the fourth.
    tolerance = 1e-6 if layer != "far" else 1e-3
    np.testing.assert_allclose(found.mean, flat.mean(0), rtol=1e-6)
    np.testing.assert_allclose(found.correlation(), np.corrcoef(flat.T), atol=tolerance)
    np.testing.assert_allclose(found.covariance, np.cov(flat.T, bias=True), rtol=1e-4, atol=tolerance)


def test_equal_to_numpy_at_every_offset(network, images):
    found = correlation_statistics(network, ["first", "second"], images, radius=2, positions=1000, batch_size=4)
    for layer, statistics in found.items():
        maps = activations(network, images, layer)
        height, width = maps.shape[1:3]
        assert len(statistics.offsets) == 25 and statistics.positions == height * width
        for rows, columns in statistics.offsets:
            here = maps[:, max(0, -rows) : height - max(0, rows), max(0, -columns) : width - max(0, columns)]
            there = maps[:, max(0, rows) : height + min(0, rows), max(0, columns) : width + min(0, columns)]
            a, b = (part.reshape(-1, maps.shape[-1]) for part in (here, there))
            a, b = a - a.mean(0), b - b.mean(0)
            expected = (a.T @ b) / np.sqrt(np.outer((a**2).sum(0), (b**2).sum(0)))
            np.testing.assert_allclose(statistics.correlation((rows, columns)), expected, atol=1e-6)


def test_a_sample_of_positions_is_the_same_for_all_images(network, images):
    found = correlation_statistics(network, "first", images, radius=1, positions=9, seed=4)["first"]
    maps = activations(network, images, "first")
    places = np.sort(np.random.default_rng(4).permutation(120)[:9])
    rows, columns = np.divmod(places, 10)
    inside = columns < 9
    a, b = maps[:, rows[inside], columns[inside]], maps[:, rows[inside], columns[inside] + 1]
    a, b = (part.reshape(-1, 5) - part.reshape(-1, 5).mean(0) for part in (a, b))
    expected = (a.T @ b) / np.sqrt(np.outer((a**2).sum(0), (b**2).sum(0)))
    np.testing.assert_allclose(found.correlation((0, 1)), expected, atol=1e-6)
    assert found.positions == 9 and found.moments[0, 0].count == 23 * 120, "at offset 0 the whole map"


@pytest.mark.parametrize(
    "here, there", [(lambda n: 5 + 0.01 * n, lambda n: 0.01 * n), (lambda n: 0.0005 * n, lambda n: 100 + n)]
)
def test_places_that_differ_much_from_their_map(here, there):
    """Two places: what is one's mean is far from the other's."""
    n = np.arange(50, dtype="float64")
    images = np.stack([here(n), there(n)], -1)[:, None, :, None].astype("float32")
    inputs = keras.Input((1, 2, 1))
    model = keras.Model(inputs, keras.layers.Identity(name="layer")(inputs))
    for batch_size in (10, 50):
        found = correlation_statistics(model, "layer", images, radius=1, batch_size=batch_size)["layer"]
        np.testing.assert_allclose(found.correlation((0, 1)), [[1]], atol=1e-5)
        np.testing.assert_allclose(found.correlation((0, -1)), [[1]], atol=1e-5)


def blank_first(maps):
    maps[:1] = 0
    return maps


@pytest.mark.parametrize(
    "make, tolerance",
    [
        (lambda normal: np.maximum(normal, 0), 1e-6),
        (lambda normal: 1000 + normal, 1e-6),
        (lambda normal: np.where(np.arange(len(normal))[:, None, None, None] % 16, 50 + normal, 0), 1e-6),
        # Float32's products of a few deviations that are a thousand times all others.
        (lambda normal: blank_first(1000 + normal), 2e-6),
    ],
)
@pytest.mark.parametrize("batch_size", [16, 256])
def test_equal_to_numpy_whatever_the_first_image_is(make, tolerance, batch_size):
    mixed = np.random.default_rng(0).normal(size=(256, 12, 12, 6)) @ np.random.default_rng(1).normal(size=(6, 6))
    images = make(mixed).astype("float32")
    inputs = keras.Input((12, 12, 6))
    model = keras.Model(inputs, keras.layers.Identity(name="layer")(inputs))
    found = correlation_statistics(model, "layer", images, batch_size=batch_size)["layer"]
    flat = images.reshape(-1, 6).astype("float64")
    np.testing.assert_allclose(found.correlation(), np.corrcoef(flat.T), atol=tolerance)
    expected = np.cov(flat.T, bias=True)
    np.testing.assert_allclose(found.covariance, expected, atol=tolerance * expected.diagonal().max())


@pytest.mark.parametrize("size, count", [(32, 64), (8, 256)])
def test_equal_to_numpy_where_means_differ_from_place_to_place(size, count):
    """As many rows of a batch as a map is wide, or pairs of an offset: every so many see one column alone."""
    mixed = np.random.default_rng(0).normal(size=(count, size, size, 4)) @ np.random.default_rng(1).normal(size=(4, 4))
    images = (mixed + 1000 * (np.arange(size) == 0)[:, None] * (-1.0) ** np.arange(4)).astype("float32")
    inputs = keras.Input((size, size, 4))
    model = keras.Model(inputs, keras.layers.Identity(name="layer")(inputs))
    maps = images.astype("float64")
    for batch_size in (7, count):
        options = {"radius": 1, "positions": size * size, "batch_size": batch_size}
        found = correlation_statistics(model, "layer", images, **options)["layer"]
        for offset, (here, there) in {
            (0, 0): (maps, maps),
            (0, 1): (maps[:, :, :-1], maps[:, :, 1:]),
            (1, 0): (maps[:, :-1], maps[:, 1:]),
        }.items():
            a, b = (part.reshape(-1, 4) - part.reshape(-1, 4).mean(0) for part in (here, there))
            expected = (a.T @ b) / np.sqrt(np.outer((a**2).sum(0), (b**2).sum(0)))
            np.testing.assert_allclose(found.correlation(list(offset)), expected, atol=1e-6)
            assert found.count(list(offset)) == len(a)


@pytest.mark.parametrize("batch_size", [1, 7, 23])
def test_the_same_in_any_batches_and_any_order(network, images, batch_size):
    first = correlation_statistics(network, ["first", "far"], images, radius=1, batch_size=4)
    order = np.random.default_rng(batch_size).permutation(len(images))
    again = correlation_statistics(network, ["first", "far"], images[order], radius=1, batch_size=batch_size)
    for layer, tolerance in (("first", 1e-6), ("far", 1e-3)):
        for offset in first[layer].offsets:
            np.testing.assert_allclose(
                again[layer].correlation(offset), first[layer].correlation(offset), atol=tolerance
            )


def test_data_sets_of_every_kind(network, images):
    import tensorflow as tf

    expected = correlation_statistics(network, "first", images)["first"].correlation()
    dataset = tf.data.Dataset.from_tensor_slices((images, np.zeros(23))).batch(6)
    batches = (images[start : start + 9] for start in range(0, 23, 9))
    for data in (dataset, dataset.map(lambda image, label: image), batches):
        found = correlation_statistics(network, "first", data)["first"]
        np.testing.assert_allclose(found.correlation(), expected, atol=1e-6)


def test_memory_does_not_grow_with_the_data(network):
    import tracemalloc

    def peak(count):
        batches = (np.random.default_rng(n).normal(size=(8, 12, 10, 3)).astype("float32") for n in range(count))
        tracemalloc.start()
        correlation_statistics(network, ["first", "second"], batches, radius=1)
        value = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return value

    peak(2)
    assert peak(40) < 1.5 * peak(4)


def test_constant_channels_correlate_with_nothing(images, caplog):
    inputs = keras.Input((12, 10, 3))
    layer = keras.layers.Conv2D(4, 1, activation="relu", name="layer")
    model = keras.Model(inputs, layer(inputs))
    kernel, bias = layer.get_weights()
    kernel[..., 2] = 0
    layer.set_weights([kernel, np.array([0, 0, 3.3, 0], "float32")])
    with caplog.at_level(logging.WARNING, "keras_inception"):
        found = correlation_statistics(model, "layer", images, radius=1)["layer"]
    assert list(found.constant) == [2] and "1 of 4 channels of layer never change" in caplog.text
    for offset in found.offsets:
        correlation = found.correlation(offset)
        assert not correlation[2].any() and not correlation[:, 2].any() and np.isfinite(correlation).all()


@pytest.mark.parametrize(
    "value, where",
    [(np.nan, "the batch"), (np.inf, "the batch"), (-np.inf, "the batch"), (1e25, "layer, in the batch")],
)
@pytest.mark.parametrize("activation", [None, "relu"])
def test_nan_is_refused(images, value, where, activation):
    inputs = keras.Input((12, 10, 3))
    layer = keras.layers.Conv2D(4, 1, activation=activation, name="layer", kernel_initializer="ones")
    model = keras.Model(inputs, layer(inputs))
    broken = images.copy()
    broken[17, 3, 3] = value
    with pytest.raises(ValueError, match=f"NaN or infinity in {where} that begins with image 16$"):
        correlation_statistics(model, "layer", broken, batch_size=4)


def test_a_weight_that_is_no_number_is_refused(images):
    """TensorFlow's ReLU would make 0 of it, and a channel that never changes. What is above does not matter."""
    inputs = keras.Input((12, 10, 3))
    below, layer = (keras.layers.Conv2D(4, 1, activation="relu", name=name) for name in ("below", "layer"))
    model = keras.Model(inputs, layer(below(inputs)))
    layer.bias.assign([0, np.nan, 0, 0])
    with pytest.raises(ValueError, match="weights that are finite numbers; Received: NaN or infinity in layer/bias$"):
        correlation_statistics(model, ["below", "layer"], images)
    assert correlation_statistics(model, "below", images)["below"].images == 23


def test_half_plane():
    assert half_plane(0) == [(0, 0)]
    assert half_plane(1) == [(0, 0), (0, 1), (1, -1), (1, 0), (1, 1)]
    assert len(half_plane(2)) == 13


@pytest.mark.parametrize(
    "layer, message",
    [
        ("third", "expected a layer of the model.*Received: 'third'"),
        ("mean", r"whose output is a map; Received: mean, of shape \(None, 7\)"),
    ],
)
def test_layers_that_have_no_map(network, images, layer, message):
    with pytest.raises(ValueError, match=message):
        correlation_statistics(network, layer, images)


def test_a_model_of_images_of_any_size(network, images):
    inputs = keras.Input((None, None, 3))
    layer = keras.layers.Conv2D(5, 3, padding="same", activation="relu", name="first")
    free = keras.Model(inputs, layer(inputs))
    layer.set_weights(network.get_layer("first").get_weights())
    found = correlation_statistics(free, "first", images, radius=1)["first"]
    expected = correlation_statistics(network, "first", images, radius=1)["first"]
    assert found.map_size == expected.map_size
    for offset in expected.offsets:
        np.testing.assert_array_equal(found.correlation(offset), expected.correlation(offset))
    with pytest.raises(ValueError, match="maps of one size; Received: first, of .* begins with image 4, of"):
        correlation_statistics(free, "first", [images[:4], images[:4, :8]])


def test_no_images_and_no_such_offset(network, images):
    with pytest.raises(ValueError, match="expected images; Received: none"):
        correlation_statistics(network, "first", images[:0])
    with pytest.raises(ValueError, match=r"within the radius that was asked for.*Received: \(0, 2\)"):
        correlation_statistics(network, "first", images, radius=1)["first"].correlation((0, 2))


def test_no_layer_no_batch_and_an_empty_batch(network, images):
    for options in ({"radius": -1}, {"positions": 0}, {"positions": -3}):
        with pytest.raises(ValueError, match="a radius of 0 or more, and a place or more; Received: radius="):
            correlation_statistics(network, "first", images, **options)
    for options in ({"layers": []}, {"layers": "first", "batch_size": 0}):
        with pytest.raises(ValueError, match="a layer or more, and a positive batch_size; Received: layers="):
            correlation_statistics(network, dataset=images, **options)
    found = correlation_statistics(network, "first", [images[:0], images, images[:0]])["first"]
    expected = correlation_statistics(network, "first", [images])["first"]
    np.testing.assert_array_equal(found.correlation(), expected.correlation())


def test_blas_has_as_many_threads_as_before(network, images):
    from threadpoolctl import threadpool_info, threadpool_limits

    with threadpool_limits(3, user_api="blas"):
        before = threadpool_info()
        correlation_statistics(network, ["first", "second"], images, radius=1)
        assert threadpool_info() == before


def test_calls_run_beside_each_other():
    from threadpoolctl import threadpool_limits

    barrier = threading.Barrier(2, timeout=30)  # one alone would wait in vain
    with threadpool_limits(2, user_api="blas"), _Parallel() as parallel:
        parallel([barrier.wait, barrier.wait])
        with pytest.raises(ValueError, match="of a call"):
            parallel([lambda: None, lambda: int("of a call")])


def test_a_progress_bar_when_it_is_asked_for(network, images, capsys):
    correlation_statistics(network, "first", images, batch_size=8, progress=True)
    assert "23/23" in capsys.readouterr().err
    correlation_statistics(network, "first", images, batch_size=8)
    assert not capsys.readouterr().err  # no terminal
