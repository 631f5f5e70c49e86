"""Yes or No by one token: how probable a model makes Yes over No, as generative verifiers are read.

Methods: "Generative Verifiers" (arXiv 2408.15240); the share of both, "Multi-RM" (arXiv 2510.00492).

    vote = YesNoJudge(engine=engine).read_completion(completion, comparison)
    vote.scores, vote.missing_mass                 # P(Yes) / (P(Yes) + P(No)); the probability that went to neither

It needs an engine with log-probabilities. `probabilities` holds the masses as they are, `scores` shares of what the two
words have together. With `pairs` the question is whether the first of two responses is better; `Swapped(judge)` asks in
both orders, as `fathom judge` does.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Annotated, ClassVar

from pydantic import Field

from fathom.data.records import Comparison
from fathom.engines import Completion, Sampling
from fathom.judges import Pattern
from fathom.judges._probabilities import Choices, choice_probabilities_at
from fathom.judges._rewards import unique_best_reward
from fathom.judges._templated import TemplatedJudge, score_vote
from fathom.judges._verdict import Rule, Vote
from fathom.judges._words import spellings, word
from fathom.rationale import Status
from fathom.rationale.transcript.thoughts import split_reasoning

WORDS = {"yes": 1.0, "no": 0.0}
SPELLINGS = spellings({"yes": 0, "no": 1})
"""`yes` and its like are the first of two masses, `no` and its like the second."""
TOP = 20
"""Of the most likely tokens: as many as servers give, so that little mass is missing."""


@dataclass(frozen=True, kw_only=True)
class YesNoJudge(TemplatedJudge):
    """Scores responses, each alone, or judges pairs with `pairs`.

    The reference answer is not shown: in both papers a verifier has the question and the solution alone. A vote with
    less than `least` of the probability on the two words is invalid: the model answers something else.
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
    def pattern(self) -> Pattern:  # type: ignore[override]
        return "pairwise" if self.pairs else "pointwise"

    @property
    def rule(self) -> Rule:
        return Rule(aggregate="mean")

    @property
    def template_name(self) -> str:
        return f"yes_no/{'pair' if self.pairs else 'single'}{'_trained' if self.trained else ''}"

    def read(self, text: str, comparison: Comparison, *, finished: bool = True) -> Vote:
        """What the word says without its probability, which is what training is paid for."""
        yes = word(text, WORDS, finished=finished)
        if isinstance(yes, Status):
            return Vote(yes)
        return Vote(Status.OK, winner=int(yes == 0)) if self.pairs else score_vote(yes)

    def vote_reward(self, vote: Vote, comparison: Comparison) -> float:
        """+1 where the word is the label's, else -1. A share of one half or more is Yes; a pair with equal shares is a
        tie, which is wrong.
        """
        if comparison.label is None:
            raise ValueError(f"comparison {comparison.id!r} has no label to reward a verdict by")
        if vote.scores is not None and len(vote.scores) == 1:
            vote = replace(vote, scores=(float(vote.scores[0] >= 0.5),))
        return unique_best_reward(vote, comparison.label)

    def read_completion(self, completion: Completion, comparison: Comparison) -> Vote:
        """What the text says; where that is no verdict, the masses in the place of its first word, whichever was drawn.

        So `Yes, it is good.` is read, and a `Well` that was drawn where both words were likelier.
        """
        vote, place = super().read_completion(completion, comparison), _first_word(completion.text)
        if vote.status not in (Status.MISSING, Status.TRUNCATED) or place is None:
            return vote
        tokens, stops = completion.logprobs or (), self.sampling.stop
        masses = choice_probabilities_at(tokens, completion.text, place, self.choices, stops=stops)
        if masses is None:
            return vote
        told = self._weighed(replace(vote, status=Status.OK), masses)
        unread = replace(vote, error=told.error, missing_mass=told.missing_mass)
        return told if told.status is Status.OK else unread

    def _with_probabilities(self, vote: Vote, completion: Completion, read: Callable[[str], Vote], count: int) -> Vote:
        """The vote by both masses; invalid where they cannot be told, or are too small to mean anything."""
        told = super()._with_probabilities(vote, completion, read, len(WORDS))
        if told.probabilities is None:
            return Vote(Status.INVALID, text=vote.text, error=told.error)
        return self._weighed(vote, told.probabilities)

    def _weighed(self, vote: Vote, masses: tuple[float, ...]) -> Vote:
        yes, no = masses
        elsewhere = max(0.0, 1 - yes - no)
        if yes + no < self.least or not yes + no:
            said = f"Yes and No have {yes + no:.3f} of the probability; a verdict takes some, and least={self.least}"
            return Vote(Status.INVALID, text=vote.text, error=said, missing_mass=elsewhere)
        share = yes / (yes + no)
        if not self.pairs:
            return replace(vote, scores=(share,), probabilities=(yes,), missing_mass=elsewhere)
        winner = None if yes == no else int(no > yes)
        return replace(vote, winner=winner, scores=(share, 1 - share), probabilities=(yes, no), missing_mass=elsewhere)


def _first_word(text: str) -> int | None:
    """Where the first word of an answer begins, after the thought; None where the thought never ends."""
    found = re.search(r"\w.*", split_reasoning(text)[1] or "", re.DOTALL)
    # A thought may also stand amid an answer, which has no one place then.
    return len(text) - len(found[0]) if found and text.endswith(found[0]) else None


JUDGE = YesNoJudge
