"""Implicit process reward: the log-ratio of two language models, summed over the tokens of each step.

    fathom judge solutions.jsonl --judge implicit --model runs/tuned --judge-option reference=path/to/base --out v.jsonl

Method: "Free Process Rewards without Process Labels" (arXiv 2412.01981, section 3; github.com/PRIME-RL/ImplicitPRM). A
model pi is trained on labels of whole responses, starting from the reference, with the response's reward defined as

    r(y) = beta log pi(y | x) / pi_ref(y | x)

Then q_t, the same sum over the tokens up to step t, is beta log E[exp(r(y) / beta)] over continuations y by the
reference, and the reward of step t is q_t - q_{t-1}. So the rewards of all steps sum to r(y), except for the end token,
which belongs to no step and is not scored.

    rewards = step_rewards(policy, reference, steps, beta=0.05)         # nats times beta, one per step

A vote has the logistic function of these rewards as step scores, so 0.5 means that both models find a step equally
likely. As in the paper, the score of a solution is that of its worst step. On other texts than those of the reference,
a log-ratio measures mostly how unusual the text is. If the reference alone finds wrong steps unlikely, `--judge
forward` does as well: compare with it.

Both models must have the same tokenizer. The reference runs in this process, and its readings are kept in the journal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import exp, isfinite
from typing import Annotated, ClassVar

from pydantic import Field

from fathom.data.records import Comparison
from fathom.data.steps import parts_of
from fathom.engines import Answer, Capability, Engine, Likelihood, LikelihoodRequest
from fathom.errors import FathomError
from fathom.judges import Arity, EngineRewardModel, Rule, Vote, scored_by_steps, sequential_votes, without_text
from fathom.rationale import Status
from fathom.rewards import conversation
from fathom.rewards._beside import opened_beside
from fathom.settings import Splitter

BETA = 0.05
"""The coefficient of the paper (section 4.1)."""


@dataclass(frozen=True, kw_only=True)
class ImplicitReward(EngineRewardModel):
    """Scores the steps of each solution alone.

    An empty response, models with different tokens, and a ratio that is not finite give a vote without a score.
    """

    reference: str = ""
    """The model that training started from: a folder, or a name of a model hub."""
    beta: Annotated[float, Field(gt=0, allow_inf_nan=False)] = BETA
    """The coefficient in training. It scales the rewards, and does not change their order."""
    split: Splitter = "paragraphs"
    """How to split responses without steps."""
    arity: ClassVar[Arity] = "pointwise"
    threshold: ClassVar[float | None] = 0.5
    scores_steps: ClassVar[bool] = True

    @property
    def rule(self) -> Rule:
        return Rule(aggregate="mean", steps="min")

    @property
    def needs(self) -> frozenset[Capability]:
        return frozenset({"likelihood"})

    @cached_property
    def reference_engine(self) -> Engine:
        """The reference, with the journal of this model's own engine."""
        if not self.reference:
            raise FathomError(
                "the judge 'implicit' compares two models; give the one that training started from by "
                "--judge-option reference=MODEL"
            )
        return opened_beside(self.engine, self.reference)

    def steps(self, comparison: Comparison) -> tuple[str, ...]:
        """The steps of a single response as parts of one text: each with the white space after it."""
        return parts_of(comparison, self.split)

    def requests(self, comparison: Comparison, sample: int = 0) -> tuple[LikelihoodRequest, ...]:
        """The reading of both models."""
        return (LikelihoodRequest(conversation(comparison), "".join(self.steps(comparison))),)

    def decided(self, comparison: Comparison) -> Vote | None:
        return without_text("".join(self.steps(comparison)))

    async def votes(self, comparison: Comparison, sample: int = 0) -> list[Vote]:
        reference = self.reference_engine

        async def cast(engine: Engine, shown: Comparison) -> Vote:
            (request,) = self.requests(shown)
            return self.read_answers([await engine.likelihood(request), await reference.likelihood(request)], shown)

        return await sequential_votes(self, comparison, cast)

    def read_answers(self, answers: Sequence[Answer], comparison: Comparison) -> Vote:
        """The vote from the readings of the model and of its reference. Raises TypeError for other answers."""
        readings = [each for each in answers if isinstance(each, Likelihood)]
        if len(readings) != 2:
            raise TypeError(
                f"the judge 'implicit' reads two likelihoods; got {len(readings)} of {len(answers)} answers"
            )
        policy, reference = readings
        usage = policy.usage + reference.usage
        try:
            rewards = step_rewards(policy, reference, self.steps(comparison), beta=self.beta)
        except ValueError as error:
            return Vote(Status.INVALID, usage=usage, error=str(error))
        if not all(map(isfinite, rewards)):
            return Vote(Status.INVALID, usage=usage, error=f"the rewards of the steps are {list(rewards)}")
        text = "\n".join(f"step {place}: {reward:+.4f}" for place, reward in enumerate(rewards, 1))
        vote = Vote(Status.OK, order=(0,), step_scores=(tuple(map(_logistic, rewards)),), usage=usage, text=text)
        return scored_by_steps(vote, self.rule.steps)


def step_rewards(
    policy: Likelihood, reference: Likelihood, steps: Sequence[str], *, beta: float = 1.0
) -> tuple[float, ...]:
    """beta times the log-ratio of each step's tokens. Their sum is beta times that of the whole text.

    `steps` concatenate to the text that both readings score. A token belongs to the step of its first letter; white
    space before a step belongs to the step before it. Raises ValueError if the two models have different tokens, and if
    the tokens do not spell the text.
    """
    if policy.tokens != reference.tokens:
        raise ValueError("the model and its reference split the text into different tokens, so they have no log-ratio")
    rewards = [0.0] * len(steps)
    places = token_steps(policy.tokens, steps)
    for place, ours, theirs in zip(places, policy.logprobs, reference.logprobs, strict=True):
        rewards[place] += beta * (ours - theirs)
    return tuple(rewards)


def token_steps(tokens: Sequence[str], steps: Sequence[str]) -> list[int]:
    """The index of the step to which each token belongs. Raises ValueError if the tokens do not spell the steps.

    White space is ignored, because some tokenizers drop it from a token that is decoded alone. A token with a part of a
    character decodes to U+FFFD; the letters up to the next whole token are then skipped.
    """
    letters = [(letter, step) for step, text in enumerate(steps) for letter in text if not letter.isspace()]
    at, partial, places = 0, False, []
    for token in tokens:
        written = "".join(letter for letter in token if not letter.isspace())
        whole = written.strip(PARTIAL)
        if whole:
            at = _found(letters, whole, range(at, at + MAX_SKIPPED if partial or whole != written else at + 1))
        places.append(letters[min(at, len(letters) - 1) if written else max(at - 1, 0)][1])
        at += len(whole)
        partial = written.endswith(PARTIAL) if written else partial
    return places


PARTIAL = "\ufffd"
MAX_SKIPPED = 64
"""How many letters may be skipped after tokens with parts of characters."""


def _found(letters: Sequence[tuple[str, int]], word: str, places: range) -> int:
    """The first of `places` at which the letters spell the word."""
    for at in places:
        if word == "".join(letter for letter, _ in letters[at : at + len(word)]):
            return at
    raise ValueError(f"the tokens do not spell the text: {word!r} is not where it was expected")


def _logistic(value: float) -> float:
    return 1 / (1 + exp(-value)) if value >= 0 else exp(value) / (1 + exp(value))


JUDGE = ImplicitReward
