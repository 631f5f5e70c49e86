"""What a trainer gets for a response that could not be scored: a named policy.

    exclude    the response is left out of training; only for trainers that can do that
    refuse     FathomError
    -1.0       this number, which is logged as such

A response counts as not scored if its answer has no reward, and if its group was judged before it was complete: such a
reward has another scale, and trainers have no mark for it.
"""

from __future__ import annotations

import math
from typing import Any, Literal, TypeAlias

from fathom.errors import FathomError
from fathom.serve.messages import RewardAnswer

Unscored: TypeAlias = Literal["exclude", "refuse"] | float


def checked(policy: Any, trainer: str, *, excludes: bool) -> Unscored:
    """The policy, if it is one that `trainer` can follow. Raises FathomError otherwise."""
    known = ["exclude"] * excludes + ["refuse"]
    if policy in known:
        kept: Unscored = policy
        return kept
    if isinstance(policy, bool) or not isinstance(policy, int | float) or not math.isfinite(policy):
        why = "" if excludes or policy != "exclude" else f"; {trainer} cannot leave a response out of training"
        raise FathomError(f"unscored={policy!r}: expected {', '.join(known)} or a finite number{why}")
    return float(policy)


def reason(answer: RewardAnswer) -> str | None:
    """Why a response counts as not scored; None if it has a reward."""
    if answer.reward is None:
        return f"{answer.status}: {answer.error}"
    return f"only {answer.group} responses of its group arrived in time" if answer.partial else None


def reward(answer: RewardAnswer, policy: Unscored) -> float | None:
    """The reward for the trainer; None for a response to exclude. Raises FathomError if the policy is `refuse`."""
    return None if policy == "exclude" and reason(answer) else number(answer, policy)


def number(answer: RewardAnswer, policy: Unscored) -> float:
    """The reward for a trainer that takes numbers only. Raises FathomError unless the policy is a number."""
    why = reason(answer)
    if why is None and answer.reward is not None:
        return answer.reward
    if isinstance(policy, str):
        raise FathomError(f"a response could not be scored ({why}); to train on a number instead, set unscored")
    return policy


def logged(answer: RewardAnswer) -> dict[str, float]:
    """Numbers that a trainer can log beside a reward. The keys are always the same."""
    return {
        "unscored": float(reason(answer) is not None),
        "votes": float(answer.votes),
        "votes_read": float(answer.votes_read),
    }
