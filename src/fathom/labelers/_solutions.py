"""Solutions: single responses with their steps, and the prompts that continue a prefix of their steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fathom.data.records import Comparison
from fathom.engines import ChatMessage
from fathom.errors import FathomError
from fathom.process import with_steps
from fathom.settings import Splitter

JOINT = "\n\n"
"""After each step of a solution whose text does not contain its steps."""


@dataclass(frozen=True)
class Solution:
    """One response with its steps. `comparison` has exactly this response."""

    comparison: Comparison

    @property
    def steps(self) -> tuple[str, ...]:
        assert self.comparison.steps is not None
        return self.comparison.steps[0]

    @property
    def text(self) -> str:
        return self.comparison.responses[0]

    @property
    def reference(self) -> str:
        """The reference answer. Raises FathomError if the problem has none."""
        return reference_of(self.comparison)

    @property
    def given_labels(self) -> tuple[float | None, ...] | None:
        """The labels that the source gives to the steps, for example those of people."""
        label = self.comparison.label
        return label.steps[0] if label is not None and label.steps is not None else None

    def prefix(self, count: int) -> str:
        """The text of the first `count` steps, up to where the next one begins; empty for 0."""
        if count in (0, len(self.steps)):
            return self.text if count else ""
        begins = _begins(self.text, self.steps)
        return self.text[: begins[count]] if begins else "".join(f"{step}{JOINT}" for step in self.steps[:count])


def _begins(text: str, steps: Sequence[str]) -> list[int] | None:
    """Where each step begins in the text; None unless they all follow each other in it."""
    begins, end = [], 0
    for step in steps:
        begin = text.find(step, end)
        if begin < 0:
            return None
        begins.append(begin)
        end = begin + len(step)
    return begins


def reference_of(comparison: Comparison) -> str:
    """The reference answer. Raises FathomError if the problem has none."""
    if comparison.reference is None:
        raise FathomError(
            f"{comparison.id!r} has no reference answer, which decides whether a rollout is right; add a column "
            "`reference`, or name yours with --map reference=COLUMN"
        )
    return comparison.reference


def solutions(comparison: Comparison, splitter: Splitter) -> list[Solution]:
    """One solution per response, with the source's steps or else those of the splitter, and its labels if any."""
    split = with_steps(comparison, splitter)
    label = split.label
    alone = []
    for place in range(len(split.responses)):
        one = split.subset((place,)) if len(split.responses) > 1 else split
        kept = label.permuted([place]) if label is not None and label.steps is not None else None
        alone.append(Solution(one.model_copy(update={"label": kept})))
    return alone


def messages_of(comparison: Comparison, instruction: str) -> tuple[ChatMessage, ...]:
    """The problem as chat messages, with the instruction after its last turn."""
    if isinstance(comparison.prompt, str):
        return ({"role": "user", "content": _instructed(comparison.prompt, instruction)},)
    turns = [ChatMessage(role=turn.role, content=turn.content) for turn in comparison.prompt]
    return (*turns[:-1], {**turns[-1], "content": _instructed(turns[-1]["content"], instruction)})


def _instructed(text: str, instruction: str) -> str:
    return f"{text}\n\n{instruction}" if instruction else text
