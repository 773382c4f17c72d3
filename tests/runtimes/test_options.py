"""What may be asked of a runtime: each takes what the one table says, and refuses the rest by name."""

from dataclasses import fields
from pathlib import Path

import pytest

from edge_fairmot.errors import EdgeFairmotError, InvalidInputError
from edge_fairmot.runtimes import RuntimeOptions, list_runtimes, open_runtime
from edge_fairmot.runtimes.checks import TAKEN_BY, options_of

BUILT_IN = ("cpu", "openvino", "cuda", "tensorrt", "replay")
IMPORTABLE = {"replay"} | {
    row.name for row in list_runtimes() if row.version or row.name in ("cuda", "tensorrt")
}
ASKED = {"device": "0", "threads": 2, "precision": "fp16", "hint": "throughput", "cache_folder": Path("kept")}


def test_every_option_has_a_runtime_that_takes_it():
    assert set(TAKEN_BY) == {field.name for field in fields(RuntimeOptions)} == set(ASKED)
    assert all(set(takers) <= set(BUILT_IN) and takers for takers in TAKEN_BY.values())


@pytest.mark.parametrize(
    ("runtime", "options"),
    [
        ("cpu", ["threads"]),
        ("openvino", ["device", "threads", "precision", "hint", "cache_folder"]),
        ("cuda", ["device"]),
        ("tensorrt", ["device", "precision", "cache_folder"]),
        ("replay", ["threads"]),  # whatever it is, so that a run can be repeated with the same flags
    ],
)
def test_what_each_heeds(runtime, options):
    assert list(options_of(runtime)) == options


@pytest.mark.parametrize("option", ASKED)
@pytest.mark.parametrize("runtime", BUILT_IN)
def test_an_option_is_taken_or_refused_as_the_table_says(tmp_path, monkeypatch, runtime, option):
    if runtime not in IMPORTABLE:
        pytest.skip(f"runtime {runtime} is not here")
    monkeypatch.chdir(tmp_path)
    options = RuntimeOptions(**{option: ASKED[option]})
    # There is no such file, so that it is refused in any case: for the option first, where it is.
    with pytest.raises(EdgeFairmotError) as caught:
        open_runtime(tmp_path / "absent.onnx", runtime, options)
    refused = f"runtime {runtime} has no {option.replace('_', ' ')} to set ({ASKED[option]})" in str(
        caught.value
    )
    assert refused == (runtime not in TAKEN_BY[option])
    assert refused == (option not in options_of(runtime))
    if refused:
        assert str(caught.value).endswith(f"leave it out, or choose from {', '.join(TAKEN_BY[option])}")


def test_two_devices_are_one_too_many(tmp_path):
    with pytest.raises(InvalidInputError, match="runtime cuda:0 names a device, and 1 is another"):
        open_runtime(tmp_path / "absent.onnx", "cuda:0", RuntimeOptions(device="1"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "int4"}, "precision 'int4': choose from fp32, fp16, bf16"),
        ({"hint": "fast"}, "hint 'fast': choose from latency, throughput"),
    ],
)
def test_values_that_mean_nothing_are_refused(options, message):
    with pytest.raises(InvalidInputError, match=message):
        RuntimeOptions(**options)
