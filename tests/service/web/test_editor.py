"""The shape editor in a browser: keyboard, touch, refusals, undo, and what screen readers get."""

import json
import time

import numpy as np
import pytest

from edge_fairmot.counting import CountingConfig, parse_counting, parse_line
from edge_fairmot.counting.shapes import Zone
from edge_fairmot.service.web import WebConfig

from .browser import open_live, wait_until
from .conftest import STREET_SIZE, served

SQUARE = ((0.1, 0.1), (0.5, 0.1), (0.5, 0.6), (0.1, 0.6))
SHAPES = CountingConfig((parse_line("door:0.2,0.3,0.2,0.9"),), (Zone("hall", SQUARE),))

FIGURES = "document.querySelector('#counts li.line .figures').textContent"
TOAST = "document.querySelector('#toast-text').textContent"


def lines_of(run):
    return parse_counting(drawing_of(run)).lines


def zones_of(run):
    return parse_counting(drawing_of(run)).zones


def drawing_of(run):
    """Shapes of the device; the counter takes them with its next frame."""
    document = json.loads(run.ask("GET", "/api/counting")[2])
    return {kind: document[kind] for kind in ("line", "zone", "ignore")}


def cross(run, times):
    """Walk a person over a line in the middle of the image, to and fro."""
    for number in range(2, 2 + 8 * times):
        run.show(number, [(1, 60 if (number // 4) % 2 else 260, 100)])
        time.sleep(0.02)


def test_the_whole_job_without_a_mouse(serve, browse):
    """Draw a line, name it, read its count, move it, delete it, undo that."""
    run = serve()
    run.show(1)
    with open_live(browse, run) as tab:
        for _ in range(9):
            tab.keys("Tab")
            if tab.focused() == "Line":
                break
        tab.keys("Enter", *["Shift+ArrowUp"] * 8, "Enter", *["Shift+ArrowDown"] * 16, "ArrowDown", "Enter")
        wait_until(lambda: lines_of(run))
        assert (lines_of(run)[0].start, lines_of(run)[0].end) == ((0.5, 0.1), (0.5, 0.91))

        tab.wait("document.activeElement.ariaLabel === 'Name of the line line 1'")
        tab.page.keyboard.type("Front door")
        tab.keys("Enter")
        wait_until(lambda: lines_of(run)[0].name == "Front door")
        assert tab.focused() == "Name of the line Front door"
        cross(run, 2)
        counted = run.counter.counts.lines["Front door"]
        assert counted.inwards + counted.outwards >= 2
        tab.wait(f"{FIGURES} === '{counted.inwards}in{counted.outwards}out'")

        tab.run("document.querySelector('#shapes').focus()")
        tab.keys("Tab")
        assert tab.focused() == "line Front door"
        tab.keys("Enter")
        told = f"line Front door: in {counted.inwards}, out {counted.outwards}"
        tab.wait(f"document.querySelector('#announcer').textContent.startsWith('{told}')")
        tab.keys("Escape", "Enter", "ArrowLeft", "Shift+ArrowLeft")
        wait_until(lambda: lines_of(run)[0].start == (0.44, 0.1))
        assert tab.focused() == "line Front door"
        tab.keys("Tab", "Tab")
        assert tab.focused() == "End of Front door"
        tab.keys("ArrowRight", "ArrowUp")
        wait_until(lambda: lines_of(run)[0].end == (0.45, 0.9))
        assert lines_of(run)[0].start == (0.44, 0.1)
        assert tab.focused() == "End of Front door"

        tab.keys("Delete")
        wait_until(lambda: not lines_of(run))
        run.show(90)
        tab.wait(f"{TOAST} === 'Front door is deleted. Undo brings it back with its counts.'")
        assert tab.run("document.querySelector('#shapes').contains(document.activeElement)")
        tab.keys("Control+z")
        wait_until(lambda: lines_of(run))
        run.show(91)
        tab.wait(f"{FIGURES} === '{counted.inwards}in{counted.outwards}out'")
        assert tab.console == []


def test_a_zone_is_drawn_with_the_keyboard_and_left_with_escape(serve, browse):
    run = serve()
    run.show(1)
    with open_live(browse, run) as tab:
        tab.run("document.querySelector('#draw-zone').focus()")
        right, down, left = (["Shift+" + key] * 4 for key in ("ArrowRight", "ArrowDown", "ArrowLeft"))
        tab.keys(
            "Space", "Enter", *right, "Enter", *down, "Enter", "Backspace", "Enter", *left, "Enter", "Enter"
        )
        wait_until(lambda: zones_of(run))
        assert zones_of(run)[0].polygon == ((0.5, 0.5), (0.7, 0.5), (0.7, 0.7), (0.5, 0.7))
        assert tab.focused() == "Name of the zone zone 1"
        tab.run("document.querySelector('#draw-ignore').focus()")
        tab.keys("Enter", "Enter", "ArrowRight", "Escape")
        assert tab.focused() == "Ignore"
        assert tab.run("document.querySelectorAll('#shapes .draft').length") == 0
        assert tab.console == []


def test_zones_that_cross_themselves_are_refused_where_they_are_drawn(serve, browse):
    run = serve(counting=SHAPES)
    run.show(1)
    with open_live(browse, run) as tab:
        tab.press("#draw-zone")
        for place in ((0.6, 0.2), (0.9, 0.2), (0.9, 0.6), (0.7, 0.1)):  # the last side crosses the first
            tab.drag(place, place)
        tab.wait(f"{TOAST} === 'The sides of a zone may not cross: choose another place for this corner.'")
        tab.drag((0.6, 0.6), (0.6, 0.6))
        tab.drag((0.6, 0.2), (0.6, 0.2))
        wait_until(lambda: len(zones_of(run)) == 2)
        tab.drag((0.6, 0.6), (0.97, 0.3))  # over the side on the right
        tab.wait(f"{TOAST} === 'The sides of a zone may not cross: zone 1 stays as it was.'")
        corners = ((0.6, 0.2), (0.9, 0.2), (0.9, 0.6), (0.6, 0.6))
        assert np.allclose(zones_of(run)[1].polygon, corners, atol=0.01)
        assert tab.console == []  # the device was not asked


def test_what_is_deleted_comes_back_with_its_counts(serve, browse):
    run = serve(counting=CountingConfig((parse_line("door:0.5,0.1,0.5,0.9"),)))
    run.show(1)
    with open_live(browse, run) as tab:
        cross(run, 2)
        before = run.counter.counts.lines["door"]
        assert before.inwards + before.outwards >= 2
        tab.press("#counts button[aria-label='Delete door']")
        wait_until(lambda: not lines_of(run))
        tab.press("#toast-undo")
        wait_until(lambda: lines_of(run))
        run.show(99)
        tab.wait(f"{FIGURES} === '{before.inwards}in{before.outwards}out'")
        assert tab.focused() == "Undo"
        assert tab.console == []


def test_a_finger_has_a_loupe_and_buttons_of_44_pixels(serve, play, browse):
    run = play(serve(size=STREET_SIZE, counting=SHAPES))
    with open_live(browse, run, (390, 844), phone=True) as tab:
        assert tab.small() == []
        assert tab.run("document.documentElement.scrollWidth") == 390
        tab.run("document.querySelector('#draw-line').click()")
        image, hint = (tab.page.locator(part).bounding_box() for part in ("#stage", "#hint"))
        assert hint["y"] >= image["y"] + image["height"]  # doors are in the lower part of an image
        tab.touch((0.3, 0.9), (0.3, 0.8), lift=False)
        loupe = tab.page.locator("#loupe")
        assert loupe.is_visible()
        box, (x, _) = loupe.bounding_box(), tab.at(0.3, 0.8)
        assert box["x"] > x + 30  # not under the finger
        colors = """(() => { const canvas = document.querySelector('#loupe');
            const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
            return new Set(new Uint32Array(pixels.buffer)).size })()"""
        assert tab.run(colors) > 100  # the image is in it
        tab.lift()
        assert loupe.is_hidden()
        assert tab.console == []


def test_long_figures_fit_a_phone(serve, browse):
    zone = Zone("waiting area", ((0.7, 0.1), (0.98, 0.1), (0.98, 0.6), (0.7, 0.6)))
    run = serve(counting=CountingConfig(zones=(zone,)))
    for number in range(1, 20):  # the second person is out of sight from the tenth frame on
        run.show(number, [(1, 270, 70), (2, 280, 60)][: 2 if number < 10 else 1])
    with open_live(browse, run, (390, 844), phone=True) as tab:
        tab.wait("document.querySelector('#counts').textContent.includes('1 (+1 unseen)')")
        assert tab.run("document.documentElement.scrollWidth") == 390
        label = tab.page.locator("#shapes text").bounding_box()
        assert label["x"] + label["width"] <= 390


def test_two_browsers_draw_at_one_time(serve, browse):
    run = serve(counting=SHAPES)
    run.show(1)
    with open_live(browse, run) as one, open_live(browse, run) as other:
        other.page.context.set_offline(True)
        other.press("#draw-line")
        other.drag((0.6, 0.1), (0.6, 0.9))
        other.wait("document.querySelector('#saved').textContent.startsWith('Not saved yet')")
        one.press("#draw-line")
        one.drag((0.8, 0.1), (0.8, 0.9))
        wait_until(lambda: len(lines_of(run)) == 2)
        other.page.context.set_offline(False)
        wait_until(lambda: sorted(line.name for line in lines_of(run)) == ["door", "line 1", "line 2"])

        mouse = other.page.mouse
        mouse.move(*other.at(0.2, 0.8))
        mouse.down()
        mouse.move(*other.at(0.3, 0.8), steps=3)
        one.press("#counts button[aria-label='Delete hall']")
        wait_until(lambda: not zones_of(run))
        mouse.up()
        wait_until(lambda: lines_of(run)[0].start[0] > 0.29)
        assert not zones_of(run)
        other.press("#undo")
        wait_until(lambda: lines_of(run)[0].start[0] == 0.2)
        assert not zones_of(run)
        one.press("#toast-undo")
        wait_until(lambda: zones_of(run))


def test_what_is_drawn_while_the_device_is_away_is_saved_when_it_is_back(browse):
    """The page comes back by itself, and no change is lost, of this browser or another."""
    with served(WebConfig(), SHAPES) as run:
        run.show(1)
        port = run.port
        tab = open_live(browse, run)
    with tab:
        tab.wait("document.querySelector('#status').textContent === 'no connection'")
        tab.press("#draw-line")
        tab.drag((0.8, 0.1), (0.8, 0.9))
        tab.wait("document.querySelector('#saved').textContent.startsWith('Not saved yet')")
        with served(WebConfig(), CountingConfig(SHAPES.lines), port=port) as run:
            run.show(1)
            wait_until(lambda: [line.name for line in lines_of(run)] == ["door", "line 1"])
            assert not zones_of(run)  # deleted meanwhile
            tab.wait("document.querySelector('#saved').textContent.includes('kept on the device')")
            run.show(2)
            tab.wait("document.querySelector('#status').textContent === 'live'")
            tab.press("#undo")
            wait_until(lambda: [line.name for line in lines_of(run)] == ["door"])


@pytest.mark.parametrize(
    "look",
    [
        {},
        {"size": (390, 844), "phone": True, "dark": True},
        {"forced_colors": "active", "reduced_motion": "reduce"},
    ],
    ids=["light", "dark phone", "forced colours"],
)
def test_axe_finds_nothing(serve, play, browse, look):
    run = play(serve(size=STREET_SIZE, counting=SHAPES))
    with browse(run.web.address.replace("127.0.0.1", "localhost"), **look) as tab:
        assert tab.faults() == []  # the login page
    with open_live(browse, run, **look) as tab:
        tab.wait("document.querySelectorAll('#counts li').length === 2")
        assert tab.faults() == []
        tab.run("document.querySelector('#draw-zone').click()")
        assert tab.faults() == []
        tab.keys("Escape")
        tab.run("document.querySelector('#shapes .shape').focus()")
        tab.keys("Enter")
        tab.wait("document.querySelectorAll('#shapes .handle').length === 4")
        assert tab.faults() == []
        if "forced_colors" in look:
            pill = "getComputedStyle(document.querySelector('#status'), '::before').backgroundColor"
            assert tab.run(pill) != tab.run("getComputedStyle(document.body).backgroundColor")
            moving = "document.getAnimations().length"
            assert tab.run(moving) == 0


def test_screen_readers_hear_of_a_busy_street_once_in_ten_seconds(serve, play, browse):
    run = play(serve(size=STREET_SIZE, counting=CountingConfig((parse_line("door:0.5,0.4,0.5,0.98"),))))
    with open_live(browse, run) as tab:
        tab.run("document.querySelector('#shapes .shape').focus()")
        tab.keys("Enter")
        tab.wait("document.querySelector('#announcer').textContent.includes('line door: in')")
        tab.run(
            """window.spoken = []; new MutationObserver((changes) => {
              for (const { target } of changes) {
                const near = target.nodeType === Node.TEXT_NODE ? target.parentElement : target;
                const region = near.closest('[role=status], [role=alert], [aria-live], output');
                if (region) window.spoken.push([performance.now(), region.textContent]);
              }
            }).observe(document, { subtree: true, childList: true, characterData: true })"""
        )
        tab.wait("window.spoken.length >= 2")
        (first, _), (second, text) = tab.run("window.spoken")[:2]
        assert second - first > 9_900
        assert text.startswith("line door: in")
