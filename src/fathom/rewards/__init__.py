"""Reward models: most compute a score from a model's outputs on given texts. `flip` and `slot` are judges.

`fathom judge --judge NAME` finds them by the names of their files, like judges. To add one, add a file here that binds
a subclass of `EngineRewardModel` to the name `JUDGE`, a test, and a row in docs/judges.md. Its method `requests`
returns requests of `fathom.engines.readings`, and `read_answers` turns the answers into a vote with scores.
"""

from __future__ import annotations

import warnings
from typing import Any

from fathom import judges
from fathom.data.records import Comparison
from fathom.engines import ChatMessage
from fathom.judges import Vote
from fathom.rationale import Status


def conversation(comparison: Comparison) -> tuple[ChatMessage, ...]:
    """The prompt of a comparison as messages."""
    if isinstance(comparison.prompt, str):
        return ({"role": "user", "content": comparison.prompt},)
    return tuple({"role": message.role, "content": message.content} for message in comparison.prompt)


def without_request(comparison: Comparison) -> Vote | None:
    """An invalid vote for a prompt without a user turn that has text, which backward inference infers; else None."""
    if comparison.request.strip():
        return None
    return Vote(Status.INVALID, error="the prompt has no user turn with text to infer; expected one")


def __getattr__(name: str) -> Any:
    """A name of the module `fathom.rewards` of version 0.1, which is now in `fathom.judges`."""
    if name not in judges.__all__:
        raise AttributeError(f"module 'fathom.rewards' has no attribute {name!r}")
    warnings.warn(f"fathom.rewards.{name} is now fathom.judges.{name}", DeprecationWarning, stacklevel=2)
    return getattr(judges, name)
