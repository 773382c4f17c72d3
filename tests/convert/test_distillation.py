"""A student comes nearer to its teacher, step for step the same whether or not it was interrupted."""

import copy

import numpy as np
import pytest
import torch

from edge_fairmot.convert import FairMOT, GraphOptions, convert, load_network
from edge_fairmot.convert.agreement import Agreement
from edge_fairmot.convert.atlas import measure_atlas
from edge_fairmot.convert.checkpoint import write_checkpoint
from edge_fairmot.convert.distillation import Distillation, DistillationOptions
from edge_fairmot.convert.distillation_run import StudentFiles, run_distillation
from edge_fairmot.convert.footage import Footage, HeldOutFrame, HeldOutSequence
from edge_fairmot.convert.learning_run import RunLimits
from edge_fairmot.convert.network import deformable_layers, normalise_images
from edge_fairmot.convert.parity import draw_images
from edge_fairmot.convert.replacement import choose_layers, make_narrow, make_student
from edge_fairmot.convert.teacher import _TorchTeacher, make_teacher
from edge_fairmot.errors import CheckpointError, InvalidInputError
from edge_fairmot.letterbox import Letterbox

SIZE = (64, 64)
OPTIONS = DistillationOptions(input_size=SIZE, piece_side=64, batch_size=2, learning_rate=1e-4)


@pytest.fixture(scope="module")
def footage():
    pictures = draw_images(SIZE, 5)
    frames = tuple(HeldOutFrame(picture, i, i / 25) for i, picture in enumerate(pictures[3:]))
    sequence = HeldOutSequence("drawn", 25.0, Letterbox(SIZE, SIZE), frames)
    return Footage(tuple(pictures[:3]), (sequence,))


@pytest.fixture(scope="module")
def teacher(lively_network):
    network = lively_network().requires_grad_(False)
    for layer in deformable_layers(network).values():
        layer.conv_offset_mask.bias.mul_(0.2)
    return network


@pytest.fixture(scope="module")
def atlas(teacher, footage):
    return measure_atlas(teacher, np.stack(footage.pictures))


@pytest.fixture
def start(teacher, atlas, footage):
    def start(options=OPTIONS, footage=footage, student=None):
        if student is None:
            student = make_student(teacher, atlas, choose_layers(teacher, ["all"]))
        return Distillation(student, teacher, _TorchTeacher(teacher), footage, options)

    return start


def weights(distillation):
    return {
        f"{which}.{name}": value.clone()
        for which, network in (("student", distillation._student), ("average", distillation.average))
        for name, value in network.state_dict().items()
    }


def assert_same(ours, theirs):
    assert ours.keys() == theirs.keys()
    assert not [name for name in ours if not torch.equal(ours[name], theirs[name])]


def test_the_loss_falls(start):
    distillation = start()

    before = distillation.step()["total"]
    for _ in range(7):
        distillation.step()
    distillation.steps = 0  # the first batch again
    after = distillation.step()["total"]

    assert after < 0.9 * before


def test_every_part_of_the_loss_is_nothing_for_the_teacher_itself(start, teacher):
    losses = start(student=copy.deepcopy(teacher).requires_grad_(True)).step()

    assert set(losses) == {"features", "heatmap", "boxes", "embeddings", "total"}
    assert all(abs(value) < 1e-4 for value in losses.values()), losses


@pytest.mark.parametrize(
    ("part", "tensor"),
    [
        ("features", "ida_up.node_2.conv.weight"),
        ("heatmap", "hm.2.weight"),
        ("boxes", "wh.2.weight"),
        ("boxes", "reg.2.weight"),
        ("embeddings", "id.2.weight"),
    ],
)
def test_every_head_is_in_its_part_of_the_loss(start, teacher, part, tensor):
    student = copy.deepcopy(teacher).requires_grad_(True)
    with torch.no_grad():
        changed = student.get_parameter(tensor)
        changed += (
            0.5 * changed.std() * torch.randn(changed.shape, generator=torch.Generator().manual_seed(0))
        )

    losses = start(student=student).step()

    assert losses[part] > 1e-3


def test_backbone_and_statistics_stay_the_teachers(start, teacher):
    distillation = start()
    distillation.step()
    distillation.step()

    before, student, average = (
        teacher.state_dict(),
        *(network.state_dict() for network in (distillation._student, distillation.average)),
    )
    frozen = [name for name in student if name.startswith("base.") or "running" in name]
    trained = [
        "dla_up.ida_0.proj_1.conv.weight",
        "ida_up.node_2.actf.0.bias",
        "ida_up.up_1.weight",
        "id.0.bias",
    ]
    assert len(frozen) > 100
    for name in frozen:
        assert torch.equal(student[name], before[name]), name
        assert torch.equal(average[name], before[name]), name
    for name in trained:
        assert not torch.equal(student[name], average[name]), name


def test_a_resumed_run_takes_the_steps_of_one_that_was_not_interrupted(start, tmp_path):
    whole = start()
    for _ in range(4):
        whole.step()

    first = start()
    first.step()
    first.step()
    first.save(tmp_path / "run.resume", "abc")
    second = start()
    second.resume(tmp_path / "run.resume", "abc")
    second.step()
    second.step()

    assert second.steps == whole.steps == 4
    assert_same(weights(second), weights(whole))


def test_another_seed_takes_other_steps(start):
    one, other = start(), start(DistillationOptions(SIZE, 64, 2, 1e-4, seed=1))
    one.step()
    other.step()
    assert not torch.equal(weights(one)["student.hm.2.bias"], weights(other)["student.hm.2.bias"])


def test_a_run_of_something_else_is_not_resumed(start, footage, tmp_path):
    start().save(tmp_path / "run.resume", "abc")
    others = {
        "teacher": (start(), "abd"),
        "learning rate": (start(DistillationOptions(SIZE, 64, 2, 2e-4)), "abc"),
        "frames": (start(footage=Footage(footage.pictures[:2], footage.held_out)), "abc"),
    }
    for what, (distillation, teacher_sha256) in others.items():
        with pytest.raises(CheckpointError, match=f"made with other {what}"):
            distillation.resume(tmp_path / "run.resume", teacher_sha256)
    (tmp_path / "cut.resume").write_bytes((tmp_path / "run.resume").read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="not a resume file"):
        start().resume(tmp_path / "cut.resume", "abc")
    with pytest.raises(CheckpointError, match="nothing to resume"):
        start().resume(tmp_path / "absent.resume", "abc")


def test_a_run_judges_stops_and_leaves_a_checkpoint(start, teacher, footage, tmp_path):
    agreement = Agreement(teacher, footage.held_out, score_threshold=0.1)
    files = StudentFiles(tmp_path / "student.pth", tmp_path / "student.pth.resume", "abc")
    judged = []

    perfect = agreement.judge(teacher)
    report = run_distillation(
        start(),
        agreement,
        RunLimits(steps=3, judge_every=2, early_stop=False),
        files,
        on_judgement=lambda steps, report: judged.append((steps, report.figures)),
    )

    assert agreement.people > 0
    assert perfect.passed
    assert perfect.figures.peaks.recall == 1.0
    assert perfect.figures.embeddings.mean > 0.9999
    assert [steps for steps, _ in judged] == [0, 2, 3]
    assert judged[-1][1] == report.figures != perfect.figures
    student, checkpoint = load_network(files.student)
    assert isinstance(student, FairMOT)
    assert not deformable_layers(student)
    assert checkpoint.teacher_sha256 == "abc"
    again = start()
    again.resume(files.resume, "abc")
    assert again.steps == 3
    assert agreement.judge(student).figures == report.figures


def test_a_run_stops_early_when_the_student_is_good_enough(start, teacher, footage, tmp_path):
    student = copy.deepcopy(teacher).requires_grad_(True)
    agreement = Agreement(teacher, footage.held_out, score_threshold=0.1)
    files = StudentFiles(tmp_path / "student.pth", tmp_path / "student.pth.resume", "abc")
    steps = []

    run_distillation(
        start(student=student), agreement, RunLimits(minutes=5), files, on_step=lambda *s: steps.append(s)
    )

    assert steps == []


def test_the_fast_teacher_on_a_cpu_teaches_the_same(teacher):
    images = draw_images((96, 64), 2)

    fast, slow = make_teacher(teacher, (2, 64, 96))(images), _TorchTeacher(teacher)(images)

    for ours, theirs in zip(
        [*fast.levels, *fast.maps, fast.heatmap], [*slow.levels, *slow.maps, slow.heatmap], strict=True
    ):
        assert (ours - theirs).abs().max() < 1e-4 * (theirs.max() - theirs.min())


@pytest.fixture
def start_narrow(teacher, start):
    def start_narrow(layers=("all",)):
        options = DistillationOptions(SIZE, 64, 2, 1e-3)
        return start(options, student=make_narrow(teacher, 0.5, choose_layers(teacher, layers)))

    return start_narrow


def test_a_narrow_student_learns_all_of_it_with_statistics_of_its_own(start_narrow, teacher):
    distillation = start_narrow()
    before = weights(distillation)

    first = distillation.step()["total"]
    for _ in range(9):
        distillation.step()
    distillation.steps = 0  # the first batch again
    again = distillation.step()["total"]

    assert again < 0.9 * first
    after = weights(distillation)
    for name in ("base.level2.tree1.conv1.weight", "base.level2.tree1.bn1.running_mean", "hm.2.weight"):
        assert not torch.equal(after[f"student.{name}"], before[f"student.{name}"]), name
    statistics = [name for name in after if name.startswith("student.") and "running" in name]
    assert statistics
    for name in statistics:
        assert torch.equal(after[name], after[name.replace("student.", "average.")]), name
    assert not distillation.average.training
    assert distillation._student.training


def test_a_narrow_student_s_statistics_fit_after_one_step(start_narrow, footage):
    distillation = start_narrow()
    distillation.step()

    with torch.no_grad():
        heads = distillation.average(normalise_images(torch.from_numpy(np.stack(footage.pictures))))

    assert heads["hm"].abs().max() < 1000  # 1e8 with the teacher's


def test_a_resumed_narrow_run_takes_the_steps_of_one_that_was_not_interrupted(start_narrow, tmp_path):
    whole, first, second = start_narrow(), start_narrow(), start_narrow()
    for _ in range(2):
        whole.step()
    first.step()
    first.save(tmp_path / "run.resume", "abc")
    second.resume(tmp_path / "run.resume", "abc")
    second.step()

    assert_same(weights(second), weights(whole))
    with pytest.raises(CheckpointError, match="made with other layers"):
        start_narrow(["dla_up"]).resume(tmp_path / "run.resume", "abc")


def test_a_narrow_student_is_a_checkpoint_and_a_file_like_others(start_narrow, teacher, tmp_path):
    distillation = start_narrow(["dla_up"])
    distillation.step()
    distillation.average.hm[2].weight *= 0.05  # or scores of this network of chance are 1, and equal
    write_checkpoint(tmp_path / "narrow.pth", distillation.average, 1, "abc")

    network, checkpoint = load_network(tmp_path / "narrow.pth")
    conversion = convert(tmp_path / "narrow.pth", tmp_path / "narrow.onnx", GraphOptions(SIZE))

    assert checkpoint.spec.base_channels == 8
    assert checkpoint.spec.embedding_dim == teacher.spec.embedding_dim
    assert len(deformable_layers(network)) == 4
    assert network.hm[0].weight.shape == (128, 32, 3, 3)
    assert not conversion.warnings


@pytest.mark.parametrize("width", [0, 1, 1.5, 0.3, -0.5])
def test_widths_that_cannot_be_are_refused(teacher, width):
    with pytest.raises(InvalidInputError, match="width"):
        make_narrow(teacher, width, frozenset())


@pytest.mark.parametrize(
    "wrong",
    [
        {"piece_side": 100},
        {"batch_size": 0},
        {"learning_rate": 0.0},
        {"average_decay": 1.0},
        {"input_size": (64, 50)},
        {"seed": -1},
    ],
)
def test_options_that_cannot_be_are_refused(wrong):
    with pytest.raises(InvalidInputError, match="must be"):
        DistillationOptions(**wrong)


@pytest.mark.parametrize("wrong", [{}, {"steps": -1}, {"minutes": 0.0}, {"steps": 1, "judge_every": 0}])
def test_limits_that_cannot_be_are_refused(wrong):
    with pytest.raises(InvalidInputError):
        RunLimits(**wrong)
