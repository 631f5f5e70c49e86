"""What judges share that read by a published rule.

The rule finds the verdict in the text without its thoughts and without a code fence around all of it. What surrounds
the verdict can then only take it away, so that nothing is read that a text denies, reports or takes back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import dropwhile
from typing import Any

from fathom.judges._templated import TemplatedJudge
from fathom.rationale import Status
from fathom.rationale.transcript.document import Document
from fathom.rationale.transcript.mentions import is_mentioned
from fathom.rationale.transcript.rivals import Claim
from fathom.rationale.transcript.withdrawals import taken_back

MAX_PLACES = 64
"""Of the places where a verdict stands only the last ones are examined: more are a model that loops."""

Span = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class PublishedJudge(TemplatedJudge):
    """`as_published` counts what the rule finds, whatever surrounds it: published figures were computed so."""

    as_published: bool = False

    def taken_away(
        self, document: Document, spans: Sequence[Span], claim: Claim, *, reasons: bool = True
    ) -> Status | None:
        """Why a verdict does not count that the rule found in `spans` of the page's text; None where it does.

        With `reasons=False` a reason follows every such verdict, and praise of another response is no change of mind.
        """
        if self.as_published:
            return None
        given = [span for span in spans[-MAX_PLACES:] if not is_mentioned(document, *span)]
        if not given:
            return Status.MISSING
        (_, first), (last, end) = given[0], given[-1]
        repeated = (first, last) if first < last else None
        return Status.CONTRADICTORY if taken_back(document, end, claim, repeated=repeated, reasons=reasons) else None


def pair_claim(winner: int | None) -> Claim:
    """The claim of a verdict for the response shown in that place, or for a tie."""
    return Claim("pair", "tie" if winner is None else ("A", "B")[winner])


def spoken(text: str) -> str | None:
    """The reply without its thoughts and a fence around it; None when a thought is never closed."""
    document = Document.of(text)
    return None if document is None else document.text.strip()


def said_after(table: Mapping[str, Any], key: str) -> str:
    """The texts of a JSON object that stand behind a key, which can take back what it holds."""
    _, *later = dropwhile(lambda entry: entry[0] != key, table.items())
    return "\n".join(value.lower() for _, value in later if isinstance(value, str))
