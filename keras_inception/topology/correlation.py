"""Which units of a layer fire together: correlations of activations, also at a distance, in one pass over the data."""

import concurrent.futures
import dataclasses
import functools
import logging
import os
import sys

import keras
import numpy as np

from keras_inception.features import resolve
from keras_inception.topology.extra import of_the_extra
from keras_inception.topology.moments import Moments

logger = logging.getLogger(__name__)

Offset = tuple[int, int]


@dataclasses.dataclass(frozen=True)
class LayerStatistics:
    """What is known of the activations of one layer.

    Args:
        layer: its name.
        map_size: height and width of its map.
        images: how many were seen.
        positions: how many places of the map were looked at, at an offset other than (0, 0).
        moments: by offset, rows down and columns to the right; of two opposite ones, one.
    """

    layer: str
    map_size: tuple[int, int]
    images: int
    positions: int
    moments: dict[Offset, Moments]

    @property
    def units(self) -> int:
        """Channels of the layer."""
        return len(self.mean)

    @property
    def mean(self) -> np.ndarray:
        """Of each channel, float64 (channels,)."""
        return self.moments[0, 0].mean_a

    @property
    def covariance(self) -> np.ndarray:
        """Of the channels at one place, float64 (channels, channels)."""
        found = self.moments[0, 0]
        return found.products / found.count

    @property
    def constant(self) -> np.ndarray:
        """The channels that never change, such as those whose ReLU never opens."""
        return np.flatnonzero(~_varies(self.moments[0, 0].squares_a, self.mean, self.moments[0, 0].count))

    @property
    def offsets(self) -> list[Offset]:
        """The offsets at which correlations are known, (0, 0) first, then by distance."""
        known = {*self.moments, *((-rows, -columns) for rows, columns in self.moments)}
        return sorted(known, key=lambda offset: (np.hypot(*offset), offset))

    def correlation(self, offset: Offset = (0, 0)) -> np.ndarray:
        """Pearson's correlation of every channel at a place with every channel at an offset from it.

        Args:
            offset: rows down and columns to the right.

        Returns:
            float64 (channels, channels), [i, j] of channel i at the place, and j at the offset. A channel that never
            changes has a correlation of 0 with all.

        Raises:
            ValueError: nothing is known of the offset.
        """
        found = self._found(offset)
        products, ends = found.products, ((found.squares_a, found.mean_a), (found.squares_b, found.mean_b))
        if tuple(offset) not in self.moments:
            products, ends = products.T, ends[::-1]
        scale = np.sqrt(np.outer(ends[0][0], ends[1][0]))
        steady = ~np.outer(*(_varies(squares, mean, found.count) for squares, mean in ends))
        scale[steady] = 1
        result = np.where(steady, 0, products / scale)
        return np.clip(result, -1, 1)

    def count(self, offset: Offset = (0, 0)) -> int:
        """Pairs of places, over all images, that the correlation at an offset is of.

        Args:
            offset: rows down and columns to the right.

        Raises:
            ValueError: nothing is known of the offset.
        """
        return self._found(offset).count

    def _found(self, offset) -> Moments:
        rows, columns = offset
        found = self.moments.get((rows, columns)) or self.moments.get((-rows, -columns))
        if found is None:
            raise ValueError(
                f"expected an offset within the radius that was asked for, one of {self.offsets}; Received: {offset}"
            )
        return found


def _varies(squares, mean, count) -> np.ndarray:
    """Whether a channel's deviation is more than what float32 makes of a constant."""
    return np.sqrt(squares / count) > 1e-6 * np.abs(mean)


def _pairs(positions, offset: Offset, map_size) -> tuple[np.ndarray, np.ndarray]:
    """The places, and those at the offset from them, as indices, where both are on the map."""
    height, width = map_size
    rows, columns = np.divmod(positions, width)
    other_rows, other_columns = rows + offset[0], columns + offset[1]
    inside = (other_rows >= 0) & (other_rows < height) & (other_columns >= 0) & (other_columns < width)
    return positions[inside].astype("int32"), (other_rows * width + other_columns)[inside].astype("int32")


def half_plane(radius: int) -> list[Offset]:
    """Every offset up to a radius in rows and columns, but of two opposite ones only one; (0, 0) first."""
    span = range(-radius, radius + 1)
    return [(0, 0)] + [(r, c) for r in span for c in span if (r, c) > (0, 0)]


def correlation_statistics(
    model, layers, dataset, *, radius=0, positions=64, batch_size=64, seed=0, total=None, progress=None
) -> dict[str, LayerStatistics]:
    """How the units of layers correlate, in one pass over the data, in memory that does not grow with it.

    ```python
    statistics = correlation_statistics(model, ["inception_3a_output", "inception_3b_output"], images, radius=2)
    statistics["inception_3a_output"].correlation()        # (256, 256)
    statistics["inception_3a_output"].correlation((0, 2))  # with what is two places to the right
    ```

    Args:
        model: a Keras model of one input.
        layers: names of layers, or what Caffe, TF-slim, torchvision or Lucid call them; of which the output has rank 4.
        dataset: an array of images, as the model takes them, (n, height, width, channels); or an iterable of batches,
            such as a `tf.data.Dataset`: images, or tuples that begin with them.
        radius: offsets up to so many rows and columns; 0 for none but a place with itself, over the whole map.
        positions: places of the map from which offsets begin, drawn once and the same for all images; all where the
            map has no more.
        batch_size: of an array.
        seed: of the positions.
        total: images in the data set, for the progress bar.
        progress: whether a progress bar is shown; None: in a terminal.

    Returns:
        `LayerStatistics` by the names as they were asked for.

    Raises:
        ImportError: threadpoolctl is not installed; the message says what to install.
        ValueError: a layer that is not in the model, or has no map, or no layer at all; no images, or of several sizes;
            a pixel, a weight or an activation that is no number (but for what overflows below a ReLU, of which
            TensorFlow's makes 0); a number that is not what it can be.
    """
    from huggingface_hub.utils import tqdm

    layers = [layers] if isinstance(layers, str) else list(layers)
    if not layers or (hasattr(dataset, "shape") and batch_size < 1):
        raise ValueError(
            f"expected a layer or more, and a positive batch_size; Received: layers={layers}, batch_size={batch_size}"
        )
    if radius < 0 or positions < 1:
        raise ValueError(
            f"expected a radius of 0 or more, and a place or more; Received: radius={radius}, positions={positions}"
        )
    found = {name: model.get_layer(resolve(model, name)).output for name in layers}
    for name, tensor in found.items():
        if len(getattr(tensor, "shape", ())) != 4:
            shape = getattr(tensor, "shape", None)
            raise ValueError(f"expected a layer whose output is a map; Received: {name}, of shape {shape}")
    network = keras.Model(model.input, found)
    # Before activations: TensorFlow's ReLU makes 0 of NaN.
    for variable in network.variables:
        if not _finite(keras.ops.convert_to_numpy(variable)):
            raise ValueError(f"expected weights that are finite numbers; Received: NaN or infinity in {variable.path}")
    forward = _forward(network)
    rng = np.random.default_rng(seed)
    sums = {name: _LayerSums(name, radius, positions, rng) for name in found}
    images = 0
    total = len(dataset) if total is None and hasattr(dataset, "shape") else total
    disable = not (sys.stderr.isatty() if progress is None else progress)
    with tqdm(total=total, unit=" images", file=sys.stderr, disable=disable) as bar, _Parallel() as parallel:
        for batch in _batches(dataset, batch_size):
            if not _finite(batch):
                raise ValueError(
                    "expected pixels that are finite numbers; Received: NaN or infinity in the batch that begins with "
                    f"image {images}"
                )
            maps = {name: _channels_last(np.asarray(value, "float32")) for name, value in forward(batch).items()}
            parallel([call for name, value in maps.items() for call in sums[name].calls(value, images)])
            del maps  # before there are those of the next batch
            images += len(batch)
            bar.update(len(batch))
    if not images:
        raise ValueError("expected images; Received: none")
    return {name: some.finish(images) for name, some in sums.items()}


def _forward(network):
    """A function from a batch of images to arrays, which are not to be written to, by the names of outputs."""
    if keras.backend.backend() != "tensorflow":
        return network.predict_on_batch
    import tensorflow as tf

    # Keras copies what it returns, and the maps of a batch may be hundreds of MB.
    @tf.function(reduce_retracing=True)
    def maps(images):
        return {name: tf.cast(value, tf.float32) for name, value in network(images, training=False).items()}

    return lambda images: {name: np.asarray(memoryview(value)) for name, value in maps(images).items()}


class _Parallel:
    """Runs calls that are independent of each other, and spend their time in BLAS, on as many cores as that has.

    BLAS' own threads wait for each other at each product, and many are too small to share. So each call has a thread,
    and BLAS one or a few in each. That is a setting of the process: of two at a time the second to end leaves BLAS with
    what the first had set.

    Raises:
        ImportError: threadpoolctl is not installed; the message says what to install.
    """

    def __init__(self):
        with of_the_extra("threadpoolctl"):
            from threadpoolctl import ThreadpoolController
        self._blas = ThreadpoolController().select(user_api="blas")
        known = [library.num_threads for library in self._blas.lib_controllers]
        self._threads = max(known, default=os.cpu_count() or 1)

    def __enter__(self):
        self._pool = concurrent.futures.ThreadPoolExecutor(self._threads)
        return self

    def __exit__(self, *_):
        self._pool.shutdown()

    def __call__(self, calls) -> None:
        """Returns when all are done, or raises what the first of those that failed has raised."""
        with self._blas.limit(limits=max(1, self._threads // len(calls))):
            for _ in self._pool.map(lambda call: call(), calls):
                pass


class _LayerSums:
    """What is summed up of one layer, whose map's size is known from the first batch on: a model may take any."""

    def __init__(self, name, radius, positions, rng):
        self._name, self._radius, self._positions, self._rng = name, radius, positions, rng
        self._size = None

    def calls(self, maps, images: int) -> list:
        """Calls, independent of each other, that merge a batch's maps, (n, height, width, channels)."""
        size, channels = maps.shape[1:3], maps.shape[-1]
        if self._size is None:
            self._size = size
            self._places = np.sort(self._rng.permutation(size[0] * size[1])[: self._positions])
            pairs = {offset: _pairs(self._places, offset, size) for offset in half_plane(self._radius)[1:]}
            self._pairs = {offset: ends for offset, ends in pairs.items() if len(ends[0])}
            self._moments = {offset: Moments(channels) for offset in [(0, 0), *self._pairs]}
        elif self._size != size:
            raise ValueError(
                f"expected maps of one size; Received: {self._name}, of {self._size} and, in the batch that begins "
                f"with image {images}, of {size}"
            )
        maps = maps.reshape(len(maps), -1, channels)
        return [functools.partial(self._add, maps, images)] + [
            functools.partial(_add_pairs, self._moments[offset], maps, *ends) for offset, ends in self._pairs.items()
        ]

    def _add(self, maps, images):
        moments = self._moments[0, 0]
        with np.errstate(invalid="ignore", over="ignore"):  # which is reported below
            rows = maps.reshape(-1, maps.shape[-1])
            moments.add(rows, rows)
        if not np.isfinite(moments.mean_a).all() or not np.isfinite(moments.products.diagonal()).all():
            raise ValueError(
                "expected activations that are finite numbers, and their squares; Received: NaN or infinity in "
                f"{self._name}, in the batch that begins with image {images}"
            )

    def finish(self, images: int) -> LayerStatistics:
        """What was found, of so many images."""
        moments = {offset: found.finish(offset == (0, 0)) for offset, found in self._moments.items()}
        result = LayerStatistics(self._name, self._size, images, len(self._places), moments)
        if len(steady := result.constant):
            logger.warning(
                "%d of %d channels of %s never change, and correlate with nothing.",
                len(steady),
                result.units,
                self._name,
            )
        return result


def _add_pairs(moments, maps, here, there) -> None:
    """Merges the places `here` of a batch's maps, (n, places, channels), with those `there`."""
    channels = maps.shape[-1]
    with np.errstate(invalid="ignore", over="ignore"):  # which is reported of all places
        moments.add(*(maps[:, at].reshape(-1, channels) for at in (here, there)))


def _finite(array) -> bool:
    return array.dtype.kind in "biu" or bool(np.isfinite(array).all())


def _channels_last(maps):
    return maps.transpose(0, 2, 3, 1) if keras.config.image_data_format() == "channels_first" else maps


def _batches(dataset, batch_size):
    """Yields arrays of images."""
    if hasattr(dataset, "shape"):
        for start in range(0, len(dataset), batch_size):
            yield np.asarray(dataset[start : start + batch_size])
        return
    for batch in dataset:
        images = batch[0] if isinstance(batch, (tuple, list)) else batch
        if len(images):
            yield keras.ops.convert_to_numpy(images)
