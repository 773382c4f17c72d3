"""Counts over time on the page: its answers, and the charts in a browser, from a history of three days."""

import csv
import io
import json
import time
from datetime import datetime, timedelta

import jsonschema
import pytest

from edge_fairmot.service.history import History, HistoryStore
from edge_fairmot.service.history.store import Batch, Event, Shape
from edge_fairmot.service.web import CameraHistory
from edge_fairmot.service.web.over_time import MAX_EVENTS

from .browser import open_live
from .test_openapi import description

NOON = datetime.now().replace(hour=12, minute=0, second=0, microsecond=0).astimezone()
TODAY, YESTERDAY = NOON - timedelta(hours=12), NOON - timedelta(hours=36)
BEFORE = NOON - timedelta(days=2)
DOOR, QUEUE = Shape("line", "door", "Front door", ((0.5, 0.0), (0.5, 1.0))), Shape("zone", "z1", "=Queue")
ODD = "=Queue"


def at(moment, minutes=0.0):
    return round((moment + timedelta(minutes=minutes)).timestamp() * 1e6)


def event(moment, shape, went=0, track_id=1, dwell_ms=None):
    return Event(moment, (shape.kind, shape.key), "person", went, track_id, dwell_ms)


@pytest.fixture
def kept(tmp_path):
    """A history: yesterday from 9 to 10 o'clock 3 in and 1 out, today at midnight 2 in; one stay of 90 s."""
    store = HistoryStore(tmp_path / "history.db")
    camera, other = store.camera("street"), store.camera("other")
    for one in (camera, other):
        store.begin(one, (DOOR, QUEUE), at(BEFORE))
    nine = YESTERDAY + timedelta(hours=9)
    events = [event(at(nine, minute), DOOR, track_id=10 + minute) for minute in range(3)]
    events += [event(at(nine, 59), DOOR, went=1, track_id=7)]
    events += [event(at(nine, 1), QUEUE), event(at(nine, 2.5), QUEUE, went=1, dwell_ms=90_000)]
    events += [event(at(TODAY, second / 60), DOOR, track_id=second) for second in (0, 1)]
    store.write(camera, Batch(events=events))
    store.write(other, Batch(events=[event(at(nine, 30), DOOR, track_id=99)]))
    yield store
    store.close()


@pytest.fixture
def run(serve, kept):
    run = serve(history=CameraHistory(History(kept.path), "street"))
    run.show(1)
    return run


def ask(run, path):
    status, headers, body = run.ask("GET", f"/api/history/{path}")
    if headers["content-type"] != "application/json":
        return status, body.decode()
    answer = json.loads(body)
    document = description(run)
    described = document["paths"][f"/api/history/{path.partition('?')[0]}"]["get"]["responses"][str(status)]
    schema = described["content"]["application/json"]["schema"]
    jsonschema.Draft202012Validator({**schema, "components": document["components"]}).validate(answer)
    return status, answer


def test_totals_are_of_today_of_yesterday_and_since_the_first_count(run):
    status, document = ask(run, "totals")
    door, queue = document["totals"]
    assert (status, door["name"], queue["name"]) == (200, "Front door", ODD)
    assert (door["id"], queue["id"]) == ("door", "z1")
    assert (door["today"], door["yesterday"]) == ({"in": 2, "out": 0}, {"in": 3, "out": 1})
    assert (door["all"], door["since"]) == ({"in": 5, "out": 1}, BEFORE.isoformat(timespec="seconds"))
    assert queue["yesterday"] == {"entries": 1, "stays": 1, "mean_dwell_s": 90.0}
    assert queue["today"] == {"entries": 0, "stays": 0, "mean_dwell_s": None}


def test_counts_are_by_hours_and_days_of_the_device(run):
    day, next_day = YESTERDAY.date(), TODAY.date()
    _, hours = ask(run, f"counts?from={day}&to={next_day}&by=hour")
    found = [(row["name"], row["start"], row.get("in")) for row in hours["rows"] if row["kind"] == "line"]
    assert found == [("Front door", (YESTERDAY + timedelta(hours=9)).isoformat(), 3)]
    assert hours["from"] == YESTERDAY.isoformat()
    nine = (YESTERDAY + timedelta(hours=9)).isoformat()
    assert len(ask(run, f"counts?from={nine}&to={next_day}&by=minute")[1]["rows"]) == 6
    days = ask(run, f"counts?from={day}&by=day")[1]["rows"]
    assert [row["in"] for row in days if row["kind"] == "line"] == [3, 2]
    assert [row["in"] for row in ask(run, "counts")[1]["rows"]] == [2]


def test_events_are_paged_from_the_newest(run):
    _, first = ask(run, "events?limit=3")
    assert [one["track_id"] for one in first["events"]] == [1, 0, 7]
    assert [one["event"] for one in first["events"]] == ["in", "in", "out"]
    _, second = ask(run, f"events?limit=5&before={first['before']}")
    assert [(one["name"], one["event"], one["dwell_s"]) for one in second["events"]] == [
        (ODD, "leave", 90.0),
        ("Front door", "in", None),
        (ODD, "enter", None),
        ("Front door", "in", None),
        ("Front door", "in", None),
    ]
    _, last = ask(run, f"events?limit=5&before={second['before']}")
    assert (last["events"], last["before"]) == ([], None)


def test_csv_has_wall_clock_times_and_no_formula(run, kept):
    day, next_day = YESTERDAY.date(), TODAY.date()
    status, text = ask(run, f"counts.csv?from={day}&to={next_day}")
    door, queue = sorted(csv.DictReader(io.StringIO(text)), key=lambda row: row["kind"])
    assert (status, text.count("\r\n"), text.replace("\r\n", "").count("\n")) == (200, 3, 0)
    assert (door["start"], door["in"], door["out"]) == (
        (YESTERDAY + timedelta(hours=9)).isoformat(),
        "3",
        "1",
    )
    assert (queue["name"], queue["mean_dwell_s"]) == (f"'{ODD}", "90.0")
    many = [event(at(BEFORE) + number, DOOR, track_id=number) for number in range(2 * MAX_EVENTS)]
    kept.write(kept.camera("street"), Batch(events=many))
    rows = list(csv.DictReader(io.StringIO(ask(run, "events.csv")[1])))
    ids = [int(row["track_id"]) for row in rows if datetime.fromisoformat(row["time"]) < YESTERDAY]
    assert (len(rows), ids) == (8 + 2 * MAX_EVENTS, list(reversed(range(2 * MAX_EVENTS))))


@pytest.mark.parametrize(
    "path",
    [
        *("counts?by=year", "counts?from=tomorrow", "counts?to=9999-99-99", "counts?from=0001-01-01&by=day"),
        *("counts?from=2020-01-01&by=hour", "counts.csv?from=2020-01-01&by=minute", "events?before=-1"),
        *("events?limit=0", "events?limit=x", "events?before=9" + "9" * 400, "events.csv?from="),
    ],
)
def test_questions_that_cannot_be_answered_are_refused(run, path):
    status, answer = ask(run, path)
    assert status == 422
    assert answer["error"].startswith(
        ("from must", "to must", "by must", "before must", "limit must", "counts")
    )


def test_a_clip_is_served_while_it_is_there(run, kept, tmp_path):
    clip = tmp_path / "shop-1.mp4"
    clip.write_bytes(bytes(range(256)))
    nine = YESTERDAY + timedelta(hours=9)
    kept.add_clip(kept.camera("street"), clip, at(nine, -0.1), at(nine, 0.1))
    events = ask(run, "events")[1]["events"]
    (path,) = [one["clip"] for one in events if one["clip"]]
    status, headers, body = run.ask("GET", f"/{path}")
    assert (status, headers["content-type"], body) == (200, "video/mp4", clip.read_bytes())
    status, headers, body = run.ask("GET", f"/{path}", range="bytes=10-19")
    assert (status, body) == (206, bytes(range(10, 20)))
    assert run.ask("GET", f"/{path}", login=False)[0] == 401
    clip.unlink()
    assert run.ask("GET", f"/{path}")[0] == 404
    assert run.ask("GET", f"/api/history/clips/{at(TODAY)}.mp4")[0] == 404
    assert run.ask("GET", f"/api/history/clips/{'9' * 300}.mp4")[0] == 404


def test_without_a_history_nothing_is_asked(page, browse):
    assert page.ask("GET", "/api/history/totals")[0] == 404
    with open_live(browse, page) as tab:
        tab.wait("document.querySelector('#status').textContent === 'live'")
        assert tab.run("document.querySelector('#over-time').hidden")
        assert tab.console == []


CARD = "document.querySelector('#over-time')"


def choose(tab, label, value):
    before = tab.run(f"{CARD}.querySelector('svg').ariaLabel")
    tab.page.get_by_label(label, exact=True).select_option(value)
    tab.wait(f"{CARD}.querySelector('svg').ariaLabel !== {json.dumps(before)}")
    return tab.run(f"{CARD}.querySelector('svg').ariaLabel")


def test_the_page_shows_bars_a_table_and_events(run, browse):
    with open_live(browse, run) as tab:
        tab.wait(f"{CARD}.dataset.shown")
        assert "2 in, 0 out" in tab.run(f"{CARD}.querySelector('svg').ariaLabel")
        assert "Yesterday3 in, 1 out" in tab.run(f"{CARD}.querySelector('.since').textContent")
        title = choose(tab, "Time", "yesterday")
        assert title.startswith("Front door, ")
        assert title.endswith("by hour: 3 in, 1 out")
        heights = tab.run(
            f"[...{CARD}.querySelectorAll('.bar')].map((bar) => Number(bar.getAttribute('height')))"
        )
        assert len(heights) == 2 * 24
        assert [index for index, height in enumerate(heights) if height] == [9, 24 + 9]
        assert heights[9] == pytest.approx(3 * heights[24 + 9])
        tab.page.get_by_text("As a table").click()
        assert tab.page.get_by_role("row", name="09:00 to 10:00 3 1", exact=True).count() == 1
        tab.page.locator("#over-time .bar").nth(9).hover()
        assert tab.run(f"{CARD}.querySelector('.tip').textContent") == "09:00 to 10:00: in 3, out 1"
        assert choose(tab, "Time", "week").endswith("by day: 5 in, 1 out")
        assert choose(tab, "Line or zone", ODD).endswith("1 entries, 0 most at a time")
        rows = tab.run("[...document.querySelectorAll('#events tbody tr')].map((row) => row.textContent)")
        assert len(rows) == 8
        assert any("=Queue left after 1 min" in row for row in rows)
        assert tab.faults() == []
        assert tab.console == []


def test_older_events_are_turned_to_and_new_ones_come_by_themselves(run, kept, browse):
    many = [event(at(BEFORE) + number, DOOR, track_id=number) for number in range(20)]
    kept.write(kept.camera("street"), Batch(events=many))
    cells = "document.querySelectorAll('#events tbody td:nth-child(3)')"
    ids = f"Array.from({cells}, (one) => Number(one.textContent))"
    with open_live(browse, run, (390, 844), phone=True) as tab:
        tab.wait(f"{ids}.length === 12")
        tab.page.get_by_role("button", name="Older").click()
        tab.wait(f"{ids}[0] === 15")
        tab.page.get_by_role("button", name="Older").click()
        tab.wait(f"{ids}.length === 4")
        assert tab.run(ids) == [3, 2, 1, 0]
        assert tab.page.get_by_role("button", name="Older").is_disabled()
        for _ in range(2):
            tab.page.get_by_role("button", name="Newer").click()
        tab.wait(f"{ids}.length === 12")
        kept.write(kept.camera("street"), Batch(events=[event(time.time_ns() // 1000, DOOR, track_id=77)]))
        tab.run("document.dispatchEvent(new Event('visibilitychange'))")
        tab.wait(f"{ids}[0] === 77")
        assert tab.run("document.documentElement.scrollWidth") == 390
        assert tab.small() == []
        assert tab.faults() == []
        assert tab.console == []


@pytest.mark.parametrize("dark", [False, True])
def test_axe_finds_nothing(run, browse, dark):
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="pip install axe-playwright-python"
    )
    with open_live(browse, run, dark=dark) as tab:
        tab.wait(f"{CARD}.dataset.shown")
        tab.page.get_by_text("As a table").click()
        assert axe.Axe().run(tab.page).response["violations"] == []
