"""The settings of ``track`` and ``live``: a TOML file, ``--set``, and flags, in rising precedence.

A table of the file is a dataclass of the library; where the command line needs a key of its own, a subclass
adds it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from edge_fairmot.bundled import choose_model
from edge_fairmot.cli.config_file import Document, build, read_document
from edge_fairmot.counting import CountingConfig, Line, Zone, parse_line, parse_zone
from edge_fairmot.errors import InvalidInputError
from edge_fairmot.runtimes import RuntimeOptions
from edge_fairmot.schedule import DetectionSchedule
from edge_fairmot.service.history import HistoryConfig
from edge_fairmot.service.mqtt import MqttConfig
from edge_fairmot.service.recording import RecordingConfig
from edge_fairmot.service.web import WebConfig
from edge_fairmot.sources import NetworkOptions, ReconnectConfig, SourceOptions
from edge_fairmot.tracking import PRESETS, TrackerConfig, preset_settings

LEVELS = ("debug", "info", "warning", "error")
CAMERA_MOTIONS = ("off", "sparse")


@dataclass(frozen=True, slots=True)
class RuntimeTable(RuntimeOptions):
    """The runtime and its options.

    Attributes
    ----------
    name : str
        Runtime and device, as in ``openvino:GPU``; ``edge-fairmot runtimes`` lists them. ``auto`` is OpenVINO
        on x86-64 processors where it is installed, and ``cpu`` elsewhere.
    integrity_check : bool
        Compare the model file with the hash in its certificate before it runs.
    """

    name: str = "auto"
    integrity_check: bool = True

    @property
    def options(self) -> RuntimeOptions:
        """The options without what is added here."""
        return RuntimeOptions(**{one.name: getattr(self, one.name) for one in fields(RuntimeOptions)})


@dataclass(frozen=True, slots=True)
class CameraTable(ReconnectConfig):
    """The camera: how it is opened, and when it counts as lost.

    Attributes
    ----------
    transport : str
        Transport of RTSP, ``tcp`` or ``udp``; ``?transport=`` in the address overrides it.
    open_timeout_s : float
        How long opening a network camera may take.
    """

    transport: str = NetworkOptions().transport
    open_timeout_s: float = NetworkOptions().open_timeout_s

    def __post_init__(self) -> None:
        ReconnectConfig.__post_init__(self)
        _ = self.network  # checks its ranges

    @property
    def network(self) -> NetworkOptions:
        """How a network camera is read: a read that takes as long as a stall is one."""
        return NetworkOptions(self.transport, self.open_timeout_s, self.stall_s)


@dataclass(frozen=True, slots=True)
class OutputTable:
    """Files that ``live`` writes.

    Attributes
    ----------
    summary : Path or None
        The summary of the run, JSON.
    """

    summary: Path | None = None


@dataclass(frozen=True, slots=True)
class TrackerTable(TrackerConfig):
    """The tracker.

    Attributes
    ----------
    preset : str
        ``fairmot``, ``bytetrack`` for people who hide one another, ``low-fps`` for 1 to 5 frames per second.
        The other keys of this table win over it.
    camera_motion : str
        ``off``, or ``sparse`` for a camera that moves: its motion is estimated from corners of the images.
    """

    preset: str = "fairmot"
    camera_motion: str = "off"

    def __post_init__(self) -> None:
        TrackerConfig.__post_init__(self)
        if self.preset not in PRESETS:
            raise InvalidInputError(f"preset must be one of {', '.join(PRESETS)}, not {self.preset!r}")
        if self.camera_motion not in CAMERA_MOTIONS:
            raise InvalidInputError(
                f"camera_motion must be one of {', '.join(CAMERA_MOTIONS)}, not {self.camera_motion!r}"
            )


@dataclass(frozen=True, slots=True)
class WebTable(WebConfig):
    """The page.

    Attributes
    ----------
    serve : bool
        Serve the page.
    """

    serve: bool = False


@dataclass(frozen=True, slots=True)
class LogConfig:
    """What ``live`` logs.

    Attributes
    ----------
    level : str
        The lowest level that is logged: ``debug``, ``info``, ``warning`` or ``error``.
    format : str
        ``text``, or ``json`` for one JSON object per line.
    every_s : float
        How often speed and counts are logged; 0 never.
    """

    level: str = "info"
    format: str = "text"
    every_s: float = 60.0

    def __post_init__(self) -> None:
        for name, allowed in (("level", LEVELS), ("format", ("text", "json"))):
            if getattr(self, name) not in allowed:
                raise InvalidInputError(
                    f"{name} must be one of {', '.join(allowed)}, not {getattr(self, name)!r}"
                )
        if not 0 <= self.every_s <= 86400:
            raise InvalidInputError(f"every_s must be between 0 and 86400, not {self.every_s:g}")


@dataclass(frozen=True, slots=True)
class RunConfig:
    """All settings of a run.

    Attributes
    ----------
    source : str
        Video, image folder, MOTChallenge sequence, camera address, or ``synthetic:``.
    stall_after_s : float
        A detector, a decoder or an output that takes longer is reported as stalled.
    model : Path or None
        ONNX file made by ``edge-fairmot convert``; the bundled one when not given.
    line, zone, ignore : tuple
        Counted lines and zones, and ignored zones, in shares of the image's width and height.
    """

    source: str = ""
    model: Path | None = None
    stall_after_s: float = 30.0
    output: OutputTable = OutputTable()
    runtime: RuntimeTable = RuntimeTable()
    input: SourceOptions = field(default_factory=SourceOptions)
    camera: CameraTable = CameraTable()
    tracker: TrackerTable = TrackerTable()
    schedule: DetectionSchedule = field(default_factory=DetectionSchedule)
    counting: CountingConfig = field(default_factory=CountingConfig)
    line: tuple[Line, ...] = ()
    zone: tuple[Zone, ...] = ()
    ignore: tuple[Zone, ...] = ()
    web: WebTable = WebTable()
    history: HistoryConfig = field(default_factory=HistoryConfig)
    mqtt: MqttConfig | None = None
    record: RecordingConfig | None = None
    log: LogConfig = field(default_factory=LogConfig)

    def __post_init__(self) -> None:
        if not 0.1 <= self.stall_after_s <= 86400:
            raise InvalidInputError(
                f"stall_after_s must be between 0.1 and 86400, not {self.stall_after_s:g}"
            )

    @property
    def model_path(self) -> Path:
        """The model file; a bundled one by name or where none is given."""
        return choose_model(self.model)

    @property
    def counted(self) -> CountingConfig:
        """What is counted and ignored: lines and zones with the settings of ``[counting]``."""
        return replace(
            self.counting,
            lines=(*self.counting.lines, *self.line),
            zones=(*self.counting.zones, *self.zone),
            ignore=(*self.counting.ignore, *self.ignore),
        )

    def tracker_config(self, frame_rate: float) -> TrackerConfig:
        """Return the tracker's settings for a source of this frame rate."""
        given = {one.name: getattr(self.tracker, one.name) for one in fields(TrackerConfig)}
        return TrackerConfig(**given | {"frame_rate": frame_rate})


def read_run_config(
    path: Path | None,
    overrides: Sequence[str],
    flags: Mapping[str, Any],
    lines: Sequence[str] = (),
    zones: Sequence[str] = (),
    ignored: Sequence[str] = (),
) -> RunConfig:
    """Build the settings of a run; raises InvalidInputError that names key, value and what is allowed.

    ``flags`` maps ``table.key`` to the value of a flag, None where it was not given. ``lines``, ``zones`` and
    ``ignored``, as :func:`edge_fairmot.counting.parse_line` takes them, are added to the file's.
    """
    return build_run(read_run_document(path, overrides, flags), path, lines, zones, ignored)


def read_run_document(path: Path | None, overrides: Sequence[str], flags: Mapping[str, Any]) -> Document:
    """Read the file, and apply overrides and flags; see :func:`read_run_config`."""
    document = read_document(path, overrides)
    for name, value in flags.items():
        if value is not None:
            *tables, key = name.split(".")
            target = document
            for table in tables:
                target = target.setdefault(table, {})
            target[key] = str(value) if isinstance(value, Path) else value
    return document


def build_run(
    document: Document,
    path: Path | None,
    lines: Sequence[str] = (),
    zones: Sequence[str] = (),
    ignored: Sequence[str] = (),
) -> RunConfig:
    """Build the settings of a run from a document; see :func:`read_run_config`."""
    tracker = document.get("tracker")
    if isinstance(tracker, dict) and tracker.get("preset") in PRESETS:
        document = document | {"tracker": preset_settings(tracker["preset"], tracker) | tracker}
    try:
        config = build(RunConfig, document)
    except InvalidInputError as error:
        raise InvalidInputError(f"{path}: {error}" if path is not None else str(error)) from None
    if not config.source:
        raise InvalidInputError("source is missing: give SOURCE, or source = ... in a file with --config")
    return replace(
        config,
        line=(*config.line, *map(parse_line, lines)),
        zone=(*config.zone, *map(parse_zone, zones)),
        ignore=(*config.ignore, *map(parse_zone, ignored)),
    )
