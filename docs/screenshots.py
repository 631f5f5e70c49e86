"""Makes docs/viewing.png and docs/viewing-report.png: python docs/screenshots.py

Needs Chromium on the PATH and Playwright's driver, which comes with the extra `dev`. The first shows `fathom view` on
the comparisons and votes of docs/screenshots.yaml, the second `fathom report` on `mini` in its small world.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from playwright.sync_api import sync_playwright

import fathom
from fathom.lab import world
from fathom.report import overview, viewer
from fathom.report.evidence import gather
from fathom.results import runs

HERE = Path(__file__).parent
ORDERS = ((0, 1), (1, 0))
COMPARISONS = 150
CHARACTERS_PER_TOKEN = 4


def recorded_rows() -> Iterator[dict[str, Any]]:
    for item in yaml.safe_load((HERE / "screenshots.yaml").read_text(encoding="utf-8")):
        comparison = fathom.Comparison(
            id=item["id"],
            prompt=item["prompt"],
            responses=tuple(item["responses"]),
            label=fathom.Label(best=item["best"]),
            domain=item["domain"],
            metadata={"subset": item["subset"]},
        )
        judge = fathom.MixJudge(style="vanilla")
        prompt = "".join(message["content"] for message in judge.ask(comparison))
        completions = [
            (ORDERS[turn % 2], fathom.Completion(text, usage=usage(prompt, text)))
            for turn, text in enumerate(item["votes"])
        ]
        yield fathom.to_row(comparison, fathom.verdict_from_completions(judge, comparison, completions))


def usage(prompt: str, text: str) -> fathom.Usage:
    """About the tokens of a large model's tokenizer."""
    return fathom.Usage(len(prompt) // CHARACTERS_PER_TOKEN, len(text) // CHARACTERS_PER_TOKEN)


def judged_rows(style: str) -> Iterator[dict[str, Any]]:
    judge = fathom.MixJudge(engine=fathom.LocalEngine("mini"), style=style, trained=True)
    items = world.items(COMPARISONS, seed=0, verbs=world.split(0).sft, prefix="screenshot", held_out=True)
    for comparison, verdict in fathom.Swapped(judge).run(item.comparison for item in items):
        yield fathom.to_row(comparison, verdict)


def photograph(page: Path, picture: Path, width: int = 1240, **context: Any) -> None:
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        opened = browser.new_page(viewport={"width": width, "height": 900}, **context)
        opened.goto(page.as_uri())
        opened.wait_for_selector("body[data-ready], body:not([data-pane])")
        opened.screenshot(path=picture)
        browser.close()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        fathom.write_jsonl(place / "verdicts.jsonl", recorded_rows())
        viewer.write(viewer.page(runs.open(place / "verdicts.jsonl")), place / "view.html")
        photograph(place / "view.html", HERE / "viewing.png")
        for style in ("breadth", "depth"):
            fathom.write_jsonl(place / f"{style}.jsonl", judged_rows(style))
        judged = {style: runs.open(place / f"{style}.jsonl") for style in ("breadth", "depth")}
        viewers = {style: viewer.page(run) for style, run in judged.items()}
        overview.write(gather(list(judged.values())), place / "report.html", viewers=viewers)
        photograph(place / "report.html", HERE / "viewing-report.png", width=1340, color_scheme="dark")


if __name__ == "__main__":
    main()
