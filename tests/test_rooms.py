"""Who may import whom, and what may be loaded when: the rooms of the product, held by reading its imports."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = {
    "edge_fairmot": "edge_fairmot",
    "edge_fairmot.benchmarks": "benchmarks",
    "edge_fairmot.convert": "convert",
    "edge_fairmot.runtimes": "runtimes",
}
MAX_LINES = 350
HEAVY = {
    "torch",
    "onnxruntime",
    "openvino",
    "onnx",
    "trackeval",
    "typer",
    "rich",
    "av",
    "starlette",
    "uvicorn",
}


@dataclass(frozen=True)
class Room:
    """What a room may import; ``packages`` None is any but those of ``never``."""

    rooms: set[str]
    packages: set[str] | None
    lazy_rooms: frozenset[str] = frozenset()
    lazy_packages: frozenset[str] = frozenset()
    never: frozenset[str] = frozenset({"torch", "torchvision", "typer", "rich"})

    def allows(self, room: str, lazy: bool) -> bool:
        return room in self.rooms or (lazy and room in self.lazy_rooms)

    def allows_package(self, package: str, lazy: bool) -> bool:
        if self.packages is None:
            return package not in self.never
        return package in self.packages or (lazy and package in self.lazy_packages)

    def __str__(self) -> str:
        packages = f"any package but {_names(self.never)}" if self.packages is None else _names(self.packages)
        lazy = self.lazy_rooms | self.lazy_packages
        return f"{_names(self.rooms)}; {packages}" + (f"; inside functions {_names(lazy)}" if lazy else "")


def _names(names: set[str] | frozenset[str]) -> str:
    return ", ".join(sorted(names)) or "no other room"


CORE = {"numpy", "cv2", "lap"}
FRAMEWORK_FREE = {"types", "errors", "geometry", "manifest", "contracts", "schedule", "tracking"}
ROOMS = {
    "": Room({*FRAMEWORK_FREE, "sources", "sinks", "pipeline"}, CORE),
    "errors": Room(set(), CORE),
    "types": Room({"errors"}, CORE),
    "geometry": Room({"types", "errors"}, CORE),
    "manifest": Room({"types", "errors"}, CORE),
    "contracts": Room({"types", "errors", "manifest"}, CORE),
    "protobuf": Room(set(), CORE),
    "onnx_file": Room({"types", "errors", "manifest", "protobuf"}, CORE),
    "whole_file": Room(set(), set()),
    "certificate": Room({"errors", "manifest", "protobuf", "onnx_file", "whole_file"}, CORE),
    "tracking": Room({"types", "errors", "geometry"}, CORE),
    "tape": Room({"types", "errors", "geometry", "manifest"}, CORE),
    "tape_recorder": Room({"types", "errors", "geometry", "manifest", "tape", "sinks"}, CORE),
    "street": Room({"types", "errors"}, {"numpy", "cv2"}),
    "sources": Room(
        {"types", "errors", "geometry", "contracts", "channel", "tape", "street"},
        CORE,
        lazy_packages=frozenset({"av", "picamera2", "libcamera"}),
    ),
    "counting": Room({"types", "errors"}, {"numpy"}),
    "sinks": Room(
        {"types", "errors", "geometry", "contracts", "counting"}, CORE, lazy_packages=frozenset({"av"})
    ),
    "web": Room(
        {"types", "errors", "contracts", "counting", "sources", "sinks", "pipeline", "whole_file", "heat"},
        {"numpy", "cv2", "tomli", "anyio", "h11", "starlette", "uvicorn", "prometheus_client"},
    ),
    "mqtt": Room(
        {
            "types",
            "errors",
            "contracts",
            "counting",
            "pipeline",
            "sinks",
            "sources",
            "run_lock",
            "whole_file",
        },
        CORE,
        lazy_packages=frozenset({"paho"}),
    ),
    "recording": Room({"types", "errors", "contracts", "counting", "sinks", "run_lock"}, CORE),
    "bundled": Room({"errors"}, set()),
    "doctor": Room({"errors", "runtimes", "heat", "system_file"}, set()),
    "heat": Room({"system_file"}, set()),
    "system_file": Room(set(), set()),
    "run_lock": Room({"errors"}, set()),
    "channel": Room(set(), CORE),
    "schedule": Room({"errors"}, CORE),
    "stages": Room({"types", "errors", "geometry", "contracts", "channel", "schedule"}, CORE),
    "pipeline": Room({*FRAMEWORK_FREE, "stages"}, CORE),
    "cli": Room(
        {
            *FRAMEWORK_FREE,
            *("onnx_file", "certificate", "sources", "sinks", "pipeline", "runtimes"),
            *("bundled", "tape", "tape_recorder", "street", "counting", "web", "doctor", "mqtt", "recording"),
            "whole_file",
        },
        {"numpy", "cv2", "typer", "rich", "tomli"},
        lazy_rooms=frozenset({"convert", "benchmarks"}),
        lazy_packages=frozenset({"onnx", "onnxruntime", "openvino", "trackeval"}),
    ),
    "runtimes": Room({"types", "errors", "manifest", "contracts", "onnx_file", "tape", "system_file"}, None),
    "convert": Room(
        {
            *("types", "geometry", "manifest", "errors", "contracts", "certificate", "whole_file"),
            *("onnx_file", "runtimes", "benchmarks"),
        },
        None,
        never=frozenset({"typer", "rich"}),
    ),
    "benchmarks": Room(
        {
            *FRAMEWORK_FREE,
            *("bundled", "counting"),
            *("onnx_file", "certificate", "sources", "sinks", "stages", "pipeline", "runtimes"),
            *("street", "tape", "tape_recorder", "whole_file", "heat"),
        },
        {"numpy", "cv2"},
        lazy_packages=frozenset({"trackeval", "onnxruntime", "plotly", "psutil", "pydantic", "pynvml"}),
    ),
}


@dataclass(frozen=True)
class Import:
    target: str
    line: int
    lazy: bool


class _Reader(ast.NodeVisitor):
    """Collects imports; one inside a function or under ``TYPE_CHECKING`` is lazy."""

    def __init__(self, package: str) -> None:
        self.package = package
        self.found: list[Import] = []
        self.depth = 0

    def _visit_deeper(self, nodes: list[ast.stmt]) -> None:
        self.depth += 1
        for node in nodes:
            self.visit(node)
        self.depth -= 1

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self._visit_deeper(node.body)

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815

    def visit_If(self, node: ast.If) -> None:
        if ast.unparse(node.test) not in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            self.generic_visit(node)
            return
        self._visit_deeper(node.body)
        for other in node.orelse:
            self.visit(other)

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            renamed = alias.name == "edge_fairmot" and alias.asname
            self._add("edge_fairmot.*" if renamed else alias.name, node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        # import edge_fairmot by itself shows what is used only at the dot.
        if isinstance(node.value, ast.Name) and node.value.id == "edge_fairmot":
            self._add(f"edge_fairmot.{node.attr}", node)
        self.generic_visit(node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        base = self.package.rsplit(".", node.level - 1)[0] if node.level else ""
        origin = ".".join(filter(None, [base, node.module]))
        for alias in node.names:
            # What is taken from the top package may be a room; elsewhere the module says enough.
            self._add(f"{origin}.{alias.name}" if origin == "edge_fairmot" else origin, node)

    def visit_Call(self, node: ast.Call) -> None:
        if ast.unparse(node.func) in ("__import__", "import_module", "importlib.import_module"):
            match node.args:
                case [ast.Constant(value=str(name)), *_]:
                    self._add(name, node)
        self.generic_visit(node)

    def _add(self, target: str, node: ast.stmt | ast.expr) -> None:
        self.found.append(Import(target, node.lineno, self.depth > 0))


def room_of(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def complaint_about(module: str, found: Import) -> str | None:
    """Why ``module`` may not have this import; None where it may."""
    room = room_of(module)
    top = found.target.split(".")[0]
    if top in {"convert", "runtimes", "benchmarks"}:
        return f"import edge_fairmot.{top}: the bare name exists in the checkout only"
    if top in sys.stdlib_module_names or found.target in ("edge_fairmot", "edge_fairmot.__version__"):
        return None
    if top == "edge_fairmot":
        target_room = room_of(found.target)
        if target_room not in ROOMS or (target_room == "" != room):
            return "names are imported from the module they live in, not from edge_fairmot"
        allowed = target_room == room or ROOMS[room].allows(target_room, found.lazy)
    else:
        allowed = ROOMS[room].allows_package(top, found.lazy)
    return None if allowed else f"{room or 'edge_fairmot'} may import: {ROOMS[room]}"


def violations(module: str, source: str, *, is_package: bool = False) -> list[str]:
    if room_of(module) not in ROOMS:
        return [f"{module}, line 1: is in no known room. Rule: ROOMS says what each room may import"]
    reader = _Reader(module if is_package else module.rpartition(".")[0])
    reader.visit(ast.parse(source))
    return [
        f"{module}, line {found.line}: imports {found.target} "
        f"{'inside a function' if found.lazy else 'at the top level'}. Rule: {complaint}"
        for found in dict.fromkeys(reader.found)
        if (complaint := complaint_about(module, found))
    ]


def product_files(root: Path = ROOT) -> Iterator[tuple[str, Path]]:
    """Module names and files of the product."""
    for package, folder in FOLDERS.items():
        for path in sorted((root / folder).rglob("*.py")):
            parts = path.relative_to(root / folder).with_suffix("").parts
            yield ".".join([package, *(part for part in parts if part != "__init__")]), path


def all_violations(root: Path = ROOT) -> list[str]:
    return [
        violation
        for module, path in product_files(root)
        for violation in violations(module, path.read_text(), is_package=path.name == "__init__.py")
    ]


def test_every_import_keeps_to_its_room():
    found = all_violations()

    assert not found, "\n".join(["", *found])


def test_the_walk_sees_every_room(tmp_path):
    for package, folder in FOLDERS.items():
        (tmp_path / folder / "tracking").mkdir(parents=True)
        (tmp_path / folder / "__init__.py").write_text("import torch\n")
        (tmp_path / folder / "tracking" / "leaf.py").write_text(
            "\n\ndef f():\n    from benchmarks import g\n"
        )
        assert dict(product_files(tmp_path))[f"{package}.tracking.leaf"].exists()

    found = all_violations(tmp_path)

    assert sum("imports torch at the top level" in line for line in found) == 3  # not in convert
    assert sum(".tracking.leaf, line 4: imports benchmarks inside a function" in line for line in found) == 4


IN_FUNCTION = "def f():\n    {}"
IN_METHOD = (
    "class A:\n    async def f(self):\n        try:\n            {}\n        finally:\n            pass"
)
UNDER_TYPE_CHECKING = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    {}"


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("errors", "from edge_fairmot.types import Frame"),
        ("types", "import edge_fairmot.letterbox"),
        ("geometry", "from . import tracking"),
        ("manifest", "from edge_fairmot import contracts"),
        ("contracts", "from .pipeline import run"),
        ("tracking.kalman", "import scipy.linalg"),
        ("tracking.tracker", "from ..sources import video"),
        ("tracking.tracker", "from .. import convert"),
        ("tracking.tracker", "from edge_fairmot import Tracker"),
        ("tracking.tracker", "import edge_fairmot\nedge_fairmot.Tracker"),
        ("tracking.tracker", "import edge_fairmot\nedge_fairmot.sources.open_source()"),
        ("tracking.tracker", "import edge_fairmot as e\ne.Tracker"),
        ("tracking.tracker", IN_FUNCTION.format("import onnxruntime")),
        ("tracking.tracker", UNDER_TYPE_CHECKING.format("import torch")),
        ("tracking.tracker", "class A:\n    import torch"),
        ("sources.video", "import av"),
        ("sources.video", "from edge_fairmot.runtimes import open_runtime"),
        ("sinks.video", "import av"),
        ("sinks.video", "from edge_fairmot.tracking import Tracker"),
        ("channel", "from edge_fairmot.pipeline import Stages"),
        ("schedule", "from edge_fairmot.tracking import Tracker"),
        ("stages", "from edge_fairmot.pipeline import select_detections"),
        ("pipeline", "from edge_fairmot.runtimes.registry import open_runtime"),
        ("pipeline", IN_FUNCTION.format("from edge_fairmot.sinks import video")),
        ("pipeline", IN_METHOD.format("import rich")),
        ("cli.main", "from edge_fairmot.convert import export"),
        ("cli.main", "import edge_fairmot.benchmarks.accuracy as accuracy"),
        ("cli.main", "from .. import benchmarks"),
        ("cli.main", "try:\n    import onnx\nexcept ImportError:\n    pass"),
        ("cli.main", "import openvino"),
        ("cli.main", IN_FUNCTION.format("import torch")),
        ("runtimes.ort", "from edge_fairmot.letterbox import Letterbox"),
        ("runtimes.ort", "from edge_fairmot import convert"),
        ("runtimes.ort", IN_FUNCTION.format("from torch import nn")),
        ("runtimes.registry", "import importlib\nimportlib.import_module('edge_fairmot.convert.network')"),
        ("convert.network", "from edge_fairmot.tracking import Tracker"),
        ("convert.network", "from edge_fairmot.cli import main"),
        ("convert.network", "import typer"),
        ("convert.network", "from convert.deploy import build"),
        ("benchmarks.accuracy", "import trackeval"),
        ("benchmarks.accuracy", IN_FUNCTION.format("from edge_fairmot.convert import export")),
        ("benchmarks.accuracy", "import edge_fairmot.cli"),
        ("benchmarks.accuracy", "import runtimes"),
        ("attic", "import os"),
    ],
)
def test_a_planted_violation_is_named(module, source):
    found = violations(f"edge_fairmot.{module}", source)

    assert len(found) == 1
    assert found[0].startswith(f"edge_fairmot.{module}, line ")
    assert "Rule: " in found[0]


def test_a_violation_reads_like_a_sentence():
    assert violations("edge_fairmot.sinks.video", "import os\nimport av") == [
        "edge_fairmot.sinks.video, line 2: imports av at the top level. Rule: sinks may import: "
        "contracts, counting, errors, geometry, types; cv2, lap, numpy; inside functions av"
    ]


def test_a_relative_import_in_a_package_starts_at_the_package():
    source = "from .tracker import Tracker\nfrom ..pipeline import run"

    assert [
        line.split(". Rule")[0] for line in violations("edge_fairmot.tracking", source, is_package=True)
    ] == ["edge_fairmot.tracking, line 2: imports edge_fairmot.pipeline at the top level"]


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("types", "from __future__ import annotations\nimport os.path\nfrom numpy.typing import NDArray"),
        ("tracking.tracker", "from .kalman import predict\nfrom edge_fairmot.letterbox import iou_inclusive"),
        ("tracking.association", "import lap"),
        ("sinks.video", IN_FUNCTION.format("import av")),
        ("sinks.json_lines", "from edge_fairmot import __version__"),
        ("sinks.tape", "import edge_fairmot\nedge_fairmot.__version__"),
        ("cli.main", "import typer\nfrom rich.console import Console\nfrom edge_fairmot import pipeline"),
        ("cli.convert", IN_FUNCTION.format("from edge_fairmot.convert import export")),
        ("cli.eval", UNDER_TYPE_CHECKING.format("from edge_fairmot.benchmarks.accuracy import Accuracy")),
        ("runtimes.ort", "import onnxruntime\nfrom .registry import open_runtime"),
        (
            "convert.parity",
            "import torch\nfrom ..benchmarks import accuracy\nfrom edge_fairmot import runtimes",
        ),
        ("benchmarks.accuracy", IN_METHOD.format("from trackeval import metrics")),
    ],
)
def test_what_is_allowed_is_not_named(module, source):
    assert violations(f"edge_fairmot.{module}", source) == []


@pytest.mark.parametrize(
    "module",
    [
        "",
        ".contracts",
        ".tracking",
        ".sources",
        ".sinks",
        ".pipeline",
        ".web",
        ".runtimes",
        ".runtimes.replay",
        ".tape_recorder",
        ".benchmarks.accuracy",
    ],
)
def test_importing_loads_no_framework(module):
    name = f"edge_fairmot{module}"
    if name not in dict(product_files()):
        pytest.skip(f"{name} is not there")
    program = f"import json, sys, {name}; print(json.dumps(sorted(sys.modules)))"

    made = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert made.returncode == 0, made.stderr
    assert HEAVY.isdisjoint(json.loads(made.stdout)), f"import {name} loads what an edge device may not have"


def test_every_file_is_read_in_one_sitting():
    lengths = {path: len(path.read_text().splitlines()) for _, path in product_files()}
    long = [f"{path.relative_to(ROOT)} has {n} lines" for path, n in lengths.items() if n > MAX_LINES]

    assert not long, "\n".join([f"at most {MAX_LINES} lines: split what holds more than one idea", *long])
