"""``bench sweep`` of a network without deformable layers: no lowering makes another file of it."""

from pathlib import Path

import pytest

from edge_fairmot.benchmarks.contenders import Starter
from edge_fairmot.cli import bench_sweep
from edge_fairmot.cli.bench_sweep import list_variants

CPU = ("cpu",)


class Blank:
    """A benchmark in which nothing is measured yet."""

    def __init__(self):
        self.notes = []

    def is_done(self, starter: Starter) -> bool:
        return False


@pytest.fixture(scope="module")
def student(lively_network, tmp_path_factory) -> Path:
    import torch

    from edge_fairmot.convert import FairMOT, NetworkSpec
    from edge_fairmot.convert.network import deformable_layers

    layers = frozenset(deformable_layers(FairMOT(NetworkSpec())))
    path = tmp_path_factory.mktemp("student") / "student.pth"
    torch.save(lively_network(NetworkSpec(plain_layers=layers)).state_dict(), path)
    return path


def test_a_plain_student_is_made_once_and_found_again(student, tmp_path, monkeypatch):
    from edge_fairmot.convert import GraphOptions, convert

    made = []

    def convert_here(variant, checkpoint, path):
        made.append(path.name)
        late = variant.kind != bench_sweep.NAIVE
        rewrites = {"late_heads": late, "shuffle_upsampling": late}
        convert(checkpoint, path, GraphOptions(variant.size, variant.lowering, **rewrites))

    monkeypatch.setattr(bench_sweep, "_convert", convert_here)
    (group,) = list_variants("96x64", "fp32", "native,im2col", naive=True, calibration="")
    assert [variant.lowering for variant in group] == ["gridsample", "native", "im2col"]

    for _ in range(2):  # a sweep, and one that goes on with it
        benchmark = Blank()
        starters = list(bench_sweep._starters(benchmark, student, group, CPU, tmp_path))

        names = [starter.model.name for starter in starters]
        assert names == made == ["student-96x64-naive.onnx", "student-96x64-fp32-native.onnx"]
        (note,) = benchmark.notes
        assert "no deformable layers" in note
