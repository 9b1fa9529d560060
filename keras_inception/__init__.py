"""GoogLeNet ("Going deeper with convolutions") for Keras 3, with its public pretrained weights."""

from keras_inception.checkpoints import model_spec as model_spec
from keras_inception.convert.checkpoint import CheckpointError as CheckpointError
from keras_inception.evaluation.evaluate import evaluate as evaluate
from keras_inception.features import features as features
from keras_inception.labels import decode_predictions as decode_predictions
from keras_inception.layers.inception import inception_module as inception_module
from keras_inception.layers.inception import naive_inception_module as naive_inception_module
from keras_inception.layers.local_response_normalization import LocalResponseNormalization as LocalResponseNormalization
from keras_inception.models.auxiliary import auxiliary_losses as auxiliary_losses
from keras_inception.models.auxiliary import freeze as freeze
from keras_inception.models.auxiliary import remove_aux_heads as remove_aux_heads
from keras_inception.models.googlenet import TABLE_1 as TABLE_1
from keras_inception.models.googlenet_spec import VARIANTS as VARIANTS
from keras_inception.models.googlenet_spec import GoogLeNetSpec as GoogLeNetSpec
from keras_inception.models.network_in_network import NetworkInNetworkSpec as NetworkInNetworkSpec
from keras_inception.preprocessing import Preprocessing as Preprocessing
from keras_inception.preprocessing import preprocess_input as preprocess_input
from keras_inception.pretrained import GoogLeNet as GoogLeNet
from keras_inception.pretrained import NetworkInNetwork as NetworkInNetwork
from keras_inception.publishing import from_hub as from_hub
from keras_inception.publishing import push_to_hub as push_to_hub


def __getattr__(name):
    # Importing detection takes a third of the time of all else, and few need it.
    if name == "detection":
        import importlib

        return importlib.import_module("keras_inception.detection")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
