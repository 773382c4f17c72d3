"""Training of several classes: a heatmap each, identities that compete within their class only."""

import dataclasses

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from edge_fairmot.convert.networks import build_network
from edge_fairmot.convert.training.crops import Crop
from edge_fairmot.convert.training.labels import LabelledSet
from edge_fairmot.convert.training.losses import ClassLoss, ContrastLoss, TaskLoss
from edge_fairmot.convert.training.options import TrainingOptions
from edge_fairmot.convert.training.sequences import read_labelled
from edge_fairmot.convert.training.start import START_SCORE, initialise, learn_classes
from edge_fairmot.convert.training.targets import IGNORED_PEAK, make_targets
from edge_fairmot.convert.training.training import Training
from edge_fairmot.convert.training.validation import validate
from edge_fairmot.errors import EvaluationError, InvalidInputError

from .conftest import TINY_PLAIN, make_image
from .test_labels import write_sequence

SIZE = (64, 64)
OPTIONS = TrainingOptions(SIZE, 64, 4, 5e-3, steps=120, batch_statistics=True)


def test_each_class_has_its_heatmap_and_an_unknown_one_is_ignored_in_all():
    boxes = np.float32([(8, 8, 24, 24), (36, 8, 52, 24), (8, 36, 24, 52)])
    crop = Crop(
        np.zeros((64, 64, 3), np.uint8),
        boxes,
        np.arange(3),
        np.array([False, False, True]),
        class_id=np.array([1, 0, -1]),
    )
    (heatmap,) = make_targets([crop], 4, num_classes=2).heatmap.numpy()
    assert [tuple(np.argwhere(channel == 1)[0]) for channel in heatmap] == [(4, 11), (4, 4)]
    assert heatmap[:, 11, 4] == pytest.approx([IGNORED_PEAK] * 2)
    assert heatmap[0, 4, 4] == heatmap[1, 4, 11] == 0


def test_identities_compete_within_their_class_only():
    generator = torch.Generator().manual_seed(0)
    embedding = F.normalize(torch.randn(6, 8, generator=generator), dim=1)
    identity, class_of = torch.tensor([0, 1, 2, 3, 0, 2]), torch.tensor([0, 0, 1, 1])
    torch.manual_seed(0)
    together = ClassLoss(8, 4, class_of=class_of)
    expected = 0.0
    for rows, first in (([0, 1, 4], 0), ([2, 3, 5], 2)):  # a classifier for each class, as in MCMOT
        logits = together.classifier(together.embedding_scale * embedding[rows])[:, first : first + 2]
        expected += F.cross_entropy(logits, identity[rows] - first, reduction="sum").item()
    assert together(embedding, identity).item() == pytest.approx(expected / 6, rel=1e-6)

    pairs = torch.tensor([0, 0, 1, 2, 2, 3])
    found = ContrastLoss(class_of)(embedding, pairs)
    apart = [ContrastLoss()(embedding[rows], pairs[rows]) for rows in ([0, 1, 2], [3, 4, 5])]
    assert found.item() == pytest.approx(torch.stack(apart).mean().item(), rel=1e-6)
    alone = embedding[:2].clone().requires_grad_()  # no other identity of the class
    ContrastLoss(class_of)(alone, torch.tensor([0, 0])).backward()
    assert alone.grad is not None
    assert alone.grad.isfinite().all()


def test_people_keep_their_heatmap_and_new_classes_start_low(plain):
    network, images = plain(), torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        before = network(images)
        learn_classes(network, ("car", "Person"))
        after = network(images)
    assert network.spec.num_classes == 2
    assert torch.equal(after["hm"][:, 1], before["hm"][:, 0])
    assert after["hm"][:, 0].sigmoid().mean().item() == pytest.approx(START_SCORE, abs=0.05)
    assert torch.equal(after["id"], before["id"])
    with pytest.raises(InvalidInputError, match="has 2 classes, and --classes names 3"):
        learn_classes(network, ("car", "bus", "person"))


def test_classes_are_read_from_a_sequence_and_a_table(tmp_path):
    sequence = write_sequence(
        tmp_path / "s",
        (1, 2),
        # A person, a bus, a bicycle, a person that is not to be scored.
        "1,1,5,0,5,20,1,1,1\n1,2,10,0,5,20,1,4,1\n1,4,20,0,5,20,1,2,1\n1,3,30,0,5,20,0,1,1\n",
    )
    (tmp_path / "s" / "gt" / "labels.txt").write_text("person\nbicycle\ncar\nbus\n")
    (image,) = read_labelled([sequence], SIZE, 20, 20, classes=("bus", "person")).train
    assert image.class_id.tolist() == [1, 0, -1]  # the bicycle is background
    assert image.ignore.tolist() == [False, False, True]
    assert image.identity.tolist() == [0, 1, -1]
    with pytest.raises(EvaluationError, match="'lorry' is not known"):
        read_labelled([sequence], SIZE, 20, 20, classes=("bus", "lorry"))

    (tmp_path / "a.png").write_bytes(cv2.imencode(".png", np.zeros((40, 60, 3), np.uint8))[1].tobytes())
    table = tmp_path / "road.tsv"
    head = "file\tboxes_cxcywh_normalised\tsplit\tclasses\n"
    table.write_text(f"{head}a.png\t0.2,0.5,0.1,0.3 0.5,0.5,0.1,0.3 0.8,0.5,0.1,0.3\ttrain\tcar,dog,bus\n")
    (image,) = read_labelled([str(table)], SIZE, 20, 20, classes=("bus", "car")).train
    assert image.class_id.tolist() == [1, 0]
    assert image.xyxy[:, 0] == pytest.approx([0.15, 0.75])
    table.write_text(f"{head}a.png\t0.2,0.5,0.1,0.3\ttrain\tcar,bus\n")
    with pytest.raises(InvalidInputError, match="line 2: classes has 2 names for 1 boxes"):
        read_labelled([str(table)], SIZE, 20, 20, classes=("bus", "car"))
    with pytest.raises(InvalidInputError, match="shows people only, and --classes has car"):
        read_labelled(["synthetic:frames=20,size=160x96"], SIZE, 5, 5, classes=("car",))


def test_sizes_of_each_class_are_learned_by_its_own_channels():
    crop = Crop(
        np.zeros((64, 64, 3), np.uint8),
        np.float32([(8, 8, 24, 24), (36, 8, 52, 40)]),
        np.arange(2),
        np.zeros(2, bool),
        class_id=np.array([2, 0]),
    )
    network = build_network(dataclasses.replace(TINY_PLAIN, num_classes=3, box_channels=6))
    targets = make_targets([crop], 6, 3)
    assert targets.wh[0].tolist() == [[4, 4], [4, 8]]
    parts = TaskLoss(ContrastLoss())(network, torch.randn(1, 16, 16, 16), targets)
    parts["boxes"].backward()
    learned = network.wh[2].bias.grad.ne(0).tolist()
    assert learned == [True, True, False, False, True, True]


def test_two_classes_are_learned_and_told_apart():
    """Bright objects are of class 0, striped ones of class 1."""
    generator = np.random.default_rng(0)
    images = []
    for n in range(4):
        pixels = generator.integers(0, 60, (64, 64, 3), np.uint8)
        boxes = [(4 + n, 6, 20 + n, 36), (38 - n, 24, 54 - n, 54)]
        for kind, (left, top, right, bottom) in enumerate(boxes):
            pixels[top:bottom, left:right] = 230
            if kind:
                pixels[top:bottom:4, left:right] = pixels[top + 1 : bottom : 4, left:right] = 20
        images.append(make_image(pixels, boxes, identity=[2 * n, 2 * n + 1], class_id=np.array([0, 1])))
    labelled = LabelledSet(tuple(images), tuple(images), 8)
    assert labelled.class_of_identity().tolist() == [0, 1] * 4
    network = build_network(dataclasses.replace(TINY_PLAIN, num_classes=2))
    initialise(network, 1)
    training = Training(network, labelled, OPTIONS, start_sha256="")
    for _ in range(OPTIONS.steps):
        training.step()
    found = validate(training.network, labelled.validation, SIZE)
    assert found.all.people == 8
    assert found.all.average_precision > 0.6
    swapped = [dataclasses.replace(image, class_id=1 - image.class_id) for image in labelled.validation]
    assert validate(training.network, swapped, SIZE).all.average_precision < 0.3
