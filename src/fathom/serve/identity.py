"""The identity of a reward: a short name, with a hash of the settings that determine rewards, for clients to pin.

Two servers with the same identity give the same rewards for the same groups of responses if their engine is
deterministic. The identity depends on the engine and the model, the judge and its settings, sampling, voting,
`RewardSettings`, and Fathom's version; it does not depend on `ServeSettings`, such as the size of groups.
"""

from __future__ import annotations

import hashlib
from typing import Any

from pydantic import BaseModel
from pydantic_core import to_json

import fathom
from fathom.judging.choice import described
from fathom.judging.session import Session
from fathom.settings import RewardSettings


class RewardIdentity(BaseModel):
    """Which reward an answer comes from."""

    id: str
    """The name to pin: the judge and a hash of all settings."""
    model: str | None
    judge: str
    settings: str
    """SHA-256 of all settings that determine the reward."""


def identify(session: Session, reward: RewardSettings) -> RewardIdentity:
    """The identity of the rewards that a session gives."""
    judge = described(session.base_judge, session.settings.judge.judge)
    parts: dict[str, Any] = {
        "fathom": fathom.__version__,
        "engine": session.cached.identity,
        "judge": judge,
        "voting": session.settings.voting.model_dump(),
        "meta": session.meta.scorer.identity if session.meta else None,
        "reward": reward.model_dump(),
    }
    digest = hashlib.sha256(to_json(parts, fallback=str)).hexdigest()
    name = str(judge["name"])
    return RewardIdentity(id=f"{name}-{digest[:12]}", model=session.settings.engine.model, judge=name, settings=digest)
