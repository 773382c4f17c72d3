"""Pages that MkDocs makes of the code: the README as the start page, commands, configuration, MQTT topics."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
OF_THE_SITE = {"](docs/": "](", "](edge_fairmot/bundled/MODEL_CARD.md)": "](model-card.md)"}
"""Links of the README, and the same on the site."""


def on_files(files: Any, config: Any) -> Any:
    """Publish the schema of the summary beside the page that describes it."""
    from mkdocs.structure.files import File

    schema = (ROOT / "edge_fairmot" / "cli" / "summary.schema.json").read_text()
    files.append(File.generated(config, "reference/summary.schema.json", content=schema))
    return files


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Put what a page's marker names in the place of the marker."""
    made = {
        "readme": _readme,
        "commands": _commands,
        "configuration": _configuration,
        "mqtt-topics": _topics,
        "model-card": _model_card,
    }
    for name, make in made.items():
        marker = f"<!-- {name} -->"
        if marker in markdown:
            markdown = markdown.replace(marker, make())
    return markdown


def _readme() -> str:
    text = (ROOT / "README.md").read_text().split("\n## Develop", 1)[0]
    for here, there in OF_THE_SITE.items():
        text = text.replace(here, there)
    return text


def _model_card() -> str:
    """Return the card without its front matter."""
    return (ROOT / "edge_fairmot" / "bundled" / "MODEL_CARD.md").read_text().split("\n---\n", 1)[-1]


def _commands() -> str:
    import typer
    from typer.cli import get_docs_for_click
    from typer.main import get_command

    from edge_fairmot.cli.main import COMMANDS, app

    group = get_command(app)
    context = typer.Context(group, info_name="edge-fairmot", obj={"markup_mode": "rich"})
    rows = [f"| [`{name}`](#edge-fairmot-{name}) | {command.help} |" for name, command in COMMANDS.items()]
    pages = [
        get_docs_for_click(
            obj=group.get_command(context, name), ctx=context, indent=1, call_prefix="edge-fairmot"
        )
        for name in COMMANDS
    ]
    return "\n".join(["| command | |", "|---|---|", *rows, "", *pages])


def _configuration() -> str:
    from edge_fairmot.cli.config import config_text

    return f"```toml\n{config_text()}```"


def _topics() -> str:
    """Return the docstring of the topics, reStructuredText, as Markdown."""
    from edge_fairmot.service.mqtt import topics

    lines = (inspect.getdoc(topics) or "").splitlines()
    bars = [number for number, line in enumerate(lines) if re.fullmatch(r"=+( +=+)+", line)]
    table, widths = [], [bar.span() for bar in re.finditer(r"=+", lines[bars[0]])]
    for line in lines[bars[0] + 1 : bars[-1]]:
        cells = [line[start : stop if stop < len(lines[bars[0]]) else None].strip() for start, stop in widths]
        if set("".join(cells)) == {"="}:
            table.append("|" + "---|" * len(cells))
        elif cells[0]:
            table.append("| " + " | ".join(cells) + " |")
        else:
            table[-1] = table[-1][:-2] + " " + cells[-1] + " |"
    text = "\n".join([*table, *lines[bars[-1] + 1 :]])
    text = re.sub(r"::\n\n((?: {4}.*\n?|\n(?= {4}))+)", r":\n\n```json\n\1\n```\n", text)
    return re.sub(
        r"(?m)^ {4}", "", text.replace("``", "`").replace("````json", "```json").replace("````", "```")
    )
