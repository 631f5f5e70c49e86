"""A generative verifier: the score is the probability of the token Yes relative to No.

Methods: "Generative Verifiers" (arXiv 2408.15240); normalization by both words: "Multi-RM" (arXiv 2510.00492).

    vote = YesNoJudge(engine=engine).read_completion(completion, comparison)
    vote.scores                     # P(Yes) / (P(Yes) + P(No))
    vote.residual_probability       # the probability of all other words

The engine must provide log-probabilities. `probabilities` are the masses of the two words, and `scores` are the masses
normalized to sum to 1. With `pairs` the question is whether the first of two responses is better; `Swapped(judge)` asks
in both orders, as `fathom judge` does.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Annotated, ClassVar

from pydantic import Field

from fathom.data.records import Comparison
from fathom.engines import Completion, Sampling
from fathom.judges import Arity
from fathom.judges._probabilities import Choices, choice_probabilities_at
from fathom.judges._rewards import required_label, unique_best_reward
from fathom.judges._templated import TemplatedJudge, score_vote
from fathom.judges._verdict import Rule, Vote
from fathom.judges._words import spellings, word
from fathom.rationale import Status
from fathom.rationale.transcript.thoughts import split_reasoning

WORDS = {"yes": 1.0, "no": 0.0}
SPELLINGS = spellings({"yes": 0, "no": 1})
"""Spellings of yes add to the first of two masses, spellings of no to the second."""
TOP = 20
"""Top tokens to request: the maximum that servers return, so that little mass is missed."""


@dataclass(frozen=True, kw_only=True)
class YesNoJudge(TemplatedJudge):
    """Scores each response alone or, with `pairs`, judges pairs.

    The prompt does not show the reference answer: in both papers the verifier sees only the question and the solution.
    A vote with less than `least` of the probability on the two words is invalid, because the model then answers
    something else.
    """

    choices: ClassVar[Choices] = SPELLINGS
    threshold: ClassVar[float | None] = 0.5
    sampling: Sampling = field(default_factory=lambda: Sampling(max_tokens=1))
    pairs: bool = False
    trained: bool = False
    least: Annotated[float, Field(ge=0, le=1)] = 0.5

    def __post_init__(self) -> None:
        if not self.sampling.top_logprobs:
            object.__setattr__(self, "sampling", replace(self.sampling, top_logprobs=TOP))

    @property
    def arity(self) -> Arity:  # type: ignore[override]
        return "pairwise" if self.pairs else "pointwise"

    @property
    def rule(self) -> Rule:
        return Rule(aggregate="mean")

    @property
    def template_name(self) -> str:
        return f"yes_no/{'pair' if self.pairs else 'single'}{'_trained' if self.trained else ''}"

    def read(self, text: str, comparison: Comparison, *, finished: bool = True) -> Vote:
        """The verdict of the word itself, without its probability. Training rewards this verdict."""
        yes = word(text, WORDS, finished=finished)
        if isinstance(yes, Status):
            return Vote(yes)
        return Vote(Status.OK, winner=int(yes == 0)) if self.pairs else score_vote(yes)

    def vote_reward(self, vote: Vote, comparison: Comparison) -> float:
        """+1 if the verdict agrees with the label, else -1.

        For a single response, a score of at least 0.5 is Yes. A pair with equal scores is a tie, which is wrong.
        """
        if vote.scores is not None and len(vote.scores) == 1:
            vote = replace(vote, scores=(float(vote.scores[0] >= 0.5),))
        return unique_best_reward(vote, required_label(comparison))

    def read_completion(self, completion: Completion, comparison: Comparison) -> Vote:
        """The verdict of the text or, if there is none, of the masses at its first word, whichever word was sampled.

        This covers answers with more words ("Yes, it is good.") and samples of another word although Yes and No were
        likelier.
        """
        vote, place = super().read_completion(completion, comparison), _first_word(completion.text)
        if vote.status not in (Status.MISSING, Status.TRUNCATED) or place is None:
            return vote
        tokens, stops = completion.logprobs or (), self.sampling.stop
        masses = choice_probabilities_at(tokens, completion.text, place, self.choices, stops=stops)
        if masses is None:
            return vote
        weighed = self._weighed(replace(vote, status=Status.OK), masses)
        unread = replace(vote, error=weighed.error, residual_probability=weighed.residual_probability)
        return weighed if weighed.status is Status.OK else unread

    def _with_probabilities(self, vote: Vote, completion: Completion, read: Callable[[str], Vote], count: int) -> Vote:
        """The vote from the masses of both words; invalid if they are unknown or too small to mean anything."""
        known = super()._with_probabilities(vote, completion, read, len(WORDS))
        if known.probabilities is None:
            return Vote(Status.INVALID, text=vote.text, error=known.error)
        return self._weighed(vote, known.probabilities)

    def _weighed(self, vote: Vote, masses: tuple[float, ...]) -> Vote:
        yes, no = masses
        elsewhere = max(0.0, 1 - yes - no)
        if yes + no < self.least or not yes + no:
            error = f"Yes and No have {yes + no:.3f} of the probability; expected more than 0 and least={self.least}"
            return Vote(Status.INVALID, text=vote.text, error=error, residual_probability=elsewhere)
        share = yes / (yes + no)
        if not self.pairs:
            return replace(vote, scores=(share,), probabilities=(yes,), residual_probability=elsewhere)
        winner = None if yes == no else int(no > yes)
        return replace(
            vote, winner=winner, scores=(share, 1 - share), probabilities=(yes, no), residual_probability=elsewhere
        )


def _first_word(text: str) -> int | None:
    """The position of the first word after the reasoning; None if the reasoning never ends."""
    rest = re.search(r"\w.*", split_reasoning(text)[1] or "", re.DOTALL)
    # If the reasoning is in the middle of the answer, the answer is no suffix of the text and has no such position.
    return len(text) - len(rest[0]) if rest and text.endswith(rest[0]) else None


JUDGE = YesNoJudge
