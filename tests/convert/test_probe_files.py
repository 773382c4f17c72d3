"""The files of the probe are what their generator makes of the lowerings as they are now."""

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from edge_fairmot.convert import deform_conv
from edge_fairmot.convert.probe_files import make_probe
from edge_fairmot.manifest import MANIFEST_KEY, ModelManifest
from edge_fairmot.runtimes.probe_layer import LOWERINGS, probe_file

MAX_BYTES = 40_000


def anatomy(model):
    """All that computes, without the names that the exporter gives."""
    values = {weight.name: numpy_helper.to_array(weight) for weight in model.graph.initializer}
    made = {value.name: ("input", value.name) for value in model.graph.input}
    nodes = []
    for at, node in enumerate(model.graph.node):
        made |= {name: (at, port) for port, name in enumerate(node.output)}
        attributes = sorted((item.name, onnx.helper.get_attribute_value(item)) for item in node.attribute)
        sources = [values[name].tolist() if name in values else made.get(name) for name in node.input]
        nodes.append((node.op_type, str(attributes), sources))
    outputs = [(value.name, made[value.name]) for value in model.graph.output]
    return nodes, outputs


def test_every_lowering_is_probed():
    assert set(LOWERINGS) == set(deform_conv.LOWERINGS)


@pytest.mark.parametrize("lowering", LOWERINGS)
def test_the_file_is_what_the_generator_makes(lowering):
    kept, made = onnx.load(probe_file(lowering)), make_probe(lowering)
    assert anatomy(kept) == anatomy(made), "python -m edge_fairmot.convert.probe_files runtimes"
    assert kept.opset_import == made.opset_import
    assert kept.ir_version == made.ir_version
    (entry,) = (entry for entry in kept.metadata_props if entry.key == MANIFEST_KEY)
    assert dict(ModelManifest.from_json(entry.value).deform_conv) == {"probe": lowering}


@pytest.mark.parametrize("lowering", LOWERINGS)
def test_the_file_holds_its_lowering_and_is_small(lowering):
    operators = [node.op_type for node in onnx.load(probe_file(lowering)).graph.node]
    counts = [operators.count(name) for name in ("DeformConv", "GridSample", "Gemm", "DeformIm2col")]
    expected = {
        "native": [1, 0, 0, 0],
        "gridsample": [0, 9, 0, 0],
        "gather": [0, 0, 1, 0],
        "im2col": [0, 0, 0, 1],
    }
    assert counts == expected[lowering]
    assert probe_file(lowering).stat().st_size < MAX_BYTES


def test_the_weights_are_not_all_alike():
    (weight,) = (
        w for w in onnx.load(probe_file("native")).graph.initializer if list(w.dims) == [16, 32, 3, 3]
    )
    assert len(np.unique(numpy_helper.to_array(weight))) > 200
