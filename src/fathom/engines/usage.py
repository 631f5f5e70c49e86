"""Token usage of model calls."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Usage:
    """Prompt and completion tokens of one or more model calls. Supports addition.

    Some servers do not report usage. Such calls are counted in `unknown_calls`; the token counts are then lower bounds.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    unknown_calls: int = 0
    """Calls with missing or incomplete usage."""

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
        """`1,200 prompt and 340 completion tokens`, with a note if some are unknown."""
        if not self.unknown_calls:
            return f"{self.prompt_tokens:,} prompt and {self.completion_tokens:,} completion tokens"
        calls = f"{self.unknown_calls:,} {'call' if self.unknown_calls == 1 else 'calls'}"
        if not self.tokens:
            return f"tokens unknown ({calls} without reported usage)"
        known = f"at least {self.prompt_tokens:,} prompt and {self.completion_tokens:,} completion tokens"
        return f"{known} ({calls} without reported usage)"


NO_USAGE = Usage()
