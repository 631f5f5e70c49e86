"""The result of a run: labelled rows, rejections, agreement and cost; and writing them.

result.rows                             # comparisons with labelled steps, which `fathom train process` reads
result.agreement                        # of every two sources, and of each with the labels of the file
write(result, Path("labels"))           # labels.jsonl, rejected.jsonl, manifest.json
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any

from fathom.data.reading import write_jsonl
from fathom.data.records import Comparison, Label
from fathom.labelers._agreement import Agreement, agreement
from fathom.labelers._labeler import Labeler, Labelled, Labels
from fathom.labelers._merging import OF_STEPS, with_merged
from fathom.labelers._rollouts import Cost
from fathom.results.provenance import write_json

GIVEN = "given"
"""The name of the source of labels that the file has."""
NO_LABEL = "no step has a label"


@dataclass(frozen=True)
class Result:
    labeler: Labeler
    labelled: tuple[Labelled, ...]
    cost: Cost = field(default_factory=Cost)
    name: str = ""
    """The labeler's name, which rows record."""
    merge: float = 0.0
    """The share of solutions of which `rows` has a copy with two steps merged (`_merging`)."""
    seed: int = 0
    """The seed of these copies."""

    @property
    def kept(self) -> list[Labelled]:
        return [each for each in self.labelled if _reason(each) is None]

    @property
    def rows(self) -> list[Comparison]:
        """One comparison per labelled solution, and the copies with merged steps.

        `label` has the new labels, `annotations` those of every source and of the file, and `metadata` has the
        labeler's name, the confidences, the estimated probabilities of success, and the verdicts of a formal check.
        """
        return list(with_merged((_row(each, self.name) for each in self.kept), self.merge, seed=self.seed))

    @property
    def rejections(self) -> list[dict[str, Any]]:
        """One row per solution without labels: its id, the reason, and details."""
        return [
            {"id": each.solution.comparison.id, "reason": reason, "detail": each.detail}
            for each in self.labelled
            if (reason := _reason(each)) is not None
        ]

    @cached_property
    def agreement(self) -> dict[str, Agreement]:
        """The agreement of every two sources, by "NAME, NAME", and of each with the given labels, by "NAME, given".

        Rejected solutions count too, if both sources label them.
        """
        names = list(dict.fromkeys(name for each in self.labelled for name in _sources(each)))
        ordered = [*(name for name in names if name != GIVEN), *(name for name in names if name == GIVEN)]
        found = {
            f"{one}, {other}": agreement(
                (sources[one], sources[other])
                for sources in map(_sources, self.labelled)
                if one in sources and other in sources
            )
            for one, other in combinations(ordered, 2)
        }
        return {name: each for name, each in found.items() if each.solutions}

    @property
    def steps(self) -> dict[str, int]:
        """The number of steps with a label of at least 0.5, with a lower one, and without one, in the rows."""
        labels = [label for each in self.kept for label in each.labels]
        return {
            "right": sum(label is not None and label >= 0.5 for label in labels),
            "wrong": sum(label is not None and label < 0.5 for label in labels),
            "unlabelled": labels.count(None),
        }

    @property
    def verdicts(self) -> dict[str, int]:
        """The number of steps with each verdict of a formal check, also in solutions without labels."""
        return dict(Counter(verdict for each in self.labelled for verdict in each.verdicts))

    def manifest(self) -> dict[str, Any]:
        """The counts, figures and costs of the run as plain JSON."""
        return {
            "labeler": {"name": self.name, "options": self.labeler.model_dump()},
            "solutions": {"labelled": len(self.kept), "rejected": dict(_reasons(self))},
            **({"merged": len(self.rows) - len(self.kept)} if self.merge else {}),
            "steps": self.steps,
            **({"verdicts": self.verdicts} if self.verdicts else {}),
            "agreement": {name: each.as_row() for name, each in self.agreement.items()},
            "cost": self.cost.as_row(),
        }


def _reason(labelled: Labelled) -> str | None:
    if labelled.rejected is None and all(label is None for label in labelled.labels):
        return NO_LABEL
    return labelled.rejected


def _reasons(result: Result) -> Counter[str]:
    return Counter(rejection["reason"] for rejection in result.rejections)


def _sources(labelled: Labelled) -> Mapping[str, Labels]:
    """The labels of each source, and of the file."""
    given = labelled.solution.given_labels
    return {**labelled.sources, **({GIVEN: given} if given is not None else {})}


def _row(labelled: Labelled, name: str) -> Comparison:
    solution = labelled.solution
    about = {"labeler": name}
    about |= {key: getattr(labelled, key) for key in OF_STEPS}
    annotations = {source: Label(steps=(labels,)) for source, labels in _sources(labelled).items()}
    return solution.comparison.model_copy(
        update={
            "label": Label(steps=(labelled.labels,)),
            "annotations": annotations or None,
            "metadata": {**solution.comparison.metadata, **{key: value for key, value in about.items() if value}},
        }
    )


# Writing --------------------------------------------------------------------------------------------------------------


def write(result: Result, out: Path, provenance: Mapping[str, Any] | None = None) -> None:
    """Write labels.jsonl, rejected.jsonl and manifest.json into the folder `out`."""
    write_jsonl(out / "labels.jsonl", result.rows)
    write_jsonl(out / "rejected.jsonl", result.rejections)
    write_json(out / "manifest.json", {**result.manifest(), **(provenance or {})})


def table(result: Result) -> str:
    """The counts, agreement and cost as text."""
    return "\n".join(_lines(result))


def _lines(result: Result) -> Iterator[str]:
    yield f"{'labelled':<42}{len(result.kept):>9,}"
    for reason, count in _reasons(result).most_common():
        yield f"rejected: {reason:<32}{count:>9,}"
    steps = result.steps
    yield f"steps: {steps['right']:,} right, {steps['wrong']:,} wrong, {steps['unlabelled']:,} without a label"
    if result.verdicts:
        yield "formal check: " + ", ".join(f"{count:,} {verdict}" for verdict, count in sorted(result.verdicts.items()))
    for name, each in result.agreement.items():
        yield f"same first error, {name}: {each.same_first_error} of {each.solutions:,} solutions"
    if result.cost.completions:
        answers = ", ".join(f"{count:,} {status}" for status, count in sorted(result.cost.statuses.items()))
        yield f"labels are made of {result.cost.completions:,} completions ({answers}): {result.cost.usage}"


def warning(result: Result) -> str | None:
    """If nothing was labelled, a message with the most common reason; otherwise None."""
    reasons = _reasons(result)
    if result.kept or not reasons:
        return None
    [(reason, count)] = reasons.most_common(1)
    return (
        f"no solution was labelled; the most common reason is {reason!r} ({count} of {reasons.total()} solutions): "
        "see rejected.jsonl"
    )
