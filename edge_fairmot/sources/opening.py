"""Which source a path or an address means."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

from edge_fairmot.benchmarks.street import SPEC_PREFIX, parse_street
from edge_fairmot.benchmarks.street.source import SyntheticSource
from edge_fairmot.errors import SourceError
from edge_fairmot.sources.address import is_network_address, without_secrets
from edge_fairmot.sources.gstreamer import GSTREAMER_PREFIX, GStreamerSource, pipeline_name
from edge_fairmot.sources.images import SEQINFO_NAME, ImageFolderSource, SequenceSource, is_picture
from edge_fairmot.sources.network import NetworkOptions, NetworkSource
from edge_fairmot.sources.picamera import PICAMERA_PREFIX, PicameraSource, parse_picamera
from edge_fairmot.sources.v4l2 import DEVICE_PREFIX, DeviceSource, parse_device
from edge_fairmot.sources.video import VideoSource

ACCEPTED = (
    "a video file, a folder of pictures, a MOTChallenge sequence (a folder with seqinfo.ini), "
    "synthetic: (a street that needs no file), or a camera: picamera2:, /dev/video0, rtsp://..., http://... "
    "or gstreamer:..."
)

AnySource: TypeAlias = (
    VideoSource
    | ImageFolderSource
    | SequenceSource
    | SyntheticSource
    | PicameraSource
    | DeviceSource
    | NetworkSource
    | GStreamerSource
)


def is_camera(spec: str) -> bool:
    """Whether it means a camera, which may go and come back, and not a file."""
    return is_network_address(spec) or spec.startswith((PICAMERA_PREFIX, GSTREAMER_PREFIX, DEVICE_PREFIX))


def shown_name(spec: str) -> str:
    """Give a source's name as it may be shown, logged and written to files: without passwords."""
    return pipeline_name(spec) if spec.startswith(GSTREAMER_PREFIX) else without_secrets(spec)


def open_source(spec: str | Path, network: NetworkOptions | None = None) -> AnySource:
    """Open what a path points to, a camera, or the street that ``synthetic:`` describes.

    Parameters
    ----------
    spec : str or Path
        A video file, a folder of pictures, a folder with ``seqinfo.ini``;
        ``synthetic:`` with the options of :class:`edge_fairmot.benchmarks.street.StreetOptions`, as in
        ``synthetic:seed=3,frames=600,size=1280x720``; ``picamera2:`` with those of
        :class:`edge_fairmot.sources.PicameraOptions`; ``/dev/video0?size=1280x720&fps=30``;
        ``rtsp://camera/stream?transport=udp``, ``http://camera/video``; ``gstreamer:`` and a pipeline.
    network : NetworkOptions, optional
        For an address.

    Returns
    -------
    Source
        A context manager, to be closed after use. A camera's ends where the camera is lost: see
        :class:`edge_fairmot.sources.ReconnectingSource`.

    Raises
    ------
    SourceError
        If it is something else, not there, or unreadable.
    InvalidInputError
        If an option is unknown or out of range.
    MissingDependencyError
        If the package that reads it is not installed.
    """
    text = str(spec)
    if is_camera(text):
        return _open_camera(text, network)
    if text.startswith(SPEC_PREFIX):
        return SyntheticSource(parse_street(text))
    return _open_path(Path(spec), text)


def open_pictures(spec: str | Path) -> AnySource:
    """Open a source whose pictures are looked at one by one; those of a folder may be of many sizes.

    Parameters
    ----------
    spec : str or Path
        As for :func:`open_source`, and raises as it does.
    """
    folder = Path(spec)
    if folder.is_dir() and not (folder / SEQINFO_NAME).exists():
        return ImageFolderSource(folder, same_size=False)
    return open_source(spec)


def _open_camera(spec: str, network: NetworkOptions | None) -> AnySource:
    if spec.startswith(PICAMERA_PREFIX):
        return PicameraSource(parse_picamera(spec))
    if spec.startswith(GSTREAMER_PREFIX):
        return GStreamerSource(spec)
    if spec.startswith(DEVICE_PREFIX):
        return DeviceSource(*parse_device(spec))
    return NetworkSource(spec, network)


def _open_path(path: Path, spec: str) -> AnySource:
    if not spec:
        raise SourceError(f"the source is empty: give {ACCEPTED}")
    if "://" in spec:
        raise SourceError(f"{without_secrets(spec)} is an address, which is not supported: give {ACCEPTED}")
    if not path.exists():
        raise SourceError(f"{spec} does not exist: give {ACCEPTED}")
    if path.is_dir():
        return SequenceSource(path) if (path / SEQINFO_NAME).exists() else ImageFolderSource(path)
    if not path.is_file():
        raise SourceError(f"{spec} is a device, which is not supported: give {ACCEPTED}")
    if is_picture(path):
        raise SourceError(f"{spec} is a single picture: give the folder that holds it, {path.parent}")
    return VideoSource(path)
