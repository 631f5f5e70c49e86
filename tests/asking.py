"""The verbs that ask a model, each as a command on small data, run through the real command line against a server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from typer.testing import CliRunner, Result

from fathom import bench
from fathom.cli import app
from serving import Answer, Server, serving
from test_bench import write_example

Command = Callable[[Path, str], list[str]]
"""The arguments for files in a folder and a server's address."""


def write_sources(folder: Path, rows: int = 3) -> None:
    """Labelled pairs, as many lists of four responses but for one, and the example of a benchmark."""
    pairs = [
        {"id": f"p{n}", "prompt": f"Task {n}", "response_a": f"yes {n}", "response_b": "no", "label": "AB"[n % 2]}
        for n in range(rows)
    ]
    lists = [
        {"id": f"l{n}", "prompt": f"Task {n}", "responses": [f"{n}", "two", "three", "four"]} for n in range(rows - 1)
    ]
    for name, written in (("pairs", pairs), ("lists", lists)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in written))
    write_example(bench.find("judgebench"), folder / "judgebench")


def _at(url: str) -> list[str]:
    return ["--model", "judge-7b", "--base-url", url]


COMMANDS: dict[str, Command] = {
    "judge": lambda folder, url: ["judge", f"{folder}/pairs.jsonl", *_at(url), "--out", f"{folder}/out/v.jsonl"],
    "rank": lambda folder, url: ["rank", f"{folder}/lists.jsonl", *_at(url), "--out", f"{folder}/out/r.jsonl"],
    "pairs": lambda folder, url: ["pairs", f"{folder}/lists.jsonl", *_at(url), "--out", f"{folder}/out/d.jsonl"],
    "eval": lambda folder, url: [
        *("eval", "judgebench", "--data", f"{folder}", "--limit", "2", *_at(url), "--out", f"{folder}/out/eval")
    ],
    "probe": lambda folder, url: [
        *("probe", f"{folder}/pairs.jsonl", "--limit", "1", *_at(url), "--out", f"{folder}/out/card")
    ],
    "synth": lambda folder, url: [
        *("synth", f"{folder}/pairs.jsonl", *_at(url), "--domain", "correctness", "--out", f"{folder}/out/synth")
    ],
    "rejection-sample": lambda folder, url: [
        *("rejection-sample", f"{folder}/pairs.jsonl", *_at(url), "--out", f"{folder}/out/rejection")
    ],
    "compare-engines": lambda folder, url: [
        *("compare-engines", f"{folder}/pairs.jsonl", "--model", "judge-7b", "--out", f"{folder}/out/c.jsonl"),
        *("--engine", f"openai base_url={url}", "--engine", f"openai base_url={url} model=other"),
    ],
}
"""By verb. A test holds them against the verbs that there are."""


def run(answer: Answer, *commands: Callable[[str], Sequence[str]]) -> tuple[Server, list[Result]]:
    """Runs commands one after another against one server; each gets the server's address."""

    async def running() -> tuple[Server, list[Result]]:
        async with serving(answer) as server:
            results = []
            for command in commands:
                arguments = list(command(server.url))
                results.append(await asyncio.to_thread(CliRunner().invoke, app, arguments))
            return server, results

    return asyncio.run(running())


def files(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with its content, and every folder."""
    paths = sorted(folder.rglob("*"))
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b"" for path in paths}
