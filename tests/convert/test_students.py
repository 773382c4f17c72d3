"""A student starts as near to its teacher as plain convolutions come, and its file says what it is."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_fairmot.convert import load_network
from edge_fairmot.convert.atlas import measure_atlas
from edge_fairmot.convert.checkpoint import write_checkpoint
from edge_fairmot.convert.deform_conv import deform_conv2d_gather, fold_taps
from edge_fairmot.convert.network import FairMOT, NetworkSpec, deformable_layers, normalise_images
from edge_fairmot.convert.parity import draw_images
from edge_fairmot.convert.replacement import choose_layers, copy_plain, make_narrow, make_student
from edge_fairmot.errors import CheckpointError, InvalidInputError

INWARD = torch.tensor([(dy, dx) for dy in (0.3, 0.2, -0.4) for dx in (0.25, -0.15, -0.3)])
"""Offsets whose samples lie between cells of the same nine."""

MASK = torch.linspace(0.2, 0.9, 9)


@pytest.fixture(scope="module")
def pictures():
    return draw_images((96, 64), 2)


@pytest.fixture(scope="module")
def teacher(lively_network):
    return lively_network()


@pytest.fixture(scope="module")
def stiff_teacher(teacher):
    """A network whose offsets and masks are the same everywhere."""
    network = copy.deepcopy(teacher)
    for layer in deformable_layers(network).values():
        torch.nn.init.zeros_(layer.conv_offset_mask.weight)
        layer.conv_offset_mask.bias.data[:18] = INWARD.flatten()
        layer.conv_offset_mask.bias.data[18:] = torch.logit(MASK)
    return network


def assert_same_heads(student, expected_network, pictures):
    x = normalise_images(torch.from_numpy(pictures))
    with torch.no_grad():
        theirs, ours = expected_network(x), student(x)
    for name, expected in theirs.items():
        assert (ours[name] - expected).abs().max() < 1e-4 * (expected.max() - expected.min()), name


@settings(max_examples=25)
@given(seed=st.integers(0, 2**31), height=st.integers(1, 6), width=st.integers(1, 6))
def test_folded_taps_are_the_deformable_convolution_of_constant_inward_offsets(seed, height, width):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(2, 3, height, width, generator=generator, dtype=torch.float64)
    weight = torch.randn(4, 3, 3, 3, generator=generator, dtype=torch.float64)
    bias = torch.randn(4, generator=generator, dtype=torch.float64)
    tap = torch.cartesian_prod(torch.arange(3), torch.arange(3))
    offset = 2 * torch.rand(9, 2, generator=generator, dtype=torch.float64) - tap
    mask = torch.rand(9, generator=generator, dtype=torch.float64)

    def everywhere(values):
        return values.flatten().view(1, -1, 1, 1).expand(2, -1, height, width)

    deformed = deform_conv2d_gather(x, everywhere(offset), everywhere(mask), weight, bias)

    plain = F.conv2d(x, fold_taps(weight, offset, mask), bias, padding=1)

    assert torch.allclose(plain, deformed, atol=1e-10)


def test_the_atlas_of_a_stiff_network_is_what_was_put_in(stiff_teacher, pictures):
    atlas = measure_atlas(stiff_teacher, pictures)

    assert list(atlas) == list(deformable_layers(stiff_teacher))
    length = INWARD.norm(dim=1).double().numpy()
    for layer in atlas.values():
        assert layer.offset_mean == pytest.approx(length.mean(), abs=1e-6)
        assert layer.offset_largest == pytest.approx(length.max(), abs=1e-6)
        assert np.allclose(layer.tap_offset, INWARD, atol=1e-6)
        assert np.allclose(layer.tap_mask, MASK, atol=1e-6)
        assert layer.mask_deviation < 1e-3
        assert layer.shift_pays
        assert layer.error < 1e-5 < layer.mask_error


def test_the_atlas_of_a_lively_network_is_what_its_layers_emit(teacher, pictures):
    name = "ida_up.node_1.conv"
    layer, seen = deformable_layers(teacher)[name], []
    hook = layer.register_forward_hook(lambda module, args, output: seen.append((args[0], output)))
    with torch.no_grad():
        teacher(normalise_images(torch.from_numpy(pictures)))
        hook.remove()
        x, y = seen[0]
        emitted = layer.conv_offset_mask(x).double()

    found = measure_atlas(teacher, pictures)[name]

    length = np.hypot(emitted[:, 0:18:2].numpy(), emitted[:, 1:18:2].numpy())
    mask = 1 / (1 + np.exp(-emitted[:, 18:].numpy()))
    assert found.offset_mean == pytest.approx(length.mean(), rel=1e-4)
    assert found.offset_largest == pytest.approx(length.max(), rel=1e-4)
    assert found.offset_percentiles["p50"] == pytest.approx(np.median(length), rel=0.05)
    assert found.offset_percentiles["p99"] == pytest.approx(np.percentile(length, 99), rel=0.1)
    assert found.tap_offset[4][1] == pytest.approx(float(emitted[:, 9].mean()), rel=1e-4)
    assert found.tap_mask == pytest.approx(mask.mean(axis=(0, 2, 3)), rel=1e-4)
    assert found.mask_deviation == pytest.approx(np.sqrt(mask.var(axis=(0, 2, 3)).mean()), rel=1e-3)
    weight = layer.weight.detach() * torch.tensor(found.tap_mask).view(1, 1, 3, 3)
    gap = F.conv2d(x, weight, layer.bias.detach(), padding=1) - y
    spread = (y - y.mean(dim=(0, 2, 3), keepdim=True)).square().mean()
    assert found.mask_error == pytest.approx(float((gap.square().mean() / spread).sqrt()), rel=1e-2)


def test_a_student_of_a_stiff_teacher_is_its_equal(stiff_teacher, pictures):
    layers = choose_layers(stiff_teacher, ["all"])

    student = make_student(stiff_teacher, measure_atlas(stiff_teacher, pictures), layers)

    assert not deformable_layers(student)
    assert_same_heads(student, stiff_teacher, pictures)


@pytest.mark.parametrize("times", [2, 4])
def test_of_channels_that_are_equal_a_narrow_student_needs_one(lively_network, pictures, times):
    narrow = lively_network(NetworkSpec(base_channels=16 // times))
    wide = FairMOT(NetworkSpec()).eval()
    weights = narrow.state_dict()
    wide.load_state_dict(
        {name: repeat_channels(weights[name], value.shape) for name, value in wide.state_dict().items()}
    )

    student = make_narrow(wide, 1 / times, frozenset())

    assert_same_heads(student, narrow, pictures)


def repeat_channels(tensor, shape):
    """Each as often as it takes, with as much less weight where they are added up."""
    for axis, (few, many) in enumerate(zip(tensor.shape, shape, strict=True)):
        if few < many:
            tensor = tensor.repeat_interleave(many // few, dim=axis) * (few / many if axis == 1 else 1)
    return tensor


def test_a_file_of_a_student_says_which_layers_are_plain_and_whose_it_is(teacher, pictures, tmp_path):
    layers = choose_layers(teacher, ["dla_up.ida_1", "ida_up.node_2.conv"])
    student = copy_plain(teacher, layers)
    write_checkpoint(tmp_path / "student.pth", student, 7, "abc")

    loaded, checkpoint = load_network(tmp_path / "student.pth")

    assert checkpoint.spec.plain_layers == layers
    assert len(layers) == 5
    assert checkpoint.teacher_sha256 == "abc"
    assert deformable_layers(teacher).keys() - deformable_layers(loaded).keys() == layers
    x = normalise_images(torch.from_numpy(pictures))
    with torch.no_grad():
        assert torch.equal(loaded(x)["id"], student(x)["id"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["student.pth"]


@pytest.mark.parametrize("gone", ["conv_offset_mask.bias", "conv_offset_mask.weight", "weight", "bias"])
def test_anything_but_both_tensors_of_the_offsets_missing_is_refused_by_name(teacher, tmp_path, gone):
    state = dict(teacher.state_dict())
    del state[f"ida_up.node_1.conv.{gone}"]
    torch.save(state, tmp_path / "model.pth")

    with pytest.raises(CheckpointError, match=rf"1 missing: ida_up\.node_1\.conv\.{gone}"):
        load_network(tmp_path / "model.pth")


def test_a_plain_layer_without_a_weight_is_refused_by_name(teacher, tmp_path):
    state = dict(copy_plain(teacher, frozenset(["ida_up.node_1.conv"])).state_dict())
    del state["ida_up.node_1.conv.weight"]
    torch.save(state, tmp_path / "model.pth")

    with pytest.raises(CheckpointError, match=r"missing: .*ida_up\.node_1\.conv\.weight"):
        load_network(tmp_path / "model.pth")


def test_what_is_no_layer_is_refused(teacher):
    with pytest.raises(InvalidInputError, match=r"no deformable layer is called 'ida_up\.node'"):
        choose_layers(teacher, ["ida_up.node"])


def test_a_student_that_cannot_be_written_leaves_nothing(teacher, tmp_path):
    with pytest.raises(CheckpointError, match="cannot write"):
        write_checkpoint(tmp_path / "absent" / "student.pth", teacher, 0, "")
    assert not list(Path(tmp_path).iterdir())
