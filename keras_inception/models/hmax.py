"""HMAX (Serre et al. 2007), the model of the visual cortex that the paper's filters of several sizes come from.

S1, fixed Gabor filters; C1, their maximum over neighbouring places and scales; S2, the likeness of every patch of C1 to
prototypes that were cut out of training images; C2, the largest of each prototype anywhere. Two layers, both fixed:
Inception learns all of its filters, and repeats them many layers deep (section 2).
"""

import keras
import numpy as np
from keras import ops

from keras_inception.layers.data_format import channel_axis
from keras_inception.layers.gabor import SERRE_SCALES, GaborFilterBank
from keras_inception.layers.pixels import Pixels

# Places over which C1 takes the maximum, along each axis, by band; it steps by half of that.
C1_GRIDS = (8, 10, 12, 14, 16, 18, 20, 22)
PATCH_SIZES = (4, 8, 12, 16)
BANDS = tuple(range(1, len(C1_GRIDS) + 1))


@keras.saving.register_keras_serializable(package="keras_inception")
class C1(keras.layers.Layer):
    """The maximum over the two scales of a band and over its grid of places, for every orientation.

    Args:
        grid: rows and columns of the places; the next one begins half a grid further.
        orientations: how many there are.

    Call arguments:
        inputs: S1's responses of the band, (n, height, width, 2 x orientations), the smaller scale first.

    Returns:
        (n, rows, columns, orientations). A grid that the border cuts counts too.
    """

    def __init__(self, grid, orientations=4, **kwargs):
        super().__init__(**kwargs)
        self.grid, self.orientations = grid, orientations

    def call(self, inputs):
        x = ops.maximum(inputs[..., : self.orientations], inputs[..., self.orientations :])
        options = {"padding": "same", "data_format": "channels_last"}
        return ops.max_pool(x, self.grid, self.grid // 2, **options)

    def compute_output_shape(self, input_shape):
        rows, columns = (None if n is None else -(-n // (self.grid // 2)) for n in input_shape[1:3])
        return (input_shape[0], rows, columns, self.orientations)

    def get_config(self):
        return {**super().get_config(), "grid": self.grid, "orientations": self.orientations}


@keras.saving.register_keras_serializable(package="keras_inception")
class Prototypes(keras.layers.Layer):
    """S2 and the maximum over places: how near the nearest patch of a C1 map comes to each prototype.

    Args:
        count: prototypes.
        size: rows and columns of each.
        beta: sharpness of the published tuning `exp(-beta |patch - prototype|^2)`, which for large patches vanishes
            unless it is small; None for minus the distance itself, as in the authors' released code, which falls as the
            tuning does.

    Call arguments:
        inputs: (n, rows, columns, orientations), rows and columns known.

    Returns:
        (n, count). A map that is smaller than the prototypes is filled up with zeros.
    """

    def __init__(self, count, size, beta=None, **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.count, self.size, self.beta = count, size, beta

    def build(self, input_shape):
        shape = (self.size, self.size, input_shape[-1], self.count)
        self.kernel = self.add_weight(shape=shape, name="prototypes", initializer="zeros", trainable=False)
        super().build(input_shape)

    def call(self, inputs):
        # |a - b|^2 = |a|^2 - 2 a b + |b|^2: small differences of large numbers, and so not in half precision.
        x, kernel = ops.cast(inputs, "float32"), ops.cast(self.kernel, "float32")
        lacking = [max(0, self.size - n) for n in x.shape[1:3]]
        if any(lacking):
            x = ops.pad(x, [(0, 0), *((0, n) for n in lacking), (0, 0)])
        options = {"strides": 1, "padding": "valid", "data_format": "channels_last"}
        energy = ops.conv(ops.sum(ops.square(x), -1, keepdims=True), ops.ones((self.size, self.size, 1, 1)), **options)
        squares = energy - 2 * ops.conv(x, kernel, **options) + ops.sum(ops.square(kernel), (0, 1, 2))
        nearest = ops.min(squares, axis=(1, 2))
        if self.beta is None:
            return -ops.sqrt(ops.maximum(nearest, 1e-12))  # at 0 the root has no gradient
        return ops.exp(-self.beta * ops.maximum(nearest, 0))

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.count)

    def get_config(self):
        return {**super().get_config(), "count": self.count, "size": self.size, "beta": self.beta}


def HMAX(  # noqa: N802 (a network's name, as in keras.applications)
    prototypes=1000,
    patch_sizes=PATCH_SIZES,
    bands=BANDS,
    input_shape=(128, 128, 3),
    beta=None,
    name="hmax",
) -> keras.Model:
    """HMAX, whose prototypes are still to be cut out of training images, with `imprint`.

    ```python
    model = HMAX(1000, input_shape=(128, 128, 3))
    imprint(model, images)
    features = model.predict(images)
    ```

    A linear classifier on top of it:

    ```python
    classifier = keras.Sequential([model, keras.layers.BatchNormalization(), keras.layers.Dense(10, "softmax")])
    classifier.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    classifier.fit(images, labels)
    ```

    Args:
        prototypes: of all sizes together, as many of each.
        patch_sizes: rows and columns of the prototypes, in places of C1.
        bands: which of the eight, from 1; two scales of filters each, of 7 and 9 pixels in the first to 35 and 37 in
            the last. Small images have no room for the large ones.
        input_shape: height, width and channels, 1 or 3; channels last.
        beta: of the tuning to a prototype, see `Prototypes`; None for minus the distance.
        name: the model's name.

    Returns:
        A `keras.Model` from pixels (n, height, width, channels) to (n, prototypes): C2, and nothing to train in it.

    Raises:
        ValueError: an argument is not as said.
    """
    if not bands or any(band not in BANDS for band in bands) or len(set(bands)) < len(bands):
        raise ValueError(f"expected different bands among {', '.join(map(str, BANDS))}; Received: bands={tuple(bands)}")
    if not patch_sizes or min(patch_sizes) < 1 or len(set(patch_sizes)) < len(patch_sizes):
        raise ValueError(f"expected different sizes of patches, from 1; Received: patch_sizes={tuple(patch_sizes)}")
    if prototypes < 1 or prototypes % len(patch_sizes):
        raise ValueError(
            f"expected as many prototypes of each of the sizes {tuple(patch_sizes)}; Received: prototypes={prototypes}"
        )
    if beta is not None and not 0 < beta < float("inf"):
        raise ValueError(f"expected beta to be None or above 0; Received: beta={beta}")
    if len(input_shape) != 3 or None in input_shape:
        raise ValueError(f"expected a known height, width and number of channels; Received: input_shape={input_shape}")
    if channel_axis() != -1:
        raise ValueError("expected channels_last in the Keras configuration; Received: channels_first")
    pixels = keras.Input(tuple(input_shape), name="pixels_input")
    x = Pixels(name="pixels")(pixels)
    maps = []
    for band in bands:
        sizes = [scale.size for scale in SERRE_SCALES[2 * band - 2 : 2 * band]]
        s1 = GaborFilterBank(sizes=sizes, name=f"s1_band{band}")(x)
        maps.append(C1(C1_GRIDS[band - 1], name=f"c1_band{band}")(s1))
    parts = []
    for size in patch_sizes:
        s2 = Prototypes(prototypes // len(patch_sizes), size, beta, name=f"s2_{size}x{size}")
        found = [s2(band) for band in maps]
        parts.append(found[0] if len(found) == 1 else keras.layers.Maximum(name=f"c2_{size}x{size}")(found))
    c2 = parts[0] if len(parts) == 1 else keras.layers.Concatenate(name="c2")(parts)
    model = keras.Model(pixels, c2, name=name)
    model.trainable = False
    return model


def imprint(model, images, *, seed=0, batch_size=32) -> None:
    """Cuts the prototypes of an HMAX out of images: each from a random image, band and place of C1.

    Args:
        model: an `HMAX`.
        images: pixels (n, height, width, channels).
        seed: of the choice.
        batch_size: images at a time.

    Raises:
        ValueError: there are no images, one that a prototype comes from has pixels that are no finite numbers, or no
            band's map has room for a prototype.
    """
    bands = [layer.output for layer in model.layers if isinstance(layer, C1)]
    layers = [layer for layer in model.layers if isinstance(layer, Prototypes)]
    if not len(images) or not layers:
        raise ValueError(f"expected an HMAX and images; Received: {model.name}, {len(images)} images")
    rng = np.random.default_rng(seed)
    c1 = keras.Model(model.input, {f"band{number}": band for number, band in enumerate(bands)})
    chosen = {layer.name: rng.integers(0, len(images), layer.count) for layer in layers}
    # Where in it, as shares of what there is: of bands, rows and columns.
    where = {layer.name: rng.random((layer.count, 3)) for layer in layers}
    kernels = {layer.name: np.zeros(layer.kernel.shape, "float32") for layer in layers}
    wanted = np.unique(np.concatenate(list(chosen.values())))
    for start in range(0, len(wanted), batch_size):
        some = wanted[start : start + batch_size]
        pixels = np.stack([images[i] for i in some])
        if not (finite := np.isfinite(pixels.reshape(len(some), -1)).all(1)).all():
            raise ValueError(f"expected pixels that are finite numbers; Received: image {some[~finite][0]}")
        found = [np.asarray(part) for part in c1.predict_on_batch(pixels).values()]
        for layer in layers:
            size = layer.size
            room = [part for part in found if min(part.shape[1:3]) >= size]
            if not room:
                raise ValueError(
                    f"expected images that have room for prototypes of {size} x {size} places; Received: C1 maps of "
                    f"{', '.join('x'.join(map(str, part.shape[1:3])) for part in found)}"
                )
            for position, image in enumerate(some):
                for number in np.flatnonzero(chosen[layer.name] == image):
                    band, *corner = where[layer.name][number]
                    part = room[int(band * len(room))]
                    row, column = (int(u * (n - size + 1)) for u, n in zip(corner, part.shape[1:3], strict=True))
                    kernels[layer.name][..., number] = part[position, row : row + size, column : column + size]
    for layer in layers:
        layer.kernel.assign(kernels[layer.name])
