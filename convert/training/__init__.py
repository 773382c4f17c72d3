"""Training with FairMOT's losses, on pictures with people's boxes."""

from edge_fairmot.convert.training.judgement import (
    WORKING_THRESHOLD,
    Judgement,
    judge,
    with_working_threshold,
)
from edge_fairmot.convert.training.labelled import LabelledPicture, LabelledSet
from edge_fairmot.convert.training.memory import Memory
from edge_fairmot.convert.training.training import Training, TrainingOptions

__all__ = [
    "WORKING_THRESHOLD",
    "Judgement",
    "LabelledPicture",
    "LabelledSet",
    "Memory",
    "Training",
    "TrainingOptions",
    "judge",
    "with_working_threshold",
]
