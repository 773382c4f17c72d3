"""``edge-fairmot refine``: finished tracks go in, refined tracks come out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, TypeAlias

import numpy as np
import typer

from edge_fairmot.cli.console import print_pairs
from edge_fairmot.detection_cache import CachedDetector
from edge_fairmot.errors import InvalidInputError
from edge_fairmot.refinement import RefineConfig, TrackRows, mean_embeddings
from edge_fairmot.refinement import refine as refine_rows
from edge_fairmot.sinks import JsonLinesHeader, read_json_lines
from edge_fairmot.sinks.files import UnbufferedFile
from edge_fairmot.sinks.text import frame_line, header_line, mot_lines
from edge_fairmot.types import Detections, Float32Array, Float64Array, Frame, FrameResult, Tracks

Frames: TypeAlias = list[tuple[int, float, Tracks]]
"""Frame number from 1, time, and tracks."""

LINES_NAME, TEXT_NAME = "tracks.jsonl", "tracks.txt"
USUAL = RefineConfig()
MOST_FRAMES = 50_000_000
"""A larger frame number is a damaged file's."""


def refine(
    tracks: Annotated[Path, typer.Argument(help="tracks.jsonl of track, or a recording of live.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the results.")],
    fill_gaps: Annotated[
        float, typer.Option(metavar="S", help="Fill gaps up to this time, seconds; 0: none.")
    ] = USUAL.fill_gaps_s,
    shorter_than: Annotated[
        float, typer.Option(metavar="S", help="Drop tracks that last less, seconds.")
    ] = USUAL.shorter_than_s,
    smooth: Annotated[
        float, typer.Option(metavar="S", help="Smooth boxes by a Gaussian of this deviation, as in 0.12.")
    ] = USUAL.smooth_s,
    detections: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Detection cache of the run: fragments are joined by embeddings."),
    ] = None,
    join: Annotated[
        float, typer.Option(metavar="S", help="Join fragments over gaps up to this time, seconds.")
    ] = USUAL.join_s,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace results in the folder.")] = False,
) -> None:
    """Fill gaps of tracks, join and drop fragments.

    Writes tracks.jsonl, in which filled boxes have "filled": true, and tracks.txt.
    Nothing is filled where a box leaves the image, or across classes.
    """
    config = RefineConfig(fill_gaps, shorter_than, smooth, join)
    results = [output / name for name in (LINES_NAME, TEXT_NAME)]
    taken = [path for path in results if path.exists()]
    if tracks.resolve() in [path.resolve() for path in results]:
        raise InvalidInputError(f"-o {output} would write over the input ({tracks}): choose another folder")
    if taken and not overwrite:
        raise InvalidInputError(f"{taken[0]} exists: choose another folder with -o, or give --overwrite")
    header, frames, rows = read_rows(tracks)
    times_s = _times(tracks, frames)
    embeddings = None if detections is None else read_embeddings(detections, header, frames)
    refined = refine_rows(rows, times_s, header.frame_size, config, embeddings)
    settings = {**header.settings, "refined": asdict(config) | {"joined": embeddings is not None}}
    stamps = [(number, time_s) for number, time_s, _ in frames]
    _write(results, replace(header, settings=settings), stamps, refined)
    identities = [len(np.unique(one.track_id)) for one in (rows, refined)]
    print_pairs(
        (
            ("identities", f"{identities[0]} before, {identities[1]} now"),
            ("boxes", f"{len(rows)} before, {len(refined)} now, {int(refined.filled.sum())} filled"),
            ("written to", str(output)),
        )
    )


def read_rows(path: Path) -> tuple[JsonLinesHeader, Frames, TrackRows]:
    """Read a JSON Lines file; InvalidInputError if frames change their size or do not count up."""
    header, frames = read_json_lines(path)
    read, filled = list(frames), set()
    with path.open("rb") as file:
        next(file)
        for line in file:
            if b'"size":' in line:
                raise InvalidInputError(
                    f"{path} has frames of another size than {header.frame_size[0]}x{header.frame_size[1]}: "
                    "boxes of two sizes cannot be joined"
                )
            if b'"filled":' in line:
                document = json.loads(line)
                filled |= {(document["frame"], one["id"]) for one in document["tracks"] if one.get("filled")}
    numbers = np.array([number for number, _, _ in read], np.int64)
    if (np.diff(numbers, prepend=0) < 1).any() or numbers.max(initial=0) > MOST_FRAMES:
        raise InvalidInputError(f"{path} has frames that do not count up from 1: run the tracking again")
    rows = TrackRows.of_frames(read)
    pairs = zip(rows.frame.tolist(), rows.track_id.tolist(), strict=True)
    return header, read, replace(rows, filled=np.array([pair in filled for pair in pairs], np.bool_))


def read_embeddings(folder: Path, header: JsonLinesHeader, frames: Frames) -> dict[int, Float32Array]:
    """Return the mean embedding of each track, of the detection cache that the tracks were made of."""
    cache = CachedDetector(folder, None)
    cache.require_source(header.frame_size)
    image = np.broadcast_to(np.uint8(0), (*header.frame_size[::-1], 3))

    def found() -> Iterator[tuple[Tracks, Detections]]:
        for number, time_s, tracks in frames:
            detections = cache.detect(Frame(image, number - 1, time_s))
            if detections is not None:
                yield tracks, detections

    return mean_embeddings(found())


def _times(path: Path, frames: Frames) -> Float64Array:
    """Return the time of each frame from frame 1 on, NaN for those that are not in the file."""
    times_s = np.full(frames[-1][0] if frames else 0, np.nan)
    for number, time_s, _ in frames:
        times_s[number - 1] = time_s
    if (np.diff(times_s[np.isfinite(times_s)]) <= 0).any():
        raise InvalidInputError(f"{path} has times that do not go forward: run the tracking again")
    return times_s


def _write(
    paths: list[Path], header: JsonLinesHeader, frames: list[tuple[int, float]], rows: TrackRows
) -> None:
    lines, text = (UnbufferedFile(path) for path in paths)
    try:
        lines.write(header_line(header).encode())
        image = np.broadcast_to(np.uint8(0), (*header.frame_size[::-1], 3))
        order = np.argsort(rows.frame, kind="stable")
        ends = np.searchsorted(rows.frame[order], [number for number, _ in frames], "right")
        start = 0
        for (number, time_s), end in zip(frames, ends.tolist(), strict=True):
            here = rows[order[start:end]]
            result = FrameResult(Frame(image, number - 1, time_s), here.tracks())
            lines.write(frame_line(result, filled=here.filled).encode())
            text.write(mot_lines(number, result.tracks, header.class_names).encode())
            start = end
    finally:
        lines.close()
        text.close()
