"""The page in a browser: headless Chromium with the synthetic street and its true tracks."""

import base64
import json
import re
import time
from dataclasses import replace

import cv2
import numpy as np
import pytest

from edge_fairmot.counting import CountingConfig, parse_line
from edge_fairmot.pipeline import RunSummary
from edge_fairmot.protocols import SourceState
from edge_fairmot.service.web import WebConfig, saved_drawing
from edge_fairmot.sinks.drawing import id_color

from .browser import open_live, wait_until
from .conftest import LENGTH
from .conftest import STREET_SIZE as SIZE

NEAR_PX = 2
"""A box may be this far from its place, pixels of the page."""

COUNTED = "Array.from(document.querySelectorAll('#counts b'), (figure) => Number(figure.textContent))"

TWO_LOOKS = """(() => {
  const canvas = document.querySelector('#frame');
  const look = (boxes) => {
    for (const what of ['boxes', 'ids', 'trails']) {
      const box = document.querySelector(`#show-${what}`);
      box.checked = what === 'boxes' && boxes;
      box.dispatchEvent(new Event('change'));
    }
    return canvas.toDataURL();
  };
  return [Number(canvas.dataset.frame), look(true), look(false)];
})()"""


def select_tool(tab, tool):
    """Select a tool. A touch that follows another one at once is not always a click for the browser."""
    tab.run(f"document.querySelector('#draw-{tool}').click()")
    assert tab.run(f"document.querySelector('#draw-{tool}').ariaPressed") == "true"


def decoded(url):
    return cv2.imdecode(np.frombuffer(base64.b64decode(url.partition(",")[2]), np.uint8), cv2.IMREAD_COLOR)


def edge_share(changed, box, by=0):
    """Share of a box's outline that is drawn at its place, or ``by`` pixels from there."""
    height, width = changed.shape
    left, top, right, bottom = (round(value) + by for value in box)
    places = [(x, y) for x in range(left, right) for y in (top, bottom)]
    places += [(x, y) for y in range(top, bottom) for x in (left, right)]
    found = [
        changed[max(y - NEAR_PX, 0) : y + NEAR_PX + 1, max(x - NEAR_PX, 0) : x + NEAR_PX + 1].any()
        for x, y in places
        if 0 <= x < width and 0 <= y < height
    ]
    return float(np.mean(found))


def lines_of(run):
    return run.counter.config.lines


def saved_lines():
    return saved_drawing(WebConfig(), "street").lines


def test_boxes_are_on_the_people_of_their_own_image(serve, play, street, browse):
    run = play(serve(size=SIZE))
    with open_live(browse, run) as tab:
        number = 0
        for _ in range(4):
            tab.wait(f"document.querySelector('#frame').dataset.frame != {number}")
            number, boxed, plain = tab.run(TWO_LOOKS)
            boxed, plain = decoded(boxed).astype(int), decoded(plain).astype(int)
            height, width = plain.shape[:2]
            errors = {}
            for near in (-3, 0, 3):
                shown = cv2.resize(street[(number - 1 + near) % LENGTH][0], (width, height))
                errors[near] = np.abs(shown.astype(int) - plain).mean()
            assert errors[0] < 0.6 * min(errors[-3], errors[3])  # it is the image of this frame
            changed = np.abs(boxed - plain).max(axis=2) > 24
            boxes = street[number - 1][1].xyxy * (width / SIZE[0])
            assert len(boxes) > 10
            assert np.mean([edge_share(changed, box) for box in boxes]) > 0.97
            assert np.mean([edge_share(changed, box, by=8) for box in boxes]) < 0.6
        assert tab.console == []


def test_ids_have_the_colours_of_the_video(page, browse):
    with open_live(browse, page) as tab:
        ids = [1, 2, 3, 17, 400, 123_456]
        colors = tab.run(f"import('/trails.js').then((trails) => {ids}.map(trails.idColor))")
    expected = [list(reversed(id_color(number))) for number in ids]
    assert np.abs(np.array(colors) - expected).max() <= 1


def test_an_ignored_zone_is_drawn_with_the_mouse_and_saved(serve, play, browse):
    run = play(serve(size=SIZE))
    with open_live(browse, run) as tab:
        tab.press("#draw-ignore")
        for point in ((0.2, 0.2), (0.5, 0.2), (0.5, 0.6), (0.2, 0.2)):
            tab.drag(point, point)
        tab.wait("document.querySelectorAll('#counts li.ignore').length === 1")
        tab.wait("document.querySelector('#saved').textContent !== ''")
        (zone,) = saved_drawing(WebConfig(), "street").ignore
        assert zone.name == "ignore 1"
        assert np.allclose(zone.polygon, ((0.2, 0.2), (0.5, 0.2), (0.5, 0.6)), atol=0.01)
        assert tab.console == []


def test_a_line_drawn_with_the_mouse_counts_and_is_saved(serve, play, browse):
    run = play(serve(size=SIZE))
    with open_live(browse, run) as tab:
        tab.press("#draw-line")
        tab.drag((0.5, 0.4), (0.5, 0.98))
        tab.wait(f"{COUNTED}.reduce((a, b) => a + b, 0) >= 3")
        (line,) = saved_lines()
        assert np.allclose((line.start, line.end), ((0.5, 0.4), (0.5, 0.98)), atol=0.005)
        counted = run.counter.counts.lines["line 1"]
        assert counted.inwards + counted.outwards >= 3

        tab.drag((0.5, 0.7), (0.4, 0.7))  # the whole line, which is selected
        tab.drag((0.4, 0.98), (0.6, 0.98))  # one end
        wait_until(lambda: saved_lines() == lines_of(run) and lines_of(run)[0].end[0] > 0.55)
        (line,) = saved_lines()
        assert np.allclose((line.start, line.end), ((0.4, 0.4), (0.6, 0.98)), atol=0.01)

        tab.press("#counts button[aria-label^=Turn]")
        wait_until(lambda: lines_of(run)[0].start[0] > 0.55)
        tab.press("#undo")
        wait_until(lambda: lines_of(run)[0].start[0] < 0.45)
        tab.open(run.web.address)
        tab.wait("document.querySelectorAll('#shapes .line').length > 0")
        tab.press("#counts button[aria-label^=Delete]")
        wait_until(lambda: saved_lines() == lines_of(run) == ())
        assert tab.console == []


SQUARE = {"name": "hall", "polygon": [[0.1, 0.1], [0.6, 0.1], [0.6, 0.6], [0.1, 0.6]]}
ACROSS = {"name": "door", "start": [0.1, 0.6], "end": [0.9, 0.6]}


def put(run, **shapes):
    """Draw as another browser or a program does."""
    revision = json.loads(run.ask("GET", "/api/counting")[2])["revision"]
    document = json.dumps({"revision": revision, "line": [], "zone": []} | shapes)
    assert run.ask("PUT", "/api/counting", document, content_type="application/json")[0] == 200


def test_the_handle_of_the_selected_shape_is_on_top_of_others(serve, play, browse):
    run = play(serve(size=SIZE))
    put(run, line=[ACROSS], zone=[SQUARE])
    with open_live(browse, run) as tab:
        tab.wait("document.querySelectorAll('#counts li').length === 2")
        tab.drag((0.3, 0.3), (0.3, 0.3))  # the zone is selected
        tab.wait("document.querySelectorAll('#shapes .corner').length === 4")
        tab.drag((0.6, 0.6), (0.7, 0.8))  # its corner, which lies on the line
        wait_until(lambda: run.counter.config.zones[0].polygon[2][0] > 0.65)
        assert np.allclose(run.counter.config.zones[0].polygon[2], (0.7, 0.8), atol=0.01)
        assert lines_of(run)[0].start == (0.1, 0.6)
        assert tab.console == []


def test_another_browser_interrupts_no_typing_and_renames_no_other_shape(serve, play, browse):
    run = play(serve(size=SIZE))
    put(run, line=[ACROSS, {**ACROSS, "name": "gate", "start": [0.5, 0.1]}])
    with open_live(browse, run) as tab:
        tab.wait("document.querySelectorAll('#counts li').length === 2")
        second = "document.querySelectorAll('#counts .name input')[1]"
        tab.run(f"{second}.focus(); {second}.value = 'Main ent'")
        put(run, line=[{**ACROSS, "name": "gate", "start": [0.5, 0.1]}], zone=[SQUARE])
        tab.wait("document.querySelectorAll('#shapes .reach').length === 2")
        assert tab.run("document.activeElement.value") == "Main ent"
        tab.run(f"{second}.value += 'rance'; {second}.dispatchEvent(new Event('change')); {second}.blur()")
        wait_until(lambda: lines_of(run)[0].name == "Main entrance")
        assert [zone.name for zone in run.counter.config.zones] == ["hall"]
        tab.wait("document.querySelectorAll('#counts li').length === 2")
        tab.run("document.querySelector('#counts button[aria-label^=Turn]').focus()")
        tab.run("document.activeElement.click()")
        wait_until(lambda: lines_of(run)[0].end[0] == 0.5)
        assert tab.run("document.activeElement.ariaLabel") == "Turn Main entrance around"
        # Changes of two browsers that meet are sent again; Chromium logs the answer to the first attempt.
        assert all("409" in line for line in tab.console)


def test_a_line_that_cannot_be_saved_counts_and_the_page_says_so(serve, play, browse, tmp_path):
    run = play(serve(WebConfig(drawing_file=tmp_path / "folder" / "drawing.json"), size=SIZE))
    (tmp_path / "folder").write_text("not a folder")
    with open_live(browse, run) as tab:
        tab.press("#draw-line")
        tab.drag((0.5, 0.4), (0.5, 0.98))
        tab.wait("document.querySelector('#saved').textContent.startsWith('Not saved: /')")
        assert "It counts, but is not saved" in tab.run("document.querySelector('#toast').textContent")
        tab.wait(f"{COUNTED}.reduce((a, b) => a + b, 0) >= 1")
        (tmp_path / "folder").unlink()
        tab.press("#counts button[aria-label^=Turn]")
        tab.wait("document.querySelector('#saved').textContent.includes('kept on the device, in /')")
        assert tab.console == []


def test_a_zone_drawn_with_a_finger_on_a_dark_phone(serve, play, browse):
    run = play(serve(size=SIZE))
    with open_live(browse, run, (390, 844), phone=True, dark=True) as tab:
        assert tab.run("document.documentElement.scrollWidth") == 390
        color = tab.run("getComputedStyle(document.body).backgroundColor")
        assert max(map(int, re.findall(r"\d+", color))) < 40
        select_tool(tab, "zone")
        corners = (0.1, 0.4), (0.9, 0.4), (0.9, 0.95), (0.1, 0.95)
        for corner in (*corners, corners[0]):
            tab.touch(corner)
        wait_until(lambda: run.counter.config.zones)
        assert np.allclose(run.counter.config.zones[0].polygon, corners, atol=0.01)
        tab.wait(f"{COUNTED}[0] >= 1")
        tab.touch(corners[2], (0.7, 0.8), (0.6, 0.7))
        wait_until(lambda: run.counter.config.zones[0].polygon[2][0] < 0.65)
        assert np.allclose(run.counter.config.zones[0].polygon[2], (0.6, 0.7), atol=0.02)
        select_tool(tab, "line")
        tab.touch((0.2, 0.2))
        tab.touch((0.8, 0.3))  # two taps draw a line, too
        wait_until(lambda: lines_of(run))
        assert tab.console == []


def test_errors_are_shown_and_go_away(serve, browse):
    run = serve(source="rtsp://camera/stream")
    run.show(1)
    notice = "document.querySelector('#notice')"
    with open_live(browse, run) as tab:
        tab.wait(f"{notice}.hidden && document.querySelector('#status').textContent === 'live'")
        run.state = SourceState("lost", time.monotonic() - 75, 1, "no answer from rtsp://camera/stream")
        tab.wait(f"!{notice}.hidden && {notice}.textContent.includes('1 min. no answer from rtsp://camera')")
        run.state = SourceState("running", time.monotonic(), 2)
        tab.wait(f"{notice}.hidden")
        run.outputs = {"recording": {"trouble": "12 MB are free", "missed_frames": 7}}
        tab.wait(f"{notice}.textContent === 'recording: 12 MB are free'")
        assert not tab.run("document.querySelector('#frame').classList.contains('stale')")
        run.show(2, [(7, 100, 80), (8, 200, 80)])
        tab.wait("document.querySelector('#people').textContent === '2'")
        run.web.close()
        tab.wait("document.querySelector('#status').textContent === 'no connection'")


def test_names_are_shown_as_text_only(serve, browse):
    name = '<img src=x onerror="document.title=1">"\'&'
    run = serve(counting=CountingConfig((parse_line(f"{name}:0.2,0.2,0.8,0.8"),)), source=name)
    run.show(1)
    with open_live(browse, run) as tab:
        tab.wait("document.querySelectorAll('#shapes text').length === 1")
        assert tab.run("document.querySelector('#counts input').value") == name
        assert tab.run("document.querySelector('#shapes text').textContent").startswith(name)
        assert tab.run("document.querySelectorAll('img').length") == 1
        assert tab.run("document.title") == f"{name} · edge-fairmot"
        assert tab.console == []


def test_two_pages_do_not_overwrite_each_others_lines(serve, browse):
    run = serve()
    run.show(1)
    with open_live(browse, run) as tab:
        line = {"name": "theirs", "start": [0.2, 0.1], "end": [0.2, 0.9]}
        body = json.dumps({"revision": 1, "line": [line], "zone": []})
        assert run.ask("PUT", "/api/counting", body, content_type="application/json")[0] == 200
        tab.wait("document.querySelector('#counts input')?.value === 'theirs'")
        tab.press("#draw-line")
        tab.drag((0.6, 0.1), (0.6, 0.9))
        tab.wait("document.querySelectorAll('#counts input').length === 2")
        wait_until(lambda: json.loads(run.ask("GET", "/api/counting")[2])["revision"] == 3)
        names = [line["name"] for line in json.loads(run.ask("GET", "/api/counting")[2])["line"]]
        assert names == ["theirs", "line 1"]


def test_the_login_page_takes_the_token(page, browse):
    with browse(page.web.address.replace("127.0.0.1", "localhost")) as tab:  # whose cookies are its own
        assert tab.run("document.querySelector('h1').textContent") == "This page needs its token"
        wrong = tab.page.get_by_text("That is not the token of this device.")
        assert wrong.is_hidden()
        tab.page.fill("#token", "wrong")
        tab.press("button")
        wrong.wait_for()
        tab.page.fill("#token", page.token)
        tab.press("button")
        tab.wait("document.querySelector('#frame')?.dataset.frame > 0")
        assert tab.run("location.search") == ""


def test_a_run_that_is_too_slow_says_so_and_waiting_is_not_busy(serve, browse):
    run = serve()
    run.show(1)
    run.summary = RunSummary(2, 2, 0, 46, 0, 0, 1.0, {"decode": 900.0, "inference": 400.0})
    pill, busy = "document.querySelector('#status').textContent", "#stages li span:first-child"
    with open_live(browse, run) as tab:
        assert tab.run("document.querySelector('#slow').hidden")
        run.summary = replace(run.summary, frames=4, dropped=200)
        tab.wait("!document.querySelector('#slow').hidden")
        assert "try --runtime openvino or --detect-every 3" in tab.run(
            "document.querySelector('#slow').textContent"
        )
        tab.wait(f"{pill} === 'too slow'")
        assert not tab.run("document.querySelector('details.run').open")
        tab.press("summary")
        tab.wait("document.querySelector('#waits').textContent.includes('for the camera')")
        assert tab.run(f"[...document.querySelectorAll('{busy}')].map((one) => one.textContent)") == [
            "inference"
        ]
        run.summary = replace(run.summary, frames=100_000)
        tab.wait(f"document.querySelector('#slow').hidden && {pill} === 'live'")


def test_the_picture_fills_the_screen_and_a_snapshot_is_downloaded(serve, browse):
    run = serve(source="shop door")
    run.show(1)
    with open_live(browse, run) as tab:
        stage = "document.querySelector('#stage')"
        ratio = f"{stage}.offsetWidth / {stage}.offsetHeight"
        tab.press("#fullscreen")
        tab.wait("document.fullscreenElement?.className === 'watch'")
        assert tab.run(ratio) == pytest.approx(16 / 9, rel=0.01)
        tab.press("#fullscreen")
        tab.wait("document.fullscreenElement === null")
        with tab.page.expect_download() as download:
            tab.press("#snapshot")
        assert re.fullmatch(r"shop-door-20\d\d-\d\d-\d\dT\d{6}\.jpg", download.value.suggested_filename)
        assert cv2.imread(str(download.value.path())).shape == (180, 320, 3)
        assert tab.console == []
