"""A reward distribution for every token, learned from preferences: AVA-p (arXiv 2411.09341), on a frozen model.

    head = GaussianHead(width=576)
    loss = objective(head.rewards(states), mask, delta, td=0.1)          # states of tokens, (texts, length, width)

The reward of token t is N(mean_t, std_t^2), given the states up to it. Bayesian inverse reinforcement learning wants a
reward that is near its prior N(0, 1), that explains the policy's values by the Bellman equation, and, for preferences,
that is higher at the end of the better text:

    -log sigmoid(mean_w - mean_l)  +  kl * KL(N(mean, std^2) || N(0, 1))  -  td * log N(delta_t; mean_t, std_t^2)
    delta_t = Q_t - discount * Q_(t+1)

Q_t is the value of the token that was chosen. The paper takes it from the language model that it trains at the same
time, as the log-softmax of alpha times the token *probabilities* (`q_values`). Here the language model is frozen, so
the likelihood of its tokens is constant and is left out. With it goes the term that lowers the likelihood of the worse
text, which has no lower bound.

`fathom train reward` with `head: gaussian` trains this head together with its backbone, without the last term: Bellman
differences need a policy with an output layer.

Not guaranteed: that the mean of a token is the credit of that token. Only the last one is compared with labels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from fathom.engines import ChatMessage
from fathom.engines.chat import encode_conversation
from fathom.engines.checkpoints import resolve_checkpoint
from fathom.engines.gaussian import Gaussian as Gaussian
from fathom.engines.gaussian import GaussianHead as GaussianHead
from fathom.engines.gaussian import divergence as divergence
from fathom.engines.gaussian import text_means
from fathom.engines.heads import load_classifier, read_head
from fathom.errors import FathomError
from fathom.train import losses


def objective(
    rewards: Gaussian, mask: Tensor, delta: Tensor | None = None, *, kl: float = 0.01, td: float = 0.0
) -> Tensor:
    """The loss of pairs, (pairs,), from the rewards of 2 x pairs texts: the better one at even places, the other next.

    `mask`, (texts, length), is 1 for the tokens of a text. `delta`, of the same shape, are the Bellman differences,
    needed for `td` > 0. Raises FathomError for a text of which no token is left, such as one cut at a length limit.
    """
    if empty := (mask.sum(1) == 0).nonzero().flatten().tolist():
        raise FathomError(f"text {empty[0]} of {len(mask)} has no token in the mask; leave such pairs out")
    last = (mask * torch.arange(mask.shape[1])).argmax(1)
    final = rewards.mean[torch.arange(len(mask)), last].view(-1, 2)
    penalty = kl * divergence(rewards)
    if td and delta is not None:
        penalty = penalty - td * log_density(rewards, delta)
    of_text = text_means(penalty, mask)
    return losses.bradley_terry(final[:, 0], final[:, 1]) + of_text.view(-1, 2).mean(1)


class TokenReward(NamedTuple):
    token: str
    mean: float
    deviation: float


def token_rewards(model: str | Path, messages: Sequence[ChatMessage]) -> list[TokenReward]:
    """The reward distribution of every token of a conversation, by a model trained with `head: gaussian`.

    Raises FathomError for any other model.
    """
    name = resolve_checkpoint(model)
    head = read_head(Path(name))
    if head is None or head.kind != "gaussian":
        raise FathomError(f"{name} has no gaussian head; expected a model of fathom train reward with head: gaussian")
    loaded = load_classifier(name)
    tokens = encode_conversation(loaded.tokenizer, messages)
    with torch.inference_mode():
        states = loaded.model.model(torch.tensor([tokens], device=loaded.model.device)).last_hidden_state
        rewards = loaded.model.score(states.float())[0].tolist()
    texts = loaded.tokenizer.batch_decode([[token] for token in tokens])
    return [TokenReward(text, mean, deviation) for text, (mean, deviation) in zip(texts, rewards, strict=True)]


def log_density(rewards: Gaussian, values: Tensor) -> Tensor:
    """log N(value; mean, std^2) of each token."""
    standardized = (values - rewards.mean) / rewards.log_std.exp()
    return -standardized.square() / 2 - rewards.log_std - math.log(2 * math.pi) / 2


def q_values(logprobs: Tensor, alpha: float = 1.0) -> Tensor:
    """Q of every token, log softmax(alpha * probability), from log-probabilities (..., vocabulary)."""
    return functional.log_softmax(alpha * logprobs.exp(), -1)


def bellman_differences(q: Tensor, mask: Tensor, discount: float = 1.0) -> Tensor:
    """delta_t = Q_t - discount * Q_(t+1) of the chosen tokens, (texts, length); the value after the last token is 0."""
    following = functional.pad(q * mask, (0, 1))[:, 1:]
    return (q - discount * following) * mask
