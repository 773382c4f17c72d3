"""Every setting of ``edge-fairmot live``: the table that its flags and its TOML file come from."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from edge_fairmot.bundled import bundled_model
from edge_fairmot.cli.settings import read_settings, setting
from edge_fairmot.counting import CountingConfig, Line, Zone, parse_counting, parse_line, parse_zone
from edge_fairmot.counting.shapes import ANCHORS
from edge_fairmot.errors import InvalidInputError
from edge_fairmot.service.web import WebConfig
from edge_fairmot.service.web.counting_file import CountingFile
from edge_fairmot.sources import NetworkOptions, ReconnectConfig
from edge_fairmot.sources.network import TRANSPORTS

S = TypeVar("S", bound=Line | Zone)

SHAPES = frozenset({"line", "zone"})
"""Tables of the file that are lists: ``[[line]]`` and ``[[zone]]``. Their flags are in the table."""

LEVELS = ("debug", "info", "warning", "error")

_WAITS, _NETWORK, _COUNTING, _PAGE = ReconnectConfig(), NetworkOptions(), CountingConfig(), WebConfig()


@dataclass(frozen=True, slots=True)
class LiveSettings:
    """What ``edge-fairmot live`` is told: name, type, default, table of the file, and meaning of each."""

    source: str = setting(
        "",
        "",
        "picamera2:, /dev/video0, rtsp://..., http://..., gstreamer:..., synthetic:, or a file, which is "
        "played at its own speed.",
    )
    model: Path | None = setting(
        None, "", "ONNX file made by edge-fairmot convert; the bundled one if not given.", short="-m"
    )

    runtime: str = setting(
        "cpu",
        "runtime",
        "What runs the file, as in openvino:GPU; see edge-fairmot runtimes.",
        key="name",
        metavar="NAME[:DEVICE]",
    )
    device_id: int | None = setting(None, "runtime", "Which GPU; the same as cuda:N.", low=0)
    threads: int | None = setting(None, "runtime", "Threads for one inference.", low=1)
    precision: str = setting(
        "",
        "runtime",
        "Arithmetic of float layers; float32 unless given.",
        choices=("", "fp32", "fp16", "bf16"),
    )
    hint: str = setting(
        "latency", "runtime", "One picture soon, or many a second.", choices=("latency", "throughput")
    )
    cache_folder: Path | None = setting(
        None, "runtime", "Keep compiled models here for the next start.", metavar="DIR"
    )

    transport: str = setting(
        _NETWORK.transport, "camera", "Of RTSP; ?transport= in the address goes before.", choices=TRANSPORTS
    )
    open_timeout_s: float = setting(
        _NETWORK.open_timeout_s,
        "camera",
        "How long a network camera may take to answer.",
        low=0,
        high=25,
        above=True,
    )
    stall_s: float = setting(
        _WAITS.stall_s,
        "camera",
        "A camera is lost after so long without a picture.",
        low=0,
        high=600,
        above=True,
    )
    frozen_s: float = setting(
        _WAITS.frozen_s,
        "camera",
        "Or after so long with the same picture, to the bit; 0 never.",
        low=0,
        high=86400,
    )
    first_wait_s: float = setting(
        _WAITS.first_wait_s, "camera", "Before a lost camera is opened again.", low=0, high=3600, above=True
    )
    longest_wait_s: float = setting(
        _WAITS.longest_wait_s, "camera", "The waits double up to this.", low=0, high=86400, above=True
    )
    give_up_s: float = setting(
        _WAITS.give_up_s,
        "camera",
        "End with an error after so long without a picture; 0 never.",
        low=0,
        high=86400,
    )

    score_threshold: float = setting(0.4, "tracker", "Detections must score more.", low=0, high=1)
    track_buffer: int = setting(30, "tracker", "How long lost tracks are kept, frames at 30 Hz.", low=0)
    crowded: bool = setting(
        False,
        "tracker",
        "People hide one another: low scores keep tracks in view, and whoever is behind another is not "
        "forgotten.",
    )
    detect_every: int = setting(
        1, "schedule", "Detect in every Nth frame, predict between.", low=1, metavar="N"
    )
    target_fps: float | None = setting(
        None,
        "schedule",
        "Detect as often as keeps F frames/s, predict between.",
        low=0,
        above=True,
        metavar="F",
    )

    line: tuple[str, ...] = setting(
        (), "", "Count over this line, in parts of the picture; repeat. In the file: [[line]].",
        metavar="NAME:X1,Y1,X2,Y2",
    )  # fmt: skip
    zone: tuple[str, ...] = setting(
        (), "", "Count in this polygon, in parts of the picture; repeat. In the file: [[zone]].",
        metavar="NAME:X,Y;X,Y;X,Y",
    )  # fmt: skip
    anchor: str = setting(
        _COUNTING.anchor, "counting", "Which point of a box is where somebody is.", choices=ANCHORS
    )
    hysteresis: float = setting(
        _COUNTING.hysteresis,
        "counting",
        "How far beyond a line one has crossed it, in box heights.",
        low=0,
        high=10,
    )
    memory_s: float = setting(
        _COUNTING.memory_s, "counting", "Who is unseen for longer is gone.", low=0, high=3600
    )

    summary: Path | None = setting(
        None, "output", "Write what the run did to this file at its end, JSON.", metavar="FILE"
    )

    web: bool = setting(False, "web", "Serve a page with picture, counts and drawing.", key="serve")
    web_host: str = setting(
        _PAGE.host, "web", "Where; 0.0.0.0 is every network, and wants a token.", key="host"
    )
    web_port: int = setting(_PAGE.port, "web", "At which port.", key="port", low=0, high=65535)
    web_token_file: Path | None = setting(
        None, "web", "Holds the page's token; made where it is not there.", key="token_file", metavar="FILE"
    )
    web_drawing_file: Path | None = setting(
        None,
        "web",
        "Keeps what is drawn on the page, and goes before other lines and zones; the file of --config unless "
        "given, or, where that cannot be written, one under ~/.local/state.",
        key="drawing_file",
        metavar="FILE",
    )
    web_quality: int = setting(
        _PAGE.jpeg_quality, "web", "Of the JPEGs for the page.", key="quality", low=1, high=100
    )
    web_widest: int = setting(
        _PAGE.widest, "web", "Wider pictures are made so wide, pixels.", key="widest", low=64, high=8192
    )

    mqtt: str = setting(
        "",
        "mqtt",
        "Publish counts and events there; user and password come from the environment "
        "(EDGE_FAIRMOT_MQTT_USER, EDGE_FAIRMOT_MQTT_PASSWORD) or a file.",
        key="broker",
        metavar="mqtt[s]://HOST[:PORT]",
    )
    mqtt_credentials: Path | None = setting(
        None,
        "mqtt",
        "The user on its first line, the password on its second.",
        key="credentials",
        metavar="FILE",
    )
    mqtt_device: str = setting(
        "", "mqtt", "Name in topics and in Home Assistant; this machine's unless given.", key="device"
    )
    mqtt_root: str = setting("edge-fairmot", "mqtt", "How topics begin.", key="root")
    mqtt_discovery_prefix: str = setting(
        "homeassistant",
        "mqtt",
        "Where Home Assistant looks; empty announces nothing.",
        key="discovery_prefix",
    )
    mqtt_authority: Path | None = setting(
        None, "mqtt", "Whose certificates are believed, PEM.", key="authority", metavar="FILE"
    )
    mqtt_certificate: Path | None = setting(
        None, "mqtt", "What is shown to a broker that asks for one, PEM.", key="certificate", metavar="FILE"
    )
    mqtt_certificate_key: Path | None = setting(
        None, "mqtt", "Its key, PEM.", key="certificate_key", metavar="FILE"
    )
    mqtt_spool: Path | None = setting(
        None, "mqtt", "Keeps events until the broker has them; under ~/.local/state unless given.",
        key="spool", metavar="FILE",
    )  # fmt: skip
    mqtt_spool_limit: int = setting(
        100_000, "mqtt", "Events that are kept at most.", key="spool_limit", low=1
    )

    record: Path | None = setting(
        None, "record", "Record to NAME.jsonl, NAME.txt (MOTChallenge), or a folder: both and clips.",
        key="path", metavar="PATH",
    )  # fmt: skip
    record_clips: bool = setting(False, "record", "Video of every event, too.", key="clips")
    record_before_s: float = setting(
        5.0, "record", "What a clip shows of the time before.", key="before_s", low=0, high=60
    )
    record_after_s: float = setting(5.0, "record", "And after the last event.", key="after_s", low=0, high=50)
    record_rate: float = setting(
        10.0, "record", "Pictures a second of a clip.", key="rate", low=0.1, high=120
    )
    record_memory: str = setting("128MB", "record", "Memory for clips.", key="memory", metavar="SIZE")
    record_file_size: str = setting(
        "64MB", "record", "Another file is begun at this size.", key="file_size", metavar="SIZE"
    )
    record_file_s: float = setting(3600.0, "record", "And at this age.", key="file_s", low=1, high=31 * 86400)
    record_budget: str = setting(
        "2GB", "record", "For all files of the recording; the oldest go.", key="budget", metavar="SIZE"
    )
    record_keep_free: str = setting(
        "200MB",
        "record",
        "On the disk: the oldest files go for it; then recording stops.",
        key="keep_free",
        metavar="SIZE",
    )

    log_level: str = setting("info", "log", "The least that is logged.", key="level", choices=LEVELS)
    log_format: str = setting(
        "text", "log", "For people, or one JSON object a line.", key="format", choices=("text", "json")
    )
    log_every_s: float = setting(
        60.0, "log", "How often speed and counts are logged; 0 never.", key="every_s", low=0, high=86400
    )

    @property
    def reconnect(self) -> ReconnectConfig:
        """When a camera is lost, and how long it is waited for."""
        return ReconnectConfig(
            self.first_wait_s, self.longest_wait_s, self.stall_s, self.frozen_s, self.give_up_s
        )

    @property
    def network(self) -> NetworkOptions:
        """How a network camera is read."""
        return NetworkOptions(self.transport, self.open_timeout_s, self.stall_s)


def read_live_settings(path: Path | None, given: Mapping[str, Any]) -> tuple[LiveSettings, CountingConfig]:
    """Put together what a file, the flags and an earlier run's page say, lines and zones too.

    Raises
    ------
    InvalidInputError
        With key or flag, value, and what is allowed.
    """
    settings, shapes = read_settings(LiveSettings, path, given, SHAPES)
    try:
        counting = parse_counting(shapes)
    except InvalidInputError as error:
        raise InvalidInputError(f"{path}: {error}") from None
    drawing = drawing_file(settings, path)
    drawn = None if drawing is None or drawing == path else CountingFile(drawing).read()
    saved = drawn or counting  # not both: a drawing began as the file's, some of which may be deleted
    counting = replace(
        counting,
        lines=_joined(saved.lines, tuple(map(parse_line, settings.line))),
        zones=_joined(saved.zones, tuple(map(parse_zone, settings.zone))),
        anchor=settings.anchor,
        hysteresis=settings.hysteresis,
        memory_s=settings.memory_s,
    )
    if not settings.source:
        raise InvalidInputError(
            "source is missing: give SOURCE on the command line, or source = ... in a file with --config"
        )
    return replace(settings, model=settings.model or bundled_model()), counting


def drawing_file(
    settings: LiveSettings, config: Path | None, environment: Mapping[str, str] = os.environ
) -> Path | None:
    """Where what is drawn on the page is kept; None keeps it until the run ends.

    A service's settings are often sealed, as a credential of systemd or in a container: its drawing is
    kept with its state then.
    """
    from edge_fairmot.cli.live_answers import state_folder  # which reads these settings

    if settings.web_drawing_file is not None or config is None:
        return settings.web_drawing_file
    written = config.resolve()  # beside it and then in its place
    if os.access(written, os.W_OK) and os.access(written.parent, os.W_OK):
        return config
    try:
        return state_folder(environment) / f"{config.stem}.drawing.toml"
    except RuntimeError:  # this user has no home
        return None


def _joined(saved: tuple[S, ...], given: tuple[S, ...]) -> tuple[S, ...]:
    """Add the flags' shapes to the file's; a saved one of the same name was moved on the page since."""
    names = {shape.name for shape in saved}
    return (*saved, *(shape for shape in given if shape.name not in names))
