"""Section 3 of the paper: a topology built from correlation statistics, layer by layer."""

from keras_inception.topology.clustering import UnitCluster as UnitCluster
from keras_inception.topology.clustering import cluster_units as cluster_units
from keras_inception.topology.correlation import LayerStatistics as LayerStatistics
from keras_inception.topology.correlation import correlation_statistics as correlation_statistics
from keras_inception.topology.design import design_module as design_module
from keras_inception.topology.growth import grow as grow
