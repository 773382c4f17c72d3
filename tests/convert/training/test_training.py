"""The shared learning loop, and training on labels with it."""

import copy
import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

from edge_fairmot.convert import NetworkSpec, build_network, load_network
from edge_fairmot.convert.checkpoint import write_checkpoint
from edge_fairmot.convert.network import deformable_layers, normalise_images
from edge_fairmot.convert.training import learner
from edge_fairmot.convert.training import training as training_module
from edge_fairmot.convert.training.frames import UnlabelledFrames
from edge_fairmot.convert.training.labels import LabelledSet
from edge_fairmot.convert.training.options import DistillationOptions, RunLimits, TrainingOptions
from edge_fairmot.convert.training.start import initialise, start_network
from edge_fairmot.convert.training.teacher import TorchTeacher
from edge_fairmot.convert.training.training import Rehearsal, Training
from edge_fairmot.errors import CheckpointError, InvalidInputError

from .conftest import TINY, TINY_PLAIN

OPTIONS = TrainingOptions(
    input_size=(64, 64), crop_size=64, batch_size=2, learning_rate=5e-3, steps=40, batch_statistics=True
)
KEPT = dataclasses.replace(OPTIONS, batch_statistics=False)


@pytest.fixture(scope="module")
def noise():
    pixels = np.random.default_rng(0).integers(0, 256, (6, 12, 12, 3), np.uint8)
    return UnlabelledFrames(tuple(cv2.resize(image, (64, 64)) for image in pixels))


@pytest.fixture
def rehearse(monkeypatch, plain, noise):
    """A function that makes a rehearsal, whose teacher is not exported."""
    monkeypatch.setattr(training_module, "make_teacher", lambda network, shape: TorchTeacher(network))
    return lambda teacher=None, sha256="abc", frames=noise, options=OPTIONS: Rehearsal(
        teacher or plain(), sha256, frames, options
    )


@pytest.fixture
def start(labelled):
    def start(options=OPTIONS, network=None, labelled=labelled, rehearsal=None, sha256="abc"):
        if network is None:
            network = build_network(TINY_PLAIN)
            initialise(network, 1)
        return Training(network, labelled, options, rehearsal, start_sha256=sha256)

    return start


@pytest.mark.parametrize(("arch", "depth", "channels"), [("yolo", 1, 16), ("hrnet", 0, 4), ("resdcn", 18, 8)])
def test_every_network_learns_from_scratch(start, arch, depth, channels):
    spec = NetworkSpec(embedding_dim=16, base_channels=channels, arch=arch, depth=depth)
    network, _ = start_network(None, plain=True, seed=0, spec=spec)
    assert not deformable_layers(network)
    training = start(dataclasses.replace(OPTIONS, batch_size=4, steps=60), network=network)

    losses = [training.step()["total"] for _ in range(50)]

    assert np.mean(losses[-5:]) < 0.9 * np.mean(losses[:5])


@pytest.mark.parametrize("pairs", [False, True])
def test_the_loss_falls_from_scratch(start, pairs):
    training = start(dataclasses.replace(OPTIONS, pairs=pairs, batch_size=4, steps=80))

    losses = [training.step() for _ in range(60)]

    assert set(losses[0]) == {"heatmap", "boxes", "offsets", "overlap", "identity", "imitation", "total"}
    for part in ("identity", "total") if pairs else ("total",):
        first, last = (np.mean([step[part] for step in steps]) for steps in (losses[:5], losses[-5:]))
        assert last < 0.8 * first
    assert hasattr(training._extra.identity, "classifier") != pairs


@pytest.mark.parametrize(
    ("options", "changed"),
    [
        (OPTIONS, {"base", "neck", "statistics"}),
        (KEPT, {"base", "neck"}),
        (dataclasses.replace(KEPT, freeze="early"), {"base", "neck"}),
        (dataclasses.replace(KEPT, freeze="backbone"), {"neck"}),
    ],
    ids=["from scratch", "further", "frozen early layers", "frozen backbone"],
)
def test_what_learns_is_what_the_options_say(start, options, changed):
    training = start(options)
    before = copy.deepcopy(training.network.state_dict())
    training.step()
    after = training.network.state_dict()

    moved = {name for name in before if not torch.equal(before[name], after[name])}
    statistics = {name for name in before if "running" in name}
    found = {
        "base": "base.level2.tree1.conv1.weight" in moved,
        "neck": {"dla_up.ida_0.node_1.conv.weight", "hm.0.weight", "wh.2.weight"} <= moved,
        # Two projections are in every checkpoint and used by nothing.
        "statistics": len(statistics - moved) <= 8,
    }
    assert {name for name, is_so in found.items() if is_so} == changed
    assert "statistics" in changed or not statistics & moved
    assert "base" in changed or not any(name.startswith("base.") for name in moved)
    assert ("base.level1.0.weight" in moved) == ("base" in changed and options.freeze == "nothing")
    # Classes start as embeddings where those mean something.
    assert training._extra.identity.met.any() != options.batch_statistics


def test_the_learning_rate_rises_and_falls_to_zero(start):
    training = start(dataclasses.replace(OPTIONS, steps=1000, learning_rate=1e-4))
    rates = [training.learning_rate() for training.steps in range(1000)]

    assert rates[0] < 0.05e-4
    assert int(np.argmax(rates)) == pytest.approx(Training.warm_up_steps, abs=2)
    assert max(rates) == pytest.approx(1e-4, rel=0.02)
    assert rates[500] == pytest.approx(0.5e-4)
    assert rates[-1] < 1e-9


def test_a_loss_that_is_not_a_number_ends_the_run(start):
    training = start()
    with torch.no_grad():
        training.network.hm[0].weight.fill_(float("nan"))

    with pytest.raises(InvalidInputError, match=r"not a number at step 0: .* lower --learning-rate"):
        training.step()


def test_a_network_with_rehearsal_forgets_less(start, plain, rehearse):
    options = dataclasses.replace(KEPT, learning_rate=1e-3)
    rehearsal = rehearse(options=options)
    images, outputs = rehearsal.draw((99, 0))  # crops that no step draws

    def forgotten(network):
        with torch.no_grad():
            features = network.eval().features(normalise_images(torch.from_numpy(images)))
            return float(rehearsal.loss(network, features, outputs))

    assert forgotten(plain()) == pytest.approx(0, abs=1e-4)
    left = {}
    for rehearsed in (None, rehearsal):
        training = start(options, plain(), rehearsal=rehearsed)
        losses = [training.step() for _ in range(12)]
        assert ("rehearsal" in losses[0]) == (rehearsed is not None)
        assert losses[-1]["heatmap"] < losses[0]["heatmap"]
        left[rehearsed is not None] = forgotten(training.network)
    assert left[True] < 0.85 * left[False]


def test_a_run_is_not_resumed_with_other_arguments(start, rehearse, labelled, noise, tmp_path):
    path = tmp_path / "run.resume"
    rehearsal = rehearse()
    start(rehearsal=rehearsal).save(path)
    start(rehearsal=rehearsal).resume(path)

    fewer = UnlabelledFrames(noise.train[1:])
    for other, names in (
        ({"options": dataclasses.replace(OPTIONS, seed=1, steps=41)}, "seed, steps"),
        ({"sha256": "abd"}, "start"),
        ({"labelled": LabelledSet(labelled.train[:3], (), 4)}, "images"),
        ({"rehearsal": rehearse(sha256="abd", frames=fewer)}, "teacher, rehearsal frames"),
        ({"rehearsal": None}, "teacher, rehearsal frames"),
    ):
        with pytest.raises(CheckpointError, match=f"made with other {names}: "):
            start(**{"rehearsal": rehearsal, **other}).resume(path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="not a resume file"):
        start(rehearsal=rehearsal).resume(path)


def test_networks_and_labels_that_cannot_be_trained_are_refused(start, rehearse, labelled):
    three = build_network(dataclasses.replace(TINY_PLAIN, num_classes=3))
    narrow = build_network(dataclasses.replace(TINY_PLAIN, embedding_dim=8))
    image = labelled.train[0]
    ignored = dataclasses.replace(image, ignore=np.ones(1, bool))
    taught = dataclasses.replace(image, embedding=np.ones((1, 3), np.float32))
    of_cars = dataclasses.replace(image, class_id=np.ones(1, np.int64))
    for wrong, message in (
        ({"labelled": LabelledSet((of_cars,), (), 1)}, "more classes than the network, which has 1"),
        ({"labelled": LabelledSet((ignored,), (), 1)}, "have no boxes"),
        ({"labelled": LabelledSet((taught,), (), 1)}, "have 16 numbers, those of the labels 3"),
        ({"rehearsal": rehearse(three)}, "the teacher has 3 classes"),
        ({"network": narrow, "rehearsal": rehearse()}, "have 8 numbers, the teacher's 16"),
    ):
        with pytest.raises(InvalidInputError, match=message):
            start(**wrong)


def test_a_new_network_loads_strictly_and_by_the_originals_names(shared, tmp_path):
    for plain in (False, True):
        network, _ = start_network(None, plain=plain, seed=0)
        assert len(network.spec.plain_layers) == 16 * plain
        write_checkpoint(tmp_path / f"{plain}.pth", network, 0)

    loaded, checkpoint = load_network(tmp_path / "False.pth")

    assert checkpoint.spec == NetworkSpec()
    official = json.loads((shared / "official_dla34_keys.json").read_text())["tensors"]
    assert {name: list(value.shape) for name, value in loaded.state_dict().items()} == official


def test_a_new_network_finds_nothing_and_keeps_signals_their_size():
    network = build_network(dataclasses.replace(TINY, base_channels=8))
    initialise(network)
    network.train()

    with torch.no_grad():
        heads = network(torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)))
        up = network.dla_up.ida_0.up_1
        enlarged = up(torch.ones(1, up.weight.shape[0], 4, 4))

    assert torch.sigmoid(heads["hm"]).mean() == pytest.approx(0.1, abs=0.02)
    assert 0.001 < heads["id"].std() < 10
    assert enlarged[0, :, 2:-2, 2:-2].mean() == pytest.approx(1)
    layer = next(iter(deformable_layers(network).values()))
    assert not layer.conv_offset_mask.weight.any()


@pytest.mark.parametrize(
    ("limits", "save_every_s", "validated", "saved"),
    [
        (RunLimits(steps=5, validate_every=2), 60.0, [0, 2, 4, 5], [0, 2, 4, 5]),
        (RunLimits(steps=3, validate_every=9), -1.0, [0, 3], [0, 1, 2, 3]),  # saved without a validation
        (RunLimits(minutes=1e-9), 60.0, [0], [0]),
        (RunLimits(steps=5, validate_every=1, early_stop=True), 60.0, [0, 1, 2], [0, 1, 2]),
    ],
)
def test_a_run_validates_saves_and_ends(monkeypatch, limits, save_every_s, validated, saved):
    monkeypatch.setattr(learner, "SAVE_EVERY_S", save_every_s)
    seen, kept = [], []
    counter = SimpleNamespace(steps=0, save=lambda path: kept.append(counter.steps))

    def step():
        counter.steps += 1

    def validate():
        seen.append(counter.steps)
        return counter.steps == 2  # good enough

    counter.step = step
    learner.run(counter, limits, Path(), validate=validate)

    assert seen == validated
    assert kept == saved


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        *((TrainingOptions, wrong) for wrong in ({"crop_size": 100}, {"batch_size": 0}, {"seed": -1})),
        *((TrainingOptions, wrong) for wrong in ({"input_size": (576, 300)}, {"learning_rate": 0.0})),
        *((TrainingOptions, wrong) for wrong in ({"overlap_weight": -1.0}, {"pairs": True, "batch_size": 3})),
        *((DistillationOptions, wrong) for wrong in ({"crop_size": 100}, {"average_decay": 1.0})),
        *((RunLimits, wrong) for wrong in ({}, {"steps": -1}, {"minutes": 0.0})),
        *((TrainingOptions, {"steps": 0}), (RunLimits, {"steps": 1, "validate_every": 0})),
    ],
)
def test_options_out_of_range_are_refused(kind, wrong):
    with pytest.raises(InvalidInputError, match=r"must be|need an even|needs an end"):
        kind(**wrong)
