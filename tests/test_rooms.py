"""Who may import whom, held by reading the imports; no circle; no long file; a light core."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = {
    "edge_fairmot": "edge_fairmot",
    "edge_fairmot.benchmarks": "benchmarks",
    "edge_fairmot.convert": "convert",
    "edge_fairmot.runtimes": "runtimes",
}
MAX_LINES = 450
HEAVY = {
    "torch",
    "onnxruntime",
    "openvino",
    "ncnn",
    "MNN",
    "onnx",
    "scipy",
    "typer",
    "rich",
    "av",
    "starlette",
    "uvicorn",
}


class Room(NamedTuple):
    """Rooms and packages that a room may import, at the top and in functions.

    Of packages, "*" is any but torch, typer and rich.
    """

    rooms: str
    packages: str
    lazy_rooms: str = ""
    lazy_packages: str = ""


VALUES = "types errors classes"
CORE = f"{VALUES} boxes letterbox manifest protocols channel schedule tracking camera_motion counting stages"
ROOMS = {
    "": Room("", "", lazy_rooms="* runtimes"),
    "errors": Room("", ""),
    "types": Room("errors", "numpy"),
    "classes": Room("types errors", ""),
    "boxes": Room("types", "numpy"),
    "letterbox": Room(VALUES, "numpy cv2"),
    "manifest": Room(VALUES, ""),
    "protocols": Room("types manifest", ""),
    "system": Room("errors", ""),
    "model_file": Room("types errors manifest system", "numpy"),
    "channel": Room("", ""),
    "schedule": Room("errors", ""),
    "tracking": Room(f"{VALUES} boxes", "numpy lap tomli"),
    "camera_motion": Room(VALUES, "numpy cv2"),
    "counting": Room(VALUES, "numpy"),
    "detector": Room("types errors letterbox manifest protocols", "numpy"),
    "refinement": Room("types errors boxes tracking", "numpy"),
    "sharing": Room("types errors channel protocols detector", "numpy"),
    "detection_cache": Room("types errors system", "numpy"),
    "stages": Room("types protocols channel schedule", ""),
    "pipeline": Room(CORE, ""),
    "sources": Room(f"{VALUES} protocols channel", "numpy cv2", "", "av picamera2 libcamera"),
    "sinks": Room(VALUES, "numpy cv2", "", "av"),
    "bundled": Room("errors", ""),
    "doctor": Room("errors system", ""),
    "fleet": Room("errors system sources", "", "", "ray"),
    "service": Room(
        f"{VALUES} protocols counting pipeline sinks sources system",
        "numpy cv2 tomli anyio h11 starlette uvicorn prometheus_client",
        "",
        "paho",
    ),
    "cli": Room(
        f"{CORE} detector sharing detection_cache refinement pipeline sources sinks bundled doctor service "
        "system fleet model_file runtimes",
        "numpy cv2 typer rich tomli",
        "convert benchmarks",
        "onnx onnxruntime openvino pyarrow",
    ),
    "runtimes": Room("types errors manifest protocols detector model_file system", "*"),
    "benchmarks": Room(
        f"{CORE} detector detection_cache refinement pipeline sources sinks bundled model_file system "
        "fleet runtimes",
        "numpy cv2",
        "",
        "scipy onnx onnxruntime plotly psutil pydantic pynvml",
    ),
    "convert": Room(f"{CORE} detector sources sinks model_file system runtimes benchmarks", "* torch"),
}


def product_files() -> Iterator[tuple[str, Path]]:
    for package, folder in FOLDERS.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            yield ".".join([package, *(part for part in parts if part != "__init__")]), path


MODULES = dict(product_files())


class Import(NamedTuple):
    target: str
    line: int
    lazy: bool
    """Inside a function, or only for type checking."""


def imports_of(source: str, package: str) -> Iterator[Import]:
    """Every import of a file, with names resolved."""

    def walk(node: ast.AST, lazy: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            typing_only = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
            inner = lazy or typing_only or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
            if isinstance(child, ast.Import):
                for alias in child.names:
                    yield Import(alias.name, child.lineno, lazy)
            elif isinstance(child, ast.ImportFrom):
                base = package.rsplit(".", child.level - 1)[0] if child.level else ""
                origin = ".".join(filter(None, (base, child.module)))
                for alias in child.names:
                    name = f"{origin}.{alias.name}"
                    # A name of the top package may be a room, and one of a package may be a module.
                    known = origin == "edge_fairmot" or name in MODULES
                    yield Import(name if known else origin, child.lineno, lazy)
            yield from walk(child, inner)

    return walk(ast.parse(source), False)


def room_of(module: str) -> str:
    name = module.split(".")[1] if "." in module else ""
    return name if name in ROOMS else ""


def violations(module: str, source: str, *, is_package: bool = False) -> list[str]:
    """The imports of a file that its room may not have."""
    room = room_of(module)
    if room == "" and module not in ("edge_fairmot", "edge_fairmot.__main__"):
        return [f"{module} is in no known room"]
    rule, found = ROOMS[room], []
    for one in imports_of(source, module if is_package else module.rpartition(".")[0]):
        top = one.target.split(".")[0]
        rooms = f"{rule.rooms} {rule.lazy_rooms if one.lazy else ''}".split()
        packages = f"{rule.packages} {rule.lazy_packages if one.lazy else ''}".split()
        if top in FOLDERS.values() and top != "edge_fairmot":
            allowed = False  # the bare name exists in the checkout only
        elif top in sys.stdlib_module_names or one.target in ("edge_fairmot", "edge_fairmot.__version__"):
            allowed = True
        elif top == "edge_fairmot":
            target = room_of(one.target)
            allowed = target == room or target in rooms or "*" in rooms
            allowed &= target != "" or module in ("edge_fairmot.__main__",)
        else:
            allowed = top in packages or ("*" in packages and top not in ("torch", "typer", "rich"))
        if not allowed and (module, one.target) != ("edge_fairmot.__main__", "edge_fairmot.cli.main"):
            where = "inside a function" if one.lazy else "at the top"
            found.append(
                f"{module}, line {one.line}: imports {one.target} {where}; {room or 'edge_fairmot'}: {rule}"
            )
    return found


def test_every_import_keeps_to_its_room():
    found = [
        violation
        for module, path in product_files()
        for violation in violations(module, path.read_text(), is_package=path.name == "__init__.py")
    ]
    assert not found, "\n".join(["", *found])


def test_the_wheel_has_every_package():
    """An editable install has those too that the list in pyproject.toml lacks."""
    _, _, listed = (ROOT / "pyproject.toml").read_text().partition("[tool.setuptools]\npackages = [")
    names = listed.partition("]")[0].split('"')
    packages = {
        name if path.name == "__init__.py" else name.rpartition(".")[0] for name, path in MODULES.items()
    }
    assert packages <= set(names)


def test_no_circle_of_imports_is_left():
    graph = {}
    for module, path in MODULES.items():
        package = module if path.name == "__init__.py" else module.rpartition(".")[0]
        targets = {one.target for one in imports_of(path.read_text(), package)}
        graph[module] = {
            target for target in targets if target in MODULES and target not in (module, "edge_fairmot")
        }
    state: dict[str, int] = {}

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert state.get(module) != 1, " -> ".join((*path[path.index(module) :], module))
        if module not in state:
            state[module] = 1
            for target in sorted(graph[module]):
                visit(target, (*path, module))
            state[module] = 2

    for module in graph:
        if module != "edge_fairmot":
            visit(module, ())


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("errors", "from edge_fairmot.types import Frame"),
        ("types", "import edge_fairmot.letterbox"),
        ("letterbox", "from . import tracking"),
        ("tracking.kalman", "import scipy.linalg"),
        ("tracking.tracker", "from ..sources import video"),
        ("tracking.tracker", "from edge_fairmot import Tracker"),
        ("tracking.tracker", "def f():\n    import cv2"),
        ("tracking.tracker", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch"),
        ("sources.av", "import av"),
        ("pipeline", "from edge_fairmot.runtimes.registry import open_runtime"),
        ("sinks.text", "from edge_fairmot.counting import Counter"),
        ("cli.main", "from edge_fairmot.convert import export"),
        ("runtimes.ort", "def f():\n    from torch import nn"),
        ("convert.network", "import typer"),
        ("benchmarks.accuracy", "import edge_fairmot.cli"),
        ("benchmarks.accuracy", "import runtimes"),
        ("attic", "import os"),
    ],
)
def test_a_planted_violation_is_named(module, source):
    (found,) = violations(f"edge_fairmot.{module}", source)
    assert found.startswith(f"edge_fairmot.{module}")


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("tracking.tracker", "import lap\nfrom .kalman import predict\nfrom edge_fairmot.boxes import iou"),
        ("sinks.video", "def f():\n    import av"),
        ("cli.convert", "def f():\n    from edge_fairmot.convert import export"),
        ("convert.parity", "import torch\nfrom ..benchmarks import accuracy"),
    ],
)
def test_what_is_allowed_is_not_named(module, source):
    assert violations(f"edge_fairmot.{module}", source) == []


@pytest.mark.parametrize(
    "module",
    [
        "pipeline",
        "detector",
        "tracking",
        "sources",
        "sinks",
        "service.web",
        "service.mqtt",
        "runtimes",
        "benchmarks",
    ],
)
def test_importing_loads_no_framework(module):
    program = f"import json, sys, edge_fairmot.{module}; print(json.dumps(sorted(sys.modules)))"
    made = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    assert HEAVY.isdisjoint(json.loads(made.stdout)), (
        f"edge_fairmot.{module} loads what a device may not have"
    )


def test_every_file_is_read_in_one_sitting():
    lengths = {path: len(path.read_text().splitlines()) for _, path in product_files()}
    long = [f"{path.relative_to(ROOT)} has {n} lines" for path, n in lengths.items() if n > MAX_LINES]
    assert not long, "\n".join([f"at most {MAX_LINES} lines: split what holds more than one idea", *long])
