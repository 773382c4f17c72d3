"""A student starts as near to its teacher as plain convolutions come, and its file names its teacher."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_fairmot.convert import load_network
from edge_fairmot.convert.checkpoint import write_checkpoint
from edge_fairmot.convert.deform_conv import deform_conv2d_gather
from edge_fairmot.convert.network import NetworkSpec, deformable_layers, normalise_images
from edge_fairmot.convert.networks import build_network
from edge_fairmot.convert.offset_statistics import fold_taps, measure_offsets
from edge_fairmot.convert.parity import draw_images
from edge_fairmot.convert.replacement import choose_layers, copy_plain, make_narrow, make_student
from edge_fairmot.errors import InvalidInputError

INWARD = torch.tensor([(dy, dx) for dy in (0.3, 0.2, -0.4) for dx in (0.25, -0.15, -0.3)])
"""Offsets whose samples lie between cells of the kernel."""

MASK = torch.linspace(0.2, 0.9, 9)


@pytest.fixture(scope="module")
def images():
    return draw_images((96, 64), 2)


@pytest.fixture(scope="module")
def teacher(lively_network):
    return lively_network()


@pytest.fixture(scope="module")
def stiff_teacher(teacher):
    """A network with constant offsets and masks."""
    network = copy.deepcopy(teacher)
    for layer in deformable_layers(network).values():
        torch.nn.init.zeros_(layer.conv_offset_mask.weight)
        layer.conv_offset_mask.bias.data[:18] = INWARD.flatten()
        layer.conv_offset_mask.bias.data[18:] = torch.logit(MASK)
    return network


def assert_same_heads(student, expected_network, images):
    x = normalise_images(torch.from_numpy(images))
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


def test_offset_statistics_of_a_stiff_network_are_its_constants(stiff_teacher, images):
    statistics = measure_offsets(stiff_teacher, images)

    assert list(statistics) == list(deformable_layers(stiff_teacher))
    length = INWARD.norm(dim=1).double().numpy()
    for layer in statistics.values():
        assert layer.offset_mean == pytest.approx(length.mean(), abs=1e-6)
        assert layer.offset_largest == pytest.approx(length.max(), abs=1e-6)
        assert np.allclose(layer.tap_offset, INWARD, atol=1e-6)
        assert np.allclose(layer.tap_mask, MASK, atol=1e-6)
        assert layer.mask_deviation < 1e-3
        assert layer.shift_pays
        assert layer.error < 1e-5 < layer.mask_error


def test_offset_statistics_of_a_lively_network_are_those_of_its_offsets(teacher, images):
    name = "ida_up.node_1.conv"
    layer, seen = deformable_layers(teacher)[name], []
    hook = layer.register_forward_hook(lambda module, args, output: seen.append((args[0], output)))
    with torch.no_grad():
        teacher(normalise_images(torch.from_numpy(images)))
        hook.remove()
        x, y = seen[0]
        emitted = layer.conv_offset_mask(x).double()

    found = measure_offsets(teacher, images)[name]

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


def test_a_student_of_a_stiff_teacher_is_its_equal(stiff_teacher, images):
    layers = choose_layers(stiff_teacher, ["all"])

    student = make_student(stiff_teacher, measure_offsets(stiff_teacher, images), layers)

    assert not deformable_layers(student)
    assert_same_heads(student, stiff_teacher, images)


@pytest.mark.parametrize("times", [2, 4])
def test_a_narrow_student_of_equal_channels_computes_the_same(lively_network, images, times):
    narrow = lively_network(NetworkSpec(base_channels=8 // times))
    wide = build_network(NetworkSpec(base_channels=8)).eval()
    weights = narrow.state_dict()
    wide.load_state_dict(
        {name: repeat_channels(weights[name], value.shape) for name, value in wide.state_dict().items()}
    )

    student = make_narrow(wide, 1 / times, frozenset())

    assert_same_heads(student, narrow, images)


def repeat_channels(tensor, shape):
    """Repeat each channel; where channels are added up, with less weight."""
    for axis, (few, many) in enumerate(zip(tensor.shape, shape, strict=True)):
        if few < many:
            tensor = tensor.repeat_interleave(many // few, dim=axis) * (few / many if axis == 1 else 1)
    return tensor


def test_the_file_of_a_student_names_its_plain_layers_and_its_teacher(teacher, images, tmp_path):
    layers = choose_layers(teacher, ["dla_up.ida_1", "ida_up.node_2.conv"])
    student = copy_plain(teacher, layers)
    write_checkpoint(tmp_path / "student.pth", student, 7, "abc")

    loaded, checkpoint = load_network(tmp_path / "student.pth")

    assert checkpoint.spec.plain_layers == layers
    assert len(layers) == 5
    assert checkpoint.teacher_sha256 == "abc"
    assert deformable_layers(teacher).keys() - deformable_layers(loaded).keys() == layers
    x = normalise_images(torch.from_numpy(images))
    with torch.no_grad():
        assert torch.equal(loaded(x)["id"], student(x)["id"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["student.pth"]


def test_an_unknown_layer_and_a_width_that_does_not_fit_are_refused(teacher):
    with pytest.raises(InvalidInputError, match=r"no deformable layer is called 'ida_up\.node'"):
        choose_layers(teacher, ["ida_up.node"])
    with pytest.raises(InvalidInputError, match="or from none"):
        choose_layers(copy_plain(teacher, choose_layers(teacher, ["all"])), [])
    with pytest.raises(InvalidInputError, match=r"a width of 0\.3 leaves 1\.2 of 4 channels"):
        make_narrow(teacher, 0.3, frozenset())
    with pytest.raises(InvalidInputError, match="no deformable layer"):
        measure_offsets(copy_plain(teacher, choose_layers(teacher, ["all"])), draw_images((96, 64), 1))
    with pytest.raises(InvalidInputError, match="width must be a multiple of 32, not 100"):
        measure_offsets(teacher, draw_images((100, 64), 1))
