"""Checkpoints load strictly, and any other file is refused with a reason."""

import pytest
import torch

from edge_fairmot.convert import FairMOT, NetworkSpec, load_network, read_checkpoint
from edge_fairmot.convert.checkpoint import write_checkpoint
from edge_fairmot.errors import CheckpointError

SPEC = NetworkSpec(base_channels=4)


@pytest.fixture(scope="module")
def tensors():
    torch.manual_seed(0)
    return FairMOT(SPEC).state_dict()


@pytest.fixture
def save(tmp_path):
    def save(content):
        path = tmp_path / "model.pth"
        torch.save(content, path)
        return path

    return save


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("wrapped", [True, False])
def test_loads_bare_wrapped_and_parallel_state_dicts(save, tensors, prefix, wrapped):
    state = {prefix + name: value for name, value in tensors.items()}
    path = save({"epoch": 3, "state_dict": state, "optimizer": {}} if wrapped else state)
    network, checkpoint = load_network(path)
    assert not network.training
    assert checkpoint.spec == SPEC
    assert torch.equal(network.state_dict()["hm.2.weight"], tensors["hm.2.weight"])


@pytest.mark.parametrize(
    "spec", [NetworkSpec(1, 2, 128, base_channels=8), NetworkSpec(5, 4, 32, base_channels=4)]
)
def test_the_shape_of_the_network_is_read_from_the_tensors(save, spec):
    assert read_checkpoint(save(FairMOT(spec).state_dict())).spec == spec


def test_the_unused_classifier_is_accepted(save, tensors):
    classifier = {"base.fc.weight": torch.zeros(1000, 128, 1, 1), "base.fc.bias": torch.zeros(1000)}
    assert "base.fc.bias" not in read_checkpoint(save(tensors | classifier)).state_dict


def test_missing_extra_misshapen_and_nan_tensors_are_named(save, tensors):
    broken = dict(tensors)
    del broken["base.level3.project.0.weight"]
    broken["head.extra"] = torch.zeros(1)
    broken["ida_up.up_2.weight"] = torch.zeros(16, 1, 4, 4)
    broken["reg.0.bias"] = torch.full_like(tensors["reg.0.bias"], torch.nan)
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(save(broken))
    message = str(caught.value)
    assert "1 missing: base.level3.project.0.weight" in message
    assert "1 not known: head.extra" in message
    assert "ida_up.up_2.weight (16, 1, 4, 4) instead of (16, 1, 8, 8)" in message
    assert "1 not finite: reg.0.bias" in message
    assert "\n" not in message


@pytest.mark.parametrize("gone", ["conv_offset_mask.bias", "weight"])
def test_half_a_deformable_layer_is_no_plain_layer(save, tensors, gone):
    state = dict(tensors)
    del state[f"ida_up.node_1.conv.{gone}"]
    with pytest.raises(CheckpointError, match=rf"1 missing: ida_up\.node_1\.conv\.{gone}"):
        load_network(save(state))


def test_pickled_code_is_refused_and_not_run(save):
    class Payload:
        def __reduce__(self):
            return (print, ("run",), None, None, None)

    with pytest.raises(CheckpointError, match="pickled code"):
        read_checkpoint(save({"state_dict": {}, "payload": Payload()}))


@pytest.mark.parametrize("content", [b"", b"this is a text file\n" * 50, b"PK\x03\x04 cut short"])
def test_files_of_another_kind_are_refused(tmp_path, content):
    path = tmp_path / "model.pth"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="is not a PyTorch checkpoint"):
        read_checkpoint(path)


def test_other_contents_are_refused(tmp_path, save, tensors):
    with pytest.raises(CheckpointError, match="no checkpoint at"):
        read_checkpoint(tmp_path / "absent.pth")
    with pytest.raises(CheckpointError, match="no state_dict"):
        read_checkpoint(save([torch.zeros(1)]))
    with pytest.raises(CheckpointError, match=r"has no tensor hm\.2\.weight"):
        read_checkpoint(save({"backbone.conv1.weight": torch.zeros(64, 3, 7, 7)}))
    path = save(tensors)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(CheckpointError, match="cut short"):
        read_checkpoint(path)


def test_a_checkpoint_that_cannot_be_written_leaves_nothing(tmp_path):
    with pytest.raises(CheckpointError, match="cannot write"):
        write_checkpoint(tmp_path / "absent" / "student.pth", FairMOT(SPEC), 0)
    assert not list(tmp_path.iterdir())
