"""Weights of domains of training data, from a small trusted set: DreamPRM's upper level by one step of look-ahead.

    loss = outcome_loss(log_odds, known, right)                         # of the trusted set, from outcomes alone
    slope = weight_gradient(domain_gradients, meta_gradient, rate=0.1)  # of that loss, by the weight of each domain
    weights = updated(weights, slope, rate=1.0)

`fathom reproduce dreamprm` shows which losses of the trusted set find the domains with good labels.
`fathom.train.domains` fits weights for the training of a whole model.

Source: "DreamPRM" (arXiv 2505.20241), whose lower level minimizes the weighted sum of the domains' losses, and whose
upper level chooses the weights that minimize the loss of a clean meta set. The authors unroll five steps and
differentiate through them; here it is one step, for which products of gradients are exact.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Tensor


def weight_gradient(domain_gradients: Tensor, meta_gradient: Tensor, rate: float) -> Tensor:
    """The derivative of the meta loss by each weight, (domains,).

    One step of gradient descent with the weights a_k leads from w to

        w'(a) = w - rate * sum_k a_k g_k,    so    d L(w'(a)) / d a_k = -rate * <grad L(w'), g_k>

    `domain_gradients`, (domains, parameters), are the g_k at w, and `meta_gradient`, (parameters,), is grad L at w'.
    """
    return -rate * (domain_gradients @ meta_gradient)


def updated(weights: Tensor, gradient: Tensor, rate: float) -> Tensor:
    """The weights after one step of exponentiated gradient descent, (domains,). They are positive, and their mean is 1.

    Without the fixed mean, weights that all grow would act as a larger learning rate.
    """
    moved = weights * (-rate * gradient).exp()
    return moved * len(weights) / moved.sum()


def outcome_loss(log_odds: Tensor, known: Tensor, right: Tensor, reduction: Literal["mean", "min"] = "mean") -> Tensor:
    """The squared error of sigmoid(reduced log-odds of the steps) against the outcome, averaged over solutions.

    `log_odds`, (solutions, steps), of a step's being right; `known`, of the same shape, is false for padding;
    `right`, (solutions,), is 1 if the final answer is right, else 0.

    The authors' code takes the mean over steps, which suits scores that stay low after an error. One wrong step of many
    hardly lowers it; "min" takes the lowest step. In `fathom reproduce dreamprm`, whose scores are of single steps,
    weights by either were worse than uniform ones.
    """
    if reduction == "min":
        reduced = log_odds.masked_fill(~known, float("inf")).amin(-1)
    else:
        reduced = (log_odds * known).sum(-1) / known.sum(-1).clamp(min=1)
    return (reduced.sigmoid() - right).square().mean()
