"""Which source a path or an address means."""

from __future__ import annotations

import importlib.metadata
import re
from functools import cache
from pathlib import Path

from edge_fairmot.errors import InvalidInputError, SourceError
from edge_fairmot.sources.address import is_network_address, redact
from edge_fairmot.sources.av import VideoSource
from edge_fairmot.sources.base import OpenedSource, SourceOptions
from edge_fairmot.sources.gstreamer import GSTREAMER_PREFIX, GStreamerSource, pipeline_name
from edge_fairmot.sources.images import ImageFolderSource, SequenceSource, find_sequence, is_image
from edge_fairmot.sources.network import NetworkOptions, NetworkSource
from edge_fairmot.sources.picamera import PICAMERA_PREFIX, PicameraSource, parse_picamera
from edge_fairmot.sources.v4l2 import DEVICE_PREFIX, DeviceSource, parse_device

ENTRY_POINT_GROUP = "edge_fairmot.sources"
"""Sources of other packages. The name of an entry point is the part of an address before the colon, as in
``synthetic:seed=3``. Its value is called with the address and returns a source that is a context manager."""

ACCEPTED = (
    "a video file, a folder of images, a MOTChallenge sequence (a folder with seqinfo.ini), "
    "synthetic: (a street that needs no file), or a camera: picamera2:, /dev/video0, rtsp://..., http://... "
    "or gstreamer:..."
)


def is_camera(spec: str) -> bool:
    """Return whether this is a camera, which may be lost and return, and not a file."""
    return is_network_address(spec) or spec.startswith((PICAMERA_PREFIX, GSTREAMER_PREFIX, DEVICE_PREFIX))


def redacted_name(spec: str) -> str:
    """Return a name of a source without passwords, to be shown, logged and written to files."""
    return pipeline_name(spec) if spec.startswith(GSTREAMER_PREFIX) else redact(spec)


def find_entry_point(spec: str) -> importlib.metadata.EntryPoint | None:
    """Find the entry point that opens an address; None where there is none."""
    scheme = re.match(r"[A-Za-z][A-Za-z0-9+.-]*(?=:)", spec)
    return _entry_points().get(scheme[0]) if scheme else None


@cache
def _entry_points() -> dict[str, importlib.metadata.EntryPoint]:
    return {point.name: point for point in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP)}


def open_source(
    spec: str | Path, options: SourceOptions | None = None, *, network: NetworkOptions | None = None
) -> OpenedSource:
    """Open a file or a folder, a camera, or a source of another package.

    Parameters
    ----------
    spec : str or Path
        A video file, a folder of images, a folder with ``seqinfo.ini``;
        ``picamera2:size=1280x720,fps=30,lores=704x396,flip=hv,lens=auto,camera=0`` with any of the options;
        ``/dev/video0?size=1280x720&fps=30``; ``rtsp://camera/stream?transport=udp``, ``http://camera/video``;
        ``gstreamer:`` and a pipeline; ``synthetic:`` with the options of the street, as in
        ``synthetic:seed=3,frames=600,size=1280x720``.
    options : SourceOptions, optional
        For a file or a folder.
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
    point = find_entry_point(text)
    if point is None and not is_camera(text):
        return _open_path(Path(spec), text, options or SourceOptions())
    if options not in (None, SourceOptions()):
        raise InvalidInputError(
            f"{redacted_name(text)} is no file or folder: rate and part are given for those; leave them out"
        )
    if point is not None:
        opened: OpenedSource = point.load()(text)
        return opened
    return _open_camera(text, network)


def open_images(spec: str | Path, options: SourceOptions | None = None) -> OpenedSource:
    """Open a source of single images: those of a folder may differ in size.

    Parameters
    ----------
    spec : str or Path
    options : SourceOptions, optional
        As for :func:`open_source`, and raises as it does.
    """
    folder = Path(spec)
    if folder.is_dir() and find_sequence(folder) is None:
        return ImageFolderSource(folder, options, same_size=False)
    return open_source(spec, options)


def _open_camera(spec: str, network: NetworkOptions | None) -> OpenedSource:
    if spec.startswith(PICAMERA_PREFIX):
        return PicameraSource(parse_picamera(spec))
    if spec.startswith(GSTREAMER_PREFIX):
        return GStreamerSource(spec)
    if spec.startswith(DEVICE_PREFIX):
        return DeviceSource(*parse_device(spec))
    return NetworkSource(spec, network)


def _open_path(path: Path, spec: str, options: SourceOptions) -> OpenedSource:
    if not spec:
        raise SourceError(f"the source is empty: give {ACCEPTED}")
    if "://" in spec:
        raise SourceError(f"{redact(spec)} is an address, which is not supported: give {ACCEPTED}")
    if not path.exists():
        raise SourceError(f"{redact(spec)} does not exist: give {ACCEPTED}")
    if path.is_dir():
        return (
            ImageFolderSource(path, options) if find_sequence(path) is None else SequenceSource(path, options)
        )
    if not path.is_file():
        raise SourceError(f"{spec} is a device, which is not supported: give {ACCEPTED}")
    if is_image(path):
        raise SourceError(f"{spec} is a single image: give the folder that holds it, {path.parent}")
    return VideoSource(path, options)
