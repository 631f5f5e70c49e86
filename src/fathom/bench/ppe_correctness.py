"""PPE correctness: pairs of a right and a wrong answer, from 32 sampled answers to each question of five sets.

    score.figures["accuracy"], score.figures["auc"], score.figures["MATH accuracy"]

The published pairs are judged. For judges that give scores, the area under the ROC curve is computed over the answers
that occur in a question's pairs. Best-of-k curves are not computed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from fathom.bench import Benchmark
from fathom.bench.files import best_first, each, found
from fathom.bench.outcomes import credit, has_scores, mean, scores, scoring_status, source_first
from fathom.data.layouts import SourceRow
from fathom.data.records import Comparison, Domain
from fathom.results.rows import Row

SETS: Mapping[str, Domain] = {
    "MMLU-Pro": "correctness",
    "MATH": "correctness",
    "GPQA": "correctness",
    "MBPP-Plus": "correctness",
    "IFEval": "preference",
}
KINDS = ("accuracy", "auc")
FILES = tuple(f"*{name}*" for name in SETS)
COLUMNS = ("question_id", "prompt", "scores", "sampled_conflict_pairs", "response_1")


def load(folder: Path) -> Iterator[Comparison]:
    for name in SETS:
        for path in found(folder, f"*{name}*"):
            yield from each(path, COLUMNS, partial(_pairs, subset=name))


def _pairs(row: SourceRow, line: int, subset: str) -> Iterator[Comparison]:
    for i, j in dict.fromkeys(tuple(pair) for pair in row["sampled_conflict_pairs"]):
        right, wrong = (i, j) if row["scores"][i] else (j, i)
        yield best_first(
            "ppe_correctness",
            f"{subset}/{line}/{i}-{j}",
            row["prompt"],
            [row[f"response_{right + 1}"]],
            [row[f"response_{wrong + 1}"]],
            subset=subset,
            domain=SETS[subset],
            group=f"{subset}/{line}",
            answers=[right, wrong],
        )


class Judged(NamedTuple):
    """One pair: the credit of its verdict and, if votes have scores, the scores of the right and the wrong answer."""

    subset: str
    credit: float
    answers: tuple[int, int]
    values: tuple[float, float] | None


def item(row: Row) -> Judged:
    right, wrong = row["metadata"]["answers"]
    values = source_first(row, scores(row) or []) if has_scores(row) and scoring_status(row) == "ok" else []
    pair = (values[0], values[1]) if values else None
    return Judged(row["metadata"]["subset"], credit(row, tie=0.0, unparsed=0.0), (right, wrong), pair)


def parts(items: Sequence[Judged]) -> Iterator[tuple[str, float]]:
    """The credit of each pair of a question, and the area under its ROC curve if there are scores."""
    yield from ((f"{judged.subset} accuracy", judged.credit) for judged in items)
    scored = [(judged.answers, judged.values) for judged in items if judged.values]
    if scored:
        # By index, because an answer may occur in several pairs and counts once.
        right = {answers[0]: values[0] for answers, values in scored}
        wrong = {answers[1]: values[1] for answers, values in scored}
        yield f"{items[0].subset} auc", auc(list(right.values()), list(wrong.values()))


def figures(means: Mapping[str, float]) -> Mapping[str, float]:
    by_kind = {kind: [means[name] for subset in SETS if (name := f"{subset} {kind}") in means] for kind in KINDS}
    by_set = {name: means[name] for kind in KINDS for subset in SETS if (name := f"{subset} {kind}") in means}
    return {kind: mean(values) for kind, values in by_kind.items() if values} | by_set


def auc(right: Sequence[float], wrong: Sequence[float]) -> float:
    """The share of pairs of a right and a wrong answer in which the right one scores higher; ties count 0.5."""
    return mean((good > bad) + 0.5 * (good == bad) for good in right for bad in wrong)


BENCHMARK = Benchmark(
    name="ppe_correctness",
    title="PPE correctness",
    source=(
        "Frick et al. 2024, Preference Proxy Evaluations (arXiv 2410.14872); github.com/lmarena/PPE; on the hub"
        " lmarena-ai/PPE-SET-Best-of-K for each of the five sets."
    ),
    files=FILES,
    size="2,555 questions with 32 answers each, and 5 published pairs per question",
    layout=(
        "In a file or folder with the data set's name: question_id, prompt, scores (32 times true or false),"
        " sampled_conflict_pairs (pairs of positions, from 0), response_1 to response_32. Checked with this layout"
        " only, not with the real files."
    ),
    official=(
        "Accuracy is the share of published pairs in which the right answer is better; a tie and an unparsed verdict"
        " are wrong. The score is the unweighted mean over the five data sets. If votes have scores, AUC is the area"
        " under the ROC curve, averaged over questions. The rule follows the paper; it was not compared with the"
        " authors' code."
    ),
    domains=SETS,
    load=load,
    item=item,
    parts=parts,
    figures=figures,
    always_first=0.0,
    example={
        f"PPE-{name}-Best-of-K/train.jsonl": [
            {
                "question_id": "1",
                "prompt": f"{name}: what is 6 * 7?",
                "scores": [True, False, False],
                "sampled_conflict_pairs": [[0, 1], [2, 0]],
                "response_1": "42",
                "response_2": "67",
                "response_3": "13",
            }
        ]
        for name in SETS
    },
)
