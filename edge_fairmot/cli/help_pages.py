"""How help pages are laid out: panels of options, names of values, and an example for every command."""

from __future__ import annotations

import re
from typing import Any

import typer
from rich.markup import escape

PANELS = {
    "Input": (
        "fps start start-time duration max-frames first-frame video gt size images held-out data labels "
        "media frames street class benchmark labelled-frames-only targets timed-frames sizes "
        "folder"
    ),
    "Model and runtime": (
        "model models runtime runtimes device device-id threads inference-precision hint "
        "cache-folder no-integrity-check checkpoint reference"
    ),
    "Tracking": (
        "classes score-threshold track-buffer preset crowded moving-camera ignore detect-every "
        "target-fps stall-after fill-gaps join shorter-than smooth live-seconds tolerance"
    ),
    "Counting": "line zone keep-days to by camera utc",
    "Output": (
        "output overwrite no-video crops save-detections detections record summary json html "
        "certify web web-host web-port web-open mqtt embeddings worst-frames profile"
    ),
    "Network": (
        "for deform-conv graph late-heads shuffle-upsampling dense-heads max-detections batch-size "
        "class-name naive network width plain layers pairs from teacher freeze"
    ),
    "Quantization": (
        "precision precisions calibrate calibration-frames calibration-method budget float-layer"
    ),
    "Training": (
        "steps minutes resume early-stop validate-every validation-images crop-size learning-rate "
        "average-decay overlap-weight remember bf16 seed"
    ),
    "Workers": "workers gpus ray upload retry-failed give-up-after dry-run",
    "Settings": "config set log-level log-format",
}
"""Options by the panel that shows them; an option has one panel, and one meaning, in every command."""

_PANEL_OF = {option: panel for panel, options in PANELS.items() for option in options.split()}

_PANEL_HERE = {("report", "from"): "Counting"}
"""An option that begins something else in one command."""

_VALUES = {"str": "TEXT", "int": "N", "float": "X", "Path": "PATH"}
"""Names of values that have no other, by type."""

OTHERS = "Other options"


def arrange(command: Any) -> None:
    """Lay out the options of a command, and of its commands if it is a group."""
    for one in getattr(command, "commands", {}).values():
        arrange(one)
    # A line of the source is no line of the page.
    command.help = re.sub(r"(?<!\n)\n(?!\n)", " ", command.help or "")
    for parameter in [
        *command.params,
        command.get_help_option(typer.Context(command, help_option_names=["-h", "--help"])),
    ]:
        parameter.help = escape(parameter.help or "")  # [default: ...] is no markup
        if parameter.param_type_name == "argument":
            parameter.metavar = parameter.metavar or parameter.name.upper()
            continue
        name = parameter.opts[0].lstrip("-")
        parameter.rich_help_panel = _PANEL_HERE.get((command.name, name)) or _PANEL_OF.get(name, OTHERS)
        if parameter.is_flag:
            parameter.metavar = ""
        elif parameter.metavar is None:
            parameter.metavar = _VALUES.get(value_type(parameter), "TEXT")
    command.params.sort(key=_place)


def value_type(parameter: Any) -> str:
    """Return the type of one value of an option, as in ``float``."""
    return str(parameter.bare_type()).removeprefix("list[").removesuffix("]")


def _place(parameter: Any) -> int:
    """Return the place of an option's panel; Python sorts stably, so options keep their order within it."""
    if parameter.param_type_name == "argument":
        return -1
    panels = [*PANELS, OTHERS]
    return panels.index(parameter.rich_help_panel)
