"""The model that comes with the package is what its card says."""

import json

import pytest

from edge_fairmot.bundled import bundled_model

from .cli.command_line import run


def test_it_is_small_enough_to_come_along():
    assert bundled_model().stat().st_size <= 24e6


def test_its_manifest_and_its_certificate_are_valid():
    pytest.importorskip("onnx", reason="reads the graph with onnx")
    told = json.loads(run("inspect", bundled_model(), "--json").stdout)

    manifest = told["manifest"]
    assert (manifest["input_size"], manifest["class_names"]) == ([704, 384], ["person"])
    assert manifest["deform_conv"] == {}
    assert told["opset"] == 18
    assert told["operators"]["QuantizeLinear"] > 0


def test_its_card_has_data_licence_and_limits():
    card = bundled_model().with_name("MODEL_CARD.md").read_text()

    assert all(
        words in card for words in ("CC BY 4.0", "Roboflow", "Intel", "## Recipe", "## Limits", "MOTA")
    )
    assert "@" not in card
    assert f"{bundled_model().stat().st_size / 1e6:.1f} MB" in card
