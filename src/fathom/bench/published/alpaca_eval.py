"""AlpacaEval 2: win rates of models against GPT-4, by the weighted one-token judge and by the ranking judge."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from math import isnan, nan
from pathlib import Path
from typing import Any

from fathom.bench.outcomes import mean, scores
from fathom.bench.published import Figure, Stated
from fathom.bench.published._transcripts import BOTH_ORDERS, compared, lines, read_row, stem
from fathom.data.records import Comparison
from fathom.engines import Completion, TokenLogprob
from fathom.errors import FathomError
from fathom.judges.alpaca_eval import NAMES, AlpacaEvalJudge
from fathom.judges.alpaca_eval_cot import AlpacaEvalCoTJudge
from fathom.results.rows import VerdictRow

FOLDER = "alpaca_eval"
SOURCE = "AlpacaEval (arXiv 2404.04475), leaderboards in its repository"
TOLERANCE = 1e-6
Read = Callable[[Mapping[str, Any]], VerdictRow]


def figures(folder: Path, stated: Stated) -> Iterator[Figure]:
    published = {
        (entry["annotator"], entry["model"]): entry
        for path in sorted(folder.glob("*leaderboard*.jsonl*"))
        for entry in lines(path)
    }
    for path in sorted(folder.glob("annotations/*/*.jsonl*")):
        annotator, model = path.parent.name, stem(path)
        read = reader(annotator)
        rows = [read(annotation) for annotation in lines(path)]
        entry = published.get((annotator, model), {})
        yield Figure(
            benchmark="AlpacaEval 2",
            run=f"{model}, {annotator}",
            name="win rate",
            ours=win_rate(rows),
            published=float(entry["win_rate"]) if entry else None,
            tolerance=TOLERANCE,
            rows=len(rows),
            as_recorded=sum(row["status"] != "ok" for row in rows),
            source=SOURCE,
        )


def win_rate(rows: Iterable[VerdictRow]) -> float:
    """The mean preference for the second response in percent, over all rows with a preference."""
    preferences = (preference(row) for row in rows)
    return 100 * mean(value - 1 for value in preferences if not isnan(value))


def preference(row: VerdictRow) -> float:
    """The preference, from 1 for the first response to 2 for the second; the recorded one if the row is unparsed."""
    values = scores(row)
    return 1 + values[1] if values else recorded(row["metadata"]["preference"])


def recorded(preference: Any) -> float:
    """The recorded preference, 1 to 2; NaN for a missing or invalid one.

    AlpacaEval 1 wrote a tie as 0, which AlpacaEval 2 reads as 1.5.
    """
    if preference == 0:
        return 1.5
    return float(preference) if preference is not None and 1 <= preference <= 2 else nan


def weighted(annotation: Mapping[str, Any]) -> VerdictRow:
    """The row of an annotation. Its random order was not recorded; the order whose preference is closer to the recorded
    one is used."""
    comparison = _compared(annotation)
    completion = _completion(annotation.get("raw_completion"))
    rows = [read_row(AlpacaEvalJudge(), comparison, [(order, completion)]) for order in BOTH_ORDERS]
    stated = recorded(annotation["preference"])
    return min(rows, key=lambda row: abs(preference(row) - stated))


def _completion(raw: Any) -> Completion | None:
    tokens = ((raw or {}).get("logprobs") or {}).get("content")
    if not tokens:
        return None
    top = [(token["token"], token["logprob"]) for token in tokens[0]["top_logprobs"]]
    logprobs = TokenLogprob(tokens[0]["token"], tokens[0]["logprob"], tuple(top))
    return Completion(raw.get("text") or tokens[0]["token"], finish_reason="length", logprobs=(logprobs,))


def ranked(annotation: Mapping[str, Any]) -> VerdictRow:
    """The row of a ranking annotation, which records the order as a table from names to outputs."""
    raw, names = annotation.get("raw_completion"), annotation.get("referenced_models") or {}
    order = tuple(int(names[name].removeprefix("output_")) - 1 for name in NAMES if name in names)
    completion = Completion(json.dumps(raw)) if raw is not None and order in BOTH_ORDERS else None
    return read_row(AlpacaEvalCoTJudge(), _compared(annotation), [(order if completion else (0, 1), completion)])


def _compared(annotation: Mapping[str, Any]) -> Comparison:
    return compared(
        str(annotation["_index"]), subset=annotation.get("dataset") or "", preference=annotation["preference"]
    )


READERS: Mapping[str, Read] = {"weighted": weighted, "alpaca": ranked}
"""The reader for each first word of an annotator's name."""


def reader(annotator: str) -> Read:
    """The reader for an annotator. Raises FathomError for an annotator without a judge in Fathom."""
    read = READERS.get(annotator.partition("_")[0])
    if read is None:
        known = ", ".join(f"{name}_..." for name in READERS)
        raise FathomError(f"no judge parses the texts of AlpacaEval's annotator {annotator}; expected {known}")
    return read
