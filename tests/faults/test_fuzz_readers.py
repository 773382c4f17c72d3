"""Every reader of files, fed with thousands of damaged ones: it reads them or raises EdgeFairmotError.

Any other exception is a traceback for the user. A warning is one here, too. The damage is drawn from a fixed
seed; the whole file takes about ten seconds.
"""

import io
import json
import random
import re
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from edge_fairmot.benchmarks import mot_text
from edge_fairmot.benchmarks.results import read_results, write_results
from edge_fairmot.cli.run_config import read_run_config
from edge_fairmot.counting import parse_counting
from edge_fairmot.detection_cache import CachedDetector, CacheInfo, DetectionWriter
from edge_fairmot.errors import EdgeFairmotError
from edge_fairmot.manifest import MANIFEST_KEY, ModelManifest
from edge_fairmot.model_file import certificate_fault, read_onnx_file, write_field
from edge_fairmot.service.mqtt.discovery import DiscoveryRegistry
from edge_fairmot.service.web import WebConfig, saved_drawing
from edge_fairmot.service.web.drawing import parse_request
from edge_fairmot.sinks import read_json_lines
from edge_fairmot.sources.images import read_seqinfo
from edge_fairmot.types import Detections, Frame

from ..benchmarks.made_results import entry, results  # noqa: TID252

SEED = 20261130

NUMBERS = (b"-1", b"0", b"3.7", b"1e400", b"-1e400", b"1e308", b"NaN", b"-Infinity", b"9" * 30, b"9" * 5000)
VALUES = (*NUMBERS, b"null", b"true", b'""', b'"x"', b"[]", b"{}", b"[[1]]", b'{"a": 1}', b"inf", b"1_0")
BYTES = (
    b"\x00",
    b"\xff",
    b"\xed\xa0\x80",
    b"\n",
    b"\r",
    b'"',
    b"\\",
    b"[",
    b"{",
    b"=",
    b",",
    b"%",
    b"\x1b[2J",
)
DEEP = (b"[" * 30, b"[" * 100_000)
TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:e[-+]?\d+)?|true|false|null')


def damage(content: bytes, draw: random.Random) -> bytes:
    """Change one place, or two or three: a token, a byte, a part left out, twice, or moved."""
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        start = draw.randrange(len(content) + 1)
        end = min(len(content), start + draw.choice((0, 1, 1, 2, 8, 40)))
        kind = draw.randrange(7)
        tokens = list(TOKEN.finditer(content)) if kind < 2 else []
        if tokens:
            start, end = draw.choice(tokens).span()
            content = content[:start] + draw.choice(VALUES) + content[end:]
        elif kind == 2:
            content = content[:start] + draw.choice((*BYTES, *VALUES, *DEEP)) + content[end:]
        elif kind == 3:
            content = content[:start] + bytes(draw.randrange(256) for _ in range(end - start)) + content[end:]
        elif kind == 4:
            content = content[:start] + content[end:]
        elif kind == 5:
            content = content[:end] + content[start:]
        else:
            content = content[: start if draw.random() < 0.2 else end]
    return content


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder in memory where there is one: thousands of files are written."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as name:
        yield Path(name)


def damaged(content: bytes, count: int) -> Iterator[bytes]:
    draw = random.Random(SEED)
    for _ in range(count):
        yield damage(content, draw)


def check(use: Callable[[bytes], object], contents: Iterator[bytes]) -> None:
    """Hold that the undamaged content is read, and that nothing but EdgeFairmotError comes of others."""
    refused = total = 0
    for content in contents:
        total += 1
        try:
            use(content)
        except EdgeFairmotError:
            refused += 1
        except BaseException as error:
            raise AssertionError(f"{type(error).__name__}: {error} from {content[:2000]!r}") from error
    assert refused > 0, "no damage was seen: the test damages nothing that is read"
    assert refused < total, "all were refused: the test does not reach what it should"


MANIFEST = ModelManifest(
    input_size=(64, 64),
    max_detections=8,
    embedding_dim=4,
    class_names=("person", "car"),
    opset=19,
    checkpoint_sha256="ab" * 32,
    toolkit_version="0.1.0",
    deform_conv={"ida_0.proj_1": "native"},
    parity={"peak_recall": 1.0, "box_error_px": 0.003},
    calibration="street.mp4",
    graph_sha256="cd" * 32,
    versions={"torch": "2.9"},
)


def read_manifest(content: bytes) -> None:
    ModelManifest.from_json(content.decode(errors="surrogateescape"))


def test_manifest():
    check(read_manifest, damaged(MANIFEST.to_json().encode(), 1500))


def onnx_bytes() -> bytes:
    """A model with inputs, outputs, a node and the manifest, without the onnx package."""

    def value(name: str, *sizes: int) -> bytes:
        dims = b"".join(write_field(1, bytes([1 << 3, size])) for size in sizes)
        tensor = bytes([1 << 3, 1]) + write_field(2, dims)
        return write_field(1, name.encode()) + write_field(2, write_field(1, tensor))

    node = write_field(1, b"images") + write_field(2, b"boxes") + write_field(4, b"Identity")
    graph = write_field(1, node) + write_field(11, value("images", 1, 64, 64, 3))
    graph += write_field(12, value("boxes", 1, 8, 4)) + write_field(12, value("scores", 1, 8))
    entry = write_field(1, MANIFEST_KEY.encode()) + write_field(2, MANIFEST.to_json().encode())
    opset = write_field(1, b"") + bytes([2 << 3, 19])
    return bytes([1 << 3, 9]) + write_field(7, graph) + write_field(8, opset) + write_field(14, entry)


def test_onnx_file(folder):
    def use(content: bytes) -> None:
        (folder / "model.onnx").write_bytes(content)
        file = read_onnx_file(folder / "model.onnx")
        certificate_fault(file.path, file.manifest)

    check(use, damaged(onnx_bytes(), 1500))


LIVE = b"""source = "rtsp://camera/stream"
[runtime]
name = "cpu"
threads = 2
[tracker]
score_threshold = 0.4
track_buffer = 30
[schedule]
every = 2
[counting]
anchor = "feet"
hysteresis = 0.1
[[line]]
name = "door"
start = [0.2, 0.8]
end = [0.8, 0.8]
[[zone]]
name = "queue"
polygon = [[0.1, 0.5], [0.4, 0.5], [0.4, 0.9]]
[record]
path = "shop.jsonl"
budget = "2GB"
[mqtt]
broker = "mqtts://broker:8883"
device = "door"
[web]
serve = true
port = 8080
[log]
every_s = 300
"""


def test_toml_configuration(folder):
    def use(content: bytes) -> None:
        (folder / "live.toml").write_bytes(content)
        config = read_run_config(folder / "live.toml", (), {})
        _ = config.counted, config.tracker_config(25.0), config.runtime.options, config.camera.network

    check(use, damaged(LIVE, 1500))


def test_overrides():
    def use(content: bytes) -> None:
        read_run_config(None, [content.decode(errors="surrogateescape")], {"source": "synthetic:"})

    for pair in (b"web.port=8081", b'mqtt.broker="mqtt://broker"', b"tracker.score_threshold=0.4"):
        check(use, damaged(pair, 200))


TRACKS = b"""{"schema_version":1, "source":"a", "size": [64, 48], "frame_rate": 25, "model":{}, "settings":{}}
{"frame":1,"time_s":0.0,"predicted":false,"tracks":[{"id":1,"xyxy":[1.5,2.0,9.0,9.5],"score":0.9,"class_id":0}]}
{"frame":2,"time_s":0.04,"predicted":true,"tracks":[]}
{"frame":3,"time_s":0.08,"predicted":false,"tracks":[{"id":2,"xyxy":[1.5,2.0,9.0,9.5],"score":0.9,"class_id":0}]}
"""


def test_json_lines(folder):
    def use(content: bytes) -> None:
        (folder / "tracks.jsonl").write_bytes(content)
        _, frames = read_json_lines(folder / "tracks.jsonl")
        for number, time_s, tracks in frames:
            assert number >= 0
            assert np.isfinite(time_s)
            assert np.isfinite(tracks.xyxy).all()
            assert np.isfinite(tracks.score).all()

    check(use, damaged(TRACKS, 1500))


GROUND_TRUTH = b"".join(
    b"%d,%d,10.5,20,30,40.25,1,1,0.9\n" % (frame, one) for frame in (1, 2) for one in (1, 7)
)


def test_mot_text(folder):
    def use(content: bytes) -> None:
        path = folder / "gt.txt"
        path.write_bytes(content)
        mot_text.read_mot_text(path)

    check(use, damaged(GROUND_TRUTH, 1500))


SEQINFO = b"""[Sequence]
name=TUD-Campus
imDir=img1
frameRate=25
seqLength=71
imWidth=640
imHeight=480
imExt=.jpg
"""


def test_seqinfo(folder):
    def use(content: bytes) -> None:
        (folder / "seqinfo.ini").write_bytes(content)
        read_seqinfo(folder / "seqinfo.ini")

    check(use, damaged(SEQINFO, 1500))


@pytest.fixture
def cache(folder):
    """A detection cache of four frames; the third was predicted."""
    frames = [Frame(np.zeros((48, 64, 3), np.uint8), index, index / 25) for index in range(4)]
    with DetectionWriter(folder / "cache", CacheInfo("a.mp4", (64, 48), 25.0, 0.3, 4, "people.onnx")) as save:
        for frame in frames:
            found = Detections(
                np.array([[1, 2, 9, 9]] * frame.index, np.float32).reshape(-1, 4),
                np.full(frame.index, 0.9, np.float32),
                np.full((frame.index, 4), 0.5, np.float32),
                np.zeros(frame.index, np.int64),
            )
            save(frame, None if frame.index == 2 else found)
    return folder / "cache", frames


@pytest.mark.parametrize("name", ["meta.json", "frames.npy", "detections.npy"])
def test_detection_cache(cache, name):
    path, frames = cache

    def use(content: bytes) -> None:
        (path / name).write_bytes(content)
        detector = CachedDetector(path, 0.4)
        detector.require_source((64, 48))
        for frame in frames:
            found = detector.detect(frame)
            if found is not None:
                assert np.isfinite(found.xyxy).all()

    check(use, damaged((path / name).read_bytes(), 300))


def test_drawing(folder):
    shapes = parse_request(
        b'{"line": [{"name": "door", "start": [0.2, 0.8], "end": [0.8, 0.8]}],'
        b' "zone": [{"name": "queue", "polygon": [[0.1, 0.5], [0.4, 0.5], [0.4, 0.9]]}]}'
    )
    config = WebConfig(drawing_file=folder / "drawing.json")

    def use(content: bytes) -> None:
        (folder / "drawing.json").write_bytes(content)
        saved_drawing(config, "camera")

    check(use, damaged(json.dumps({"camera": shapes}).encode(), 300))
    check(lambda body: parse_counting(parse_request(body)), damaged(json.dumps(shapes).encode(), 300))


def test_announced_topics(folder):
    """Whatever the file holds, the run begins."""
    for content in damaged(b'["homeassistant/sensor/door/line_door_in/config", "b"]', 1500):
        (folder / "events.db.announced").write_bytes(content)
        DiscoveryRegistry(folder / "events.db.announced")


@pytest.mark.parametrize("old_format", [False, True])
def test_checkpoint(folder, old_format):
    torch = pytest.importorskip("torch", reason="needs the convert extra")
    from edge_fairmot.convert import read_checkpoint

    path, whole = folder / "x.pth", folder / "whole.pth"
    heads = {f"{head}.2.weight": torch.ones(2, 3, 1, 1) for head in ("hm", "wh", "id", "reg")}
    content = {"epoch": 3, "lr": np.float64(1e-4), "state_dict": heads | {"module.hm.2.bias": torch.ones(2)}}
    torch.save(content, whole, _use_new_zipfile_serialization=not old_format)

    def use(pickled: bytes) -> None:
        if old_format:
            path.write_bytes(pickled)
        else:
            with zipfile.ZipFile(whole) as old, zipfile.ZipFile(path, "w") as new:
                for member in old.namelist():
                    new.writestr(member, pickled if member.endswith("data.pkl") else old.read(member))
        with pytest.raises(EdgeFairmotError):  # always: it is too small for a network
            read_checkpoint(path)

    with zipfile.ZipFile(whole) if not old_format else io.BytesIO() as archive:
        name = (
            next((one for one in archive.namelist() if one.endswith("data.pkl")), "")
            if not old_format
            else ""
        )
        pickled = whole.read_bytes() if old_format else archive.read(name)
    for changed in damaged(pickled, 200):
        if len(changed) < len(pickled) + 10_000:  # torch takes minutes to word its error of a longer name
            use(changed)


def test_results_of_bench(folder):
    pytest.importorskip("pydantic", reason="needs the bench extra")
    write_results(folder / "results.json", results(entry()))

    def use(content: bytes) -> None:
        (folder / "results.json").write_bytes(content)
        read_results(folder / "results.json")

    check(use, damaged((folder / "results.json").read_bytes(), 120))
