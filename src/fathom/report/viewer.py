"""A page to read verdicts and rankings in: one file with all rows inside, which asks nothing of any network.

    page = viewer.page(runs.open("verdicts.jsonl"))
    viewer.write(page, Path("page.html"))
    with viewer.serving(page) as address: ...

What is shown was written by models and is hostile. The page makes text nodes of it and nothing else. Its policy lets no
script run but its own, told by hash, and nothing load. A page of 50,000 rows opens at once: its list holds those in
sight, and rows are unpacked when they are read. It needs a browser of 2024 or later. It holds all texts of the run, so
whoever may not see those may not see it.
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

SCRIPTS = ("elements.js", "parts.js", "filters.js", "list.js", "verdicts.js", "viewer.js")
STYLES = ("common.css", "viewer.css")


def page(run: Run) -> str:
    """The whole page. Raises FathomError for a file that holds no rows of results."""
    found: list[Facts] = []
    parts = list(packed(_noting(run.rows(), found)))
    starts = [0, *accumulate(part.rows for part in parts)][:-1]
    index = next(packed([_index(found) | {"starts": starts}])).text
    style, script = Markup(own_style()), Markup(own_script())
    texts = [Markup(part.text) for part in parts]
    return _template().render(
        name=run.name, index=Markup(index), parts=texts, script=script, style=style, policy=policy([style], [script])
    )


def own_style() -> str:
    """The style sheet of every page of the viewer."""
    return "".join(map(web, STYLES))


def own_script() -> str:
    """The script of every page of the viewer."""
    return "".join(map(web, SCRIPTS))


def policy(styles: Sequence[str], scripts: Sequence[str] = ()) -> str:
    """The Content-Security-Policy under which these styles hold and these scripts run, and nothing else does."""
    allowed = " ".join(map(_hash, scripts)) or "'none'"
    return (
        f"default-src 'none'; script-src {allowed}; style-src {' '.join(map(_hash, styles))}; "
        "base-uri 'none'; form-action 'none'"
    )


def write(page: str, out: Path) -> None:
    with atomic_write(out) as file:
        file.write(marked(page.encode(), "view"))


def _noting(rows: Iterator[Row], found: list[Facts]) -> Iterator[Row]:
    for row in rows:
        found.append(facts(row))
        yield row


def _index(found: Sequence[Facts]) -> dict[str, Any]:
    """The rows' facts, each principle as its place among all, the commonest first."""
    counts = Counter(principle for each in found for principle in each.principles)
    places = {principle: place for place, (principle, _) in enumerate(counts.most_common())}
    rows = [each._asdict() | {"principles": [places[name] for name in each.principles]} for each in found]
    return {"principles": list(places), "rows": rows}


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def web(name: str) -> str:
    """The text of a file that pages are made of."""
    return files(__package__).joinpath("web", name).read_text(encoding="utf-8")


def _template() -> Template:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    return environment.from_string(web("viewer.html.jinja"))


# Serving --------------------------------------------------------------------------------------------------------------


@contextmanager
def serving(page: str, port: int = 0) -> Iterator[str]:
    """Serves the page on 127.0.0.1 from a thread while the block runs; yields its address. Port 0 is any free one.

    A request that names another host is refused, so that no site that a browser visits can read the page.
    """
    content = page.encode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            ours = self.headers.get("Host") == f"127.0.0.1:{server.server_port}" and self.path == "/"
            self.send_response(200 if ours else 404)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(content) if ours else 0))
            self.send_header("X-Content-Type-Options", "nosniff")
            self.end_headers()
            self.wfile.write(content if ours else b"")

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
        raise FathomError(f"cannot serve on port {port}: {error}; another --port may be free") from error
