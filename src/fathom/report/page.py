"""Pages: Markdown rendered from a template, and its conversion to a self-contained HTML file."""

from __future__ import annotations

import base64
import mimetypes
import re
from html import escape
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from fathom.errors import require

_VIEWPORT = '<meta name="viewport" content="width=device-width, initial-scale=1">'
_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.55 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
/* The covers scroll with the table while the shadows stay at the edge, so a shadow shows that the table continues. */
table {
  border-collapse: collapse; display: block; overflow-x: auto; font-variant-numeric: tabular-nums;
  background:
    linear-gradient(to left, Canvas 30%, transparent) right / 2.5rem 100% no-repeat local,
    linear-gradient(to left, #8886, transparent) right / .8rem 100% no-repeat scroll;
}
th, td { padding: .3rem .7rem; border-bottom: 1px solid #8884; text-align: left; vertical-align: top; }
th, td:not(:last-child) { white-space: nowrap; }
/* A wide table scrolls; its last column, which holds prose, must not shrink to one word per line. */
td:last-child:not(:nth-child(-n+3)) { min-width: 16rem; }
pre { background: #8881; padding: .8rem 1rem; overflow-x: auto; border-radius: 6px; }
img { max-width: 100%; background: white; border-radius: 6px; }
"""


def markdown(package: str, template: str, **values: Any) -> str:
    """Render a template of `package`. A missing value is an error."""
    environment = Environment(
        loader=PackageLoader(package, ""), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["interval"] = _interval
    return environment.get_template(template).render(values)


def _interval(cell: dict[str, float], name: str) -> str:
    return f"{cell[name]:.3f} [{cell['low']:.3f}, {cell['high']:.3f}]"


def html(text: str, folder: Path) -> str:
    """Convert a Markdown page to HTML with embedded images (paths relative to `folder`). Raw HTML is escaped."""
    library = require("markdown_it", "report")
    body = library.MarkdownIt("commonmark", {"html": False}).enable("table").render(text)
    body = re.sub(r'src="([^":]+)"', lambda match: f'src="{_inlined(folder / match[1])}"', body)
    heading = re.search("^# (.+)$", text, re.MULTILINE)
    title = escape(heading[1]) if heading else "Fathom"
    return (
        f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n{_VIEWPORT}\n<title>{title}</title>\n'
        f"<style>{_STYLE}</style>\n<body>\n{body}</body>\n</html>\n"
    )


def _inlined(image: Path) -> str:
    kind = mimetypes.guess_type(image.name)[0]
    return f"data:{kind};base64,{base64.b64encode(image.read_bytes()).decode()}"
