"""PRMBench: does a process reward model call each step right or wrong, in nine classes of errors?

    score.figures["PRMScore"], score.figures["circular"], score.figures["first error"]

A step is called right if its score is at least 0.5, and the mean over the votes decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Literal

from fathom.bench import Benchmark
from fathom.bench.files import comparison, each, found
from fathom.bench.step_rules import baselines
from fathom.data.layouts import SourceRow
from fathom.data.records import Comparison, Domain, Label
from fathom.metrics.step_baselines import longest, random
from fathom.metrics.steps import labelled_first_error, labelled_steps, step_scores
from fathom.results.rows import Row

FILES = ("*prm*",)
COLUMNS = ("modified_question", "modified_process", "error_steps", "classification", "idx")
DOMAINS: Mapping[str, Domain | None] = dict.fromkeys(
    (
        "circular",
        "confidence",
        "counterfactual",
        "deception",
        "domain_inconsistency",
        "missing_condition",
        "multi_solutions",
        "redundency",  # as the data spell it
        "step_contradiction",
    ),
    "correctness",
)

Outcome = Literal["right kept", "right refused", "wrong kept", "wrong refused", "first error"]
Cell = tuple[str, Outcome]
"""A class, or "" for all, and an outcome of a step."""


def load(folder: Path) -> Iterator[Comparison]:
    return solutions(folder, "prmbench", FILES)


def solutions(folder: Path, benchmark: str, files: Sequence[str]) -> Iterator[Comparison]:
    """All solutions; as the authors do, the second one with the same class and `idx` is left out."""
    seen: set[str] = set()
    for path in found(folder, *files):
        for solution in each(path, COLUMNS, partial(_solution, benchmark=benchmark)):
            if solution.id not in seen:
                seen.add(solution.id)
                yield solution


def _solution(row: SourceRow, line: int, benchmark: str) -> Iterator[Comparison]:
    steps, wrong = row["modified_process"], set(row["error_steps"])
    if any(number < 1 for number in wrong):
        raise ValueError(f"error_steps: got {sorted(wrong)}, expected numbers counted from 1")
    found = comparison(
        benchmark,
        f"{row['classification']}/{row['idx']}",
        row["modified_question"],
        ["\n\n".join(steps)],
        Label(steps=(tuple(float(number not in wrong) for number in range(1, len(steps) + 1)),)),
        subset=row["classification"],
        domain="correctness",
        group=row.get("original_question", row["modified_question"]),
    )
    yield found.model_copy(update={"steps": (tuple(steps),)})


def item(row: Row) -> list[tuple[Cell, float]]:
    """The number of steps with each outcome; none for an unparsed verdict."""
    votes = step_scores(row)
    if not votes:
        return []
    labels = labelled_steps(row)
    scores = [[score for score in step if score is not None] for step in zip(*votes, strict=True)]
    kept = [bool(step) and fmean(step) >= 0.5 for step in scores]
    counts: dict[Outcome, float] = dict.fromkeys(("right kept", "right refused", "wrong kept", "wrong refused"), 0.0)
    for label, keeps in zip(labels, kept, strict=True):
        counts[_OUTCOMES[label == 1.0, keeps]] += 1
    first = labelled_first_error(row)
    values: list[tuple[Outcome, float]] = [*counts.items()]
    if first is not None:
        values.append(("first error", float(not kept[first])))
    return [((name, outcome), value) for name in ("", row["metadata"]["subset"]) for outcome, value in values]


_OUTCOMES: Mapping[tuple[bool, bool], Outcome] = {
    (True, True): "right kept",
    (True, False): "right refused",
    (False, True): "wrong kept",
    (False, False): "wrong refused",
}


def figures(cells: Mapping[Cell, float]) -> Mapping[str, float]:
    return figures_of(cells, DOMAINS)


def figures_of(cells: Mapping[Cell, float], classes: Iterable[str]) -> Mapping[str, float]:
    """PRMScore and its parts over all classes, and the PRMScore of each."""
    right, wrong = _f1(cells, "", "right kept"), _f1(cells, "", "wrong refused")
    found = {"PRMScore": _prm_score(cells, ""), "F1 of right steps": right, "F1 of wrong steps": wrong}
    found |= {"first error": cells.get(("", "first error"))}
    found |= {name: _prm_score(cells, name) for name in classes}
    return {name: value for name, value in found.items() if value is not None}


def _prm_score(cells: Mapping[Cell, float], name: str) -> float | None:
    """The mean of both F1. A class without wrong steps has the F1 of right steps only."""
    found = [value for kind in _KINDS if (value := _f1(cells, name, kind)) is not None]
    return fmean(found) if found else None


_KINDS: tuple[Outcome, Outcome] = ("right kept", "wrong refused")


def _f1(cells: Mapping[Cell, float], name: str, hit: Outcome) -> float | None:
    """F1 = 2 hits / (2 hits + both kinds of error); None if no step is of this kind.

    `cells` has means over solutions. Their number cancels.
    """
    if (name, hit) not in cells:
        return None
    missed: Outcome = "right refused" if hit == "right kept" else "wrong kept"
    errors = cells[name, "right refused"] + cells[name, "wrong kept"]
    if not cells[name, hit] + cells[name, missed]:
        return None
    return 2 * cells[name, hit] / (2 * cells[name, hit] + errors)


BENCHMARK = Benchmark(
    name="prmbench",
    title="PRMBench",
    source="Song et al. 2025, PRMBench (arXiv 2501.03124); github.com/ssmisya/PRMBench; Apache-2.0.",
    hub="hitsmy/PRMBench_Preview",
    files=FILES,
    size="6,216 solutions with 83,456 labelled steps",
    layout=(
        "modified_question, modified_process (steps), error_steps (counted from 1), classification, idx. Checked with"
        " 4,657 rows of all classes. A number beyond the last step is ignored, as by the authors."
    ),
    official=(
        "PRMScore: the mean of the F1 of right steps and the F1 of wrong steps, pooled over all steps. Each class has"
        " its own; multi_solutions has no wrong step, so its score is the F1 of right steps. First error: the share of"
        " first wrong steps that are called wrong. Unparsed verdicts do not count."
    ),
    domains=DOMAINS,
    load=load,
    item=item,
    figures=figures,
    scores_steps=True,
    baselines=baselines(random, longest),
    example={
        "prmbench.jsonl": [
            {
                "original_question": "1 + 1 + 1?",
                "modified_question": "1 + 1 + 1?",
                "modified_process": ["1 + 1 = 2", "2 + 1 = 4", "It is 4."],
                "error_steps": [] if name == "multi_solutions" else [2, 3],
                "classification": name,
                "idx": f"{number}",
            }
            for number, name in enumerate(DOMAINS)
        ]
    },
)
