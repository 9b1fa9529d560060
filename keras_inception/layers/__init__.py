"""The building blocks of the paper as Keras layers and as functions that add named Keras layers."""

from keras_inception.layers.batch_normalization import FusedBatchNormalization as FusedBatchNormalization
from keras_inception.layers.gabor import GaborFilterBank as GaborFilterBank
from keras_inception.layers.inception import BATCH_NORM_STYLE as BATCH_NORM_STYLE
from keras_inception.layers.inception import PAPER_STYLE as PAPER_STYLE
from keras_inception.layers.inception import ConvStyle as ConvStyle
from keras_inception.layers.inception import InceptionWidths as InceptionWidths
from keras_inception.layers.inception import conv_unit as conv_unit
from keras_inception.layers.inception import inception_module as inception_module
from keras_inception.layers.inception import naive_inception_module as naive_inception_module
from keras_inception.layers.local_response_normalization import LocalResponseNormalization as LocalResponseNormalization
from keras_inception.layers.pixels import Pixels as Pixels
from keras_inception.layers.pooling import CeilAveragePooling2D as CeilAveragePooling2D
from keras_inception.layers.pooling import ceil_max_pooling as ceil_max_pooling
