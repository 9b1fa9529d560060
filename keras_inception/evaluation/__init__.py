"""Evaluation as in section 7 of the paper: crops, ensembles, and what they get right."""

from keras_inception.evaluation.crops import PROTOCOLS as PROTOCOLS
from keras_inception.evaluation.crops import Protocol as Protocol
from keras_inception.evaluation.crops import cut_crops as cut_crops
from keras_inception.evaluation.evaluate import evaluate as evaluate
from keras_inception.evaluation.report import Evaluation as Evaluation
