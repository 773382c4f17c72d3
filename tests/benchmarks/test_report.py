"""The report: its tables, its warnings, the page as a browser shows it."""

import re
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_fairmot.benchmarks.conditions import Conditions, Reading
from edge_fairmot.benchmarks.disagreement import Disagreement
from edge_fairmot.benchmarks.report_page import render_page
from edge_fairmot.benchmarks.report_plots import pareto_front
from edge_fairmot.benchmarks.report_tables import answer, cautions, main_table, render_markdown, tables
from edge_fairmot.benchmarks.speed import Throughput
from edge_fairmot.errors import MissingDependencyError

from .made_results import MACHINE, correctness, entry, model, results, speed

FAILED = replace(entry(runtime="cuda"), failure="this machine has no <GPU>", speed=None, correctness=None)

points = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=12)


@given(points)
def test_no_point_beats_the_front_and_every_other_is_beaten(given_points):
    front = pareto_front(given_points)

    def beats(a, b):
        return a != b and a[0] >= b[0] and a[1] >= b[1]

    for index, point in enumerate(given_points):
        beaten = any(beats(other, point) for other in given_points)
        assert beaten != (index in front)
    assert [given_points[index][0] for index in front] == sorted(given_points[index][0] for index in front)


def rows_of(table):
    return [dict(zip(table.header, cells, strict=True)) for cells in table.cells]


def test_speed_and_accuracy_are_in_one_table():
    slow = replace(entry("slow.onnx", "openvino"), speed=speed(250, seed=3))
    first, second = rows_of(main_table(results(entry(), slow, FAILED)))

    assert (first["model"], first["runtime"], first["input"]) == ("fairmot.onnx", "cpu", "576x320")
    assert re.fullmatch(r"10\d \(\d+(\.\d)? to \d+(\.\d)?\)", first["ms a frame (95 %)"])
    assert (first["HOTA"], first["IDSW"]) == ("50.0", "3")
    assert (first["HOTA live"], first["HOTA live, detect every N"]) == ("40.0", "45.0 (N = 3)")
    assert (first["fps (95 %)"], second["fps (95 %)"]) == ("10.0 (10.0 to 10.0)", "4.0 (4.0 to 4.0)")


def test_without_ground_truth_scores_are_against_the_reference():
    source = replace(results(entry()).sources[0], ground_truth="")
    table = main_table(results(entry(), entry(runtime="openvino"), sources=(source,)))

    assert "HOTA" not in table.header
    assert "IDF1 live" in table.header
    assert "against the tracks of fairmot.onnx on cpu" in table.note


def test_other_tables_hold_agreement_failures_and_costs():
    metered = replace(entry(runtime="openvino"), speed=replace(speed(), energy_j=1.234))
    conditions = (Conditions((), "RAPL package-0"),)
    found = {table.title: table for table in tables(results(entry(), metered, FAILED, conditions=conditions))}

    (row,) = rows_of(found["Agreement with fairmot.onnx on cpu"])  # the reference is not in it
    assert (row["runtime"], row["recall"], row["frames changed"]) == ("openvino", "1.0000", "1.0%")
    (row,) = rows_of(found["Not measured"])
    assert (row["runtime"], row["reason"]) == ("cuda", "this machine has no <GPU>")
    assert [row["J a frame"] for row in rows_of(found["Costs"])] == ["–", "1.23"]
    assert "Energy of RAPL package-0." in found["Costs"].note

    found = {table.title: table for table in tables(results(entry()))}
    assert "Not measured" not in found
    assert "This machine meters no energy." in found["Costs"].note


def test_an_interrupted_row_has_what_was_measured():
    cut = replace(entry(), correctness=None, failure="interrupted after 200 frames")
    cut = replace(cut, speed=replace(cut.speed, throughput=None, live=None))

    (row,) = rows_of(main_table(results(cut, ended="interrupted")))

    assert (row["fps (95 %)"], row["HOTA"], row["HOTA live"]) == ("–", "–", "–")
    assert render_page(results(cut, ended="interrupted"), {}).count("interrupted") > 1

    nothing = results(ended="interrupted", conditions=())
    assert "ended early (interrupted)" in render_page(nothing, {})
    assert "Nothing was measured" in render_page(nothing, {})
    assert "street.mp4" in render_markdown(nothing)


def test_markdown_is_tables_that_can_be_pasted():
    text = render_markdown(results(entry(), replace(FAILED, failure="this|that, no <GPU>")))

    for part in ("## Speed and accuracy", "Made-up board, 4 cores", "street.mp4, 200 frames", "no <GPU>"):
        assert part in text
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        header, *lines = [len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()]
        assert set(lines) == {header}
    assert "this\\|that" in text


def test_heat_and_clock_are_in_the_description():
    assert "Up to 50 °C. Clock 1500 MHz." in render_markdown(results(entry()))
    assert "°C" not in render_markdown(results(entry(), conditions=()))


def warned(**changes):
    found = changes.pop("entries", (entry(),))
    return "\n".join(cautions(results(*found, **changes)))


def test_a_complete_run_on_a_quiet_machine_needs_no_warning():
    assert warned() == ""


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"ended": "interrupted"}, "ended early (interrupted)"),
        ({"conditions": (Conditions((Reading(1, None, None, None, 0.5),)),)}, "Other processes used 50%"),
        ({"conditions": (Conditions((Reading(1, None, None, True, 0.0),)),)}, "throttled in 100%"),
        ({"machine": replace(MACHINE, virtual=True)}, "virtual"),
        ({"machine": replace(MACHINE, governor="powersave")}, "powersave"),
        ({"entries": (entry(), entry(runtime="openvino", group=1))}, "different groups"),
        ({"entries": (entry(speed=speed(frames=60)),)}, "99th percentile needs 100 frames"),
        ({"entries": (entry(speed=speed(frames=30)),)}, "too few for an interval"),
        ({"notes": ("int8 was calibrated on it",)}, "int8 was calibrated on it"),
    ],
)
def test_limits_of_the_figures_are_named(changes, part):
    assert part in warned(**changes)


def with_rate(fps, accuracy=None, **changes):
    """Make a row of this frame rate."""
    made = entry(**changes)
    made = replace(
        made, speed=replace(made.speed, throughput=Throughput((int(fps),), (int(fps) / fps,), None))
    )
    if accuracy is None:
        return made
    score = replace(made.correctness.score, hota=accuracy)
    return replace(made, correctness=replace(made.correctness, score=score))


def test_a_frame_rate_that_the_stages_contradict_is_named():
    (caution,) = cautions(results(entry(), with_rate(1000.0, runtime="openvino")))
    assert "openvino: 1000.0 frames/s cannot be with a stage of" in caution


def test_the_answer_is_the_fastest_row_near_the_best():
    rows = (
        with_rate(5.0, 0.60),
        with_rate(9.0, 0.595, runtime="openvino"),
        with_rate(20.0, 0.50, runtime="cuda"),
    )
    assert re.fullmatch(r"Take .* on openvino: 9\.0 frames/s, .*", answer(results(*rows)))
    assert "no answer" in answer(results(FAILED))


def test_scores_without_people_are_named():
    empty = correctness()
    score = replace(empty.score, hota=None, mota=None, idf1=None)
    empty = replace(empty, score=score)

    assert "hold no people" in warned(entries=(entry(correctness=empty),))
    (row,) = rows_of(main_table(results(entry(correctness=empty))))
    assert (row["MOTA"], row["IDF1"]) == ("–", "–")


def disagreement(frame=4):
    box = np.array([[100.0, 60.0, 180.0, 300.0]])
    none, one = np.zeros(1, np.bool_), np.ones(1, np.bool_)
    image = np.full((480, 640, 3), 90, np.uint8)
    return Disagreement("street.mp4", frame, 1.0, 1, 0, True, box, box + 40, one, none, image)


@pytest.fixture
def page(tmp_path):
    hot = tuple(Reading(float(s), 50.0 + s, 1500.0, False, 0.02) for s in range(60))
    int8 = replace(
        entry("fairmot.int8.onnx"), model=model("fairmot.int8.onnx", "int8"), speed=speed(60, seed=5)
    )
    found = results(entry(), int8, FAILED, conditions=(Conditions(hot, "RAPL package-0"),))
    path = tmp_path / "report.html"
    path.write_text(render_page(found, {int8.name: [disagreement()]}), encoding="utf-8")
    return path


def test_the_page_needs_nothing_from_elsewhere(page):
    text = page.read_text()
    outside = re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)

    assert not re.search(r"""(?:src|href)=["'](?!data:)""", outside)
    assert not re.search(r"""<script[^>]+src=""", text)
    assert "@import" not in outside
    assert outside.count("data:image/jpeg;base64,") == 1
    assert "this machine has no &lt;GPU&gt;" in outside
    assert "street.mp4, frame 5: 1 missed, 0 extra, an identity changed" in outside


def test_without_plotly_its_pip_line_is_given(monkeypatch):
    monkeypatch.setitem(sys.modules, "plotly.graph_objects", None)
    with pytest.raises(MissingDependencyError, match=r"plotly.*edge-fairmot\[bench\]"):
        render_page(results(entry()), {})


@pytest.fixture
def chromium():
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("needs Chromium to look at the page: apt-get install chromium")
    return found


def browse(chromium, page, *options):
    """Open a page without any network, and give what the browser says of it."""
    return subprocess.run(
        [
            *(chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
            *("--host-resolver-rules=MAP * ~NOTFOUND", "--enable-logging=stderr", "--v=0"),
            *(f"--user-data-dir={page.parent / 'profile'}", "--window-size=1300,3200"),
            *("--virtual-time-budget=8000", *options, page.as_uri()),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )


def test_a_browser_draws_the_page_offline(chromium, page):
    shown = browse(chromium, page, "--dump-dom")

    console = [line for line in shown.stderr.splitlines() if "CONSOLE" in line and "rror" in line]
    assert console == []
    assert shown.stdout.count('class="main-svg"') >= 3 * 2  # Plotly draws each plot in layers
    # The front: int8 is faster and as good, so it alone is unbeaten, and named.
    assert "int8 576x320, cpu" in shown.stdout
    for title in ("Accuracy against frame rate", "Time of the stages of a frame", "Not measured"):
        assert title in shown.stdout
    assert shown.stdout.count('class="bars"') + shown.stdout.count('class="trace bars"') >= 5
