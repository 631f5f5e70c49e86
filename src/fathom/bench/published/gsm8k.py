"""GSM8K: which solutions of four models its authors call right, by their rule for final answers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fathom.bench.published import Figure, Stated
from fathom.bench.published._transcripts import lines
from fathom.bench.reference_answers import final_answer

FOLDER = "gsm8k"
SOURCE = "GSM8K (arXiv 2110.14168), is_correct in data/example_model_solutions.jsonl of its repository"
NUMBER = re.compile(r"-?[0-9.,]+")
KNOWN_EXCEPTIONS = 1
"""One solution of 5,276 in the full set is called wrong though its answer, 2000, is that of the reference."""


def figures(folder: Path, stated: Stated) -> Iterator[Figure]:
    for path in sorted(folder.glob("*solutions*.jsonl*")):
        questions = list(lines(path))
        for model in sorted({name for question in questions for name in models(question)}):
            told = [(question["ground_truth"], question[model]) for question in questions if model in question]
            yield Figure(
                benchmark="GSM8K",
                run=model,
                name="right solutions",
                ours=sum(is_correct(told["solution"], truth) for truth, told in told),
                published=sum(bool(told["is_correct"]) for _, told in told),
                tolerance=KNOWN_EXCEPTIONS,
                rows=len(told),
                source=SOURCE,
            )


def models(question: Mapping[str, Any]) -> list[str]:
    return [name for name, told in question.items() if isinstance(told, Mapping) and "solution" in told]


def is_correct(solution: str, truth: str) -> bool:
    """Whether both end with the same number, letter by letter but for commas; one without a number is wrong."""
    said, true = _number(solution), _number(truth)
    return said is not None and said == true


def _number(text: str) -> str | None:
    match = NUMBER.search(final_answer(text)) if re.search(r"####|\bA:", text) else None
    return match[0].replace(",", "").rstrip(".") if match else None
