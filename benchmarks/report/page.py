"""Results as one HTML page that needs no other file and no network."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from edge_fairmot.benchmarks.disagreement import Disagreement, draw_disagreement, encode_jpeg
from edge_fairmot.benchmarks.report.cautions import cautions
from edge_fairmot.benchmarks.report.markdown import describe_run
from edge_fairmot.benchmarks.report.plots import (
    import_plotly,
    plot_over_time,
    plot_stages,
    plot_trade_off,
)
from edge_fairmot.benchmarks.report.rows import Rows, tables
from edge_fairmot.benchmarks.results import Results

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 76rem; padding: 0 1rem }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2.2rem }
.wide { overflow-x: auto } table { border-collapse: collapse; font-size: .92em }
td, th { padding: .25rem .8rem .25rem 0; text-align: left; vertical-align: top }
th { border-bottom: 2px solid #999 } tr { border-bottom: 1px solid #ddd }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
.note { color: #555; max-width: 60rem }
.caution { background: #fff3cd; padding: .6rem 1.4rem; border-radius: 6px }
figure { margin: 1.2rem 0 } img { max-width: 100%; border: 1px solid #ccc }
.reference, .candidate { padding: .05rem .4rem; color: #000 }
.reference { background: #3cdc50 } .candidate { background: #ff8c1e }
"""


def render_page(results: Results, worst: Mapping[str, Sequence[Disagreement]]) -> str:
    """Write the report.

    Parameters
    ----------
    results : Results
    worst : dict of str to sequence of Disagreement
        By the row's name, the frames in which it differs most from the reference.

    Returns
    -------
    str

    Raises
    ------
    MissingDependencyError
        If Plotly is not installed.
    """
    main, *others = [_table(rows) for rows in tables(results)] or ["<p>Nothing was measured.</p>"]
    plots = [_plot(plot_trade_off(results))] if any(entry.done for entry in results.entries) else []
    timed = any(entry.speed is not None for entry in results.entries)
    library = import_plotly().offline.get_plotlyjs()
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Benchmark, {results.made_at[:10]}</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style>
<script>{library}</script></head><body>
<h1>Which file, on which runtime, on this device</h1>
{_cautions(results)}
{"<h2>Accuracy against frame rate</h2>" if plots else ""}
{"".join(plots)}
{main}
{_section("Where the time of a frame goes", _plot(plot_stages(results))) if timed else ""}
{_section("Every frame, when it was measured", _plot(plot_over_time(results))) if timed else ""}
{"".join(others)}
{_worst(results, worst)}
<h2>What this is of</h2>
{"".join(f"<p>{escape(part)}</p>" for part in describe_run(results).split(chr(10) * 2))}
<p class="note">Contenders ran in processes of their own and took turns, a few frames each, so that whatever
the machine did met all of them. Live figures follow the idea of streaming perception (Li, Wang and Ramanan,
ECCV 2020): measured times are played against the source's clock, and every frame of the source is compared
with the tracks that were on the screen at its moment.</p>
</body></html>
"""


def _cautions(results: Results) -> str:
    found = "".join(f"<li>{escape(caution)}</li>" for caution in cautions(results))
    return f'<ul class="caution">{found}</ul>' if found else ""


def _section(title: str, content: str) -> str:
    return f"<h2>{escape(title)}</h2>{content}"


def _plot(figure: Any) -> str:
    html: str = figure.to_html(
        full_html=False, include_plotlyjs=False, config={"displayModeBar": False, "responsive": True}
    )
    return html


def _table(rows: Rows) -> str:
    def cell(tag: str, index: int, text: str) -> str:
        kind = ' class="number"' if index >= rows.text_columns else ""
        return f"<{tag}{kind}>{escape(text)}</{tag}>"

    head = "".join(cell("th", index, text) for index, text in enumerate(rows.header))
    body = "\n".join(
        "<tr>" + "".join(cell("td", index, text) for index, text in enumerate(line)) + "</tr>"
        for line in rows.cells
    )
    note = f'<p class="note">{escape(rows.note)}</p>' if rows.note else ""
    return _section(rows.title, f'<div class="wide"><table><tr>{head}</tr>\n{body}</table></div>{note}')


def _worst(results: Results, worst: Mapping[str, Sequence[Disagreement]]) -> str:
    if not worst:
        return ""
    parts = []
    for name, frames in worst.items():
        figures = "\n".join(_figure(frame) for frame in frames)
        parts.append(
            f"<h3>{escape(name)}</h3>{figures or '<p>Nobody is missed, extra or renamed in any frame.</p>'}"
        )
    legend = (
        f'<p><span class="reference">{escape(results.reference)}</span> '
        '<span class="candidate">the row</span> A thick box has no partner.</p>'
    )
    return _section("Frames that differ most from the reference", legend + "".join(parts))


def _figure(frame: Disagreement) -> str:
    picture = base64.b64encode(encode_jpeg(draw_disagreement(frame))).decode()
    caption = f"{frame.sequence}, frame {frame.frame + 1}: {frame.missed} missed, {frame.extra} extra" + (
        ", an identity changed hands" if frame.renamed else ""
    )
    return (
        f'<figure><img src="data:image/jpeg;base64,{picture}" alt="{escape(caption)}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )
