"""A second implementation of the original: an object per track, dense matrices, a growing set of removed ids.

Slow and plain on purpose. It shares ``lap`` with the tracker and nothing else.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cache

import lap
import numpy as np
import pytest

from edge_fairmot.tracking import Tracker, TrackerConfig, preset
from edge_fairmot.types import Detections

SEEDS = range(12)
FRAMES = 150

BOX_TOLERANCE_PX = 1e-3
"""Boxes are returned in float32, whose last digit is 1.2e-4 at 2,000 pixels."""

F, H = np.eye(8) + np.eye(8, k=4), np.eye(4, 8)


def spread(h: float, position: float, aspect: float, velocity: float, aspect_velocity: float) -> np.ndarray:
    p, v = position * h, velocity * h
    return np.diag(np.square([p, p, aspect, p, v, v, aspect_velocity, v]))


@dataclass(eq=False)
class Seen:
    box: np.ndarray
    score: float
    look: np.ndarray
    kind: int

    @property
    def xyah(self) -> np.ndarray:
        w, h = self.box[2:] - self.box[:2]
        return np.array([self.box[0] + w / 2, self.box[1] + h / 2, w / h, h])


class Known:
    def __init__(self, number: int, seen: Seen, frame: int) -> None:
        self.number, self.kind, self.score, self.look = number, seen.kind, seen.score, seen.look
        self.mean = np.r_[seen.xyah, np.zeros(4)]
        self.covariance = spread(self.mean[3], 1 / 10, 1e-2, 1 / 16, 1e-5)
        self.first = self.last = frame
        self.state, self.activated = "tracked", frame == 1

    @property
    def box(self) -> np.ndarray:
        x, y, a, h = self.mean[:4]
        return np.array([x - a * h / 2, y - h / 2, x + a * h / 2, y + h / 2])

    def predict(self) -> None:
        if self.state != "tracked":
            self.mean[7] = 0
        noise = spread(self.mean[3], 1 / 20, 1e-2, 1 / 160, 1e-5)
        self.mean, self.covariance = F @ self.mean, F @ self.covariance @ F.T + noise
        self.precision = np.linalg.inv(self.projected())

    def projected(self) -> np.ndarray:
        return H @ (self.covariance + spread(self.mean[3], 1 / 20, 1e-1, 0, 0)) @ H.T

    def match(self, seen: Seen, frame: int, momentum: float) -> None:
        s = self.projected()
        gain = self.covariance @ H.T @ np.linalg.inv(s)
        self.mean = self.mean + gain @ (seen.xyah - H @ self.mean)
        self.covariance = self.covariance - gain @ s @ gain.T
        self.look = momentum * self.look + (1 - momentum) * seen.look
        self.look = self.look / np.linalg.norm(self.look)
        if self.state == "tracked":
            self.score = seen.score
        self.state, self.activated, self.last = "tracked", True, frame


def overlap_distance(a: np.ndarray, b: np.ndarray) -> float:
    side = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]) + 1
    shared = max(side[0], 0) * max(side[1], 0)
    return 1 - shared / (np.prod(a[2:] - a[:2] + 1) + np.prod(b[2:] - b[:2] + 1) - shared)


class Oracle:
    def __init__(self, config: TrackerConfig) -> None:
        self.config = config
        self.tracked: list[Known] = []
        self.lost: list[Known] = []
        self.removed: set[int] = set()
        self.frame = self.numbers = 0
        self.happened: Counter[str] = Counter()

    def by_look(self, known: Known, seen: Seen) -> float:
        away = seen.xyah - H @ known.mean
        gate = away @ known.precision @ away
        if gate > 9.4877:
            return np.inf
        a, b = known.look.astype(float), seen.look.astype(float)
        return 0.98 * max(0.0, 1 - a @ b / np.linalg.norm(a) / np.linalg.norm(b)) + 0.02 * gate

    def by_place(self, known: Known, seen: Seen) -> float:
        return overlap_distance(known.box, seen.box)

    def pair(self, known: list[Known], seen: list[Seen], cost, limit: float) -> tuple[list, list, list]:
        if not known or not seen:
            return [], known, seen
        table = np.array([[cost(k, s) if k.kind == s.kind else np.inf for s in seen] for k in known])
        _, column_of, row_of = lap.lapjv(table, extend_cost=True, cost_limit=limit)
        pairs = [(k, seen[c]) for k, c in zip(known, column_of, strict=True) if c >= 0]
        return (
            pairs,
            [k for k, c in zip(known, column_of, strict=True) if c < 0],
            [s for s, r in zip(seen, row_of, strict=True) if r < 0],
        )

    def update(self, detections: list[Seen]) -> list[Known]:
        self.frame += 1
        found = [d for d in detections if d.score > self.config.score_threshold]
        faint = [d for d in detections if self.config.lowest_score < d.score <= self.config.score_threshold]
        sure = [k for k in self.tracked if k.activated]
        unsure = [k for k in self.tracked if not k.activated]
        for known in sure + self.lost:
            known.predict()

        pairs, left, found = self.pair(sure + self.lost, found, self.by_look, self.config.first_match_thresh)
        left = [k for k in left if k.state == "tracked"]
        more, left, found = self.pair(left, found, self.by_place, self.config.second_match_thresh)
        held, left, _ = self.pair(left, faint, self.by_place, self.config.second_match_thresh)
        self.happened["held by a low score"] += len(held)
        last, unsure, found = self.pair(unsure, found, self.by_place, self.config.third_match_thresh)
        refound = [k for k, _ in pairs if k.state != "tracked"]
        self.happened["found again"] += len(refound)
        self.happened["found again in the frame after expiry"] += sum(k.state == "removed" for k in refound)
        for known, seen in pairs + more + held + last:
            known.match(seen, self.frame, self.config.ema_alpha)
        for known in left:
            known.state = "lost"
        for known in unsure:
            known.state = "removed"
        thresh = self.config.new_track_thresh or self.config.score_threshold
        sure_enough = [d for d in found if d.score > thresh]
        self.happened["not sure enough to begin"] += len(found) - len(sure_enough)
        born = [Known(self.numbers + n, seen, self.frame) for n, seen in enumerate(sure_enough, 1)]
        self.numbers += len(born)

        expired = [k for k in self.lost if self.frame - k.last > self.config.max_time_lost]
        for known in expired:
            known.state = "removed"
        self.tracked = [k for k in self.tracked if k.state == "tracked"] + born + refound
        self.lost = [k for k in self.lost if k not in refound] + left
        self.happened["lost after a revival"] += sum(k.number in self.removed for k in left)
        self.lost = [k for k in self.lost if k.number not in self.removed]
        self.removed |= {k.number for k in expired}
        self.drop_duplicates()
        return [k for k in self.tracked if k.activated]

    def drop_duplicates(self) -> None:
        twice = set()
        for t in self.tracked:
            for k in self.lost:
                if self.config.keep_occluded and t.first <= k.last:
                    self.happened["hidden, spared"] += overlap_distance(t.box, k.box) < 0.15
                elif t.kind == k.kind and overlap_distance(t.box, k.box) < self.config.duplicate_iou_distance:
                    t_age, k_age = t.last - t.first, k.last - k.first
                    twice.add(k if t_age > k_age else t)
                    self.happened["duplicate, tie" if t_age == k_age else "duplicate"] += 1
        self.tracked = [t for t in self.tracked if t not in twice]
        self.lost = [k for k in self.lost if k not in twice]


def scene(rng: np.random.Generator, kinds: int) -> list[Detections]:
    """Walkers come, cross, are hidden for a while and go, in a narrow street, among false alarms."""
    looks = rng.normal(size=(5, 16))
    people: list[dict] = []
    frames = []
    hides = rng.uniform(0.03, 0.15)
    for _ in range(FRAMES):
        if len(people) < 9 and rng.random() < 0.3:
            look = looks[rng.integers(5)] + rng.normal(0, 0.5, 16)
            speed = rng.choice([0.0, 1.0]) * rng.normal(0, 4, 2) * [1, 0.2]
            people.append(
                {"at": rng.uniform([0, 0], [500, 60]), "speed": speed, "h": rng.uniform(70, 140), "hidden": 0}
                | {"look": look, "kind": rng.integers(kinds)}
            )
        people = [p for p in people if rng.random() > 0.01]
        rows = []
        for p in people:
            p["at"] = p["at"] + p["speed"]
            p["h"] *= 1 + rng.normal(0, 0.01)
            p["hidden"] = rng.integers(1, 12) if rng.random() < hides else max(0, p["hidden"] - 1)
            if not p["hidden"]:
                size = np.array([0.4, 1]) * p["h"] * (1 + rng.normal(0, 0.02, 2))
                low = p["at"] + rng.normal(0, 1.5, 2)
                look = p["look"] + rng.normal(0, 0.15, 16)
                rows.append((np.r_[low, low + size], rng.uniform(0.3, 1), look, p["kind"]))
            if rng.random() < 0.08:
                # A second detection of the same person, or a stranger directly in front.
                low = p["at"] + rng.normal(0, 3, 2)
                rows.append(
                    (np.r_[low, low + np.array([0.4, 1]) * p["h"]], 0.8, rng.normal(size=16), p["kind"])
                )
        rng.shuffle(rows)
        boxes, scores, features, kind = zip(*rows, strict=True) if rows else ((), (), (), ())
        frames.append(
            Detections(
                np.array(boxes, np.float32).reshape(-1, 4),
                np.array(scores, np.float32),
                np.array(features, np.float32).reshape(-1, 16),
                np.array(kind, np.int64),
            )
        )
    return frames


def as_objects(detections: Detections) -> list[Seen]:
    looks = detections.embedding / np.linalg.norm(detections.embedding, axis=1, keepdims=True)
    boxes = detections.xyxy.astype(float)
    return [
        Seen(box, float(score), look, int(kind))
        for box, score, look, kind in zip(boxes, detections.score, looks, detections.class_id, strict=True)
    ]


@cache
def both(seed: int, crowded: bool) -> tuple[list, list, Counter[str]]:
    rng = np.random.default_rng(seed)
    config = preset("bytetrack" if crowded else "fairmot", {"track_buffer": [0, 1, 3, 8][seed % 4]})
    tracker, oracle = Tracker(config), Oracle(config)
    ours, theirs = [], []
    for detections in scene(rng, kinds=1 + seed // 4 % 2):
        ours.append(tracker.update(detections))
        theirs.append([(k.number, k.box, k.score) for k in oracle.update(as_objects(detections))])
    return ours, theirs, oracle.happened


@pytest.mark.parametrize("crowded", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_identities_equal_the_oracles(seed: int, crowded: bool) -> None:
    ours, theirs, _ = both(seed, crowded)
    for frame, (tracks, expected) in enumerate(zip(ours, theirs, strict=True), 1):
        assert tracks.track_id.tolist() == [number for number, _, _ in expected], f"frame {frame}"
        np.testing.assert_array_equal(tracks.score, np.array([score for _, _, score in expected], np.float32))
        boxes = np.array([box for _, box, _ in expected]).reshape(-1, 4)
        np.testing.assert_allclose(tracks.xyxy, boxes, rtol=0, atol=BOX_TOLERANCE_PX)


def test_the_scenes_contain_every_rare_event() -> None:
    rare = ("found again", "found again in the frame after expiry", "lost after a revival", "duplicate")
    byte = ("held by a low score", "not sure enough to begin", "hidden, spared")
    for crowded, events in ((False, (*rare, "duplicate, tie")), (True, (*rare, *byte))):
        happened = sum((both(seed, crowded)[2] for seed in SEEDS), Counter())
        assert min(happened[event] for event in events) > 0, happened
