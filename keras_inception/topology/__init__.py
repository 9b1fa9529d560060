"""Section 3 of the paper: a topology built from correlation statistics, layer by layer."""

from keras_inception.topology.correlation import LayerStatistics as LayerStatistics
from keras_inception.topology.correlation import correlation_statistics as correlation_statistics
