"""``demo`` as a newcomer runs it."""

import json
import re

import pytest

from .command_line import run

SCORES = ("HOTA", "MOTA", "IDF1")


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    pytest.importorskip("scipy", reason="needs the eval extra")
    pytest.importorskip("av", reason="needs the video extra")
    folder = tmp_path_factory.mktemp("demo")
    said = run("demo", "-o", folder, "--street", "synthetic:seed=101,frames=100").stdout
    return folder / "street", said


def scores_of(text, name):
    (line,) = (line for line in text.splitlines() if line.strip().startswith(name))
    values = map(float, line.strip().removeprefix(name).split()[:5])
    return dict(zip(("HOTA", "DETA", "ASSA", "MOTA", "IDF1"), values, strict=True))


def test_it_tracks_films_and_scores(shown):
    folder, said = shown

    assert {"tracks.txt", "tracks.jsonl", "video.mp4", "gt.txt", "summary.json"} <= {
        path.name for path in folder.iterdir()
    }
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["complete"]
    assert summary["frames"] == 100
    assert "busy ms a frame" in said
    assert all(name in said for name in SCORES)


def test_real_people_are_tracked_first(shown):
    folder, said = shown
    people = folder.parent / "people"

    assert json.loads((people / "summary.json").read_text())["complete"]
    assert (people / "video.mp4").stat().st_size > 1e4
    # A woman leaves, and a man comes.
    rows = [line.split(",") for line in (people / "tracks.txt").read_text().splitlines()]
    assert len({row[0] for row in rows}) > 30
    assert said.index("a clip of this package") < said.index("synthetic:")


def test_the_commands_to_run_next_are_commands(shown):
    _, said = shown
    commands = re.findall(r"^  edge-fairmot (\w+)", said, re.MULTILINE)
    assert len(commands) == 3
    for command in commands:
        run(command, "--help")
    run("doctor", status=None)


def test_the_bundled_model_beats_what_needs_no_network_by_far(shown):
    _, said = shown

    theirs = scores_of(said, "baseline: motion and overlap")
    for rules in ("FairMOT, --preset bytetrack", "FairMOT's own rules"):
        ours = scores_of(said, rules)
        assert all(ours[name] > max(60, theirs[name] + 40) for name in SCORES[1:])


def test_fairmots_own_rules_are_those_of_track_without_a_preset(shown, tmp_path):
    folder, said = shown
    street = ("track", "synthetic:seed=101,frames=100", "--detections", folder / "detections")
    run(*street, "-o", tmp_path / "own", "--no-video")
    told = run("eval", tmp_path / "own" / "tracks.txt", "--gt", folder / "gt.txt").stdout
    assert scores_of(said, "FairMOT's own rules") == scores_of(told, "own")


def test_an_endless_street_is_refused(tmp_path):
    result = run("demo", "-o", tmp_path, "--street", "synthetic:frames=endless", status=1)

    assert "never ends: give frames=250" in result.stderr
    assert result.stderr.count("\n") == 1
