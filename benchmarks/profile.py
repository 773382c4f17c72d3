"""Where the time of one inference goes: by operator, by layer, against what each convolution reaches alone.

A runtime's own counters give the milliseconds of every operator of a file. A second model holds each of the
file's convolutions by itself, with the same shape and precision: the rate that the same runtime reaches there
is attainable in the file. Both take turns, and the best of the turns counts.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from math import prod
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from edge_fairmot.benchmarks.report_tables import NOTHING, TextTable
from edge_fairmot.errors import EvaluationError, InvalidInputError, MissingDependencyError
from edge_fairmot.model_file import read_onnx_file
from edge_fairmot.runtimes.checks import RuntimeOptions
from edge_fairmot.system import atomic_write
from edge_fairmot.types import UInt8Array

RUNTIMES = ("cpu", "openvino")
"""Runtimes with counters for each operator."""

TURNS = 8

DEAREST = 10
"""Layers that are printed; the file has all."""

SCALE = 1 / 32
"""Step of a probe's integers, whose inputs have a standard deviation of 1."""

_CONVOLUTIONS = ("Conv", "QLinearConv", "FusedConv", "Convolution", "GroupConvolution")
"""Operators that run a convolution, in the names of the two runtimes."""

_MARK = re.compile(r"conv(\d+)of")

_PRECISIONS = {"i8": "int8", "u8": "int8", "uint8": "int8", "f32": "fp32", "float": "fp32", "f16": "fp16"}


class Counter(NamedTuple):
    """The best time of an operator."""

    operator: str
    precision: str
    ms: float


Counters: TypeAlias = Mapping[str, Counter]
"""By the names of nodes."""


@dataclass(frozen=True, slots=True)
class OperatorTime:
    """All operators of one kind and precision."""

    operator: str
    precision: str
    count: int
    ms: float


@dataclass(frozen=True, slots=True)
class LayerTime:
    """One operator. ``gmac`` and ``probe_ms`` are known for convolutions; the probe is the layer alone."""

    name: str
    operator: str
    precision: str  # in which it ran
    shape: str
    ms: float
    gmac: float | None = None
    probe_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Profile:
    """The milliseconds of one inference, each operator at its best of ``turns``.

    Attributes
    ----------
    operators : tuple of OperatorTime
    layers : tuple of LayerTime
        Both with the dearest first.
    """

    model: str
    runtime: str
    threads: int | None
    turns: int
    operators: tuple[OperatorTime, ...]
    layers: tuple[LayerTime, ...]

    @property
    def total_ms(self) -> float:
        """All operators."""
        return sum(row.ms for row in self.operators)

    @property
    def convolution_ms(self) -> float:
        """All convolutions in the file."""
        return sum(layer.ms for layer in self.layers if layer.probe_ms is not None)

    @property
    def attainable_ms(self) -> float:
        """All convolutions at the rate of their probes."""
        return sum(layer.probe_ms for layer in self.layers if layer.probe_ms is not None)

    @property
    def gmac(self) -> float:
        """Multiply-adds of the convolutions, in thousands of millions."""
        return sum(layer.gmac for layer in self.layers if layer.gmac is not None)

    @property
    def verdict(self) -> str:
        """One line: how far the file is from the limit."""
        if not self.attainable_ms:
            return f"{self.total_ms:.1f} ms; it has no convolution whose limit a probe could tell"
        share = self.attainable_ms / self.total_ms
        return (
            f"{share:.0%} of the attainable rate: {self.total_ms:.1f} ms, of which {self.convolution_ms:.1f} "
            f"in convolutions; these take {self.attainable_ms:.1f} ms alone ({self.gmac:.1f} GMAC at "
            f"{1000 * self.gmac / self.attainable_ms:.0f} GMAC/s)"
        )


def profile(path: Path, runtime: str, images: UInt8Array, threads: int | None = None) -> Profile:
    """Profile a file of the graph contract.

    Parameters
    ----------
    path : Path
    runtime : str
        ``cpu``, ``openvino``, or a device of it, as in ``openvino:GPU``.
    images : uint8 (N, H, W, 3)
        One batch in the file's size.
    threads : int, optional
        Of one inference; as the runtime chooses by default.

    Raises
    ------
    InvalidInputError
        If the runtime has no counters.
    """
    name, _, device = runtime.partition(":")
    if name not in RUNTIMES:
        raise InvalidInputError(
            f"--profile has no counters for {runtime!r}: choose from {', '.join(RUNTIMES)}"
        )
    if find_spec("onnx") is None:
        raise MissingDependencyError("onnx", "convert", "by --profile, to build the probes")
    import onnx  # noqa: PLC0415

    graph_file = read_onnx_file(path)
    lowerings = set(graph_file.manifest.deform_conv.values())
    model = onnx.load(path)
    convolutions = _mark_convolutions(model)
    probes, feeds = _make_probes(convolutions)
    options = RuntimeOptions(device=device, threads=threads)
    with tempfile.TemporaryDirectory() as folder:
        opened = []
        for made, stem in ((model, "file"), (probes, "probes")):
            onnx.save(made, Path(folder) / f"{stem}.onnx")
            opener = _OrtCounters if name == "cpu" else _OpenVinoCounters
            opened.append(opener(Path(folder) / f"{stem}.onnx", options, lowerings))
        for _ in range(TURNS + 1):  # the first one warms up
            opened[0].run({"images": images})
            opened[1].run(feeds)
        found, alone = (counters.best() for counters in opened)
    return Profile(path.name, runtime, threads, TURNS, *_join(convolutions, found, alone))


class _Convolution(NamedTuple):
    """A convolution of a file: its name in the checkpoint, its node, shapes, and declared precision."""

    name: str
    node: Any
    input_shape: tuple[int, ...]
    weight_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    is_int8: bool

    @property
    def gmac(self) -> float:
        return prod(self.output_shape) * prod(self.weight_shape[1:]) / 1e9

    @property
    def shape(self) -> str:
        kernel = "x".join(map(str, self.weight_shape[2:]))
        return f"{'x'.join(map(str, self.input_shape[1:]))} by {kernel} to {self.output_shape[1]}"

    @property
    def key(self) -> str:
        """Equal for convolutions that one probe stands for."""
        attributes = sorted((one.name, str(one.ints or one.i or one.s)) for one in self.node.attribute)
        return str((self.input_shape, self.weight_shape, attributes, len(self.node.input), self.is_int8))


def _mark_convolutions(model: Any) -> list[_Convolution]:
    """Name every node, and convolutions and their outputs so that a fused node can be told; list these."""
    import onnx  # noqa: PLC0415

    inferred = onnx.shape_inference.infer_shapes(model).graph
    shapes = {
        value.name: tuple(size.dim_value for size in value.type.tensor_type.shape.dim)
        for value in (*inferred.input, *inferred.value_info, *inferred.output)
    } | {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    producers = {name: node for node in model.graph.node for name in node.output}
    convolutions: list[_Convolution] = []
    final = {value.name for value in model.graph.output}
    marks: dict[str, str] = {}  # of a convolution's output, and of the activation behind it
    for index, node in enumerate(model.graph.node):
        inherited = marks.get(node.input[0], "") if node.input else ""
        if node.op_type == "Conv":
            weight = producers.get(node.input[1])
            is_int8 = weight is not None and weight.op_type == "DequantizeLinear"
            stored = node.input[1] if weight is None else weight.input[0]
            mark = f"conv{len(convolutions)}of"
            convolutions.append(
                _Convolution(
                    name=_layer_name(node),
                    node=node,
                    input_shape=shapes[node.input[0]],
                    weight_shape=shapes[stored],
                    output_shape=shapes[node.output[0]],
                    is_int8=is_int8,
                )
            )
        else:
            # ONNX Runtime names a fused node after its last node, or after what this one gives out.
            inherits = node.op_type in ("Relu", "Sigmoid", "QuantizeLinear", "DequantizeLinear")
            mark = inherited if inherits else ""
        node.name = f"{mark}{index}" if mark else node.name or f"{node.op_type}_{index}"
        for place, name in enumerate(node.input):
            node.input[place] = f"{marks[name]}/{name}" if name in marks else name
        for place, name in enumerate(node.output):
            if mark and name not in final:
                marks[name] = mark
                node.output[place] = f"{mark}/{name}"
    return convolutions


def _layer_name(node: Any) -> str:
    """Name of a convolution in the checkpoint; a sampled deformable one has it in its bias only."""
    names: list[str] = [name.partition("/")[0] for name in node.input[1:]]
    name = next((name for name in names if name.startswith("network.")), names[0])
    return name.removeprefix("network.").removesuffix(".weight").removesuffix(".bias")


def _make_probes(convolutions: list[_Convolution]) -> tuple[Any, dict[str, Any]]:
    """Make a model of the different convolutions, each on an input of its own, and these inputs."""
    import onnx  # noqa: PLC0415
    from onnx import helper, numpy_helper  # noqa: PLC0415

    random = np.random.default_rng(0)
    nodes, inputs, outputs = [], [], []
    stored: dict[str, Any] = {"zero": np.int8(0), "step": np.float32(SCALE)}
    feeds: dict[str, Any] = {}
    firsts = {one.key: number for number, one in reversed(list(enumerate(convolutions)))}
    for number in firsts.values():
        one, name = convolutions[number], f"conv{number}of"
        channels = one.weight_shape[0]
        feeds[f"{name}x"] = random.standard_normal(one.input_shape, np.float32)
        weight = random.standard_normal(one.weight_shape, np.float32) / prod(one.weight_shape[1:]) ** 0.5
        terms: dict[str, Any] = {"w": weight, "b": np.zeros(channels, np.float32)}
        source = f"{name}x"
        if one.is_int8:
            step = np.full(channels, np.abs(weight).max() / 127, np.float32)
            terms["w"] = np.rint(weight / step[0]).astype(np.int8)
            terms["b"] = np.zeros(channels, np.int32)
            for term, values in (("w", step), ("b", step * np.float32(SCALE))):
                stored[f"{name}{term}step"] = values
                stored[f"{name}{term}zero"] = np.zeros(channels, terms[term].dtype)
                parts = [f"{name}{term}{part}" for part in ("", "step", "zero")]
                nodes.append(helper.make_node("DequantizeLinear", parts, [f"{name}{term}float"], axis=0))
            nodes += _rounded(source, f"{name}r")
            source = f"{name}r"
        stored |= {f"{name}{term}": values for term, values in terms.items()}
        names = [f"{name}{term}{'float' if one.is_int8 else ''}" for term in terms][: len(one.node.input) - 1]
        convolution = helper.make_node("Conv", [source, *names], [f"{name}c"], name)
        convolution.attribute.extend(one.node.attribute)
        nodes.append(convolution)
        if one.is_int8:
            nodes += _rounded(f"{name}c", f"{name}d")
        last = f"{name}{'d' if one.is_int8 else 'c'}"
        nodes.append(helper.make_node("Relu", [last], [f"{name}y"], f"{name}/relu"))
        float32 = onnx.TensorProto.FLOAT
        inputs.append(helper.make_tensor_value_info(f"{name}x", float32, one.input_shape))
        outputs.append(helper.make_tensor_value_info(f"{name}y", float32, one.output_shape))
    constants = [numpy_helper.from_array(np.asarray(values), name) for name, values in stored.items()]
    graph = helper.make_graph(nodes, "probes", inputs, outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), feeds


def _rounded(source: str, target: str) -> list[Any]:
    """Make the pair that rounds a tensor to int8."""
    from onnx import helper  # noqa: PLC0415

    rounded = [f"{target}int8", "step", "zero"]
    return [
        helper.make_node("QuantizeLinear", [source, *rounded[1:]], rounded[:1]),
        helper.make_node("DequantizeLinear", rounded, [target]),
    ]


class _OrtCounters:
    """ONNX Runtime's profiling file."""

    def __init__(self, path: Path, options: RuntimeOptions, _: set[str]) -> None:
        from edge_fairmot.runtimes.ort import CPU, open_session  # noqa: PLC0415

        self._session = open_session(path, [CPU], options.threads, profile_to=path.with_suffix(""))

    def run(self, feeds: Mapping[str, Any]) -> None:
        self._session.run(None, feeds)

    def best(self) -> Counters:
        end = "_kernel_time"
        found: dict[str, Counter] = {}
        for event in json.loads(Path(self._session.end_profiling()).read_text()):
            if event.get("cat") == "Node" and event["name"].endswith(end):
                details = event["args"]
                ((kind, _),) = (details["input_type_shape"] or [{"": ()}])[0].items()
                counter = Counter(details["op_name"], _PRECISIONS.get(kind, kind), event["dur"] / 1000)
                _keep_best(found, event["name"].removesuffix(end), counter)
        return found


class _OpenVinoCounters:
    """OpenVINO's performance counters, which are means over all runs so far."""

    def __init__(self, path: Path, options: RuntimeOptions, lowerings: set[str]) -> None:
        from edge_fairmot.runtimes.openvino import compile_file, kept_signal_stack  # noqa: PLC0415

        with kept_signal_stack():
            compiled = compile_file(str(path), options.device or "CPU", options, lowerings, profiled=True)
            self._request = compiled.create_infer_request()
        self._found: dict[str, Counter] = {}
        self._runs = 0
        self._sums_ms: dict[str, float] = {}

    def run(self, feeds: Mapping[str, Any]) -> None:
        self._request.infer(feeds, share_inputs=True)
        self._runs += 1
        for one in self._request.profiling_info:
            sum_ms = 1000 * one.real_time.total_seconds() * self._runs
            ms = sum_ms - self._sums_ms.get(one.node_name, 0.0)
            self._sums_ms[one.node_name] = sum_ms
            if ms > 0:
                kind = one.exec_type.rpartition("_")[2].lower()  # as in brgconv_avx512_i8
                counter = Counter(one.node_type, _PRECISIONS.get(kind, kind), ms)
                _keep_best(self._found, one.node_name, counter)

    def best(self) -> Counters:
        return self._found


def _keep_best(found: dict[str, Counter], name: str, counter: Counter) -> None:
    if name not in found or counter.ms < found[name].ms:
        found[name] = counter


def _join(
    convolutions: list[_Convolution], found: Counters, alone: Counters
) -> tuple[tuple[OperatorTime, ...], tuple[LayerTime, ...]]:
    """Put the counters of a file and of its probes together, the dearest first."""
    probes = {
        convolutions[number].key: counter.ms
        for name, counter in alone.items()
        if (number := _convolution_number(name, counter)) is not None
    }
    layers, kinds = [], defaultdict(list)
    for name, counter in found.items():
        kinds[counter.operator, counter.precision].append(counter.ms)
        number = _convolution_number(name, counter)
        if number is None:
            mark = _MARK.search(name)
            plain = f"{convolutions[int(mark[1])].name} ({counter.operator})" if mark else name
            layers.append(LayerTime(plain, counter.operator, counter.precision, "", counter.ms))
        else:
            one = convolutions[number]
            probe_ms = probes.get(one.key)
            layers.append(LayerTime(one.name, *counter[:2], one.shape, counter.ms, one.gmac, probe_ms))
    operators = [OperatorTime(*kind, len(times), sum(times)) for kind, times in kinds.items()]
    dearest = attrgetter("ms")
    return (
        tuple(sorted(operators, key=dearest, reverse=True)),
        tuple(sorted(layers, key=dearest, reverse=True)),
    )


def _convolution_number(name: str, counter: Counter) -> int | None:
    """Return the place of a counter's convolution in the list; None for another operator."""
    mark = _MARK.search(name)
    return int(mark[1]) if mark and counter.operator in _CONVOLUTIONS else None


def operator_table(found: Profile) -> TextTable:
    """Return the milliseconds by operator and precision."""
    cells = tuple(
        (row.operator, row.precision, str(row.count), f"{row.ms:.2f}", f"{row.ms / found.total_ms:.1%}")
        for row in found.operators
    )
    return TextTable("Operators", ("operator", "precision", "nodes", "ms", "share"), cells, 2, "")


def layer_table(found: Profile) -> TextTable:
    """Return the dearest layers; for convolutions the rate reached and the rate alone, GMAC/s."""

    def rate(layer: LayerTime, ms: float | None) -> str:
        return NOTHING if not ms or layer.gmac is None else f"{1000 * layer.gmac / ms:.0f}"

    cells = tuple(
        (
            layer.name,
            layer.operator,
            layer.precision,
            layer.shape or NOTHING,
            f"{layer.ms:.2f}",
            rate(layer, layer.ms),
            rate(layer, layer.probe_ms),
        )
        for layer in found.layers[:DEAREST]
    )
    header = ("layer", "operator", "precision", "shape", "ms", "GMAC/s", "alone")
    return TextTable("Dearest layers", header, cells, 4, "")


def write_profiles(path: Path, profiles: list[Profile]) -> None:
    """Write profiles as JSON; EvaluationError if they cannot be written."""
    derived = ("total_ms", "convolution_ms", "attainable_ms", "gmac", "verdict")
    data = [asdict(one) | {name: getattr(one, name) for name in derived} for one in profiles]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as partial:
            partial.write_text(json.dumps(data, indent=1))
    except OSError as error:
        raise EvaluationError(
            f"cannot write {path}: {error.strerror}; choose another folder with -o"
        ) from error
