"""Tokens that calls of a model took."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens read and written by one or more model calls. Adds up.

    A server need not say how many tokens a call took. Such a call is counted in `unknown_calls`, and the token counts
    are then a lower bound: they hold what the server did report.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    unknown_calls: int = 0
    """Calls whose tokens were not reported, or reported in part."""

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.unknown_calls + other.unknown_calls,
        )

    def __str__(self) -> str:
        """`1,200 tokens read and 340 written`, with a note where some are unknown."""
        if not self.unknown_calls:
            return f"{self.prompt_tokens:,} tokens read and {self.completion_tokens:,} written"
        calls = f"{self.unknown_calls:,} {'call' if self.unknown_calls == 1 else 'calls'}"
        if not self.tokens:
            return f"tokens unknown ({calls} without reported usage)"
        known = f"at least {self.prompt_tokens:,} tokens read and {self.completion_tokens:,} written"
        return f"{known} ({calls} without reported usage)"


NO_USAGE = Usage()
