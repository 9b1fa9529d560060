"""Where the channels stand: the two layouts of the Keras configuration."""

import keras


def channel_axis() -> int:
    """The axis of the channels in a batch, -1 or 1."""
    return -1 if keras.config.image_data_format() == "channels_last" else 1


def spatial_shape(x) -> tuple:
    """Height and width of a batch of maps; None where unknown."""
    return tuple(x.shape[1:3]) if channel_axis() == -1 else tuple(x.shape[2:4])
