"""Files and words that are wrong end in one line, and nothing that a run reads is overwritten."""

import errno
import json
import os
from pathlib import Path

import pytest

from edge_fairmot.cli.config_file import read_document
from edge_fairmot.errors import EvaluationError, SinkError
from edge_fairmot.sinks import read_json_lines

from ..cli.command_line import error_of, run  # noqa: TID252

STREET = "synthetic:frames=2,size=64x64"


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (TimeoutError(), "error: TimeoutError, without a reason: check the free space"),
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"), "error: Connection refused (Conn"),
        (OSError(errno.ENOSPC, "No space left on device"), "error: No space left on device (OSError): check"),
        (
            PermissionError(errno.EACCES, "Permission denied", "out/x"),
            "error: out/x: Permission denied; check",
        ),
    ],
)
def test_an_error_of_the_system_says_what_is_known_and_no_more(monkeypatch, error, line):
    def refuse(*_, **__):
        raise error

    monkeypatch.setattr("edge_fairmot.cli.main.app", refuse)
    result = run("synthesize", STREET, status=1)
    assert result.stderr.startswith(line)
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("source = " + "9" * 5000, "Exceeds the limit"),
        ("source = " + "[" * 3000 + "]" * 3000, "too many brackets"),
        ("source = ", "is not TOML"),
    ],
)
def test_toml_that_is_too_deep_or_too_long_is_one_line(tmp_path, text, reason):
    path = tmp_path / "live.toml"
    path.write_text(text)
    for arguments in (("live", "--config", path), ("track", STREET, "--config", path)):
        line = error_of(*arguments)
        assert str(path) in line
        assert reason in line
        assert "set_int_max_str_digits" not in line
    assert read_document(None, [f"source={text.partition(' = ')[2] or '['}"])["source"]  # taken as a text


@pytest.mark.parametrize("option", ["--summary", "mqtt.outbox"])
def test_live_overwrites_nothing_that_it_reads(tmp_path, option):
    path = tmp_path / "live.toml"
    text = f'source = "{STREET}"\n[mqtt]\nbroker = "mqtt://localhost:1"\n'
    path.write_text(text)
    words = ("--summary", path) if option == "--summary" else ("--set", f"mqtt.outbox={path}")
    result = run("live", "--config", path, *words, status=1)
    assert f"{option} {path} is read by this run" in result.stderr
    assert path.read_text() == text


def test_a_file_that_is_no_outbox_is_not_moved_away(tmp_path):
    from edge_fairmot.service.mqtt.outbox import Outbox

    path = tmp_path / "model.onnx"
    path.write_bytes(b"\x08\x0aweights" * 1000)
    with pytest.raises(SinkError, match="cannot be used"):
        Outbox(path, 10)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["model.onnx", "model.onnx.lock"]


HEADER = {
    "schema_version": 1,
    "source": "a",
    "size": [64, 48],
    "frame_rate": 25.0,
    "model": {},
    "settings": {},
}
TRACK = {"id": 1, "xyxy": [0, 0, 9, 9], "score": 0.5, "class_id": 0}
FRAME = {"frame": 1, "time_s": 0.0, "predicted": False, "tracks": [TRACK]}


@pytest.mark.parametrize(
    "line",
    [
        json.dumps(FRAME).replace('"frame": 1', '"frame": 1e400'),
        json.dumps(FRAME | {"frame": 1.5}),
        json.dumps(FRAME | {"time_s": float("nan")}),
        json.dumps(FRAME).replace("0.0", "1e400"),
        *(
            json.dumps(FRAME | {"tracks": [TRACK | wrong]})
            for wrong in (
                {"id": 3.7},
                {"id": True},
                {"id": 2**63},
                {"id": -1},
                {"xyxy": [0, 0, 1, float("inf")]},
                {"xyxy": [0, 0, 1, 1e39]},
                {"xyxy": [0, 0, 1]},
                {"score": "0.5"},
                {"class_id": None},
            )
        ),
        "[" * 100_000,
        json.dumps(FRAME).replace("0.5", "9" * 5000),
    ],
)
def test_json_lines_hold_finite_numbers_and_whole_ids(tmp_path, line):
    path = tmp_path / "tracks.jsonl"
    path.write_text(f"{json.dumps(HEADER)}\n{json.dumps(FRAME)}\n{line}\n")
    _, frames = read_json_lines(path)
    next(frames)
    with pytest.raises(EvaluationError, match=rf"{path} line 3 is not a"):
        next(frames)


@pytest.mark.parametrize("name", [os.fsdecode(b"T\xfcr"), "door\x1b[2J", "a\nb"])
def test_a_name_that_no_file_can_hold_is_refused(name):
    error = error_of("live", STREET, "--line", f"{name}:0.1,0.5,0.9,0.5", "--web").encode()
    assert b"control characters or is not UTF-8" in error
    assert b"\x1b" not in error


def test_credentials_that_others_can_read_are_told(tmp_path, caplog):
    from edge_fairmot.service.mqtt import MqttConfig

    path = tmp_path / "mqtt.txt"
    path.write_text("user\nhunter2\n")
    for mode, warned in ((0o600, False), (0o640, True)):
        path.chmod(mode)
        caplog.clear()
        assert MqttConfig("mqtt://broker", credentials=path).read_credentials({}) == ("user", "hunter2")
        assert (f"chmod 600 {path}" in caplog.text) is warned
        assert "hunter2" not in caplog.text


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
def test_a_token_file_of_another_user_is_refused(tmp_path):
    from edge_fairmot.service.web.auth import read_token

    path = tmp_path / "web-token"
    path.write_text("x" * 32)
    path.chmod(0o600)
    os.chown(path, 12345, -1)
    with pytest.raises(SinkError, match="another user's"):
        read_token(path)


@pytest.mark.parametrize("content", ["null", "7", "[" * 100_000, "[1, null]", "{", '{"a": 1}'])
def test_a_damaged_list_of_announced_topics_is_begun_again(tmp_path, content):
    from edge_fairmot.service.mqtt.discovery import DiscoveryRegistry

    (tmp_path / "x.announced").write_text(content)
    assert DiscoveryRegistry(tmp_path / "x.announced").topics == frozenset()


def test_every_input_that_is_absent_or_a_folder_is_one_line(tmp_path):
    for path in (tmp_path / "absent", tmp_path):
        for words in (
            ("track", path, "-o", tmp_path / "out"),
            ("track", STREET, "-m", path, "-o", tmp_path / "out"),
            ("track", STREET, "--detections", path, "-o", tmp_path / "out"),
            ("track", STREET, "--config", path),
            ("convert", path, "-o", tmp_path / "x.onnx"),
            ("inspect", path),
            ("eval", path, "--gt", path),
        ):
            line = error_of(*words)
            assert Path(path).name in line
