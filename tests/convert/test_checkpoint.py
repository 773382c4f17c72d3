"""Checkpoints load strictly, and any other file is refused with a reason."""

import zipfile

import numpy as np
import pytest
import torch

from edge_fairmot.convert import NetworkSpec, build_network, load_network, read_checkpoint
from edge_fairmot.convert.checkpoint import write_checkpoint
from edge_fairmot.errors import CheckpointError

SPEC = NetworkSpec(base_channels=4)


@pytest.fixture(scope="module")
def tensors():
    torch.manual_seed(0)
    return build_network(SPEC).state_dict()


@pytest.fixture
def save(tmp_path):
    def save(content):
        path = tmp_path / "model.pth"
        torch.save(content, path)
        return path

    return save


@pytest.mark.parametrize(
    ("key", "prefix"),
    [
        ("", ""),
        ("state_dict", "module."),
        ("model", "module.module."),
        ("model_state_dict", "_orig_mod."),
        ("", "model."),
        ("state_dict", "module._orig_mod."),
    ],
)
def test_wrappers_and_prefixes_are_taken_off(save, tensors, key, prefix):
    state = {prefix + name: value for name, value in tensors.items()}
    path = save({"epoch": 3, key: state, "optimizer": {}} if key else state)
    network, checkpoint = load_network(path)
    assert not network.training
    assert checkpoint.spec == SPEC
    assert torch.equal(network.state_dict()["hm.2.weight"], tensors["hm.2.weight"])


def test_numbers_of_numpy_beside_the_tensors_are_passed_over(save, tensors):
    path = save({"epoch": np.int64(30), "lr": np.float64(1e-4), "best": np.float32(2), "state_dict": tensors})
    assert read_checkpoint(path).spec == SPEC


def test_variants_of_the_names_give_the_same_network(save, tensors, caplog):
    variant = {
        f"model.{name.replace('.conv_offset_mask.', '.conv_offset.')}": value  # mmcv's name
        for name, value in tensors.items()
        if not name.endswith("num_batches_tracked")
    }
    training = {
        "loss.s_det": torch.zeros(1),
        "s_id": torch.zeros(1),
        "classifier.weight": torch.zeros(9, 128),
    }
    checkpoint = read_checkpoint(save({"state_dict": variant | training}))
    assert checkpoint.state_dict.keys() == tensors.keys()
    assert all(torch.equal(value, tensors[name]) for name, value in checkpoint.state_dict.items())
    assert "3 tensors of training are not used: loss.s_det, s_id, classifier.weight" in caplog.text


def test_without_a_reg_head_boxes_are_in_the_centres_of_their_cells(save, tensors, caplog):
    """As the original's mot_decode, which adds 0.5 where --not_reg_offset left the head out."""
    network, _ = load_network(save({name: v for name, v in tensors.items() if not name.startswith("reg.")}))
    with torch.no_grad():
        assert torch.equal(network(torch.rand(1, 3, 32, 64))["reg"], torch.full((1, 2, 8, 16), 0.5))
    assert "has no reg head, so it was trained with --not_reg_offset" in caplog.text


def test_a_name_that_is_there_twice_is_refused(save, tensors):
    with pytest.raises(CheckpointError, match=r"two tensors hm\.2\.bias, with and without a prefix"):
        read_checkpoint(save(tensors | {"module.hm.2.bias": torch.zeros(1)}))


def test_a_centernet_detector_is_told_as_such(save, tensors):
    state = {name: value for name, value in tensors.items() if not name.startswith("id.")}
    with pytest.raises(CheckpointError, match="is a CenterNet detector: no id head"):
        read_checkpoint(save({"state_dict": state}))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda weight: torch.zeros(1).expand(1 << 36, 4, 1, 1), "68719476736, 4, 1, 1"),  # 1 TB from 4 bytes
        (lambda weight: torch.zeros(0, 4, 1, 1), "fewer values"),
        (lambda weight: weight.to_sparse(), "sparse"),
        (lambda weight: weight.to("meta"), "without values"),
        (lambda weight: weight.to(torch.complex64), "complex64"),
        (lambda weight: weight.int(), "int32"),
        (lambda weight: torch.quantize_per_tensor(weight, 0.1, 0, torch.qint8), "quantized"),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")  # of torch itself
def test_tensors_that_are_no_weights_are_refused_unread(save, tensors, make, reason):
    path = save({"state_dict": tensors | {"hm.2.weight": make(tensors["hm.2.weight"])}})
    with pytest.raises(CheckpointError, match=rf"1 tensors are no weights: hm\.2\.weight.*{reason}"):
        read_checkpoint(path)


def test_a_compressed_file_is_refused_before_it_fills_the_memory(save, tensors, tmp_path):
    path = save({"state_dict": tensors, "more": torch.zeros(1 << 20)})
    packed = tmp_path / "packed.pth"
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    with pytest.raises(CheckpointError, match="is not a PyTorch checkpoint"):
        read_checkpoint(packed)


@pytest.mark.parametrize(
    "spec", [NetworkSpec(1, 2, 128, base_channels=8), NetworkSpec(5, 4, 32, base_channels=4)]
)
def test_the_shape_of_the_network_is_read_from_the_tensors(save, spec):
    assert read_checkpoint(save(build_network(spec).state_dict())).spec == spec


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
        write_checkpoint(tmp_path / "absent" / "student.pth", build_network(SPEC), 0)
    assert not list(tmp_path.iterdir())
