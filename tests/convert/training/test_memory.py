"""A network that is trained further stays with what its teacher says of other pictures."""

import copy
import dataclasses

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the convert extra")

from edge_fairmot.convert import FairMOT, NetworkSpec  # noqa: E402
from edge_fairmot.convert.footage import Footage  # noqa: E402
from edge_fairmot.convert.network import deformable_layers, normalise_images  # noqa: E402
from edge_fairmot.convert.training import (  # noqa: E402
    LabelledPicture,
    LabelledSet,
    Memory,
    Training,
    TrainingOptions,
)
from edge_fairmot.errors import CheckpointError, InvalidInputError  # noqa: E402

from ...conftest import make_lively_network  # noqa: E402, TID252

OPTIONS = TrainingOptions(steps=40, input_size=(64, 64), piece_side=64, batch_size=2, learning_rate=1e-3)


@pytest.fixture(scope="module")
def teacher():
    return make_lively_network(NetworkSpec(plain_layers=frozenset(deformable_layers(FairMOT(NetworkSpec())))))


@pytest.fixture(scope="module")
def footage():
    noise = np.random.default_rng(0).integers(0, 256, (6, 12, 12, 3), np.uint8)
    return Footage(tuple(cv2.resize(picture, (64, 64)) for picture in noise), ())


@pytest.fixture(scope="module")
def labelled():
    """A grey person in front of nothing: unlike what is remembered."""
    image = np.zeros((64, 64, 3), np.uint8)
    image[16:48, 24:40] = 128
    box = np.array([[24, 16, 40, 48]], np.float32) / 64
    encoded = cv2.imencode(".png", image)[1].tobytes()
    picture = LabelledPicture("p", encoded, box, np.array([0]), np.array([True]))
    return LabelledSet((picture,), (), 1)


@pytest.fixture(scope="module")
def memory(teacher, footage):
    return Memory(copy.deepcopy(teacher), "abc", footage, OPTIONS)


def forgotten(memory, network):
    """Compute what a network has forgotten, on pieces that no step draws."""
    reminder = memory.remind((99, 0))
    with torch.no_grad():
        features = network.eval().features(normalise_images(torch.from_numpy(reminder.images)))
        return float(reminder.loss(network, features))


def test_whoever_is_the_teacher_has_forgotten_nothing(teacher, memory):
    assert forgotten(memory, teacher) == pytest.approx(0, abs=1e-4)


def test_who_is_reminded_forgets_less(teacher, memory, labelled):
    left = {}
    for reminded in (None, memory):
        training = Training(copy.deepcopy(teacher), labelled, OPTIONS, reminded)
        losses = [training.step() for _ in range(12)]
        assert ("memory" in losses[0]) == (reminded is not None)
        assert losses[-1]["heatmap"] < losses[0]["heatmap"]
        left[reminded is not None] = forgotten(memory, training.network)

    assert left[True] < 0.85 * left[False]


def test_a_run_is_not_resumed_with_another_memory(teacher, memory, footage, labelled, tmp_path):
    def start(memory):
        return Training(copy.deepcopy(teacher), labelled, OPTIONS, memory)

    fewer = dataclasses.replace(footage, pictures=footage.pictures[1:])
    path = tmp_path / "run.resume"
    start(memory).save(path, "")

    start(memory).resume(path, "")
    with pytest.raises(CheckpointError, match="other teacher, remembered"):
        start(Memory(copy.deepcopy(teacher), "abd", fewer, OPTIONS)).resume(path, "")
    with pytest.raises(CheckpointError, match="other teacher, remembered"):
        start(None).resume(path, "")


def test_a_teacher_of_several_classes_is_refused(teacher, footage, labelled):
    knowing = FairMOT(dataclasses.replace(teacher.spec, num_classes=3))

    with pytest.raises(InvalidInputError, match="the teacher has 3 classes"):
        Training(copy.deepcopy(teacher), labelled, OPTIONS, Memory(knowing, "abc", footage, OPTIONS))


def test_a_teacher_with_other_embeddings_is_refused(teacher, memory, labelled):
    network = FairMOT(dataclasses.replace(teacher.spec, embedding_dim=64))

    with pytest.raises(InvalidInputError, match="have 64 numbers, the teacher's 128"):
        Training(network, labelled, OPTIONS, memory)
