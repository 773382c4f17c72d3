"""Runtimes are found by name, take the options that they support, and say which package is missing."""

import builtins
import sys
import types
from contextlib import closing
from dataclasses import fields
from pathlib import Path

import pytest

from edge_fairmot.errors import (
    EdgeFairmotError,
    InvalidInputError,
    MissingDependencyError,
    RuntimeUnavailableError,
)
from edge_fairmot.runtimes import RuntimeOptions, list_runtimes, open_runtime, registry
from edge_fairmot.runtimes.checks import SUPPORTED_OPTIONS

ASKED = {"device": "0", "threads": 2, "precision": "fp16", "hint": "throughput", "cache_folder": Path("kept")}


def status(name):
    return next(row for row in list_runtimes() if row.name == name)


def test_the_list_names_package_and_version():
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs onnxruntime")
    assert (status("cpu").available, status("cpu").fix) == (True, "")
    assert onnxruntime.__version__ in status("cpu").version


@pytest.mark.parametrize("package", ["onnxruntime", "openvino", "ncnn", "MNN"])
def test_a_missing_package_gives_the_pip_line(monkeypatch, tmp_path, package):
    runtime, module = {"onnxruntime": ("cpu", "ort")}.get(package, (package.lower(),) * 2)
    real_import = builtins.__import__

    def import_all_but_one(name, *args, **kwargs):
        if name == package:
            raise ModuleNotFoundError(f"No module named {package!r}")
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", import_all_but_one)
    monkeypatch.delitem(sys.modules, f"edge_fairmot.runtimes.{module}", raising=False)
    with pytest.raises(MissingDependencyError, match=rf"pip install 'edge-fairmot\[{runtime}\]'"):
        open_runtime(tmp_path / "model.onnx", runtime)
    assert (status(runtime).available, status(runtime).fix) == (
        False,
        f"pip install 'edge-fairmot[{runtime}]'",
    )


def test_unknown_runtimes_and_two_devices_are_refused(tmp_path):
    with pytest.raises(RuntimeUnavailableError, match="no runtime called 'tpu': choose from cpu"):
        open_runtime(tmp_path / "absent.onnx", "tpu")
    with pytest.raises(InvalidInputError, match="runtime cuda:0 names a device, and 1 is another"):
        open_runtime(tmp_path / "absent.onnx", "cuda:0", RuntimeOptions(device="1"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threads": 0}, "threads must be at least 1"),
        ({"precision": "int4"}, "precision 'int4': choose from fp32, fp16, bf16"),
        ({"hint": "fast"}, "hint 'fast': choose from latency, throughput"),
    ],
)
def test_values_that_mean_nothing_are_refused(options, message):
    with pytest.raises(InvalidInputError, match=message):
        RuntimeOptions(**options)


@pytest.mark.parametrize("runtime", SUPPORTED_OPTIONS)
def test_an_option_is_taken_or_refused_as_the_table_says(tmp_path, monkeypatch, runtime):
    if not (status(runtime).version or runtime in ("cuda", "tensorrt")):
        pytest.skip(f"runtime {runtime} is not here")
    assert set(ASKED) == {field.name for field in fields(RuntimeOptions)}
    monkeypatch.chdir(tmp_path)
    for option, value in ASKED.items():
        # There is no such file, so that every call fails; an option that is not supported fails first.
        with pytest.raises(EdgeFairmotError) as caught:
            open_runtime(tmp_path / "absent.onnx", runtime, RuntimeOptions(**{option: value}))
        takers = [name for name, options in SUPPORTED_OPTIONS.items() if option in options]
        refusal = (
            f"runtime {runtime} has no {option.replace('_', ' ')} to set ({value}): "
            f"leave it out, or choose from {', '.join(takers)}"
        )
        assert (str(caught.value) == refusal) == (runtime not in takers)


@pytest.fixture
def packages(tmp_path, monkeypatch):
    """Installs records of packages that provide ``onnxruntime``, as pip leaves them."""

    def install(*names):
        monkeypatch.setattr(
            registry.metadata, "packages_distributions", lambda: {"onnxruntime": list(names) * 2}
        )
        monkeypatch.setattr(registry, "TEGRA_RELEASE", tmp_path / "nv_tegra_release")

    return install


def test_the_command_for_a_gpu_is_another_on_a_jetson(packages):
    packages()
    assert registry.gpu_install_command() == "pip install onnxruntime-gpu"
    packages("onnxruntime")
    assert registry.package_conflict() == ""
    assert registry.gpu_install_command() == "pip uninstall -y onnxruntime && pip install onnxruntime-gpu"
    registry.TEGRA_RELEASE.touch()
    assert registry.gpu_install_command().startswith("pip uninstall -y onnxruntime && ")
    assert "JetPack" in registry.gpu_install_command()


def test_packages_that_overwrite_each_other_are_noticed(packages):
    packages("onnxruntime-gpu", "onnxruntime")
    assert registry.package_conflict().startswith("onnxruntime and onnxruntime-gpu overwrite each other's")
    assert registry.gpu_install_command() == (
        "pip uninstall -y onnxruntime onnxruntime-gpu && pip install onnxruntime-gpu"
    )


@pytest.mark.parametrize(
    ("machine", "expected"),
    [
        ({}, "openvino"),
        ({"precision": "int8"}, "openvino"),
        ({"precision": "int8", "overflows": True}, "cpu"),
        ({"overflows": True}, "openvino"),
        ({"installed": False}, "cpu"),
        ({"name": "aarch64"}, "cpu"),
        ({"name": "aarch64", "asked": "openvino"}, "openvino"),
    ],
)
def test_auto_is_the_faster_runtime_that_was_measured(monkeypatch, machine, expected):
    monkeypatch.setattr(registry.platform, "machine", lambda: machine.get("name", "x86_64"))
    monkeypatch.setattr(registry, "find_spec", lambda _: object() if machine.get("installed", True) else None)
    monkeypatch.setattr(registry, "int8_sums_overflow", lambda: machine.get("overflows", False))
    monkeypatch.setenv(registry.CHOSEN_BY, machine.get("asked", ""))
    manifest = types.SimpleNamespace(default_precision=machine.get("precision", "fp32"))
    assert registry.usual_runtime(manifest) == expected


def test_auto_opens_and_says_what_it_opened(still_model, monkeypatch):
    monkeypatch.setenv(registry.CHOSEN_BY, "openvino")
    with closing(open_runtime(still_model)) as opened:
        assert opened.name == "openvino:CPU"
