"""The SPCT judge of DeepSeek-GRM: writes principles and a critique, then scores n responses in one prompt.

Method: "Inference-Time Scaling for Generalist Reward Modeling" (arXiv 2504.02495), section 3 and appendix G.

    judge = SPCTJudge(engine=engine, sampling=Sampling(temperature=0.5))
    verdict = await Repeated(Shuffled(judge), 8)(comparison)       # sums of 8 scores, in 8 orders of the responses

The weights of the principles only guide the model; they are not used in any computation. The wording of the prompts is
ours.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from fathom import prompts
from fathom.data.records import Comparison
from fathom.engines import ChatMessage
from fathom.judges import Arity, Judge
from fathom.judges._lines import labelled_values, text_after, unanimous
from fathom.judges._rewards import required_label, unique_best_reward
from fathom.judges._verdict import Vote, unique_argmax
from fathom.rationale import MAX_UNITS, Rationale, Status, Unit
from fathom.rationale.transcript.document import Document
from fathom.rationale.transcript.rivals import Claim

SCORES = range(1, 11)
BINARY = range(2)
_PRINCIPLE = re.compile(r"^Principle \d+: *(\S.*)$(?:\n^Definition: *(.*)$)?", re.MULTILINE)
_BOXED = re.compile(
    r"[\s*_`$(\[\\]*\\boxed\s*\{([^{}]*)\}[\s*_`$})\].\\]*"
    # Models repeat the prompt's own words after the box, also those of prompts of earlier versions.
    r"(?:, one number (?:per response, in order|a response, in their order)\.?)?"
)


@dataclass(frozen=True, kw_only=True)
class SPCTJudge(Judge):
    """Scores any number of responses from 1 to 10; scores are summed over votes.

    `trained` selects the short prompt for a model trained by SPCT. With `binary`, a single response is scored 0 or 1,
    as in training on questions with verifiable answers; several responses are still scored from 1 to 10.
    """

    arity: ClassVar[Arity] = "listwise"
    trained: bool = False
    binary: bool = False

    @property
    def threshold(self) -> float | None:  # type: ignore[override]
        return 0.5 if self.binary else None

    def ask(self, comparison: Comparison) -> list[ChatMessage]:
        text = prompts.render(
            "spct/trained" if self.trained else "spct/instruct",
            instruction=comparison.prompt_text,
            responses=comparison.responses,
            reference=comparison.reference,
            binary=self._binary(comparison),
        )
        return [{"role": "user", "content": text}]

    def read(self, text: str, comparison: Comparison, *, finished: bool = True) -> Vote:
        """Only the box on the `Scores:` line counts, because a critique may contain tentative scores and boxed answers.

        No such line is missing. Anything but a box with one score on the scale per response is invalid. Lines that
        differ, and a box after the last line, are contradictory.
        """
        document = Document.of(text)
        if document is None:
            return Vote(Status.TRUNCATED)
        rationale = _principles(document.text)
        lines = labelled_values(document, "scores")
        scale = BINARY if self._binary(comparison) else SCORES
        count = len(comparison.responses)
        scores = unanimous(
            document,
            lines,
            lambda value: _scores(value, scale, count),
            lambda value: Claim("place", unique_argmax(value), count) if count > 1 else Claim("score", value[0]),
            finished=finished,
        )
        if not isinstance(scores, Status) and "\\boxed" in text_after(document, lines):
            scores = Status.CONTRADICTORY
        if isinstance(scores, Status):
            return Vote(scores, rationale=rationale)
        return Vote(Status.OK, winner=unique_argmax(scores), scores=scores, rationale=rationale)

    def vote_reward(self, vote: Vote, comparison: Comparison) -> float:
        """+1 or -1 by equation 11 of the paper (`unique_best_reward`)."""
        label = required_label(comparison)
        if len(comparison.responses) == 1 and not (self.binary and label.scores):
            raise ValueError("expected a label that scores the single response 0 or 1, and a judge with binary=true")
        return unique_best_reward(vote, label)

    def _binary(self, comparison: Comparison) -> bool:
        return self.binary and len(comparison.responses) == 1


def _principles(text: str) -> Rationale:
    """The stated principles. The critique covers all of them at once, so it is not parsed and stays in the text."""
    units = [Unit(name, definition) for name, definition in _PRINCIPLE.findall(text)[:MAX_UNITS]]
    return Rationale(tuple(units))


def _scores(line: str, scale: range, count: int) -> tuple[float, ...] | None:
    """The comma-separated scores in the box; None unless there are `count` and all are integers on the scale."""
    boxed = _BOXED.fullmatch(line)
    known = {str(score): float(score) for score in scale}
    scores = [known.get(entry.strip()) for entry in boxed[1].split(",")] if boxed else []
    valid = tuple(score for score in scores if score is not None)
    return valid if len(valid) == len(scores) == count else None


JUDGE = SPCTJudge
