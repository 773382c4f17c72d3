"""Networks and files that these tests share. An export costs seconds, so each is made once."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import onnx
import pytest

torch = pytest.importorskip("torch", reason="needs the convert extra")

from edge_fairmot.convert import (  # noqa: E402
    Conversion,
    FairMOT,
    GraphOptions,
    NetworkSpec,
    conversion,
    convert,
)
from edge_fairmot.convert.calibration import Ranges, calibrate  # noqa: E402
from edge_fairmot.convert.deploy import DeployGraph  # noqa: E402
from edge_fairmot.convert.export import to_onnx  # noqa: E402
from edge_fairmot.convert.parity import draw_images  # noqa: E402
from edge_fairmot.types import UInt8Array  # noqa: E402

SIZE = (96, 64)
BATCH = 2
TOP_K = 40
SPEC = NetworkSpec(num_classes=2, embedding_dim=16, base_channels=4)


@pytest.fixture(scope="session")
def two_classes(
    lively_network: Callable[[NetworkSpec], FairMOT], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Checkpoint of a lively network with two classes."""
    path = tmp_path_factory.mktemp("two-classes") / "lively.pth"
    torch.save({"epoch": 1, "state_dict": lively_network(SPEC).state_dict()}, path)
    return path


@pytest.fixture(scope="session")
def exported(two_classes: Path) -> Callable[[str], Conversion]:
    """Converts that checkpoint with a lowering: 96x64, batch size 2, 40 detections."""

    @cache
    def export(lowering: str) -> Conversion:
        options = GraphOptions(SIZE, lowering, max_detections=TOP_K, batch_size=BATCH)
        path = two_classes.with_name(f"{lowering}.onnx")

        def keep(graph: DeployGraph) -> onnx.ModelProto:
            model = to_onnx(graph)
            onnx.save(model, path.with_suffix(".raw.onnx"))  # before it is simplified
            return model

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(conversion, "to_onnx", keep)
            return convert(two_classes, path, options, class_names=("person", "bicycle"))

    return export


@pytest.fixture
def raw_export(exported: Callable[[str], Conversion]) -> onnx.ModelProto:
    """The native graph as torch exports it, before it is simplified."""
    return onnx.load(exported("native").path.with_suffix(".raw.onnx"))


@pytest.fixture(scope="session")
def trained_dense_model(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ONNX file of the trained checkpoint at 576x320, with the dense heads as extra outputs."""
    path = tmp_path_factory.mktemp("trained-dense") / "dense.onnx"
    options = GraphOptions((576, 320), dense_heads=True)
    return convert(shared / "checkpoints" / "fairmot_dla34.pth", path, options).path


@pytest.fixture(scope="session")
def model(small_model: Path) -> onnx.ModelProto:
    """The small network as a float graph, to be quantized; not to be changed."""
    return onnx.load(small_model)


@pytest.fixture(scope="session")
def images() -> UInt8Array:
    """Images to calibrate on and to test with."""
    return draw_images((128, 96), 16)


@pytest.fixture(scope="session")
def ranges(model: onnx.ModelProto, images: UInt8Array) -> Ranges:
    """Ranges of the small network over every other image."""
    return calibrate(model, images[::2])
