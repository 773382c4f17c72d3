"""The plots of a report, by Plotly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from edge_fairmot.benchmarks.conditions import Reading
from edge_fairmot.benchmarks.results import Entry, Results
from edge_fairmot.errors import MissingDependencyError
from edge_fairmot.stages import STAGES

COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#b8a600")
"""Okabe and Ito's palette for colour blindness, with a darker yellow for a white page."""

STAGE_COLORS: Mapping[str, str] = MappingProxyType(dict(zip(STAGES, COLORS, strict=False)))

MOST_POINTS = 2000
"""Maximum number of points of a line. More cannot be distinguished, and make the page slow."""


def import_plotly() -> Any:
    """Return plotly, or an error that names its extra."""
    try:
        import plotly.graph_objects  # noqa: PLC0415
        import plotly.offline  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise MissingDependencyError("plotly", "bench", "to draw the report") from error
    return plotly


def pareto_front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Return the indices of the points that no other beats, by rising first number; more is better.

    A point beats another if it is at least as good in both numbers and better in one. Equal points stay.
    """
    front = [
        index
        for index, (x, y) in enumerate(points)
        if not any(a >= x and b >= y and (a, b) != (x, y) for a, b in points)
    ]
    return sorted(front, key=lambda index: points[index])


def plot_trade_off(results: Results) -> Any:
    """Plot accuracy against frame rate, of every frame tracked and live, with the live Pareto front."""
    go = import_plotly().graph_objects
    entries = [entry for entry in results.entries if entry.done and _fps(entry) is not None]
    figure = go.Figure()
    runtimes = dict.fromkeys(entry.runtime for entry in entries)
    for number, runtime in enumerate(runtimes):
        color = COLORS[number % len(COLORS)]
        chosen = [entry for entry in entries if entry.runtime == runtime]
        for kind, symbol, scores in (
            ("every frame tracked, however late", "circle-open", [_offline(entry) for entry in chosen]),
            ("live", "circle", [_live_at(entry, interval=False) for entry in chosen]),
            ("live, detect every N", "diamond", [_live_at(entry, interval=True) for entry in chosen]),
        ):
            figure.add_scatter(
                x=[_fps(entry) for entry in chosen],
                y=scores,
                mode="markers",
                name=f"{runtime}, {kind}",
                marker={"symbol": symbol, "size": 12, "color": color, "line": {"width": 2, "color": color}},
                text=[_describe(entry) for entry in chosen],
                hovertemplate="%{text}<br>%{x:.1f} fps, %{y:.1f}<extra>" + kind + "</extra>",
            )
    for entry in entries:
        # The cost of being late.
        figure.add_scatter(
            x=[_fps(entry)] * 2,
            y=[_offline(entry), min(_live_at(entry, interval=False) or 0.0, _live(entry))],
            mode="lines",
            line={"color": "#999", "width": 1, "dash": "dot"},
            showlegend=False,
            hoverinfo="skip",
        )
    front = [entries[i] for i in pareto_front([(_fps(entry) or 0.0, _live(entry)) for entry in entries])]
    figure.add_scatter(
        x=[_fps(entry) for entry in front],
        y=[_live(entry) for entry in front],
        mode="lines+markers+text",
        name="Pareto front: no other is faster and better live",
        line={"color": "#444", "width": 2},
        marker={"symbol": "circle-open", "size": 22, "color": "#444", "line": {"width": 2}},
        text=[_short(entry) for entry in front],
        textposition="top center",
        hoverinfo="skip",
        cliponaxis=False,
    )
    score = "HOTA" if results.has_truth else "IDF1 against the reference's tracks"
    _lay_out(figure, "frames a second of the pipeline", f"{score}, %", 520)
    figure.update_xaxes(rangemode="tozero")
    return figure


def plot_stages(results: Results) -> Any:
    """Plot the median time of each stage of a frame."""
    go = import_plotly().graph_objects
    entries = [entry for entry in results.entries if entry.speed is not None]
    figure = go.Figure()
    for stage in STAGES:
        figure.add_bar(
            y=[entry.name for entry in entries],
            x=[entry.speed.stages[stage].p50 for entry in entries if entry.speed is not None],
            name=stage,
            orientation="h",
            marker={"color": STAGE_COLORS[stage]},
            hovertemplate="%{y}<br>" + stage + " %{x:.2f} ms<extra></extra>",
        )
    figure.update_layout(barmode="stack")
    figure.update_yaxes(autorange="reversed", automargin=True)
    _lay_out(figure, "milliseconds, median of each stage alone", "", 160 + 34 * len(entries))
    return figure


def plot_over_time(results: Results) -> Any:
    """Time of every frame at the moment it was measured, and the state of the machine."""
    go = import_plotly().graph_objects
    figure = go.Figure()
    start_s = 0.0
    for group, conditions in enumerate(results.conditions):
        end_s = 0.0
        for number, entry in enumerate(results.entries):
            if entry.group != group or entry.speed is None:
                continue
            times = entry.speed.times
            step = -(-len(times) // MOST_POINTS)
            end_s = max(end_s, times.at_s[-1])
            figure.add_scattergl(
                x=[start_s + at_s for at_s in times.at_s[::step]],
                y=times.frame_ms[::step],
                mode="markers",
                marker={"size": 4, "color": COLORS[number % len(COLORS)]},
                name=entry.name,
                hovertemplate="%{x:.1f} s: %{y:.1f} ms<extra>" + entry.name + "</extra>",
            )
        for what, values, unit in _machine_lines(conditions.readings):
            figure.add_scatter(
                x=[start_s + reading.at_s for reading in conditions.readings],
                y=values,
                name=what,
                legendgroup=what,
                showlegend=group == 0,
                yaxis="y2",
                line={"color": "#999" if unit == "%" else "#b3261e", "width": 1},
                hovertemplate="%{x:.0f} s: %{y:.0f} " + unit + "<extra>" + what + "</extra>",
            )
        start_s += max(end_s, *(reading.at_s for reading in conditions.readings), 0.0)
    # The legend takes its room from the plot: two names a line, below it.
    legend_px = 12 * len(figure.data)
    _lay_out(figure, "seconds since the begin of the measuring", "milliseconds a frame", 420 + legend_px)
    second_axis = {"overlaying": "y", "side": "right", "range": [0, 105], "dtick": 25}
    figure.update_layout(yaxis2={**second_axis, "showgrid": False, "title": "%, °C"})
    figure.update_yaxes(rangemode="tozero")
    return figure


def _machine_lines(readings: Sequence[Reading]) -> list[tuple[str, list[float | None], str]]:
    busy = [None if reading.other_share is None else 100 * reading.other_share for reading in readings]
    heat = [reading.temperature_c for reading in readings]
    lines = [("used by other processes", busy, "%"), ("temperature", heat, "°C")]
    return [line for line in lines if any(value is not None for value in line[1])]


def _lay_out(figure: Any, x: str, y: str, height: int) -> None:
    figure.update_layout(
        template="plotly_white",
        height=height,
        margin={"l": 60, "r": 30, "t": 30, "b": 110},
        xaxis_title=x,
        yaxis_title=y,
        legend={
            "orientation": "h",
            "y": -55 / (height - 140),
            "yanchor": "top",
            "x": 0,
            "traceorder": "normal",
        },
        font={"family": "system-ui, sans-serif", "size": 13},
    )


def _fps(entry: Entry) -> float | None:
    found = entry.speed.throughput if entry.speed is not None else None
    return None if found is None else found.fps


def _offline(entry: Entry) -> float:
    return 100 * entry.correctness.score.headline if entry.correctness is not None else 0.0


def _live(entry: Entry) -> float:
    return 0.0 if entry.best_live is None else 100 * entry.best_live.score.headline


def _live_at(entry: Entry, *, interval: bool) -> float | None:
    """Return the score with a detection in every frame, or in every Nth; None if it was not measured."""
    shown = entry.correctness.at_device_speed if entry.correctness is not None else ()
    return next((100 * s.score.headline for s in shown if (s.detect_every > 1) == interval), None)


def _short(entry: Entry) -> str:
    width, height = entry.model.input_size
    return f"{entry.model.precision} {width}x{height}, {entry.runtime}"


def _describe(entry: Entry) -> str:
    live = entry.best_live
    how = "" if live is None else f"<br>live: detect every {live.detect_every}, {live.age_ms:.0f} ms late"
    return f"{entry.name}<br>{_short(entry)}{how}"
