"""``edge-fairmot atlas``: which deformable layers deform, on the user's frames."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from edge_fairmot.cli.console import frame_progress, stdout
from edge_fairmot.cli.convert import parse_size
from edge_fairmot.errors import InvalidInputError
from edge_fairmot.sources import open_images

if TYPE_CHECKING:
    from edge_fairmot.convert.atlas import LayerDeformation
    from edge_fairmot.types import UInt8Array


def atlas(
    checkpoint: Annotated[Path, typer.Argument(help="FairMOT DLA-34 checkpoint (.pth).")],
    frames: Annotated[
        list[str], typer.Option("--frames", help="Video, picture folder or sequence; may be repeated.")
    ],
    size: Annotated[str, typer.Option(help="Input size, WIDTHxHEIGHT, multiples of 32.")] = "576x320",
    count: Annotated[int, typer.Option(help="Frames of each source, at equal distances.")] = 16,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure offsets and masks of every deformable layer, and what a plain convolution would lose."""
    images = sample_all(frames, parse_size(size), count)
    from edge_fairmot.convert.atlas import measure_atlas
    from edge_fairmot.convert.checkpoint import load_network

    network, _ = load_network(checkpoint)
    with frame_progress("measuring", 2 * len(images)) as on_frame:
        layers = measure_atlas(network, images, on_frame)
    if as_json:
        data = {name: asdict(layer) | {"shift_pays": layer.shift_pays} for name, layer in layers.items()}
        stdout.print(json.dumps({"frames": len(images), "layers": data}, indent=2), soft_wrap=True)
    else:
        _print_atlas(layers)


def sample_all(specs: list[str], input_size: tuple[int, int], count: int) -> UInt8Array:
    """Sample every source alike, uint8 (N, H, W, 3)."""
    import numpy as np

    from edge_fairmot.benchmarks.frame_sources import sample_frames

    sampled = []
    for spec in specs:
        with open_images(spec) as source:
            sampled.append(sample_frames(source, input_size, count))
    if not sampled:
        raise InvalidInputError("there are no frames: give --frames street.mp4")
    return np.concatenate(sampled)


def _print_atlas(layers: Mapping[str, LayerDeformation]) -> None:
    table = Table(box=None, title="offsets in pixels of the layer's own map", title_justify="left")
    table.add_column("layer", no_wrap=True)
    for name in ("mean", "p50", "p90", "p99", "largest", "mask", "±", "plain loses"):
        table.add_column(name, justify="right")
    for name, layer in layers.items():
        offsets = (layer.offset_mean, *layer.offset_percentiles.values(), layer.offset_largest)
        mask = sum(layer.tap_mask) / len(layer.tap_mask)
        table.add_row(
            name,
            *(f"{offset:.2f}" for offset in offsets),
            *(f"{mask:.2f}", f"{layer.mask_deviation:.2f}", f"{layer.error:.1%}"),
        )
    stdout.print(table)
    least = [name for name, _ in sorted(layers.items(), key=lambda entry: entry[1].error)]
    stdout.print(f"hardly deform: {', '.join(least[: len(least) // 4])}", highlight=False, soft_wrap=True)
    moved = [name for name, layer in layers.items() if layer.shift_pays]
    stdout.print(
        f"nearer with the mean offsets folded too: {', '.join(moved) or 'none'}",
        highlight=False,
        soft_wrap=True,
    )
