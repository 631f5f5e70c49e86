"""`fathom judge FILE`: a verdict for every comparison of a file."""

from __future__ import annotations

from functools import partial
from typing import Any

from fathom.cli import _options as options
from fathom.cli._figures import VERDICTS


@options.judging
def command(
    file: options.File,
    out: options.Out = None,
    **given: Any,
) -> None:
    """Judge the comparisons of a file: one verdict a line, and a summary on stderr.

        fathom judge pairs.jsonl --model runs/sft --out verdicts.jsonl
        fathom judge pairs.jsonl --engine openai --base-url http://localhost:8000/v1 --model Qwen/Qwen3-32B

    Every finished completion is kept in a journal beside OUT. To go on after an interruption, give the same command
    again. OUT.meta.json says what made the file, OUT.skipped.jsonl which rows --on-error skip left out and why. A text
    that holds no verdict has a status that says so and counts for nobody.
    """
    from fathom.cli._judging import describe, opened, run, show
    from fathom.judging import write_verdicts
    from fathom.metrics.verdicts import summary

    ready = opened(given | {"file": file, "out": out})
    tallies = run(ready, "judged", partial(write_verdicts, ready.voter, ready.comparisons))
    show("verdicts", tallies, VERDICTS)
    describe(ready, summary(tallies))
