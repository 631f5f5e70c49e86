"""PPE human preference: battles of the Chatbot Arena with the votes of its users.

    score.figures["accuracy"]

Tied battles have a tie as their label and are in no score. Of the twelve published metrics, only accuracy is computed;
those that rank models (correlations, separability) are not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from fathom.bench import Benchmark
from fathom.bench.files import comparison, each, found
from fathom.bench.outcomes import credit
from fathom.data.conversations import BadRowError
from fathom.data.layouts import SourceRow
from fathom.data.records import Comparison, Label
from fathom.results.rows import Row

FILES = ("test*",)
COLUMNS = ("question_id", "prompt", "response_1", "response_2", "winner")
WINNERS: Mapping[str, int | None] = {"model_a": 0, "model_b": 1, "tie": None, "tie (bothbad)": None}


def load(folder: Path) -> Iterator[Comparison]:
    for path in found(folder, *FILES):
        yield from each(path, COLUMNS, _battle)


def _battle(row: SourceRow, line: int) -> Iterator[Comparison]:
    if row["winner"] not in WINNERS:
        raise BadRowError("winner", f"got {row['winner']!r}, expected one of {', '.join(WINNERS)}")
    winner = WINNERS[row["winner"]]
    yield comparison(
        "ppe_preference",
        f"{row['question_id']}/{line}",
        row["prompt"],
        (row["response_1"], row["response_2"]),
        Label(scores=(0.5, 0.5)) if winner is None else Label(best=winner),
        subset="human preference",
        domain="preference",
        language=row.get("language"),
    )


def item(row: Row) -> list[tuple[str, float]]:
    """Empty for a tied battle."""
    return [] if row["label"] is None else [("accuracy", credit(row, tie=0.0, unparsed=0.0))]


BENCHMARK = Benchmark(
    name="ppe_preference",
    title="PPE human preference",
    source="Frick et al. 2024, Preference Proxy Evaluations (arXiv 2410.14872); github.com/lmarena/PPE.",
    hub="lmarena-ai/PPE-Human-Preference-V1",
    files=FILES,
    size="16,038 battles, some of them ties",
    layout=(
        "question_id, prompt, response_1, response_2, winner (model_a, model_b, tie, tie (bothbad)). Checked with this"
        " layout only, not with the real files."
    ),
    official=(
        "The share of battles in which the judge names the winner; battles that were ties are left out. A tie and an"
        " unparsed verdict are wrong. The rule follows the paper; it was not compared with the authors' code."
    ),
    domains={"human preference": "preference"},
    load=load,
    item=item,
    always_first=0.0,
    example={
        "test.jsonl": [
            {
                "question_id": str(number),
                "prompt": f"Count to {number}.",
                "response_1": " ".join(str(i) for i in range(1, number + 1)),
                "response_2": "One, two, many.",
                "winner": winner,
                "language": "English",
            }
            for number, winner in enumerate(("model_a", "model_b", "tie", "tie (bothbad)"), 3)
        ]
    },
)
