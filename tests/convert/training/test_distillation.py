"""A student comes nearer to its teacher, by the same steps interrupted or not."""

import copy
import dataclasses

import numpy as np
import pytest
import torch

from edge_fairmot.convert import GraphOptions, NetworkSpec, convert, load_network
from edge_fairmot.convert.checkpoint import write_checkpoint
from edge_fairmot.convert.network import deformable_layers, normalise_images
from edge_fairmot.convert.networks import network_name
from edge_fairmot.convert.parity import draw_images
from edge_fairmot.convert.replacement import make_narrow
from edge_fairmot.convert.training import agreement as agreement_module
from edge_fairmot.convert.training.agreement import Agreement
from edge_fairmot.convert.training.distillation import Distillation, start_other, start_student
from edge_fairmot.convert.training.frames import UnlabelledFrames, ValidationSequence
from edge_fairmot.convert.training.options import DistillationOptions
from edge_fairmot.convert.training.teacher import TorchTeacher, make_teacher
from edge_fairmot.errors import CheckpointError, InvalidInputError
from edge_fairmot.letterbox import Letterbox
from edge_fairmot.types import Frame

from ...conftest import make_lively_network  # noqa: TID252
from .conftest import LAYERS, TINY

SIZE = (64, 64)
OPTIONS = DistillationOptions(input_size=SIZE, crop_size=64, batch_size=2, learning_rate=3e-4)


@pytest.fixture(scope="module")
def frames():
    images = draw_images(SIZE, 5)
    shown = tuple(Frame(image, i, i / 25) for i, image in enumerate(images[3:]))
    return UnlabelledFrames(
        tuple(images[:3]), (ValidationSequence("drawn", 25.0, Letterbox(SIZE, SIZE), shown),)
    )


@pytest.fixture(scope="module")
def teacher():
    network = make_lively_network(TINY).requires_grad_(False)
    for layer in deformable_layers(network).values():
        layer.conv_offset_mask.bias.mul_(0.2)
    return network


@pytest.fixture(scope="module")
def plain_student(teacher, frames):
    return start_student(teacher, LAYERS, frames, SIZE)


@pytest.fixture
def start(teacher, plain_student, frames):
    def start(student=None, options=OPTIONS, frames=frames, sha256="abc"):
        student = copy.deepcopy(student or plain_student).requires_grad_(True)
        return Distillation(student, teacher, TorchTeacher(teacher), frames, options, teacher_sha256=sha256)

    return start


def weights(distillation):
    return {
        f"{which}.{name}": value.clone()
        for which, network in (("student", distillation.network), ("average", distillation.average))
        for name, value in network.state_dict().items()
    }


def step_on_first_batch(distillation, count):
    first = distillation.step()["total"]
    for _ in range(count):
        distillation.step()
    distillation.steps = 0
    return first, distillation.step()["total"]


def test_the_loss_falls_and_backbone_and_statistics_stay_the_teachers(start, teacher):
    distillation = start()

    first, again = step_on_first_batch(distillation, 14)

    assert again < 0.9 * first
    before, student, average = (
        network.state_dict() for network in (teacher, distillation.network, distillation.average)
    )
    frozen = [name for name in student if name.startswith("base.") or "running" in name]
    assert len(frozen) > 100
    for name in frozen:
        assert torch.equal(student[name], before[name]), name
        assert torch.equal(average[name], before[name]), name
    for name in ("dla_up.ida_0.proj_1.conv.weight", "ida_up.node_2.actf.0.bias", "ida_up.up_1.weight"):
        assert not torch.equal(student[name], average[name]), name


def test_the_first_averages_forget_faster(start, plain_student):
    distillation = start()
    distillation.step()

    old, new, average = (n.hm[2].weight for n in (plain_student, distillation.network, distillation.average))
    assert torch.allclose(average - old, (new - old) * 10 / 11, atol=1e-7)


def test_every_part_of_the_loss_is_zero_for_the_teacher_itself(start, teacher):
    losses = start(teacher).step()

    assert set(losses) == {"features", "heatmap", "boxes", "embeddings", "total"}
    assert all(abs(value) < 1e-4 for value in losses.values()), losses


@pytest.mark.parametrize(
    ("part", "layer"),
    [
        ("features", "ida_up.node_2.conv"),
        *(("heatmap", "hm.2"), ("boxes", "wh.2"), ("boxes", "reg.2"), ("embeddings", "id.2")),
    ],
)
def test_every_head_is_in_its_part_of_the_loss(start, teacher, part, layer):
    student = copy.deepcopy(teacher)
    changed = student.get_parameter(f"{layer}.weight")
    changed += 0.5 * changed.std() * torch.randn(changed.shape, generator=torch.Generator().manual_seed(0))

    assert start(student).step()[part] > 1e-3


def test_a_resumed_run_takes_the_steps_of_one_that_was_not_interrupted(start, teacher, frames, tmp_path):
    """A narrow student has all that a run keeps: average, statistics and weights beside the network."""
    path = tmp_path / "run.resume"
    for student in (None, make_narrow(teacher, 0.5, LAYERS)):
        whole, first, second = start(student), start(student), start(student)
        for _ in range(3):
            whole.step()
        first.step()
        first.step()
        first.save(path)
        second.resume(path)
        second.step()

        ours, theirs = weights(second), weights(whole)
        assert not [name for name in theirs if not torch.equal(ours[name], theirs[name])]

    for other, names in (
        ({"student": make_narrow(teacher, 0.5, frozenset())}, "layers"),
        ({"student": make_narrow(teacher, 0.25, LAYERS)}, "width"),
        ({"options": dataclasses.replace(OPTIONS, learning_rate=2e-3)}, "learning rate"),
        ({"frames": UnlabelledFrames(frames.train[:2])}, "frames"),
        ({"sha256": "abd"}, "teacher"),
    ):
        with pytest.raises(CheckpointError, match=f"made with other {names}"):
            start(**{"student": student, **other}).resume(path)


def test_a_narrow_student_learns_all_weights_with_statistics_of_its_own(start, teacher, frames, tmp_path):
    some_layers = frozenset(name for name in LAYERS if name.startswith("dla_up"))
    options = dataclasses.replace(OPTIONS, learning_rate=1e-3)
    distillation = start(make_narrow(teacher, 0.5, some_layers), options)
    before = weights(distillation)
    distillation.step()
    with torch.no_grad():
        heads = distillation.average(normalise_images(torch.from_numpy(np.stack(frames.train))))
    assert heads["hm"].abs().max() < 1000  # 1e8 with the teacher's statistics

    first, again = step_on_first_batch(distillation, 9)

    assert again < 0.9 * first
    after = weights(distillation)
    for name in ("base.level2.tree1.conv1.weight", "base.level2.tree1.bn1.running_mean", "hm.2.weight"):
        assert not torch.equal(after[f"student.{name}"], before[f"student.{name}"]), name
    for name in (name for name in after if name.startswith("student.") and "running" in name):
        assert torch.equal(after[name], after[name.replace("student.", "average.")]), name
    assert distillation.network.training
    assert not distillation.average.training

    distillation.average.hm[2].weight *= 0.05  # scores of this random network would be 1, and equal
    write_checkpoint(tmp_path / "narrow.pth", distillation.average, 1, "abc")
    network, checkpoint = load_network(tmp_path / "narrow.pth")
    assert checkpoint.spec.base_channels == 2
    assert checkpoint.teacher_sha256 == "abc"
    assert len(deformable_layers(network)) == 4
    assert not convert(tmp_path / "narrow.pth", tmp_path / "narrow.onnx", GraphOptions(SIZE)).warnings


def test_a_student_of_another_network_learns_from_random_weights(teacher, frames, tmp_path):
    student = start_other(teacher, "yolov5n", seed=1)
    options = dataclasses.replace(OPTIONS, learning_rate=3e-3)
    learner = Distillation(student, teacher, TorchTeacher(teacher), frames, options, teacher_sha256="abc")

    first, again = step_on_first_batch(learner, 8)

    assert again < 0.9 * first
    write_checkpoint(tmp_path / "student.pth", learner.average, 1, "abc")
    spec = load_network(tmp_path / "student.pth")[1].spec
    assert (network_name(spec), spec.embedding_dim) == ("yolov5n", 16)
    assert len(start_other(teacher, "resdcn_18", seed=1).spec.plain_layers) == 3
    with pytest.raises(InvalidInputError, match="the teacher is yolov5n itself: leave --network out"):
        start_other(student, "yolov5n", seed=1)


def test_any_network_teaches(teacher, frames):
    """YOLO is the teacher of DLA; a step needs its levels, maps and heads."""
    spec = NetworkSpec(arch="yolo", base_channels=4, depth=1, embedding_dim=16)
    other = make_lively_network(spec).requires_grad_(False)
    student = copy.deepcopy(teacher).requires_grad_(True)
    learner = Distillation(student, other, TorchTeacher(other), frames, OPTIONS, teacher_sha256="abc")
    assert set(learner.step()) == {"features", "heatmap", "boxes", "embeddings", "total"}
    assert [outputs.shape[1] for outputs in TorchTeacher(other)(frames.train[0][None]).maps] == [32, 16, 8]


def test_a_student_agrees_with_its_teacher_as_far_as_it_detects_the_same(
    teacher, plain_student, frames, monkeypatch
):
    monkeypatch.setattr(agreement_module, "make_teacher", lambda network, shape: TorchTeacher(network))
    agreement = Agreement(teacher, frames.validation, score_threshold=0.1)

    perfect, plain = agreement.compare(teacher), agreement.compare(plain_student)

    assert agreement.people > 0
    assert perfect.passed
    assert perfect.figures.peaks.recall == 1.0
    assert perfect.figures.embeddings.mean > 0.9999
    assert plain.figures != perfect.figures


def test_the_teacher_by_onnx_runtime_computes_the_same(teacher):
    images = draw_images((96, 64), 2)

    fast, slow = make_teacher(teacher, (2, 64, 96))(images), TorchTeacher(teacher)(images)

    for ours, theirs in zip(
        [*fast.levels, *fast.maps, fast.heatmap], [*slow.levels, *slow.maps, slow.heatmap], strict=True
    ):
        assert (ours - theirs).abs().max() < 1e-4 * (theirs.max() - theirs.min())
