"""``edge-fairmot demo``: the bundled model on a clip of people, and on a synthetic street, scored."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from edge_fairmot.bundled import bundled_clip
from edge_fairmot.cli.console import stdout, step_progress
from edge_fairmot.cli.run_flags import ModelFlag, RuntimeFlag
from edge_fairmot.cli.track import TEXT_NAME, TRUTH_NAME, VIDEO_NAME, holds_results, numbered_folders, track
from edge_fairmot.errors import InvalidInputError, MissingDependencyError

DETECTIONS = "detections"

NEXT = (
    "edge-fairmot track VIDEO.mp4 -o out/",
    "edge-fairmot live /dev/video0 --web    # or rtsp://..., or synthetic:",
    "edge-fairmot doctor",
)
"""Commands that a user of the demo tries next; the extras of the demo suffice for them."""

NEEDED = (("av", "video", "to write video"), ("scipy", "eval", "to score tracks"))


def demo(
    video: Annotated[
        str | None,
        typer.Argument(help="A video of your own, tracked first. [default: a clip of this package]"),
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the results.")] = Path("demo"),
    street: Annotated[
        str, typer.Option(help="synthetic:NAME=VALUE,... as for track; another seed is another street.")
    ] = "synthetic:seed=7,frames=250",
    model: ModelFlag = None,
    runtime: RuntimeFlag = None,
) -> None:
    """Track people in a clip and on a synthetic street, scored.

    The street's ground truth is known: its tracks are scored beside FairMOT's own rules and a baseline
    without a network.
    """
    from edge_fairmot.benchmarks.street import parse_street

    if parse_street(street).frames is None:
        raise InvalidInputError(f"{street} never ends: give frames=250, or another number")
    for package, extra, purpose in NEEDED:
        if find_spec(package) is None:
            raise MissingDependencyError(package, extra, purpose)
    # A folder of its own beside the results of an earlier run, as for track.
    output = next(
        folder for folder in numbered_folders(output) if not any(map(holds_results, _parts(folder)))
    )
    people, scored = _parts(output)
    stdout.print(f"people in {video or 'a clip of this package'}:", highlight=False)
    track(video or str(bundled_clip()), model, output=people, runtime=runtime, preset="bytetrack")
    stdout.print(f"\npeople on {street}:", highlight=False)
    cache = scored / DETECTIONS
    track(street, model, output=scored, runtime=runtime, preset="bytetrack", save_detections=cache)
    from edge_fairmot.benchmarks.accuracy import evaluate
    from edge_fairmot.benchmarks.baseline import track_motion
    from edge_fairmot.cli.eval import accuracy_table

    rules, baseline = scored / "fairmot-rules", scored / "baseline"
    with step_progress("tracking the same detections by FairMOT's own rules"):
        _track_cached(street, cache, rules)
    with step_progress("tracking without a network"):
        track_motion(street, baseline)
    with step_progress("scoring"):
        truth = scored / TRUTH_NAME
        rows = {
            "FairMOT, --preset bytetrack": evaluate(scored / TEXT_NAME, truth),
            "FairMOT's own rules": evaluate(rules / TEXT_NAME, truth),
            "baseline: motion and overlap": evaluate(baseline / TEXT_NAME, truth),
        }
    stdout.print(accuracy_table(rows))
    stdout.print(f"see {people / VIDEO_NAME} and {scored / VIDEO_NAME}; next:", highlight=False)
    for command in NEXT:
        stdout.print(f"  {command}", highlight=False, soft_wrap=True)


def _parts(output: Path) -> tuple[Path, Path]:
    return output / "people", output / "street"


def _track_cached(street: str, cache: Path, output: Path) -> None:
    """Track a detection cache with the default rules; writes tracks.txt."""
    from contextlib import closing

    from edge_fairmot.detection_cache import CachedDetector
    from edge_fairmot.pipeline import Pipeline
    from edge_fairmot.sinks import MotTextSink
    from edge_fairmot.sources import open_source
    from edge_fairmot.tracking import Tracker, TrackerConfig

    with closing(open_source(street)) as source:
        config = TrackerConfig(frame_rate=source.info.frame_rate)
        pipeline = Pipeline(source, CachedDetector(cache, config.lowest_score), Tracker(config))
        pipeline.run([MotTextSink(output / TEXT_NAME)])
