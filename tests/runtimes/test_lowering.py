"""``convert --for``: the lowering that a runtime needs, by its version."""

import pytest
import typer

from edge_fairmot.errors import InvalidInputError
from edge_fairmot.runtimes import list_runtimes
from edge_fairmot.runtimes.lowering import LOWERINGS, RULES, choose, metadata, parse_lowering


def test_lowerings_and_rules_are_those_that_there_are():
    deform_conv = pytest.importorskip("edge_fairmot.convert.deform_conv", reason="needs the convert extra")
    assert set(LOWERINGS) == set(deform_conv.LOWERINGS)
    assert set(RULES) <= {row.name for row in list_runtimes()}
    assert {rule.older for rule in RULES.values()} <= set(LOWERINGS)
    assert [parse_lowering(text) for text in ("auto", *LOWERINGS)] == ["native", *LOWERINGS]
    with pytest.raises(
        InvalidInputError, match="--deform-conv 'magic': choose from auto, native, gridsample"
    ):
        parse_lowering("magic")


@pytest.mark.parametrize(
    ("target", "lowering"),
    [
        ("cpu@1.25", "native"),
        ("cpu@1.24.4", "gather"),
        ("cpu@1.9", "gather"),  # as numbers, not as text
        ("cuda@1.18", "gather"),
        ("cuda:1@1.26", "native"),
        ("tensorrt@10.3", "native"),
        ("tensorrt@10.0.1", "gridsample"),
        ("openvino:GPU", "native"),
        ("opencv", "gather"),
        ("mnn", "gridsample"),
    ],
)
def test_the_version_decides(target, lowering):
    assert choose(target, calibrated=False).lowering == lowering


@pytest.mark.parametrize(
    ("installed", "target", "lowering", "reason"),
    [
        ({"onnxruntime": "1.32.0"}, "cpu", "native", "; 1.32.0 is installed"),
        ({"onnxruntime-gpu": "1.23.0.post1"}, "cuda", "gather", "; 1.23.0.post1 is installed"),
        ({"onnxruntime": "1.32.0"}, "cpu@1.23", "gather", "; 1.23 is asked for"),
        ({"tensorrt": "8.6.1"}, "tensorrt", "gridsample", "; 8.6.1 is installed"),
        ({}, "tensorrt", "native", "TensorRT has DeformConv from 10.1"),
    ],
)
def test_without_a_version_the_installed_one_decides(monkeypatch, installed, target, lowering, reason):
    def version(package):
        if package not in installed:
            raise metadata.PackageNotFoundError(package)
        return installed[package]

    monkeypatch.setattr(metadata, "version", version)
    choice = choose(target, calibrated=True)
    assert choice.lowering == lowering
    assert choice.reason.endswith(reason)


@pytest.mark.parametrize(
    ("target", "calibrated", "lowering", "precision", "advice"),
    [
        ("openvino", True, "im2col", "int8", False),
        ("openvino", False, "native", "fp32", True),
        ("cpu@1.32", True, "native", "int8", False),
        ("cpu@1.23", True, "gather", "int8", False),
        ("cuda@1.32", False, "native", "fp16", False),
        ("tensorrt@10.3", False, "native", "fp32", False),
    ],
)
def test_lowering_and_precision_are_chosen_together(target, calibrated, lowering, precision, advice):
    choice = choose(target, calibrated=calibrated)
    assert (choice.lowering, choice.precision, bool(choice.advice)) == (lowering, precision, advice)


@pytest.mark.parametrize(
    ("target", "graph"), [("cpu@1.32", "full"), ("opencv", "full"), ("ncnn", "core"), ("mnn", "core")]
)
def test_the_graph_is_chosen(target, graph):
    assert choose(target, calibrated=False).graph == graph


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (
            "mine@1",
            "--for 'mine@1': choose from cpu, .*, mnn; for another runtime",
        ),
        ("openvino@2025.0", "a version matters for cpu, cuda, tensorrt only"),
        ("cpu@", "'' is not a version"),
        ("cpu@new", "'new' is not a version, as in cpu@1.23"),
    ],
)
def test_a_target_that_means_nothing_is_refused(target, message):
    with pytest.raises(InvalidInputError, match=message):
        choose(target, calibrated=False)


def test_no_int8_is_made_for_a_runtime_that_does_not_run_it():
    with pytest.raises(InvalidInputError, match="runtime opencv runs float32 files only: leave --calibrate"):
        choose("opencv", calibrated=True)


def test_convert_takes_the_lowering_and_warns_of_the_precision(monkeypatch, capsys):
    assert converted_with(monkeypatch).deform_conv == "native"
    assert converted_with(monkeypatch, "--deform-conv", "im2col").deform_conv == "im2col"
    assert converted_with(monkeypatch, "--for", "cpu@1.23").deform_conv == "gather"
    assert converted_with(monkeypatch, "--graph", "core").graph == "core"
    assert converted_with(monkeypatch, "--for", "ncnn").graph == "core"
    assert not capsys.readouterr().err
    converted_with(monkeypatch, "--for", "cpu@1.25", "--precision", "fp16")
    assert "warning: a CPU has no float16 arithmetic" in capsys.readouterr().err
    with pytest.raises(InvalidInputError, match="--for cpu and --deform-conv gather both choose"):
        converted_with(monkeypatch, "--for", "cpu", "--deform-conv", "gather")


def converted_with(monkeypatch, *flags):
    """Return the GraphOptions that the command converts with."""
    convert = pytest.importorskip("edge_fairmot.convert", reason="needs the convert extra")
    from edge_fairmot.cli.convert import convert as command

    class Converted(Exception):  # noqa: N818
        pass

    def stop(checkpoint, output, options, **_):
        raise Converted(options)

    monkeypatch.setattr(convert, "convert", stop)
    app = typer.Typer()
    app.command()(command)
    try:
        typer.main.get_command(app)(["absent.pth", "--size", "64x32", *flags], standalone_mode=False)
    except Converted as done:
        return done.args[0]
