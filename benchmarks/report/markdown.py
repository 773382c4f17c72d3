"""Results as Markdown, to paste."""

from __future__ import annotations

from pathlib import Path

from edge_fairmot.benchmarks.report.cautions import cautions
from edge_fairmot.benchmarks.report.rows import Rows, tables
from edge_fairmot.benchmarks.results import Results


def render_markdown(results: Results) -> str:
    """Write results as Markdown: where they are from, the tables, what speaks against them."""
    parts = [f"# Benchmark, {results.made_at[:10]}", describe_run(results)]
    for rows in tables(results):
        parts += [f"## {rows.title}", render_rows(rows), rows.note]
    found = list(cautions(results))
    if found:
        parts += ["## Before you believe it", "\n".join(f"- {caution}" for caution in found)]
    return "\n\n".join(part for part in parts if part) + "\n"


def describe_run(results: Results) -> str:
    """Say in a sentence or two what the figures are of."""
    machine = results.machine
    footage = "; ".join(
        f"{Path(source.name).name}, {source.frames} frames of "
        f"{source.frame_size[0]}x{source.frame_size[1]} at "
        f"{source.frame_rate:g} a second" + (", with ground truth" if source.ground_truth else "")
        for source in results.footage
    )
    versions = ", ".join(f"{name} {version}" for name, version in machine.packages.items())
    threads = results.settings.threads or "as each runtime chooses"
    governor = f", governor {machine.governor}" if machine.governor else ""
    gpus = f" GPU: {', '.join(machine.accelerators)}." if machine.accelerators else ""
    environment = "".join(f", {name}={value}" for name, value in machine.environment.items())
    meanwhile = _meanwhile(results)
    return (
        f"{machine}; {machine.system}, kernel {machine.kernel}{governor}.{gpus} Threads: {threads}"
        f"{environment}. Python {machine.python}, {versions}.\n\nFrames: {footage}. "
        f"Score threshold {results.settings.score_threshold:g}. Made {results.made_at}.{meanwhile}"
    )


def _meanwhile(results: Results) -> str:
    """Say how hot and how fast the processor was, where the system tells."""
    heat = [c.hottest_c for c in results.conditions if c.hottest_c is not None]
    clocks = [c.frequency_range_mhz for c in results.conditions if c.frequency_range_mhz is not None]
    said = [f"Up to {max(heat):.0f} °C."] if heat else []
    if clocks:
        low, high = min(low for low, _ in clocks), max(high for _, high in clocks)
        said.append(f"Clock {low:.0f} MHz." if low == high else f"Clock {low:.0f} to {high:.0f} MHz.")
    return "".join(f" {sentence}" for sentence in said)


def render_rows(rows: Rows) -> str:
    """Write one table."""
    ruler = ["---"] * rows.text_columns + ["---:"] * (len(rows.header) - rows.text_columns)
    lines = [rows.header, ruler, *rows.cells]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
