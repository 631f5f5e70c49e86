"""Texts that end a vote without a score, for reward models that write several texts for one."""

from __future__ import annotations

from fathom.engines import Completion
from fathom.engines.usage import Usage
from fathom.rationale import Status


class UnreadableError(Exception):
    """A text without a score. `usage` is that of all texts so far."""

    def __init__(self, status: Status, error: str, usage: Usage) -> None:
        super().__init__(error)
        self.status, self.error, self.usage = status, error, usage


def check_finished(done: Completion, used: Usage) -> None:
    """Raise UnreadableError for a text that was declined or cut off. `used` includes its own usage."""
    if done.finish_reason in ("refusal", "content_filter"):
        raise UnreadableError(Status.REFUSED, "the model declined", used)
    if done.finish_reason == "length":
        raise UnreadableError(Status.TRUNCATED, "a text reached the token limit; give a larger --max-tokens", used)
