"""Makes the files that ``edge-fairmot runtimes --probe`` runs, of the lowerings that files are exported with.

``python -m edge_fairmot.convert.probe_files FOLDER`` writes them; a test holds that those in
``runtimes`` are what it writes.
"""

from __future__ import annotations

import sys
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

import edge_fairmot
from edge_fairmot.convert.deform_conv import LOWERINGS, TAPS
from edge_fairmot.convert.deploy import OUTPUT_NAMES
from edge_fairmot.convert.export import attach_manifest, export_module, simplify
from edge_fairmot.manifest import ModelManifest
from edge_fairmot.runtimes.probe_layer import (
    CHANNELS,
    COLUMNS,
    OUTPUTS,
    PICTURE_SIZE,
    PLANES,
    REACHES,
    ROWS,
    draw_weights,
)


class ProbeGraph(nn.Module):
    """The layer of :mod:`edge_fairmot.runtimes.probe_layer` between input and outputs of the graph contract.

    Parameters
    ----------
    lowering : str
    """

    reach: Tensor

    def __init__(self, lowering: str) -> None:
        super().__init__()
        self.deform_conv = LOWERINGS[lowering]
        self.weight, self.bias = (nn.Parameter(torch.from_numpy(values)) for values in draw_weights())
        reach = torch.tensor(REACHES).repeat_interleave(2).view(1, -1, 1, 1)
        self.register_buffer("reach", reach)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Compute the graph contract's outputs; the layer's are the embeddings, one output channel a row."""
        planes = images.float().permute(0, 3, 1, 2).reshape(1, PLANES, ROWS, COLUMNS)
        offset, mask, features, rest = torch.split(planes, [2 * TAPS, TAPS, CHANNELS, 1], dim=1)
        output = self.deform_conv(
            (features - 128) / 128, (offset - 128) * self.reach, mask / 256, self.weight, self.bias
        )
        scores, cells = torch.topk(rest.flatten(1) / 255, OUTPUTS)
        corner = cells.float().unsqueeze(2).expand(-1, -1, 2)
        return torch.cat((corner, corner + 1), dim=2), scores, cells * 0, output.flatten(2)


def make_probe(lowering: str) -> onnx.ModelProto:
    """Make the file of a lowering.

    Parameters
    ----------
    lowering : str

    Returns
    -------
    onnx.ModelProto
        With a manifest.

    Raises
    ------
    ConversionError
        If the exporter fails.
    """
    width, height = PICTURE_SIZE
    example = {"images": torch.zeros(1, height, width, 3, dtype=torch.uint8)}
    model = simplify(export_module(ProbeGraph(lowering).eval(), example, OUTPUT_NAMES, lowering))
    manifest = ModelManifest(
        input_size=PICTURE_SIZE,
        max_detections=OUTPUTS,
        embedding_dim=ROWS * COLUMNS,
        class_names=("probe",),
        opset=model.opset_import[0].version,
        checkpoint_sha256="",
        toolkit_version=edge_fairmot.__version__,
        deform_conv={"probe": lowering},
    )
    attach_manifest(model, manifest)
    return model


if __name__ == "__main__":
    for name in LOWERINGS:
        onnx.save(make_probe(name), Path(sys.argv[1]) / f"probe_{name}.onnx")
