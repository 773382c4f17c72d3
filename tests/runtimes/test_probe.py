"""The probe tells an exact runtime from a wrong one, and survives those that crash or hang."""

import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from edge_fairmot.errors import InferenceError
from edge_fairmot.runtimes import list_runtimes, open_runtime, probe_layer
from edge_fairmot.runtimes.probe import EXACT_WITHIN, ProbeResult, probe
from edge_fairmot.runtimes.probe_layer import LOWERINGS

CHOICES = [choice for row in list_runtimes() for choice in row.choices]

RUNTIMES = """
    import os, signal, time
    import numpy as np
    from dataclasses import replace
    from edge_fairmot.errors import InferenceError
    from edge_fairmot.runtimes.ort import CpuRuntime

    class Named(CpuRuntime):
        def infer(self, images):
            return self.spoil(super().infer(images))

    class Right(Named):
        name = "right"
        def spoil(self, raw):
            print("a driver's chatter")
            return raw

    class Rounding(Named):
        name = "rounding"
        def spoil(self, raw):
            return replace(raw, embeddings=raw.embeddings.astype(np.float16).astype(np.float32))

    class NotANumber(Named):
        name = "nan"
        def spoil(self, raw):
            return replace(raw, embeddings=raw.embeddings * np.nan)

    class Crashing(Named):
        name = "crashing"
        def spoil(self, raw):
            os.kill(os.getpid(), signal.SIGSEGV)

    class Leaving(Named):
        name = "leaving"
        def spoil(self, raw):
            os._exit(3)

    class Hanging(Named):
        name = "hanging"
        def spoil(self, raw):
            time.sleep(60)

    class Refusing:
        def __init__(self, path, options=None):
            raise InferenceError(f"{path} is not for me")

    class Failing:
        def __init__(self, path, options=None):
            raise KeyError("weights")
"""
NAMES = {
    "right": "Right",
    "rounding": "Rounding",
    "nan": "NotANumber",
    "crashing": "Crashing",
    "leaving": "Leaving",
    "hanging": "Hanging",
    "refusing": "Refusing",
    "failing": "Failing",
}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder with runtimes of a third party, as pip would leave them."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "probed_runtimes.py").write_text(textwrap.dedent(RUNTIMES))
    info = folder / "probed_runtimes-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: probed-runtimes\nVersion: 1.0\n")
    points = [f"{name} = probed_runtimes:{target}" for name, target in NAMES.items()]
    (info / "entry_points.txt").write_text("\n".join(["[edge_fairmot.runtimes]", *points, ""]))
    return folder


@pytest.fixture
def installed(site, monkeypatch):
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])
    )


def first_of(runtime, time_limit_s=60.0):
    return next(probe(runtime, time_limit_s=time_limit_s))


def test_the_expected_output_is_that_of_another_implementation():
    torch = pytest.importorskip("torch", reason="needs the convert extra")
    from edge_fairmot.convert.deform_conv import deform_conv2d_gather

    planes = probe_layer.draw_picture()[0].transpose(2, 0, 1).reshape(60, 40, 72).astype(np.float64)
    reach = np.repeat(probe_layer.REACHES, 2)[:, None, None]
    kernel, bias = probe_layer.draw_weights()
    arrays = ((planes[27:59] - 128) / 128, (planes[:18] - 128) * reach, planes[18:27] / 256)
    inputs = [torch.from_numpy(array)[None] for array in arrays]
    weights = [torch.from_numpy(array).double() for array in (kernel, bias)]
    expected = deform_conv2d_gather(*inputs, *weights)[0].numpy()
    np.testing.assert_allclose(probe_layer.expected_output(), expected, atol=1e-12)


def test_the_layer_has_what_a_wrong_implementation_trips_over():
    planes = probe_layer.draw_picture()[0].transpose(2, 0, 1).reshape(60, 40, 72).astype(np.float64)
    offset = (planes[:18] - 128) * np.repeat(probe_layer.REACHES, 2)[:, None, None]
    assert offset.min() < -probe_layer.COLUMNS
    assert offset.max() > probe_layer.COLUMNS
    whole = offset == np.round(offset)
    assert 0.1 < whole.mean() < 0.9
    assert planes[18:27].min() == 0
    # Each of these is lost by one mistake or another.
    assert np.abs(probe_layer.expected_output()).max() > 1


@pytest.mark.parametrize("runtime", CHOICES)
def test_every_runtime_here_is_exact_or_says_why_it_is_not_there(runtime):
    results = list(probe(runtime))
    assert [result.lowering for result in results] == list(LOWERINGS)
    for result in results:
        if result.reason:
            assert (result.error, result.best_ms, result.exact) == (None, None, False)
            assert "\n" not in result.reason
        else:
            assert result.exact, result
            assert result.best_ms > 0


def test_the_probe_files_are_as_any_exported_file_but_for_their_norm():
    if "cpu" not in CHOICES:
        pytest.skip("runtime cpu is not here")
    runtime = open_runtime(probe_layer.probe_file("gather"))
    raw = runtime.infer(probe_layer.draw_picture())
    assert raw.boxes.shape == (1, 16, 4)
    assert (np.diff(raw.scores) <= 0).all()
    assert raw.scores.max() <= 1
    assert raw.class_ids.tolist() == [[0] * 16]
    with pytest.raises(InferenceError, match=r"takes uint8 \(1, 800, 72, 3\)"):
        runtime.infer(np.zeros((1, 320, 576, 3), np.uint8))


def test_a_third_party_s_runtime_is_probed_as_any_other(installed):
    result = first_of("right")
    assert result.exact or "DeformConv" in result.reason, result


def test_rounding_is_seen(installed):
    *_, result = probe("rounding")
    assert not result.exact
    assert EXACT_WITHIN < result.error < 1e-2
    assert result.reason == ""


@pytest.mark.parametrize(
    ("runtime", "reason"),
    [
        ("nan", "runtime nan gave embeddings that are not finite"),
        ("crashing", "crashed (SIGSEGV)"),
        ("leaving", "ended with status 3: it said nothing"),
        ("refusing", "probe_native.onnx is not for me"),
        ("failing", "KeyError: 'weights'"),
        ("absent", "there is no runtime called 'absent'"),
    ],
)
def test_what_does_not_run_is_a_row_with_its_reason(installed, runtime, reason):
    first = first_of(runtime)
    assert first.reason.startswith(reason)
    assert first == ProbeResult(runtime, "native", None, None, first.reason)


def test_a_runtime_that_hangs_is_given_up(installed):
    assert first_of("hanging", time_limit_s=5.0).reason == "no answer within 5 s"


def test_the_command_shows_what_was_found(site):
    made = subprocess.run(
        [
            sys.executable,
            "-c",
            "from edge_fairmot.cli.main import run; run()",
            "runtimes",
            "--runtime",
            "refusing",
        ],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(site), "COLUMNS": "200", "NO_COLOR": "1"},
    )
    assert made.returncode == 0, made.stderr
    assert made.stdout.count("does not run") == len(LOWERINGS)
    assert "is not for me" in made.stdout
