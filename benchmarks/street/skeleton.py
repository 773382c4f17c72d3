"""Where the joints of a walking body are, seen from the camera."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

Point: TypeAlias = tuple[float, float]
"""Metres: right of the place between the feet, and up from it."""

THIGH, SHIN, ANKLE = 0.245, 0.235, 0.04
UPPER_ARM, FOREARM = 0.165, 0.15
HIP, SHOULDER, HEAD = 0.52, 0.808, 0.925
HIP_HALF, SHOULDER_HALF = 0.05, 0.108
"""Parts of the body's height; half widths from the middle to the joint."""

THIGH_SWING, ARM_SWING = 0.43, 0.42
"""Radians to either side of upright in a full stride. The thigh's takes the foot as far as the body moves in
half a cycle, so that feet do not slide."""

STRIDE = 0.8
"""Ground covered in one cycle of two steps, in body heights: four times the reach of a thigh's swing."""

TILT = 0.1
"""How far up in the picture a metre of depth within one body goes: the camera looks down a little."""


@dataclass(frozen=True, slots=True)
class Pose:
    """What of a body changes while walking.

    Attributes
    ----------
    heading : float
        Radians from the picture's right towards away from the camera.
    phase : float
        Of the walking cycle, radians.
    stride : float
        From 0, standing, to 1, walking.
    """

    heading: float
    phase: float
    stride: float


@dataclass(frozen=True, slots=True)
class Limb:
    """Three joints of an arm or a leg."""

    root: Point
    middle: Point
    end: Point


@dataclass(frozen=True, slots=True)
class Skeleton:
    """The joints of one pose, metres.

    Attributes
    ----------
    across, along : float
        Cosine and sine of the heading: how much of the body's length, and of its breadth, is seen.
    pelvis, chest, head : Point
    legs, arms : (Limb, Limb)
        Left and right.
    """

    across: float
    along: float
    pelvis: Point
    chest: Point
    head: Point
    legs: tuple[Limb, Limb]
    arms: tuple[Limb, Limb]

    def half_width(self, breadth: float, thickness: float) -> float:
        """Give that of an upright cylinder as it is seen, from its half axes."""
        return math.hypot(breadth * self.along, thickness * self.across)


def between(start: Point, end: Point, share: float) -> Point:
    """Point on a line; a share above 1 is beyond the end."""
    return start[0] + share * (end[0] - start[0]), start[1] + share * (end[1] - start[1])


def pose_skeleton(height_m: float, build: float, pose: Pose) -> Skeleton:
    """Put the joints of a body of some height and build in their places."""
    across, along = math.cos(pose.heading), math.sin(pose.heading)

    def seen(forward: float, left: float, up: float) -> Point:
        depth = forward * along + left * across
        return height_m * (forward * across - left * along), height_m * (up + TILT * depth)

    def limb(forward: float, left: float, up: float, parts: tuple[tuple[float, float], ...]) -> Limb:
        joints = [seen(forward, left, up)]
        for length, angle in parts:
            forward, up = forward + length * math.sin(angle), up - length * math.cos(angle)
            joints.append(seen(forward, left, up))
        return Limb(*joints)

    bends = [(_thigh(pose, side), _knee(pose, side)) for side in (0.0, math.pi)]
    # The lower foot is on the ground: the body rises and falls with it.
    hip = ANKLE + max(THIGH * math.cos(thigh) + SHIN * math.cos(thigh - knee) for thigh, knee in bends)
    rise = hip - HIP
    lean = 0.018 * pose.stride
    shoulder = SHOULDER - 0.014 + rise
    legs, arms = [], []
    for side, (thigh, knee) in zip((1.0, -1.0), bends, strict=True):
        legs.append(limb(0.0, side * HIP_HALF * build, hip, ((THIGH, thigh), (SHIN, thigh - knee))))
        swing = -thigh * ARM_SWING / THIGH_SWING
        elbow = swing + 0.16 + 0.5 * pose.stride * (0.5 + swing)
        arms.append(
            limb(lean, side * SHOULDER_HALF * build, shoulder, ((UPPER_ARM, swing), (FOREARM, elbow)))
        )
    return Skeleton(
        across,
        along,
        pelvis=seen(0.0, 0.0, hip),
        chest=seen(lean, 0.0, SHOULDER + rise),
        head=seen(lean + 0.012, 0.0, HEAD + rise),
        legs=(legs[0], legs[1]),
        arms=(arms[0], arms[1]),
    )


def _thigh(pose: Pose, side: float) -> float:
    return pose.stride * (THIGH_SWING * math.sin(pose.phase + side) + 0.04)


def _knee(pose: Pose, side: float) -> float:
    """Bent most while the leg swings forward, nearly straight while it bears."""
    swing = max(0.0, math.cos(pose.phase + side + 0.45))
    return 0.04 + pose.stride * (0.06 + 0.9 * swing**2)
