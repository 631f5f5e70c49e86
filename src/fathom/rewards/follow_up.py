"""Follow-up likelihood: log-probability of praise minus that of complaints as the user's next turn, by the model.

Method: "Aligning Language Models Using Follow-up Likelihood as Reward Signal" (FLR, arXiv 2409.13948;
github.com/e0397123/FLR). The aspects are the paper's, the wording of the follow-ups (follow_up.yaml) is ours.

    verdict = await FollowUpReward(engine=engine)(comparison)
    verdict.scores                          # nats per token: praise minus complaint, averaged over aspects
    verdict.votes[0].per_response[0].text   # one line per aspect

For each aspect, the score is the mean of (1/|f|) sum_t log p(f_t | x, y, f_<t) over the positive follow-ups f, minus
the same over the negative ones. A follow-up is tokenized separately; it follows the end of the response and the
template's header of a user turn. The end of the user turn is not scored. The difference is the code length of no text,
so votes state nats per token and no bits per byte.

Some follow-ups are likely after any response. `prior="neutral"` subtracts the score that `NEUTRAL` has in place of the
response, so that scores of different prompts can be compared. For the responses to one prompt this is a constant: it
does not change their ranking, and needs as many readings again.

The released script (run_llama3.py) computes something else, `published_script_score`; no judge uses it.

It is blind to qualities on which the model does not expect a user to comment. Models trained on polite data give praise
a high probability after any response, and users in chat data rarely comment, so all follow-ups are improbable and their
differences small.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from statistics import fmean
from typing import Annotated, Literal

import yaml
from pydantic import Field

from fathom.data.records import Comparison
from fathom.engines import ChatMessage, Likelihood, LikelihoodRequest
from fathom.rewards import conversation
from fathom.rewards._likelihood import LikelihoodReward

Aspect = Literal["understanding", "relevance", "correctness", "engagingness", "informativeness", "following"]
ASPECTS: tuple[Aspect, ...] = (
    "understanding",
    "relevance",
    "correctness",
    "engagingness",
    "informativeness",
    "following",
)
NEUTRAL = "..."
"""Stands for a missing response. Empty turns are rare in training data, and some templates refuse them."""


@cache
def follow_ups() -> Mapping[str, Mapping[str, Sequence[str]]]:
    """The texts by aspect, `positive` and `negative`, from follow_up.yaml."""
    texts = resources.files(__package__).joinpath("follow_up.yaml").read_text(encoding="utf-8")
    loaded: Mapping[str, Mapping[str, Sequence[str]]] = yaml.safe_load(texts)
    return loaded


@dataclass(frozen=True, kw_only=True)
class FollowUpReward(LikelihoodReward):
    """Scores log-odds of praise against complaint, averaged over `aspects`, each with equal weight."""

    aspects: Annotated[tuple[Aspect, ...], Field(min_length=1)] = ASPECTS
    prior: Literal["none", "neutral"] = "none"

    def requests(self, comparison: Comparison, sample: int = 0) -> tuple[LikelihoodRequest, ...]:
        """The follow-ups of all aspects after the response; with a prior, then the same after the neutral one."""
        responses = [*comparison.responses, *([NEUTRAL] if self.prior == "neutral" else [])]
        dialogues = [(*conversation(comparison), _assistant(response)) for response in responses]
        return tuple(
            LikelihoodRequest(messages, text, role="user")
            for messages in dialogues
            for aspect in self.aspects
            for text in _texts(aspect)
        )

    def score(self, readings: Sequence[Likelihood]) -> float:
        return fmean(self.by_aspect(readings).values())

    def by_aspect(self, readings: Sequence[Likelihood]) -> dict[Aspect, float]:
        """Praise minus complaint for each aspect, in nats per token, with the prior subtracted if there is one."""
        count = sum(len(_texts(aspect)) for aspect in self.aspects)
        contrasts = dict(zip(self.aspects, self._contrasts(readings[:count]), strict=True))
        if self.prior == "none":
            return contrasts
        priors = self._contrasts(readings[count:])
        return {aspect: contrasts[aspect] - prior for aspect, prior in zip(self.aspects, priors, strict=True)}

    def _contrasts(self, readings: Sequence[Likelihood]) -> list[float]:
        """For each aspect, the mean over its positive follow-ups minus the mean over its negative ones."""
        means = iter([reading.mean for reading in readings])
        return [
            sum(sign * fmean(next(means) for _ in texts) for sign, texts in _by_sign(aspect)) for aspect in self.aspects
        ]

    def describe(self, readings: Sequence[Likelihood], comparison: Comparison) -> str:
        lines = (f"{aspect} {value:+.4f} nats a token" for aspect, value in self.by_aspect(readings).items())
        return "\n".join(lines)


def _assistant(response: str) -> ChatMessage:
    return {"role": "assistant", "content": response}


def _by_sign(aspect: str) -> list[tuple[int, Sequence[str]]]:
    """The positive and the negative follow-ups of an aspect, with their signs."""
    return [(1, follow_ups()[aspect]["positive"]), (-1, follow_ups()[aspect]["negative"])]


def _texts(aspect: str) -> list[str]:
    return [text for _, texts in _by_sign(aspect) for text in texts]


def published_script_score(logits: Sequence[Sequence[float]], follow_up: Sequence[int]) -> float:
    """What run_llama3.py of the paper's repository computes for one follow-up (commit 787bce6). Not a log-likelihood.

    `logits` has shape (tokens, vocabulary): the raw outputs for the conversation with the follow-up as its last turn.
    `follow_up` holds the token ids of the follow-up alone, with the begin token if the tokenizer adds one. The script
    reads a single position, len(follow_up) before the end of the rendered conversation, and averages its logits,
    without a softmax, over all of these ids. So the order of the follow-up's tokens does not matter, and the position
    depends on the number of tokens that the chat template writes after a turn.
    """
    row = logits[len(logits) - len(follow_up)]
    return fmean(row[token] for token in follow_up)


JUDGE = FollowUpReward
