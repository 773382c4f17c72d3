"""The parity ladder's report as one HTML file: the table, and the frames that differ most."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape

from edge_fairmot.benchmarks.disagreement import Disagreement, draw_disagreement, encode_jpeg
from edge_fairmot.benchmarks.ladder_report import Check, LadderReport, Subject

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 62rem; padding: 0 1rem }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2rem }
table { border-collapse: collapse } td, th { padding: .25rem .9rem .25rem 0; text-align: left }
tr { border-bottom: 1px solid #ddd } td.number { text-align: right; font-variant-numeric: tabular-nums }
.passed { color: #17692f } .failed { color: #b3261e; font-weight: 600 }
figure { margin: 1.5rem 0 } img { max-width: 100%; border: 1px solid #ccc }
.reference, .candidate { padding: .05rem .4rem; color: #000 }
.reference { background: #3cdc50 } .candidate { background: #ff8c1e }
"""


def render_html(report: LadderReport, worst: Sequence[Disagreement]) -> str:
    """Write the report as a page that needs no other file.

    Parameters
    ----------
    report : LadderReport
    worst : sequence of Disagreement
        Frames to show.

    Returns
    -------
    str
    """
    failed = ", ".join(report.failed_rungs)
    verdict = (
        '<span class="passed">within budget</span>'
        if report.passed
        else f'<span class="failed">budget broken: {escape(failed)}</span>'
    )
    sequences = ", ".join(f"{name} ({frames} frames)" for name, frames in report.sequences)
    rows = "\n".join(_check_row(check) for check in report.checks)
    figures = "\n".join(_figure(frame) for frame in worst)
    peaks = report.figures.peaks
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Parity ladder: {escape(report.candidate.name)}</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head><body>
<h1>Parity ladder: {verdict}</h1>
<table>{_subject_row("candidate", report.candidate)}{_subject_row("reference", report.reference)}
<tr><th>frames</th><td>{escape(sequences)}</td></tr>
<tr><th>peaks</th><td>{peaks.reference_peaks} of the reference and {peaks.candidate_peaks} of the candidate
above {report.score_threshold:g}; {peaks.missed} missed, {peaks.extra} extra, {peaks.undecided} within
{report.budget.score_margin:g} of the threshold and counted neither way,
{peaks.tied} in a neighbouring cell of the same score</td></tr></table>
<h2>Rungs</h2>
<table><tr><th>rung</th><th>figure</th><th>value</th><th>budget</th><th></th></tr>
{rows}</table>
<h2>Frames that differ most</h2>
<p><span class="reference">reference</span> <span class="candidate">candidate</span>
A thick box has no partner.</p>
{figures or "<p>None were kept.</p>"}
</body></html>
"""


def format_value(check: Check) -> str:
    """Write a check's value: counts whole, small errors as powers, the rest to five places."""
    return _number(check.value, "not measured")


def format_threshold(check: Check) -> str:
    """Write a check's threshold with its direction."""
    if check.threshold is None:
        return ""
    return f"{'≥' if check.at_least else '≤'} {_number(check.threshold, '')}"


def verdict_of(check: Check) -> str:
    """Say ``passed`` or ``failed``, or nothing where there is nothing to judge."""
    if check.threshold is None or check.value is None:
        return ""
    return "passed" if check.passed else "failed"


def _number(value: float | None, absent: str) -> str:
    if value is None:
        return absent
    if value != 0 and abs(value) < 1e-3:
        return f"{value:.1e}"
    return f"{value:.5f}".rstrip("0").rstrip(".")


def _check_row(check: Check) -> str:
    state = verdict_of(check)
    return (
        f"<tr><td>{escape(check.rung)}</td><td>{escape(check.figure)}</td>"
        f'<td class="number">{format_value(check)}</td><td class="number">{format_threshold(check)}</td>'
        f'<td class="{state}">{state}</td></tr>'
    )


def _subject_row(role: str, subject: Subject) -> str:
    details = "; ".join(f"{name} {value}" for name, value in subject.details.items())
    text = f"{subject.name}, {subject.precision}, by {subject.runtime}" + (f" ({details})" if details else "")
    sha = subject.checkpoint_sha256
    return f"<tr><th>{role}</th><td>{escape(text)}; checkpoint {escape(sha[:12])}</td></tr>"


def _figure(frame: Disagreement) -> str:
    picture = base64.b64encode(encode_jpeg(draw_disagreement(frame))).decode()
    caption = f"{frame.sequence}, frame {frame.frame + 1}: {frame.missed} missed, {frame.extra} extra" + (
        ", an identity changed hands" if frame.renamed else ""
    )
    return (
        f'<figure><img src="data:image/jpeg;base64,{picture}" alt="{escape(caption)}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )
