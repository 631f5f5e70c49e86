"""How probable each choice was where a judge named its verdict.

    told = [TokenLogprob("[[", -0.0), TokenLogprob("A", -0.2, (("A", -0.2), ("B", -1.8))), TokenLogprob("]]", -0.0)]
    verdict_probabilities(told, "[[A]]", {"A": 0, "B": 1}, vote, read)          # (0.82, 0.17): exp(-0.2), exp(-1.8)

The verdict's token is found by asking the judge's own reader: the last token that names a choice such that, with the
choices exchanged from there on, another verdict is read. So whatever `read` takes for the verdict is meant, and not
an A in the prose before it.

Not promised: an answer. Tokens that do not spell the text, a choice that is written as several tokens or together with
other words, and choices that begin alike ("1" and "10") give None and never a guess.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from fathom.engines import TokenLogprob
from fathom.judges._verdict import Vote
from fathom.rationale import Status

Choices = Mapping[str, int | None]
"""How a judge spells its verdicts: a choice, and the place of the response that it names; None for a tie."""

MAX_TRIED = 24
"""A text that names choices more often than that after its verdict is not searched further."""

MAX_TOKEN_LENGTH = 64
"""A longer one spells more than a choice."""

_AROUND = re.compile(r"^[\W_]+|[\W_]+$")


class _Named(NamedTuple):
    """A token that spells a choice and no more, and the place of the choice in the text."""

    token: TokenLogprob
    choice: str
    start: int


def verdict_probabilities(
    tokens: Sequence[TokenLogprob],
    text: str,
    choices: Choices,
    vote: Vote,
    read: Callable[[str], Vote],
    *,
    stops: Sequence[str] = (),
) -> tuple[float, ...] | None:
    """For each response the probability that the verdict's token named it: the masses as they are, at most 1 together.

    `text` is what `tokens` spell and `read` made `vote` of. There may be more tokens than text: a thought before it,
    an end token or one of the stop strings `stops` after it. None where the token cannot be told for certain, where it
    came without the most likely tokens in its place, and where scores of several responses decide instead of a token.
    """
    if vote.scores is not None and len(vote.scores) > 1:
        return None
    spans = _spans(tokens, text, stops)
    if vote.status is not Status.OK or spans is None or _begin_alike(choices):
        return None
    found = _deciding(_named(tokens, text, spans, choices), text, choices, vote, read)
    return None if found is None or not found.top else _masses(found, choices)


def choice_probabilities_at(
    tokens: Sequence[TokenLogprob], text: str, place: int, choices: Choices, *, stops: Sequence[str] = ()
) -> tuple[float, ...] | None:
    """As `verdict_probabilities`, of the token that stands in a place of the text, whatever it says."""
    spans = _spans(tokens, text, stops) or {}
    found = [tokens[k] for k, (start, end) in spans.items() if start <= place < end]
    return _masses(found[0], choices) if found and found[0].top else None


def _masses(token: TokenLogprob, choices: Choices) -> tuple[float, ...]:
    masses = [0.0] * (1 + max(index for index in choices.values() if index is not None))
    drawn_too = () if any(name == token.token for name, _ in token.top) else ((token.token, token.logprob),)
    for name, logprob in (*token.top, *drawn_too):
        index = choices.get(_bare(name))
        if index is not None:
            masses[index] += math.exp(logprob)
    return tuple(masses)


def _bare(token: str) -> str:
    return _AROUND.sub("", token) if len(token) <= MAX_TOKEN_LENGTH else ""


def _begin_alike(choices: Choices) -> bool:
    return any(a != b and b.startswith(a) for a in choices for b in choices)


# Which token decides --------------------------------------------------------------------------------------------------


def _named(
    tokens: Sequence[TokenLogprob], text: str, spans: Mapping[int, tuple[int, int]], choices: Choices
) -> list[_Named]:
    named = []
    for index, (start, end) in spans.items():
        choice = _bare(tokens[index].token)
        if choice in choices and (at := text.find(choice, start, end)) >= 0:
            named.append(_Named(tokens[index], choice, at))
    return named


def _deciding(
    named: Sequence[_Named], text: str, choices: Choices, vote: Vote, read: Callable[[str], Vote]
) -> TokenLogprob | None:
    one_each = {index: choice for choice, index in choices.items()}
    for k in reversed(range(max(0, len(named) - MAX_TRIED), len(named))):
        for index, other in one_each.items():
            if index == choices[named[k].choice]:
                continue
            told = read(_exchanged(text, named[k:], {named[k].choice: other, other: named[k].choice}))
            if told.status is Status.OK and _outcome(told) != _outcome(vote) and told.winner in (None, index):
                return named[k].token
    return None


def _exchanged(text: str, named: Sequence[_Named], other: Mapping[str, str]) -> str:
    pieces, end = [], 0
    for _, choice, start in named:
        pieces += [text[end:start], other.get(choice, choice)]
        end = start + len(choice)
    return "".join([*pieces, text[end:]])


def _outcome(vote: Vote) -> tuple[int | None, tuple[float, ...] | None]:
    return vote.winner, vote.scores


# Where tokens stand in a text -----------------------------------------------------------------------------------------


def _spans(tokens: Sequence[TokenLogprob], text: str, stops: Sequence[str]) -> dict[int, tuple[int, int]] | None:
    """Where in the text each token stands, by its index and without the spaces around it; None where that is not sure.

    Spaces are no evidence, because some tokenizers leave them out of a token that is decoded alone. Both are compared
    from their ends, as far as the first half of a character, which decodes to a mark that is not in the text.
    """
    written = [(letter, k) for k, token in enumerate(tokens) for letter in token.token if not letter.isspace()]
    places = [place for place, letter in enumerate(text) if not letter.isspace()]
    ends = {end: same for end in _ends(written, stops) if (same := _agreeing(written[:end], text, places))}
    if len(ends) != 1:
        return None
    [(end, same)] = ends.items()
    whole = {k for _, k in written[:end]} - {k for _, k in (*written[: end - same], *written[end:])}
    spans: dict[int, tuple[int, int]] = {}
    for (_, k), place in zip(written[end - same : end], places[len(places) - same :], strict=True):
        if k in whole:
            spans[k] = (spans.get(k, (place, 0))[0], place + 1)
    return spans


def _ends(written: Sequence[tuple[str, int]], stops: Sequence[str]) -> set[int]:
    """Where the text may end: after all that was written, before the last token, or before a stop string."""
    letters = "".join(letter for letter, _ in written)
    last = next((k for k, (_, token) in enumerate(written) if token == written[-1][1]), 0)
    stopped = (letters.rfind("".join(stop.split())) for stop in stops)
    return {len(written), last, *(at for at in stopped if at >= 0)}


def _agreeing(written: Sequence[tuple[str, int]], text: str, places: Sequence[int]) -> int:
    """How many letters agree from the end; 0 where the first other one is no half of a character."""
    same = 0
    for (letter, _), place in zip(reversed(written), reversed(places), strict=False):
        if letter != text[place]:
            return same if letter == "\ufffd" else 0
        same += 1
    return same if same == len(places) else 0
