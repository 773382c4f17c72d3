"""Results as one HTML page that needs no other file and no network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from edge_fairmot.benchmarks.disagreement import STYLE, Disagreement, render_figure
from edge_fairmot.benchmarks.report_plots import import_plotly, plot_over_time, plot_stages, plot_trade_off
from edge_fairmot.benchmarks.report_tables import TextTable, answer, cautions, describe_run, tables
from edge_fairmot.benchmarks.results import Results


def render_page(results: Results, worst: Mapping[str, Sequence[Disagreement]]) -> str:
    """Return the report; ``worst`` holds the frames of each row that differ most, by the row's name."""
    main, *others = [_table(table) for table in tables(results)] or ["<p>Nothing was measured.</p>"]
    trade_off = stages = over_time = ""
    if any(entry.done for entry in results.entries):
        trade_off = _section("Accuracy against frame rate", _plot(plot_trade_off(results)))
    if any(entry.speed is not None for entry in results.entries):
        stages = _section("Time of the stages of a frame", _plot(plot_stages(results)))
        over_time = _section("Time of every frame", _plot(plot_over_time(results)))
    warnings = "".join(f"<li>{escape(caution)}</li>" for caution in cautions(results))
    caution = f'<ul class="caution">{warnings}</ul>' if warnings else ""
    run = "".join(f"<p>{escape(part)}</p>" for part in describe_run(results).split("\n\n"))
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Benchmark, {results.made_at[:10]}</title> <meta
name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style>
<script>{import_plotly().offline.get_plotlyjs()}</script></head><body> <h1>Models and runtimes on this
device</h1> <p class="answer">{escape(answer(results))}</p> {caution}
{trade_off} {main} {stages}
{over_time} {"".join(others)} {_worst(results, worst)} {_section("The run", run)} <p class="note">Each model
and runtime ran in a process of its own. They took turns, a few frames each, so that changes of the machine
affected all of them. Live figures follow the idea of streaming perception (Li, Wang and Ramanan, ECCV 2020):
measured times are played against the source's clock, and every frame of the source is compared with the
tracks on the screen at its moment.</p> </body></html>
"""


def _section(title: str, content: str) -> str:
    return f"<h2>{escape(title)}</h2>{content}"


def _plot(figure: Any) -> str:
    html: str = figure.to_html(
        full_html=False, include_plotlyjs=False, config={"displayModeBar": False, "responsive": True}
    )
    return f'<div class="plot">{html}</div>'


def _table(table: TextTable) -> str:
    def row(tag: str, line: Sequence[str]) -> str:
        kinds = [' class="number"' if index >= table.text_columns else "" for index in range(len(line))]
        cells = (f"<{tag}{kind}>{escape(text)}</{tag}>" for kind, text in zip(kinds, line, strict=True))
        return f"<tr>{''.join(cells)}</tr>"

    body = "\n".join([row("th", table.header), *(row("td", line) for line in table.cells)])
    note = f'<p class="note">{escape(table.note)}</p>' if table.note else ""
    return _section(table.title, f'<div class="wide"><table>{body}</table></div>{note}')


def _worst(results: Results, worst: Mapping[str, Sequence[Disagreement]]) -> str:
    if not worst:
        return ""
    none = "<p>No frame differs in its peaks or identities.</p>"
    parts = [
        f"<h3>{escape(name)}</h3>{''.join(map(render_figure, frames)) or none}"
        for name, frames in worst.items()
    ]
    legend = (
        f'<p><span class="reference">{escape(results.reference)}</span> '
        '<span class="candidate">the row</span> The row\'s boxes are dashed. A thick box has no partner.</p>'
    )
    return _section("Frames that differ most from the reference", legend + "".join(parts))
