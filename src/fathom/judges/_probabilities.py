"""The probability of each choice at the verdict's token.

    tokens = [TokenLogprob("[[", -0.0), TokenLogprob("A", -0.2, (("A", -0.2), ("B", -1.8))), TokenLogprob("]]", -0.0)]
    verdict_probabilities(tokens, "[[A]]", {"A": 0, "B": 1}, vote, read)          # (0.82, 0.17): exp(-0.2), exp(-1.8)

The judge's own parser identifies the verdict's token. Candidates are tokens that spell a choice. Going backwards, the
first candidate wins for which swapping two choices from there to the end changes the parsed verdict. So `read` depends
on that token, and not on an "A" in the prose before it.

The result is None, never a guess, if the tokens do not spell the text, if a choice spans several tokens or shares a
token with other words, and if one choice is a prefix of another ("1" and "10").
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from math import exp
from typing import NamedTuple

from fathom.engines import TokenLogprob
from fathom.judges._verdict import Vote
from fathom.rationale import Status

Choices = Mapping[str, int | None]
"""How a judge spells its verdicts: each choice with the position of the response it names, or None for a tie."""

MAX_TRIED = 24
"""Candidate tokens tried, from the end. Each try parses the text up to once per choice."""

MAX_TOKEN_LENGTH = 64
"""Characters. A longer token cannot be a choice alone."""

_AROUND = re.compile(r"^[\W_]+|[\W_]+$")


class _Candidate(NamedTuple):
    """A token that spells a choice and nothing else, and the position of the choice in the text."""

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
    """The probability of each response at the verdict's token, not normalized: the sum is at most 1.

    `vote` is what `read` parsed from `text`, and `tokens` spell `text`. More tokens are allowed: reasoning before it,
    and an end token or one of the stop strings `stops` after it. Returns None if the verdict's token is not certain, if
    it came without top log-probabilities, and if the vote scores several responses, so that no single token decides.
    """
    if vote.scores is not None and len(vote.scores) > 1:
        return None
    spans = _spans(tokens, text, stops)
    if vote.status is not Status.OK or spans is None or _begin_alike(choices):
        return None
    token = _deciding(_candidates(tokens, text, spans, choices), text, choices, vote, read)
    return None if token is None or not token.top else _masses(token, choices)


def choice_probabilities_at(
    tokens: Sequence[TokenLogprob], text: str, place: int, choices: Choices, *, stops: Sequence[str] = ()
) -> tuple[float, ...] | None:
    """As `verdict_probabilities`, at the token that covers position `place` of the text, whatever that token says."""
    spans = _spans(tokens, text, stops) or {}
    covering = [tokens[k] for k, (start, end) in spans.items() if start <= place < end]
    return _masses(covering[0], choices) if covering and covering[0].top else None


def word_share(token: TokenLogprob, good: str, bad: str) -> float | None:
    """P(good) / (P(good) + P(bad)) among the top tokens at a position, whatever their case; None if it has neither.

    If one word is not among the top tokens, its probability counts as the largest that it can be: that of the least
    likely of them, or what they leave.
    """
    masses = {word: sum(exp(p) for name, p in token.top if _bare(name).lower() == word) for word in (good, bad)}
    if not any(masses.values()):
        return None
    probabilities = [exp(p) for _, p in token.top]
    least = min(*probabilities, max(1 - sum(probabilities), 0.0))
    likely, unlikely = (masses[word] or least for word in (good, bad))
    return likely / (likely + unlikely)


def _masses(token: TokenLogprob, choices: Choices) -> tuple[float, ...]:
    """The probability mass per response over the top tokens and, if it is not among them, the sampled token."""
    masses = [0.0] * (1 + max(index for index in choices.values() if index is not None))
    drawn_too = () if any(name == token.token for name, _ in token.top) else ((token.token, token.logprob),)
    for name, logprob in (*token.top, *drawn_too):
        index = choices.get(_bare(name))
        if index is not None:
            masses[index] += exp(logprob)
    return tuple(masses)


def _bare(token: str) -> str:
    return _AROUND.sub("", token) if len(token) <= MAX_TOKEN_LENGTH else ""


def _begin_alike(choices: Choices) -> bool:
    return any(a != b and b.startswith(a) for a in choices for b in choices)


# Which token decides --------------------------------------------------------------------------------------------------


def _candidates(
    tokens: Sequence[TokenLogprob], text: str, spans: Mapping[int, tuple[int, int]], choices: Choices
) -> list[_Candidate]:
    candidates = []
    for index, (start, end) in spans.items():
        choice = _bare(tokens[index].token)
        if choice in choices and (at := text.find(choice, start, end)) >= 0:
            candidates.append(_Candidate(tokens[index], choice, at))
    return candidates


def _deciding(
    candidates: Sequence[_Candidate], text: str, choices: Choices, vote: Vote, read: Callable[[str], Vote]
) -> TokenLogprob | None:
    """The token on which the parsed verdict depends; None if there is none among the last `MAX_TRIED` candidates."""
    one_choice_per_outcome = {index: choice for choice, index in choices.items()}
    for k in reversed(range(max(0, len(candidates) - MAX_TRIED), len(candidates))):
        choice = candidates[k].choice
        for index, other in one_choice_per_outcome.items():
            if index == choices[choice]:
                continue
            # Later candidates are swapped too: a text may repeat its verdict, and half a swap would contradict it.
            swapped = read(_swapped(text, candidates[k:], {choice: other, other: choice}))
            if swapped.status is Status.OK and _outcome(swapped) != _outcome(vote) and swapped.winner in (None, index):
                return candidates[k].token
    return None


def _swapped(text: str, candidates: Sequence[_Candidate], replacements: Mapping[str, str]) -> str:
    pieces, end = [], 0
    for _, choice, start in candidates:
        pieces += [text[end:start], replacements.get(choice, choice)]
        end = start + len(choice)
    return "".join([*pieces, text[end:]])


def _outcome(vote: Vote) -> tuple[int | None, tuple[float, ...] | None]:
    return vote.winner, vote.scores


# Aligning tokens with a text -----------------------------------------------------------------------------------------


def _spans(tokens: Sequence[TokenLogprob], text: str, stops: Sequence[str]) -> dict[int, tuple[int, int]] | None:
    """Map token indices to their spans in the text, without surrounding whitespace; None if the alignment is ambiguous.

    Algorithm: compare the characters of the tokens and of the text from their ends, for each possible end of the text
    (`_ends`). Whitespace is ignored, because some tokenizers drop it from a token that is decoded alone. The comparison
    may stop at U+FFFD: a token with part of a multi-byte character decodes to it, so earlier tokens get no span.
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
    """Candidate ends of the text, in characters: after all tokens, before the last token, or before a stop string."""
    letters = "".join(letter for letter, _ in written)
    last = next((k for k, (_, token) in enumerate(written) if token == written[-1][1]), 0)
    stopped = (letters.rfind("".join(stop.split())) for stop in stops)
    return {len(written), last, *(at for at in stopped if at >= 0)}


def _agreeing(written: Sequence[tuple[str, int]], text: str, places: Sequence[int]) -> int:
    """The number of characters that agree from the end; 0 if the first mismatch is not a partial character (U+FFFD)."""
    same = 0
    for (letter, _), place in zip(reversed(written), reversed(places), strict=False):
        if letter != text[place]:
            return same if letter == "\ufffd" else 0
        same += 1
    return same if same == len(places) else 0
