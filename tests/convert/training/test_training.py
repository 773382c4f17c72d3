"""A network learns, by the same steps whether interrupted or not, and loads where the original's does."""

import copy
import dataclasses
import json

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the convert extra")

from edge_fairmot.convert import FairMOT, NetworkSpec, load_network  # noqa: E402
from edge_fairmot.convert.checkpoint import write_checkpoint  # noqa: E402
from edge_fairmot.convert.initialisation import initialise  # noqa: E402
from edge_fairmot.convert.network import deformable_layers  # noqa: E402
from edge_fairmot.convert.training import (  # noqa: E402
    LabelledPicture,
    LabelledSet,
    Training,
    TrainingOptions,
)
from edge_fairmot.convert.training.training import WARM_UP_STEPS, learning_rate_at  # noqa: E402
from edge_fairmot.errors import CheckpointError, InvalidInputError  # noqa: E402

OPTIONS = TrainingOptions(
    steps=40, input_size=(64, 64), piece_side=64, batch_size=2, learning_rate=5e-3, batch_statistics=True
)
SPEC = NetworkSpec(plain_layers=frozenset(deformable_layers(FairMOT(NetworkSpec()))))


@pytest.fixture(scope="module")
def labelled():
    """Bright people in front of noise."""
    generator = np.random.default_rng(0)
    pictures = []
    for n in range(4):
        image = generator.integers(0, 90, (64, 64, 3), np.uint8)
        x, y = generator.integers(4, 30, 2)
        image[y : y + 30, x : x + 14] = generator.integers(120, 255, 3)
        box = np.array([[x, y, x + 14, y + 30]], np.float32) / 64
        encoded = cv2.imencode(".png", image)[1].tobytes()
        pictures.append(LabelledPicture(f"{n}", encoded, box, np.array([n]), np.array([True])))
    return LabelledSet(tuple(pictures), tuple(pictures), 4)


@pytest.fixture
def start(labelled):
    def start(options=OPTIONS, network=None, labelled=labelled):
        if network is None:
            network = FairMOT(SPEC)
            initialise(network, 1)
        return Training(network, labelled, options)

    return start


def test_the_loss_falls_from_scratch(start):
    training = start()

    losses = [training.step() for _ in range(25)]

    assert set(losses[0]) == {"heatmap", "boxes", "offsets", "overlap", "identity", "total"}
    first, last = (np.mean([step["total"] for step in part]) for part in (losses[:5], losses[-5:]))
    assert last < 0.8 * first


def test_a_resumed_run_takes_the_same_next_step(start, tmp_path):
    whole, interrupted, resumed = start(), start(), start()
    for _ in range(2):
        whole.step()
        interrupted.step()
    interrupted.save(tmp_path / "run.resume", "abc")
    resumed.resume(tmp_path / "run.resume", "abc")

    assert resumed.steps == 2
    assert resumed.step() == whole.step()
    for ours, theirs in zip(
        resumed.network.state_dict().values(), whole.network.state_dict().values(), strict=True
    ):
        assert torch.equal(ours, theirs)
    assert torch.equal(resumed._loss.log_variances, whole._loss.log_variances)


@pytest.mark.parametrize(
    ("options", "sha256", "named"),
    [({"seed": 1}, "abc", "seed"), ({"steps": 41}, "abc", "steps"), ({}, "abd", "start")],
)
def test_a_run_is_not_resumed_with_other_arguments(start, tmp_path, options, sha256, named):
    start().save(tmp_path / "run.resume", "abc")

    with pytest.raises(CheckpointError, match=f"made with other {named}"):
        start(dataclasses.replace(OPTIONS, **options)).resume(tmp_path / "run.resume", sha256)


def test_a_run_is_not_resumed_with_other_pictures(start, labelled, tmp_path):
    start().save(tmp_path / "run.resume", "")

    with pytest.raises(CheckpointError, match="other pictures"):
        start(labelled=LabelledSet(labelled.pictures[:3], (), 4)).resume(tmp_path / "run.resume", "")


def test_what_is_trained_loads_strictly_and_by_the_originals_names(shared, labelled, start, tmp_path):
    network = FairMOT(NetworkSpec())
    initialise(network)
    training = start(network=network)
    training.step()
    write_checkpoint(tmp_path / "my.pth", training.network, training.steps)

    loaded, checkpoint = load_network(tmp_path / "my.pth")

    assert checkpoint.teacher_sha256 == ""
    assert checkpoint.spec == NetworkSpec()
    official = json.loads((shared / "official_dla34_keys.json").read_text())["tensors"]
    assert {name: list(value.shape) for name, value in loaded.state_dict().items()} == official


@pytest.mark.parametrize("from_scratch", [True, False])
def test_identities_start_as_people_where_the_network_knows_some(start, from_scratch):
    training = start(dataclasses.replace(OPTIONS, batch_statistics=from_scratch))

    training.step()

    assert training._loss.identity.met.any() != from_scratch


def test_in_pairs_people_are_learnt_without_classes(start):
    training = start(dataclasses.replace(OPTIONS, pairs=True, batch_size=4))

    losses = [training.step()["identity"] for _ in range(25)]

    assert not hasattr(training._loss.identity, "classifier")
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])


@pytest.mark.parametrize("learns", [True, False])
def test_statistics_are_learnt_from_scratch_and_kept_otherwise(start, learns):
    training = start(dataclasses.replace(OPTIONS, batch_statistics=learns))
    before = copy.deepcopy(training.network.state_dict())
    training.step()
    after = training.network.state_dict()

    statistics = [name for name in before if name.endswith(("running_mean", "running_var"))]
    changed = [name for name in statistics if not torch.equal(before[name], after[name])]
    # Two projections are in every checkpoint and used by nothing.
    assert len(changed) >= (len(statistics) - 8 if learns else 0)
    assert learns or not changed
    assert not torch.equal(before["hm.0.weight"], after["hm.0.weight"])
    assert not torch.equal(before["base.level2.tree1.conv1.weight"], after["base.level2.tree1.conv1.weight"])


def test_the_learning_rate_rises_and_falls_to_nothing():
    options = TrainingOptions(steps=1000)
    rates = [learning_rate_at(step, options) for step in range(1000)]

    assert rates[0] < 0.05 * options.learning_rate
    assert int(np.argmax(rates)) == pytest.approx(WARM_UP_STEPS, abs=2)
    assert max(rates) == pytest.approx(options.learning_rate, rel=0.02)
    assert rates[-1] < 1e-5 * options.learning_rate
    assert rates[500] == pytest.approx(options.learning_rate / 2)


def test_a_loss_that_is_no_number_ends_the_run(start):
    training = start()
    with torch.no_grad():
        training.network.hm[0].weight.fill_(float("nan"))

    with pytest.raises(InvalidInputError, match=r"no number any more at step 0: .* lower --learning-rate"):
        training.step()


def test_what_cannot_be_trained_is_refused(start, labelled):
    with pytest.raises(InvalidInputError, match="has 3 classes"):
        start(network=FairMOT(NetworkSpec(num_classes=3)))
    with pytest.raises(InvalidInputError, match="nobody in the pictures"):
        start(labelled=LabelledSet(labelled.pictures, (), 0))


@pytest.mark.parametrize(
    "options",
    [
        {"steps": 0},
        {"batch_size": 0},
        {"piece_side": 100},
        {"input_size": (576, 300)},
        {"learning_rate": 0.0},
        {"seed": -1},
        {"pairs": True, "batch_size": 3},
    ],
)
def test_options_out_of_range_are_refused(options):
    with pytest.raises(InvalidInputError, match=r"must be|need an even"):
        TrainingOptions(**options)


def test_a_start_sees_nobody_anywhere_and_keeps_signals_their_size():
    network = FairMOT(NetworkSpec())
    initialise(network)
    network.train()
    generator = torch.Generator().manual_seed(0)

    with torch.no_grad():
        heads = network(torch.rand(2, 3, 64, 64, generator=generator))

    assert torch.sigmoid(heads["hm"]).mean() == pytest.approx(0.1, abs=0.02)
    assert 0.001 < heads["id"].std() < 10
    up = network.dla_up.ida_0.up_1
    with torch.no_grad():
        enlarged = up(torch.ones(1, up.weight.shape[0], 4, 4))
    assert enlarged[0, :, 2:-2, 2:-2].mean() == pytest.approx(1)
    layer = next(iter(deformable_layers(network).values()))
    assert not layer.conv_offset_mask.weight.any()


@pytest.mark.parametrize("frozen", [True, False])
def test_a_frozen_backbone_stays_as_it_is(start, frozen):
    training = start(dataclasses.replace(OPTIONS, batch_statistics=False, freeze_backbone=frozen))
    before = copy.deepcopy(training.network.state_dict())
    training.step()
    after = training.network.state_dict()

    same = {name for name in before if torch.equal(before[name], after[name])}
    assert ({name for name in before if name.startswith("base.")} <= same) == frozen
    assert not same & {
        "dla_up.ida_0.node_1.conv.weight",
        "ida_up.node_2.conv.weight",
        "hm.0.weight",
        "wh.2.weight",
    }
