"""``edge-fairmot live`` with several cameras: their names and settings, and one that fails beside others."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

from edge_fairmot.cli.camera_config import OF_THE_RUN, read_live_configs, split_name
from edge_fairmot.cli.config_file import field_types
from edge_fairmot.cli.run_config import RunConfig, read_run_config
from edge_fairmot.errors import InvalidInputError
from edge_fairmot.service import slug
from edge_fairmot.sinks import read_json_lines

from .test_live import STREET, free_port, live, rtsp_camera  # noqa: F401
from .test_live_page import ask
from .test_track import SCHEMA

ODD_NAMES = ["door", "Tür 2", "a/b", "a.b", "../..", "🚪", "#", "+", "$SYS", "-x", "it's {{ 1 }}", "a" * 60]

SHOP = """
model = "people.onnx"
[camera]
stall_s = 3
[tracker]
track_buffer = 40
score_threshold = 0.5
[mqtt]
broker = "mqtt://broker"
device = "shop"
[record]
path = "kept"
[[line]]
name = "everywhere"
start = [0, 0.5]
end = [1, 0.5]
"""

TABLES = """
[[camera]]
name = "door"
source = "rtsp://a/1"
target_fps = 10
stall_s = 7
tracker = { score_threshold = 0.6 }
[[camera.line]]
name = "gate"
start = [0.5, 0]
end = [0.5, 1]
[[camera]]
name = "Yard 2"
source = "rtsp://b/1"
"""


def read(tmp_path: Path, text: str, *sources: str) -> dict[str, RunConfig]:
    path = tmp_path / "shop.toml"
    path.write_text(text)
    return read_live_configs(path, (), {}, sources)


def test_each_camera_has_the_settings_of_the_file_and_its_own_over_them(tmp_path):
    cameras = read(tmp_path, SHOP.replace("[camera]\nstall_s = 3\n", "") + TABLES)
    door, yard = cameras["door"], cameras["Yard 2"]
    assert [one.source for one in cameras.values()] == ["rtsp://a/1", "rtsp://b/1"]
    assert (door.schedule.target_fps, yard.schedule.target_fps) == (10, None)
    assert (door.camera.stall_s, yard.camera.stall_s) == (7, 5)
    assert (door.tracker.score_threshold, yard.tracker.score_threshold) == (0.6, 0.5)
    assert (door.tracker.track_buffer, yard.tracker.track_buffer) == (40, 40)
    assert [[line.name for line in one.counted.lines] for one in (door, yard)] == [["gate"], ["everywhere"]]
    assert [one.mqtt.base for one in (door, yard)] == [
        "edge-fairmot/shop/door",
        "edge-fairmot/shop/Yard_2_edaad8a8",
    ]
    assert [one.record.folder for one in (door, yard)] == [Path("kept/door"), Path("kept/Yard_2_edaad8a8")]


def test_presets_ignored_zones_and_classes_are_each_camera_s(tmp_path):
    mirror = '[[camera.ignore]]\nname = "mirror"\npolygon = [[0, 0], [1, 0], [1, 1]]\n'
    own = 'tracker = { preset = "bytetrack", score_threshold = 0.6, classes = ["car"] }\n' + mirror
    path = tmp_path / "shop.toml"
    path.write_text(f'[[camera]]\nname = "a"\nsource = "x"\n{own}[[camera]]\nname = "b"\nsource = "y"\n')
    given = {"tracker.preset": "low-fps", "tracker.classes": ["bus"]}
    cameras = read_live_configs(path, (), given, ignored=("sky:0,0;1,0;1,0.1",))
    single = [
        read_run_config(None, (), {"source": "x", "tracker.preset": name, "tracker.score_threshold": score})
        for name, score in (("bytetrack", 0.6), ("low-fps", None))
    ]
    for camera, run, chosen in zip(cameras.values(), single, ("car", "bus"), strict=True):
        assert camera.tracker == replace(run.tracker, classes=(chosen,))
    zones = [[zone.name for zone in camera.counted.ignore] for camera in cameras.values()]
    assert zones == [["mirror", "sky"], ["sky"]]


def test_cameras_of_the_command_line_have_names_and_the_file_s_settings(tmp_path):
    cameras = read(tmp_path, SHOP, "door=rtsp://a/1?x=2", "/dev/video0?size=1280x720", "synthetic:seed=3")
    assert {name: one.source for name, one in cameras.items()} == {
        "door": "rtsp://a/1?x=2",
        "video0": "/dev/video0?size=1280x720",
        "camera3": "synthetic:seed=3",
    }
    assert {one.camera.stall_s for one in cameras.values()} == {3}
    # Those of the file with the same name keep their settings: a recording is tried with a camera's lines.
    tables = SHOP.replace("[camera]\nstall_s = 3\n", "") + TABLES
    (door,) = read(tmp_path, tables, "door=street.mp4").values()
    assert (door.source, door.counted.lines[0].name) == ("street.mp4", "gate")


def test_one_camera_without_a_name_is_a_run_as_before(tmp_path):
    ((name, config),) = read(tmp_path, SHOP, "rtsp://a/1").items()
    path = tmp_path / "shop.toml"
    assert (name, config) == ("", read_run_config(path, (), {"source": "rtsp://a/1"}))
    assert (config.mqtt.base, config.mqtt.identifier) == ("edge-fairmot/shop", "shop")
    assert config.mqtt.outbox_path.name == "shop.events.db"
    assert config.record.folder == Path("kept")


def test_a_file_whose_name_holds_an_equals_sign_is_no_camera_with_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert split_name("door=a.mp4") == ("door", "a.mp4")
    Path("door=a.mp4").touch()
    assert split_name("door=a.mp4") == ("", "door=a.mp4")
    for source in ("synthetic:seed=3", "picamera2:fps=30", "/dev/video0?fps=3", "rtsp://a/?x=1", "a/b=c.mp4"):
        assert split_name(source) == ("", source)


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_name_is_safe_as_a_topic_a_folder_and_an_address(tmp_path, name):
    cameras = read(
        tmp_path,
        SHOP.replace("[camera]\nstall_s = 3\n", "")
        + f"[[camera]]\nname = {json.dumps(name, ensure_ascii=False)}\nsource = 'x'\n",
    )
    config = cameras[name]
    part = slug(name)
    assert part == "".join(one for one in part if one.isascii() and (one.isalnum() or one in "_-"))
    assert config.mqtt.base == f"edge-fairmot/shop/{part}"
    assert config.mqtt.outbox_path.parent.name == "edge-fairmot"
    assert config.record.folder.parent == Path("kept")
    assert config.record.of_camera(name).stem == "tracks"


def test_odd_names_stay_different():
    assert len({slug(name).lower() for name in ODD_NAMES}) == len(ODD_NAMES)


@pytest.mark.parametrize(
    ("tables", "complaint"),
    [
        ('[[camera]]\nsource = "x"\n', r'camera 1 has no name: write name = "door" in each \[\[camera\]\]'),
        ('[[camera]]\nname = " "\nsource = "x"\n', r"camera name ' ' is not allowed: give 1 to 60 printable"),
        (f'[[camera]]\nname = "{"a" * 61}"\nsource = "x"\n', "give 1 to 60 printable characters"),
        ('[[camera]]\nname = "a\\u0007"\nsource = "x"\n', "is not allowed"),
        (
            '[[camera]]\nname = "a"\nsource = "x"\n' * 2,
            "cameras 'a' and 'a' have one name: give each its own",
        ),
        (
            '[[camera]]\nname = "A"\nsource = "x"\n[[camera]]\nname = "a"\nsource = "y"\n',
            "cameras 'A' and 'a'",
        ),
        ('[[camera]]\nname = "a"\n', "camera a: source is missing"),
        (
            '[[camera]]\nname = "a"\nsource = "x"\nsped = 3\n',
            "camera a: sped = '3' is not known: use .*target_fps",
        ),
        ('[[camera]]\nname = "a"\nsource = "x"\nmodel = "b"\n', "camera a: model = 'b' is not known"),
        (
            '[[camera]]\nname = "a"\nsource = "x"\ntarget_fps = 0\n',
            "camera a: .*the target must be more than 0",
        ),
        (
            '[[camera]]\nname = "a"\nsource = "x"\nstall_s = "3"\n',
            'camera a: .*camera.stall_s = "3" must be a number',
        ),
        ("".join(f'[[camera]]\nname = "{n}"\nsource = "x"\n' for n in range(65)), "65 cameras are too many"),
        ("camera = [3]\n", "camera 1 has no name"),
        ("camera = 3\nsource = 'x'\n", "camera = 3 must be a table"),
    ],
)
def test_what_is_wrong_with_a_camera_is_named(tmp_path, tables, complaint):
    with pytest.raises(InvalidInputError, match=complaint):
        read(tmp_path, tables)


def test_every_setting_is_of_the_run_or_of_a_camera():
    assert set(field_types(RunConfig)) > OF_THE_RUN


def validate(summary: dict[str, object]) -> None:
    whole = jsonschema.Draft202012Validator(SCHEMA)
    whole.evolve(schema=SCHEMA["$defs"]["cameras"]).validate(summary)


def test_cameras_have_their_own_tracks_events_and_part_of_the_summary(
    still_model: Path, tmp_path: Path
) -> None:
    config = tmp_path / "shop.toml"
    hall = '[[camera.zone]]\nname = "hall"\npolygon = [[0, 0], [1, 0], [1, 1], [0, 1]]\n'
    config.write_text(
        f'model = "{still_model}"\n[log]\nevery_s = 0.3\nformat = "json"\n'
        f'[record]\npath = "{tmp_path}/kept"\n[output]\nsummary = "{tmp_path}/summary.json"\n'
        f'[[camera]]\nname = "door"\nsource = "{STREET}"\n{hall}'
        '[[camera]]\nname = "Tür 2"\nsource = "synthetic:size=96x64,people=1,fps=10,frames=12"\n'
    )
    with live("--config", config) as run:
        run.wait_for("2 has ended")  # the file, and the camera goes on
        before = json.loads(run.wait_for('"camera": "door"'))["frames"]
        while json.loads(run.wait_for('"camera": "door"'))["frames"] < before + 5:
            pass
        assert run.end() == 0
    summary = json.loads((tmp_path / "summary.json").read_text())
    validate(summary)
    assert (summary["complete"], list(summary["cameras"])) == (True, ["door", "Tür 2"])
    for name, part in summary["cameras"].items():
        (recorded,) = (tmp_path / "kept" / slug(name)).glob("tracks-*Z.jsonl")
        header, frames = read_json_lines(recorded)
        rows = list(frames)
        assert part["frames"] == len(rows) > 0
        assert (header.source, header.frame_size) == (
            part["source"]["name"],
            tuple(part["source"]["frame_size"]),
        )
        assert [time_s for _, time_s, _ in rows] == sorted(time_s for _, time_s, _ in rows)
    assert summary["frames"] == sum(part["frames"] for part in summary["cameras"].values())
    assert summary["cameras"]["door"]["counts"]["zones"]["hall"]["occupancy"] == 1
    assert summary["cameras"]["Tür 2"]["counts"] is None
    assert summary["cameras"]["Tür 2"]["frames"] + summary["cameras"]["Tür 2"]["dropped"] == 12


def test_cameras_track_their_own_classes_outside_their_own_zones(
    three_class_model: Path, traffic: Path, tmp_path: Path
) -> None:
    street = tmp_path / "street"
    (street / "img1").mkdir(parents=True)
    for index in range(60):
        shutil.copy(traffic / "000001.png", street / "img1" / f"{index:06d}.png")
    (street / "seqinfo.ini").write_text("[Sequence]\nframeRate=20\nimWidth=64\nimHeight=32\n")
    hall = '[[camera.zone]]\nname = "hall"\npolygon = [[0, 0], [1, 0], [1, 1], [0, 1]]\n'
    config = tmp_path / "shop.toml"
    config.write_text(
        f'model = "{three_class_model}"\n[output]\nsummary = "{tmp_path}/summary.json"\n'
        f'[[camera]]\nname = "all"\nsource = "{street}"\n{hall}'
        f'[[camera]]\nname = "some"\nsource = "{street}"\n'
        'tracker = { classes = ["car", "person"], camera_motion = "sparse" }\n'
        '[[camera.ignore]]\nname = "mirror"\npolygon = [[0, 0.8], [1, 0.8], [1, 1], [0, 1]]\n'
        f"{hall}"
    )
    with live("--config", config) as run:
        assert run.end(None) == 0, run.log
    summary = json.loads((tmp_path / "summary.json").read_text())
    validate(summary)
    everyone, some = summary["cameras"].values()
    assert everyone["identities_by_class"] == {"car": 1, "bus": 1, "person": 1}
    assert some["identities_by_class"] == {"car": 1}
    assert summary["identities_by_class"] == {"car": 2, "bus": 1, "person": 1}
    assert list(everyone["counts"]["zones"]["hall"]["classes"]) == ["car", "bus", "person"]
    assert list(some["counts"]["zones"]["hall"]["classes"]) == ["car", "person"]
    assert ("camera_motion" in everyone["tracker"], some["tracker"]["camera_motion"]) == (False, "sparse")
    config.write_text(config.read_text().replace('"person"]', '"dog"]'))
    with live("--config", config) as run:
        assert run.end(None) == 1
    assert any("camera some: " in line and "dog" in line for line in run.lines)


def test_a_camera_that_fails_ends_no_other_one_and_the_exit_status_tells(
    still_model: Path, tmp_path: Path
) -> None:
    waits = ("camera.first_wait_s=0.1", "camera.longest_wait_s=0.2", "camera.give_up_s=0.5")
    settings = [word for one in (*waits, "log.every_s=0.3") for word in ("--set", one)]
    summary = tmp_path / "summary.json"
    with live(
        f"well={STREET}", "gone=/dev/video99", "-m", still_model, *settings, "--summary", summary
    ) as run:
        run.wait_for("ERROR   gone: given up after")
        run.wait_for("INFO    well: frames")
        run.wait_for("INFO    well: frames")
        assert run.end() == 1
    assert "ended by an error, 1 of 2: gone" in run.lines[-1]
    document = json.loads(summary.read_text())
    validate(document)
    assert (document["complete"], document["ended"]) == (False, "ended by an error: gone")
    assert document["cameras"]["well"]["complete"]
    assert document["cameras"]["well"]["frames"] > 0
    assert "given up after" in document["cameras"]["gone"]["ended"]


def test_an_error_of_opening_names_its_camera(still_model: Path) -> None:
    with live(f"well={STREET}", "shelf=picamera2:speed=3", "-m", still_model) as run:
        assert run.end(None) == 1
    (error,) = (line for line in run.lines if "ERROR" in line)
    assert "camera shelf: " in error
    assert "'speed=3' is no option" in error


def test_an_rtsp_camera_a_file_and_a_street_run_beside_a_server_that_sends_nothing(
    still_model: Path,
    rtsp_camera: Callable[[int], subprocess.Popen[str]],  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The server accepts and is silent; the RTSP server is killed and comes back."""
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    port = free_port()
    server = rtsp_camera(port)
    settings = ("camera.first_wait_s=0.1", "camera.longest_wait_s=0.3", "camera.stall_s=2", "log.every_s=0.3")
    with silent_server() as silent_port:
        sources = (
            f"door=rtsp://admin:hunter2@127.0.0.1:{port}/live",
            f"street={STREET}",
            f"silent=rtsp://127.0.0.1:{silent_port}/live",
        )
        arguments = [word for one in settings for word in ("--set", one)]
        with live(*sources, "-m", still_model, *arguments, "--web", "--web-port", 0, "--web-open") as run:
            address = run.wait_for("page at ").split()[-1]

            def frames(name: str) -> tuple[int, str]:
                document = ask(f"{address}api/status")
                (camera,) = (one for one in document["cameras"] if one["camera"] == name)  # type: ignore[attr-defined]
                return camera["frames"], camera["source"]["status"]

            wait_until(lambda: frames("door")[0] > 5 and frames("street")[0] > 5)
            server.kill()
            wait_until(lambda: frames("door")[1] == "lost")
            before = frames("street")[0]
            wait_until(lambda: frames("street")[0] > before + 20)
            assert ask(f"{address}healthz") == {"healthy": True, "running": 1, "cameras": 3}
            rtsp_camera(port)
            wait_until(lambda: frames("door")[1] == "running")
            assert frames("silent") == (0, "starting")
            assert run.end() == 0, run.log
    assert "hunter2" not in run.log


@contextmanager
def silent_server() -> Iterator[int]:
    """Accept connections, and send nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def wait_until(happens: Callable[[], bool], within_s: float = 60.0) -> None:
    until_s = time.monotonic() + within_s
    while not happens():
        assert time.monotonic() < until_s
        time.sleep(0.1)
