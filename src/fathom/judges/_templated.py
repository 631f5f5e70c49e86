"""What judges share whose verdicts are written in a form that others published.

Such a judge asks in words of its own, so its figures are not those of the published prompt. Who needs these gives the
prompt as a Jinja template in a file, which sees `instruction`, `responses` and `reference`:

    judge = find("arena_hard")(engine=engine, template="arena_hard.jinja")

`read` follows the published rule; `fathom.judges._published` says what may take a verdict away.
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
    """`template` is a file to ask with instead of Fathom's own words; it makes one message of the user."""

    template: str | Path | None = None

    @property
    @abstractmethod
    def template_name(self) -> str:
        """The name of Fathom's own, under `prompts/`."""

    def ask(self, comparison: Comparison) -> list[ChatMessage]:
        """Raises FathomError for a template that cannot be read or filled in."""
        self.check(comparison)
        values = {
            "instruction": comparison.prompt_text,
            "responses": comparison.responses,
            "reference": comparison.reference,
        }
        try:
            text = prompts.render(Path(self.template) if self.template else self.template_name, **values)
        except (OSError, UnicodeDecodeError, TemplateError) as error:
            raise FathomError(f"the template {self.template}: {error}; it is given {', '.join(values)}") from error
        return [{"role": "user", "content": text}]


def choice_vote(winner: int | None, scores: tuple[float, ...] | None = None) -> Vote:
    """A vote for the response shown in that place, or for a tie."""
    return Vote(Status.OK, winner=winner, scores=scores)


def score_vote(score: float) -> Vote:
    """A vote on one response alone."""
    return Vote(Status.OK, scores=(score,))


def unreadable_vote(*, finished: bool) -> Vote:
    """A vote of a text that holds no verdict."""
    return Vote(Status.MISSING if finished else Status.TRUNCATED)


def json_object(text: str) -> dict[str, Any] | None:
    """The JSON object that the text is, spaces around it aside; None where it is none."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
