"""Base class of judges that build their prompt from a template, which users can replace.

The shipped prompts use Fathom's own wording, so they do not reproduce figures obtained with a published prompt. To do
so, pass the published prompt as a Jinja template with the variables `instruction`, `responses` and `reference`:

    judge = find("arena_hard")(engine=engine, template="arena_hard.jinja")
"""

from __future__ import annotations

import json
from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import TemplateError

from fathom import prompts
from fathom.data.records import Comparison
from fathom.engines import ChatMessage
from fathom.errors import FathomError
from fathom.judges import Judge
from fathom.judges._verdict import Vote
from fathom.rationale import Status


@dataclass(frozen=True, kw_only=True)
class TemplatedJudge(Judge):
    """A judge whose prompt is one user message. `template` is a file that replaces the shipped template."""

    template: str | Path | None = None

    @property
    @abstractmethod
    def template_name(self) -> str:
        """The name of the shipped template under `prompts/`, without `.jinja`."""

    def values(self, comparison: Comparison) -> dict[str, Any]:
        """The variables of the template."""
        return {
            "instruction": comparison.prompt_text,
            "responses": comparison.responses,
            "reference": comparison.reference,
        }

    def ask(self, comparison: Comparison) -> list[ChatMessage]:
        """The prompt. Raises FathomError for a template that cannot be read or filled in."""
        self.check(comparison)
        values = self.values(comparison)
        try:
            text = prompts.render(Path(self.template) if self.template else self.template_name, **values)
        except (OSError, UnicodeDecodeError, TemplateError) as error:
            raise FathomError(f"template {self.template}: {error}; its variables are {', '.join(values)}") from error
        return [{"role": "user", "content": text}]


def choice_vote(winner: int | None, scores: tuple[float, ...] | None = None) -> Vote:
    """A vote for the response at this position in the prompt, or for a tie (None)."""
    return Vote(Status.OK, winner=winner, scores=scores)


def score_vote(score: float) -> Vote:
    """A vote on a single response."""
    return Vote(Status.OK, scores=(score,))


def unreadable_vote(*, finished: bool) -> Vote:
    """The vote of a text without a verdict."""
    return Vote(Status.MISSING if finished else Status.TRUNCATED)


def json_object(text: str) -> dict[str, Any] | None:
    """The text parsed as a JSON object; None if the whole text is not one."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
