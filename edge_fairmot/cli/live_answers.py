"""Where the answers of a live run go beside the page: an MQTT broker, and a recording."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from edge_fairmot.cli.live_settings import LiveSettings
from edge_fairmot.errors import InvalidInputError
from edge_fairmot.service.mqtt import Certificates, MqttConfig, parse_broker, read_credentials
from edge_fairmot.service.mqtt.config import machine_name
from edge_fairmot.service.recording import ClipConfig, RecordingConfig, parse_recording, parse_size


def mqtt_config(settings: LiveSettings, environment: Mapping[str, str] = os.environ) -> MqttConfig | None:
    """Give what the settings ask of MQTT; None where they name no broker.

    Raises
    ------
    InvalidInputError
        If an address, a name or a file is not right.
    """
    if not settings.mqtt:
        return None
    device = settings.mqtt_device or machine_name()
    return MqttConfig(
        broker=parse_broker(settings.mqtt),
        spool=settings.mqtt_spool or state_folder(environment) / f"{device}.events.db",
        device=device,
        root=settings.mqtt_root,
        discovery_prefix=settings.mqtt_discovery_prefix,
        credentials=read_credentials(environment, settings.mqtt_credentials),
        certificates=Certificates(
            settings.mqtt_authority, settings.mqtt_certificate, settings.mqtt_certificate_key
        ),
        spool_limit=settings.mqtt_spool_limit,
    )


def recording_config(settings: LiveSettings) -> RecordingConfig | None:
    """Give what the settings ask to be recorded; None where that is nothing.

    Raises
    ------
    InvalidInputError
        If a path, a size or a time is not right.
    """
    if settings.record is None:
        return None
    config = parse_recording(settings.record)
    clips = ClipConfig(
        before_s=settings.record_before_s,
        after_s=settings.record_after_s,
        rate=settings.record_rate,
        memory_bytes=_size("record_memory", settings.record_memory),
    )
    return replace(
        config,
        clips=clips if settings.record_clips or config.clips else None,
        file_bytes=_size("record_file_size", settings.record_file_size),
        file_s=settings.record_file_s,
        budget_bytes=_size("record_budget", settings.record_budget),
        keep_free_bytes=_size("record_keep_free", settings.record_keep_free),
    )


def state_folder(environment: Mapping[str, str]) -> Path:
    """Where what outlives a run is kept: systemd's StateDirectory, or the user's own."""
    if environment.get("STATE_DIRECTORY"):
        return Path(environment["STATE_DIRECTORY"].partition(":")[0])
    own = environment.get("XDG_STATE_HOME")
    return (Path(own) if own else Path.home() / ".local" / "state") / "edge-fairmot"


def _size(name: str, text: str) -> int:
    try:
        return parse_size(text)
    except InvalidInputError as error:
        raise InvalidInputError(f"--{name.replace('_', '-')}: {error}") from None
