"""The ``edge-fairmot`` command. A command's module is imported when the command is asked for."""

from __future__ import annotations

import importlib
import io
import os
import sys
import threading
from contextlib import suppress
from typing import Annotated, Any, NamedTuple

import typer
from rich.markup import escape
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

import edge_fairmot
from edge_fairmot.cli.console import fail, start_logging, stdout
from edge_fairmot.cli.help_pages import arrange
from edge_fairmot.errors import EdgeFairmotError

WINDOW_LIBRARIES = ("libGL", "libgthread", "libxcb")
"""Libraries that OpenCV asks for when it was built with a window system."""

OS_ADVICE = "check the free space, the network and the devices in use"


class Command(NamedTuple):
    """The module of a command, and what the overview and its help say."""

    target: str  # "module:function", or "module:app" of a group
    help: str
    group: str  # panel of the overview
    example: str


START, RUN, CONVERT, MEASURE, TRAIN = "Start", "Run", "Convert", "Measure", "Train"

COMMANDS = {
    "demo": Command(
        "demo:demo", "Track people in a clip and on a synthetic street, scored.", START, "demo street.mp4"
    ),
    "doctor": Command(
        "doctor:doctor", "Check this device: packages, runtimes, cameras, heat.", START, "doctor"
    ),
    "runtimes": Command("doctor:runtimes", "List the runtimes of this device.", START, "runtimes --json"),
    "config": Command(
        "config:config", "Print a configuration file with every key.", START, "config > shop.toml"
    ),
    "track": Command(
        "track:track", "Track people in a video.", RUN, "track street.mp4 --line door:0.2,0.8,0.8,0.8 -o out/"
    ),
    "live": Command(
        "live:live", "Track people before cameras until stopped.", RUN, "live door=rtsp://10.0.0.5/1 --web"
    ),
    "track-many": Command(
        "track_many:app", "Track many videos with several workers.", RUN, "track-many videos/ -o out/"
    ),
    "refine": Command(
        "refine:refine",
        "Fill gaps of tracks, join and drop fragments.",
        RUN,
        "refine out/tracks.jsonl -o refined/",
    ),
    "export": Command(
        "export:export", "Write trajectories as CSV or Parquet.", RUN, "export out/tracks.jsonl -o walks.csv"
    ),
    "report": Command(
        "report:report",
        "Report what was counted, by minute, hour or day.",
        RUN,
        "report --from 2026-11-01 --by hour -o counts.csv",
    ),
    "convert": Command(
        "convert:convert",
        "Convert a FairMOT checkpoint to an ONNX file.",
        CONVERT,
        "convert fairmot_dla34.pth --for openvino --calibrate street.mp4 -o fairmot.onnx",
    ),
    "inspect": Command(
        "inspect:inspect", "Describe a model file or a checkpoint.", CONVERT, "inspect fairmot.onnx"
    ),
    "verify": Command(
        "verify:verify",
        "Compare a model file with its reference.",
        CONVERT,
        "verify int8.onnx --checkpoint fairmot_dla34.pth --video street.mp4",
    ),
    "record-reference": Command(
        "record_reference:record_reference",
        "Save outputs of a checkpoint as a reference.",
        CONVERT,
        "record-reference fairmot_dla34.pth --video street.mp4 -o reference.npz",
    ),
    "bench": Command(
        "bench:app",
        "Measure models on runtimes: speed and accuracy.",
        MEASURE,
        "bench --models out/*.onnx --runtimes cpu,openvino --video street.mp4 -o bench/",
    ),
    "eval": Command(
        "eval:evaluate", "Score tracks against ground truth.", MEASURE, "eval out/tracks.txt --gt gt/gt.txt"
    ),
    "synthesize": Command(
        "synthesize:synthesize",
        "Write a synthetic street with ground truth.",
        MEASURE,
        "synthesize synthetic:seed=3 -o street/",
    ),
    "train": Command(
        "train:train",
        "Train a network, or fine-tune one on your data.",
        TRAIN,
        "train --data my_shop/ --from people --freeze backbone -o my.pth",
    ),
    "distill": Command(
        "distill:distill",
        "Distill a network into a plain or smaller one.",
        TRAIN,
        "distill fairmot_dla34.pth --frames street.mp4 -o fairmot_plain.pth",
    ),
}


ANYWHERE = ("-q", "--quiet", "-v", "--verbose")


class LazyGroup(TyperGroup):
    """Imports a command's module when the command runs; the overview needs none of them."""

    _listing = False

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse; -q and -v may stand anywhere, also after the command."""
        anywhere = [one for one in args if one in ANYWHERE]
        return super().parse_args(ctx, anywhere + [one for one in args if one not in ANYWHERE])

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of the commands, in the order of the overview."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Import a command; for the overview its name and line are enough."""
        command = COMMANDS.get(cmd_name)
        if command is None:
            return None
        if self._listing:
            return TyperCommand(cmd_name, help=command.help, rich_help_panel=command.group)
        module, _, name = command.target.partition(":")
        found = getattr(importlib.import_module(f"edge_fairmot.cli.{module}"), name)
        app = found if isinstance(found, typer.Typer) else _typer()
        if app is not found:
            app.command(cmd_name)(found)
        built = get_command(app)
        built.name = cmd_name
        built.epilog = f"[bold]Example:[/] edge-fairmot {escape(command.example)}"
        arrange(built)
        return built

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the overview."""
        for parameter in self.get_params(ctx):
            parameter.metavar = ""  # all are flags
        self._listing = True
        try:
            super().format_help(ctx, formatter)
        finally:
            self._listing = False


EPILOG = (
    "The help of a command ends with an example: edge-fairmot track -h. --quiet and --verbose may follow it."
)


def _typer(cls: type[TyperGroup] | None = None, help_text: str | None = None) -> typer.Typer:
    return typer.Typer(
        cls=cls,
        help=help_text,
        epilog=EPILOG if cls else None,
        no_args_is_help=cls is not None,
        add_completion=cls is not None,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"]},
    )


app = _typer(LazyGroup, "FairMOT on edge devices: from a checkpoint to correct, fast tracks.")


def _print_version(wanted: bool) -> None:
    if wanted:
        stdout.print(f"edge-fairmot {edge_fairmot.__version__}", highlight=False)
        raise typer.Exit


def _be_quiet(wanted: bool) -> None:
    stdout.quiet = wanted


def _be_verbose(wanted: bool) -> None:
    if wanted:
        start_logging("debug", "text")


@app.callback()
def _root(
    quiet: Annotated[
        bool,
        typer.Option("--quiet", "-q", callback=_be_quiet, help="Print warnings and errors only."),
    ] = False,
    verbose: Annotated[
        bool,
        typer.Option("--verbose", "-v", callback=_be_verbose, help="Log what the parts do, to stderr."),
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def run() -> None:
    """Entry point of the console script: one line and exit status 1 for every error of edge-fairmot."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # not where there is none
            stream.reconfigure(errors="backslashreplace")  # names that a terminal's encoding lacks
    try:
        _run()
    except SystemExit as ended:
        _leave_hung_threads(ended.code if isinstance(ended.code, int) else int(ended.code is not None))
        raise


def _leave_hung_threads(status: int) -> None:
    """End the process at once if a thread of ours still runs, in a driver or a detector.

    The interpreter's end could wait for it, or crash: a thread that is still inside FFmpeg or a runtime uses
    what the process tears down.
    """
    if any(thread.daemon and thread.name.startswith("edge-fairmot") for thread in threading.enumerate()):
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError, AttributeError):
                stream.flush()
        os._exit(status)


def _run() -> None:
    try:
        app()
    except EdgeFairmotError as error:
        sys.exit(fail(str(error)))
    except OSError as error:
        sys.exit(fail(_explain_system(error)))
    except ImportError as error:
        sys.exit(fail(_explain(error)))
    except KeyboardInterrupt:
        sys.exit(130)


def _explain_system(error: OSError) -> str:
    reason = error.strerror or str(error)
    if error.filename is not None:
        return f"{error.filename}: {reason}; check the path and its permissions"
    # Of no file that is known: a connection, a time limit, a stream such as stdout.
    name = type(error).__name__
    return f"{reason} ({name}): {OS_ADVICE}" if reason else f"{name}, without a reason: {OS_ADVICE}"


def _explain(error: ImportError) -> str:
    if not any(library in str(error) for library in WINDOW_LIBRARIES):
        return f"{error.name or 'a package'} is installed but cannot be loaded ({error}): reinstall it"
    # supervision brings opencv-python, which overwrites opencv-python-headless
    return (
        "OpenCV was installed with a window system that this machine lacks: "
        "pip install --force-reinstall --no-deps opencv-python-headless "
        "(or apt-get install libgl1 libglib2.0-0)"
    )
