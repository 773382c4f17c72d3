"""Which source a path means."""

from __future__ import annotations

from pathlib import Path

from edge_fairmot.errors import SourceError
from edge_fairmot.sources.image_folder import ImageFolderSource
from edge_fairmot.sources.picture import is_picture
from edge_fairmot.sources.sequence import SEQINFO_NAME, SequenceSource
from edge_fairmot.sources.synthetic import SyntheticSource
from edge_fairmot.sources.tape import TapeSource
from edge_fairmot.sources.video import VideoSource
from edge_fairmot.street import SPEC_PREFIX, parse_street
from edge_fairmot.tape import TAPE_SUFFIX

ACCEPTED = (
    "a video file, a folder of pictures, a MOTChallenge sequence (a folder with seqinfo.ini), a tape (.npz) "
    "or synthetic: (a street that needs no file)"
)


def open_source(
    spec: str | Path,
) -> VideoSource | ImageFolderSource | SequenceSource | TapeSource | SyntheticSource:
    """Open what a path points to, or the street that ``synthetic:`` describes.

    Parameters
    ----------
    spec : str or Path
        A video file, a folder of pictures, a folder with ``seqinfo.ini``, a tape (``.npz``), or
        ``synthetic:`` with the options of :class:`edge_fairmot.street.StreetOptions`, as in
        ``synthetic:seed=3,frames=600,size=1280x720``.

    Returns
    -------
    VideoSource, ImageFolderSource, SequenceSource, TapeSource or SyntheticSource
        A context manager, to be closed after use.

    Raises
    ------
    SourceError
        If it is something else, not there, or unreadable.
    TapeError
        If it is a tape that cannot be read.
    InvalidInputError
        If an option of the street is unknown or out of range.
    """
    if not str(spec):
        raise SourceError(f"the source is empty: give {ACCEPTED}")
    if str(spec).startswith(SPEC_PREFIX):
        return SyntheticSource(parse_street(str(spec)))
    path = Path(spec)
    if "://" in str(spec):
        raise SourceError(f"{spec} is an address, which is not supported: give {ACCEPTED}")
    if not path.exists():
        raise SourceError(f"{spec} does not exist: give {ACCEPTED}")
    if path.is_dir():
        return SequenceSource(path) if (path / SEQINFO_NAME).exists() else ImageFolderSource(path)
    if not path.is_file():
        raise SourceError(f"{spec} is a device, which is not supported: give {ACCEPTED}")
    if is_picture(path):
        raise SourceError(f"{spec} is a single picture: give the folder that holds it, {path.parent}")
    return TapeSource(path) if path.suffix == TAPE_SUFFIX else VideoSource(path)
