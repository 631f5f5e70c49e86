"""Base class of judges that parse by a published rule.

The rule is applied to the text without its reasoning and without a code fence around the whole text. The context of the
verdict can only disqualify it: a verdict that the text denies, reports as somebody else's or takes back does not count.
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
"""Only the last occurrences of a verdict are checked, which bounds the time on texts of a looping model."""

Span = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class PublishedJudge(TemplatedJudge):
    """A judge with a published parser. `as_published` skips the check of context, to reproduce published figures."""

    as_published: bool = False

    def disqualification(
        self, document: Document, spans: Sequence[Span], claim: Claim, *, reasons: bool = True
    ) -> Status | None:
        """The status that replaces a verdict found at `spans` of the document; None if the verdict counts.

        `reasons=False` is for formats with an explanation after the verdict: praise of another response in it is then
        no change of mind.
        """
        if self.as_published:
            return None
        stated = [span for span in spans[-MAX_PLACES:] if not is_mentioned(document, *span)]
        if not stated:
            return Status.MISSING
        (_, first), (last, end) = stated[0], stated[-1]
        repeated = (first, last) if first < last else None
        return Status.CONTRADICTORY if taken_back(document, end, claim, repeated=repeated, reasons=reasons) else None


def pair_claim(winner: int | None) -> Claim:
    """The claim of a verdict for the response at this position in the prompt, or for a tie (None)."""
    return Claim("pair", "tie" if winner is None else ("A", "B")[winner])


def visible_text(text: str) -> str | None:
    """The reply without its reasoning and without a fence around all of it; None if the reasoning never ends."""
    document = Document.of(text)
    return None if document is None else document.text.strip()


def strings_after(table: Mapping[str, Any], key: str) -> str:
    """The string values after a key in a JSON object, in lower case: they can take back the value of the key."""
    _, *later = dropwhile(lambda entry: entry[0] != key, table.items())
    return "\n".join(value.lower() for _, value in later if isinstance(value, str))
