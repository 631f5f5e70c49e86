"""The cloze of `slot`: the text that the masked language model reads, the words that fill its slot, and their meaning.

cloze = Cloze(words=("bad", "good"))
cloze.request(comparison, "It answers both questions.")        # a SlotRequest
cloze.probabilities(logprobs, blank)                           # of each word, calibrated
strip_verdicts("It is good: it adds up.", cloze.words)         # ("It is: it adds up.", 1)
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import exp, log
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from fathom import prompts
from fathom.data.records import Comparison
from fathom.engines import SlotRequest

SINGLE, PAIR = ("bad", "good"), ("first", "second")
VERDICTS = (
    *(
        "good",
        "bad",
        "better",
        "worse",
        "best",
        "worst",
        "great",
        "poor",
        "excellent",
        "terrible",
        "superior",
        "inferior",
    ),
    *(
        "correct",
        "correctly",
        "incorrect",
        "incorrectly",
        "right",
        "wrong",
        "rightly",
        "wrongly",
        "true",
        "false",
        "valid",
    ),
    *("invalid", "preferable", "prefer", "preferred", "favor", "favour", "winner", "wins", "loses", "yes", "no"),
)
"""Words that state a verdict; those of the slot are added."""


class Cloze(BaseModel):
    """What fills the slot. `fathom.json` of a trained model holds these fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pairs: bool = False
    """Whether the slot names the better of two responses; otherwise it rates one."""
    words: tuple[str, ...] = ()
    """From the worst rating to the best, or (pairs) for the first and the second response."""
    values: tuple[float, ...] = Field(default=())
    """The score of each rating; by default from 0 to 1 at equal distances."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        words = self.words or (PAIR if self.pairs else SINGLE)
        count = len(words)
        if count < 2 or (self.pairs and count != 2):
            raise ValueError(f"words {', '.join(words)}: expected {'two' if self.pairs else 'two or more'}")
        values = self.values or tuple(place / (count - 1) for place in range(count))
        if len(values) != count or (self.pairs and self.values):
            raise ValueError(f"{len(values)} values for {count} words; expected one per word, and none for pairs")
        object.__setattr__(self, "words", words)
        object.__setattr__(self, "values", () if self.pairs else values)
        return self

    def request(self, comparison: Comparison, explanation: str) -> SlotRequest:
        """The text up to the slot, with the responses in the order of the comparison."""
        return self._rendered(comparison.prompt_text, comparison.responses, explanation)

    def blank(self, comparison: Comparison) -> SlotRequest:
        """The same without responses and explanation: what the words are worth before anything is known."""
        return self._rendered(comparison.prompt_text, ("",) * len(comparison.responses), "")

    def alone(self, comparison: Comparison, explanation: str) -> SlotRequest:
        """The explanation without what it explains, to measure how much of the verdict it gives away."""
        return self._rendered("", ("",) * len(comparison.responses), explanation)

    def _rendered(self, prompt: str, responses: Sequence[str], explanation: str) -> SlotRequest:
        name = "slot/cloze_pair" if self.pairs else "slot/cloze"
        text = prompts.render(name, instruction=prompt, responses=tuple(responses), explanation=explanation)
        return SlotRequest((), text, self.words)

    def score(self, probabilities: Sequence[float]) -> float:
        """The expected value of the rating."""
        return sum(value * share for value, share in zip(self.values, probabilities, strict=True))


def probabilities(logprobs: Sequence[float], blank: Sequence[float] | None = None) -> tuple[float, ...]:
    """The probability of each word among the words of the slot.

    With `blank`, the log-probabilities without content, each word is weighed by its probability relative to that:
    contextual calibration (arXiv 2102.09690), which removes the model's liking for a word. Not affected by a constant
    added to all log-probabilities.
    """
    logits = [value - (blank[place] if blank else 0.0) for place, value in enumerate(logprobs)]
    highest = max(logits)
    weights = [exp(value - highest) for value in logits]
    return tuple(weight / sum(weights) for weight in weights)


def log_odds(probabilities: Sequence[float]) -> float:
    """log P(last word) - log P(first word): of a good against a bad rating. Probabilities of 0 count as 1e-300."""
    return log(max(probabilities[-1], 1e-300)) - log(max(probabilities[0], 1e-300))


def strip_verdicts(text: str, words: Sequence[str]) -> tuple[str, int]:
    """The text without words that state a verdict, and how many there were.

    What remains can still give the verdict away, by a negation or in other words; `Cloze.alone` measures it.
    """
    listed = sorted({*VERDICTS, *(word.lower() for word in words)}, key=len, reverse=True)
    found = re.compile(rf"\b(?:{'|'.join(map(re.escape, listed))})\b", re.IGNORECASE)
    stripped, count = found.subn("", text)
    stripped = re.sub(r"[ \t]+([.,;:!?])", r"\1", re.sub(r"[ \t]{2,}", " ", stripped))
    return (stripped.strip() if count else text), count
