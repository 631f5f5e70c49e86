"""Losses of scalar reward models: pure functions of rewards and labels, one per kind of label.

    bradley_terry(chosen, rejected)                     # which of two responses is better
    plackett_luce(rewards)                              # a ranking of n responses
    rao_kupper(first, second, tied, threshold=0.5)      # pairs that may be ties
    regression(rewards, scores)                         # a score per response and attribute
    binary(rewards, right)                              # right or wrong

Each is a negative log-likelihood in nats, except `regression`, a mean squared error. The caller takes the mean over the
batch: a comparison's weight must not depend on how the batch is divided among accumulation steps and processes.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def bradley_terry(chosen: Tensor, rejected: Tensor, margin: Tensor | float = 0.0) -> Tensor:
    """-log sigmoid(chosen - rejected - margin), for each pair of rewards.

    Bradley and Terry (1952). The margin demands a larger difference where the labels differ more (Llama 2,
    arXiv 2307.09288, Equation 2).
    """
    return -functional.logsigmoid(chosen - rejected - margin)


def rao_kupper(first: Tensor, second: Tensor, tied: Tensor, threshold: float) -> Tensor:
    """The Bradley-Terry loss with ties, for pairs in which `first` is better, or `tied` is true.

    Rao and Kupper (1967), with the threshold t >= 0 on the scale of rewards: with d = first - second,

        P(first better) = sigmoid(d - t)        P(second better) = sigmoid(-d - t)
        P(tie) = 1 - both = (exp(2t) - 1) sigmoid(d - t) sigmoid(-d - t)

    With t = 0, P(tie) = 0 and the loss is `bradley_terry`; the loss of a tie is then infinite.
    """
    better, worse = (functional.logsigmoid(sign * (first - second) - threshold) for sign in (1, -1))
    # log(exp(2t) - 1), which overflows for large t if written so
    room = 2 * threshold + torch.log(-torch.expm1(torch.tensor(-2.0 * threshold)))
    return -torch.where(tied, room + better + worse, better)


def plackett_luce(rewards: Tensor, places: Tensor | None = None) -> Tensor:
    """The loss of a ranking for each row of `rewards`, (batch, n), whose responses are sorted from best to worst.

    Plackett (1975), Luce (1959): the response at each place is drawn among those not placed yet, with probabilities
    softmax(rewards), so the loss is the sum over places k of

        logsumexp(r_k, ..., r_n) - r_k

    `places`, (batch,), is the number of places that the label determines: 1 if it names the best response only. By
    default all. Rewards of -inf pad the rows of shorter rankings. With n = 2 this is `bradley_terry`.
    """
    count = rewards.shape[-1]
    named = torch.arange(count, device=rewards.device) < (count if places is None else places.unsqueeze(-1))
    named = named & rewards.isfinite()
    rewards = rewards.clamp(min=-1e30)  # the gradient of logcumsumexp is NaN at -inf
    rest = torch.logcumsumexp(rewards.flip(-1), -1).flip(-1)
    return torch.where(named, rest - rewards, 0.0).sum(-1)


def regression(rewards: Tensor, scores: Tensor) -> Tensor:
    """The mean squared error for each row of (n, attributes), over the attributes whose score is not NaN.

    The loss of attribute-conditioned models such as HelpSteer's (arXiv 2311.09528). A row without a score gives 0.
    """
    known = ~scores.isnan()
    error = torch.where(known, rewards - scores.nan_to_num(), 0.0)
    return error.square().sum(-1) / known.sum(-1).clamp(min=1)


def binary(rewards: Tensor, right: Tensor) -> Tensor:
    """Binary cross-entropy, for each response: sigmoid(reward) is the probability that it is right. `right` is 0 to 1.

    The loss of outcome verifiers (Cobbe et al., arXiv 2110.14168).
    """
    return functional.binary_cross_entropy_with_logits(rewards, right, reduction="none")


def centring(total: Tensor) -> Tensor:
    """The squared sum of a comparison's rewards, a penalty that keeps rewards near 0 (arXiv 2312.09244, Equation 4).

    Losses of differences do not determine the level of rewards; this penalty does.
    """
    return total.square()
