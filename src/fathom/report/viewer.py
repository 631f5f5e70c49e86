"""The viewer: a page to read verdicts and rankings, as a single file that contains all rows and loads nothing.

    page = viewer.page(runs.open("verdicts.jsonl"))
    viewer.write(page, Path("page.html"))
    with viewer.serving(page) as address: ...

The texts were written by models and may be hostile, so the page only makes text nodes of them. Its Content Security
Policy allows only its own script, identified by a hash, and no loading. A page of 50,000 rows opens at once, because
its list only renders visible entries and rows are unpacked when they are opened. It needs a browser of 2024 or later.
It contains all texts of the run, so share it only with people who may see these.
"""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from itertools import accumulate
from pathlib import Path
from threading import Thread
from typing import Any

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from fathom.data.atomic import atomic_write
from fathom.errors import FathomError
from fathom.report.embedding import packed
from fathom.report.facts import Facts, facts
from fathom.results.outputs import marked
from fathom.results.rows import Row
from fathom.results.runs import Run

SCRIPTS = ("elements.js", "parts.js", "filters.js", "list.js", "steps.js", "verdicts.js", "viewer.js")
STYLES = ("common.css", "viewer.css")


def page(run: Run) -> str:
    """The page as HTML. Raises FathomError for a file that does not contain result rows."""
    listed: list[Facts] = []
    parts = list(packed(_with_facts(run.rows(), listed)))
    starts = [0, *accumulate(part.rows for part in parts)][:-1]
    index = next(packed([_index(listed) | {"starts": starts}])).text
    style, script = Markup(own_style()), Markup(own_script())
    texts = [Markup(part.text) for part in parts]
    return _template().render(
        name=run.name, index=Markup(index), parts=texts, script=script, style=style, policy=policy([style], [script])
    )


def own_style() -> str:
    """The viewer's style sheet, which is the same for all pages."""
    return "".join(map(web, STYLES))


def own_script() -> str:
    """The viewer's script, which is the same for all pages."""
    return "".join(map(web, SCRIPTS))


def policy(styles: Sequence[str], scripts: Sequence[str] = ()) -> str:
    """A Content Security Policy that allows these styles and scripts, and nothing else."""
    allowed = " ".join(map(_hash, scripts)) or "'none'"
    return (
        f"default-src 'none'; script-src {allowed}; style-src {' '.join(map(_hash, styles))}; "
        "base-uri 'none'; form-action 'none'"
    )


def write(page: str, out: Path) -> None:
    """Write a page atomically."""
    with atomic_write(out) as file:
        file.write(marked(page.encode(), "view"))


def _with_facts(rows: Iterator[Row], listed: list[Facts]) -> Iterator[Row]:
    """Pass the rows on, and append the facts of each to `listed`: so that a run is read only once."""
    for row in rows:
        listed.append(facts(row))
        yield row


def _index(listed: Sequence[Facts]) -> dict[str, Any]:
    """The facts of all rows. Principles are numbers, the most frequent first, because their names repeat often."""
    counts = Counter(principle for each in listed for principle in each.principles)
    places = {principle: place for place, (principle, _) in enumerate(counts.most_common())}
    rows = [each._asdict() | {"principles": [places[name] for name in each.principles]} for each in listed]
    return {"principles": list(places), "rows": rows}


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def web(name: str) -> str:
    """The text of a file in the folder `web`."""
    return files(__package__).joinpath("web", name).read_text(encoding="utf-8")


def _template() -> Template:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    return environment.from_string(web("viewer.html.jinja"))


# Serving --------------------------------------------------------------------------------------------------------------


@contextmanager
def serving(page: str, port: int = 0) -> Iterator[str]:
    """Serve the page on 127.0.0.1 from a thread while the block runs; yields its address. Port 0 picks a free one.

    Requests with another Host header are refused: otherwise a website could read the page by DNS rebinding.
    """
    content = page.encode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            allowed = self.headers.get("Host") == f"127.0.0.1:{server.server_port}" and self.path == "/"
            self.send_response(200 if allowed else 404)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(content) if allowed else 0))
            self.send_header("X-Content-Type-Options", "nosniff")
            self.end_headers()
            self.wfile.write(content if allowed else b"")

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with _server(port, Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()


def _server(port: int, handler: type[BaseHTTPRequestHandler]) -> ThreadingHTTPServer:
    try:
        return ThreadingHTTPServer(("127.0.0.1", port), handler)
    except OSError as error:
        raise FathomError(f"cannot serve on port {port}: {error}; give another --port") from error
