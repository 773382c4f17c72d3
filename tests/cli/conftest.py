from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from edge_fairmot.convert import FairMOT


@pytest.fixture(scope="session")
def people_checkpoint(
    lively_network: Callable[[], FairMOT], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A lively network with large boxes and few peaks.

    Rounding moves the box of a sliver by half of it, and scores that saturate at 1 tie.
    """
    torch = pytest.importorskip("torch", reason="needs the convert extra")
    network = lively_network()
    network.wh[2].bias.data += 12
    network.hm[2].weight.data *= 0.1
    network.hm[2].bias.data -= 1
    path = tmp_path_factory.mktemp("people") / "lively.pth"
    torch.save(network.state_dict(), path)
    return path


@pytest.fixture(scope="session")
def people_model(people_checkpoint: Path) -> Path:
    """ONNX file of it: 128x96, 64 detections."""
    from edge_fairmot.convert import GraphOptions, convert

    options = GraphOptions((128, 96), max_detections=64)
    return convert(people_checkpoint, people_checkpoint.with_name("small.onnx"), options).path


@pytest.fixture(autouse=True)
def _own_state(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts of one test do not go on in another."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
