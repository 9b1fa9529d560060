"""Section 8 of the paper: where objects may be, what is seen there, and how well both are done."""

from keras_inception.detection.annotations import AnnotatedPhoto as AnnotatedPhoto
from keras_inception.detection.annotations import AnnotatedPhotos as AnnotatedPhotos
from keras_inception.detection.annotations import read_annotated as read_annotated
from keras_inception.detection.average_precision import average_precision as average_precision
from keras_inception.detection.box_regression import BoxRegression as BoxRegression
from keras_inception.detection.multibox import MultiBox as MultiBox
from keras_inception.detection.multibox import MultiBoxLoss as MultiBoxLoss
from keras_inception.detection.multibox import MultiBoxProposals as MultiBoxProposals
from keras_inception.detection.multibox import cluster_priors as cluster_priors
from keras_inception.detection.objects import Detections as Detections
from keras_inception.detection.objects import Objects as Objects
from keras_inception.detection.rcnn import RCNN as RCNN
from keras_inception.detection.scoring import MapScorer as MapScorer
from keras_inception.detection.scoring import RegionScorer as RegionScorer
from keras_inception.detection.selective_search import SelectiveSearch as SelectiveSearch
from keras_inception.detection.selective_search import selective_search as selective_search
