"""What regions show: each cut out of the image, or out of maps that are computed once for all of them."""

import abc

import keras
import numpy as np

from keras_inception.detection.boxes import Mapping
from keras_inception.detection.regions import (
    CONTEXT,
    checked_context,
    checked_image,
    cut_framed,
    dilate,
    framed,
    pool_regions,
)
from keras_inception.evaluation.ensemble import Ensemble
from keras_inception.evaluation.outputs import classifier_output, is_logits
from keras_inception.layers.pixels import find_pixels

# Pixels of an image that maps are computed of, at most, whatever the scale says: their first maps have 1 GiB then.
MAX_PIXELS = 1 << 22
MAX_SCALE = 8


class Scorer(abc.ABC):
    """Classifies regions of an image.

    Args:
        model: the first classifier, as a whole.
        models: what classifies them.
        pooled: from what the first of them sees to what its last linear layer sees; None where it has no such layer.
        classes: how many, with the background.
        batch_size: regions at once.

    Raises:
        ValueError: `batch_size` is not positive.
    """

    def __init__(self, model, models, pooled, classes: int, batch_size: int):
        if batch_size < 1:
            raise ValueError(f"expected a positive batch_size; Received: batch_size={batch_size!r}")
        self.model, self.models, self.pooled = model, list(models), pooled
        self.classes, self.batch_size = classes, batch_size

    @abc.abstractmethod
    def _cutter(self, image):
        """From boxes, float32 (batch_size, 4), to what the models see of them, for an image."""

    @abc.abstractmethod
    def _begin(self, regions):
        """Begins to classify a batch: a function that waits for (n, models, classes)."""

    def __call__(self, image, boxes) -> np.ndarray:
        """The probabilities of regions, in the mean of the models.

        Args:
            image: RGB, uint8 (h, w, 3).
            boxes: (n, 4), xmin, ymin, xmax, ymax in its pixels.

        Returns:
            float64 (n, classes), the background last.

        Raises:
            ValueError: the image is not like that.
        """
        waiting, found = None, [np.zeros((0, self.classes))]
        for regions, count in self._batches(image, boxes):
            before, waiting = waiting, (self._begin(regions), count)
            found += _got(before)
        return np.concatenate(found + _got(waiting))

    def features(self, image, boxes) -> np.ndarray:
        """What the classifier of the first model sees of regions, float32 (n, features): pool5, in the paper's.

        Raises:
            ValueError: the first model has no linear layer.
        """
        if self.pooled is None:
            raise ValueError(f"expected a classifier with a linear layer; Received: {self.models[0].name!r}")
        found = [np.zeros((0, self.pooled.output_shape[-1]), np.float32)]
        for regions, count in self._batches(image, boxes):
            # An array, for other backends know no tensors of TensorFlow.
            found.append(keras.ops.convert_to_numpy(self.pooled.predict_on_batch(np.asarray(regions)))[:count])
        return np.concatenate(found)

    def regions(self, image, boxes) -> np.ndarray:
        """What the models see of regions, one or more, float32 (n, height, width, channels).

        Raises:
            ValueError: there are none.
        """
        if not len(boxes):
            raise ValueError("expected a region or more; Received: none")
        return np.concatenate([np.asarray(regions)[:count] for regions, count in self._batches(image, boxes)])

    def _batches(self, image, boxes):
        """What the models see, batch by batch, all of one size, the last filled up; and how many are regions."""
        import tensorflow as tf

        image, boxes = checked_image(image), np.asarray(boxes, np.float32).reshape(-1, 4)
        cut = self._cutter(image) if len(boxes) else None
        for start in range(0, len(boxes), self.batch_size):
            part = boxes[start : start + self.batch_size]
            filled = np.concatenate([part, np.zeros((self.batch_size - len(part), 4), np.float32)])
            yield cut(tf.constant(filled)), len(part)


def _got(batch):
    """The probabilities of a batch that was begun, in the mean of the models."""
    return [] if batch is None else [batch[0]()[: batch[1]].mean(1, dtype=np.float64)]


class RegionScorer(Scorer):
    """Classifies each region by itself, warped to the classifier's input, as R-CNN does.

    Args:
        models: a Keras model from RGB pixels 0..255 to classes, or several, whose softmax is averaged.
        context: share of a region's sides, at each, that shows what is around the box.
        batch_size: regions at once.

    Raises:
        ValueError: they are not like that.
    """

    def __init__(self, models, *, context: float = CONTEXT, batch_size: int = 64):
        self._ensemble = Ensemble(models)
        first = self._ensemble.models[0]
        pooled = _below_the_classifier(first, first.inputs)
        super().__init__(first, self._ensemble.models, pooled, self._ensemble.classes, batch_size)
        self.size, self.context = _side(self._ensemble.height_width), checked_context(context)
        # What is outside of the image is nothing to the network.
        self.fill = _mean(self.models[0])
        self._cut = None

    def _cutter(self, image):
        import tensorflow as tf

        if self._cut is None:
            signature = (tf.TensorSpec((1, None, None, 3)), tf.TensorSpec((self.batch_size, 4)))
            options = {"context": self.context, "fill": self.fill}
            cut = tf.function(lambda padded, boxes: cut_framed(padded, boxes, self.size, **options))
            self._cut = cut.get_concrete_function(*signature)
        padded = framed(tf.constant(image)[None], self.fill)
        return lambda boxes: self._cut(padded, boxes)

    def _begin(self, regions):
        return self._ensemble(regions)


class MapScorer(Scorer):
    """Classifies regions of maps, which the first layers of a classifier compute once for the whole image.

    That is many times as fast as cutting regions out of the image, and another network: a region's maps know what is
    around it, and see it at the image's resolution. So the layers above are to be trained on such regions.

    Args:
        model: a Keras model from RGB pixels 0..255 to classes, one input and one output.
        layer: the name of the last layer that sees the whole image, such as `"inception_4e_output"`.
        scale: of the image, before; one that would have more than four million pixels is made smaller.
        context: as of `RegionScorer`.
        batch_size: regions at once.

    Raises:
        ValueError: they are not like that.
    """

    def __init__(self, model, layer: str, *, scale: float = 1.0, context: float = CONTEXT, batch_size: int = 64):
        names = [each.name for each in model.layers]
        if layer not in names:
            raise ValueError(f"expected a layer of {model.name!r}; Received: layer={layer!r}")
        if not 0 < scale <= MAX_SCALE:
            raise ValueError(f"expected a scale above 0, and at most {MAX_SCALE}; Received: scale={scale}")
        maps = model.get_layer(layer).output
        sides, input_size = tuple(maps.shape[1:3]), _side(tuple(model.inputs[0].shape[1:3]))
        if len(maps.shape) != 4 or sides[0] != sides[1] or input_size % sides[0]:
            raise ValueError(f"expected a layer with square maps; Received: layer={layer!r}, with {maps.shape}")
        # Before the others, for in these its layers are called once more.
        pooled = _below_the_classifier(model, maps)
        self.layer = layer
        self.head = keras.Model(maps, classifier_output(model), name=f"{model.name}_head")
        super().__init__(model, [self.head], pooled, self.head.output_shape[-1], batch_size)
        self.trunk = at_any_size(keras.Model(model.inputs, maps, name=f"{model.name}_trunk"))
        self.scale, self.context, self.side = scale, checked_context(context), sides[0]
        self.stride = input_size // sides[0]
        self.logits = is_logits(model)
        self._see = self._cut = self._step = None

    def maps(self, image):
        """What the first layers see of an image, float32 (1, h, w, c)."""
        import tensorflow as tf

        height, width = self._scaled(image)
        # The sides are whole strides, the rest black to the network: or else maps would be shifted by parts of one.
        pad = [(-height) % self.stride, (-width) % self.stride]
        resized = tf.image.resize(tf.constant(image), (height, width), antialias=self.scale < 1)
        fill = tf.constant(_mean(self.trunk))
        pixels = tf.pad(resized - fill, [[0, pad[0]], [0, pad[1]], [0, 0]]) + fill
        if keras.backend.backend() != "tensorflow":
            return tf.constant(np.asarray(self.trunk.predict_on_batch(pixels.numpy()[None])))
        if self._see is None:
            self._see = tf.function(lambda pixels: self.trunk(pixels, training=False), reduce_retracing=True)
        return self._see(pixels[None])

    def _cutter(self, image):
        maps, ratio = self.maps(image), self._ratio(image)
        return lambda boxes: self.pool(maps, boxes * ratio)

    def _ratio(self, image):
        """Pixels of the maps in one of the image, for each side of a box."""
        scale = Mapping.resized(image.shape[:2], self._scaled(image)).scale
        return np.array(scale * 2, np.float32) / self.stride

    def _scaled(self, image):
        """The height and width that an image is brought to."""
        height, width = image.shape[:2]
        scale = min(self.scale, (MAX_PIXELS / (height * width)) ** 0.5)
        return max(1, round(height * scale)), max(1, round(width * scale))

    def pool(self, maps, boxes):
        """The regions of boxes, float32 (n, 4) in pixels of the maps: (n, side, side, c)."""
        import tensorflow as tf

        if self._cut is None:

            @tf.function(reduce_retracing=True)
            def cut(maps, boxes):
                numbers = tf.zeros(tf.shape(boxes)[:1], tf.int32)
                return pool_regions(maps, dilate(boxes, self.context), numbers, self.side)

            self._cut = cut
        return self._cut(maps, boxes)

    def _begin(self, regions):
        if keras.backend.backend() != "tensorflow":
            found = self._softmax(self.head.predict_on_batch(np.asarray(regions)))
            return lambda: np.asarray(found)[:, None]
        import tensorflow as tf

        if self._step is None:
            self._step = tf.function(lambda regions: self._softmax(self.head(regions, training=False)))
        found = self._step(regions)
        return lambda: found.numpy()[:, None]

    def _softmax(self, scores):
        return keras.ops.softmax(scores) if self.logits else scores


def at_any_size(model):
    """A model of images of one size as one of images of any size, with the same weights."""
    free = keras.models.clone_model(model, input_tensors=[keras.Input((None, None, 3))])
    free.set_weights(model.get_weights())
    return free


def _side(height_width):
    if None in height_width or height_width[0] != height_width[1]:
        raise ValueError(f"expected classifiers of square images of one size; Received: {height_width}")
    return height_width[0]


def _mean(model):
    """The colour that a network subtracts."""
    pixels = find_pixels(model)
    return (127.5,) * 3 if pixels is None or pixels.mean is None else tuple(float(value) for value in pixels.mean)


def _below_the_classifier(model, inputs):
    """From the inputs to what a model's last linear layer sees; None where it has no such layer."""
    layers = [layer for layer in model.layers if isinstance(layer, keras.layers.Dense)]
    return keras.Model(inputs, layers[-1].input) if layers else None
