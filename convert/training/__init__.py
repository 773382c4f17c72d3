"""Training with FairMOT's losses, on pictures with people's boxes."""

from edge_fairmot.convert.training.judgement import Judgement, judge
from edge_fairmot.convert.training.labelled import LabelledPicture, LabelledSet
from edge_fairmot.convert.training.training import Training, TrainingOptions

__all__ = [
    "Judgement",
    "LabelledPicture",
    "LabelledSet",
    "Training",
    "TrainingOptions",
    "judge",
]
