"""The ``edge-fairmot`` command."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

import edge_fairmot
from edge_fairmot.cli.console import fail, stdout
from edge_fairmot.errors import EdgeFairmotError

WINDOW_LIBRARIES = ("libGL", "libgthread", "libxcb")
"""What OpenCV asks for when it was built with a window system."""

app = typer.Typer(
    name="edge-fairmot",
    help="FairMOT on edge devices: from a checkpoint to correct, fast tracks.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        stdout.print(f"edge-fairmot {edge_fairmot.__version__}", highlight=False)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def _add_commands() -> None:
    from edge_fairmot.cli.bench import app as bench
    from edge_fairmot.cli.bench_compare import compare
    from edge_fairmot.cli.bench_sweep import sweep
    from edge_fairmot.cli.bench_tracker import tracker
    from edge_fairmot.cli.convert import convert
    from edge_fairmot.cli.demo import demo
    from edge_fairmot.cli.distill import distill
    from edge_fairmot.cli.doctor import doctor
    from edge_fairmot.cli.eval import evaluate
    from edge_fairmot.cli.inspect import inspect
    from edge_fairmot.cli.live import live
    from edge_fairmot.cli.record_reference import record_reference
    from edge_fairmot.cli.runtimes import runtimes
    from edge_fairmot.cli.synthesize import synthesize
    from edge_fairmot.cli.track import track
    from edge_fairmot.cli.train import train
    from edge_fairmot.cli.verify import verify

    for name, command in (
        ("demo", demo),
        ("convert", convert),
        ("inspect", inspect),
        ("track", track),
        ("live", live),
        ("eval", evaluate),
        ("verify", verify),
        ("record-reference", record_reference),
        ("synthesize", synthesize),
        ("distill", distill),
        ("train", train),
        ("runtimes", runtimes),
        ("doctor", doctor),
    ):
        app.command(name)(command)
    bench.command("compare")(compare)
    bench.command("sweep")(sweep)
    bench.command("tracker")(tracker)
    app.add_typer(bench, name="bench")


def run() -> None:
    """Entry point of the console script: one line and exit status 1 for every error of ours."""
    # FFmpeg's own complaints about a damaged video; ours says what they mean.
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    try:
        _add_commands()
        app()
    except EdgeFairmotError as error:
        sys.exit(fail(str(error)))
    except OSError as error:
        sys.exit(
            fail(
                f"{error.filename or 'a file'}: {error.strerror or error}; check the path and its permissions"
            )
        )
    except ImportError as error:
        if not any(library in str(error) for library in WINDOW_LIBRARIES):
            sys.exit(
                fail(f"{error.name or 'a package'} is installed but cannot be loaded ({error}): reinstall it")
            )
        # trackeval and supervision bring opencv-python, which overwrites opencv-python-headless
        sys.exit(
            fail(
                "OpenCV was installed with a window system that this machine lacks: "
                "pip install --force-reinstall --no-deps opencv-python-headless "
                "(or apt-get install libgl1 libglib2.0-0)"
            )
        )
    except KeyboardInterrupt:
        sys.exit(130)
