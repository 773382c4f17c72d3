"""Where frames come from: :func:`open_source` finds the source that a path means."""

from edge_fairmot.sources.image_folder import ImageFolderSource
from edge_fairmot.sources.opening import open_source
from edge_fairmot.sources.sequence import SequenceSource
from edge_fairmot.sources.state import SourceState
from edge_fairmot.sources.synthetic import SyntheticSource
from edge_fairmot.sources.tape import TapeSource
from edge_fairmot.sources.video import VideoSource

__all__ = [
    "ImageFolderSource",
    "SequenceSource",
    "SourceState",
    "SyntheticSource",
    "TapeSource",
    "VideoSource",
    "open_source",
]
