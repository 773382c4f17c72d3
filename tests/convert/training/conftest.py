import copy
import dataclasses

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the convert extra")

from edge_fairmot.convert import NetworkSpec, build_network  # noqa: E402
from edge_fairmot.convert.network import deformable_layers  # noqa: E402
from edge_fairmot.convert.training.labels import LabelledImage, LabelledSet  # noqa: E402

from ...conftest import make_lively_network  # noqa: E402, TID252

TINY = NetworkSpec(embedding_dim=16, base_channels=4)
LAYERS = frozenset(deformable_layers(build_network(TINY)))
TINY_PLAIN = dataclasses.replace(TINY, plain_layers=LAYERS)


def make_image(pixels, boxes, identity=None, ignore=None, **more):
    """Label an image with boxes in pixels."""
    height, width = pixels.shape[:2]
    xyxy = np.array(boxes, np.float32).reshape(-1, 4) / np.array([width, height] * 2, np.float32)
    identity = np.arange(len(xyxy)) if identity is None else np.array(identity)
    ignore = np.zeros(len(xyxy), bool) if ignore is None else np.array(ignore)
    return LabelledImage("drawn", cv2.imencode(".png", pixels)[1].tobytes(), xyxy, identity, ignore, **more)


@pytest.fixture(scope="session")
def plain():
    """A function that copies a tiny network of plain layers in which every layer matters."""
    network = make_lively_network(TINY_PLAIN)
    return lambda: copy.deepcopy(network)


@pytest.fixture(scope="session")
def labelled():
    """Bright people in front of noise."""
    generator = np.random.default_rng(0)
    images = []
    for n in range(4):
        pixels = generator.integers(0, 90, (64, 64, 3), np.uint8)
        x, y = generator.integers(4, 30, 2)
        pixels[y : y + 30, x : x + 14] = generator.integers(120, 255, 3)
        images.append(make_image(pixels, [(x, y, x + 14, y + 30)], identity=[n]))
    return LabelledSet(tuple(images), tuple(images), 4)
