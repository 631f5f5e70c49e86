"""JudgeBench: pairs of which one response is objectively right, from GPT-4o and from Claude 3.5 Sonnet.

    score = find("judgebench").score(rows)
    score.figures["overall"], score.figures["Coding"]

The two splits are published apart; here they are one source, and metadata["split"] tells them apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from fathom.bench import Benchmark
from fathom.bench.files import comparison, each, found
from fathom.bench.outcomes import in_order, in_subset
from fathom.data.labels import LETTERS, outcome
from fathom.data.layouts import SourceRow
from fathom.data.records import Comparison, Label
from fathom.results.rows import Row

FILES = ("*gpt*", "*claude*")
NOT_RECORDED = "(not in the transcript)"
COLUMNS = ("pair_id", "source", "question", "response_A", "response_B", "label")
CATEGORIES = {
    "mmlu-pro": "Knowledge",
    "livebench-reasoning": "Reasoning",
    "livebench-math": "Math",
    "livecodebench": "Coding",
}


def load(folder: Path) -> Iterator[Comparison]:
    for pattern in FILES:
        for path in found(folder, pattern):
            yield from each(path, COLUMNS, partial(_pair, split=pattern.strip("*")))


def _pair(row: SourceRow, line: int, split: str) -> Iterator[Comparison]:
    yield comparison(
        "judgebench",
        f"{split}/{row['pair_id']}",
        row["question"],
        (row["response_A"], row["response_B"]),
        Label(best=outcome(row["label"], LETTERS)),
        subset=category(row["source"]),
        domain="correctness",
        source=row["source"],
        split=split,
    )


def of_transcript(row: SourceRow) -> Comparison | None:
    """Of a row of the authors' outputs, which have a pair's label and source, and neither question nor responses."""
    if not {"pair_id", "source", "label"} <= row.keys():
        return None
    unknown = f"(prompt of {row['pair_id']}, not in the transcript)"
    whole = {"question": unknown, "response_A": NOT_RECORDED, "response_B": NOT_RECORDED, **row}
    return next(_pair(whole, 0, split="unknown"))


def category(source: str) -> str:
    """The published category of a row's `source`; an unknown source is its own."""
    return next((name for start, name in CATEGORIES.items() if source.startswith(start)), source)


def item(row: Row) -> list[tuple[str, float]]:
    """1 where the first vote in each order, +1 for the label and -1 against it, add up to more than 0."""
    winners = [vote["winner"] for vote in (in_order(row, 0), in_order(row, 1)) if vote]
    label = row["label"]
    total = sum(winner == label for winner in winners) - sum(winner not in (label, None) for winner in winners)
    return in_subset(row, float(total > 0), "overall")


def figures(means: Mapping[str, float]) -> Mapping[str, float]:
    return {"overall": means["overall"]} | dict(sorted(means.items()))


BENCHMARK = Benchmark(
    name="judgebench",
    title="JudgeBench",
    source="Tan et al. 2024, JudgeBench (arXiv 2410.12784); github.com/ScalerLab/JudgeBench; MIT on its card.",
    hub="ScalerLab/JudgeBench",
    files=FILES,
    size="620 pairs: 350 from GPT-4o, 270 from Claude 3.5 Sonnet",
    layout="pair_id, source, question, response_A, response_B, label (A>B or B>A); checked with 481 of the 620 rows.",
    official=(
        "Each pair is judged in both orders. A vote for the label counts +1, a vote against it -1, and a tie or an"
        " unparsed vote 0. A pair is right if the sum is above 0. The score is the share of right pairs, overall and in"
        " each of the four categories. If there are several votes in one order, only the first one counts."
    ),
    domains=dict.fromkeys(("Knowledge", "Reasoning", "Math", "Coding"), "correctness"),
    load=load,
    of_transcript=of_transcript,
    item=item,
    figures=figures,
    always_first=0.0,
    example={
        "gpt.jsonl": [
            {
                "pair_id": "1",
                "source": "mmlu-pro-physics",
                "question": "What is the unit of force? (A) watt (B) newton",
                "response_A": "Force is measured in newtons: B.",
                "response_B": "Force is measured in watts: A.",
                "label": "A>B",
            },
            {
                "pair_id": "2",
                "source": "livebench-math",
                "question": "What is 7 * 8?",
                "response_A": "54",
                "response_B": "56",
                "label": "B>A",
            },
        ],
        "claude.jsonl": [
            {
                "pair_id": "1",
                "source": "livecodebench",
                "question": "Print the sum of two integers.",
                "response_A": "print(int(input()) + int(input()))",
                "response_B": "print(input() + input())",
                "label": "A>B",
            },
            {
                "pair_id": "2",
                "source": "livebench-reasoning",
                "question": "Ann is taller than Ben, Ben than Cy. Who is the shortest?",
                "response_A": "Ann.",
                "response_B": "Cy.",
                "label": "B>A",
            },
        ],
    },
)
