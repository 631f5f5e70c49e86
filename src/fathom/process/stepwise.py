"""Comparisons with steps: splitting their responses, and writing them as TRL's stepwise supervision.

(row,) = stepwise_rows(comparison)      # {"prompt": "2 + 2?", "completions": ["2 + 2 = 4"], "labels": [1.0]}
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import TypedDict

from fathom.data.records import Comparison
from fathom.data.steps import split
from fathom.errors import FathomError
from fathom.settings import Splitter


class StepwiseRow(TypedDict):
    """A solution in TRL's layout for stepwise supervision."""

    prompt: str
    completions: list[str]
    """The steps."""
    labels: Sequence[float | None]
    """One label per step: a number from 0 to 1, a truth value, or None for a step without a label."""


def with_steps(comparison: Comparison, splitter: Splitter) -> Comparison:
    """The comparison with steps: unchanged if it has steps, otherwise with its responses split.

    Split steps include the white space after them, so they concatenate to the response.
    """
    if comparison.steps is not None:
        return comparison
    return comparison.model_copy(
        update={"steps": tuple(split(response, splitter) for response in comparison.responses)}
    )


def stepwise_rows(comparison: Comparison, *, threshold: float | None = None) -> list[StepwiseRow]:
    """One row per response that has a labelled step.

    Labels are numbers from 0 to 1, or None. TRL's own trainer cannot use these: it truncates 0.9 to 0, and has no
    unlabelled steps. With a threshold, a label is true if it is at least the threshold, and a solution ends before its
    first unlabelled step. Raises FathomError for a comparison without labelled steps.
    """
    label = comparison.label
    if comparison.steps is None or label is None or label.steps is None:
        raise FathomError(
            f"comparison {comparison.id!r} has no labelled steps, which TRL's layout needs; label them with fathom "
            "label, or write Fathom's rows (--layout native)"
        )
    kept = [_kept(labels, threshold) for labels in label.steps]
    return [
        {"prompt": comparison.prompt_text, "completions": list(steps[: len(labels)]), "labels": labels}
        for steps, labels in zip(comparison.steps, kept, strict=True)
        if any(label is not None for label in labels)
    ]


def _kept(labels: Sequence[float | None], threshold: float | None) -> list[float | None]:
    if threshold is None:
        return list(labels)
    return [label >= threshold for label in takewhile(lambda label: label is not None, labels) if label is not None]
