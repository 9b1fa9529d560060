"""The architectures that have weights: how each is described, built, and told from its tensors."""

import dataclasses
from collections.abc import Callable

import keras

from keras_inception.models import googlenet, network_in_network
from keras_inception.models.googlenet_spec import GoogLeNetSpec
from keras_inception.models.network_in_network import NetworkInNetworkSpec
from keras_inception.models.spec import NetworkSpec


@dataclasses.dataclass(frozen=True)
class Family:
    """What the code around weights needs to know of an architecture.

    Args:
        spec: its class of specs.
        build: spec and options to a network with fresh weights.
        weighted_layers: of a spec: the names of all layers that can have weights, without `_bn`.
        classifiers: of a spec: the layers whose outputs are the classes, the main one first, and their kernels' shapes.
        own_weights: of a spec: how many weights there are at least in what is not as wide as the variant says, but as
            the spec itself.
        first_kernel: of a spec and the channels of an image: the first layer with weights, and its inputs.
        dropout_layers: of a spec: the names of the layers whose rate is the option `dropout`.
    """

    spec: type[NetworkSpec]
    build: Callable[..., keras.Model]
    weighted_layers: Callable[[NetworkSpec], list[str]]
    classifiers: Callable[[NetworkSpec], dict[str, tuple[int, ...]]]
    own_weights: Callable[[NetworkSpec], int]
    first_kernel: Callable[[NetworkSpec, int], tuple[str, int]]
    dropout_layers: Callable[[NetworkSpec], list[str]]


_FAMILIES = (
    Family(
        GoogLeNetSpec,
        googlenet.build_googlenet,
        googlenet.weighted_layers,
        googlenet.classifiers,
        googlenet.own_weights,
        googlenet.first_kernel,
        googlenet.dropout_layers,
    ),
    Family(
        NetworkInNetworkSpec,
        network_in_network.build_network_in_network,
        network_in_network.weighted_layers,
        network_in_network.classifiers,
        network_in_network.own_weights,
        network_in_network.first_kernel,
        network_in_network.dropout_layers,
    ),
)
FAMILIES = {family.spec.ARCHITECTURE: family for family in _FAMILIES}


def parse_spec(data: dict) -> NetworkSpec:
    """The spec of `NetworkSpec.to_dict`, of whichever architecture.

    Raises:
        ValueError: an unknown architecture, or fields that its spec does not have.
    """
    architecture = data.get("architecture", GoogLeNetSpec.ARCHITECTURE)
    if not isinstance(architecture, str) or architecture not in FAMILIES:
        raise ValueError(
            f"expected an architecture, one of {', '.join(FAMILIES)}; Received: architecture={architecture!r:.100}"
        )
    return FAMILIES[architecture].spec.from_dict(data)


def family(spec: NetworkSpec) -> Family:
    """The family of a spec."""
    return FAMILIES[spec.ARCHITECTURE]


def build(spec: NetworkSpec, **options) -> keras.Model:
    """The network of a spec, with fresh weights."""
    return family(spec).build(spec, **options)
