"""Where int8 sums can overflow, ONNX Runtime is told to take kernels in which they do not."""

from contextlib import suppress
from pathlib import Path

import pytest

from edge_fairmot.runtimes.ort import int8_sums_overflow

pytest.importorskip("onnxruntime", reason="needs onnxruntime")

from edge_fairmot.runtimes import ort_session

HASWELL = "model name\t: Intel(R) Core(TM) i5-4590T\nflags\t\t: fpu sse4_1 avx2 fma\nvmx flags\t: vnmi\n"


@pytest.mark.parametrize(
    ("cpuinfo", "overflow"),
    [
        (HASWELL, True),
        (HASWELL.replace("avx2", "avx2 avx512f avx512_vnni"), False),
        (HASWELL.replace("avx2", "avx2 avx_vnni"), False),
        ("Features\t: fp asimd asimddp\nCPU part\t: 0xd0b\n", False),
        (None, False),
    ],
)
def test_x86_without_vnni_is_told_from_its_flags(tmp_path, cpuinfo, overflow):
    if cpuinfo is not None:
        (tmp_path / "proc").mkdir()
        (tmp_path / "proc/cpuinfo").write_text(cpuinfo)
    assert int8_sums_overflow(tmp_path) == overflow


@pytest.mark.parametrize("overflow", [True, False])
def test_exact_sums_are_asked_for_where_they_are_not_exact_anyway(small_model, monkeypatch, overflow):
    monkeypatch.setattr(ort_session, "int8_sums_overflow", lambda: overflow)
    session = ort_session.open_session(Path(small_model), ["CPUExecutionProvider"])
    asked_for = "0"
    with suppress(RuntimeError):  # there is no such entry
        asked_for = session.get_session_options().get_session_config_entry("session.x64quantprecision")
    assert asked_for == str(int(overflow))
