"""Appearance of a person: build, clothes, hair and bag."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random

from edge_fairmot.benchmarks.street.shapes import Color

SKIN: tuple[Color, ...] = (
    (190, 212, 240), (165, 195, 230), (135, 172, 215), (105, 145, 195), (75, 110, 160), (55, 80, 120),
    (42, 60, 92),
)  # fmt: skip

HAIR: tuple[Color, ...] = (
    (28, 28, 32), (30, 38, 52), (38, 56, 86), (58, 90, 130), (95, 150, 195), (150, 150, 155), (205, 205, 210),
    (40, 62, 140),
)  # fmt: skip

TOPS: tuple[Color, ...] = (
    (48, 44, 42), (82, 62, 45), (110, 84, 58), (120, 118, 112), (206, 208, 210), (62, 72, 178),
    (58, 112, 196), (84, 176, 214), (92, 128, 76), (72, 92, 62), (150, 124, 64), (176, 132, 88),
    (122, 76, 122), (150, 138, 204), (66, 86, 122), (112, 140, 172), (170, 186, 204), (140, 160, 96),
)  # fmt: skip

BOTTOMS: tuple[Color, ...] = (
    (50, 46, 44), (96, 72, 54), (122, 96, 70), (72, 58, 50), (140, 136, 128), (110, 140, 168), (78, 92, 104),
    (190, 196, 200), (60, 66, 96),
)  # fmt: skip

SHOES: tuple[Color, ...] = ((36, 34, 34), (52, 66, 94), (215, 215, 215), (70, 70, 150), (90, 84, 78))

BAGS: tuple[Color, ...] = (
    (44, 48, 58), (56, 84, 128), (60, 64, 150), (110, 92, 60), (86, 120, 96), (150, 170, 190),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Look:
    """Properties of a person that do not change while walking."""

    height_m: float
    build: float  # width, 1 is usual
    skin: Color
    hair: Color
    top: Color
    bottom: Color
    shoes: Color
    hair_style: str  # short, long, bun, bald, cap or beanie
    hat: Color  # of the cap or beanie
    upper: str  # shirt (short sleeves), jacket or coat
    lower: str  # trousers, shorts, skirt or dress
    pattern: str  # of the top: plain, rings, stripes, checks or print
    pattern_color: Color
    bag: str  # none, backpack, shoulder or shopping
    bag_color: Color
    scarf: Color | None


def invent_look(random: Random, *, child: bool = False) -> Look:
    """Draw a person's appearance at random."""

    def dye(colors: tuple[Color, ...]) -> Color:
        return _varied(random, random.choice(colors))

    lower = random.choices(("trousers", "shorts", "skirt", "dress"), (10, 2, 2, 2))[0]
    uppers = ("shirt",) if lower == "dress" else ("shirt", "jacket") if child else ("shirt", "jacket", "coat")
    upper = random.choices(uppers, (4, 6, 3)[: len(uppers)])[0]
    hair_styles = ("short", "long", "bun", "cap", "beanie", "bald")[: 5 if child else 6]
    patterns = ("plain", "checks", "rings", "stripes", "print")[: 2 if upper == "coat" else 5]
    top = dye(TOPS)
    return Look(
        height_m=random.uniform(1.08, 1.4) if child else min(max(random.gauss(1.72, 0.085), 1.52), 1.94),
        build=min(max(random.gauss(1.0, 0.1), 0.82), 1.3),
        skin=dye(SKIN),
        hair=dye(HAIR[:5] if child else HAIR),
        top=top,
        bottom=top if lower == "dress" else dye(BOTTOMS),
        shoes=random.choice(SHOES),
        hair_style=random.choices(hair_styles, (8, 6, 2, 2, 2, 1)[: len(hair_styles)])[0],
        hat=dye(TOPS),
        upper=upper,
        lower=lower,
        pattern=random.choices(patterns, (8, 2, 3, 1.5, 2)[: len(patterns)])[0],
        pattern_color=dye(TOPS),
        bag=random.choices(("none", "backpack", "shoulder", "shopping"), (8, 4, 4, 3))[0],
        bag_color=dye(BAGS),
        scarf=dye(TOPS) if upper != "shirt" and random.random() < 0.3 else None,
    )


def resemble(look: Look, random: Random) -> Look:
    """Copy an appearance with small differences: another bag, a few centimetres."""
    return replace(
        look,
        height_m=look.height_m * random.uniform(0.985, 1.015),
        build=look.build * random.uniform(0.97, 1.03),
        bag=random.choice((look.bag, "none", "shopping")),
    )


def _varied(random: Random, color: Color) -> Color:
    shift = random.uniform(-12, 12)
    blue, green, red = (min(max(round(value + shift + random.uniform(-6, 6)), 0), 255) for value in color)
    return blue, green, red
