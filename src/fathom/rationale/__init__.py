"""Rationales as values: the text that a judge writes before its verdict, split into units.

    >>> from fathom.rationale import Rationale, Unit, parse, render
    >>> r = Rationale((Unit("Clarity", "Easy to follow.", "A is plain, B rambles.", "A"),), trace="", verdict="A")
    >>> parse(render(r)).rationale == r
    True

`render` writes the canonical text, and `parse` inverts it exactly. `parse` also accepts what models write instead:
markdown, other quotes, brackets and punctuation, reasoning blocks, truncated text. It never guesses: if the verdict is
missing, contradictory, only quoted or cut off, the result has a `Status` that says so, and no verdict.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from statistics import fmean
from typing import Literal

from fathom.rationale.transcript.blocks import Block, find_blocks, find_unit_spans
from fathom.rationale.transcript.characters import unix_lines
from fathom.rationale.transcript.choices import Outcome, sub_verdict
from fathom.rationale.transcript.document import Document
from fathom.rationale.transcript.endings import ends_unfinished, refuses
from fathom.rationale.transcript.verdicts import final_verdicts

Choice = Literal["A", "B", "tie"]
SubVerdict = Literal["A", "B", "MIXED"]
Structure = Literal["vanilla", "breadth", "depth", "hybrid"]

MAX_DEPTH_PRINCIPLES = 3
"""A depth rationale judges under at most this many principles (arXiv 2603.01571, section on D-CoT)."""


MAX_UNITS = 64
"""Maximum number of units. A text with more is treated as degenerate repetition, and the rest is not read."""


class Status(StrEnum):
    """Whether a text has a verdict, or why not. Only `OK` comes with a verdict; the others never become a number."""

    OK = "ok"
    MISSING = "missing"
    """The text is complete and states no verdict, or only quotes one."""
    CONTRADICTORY = "contradictory"
    """Verdicts of equal standing disagree."""
    TRUNCATED = "truncated"
    """The text was cut off before its verdict."""
    REFUSED = "refused"
    """The model declined to judge."""
    INVALID = "invalid"
    """The verdict is not one of the task's choices, such as [[D]], or a score instead of a choice."""
    FAILED = "failed"
    """The engine failed. Partial text is not read."""


@dataclass(frozen=True, slots=True)
class Unit:
    """One principle and its judgment: the triple (p, j, v) of the paper, with p split into name and definition.

    The constructor normalises texts (see `clean`) and makes principle and definition single lines. So every unit can be
    rendered and parsed back unchanged.
    """

    principle: str
    definition: str = ""
    judgment: str = ""
    sub_verdict: SubVerdict | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "principle", _one_line(self.principle))
        object.__setattr__(self, "definition", _one_line(self.definition))
        object.__setattr__(self, "judgment", clean(self.judgment))


@dataclass(frozen=True, slots=True)
class Rationale:
    """Units (breadth), a solution trace (depth), or both, and the verdict (None if there is none).

    Raises ValueError for more than `MAX_UNITS` units.
    """

    units: tuple[Unit, ...] = ()
    trace: str = ""
    verdict: Choice | None = None

    def __post_init__(self) -> None:
        if len(self.units) > MAX_UNITS:
            raise ValueError(f"got {len(self.units)} units, expected at most {MAX_UNITS}")
        object.__setattr__(self, "trace", clean(self.trace))

    @property
    def structure(self) -> Structure:
        """The structure that the content shows: a trace means depth, more than three principles mean breadth."""
        many = len(self.units) > MAX_DEPTH_PRINCIPLES
        if self.trace:
            return "hybrid" if many else "depth"
        return "breadth" if many else "vanilla"

    def tokens_per_judgment(self, count: Callable[[str], int] = lambda text: len(text.split())) -> float:
        """Mean length of a judgment. The trace counts as part of the first one, where it is rendered.

        `count` returns the length of a text, by default in words. Returns 0.0 without units.
        """
        lengths = [count(unit.judgment) for unit in self.units]
        return fmean([lengths[0] + count(self.trace), *lengths[1:]]) if lengths else 0.0


@dataclass(frozen=True, slots=True)
class Reading:
    """Result of `parse`. `rationale.verdict` is set if and only if `status` is `OK`."""

    rationale: Rationale
    status: Status


def clean(text: str) -> str:
    """Normalise line ends, and remove invisible characters and surrounding space. Idempotent."""
    text = unix_lines(text)
    return text.strip() if text.isascii() else _STRAY_JOINERS.sub("", _INVISIBLE.sub("", text)).strip()


_INVISIBLE = re.compile("[\u00ad\u200b\u200e\u200f\u2060\ufeff]+")
# Joiners are part of the spelling between non-ASCII letters and emoji. Next to ASCII characters they are noise.
_STRAY_JOINERS = re.compile("(?<=[\x00-\x7f])[\u200c\u200d]+|[\u200c\u200d]+(?=[\x00-\x7f])")


def _one_line(text: str) -> str:
    """Join lines with spaces, before `clean` looks at the neighbours of joiners: they must be ASCII spaces by then."""
    text = " ".join(text.split())
    return text if text.isascii() else " ".join(clean(text).split())


# Canonical text ------------------------------------------------------------------------------------------------------


def render(rationale: Rationale) -> str:
    """The canonical text: `parse(render(r)).rationale == r` for every rationale `r`.

    The trace is part of the first unit, before its judgment (arXiv 2603.01571, section on D-CoT).
    """
    blocks = [
        _render_unit(number, unit, rationale.trace if number == 1 else "")
        for number, unit in enumerate(rationale.units, 1)
    ]
    if rationale.trace and not rationale.units:
        blocks.append(_field("Solution", rationale.trace))
    if rationale.verdict is not None:
        blocks.append(f"Final verdict: [[{rationale.verdict}]]")
    return "\n\n".join(blocks)


def _render_unit(number: int, unit: Unit, trace: str) -> str:
    optional = (
        ("Definition", unit.definition),
        ("Solution", trace),
        ("Judgment", unit.judgment),
        ("Verdict", unit.sub_verdict or ""),
    )
    fields = [_field(name, text) for name, text in optional if text]
    return "\n".join([_field(f"Principle {number}", unit.principle), *fields])


def _field(name: str, text: str) -> str:
    """Escape content lines that look like a field with a backslash, so that content cannot be read as structure."""
    if ":" not in text:
        return f"{name}: {text}"
    return f"{name}: " + _POSING.sub(r"\n\\\1", "\n" + text)[1:]


_FIELDS = r"(?:Principle \d+|Definition|Solution|Judgment|Verdict|Final verdict)"
_POSING = re.compile(rf"\n(\\*)(?={_FIELDS}:)")
_ESCAPED = re.compile(rf"\n\\(?=\\*{_FIELDS}:)")
_FIELD_START = re.compile(rf"\n({_FIELDS}): ?")


# Reading -------------------------------------------------------------------------------------------------------------


def parse(text: str, *, finished: bool = True) -> Reading:
    """Parse a text by the rules of docs/reading-rules.md. Never raises, never guesses.

    `finished` is False if the engine cut the text off at its token limit.
    """
    # The canonical form first: it is exact and fast. If the text has special tokens or reasoning around the canonical
    # form, the stripped text is tried as well. Everything else goes to the tolerant parser.
    text = unix_lines(text).strip()
    document = None
    rationale = _read_canonical(text)
    if rationale is None:
        document = Document.of(text)
        if document is None:
            return Reading(Rationale(), Status.TRUNCATED)
        rationale = _read_canonical(document.text[1:]) if document.text[1:] != text else None
    no_verdict = Status.MISSING if finished else Status.TRUNCATED
    if rationale is not None:
        return Reading(rationale, Status.OK if rationale.verdict else no_verdict)
    if document is None or document.loops:
        return Reading(Rationale(), no_verdict)
    return _read_tolerantly(document, finished)


def _read_tolerantly(document: Document, finished: bool) -> Reading:
    found_blocks = find_blocks(document, MAX_UNITS)
    mentions = final_verdicts(document, find_unit_spans(document, found_blocks), finished=finished)
    outcomes = {mention.outcome for mention in mentions}
    status, verdict = _decide(document, outcomes, finished)
    # Fields end where the final verdict begins, which may be in the same paragraph.
    stop = min((mention.start for mention in mentions), default=len(document.text))
    return Reading(_rationale(document, found_blocks, stop, verdict), status)


def _decide(document: Document, outcomes: set[Outcome], finished: bool) -> tuple[Status, Choice | None]:
    match list(outcomes):
        case ["A" | "B" | "tie" as verdict]:
            return Status.OK, verdict
        case ["invalid"]:
            return Status.INVALID, None
        case [_, _, *_]:
            return Status.CONTRADICTORY, None
    if not finished or ends_unfinished(document):
        return Status.TRUNCATED, None
    return Status.REFUSED if refuses(document) else Status.MISSING, None


def _rationale(document: Document, found: list[Block], stop: int, verdict: Choice | None) -> Rationale:
    units = tuple(
        Unit(
            block.principle,
            block.definition or _unescaped(block.text(document, "definition", stop)),
            _unescaped(block.text(document, "judgment", stop)),
            sub_verdict(block.text(document, "verdict", len(document.text))),
        )
        for block in found
        if block.has("judgment")
        or (block.labelled and (block.has("verdict") or (block is found[-1] and verdict is None)))
    )
    trace = "\n\n".join(text for block in found if (text := block.text(document, "solution", stop)))
    return Rationale(units[:MAX_UNITS], _unescaped(trace), verdict)


def _read_canonical(text: str) -> Rationale | None:
    """The inverse of `render`; None for any other text."""
    if text and not text.startswith(("Principle 1:", "Solution: ", "Final verdict: ")):
        return None
    _, *pieces = _FIELD_START.split("\n" + text, maxsplit=_MAX_FIELDS)
    units: list[dict[str, str]] = []
    whole: dict[str, str] = {}
    for name, value in zip(pieces[::2], pieces[1::2], strict=True):
        if name.startswith("Principle"):
            name = "Principle"
            units.append({})
        fields = units[-1] if units and name not in _FIELDS_OF_ALL else whole
        if name in fields or (name in _ONE_LINE and "\n" in value.strip()):
            return None
        fields[name] = value
    if len(units) > MAX_UNITS:
        return None
    verdict = _CANONICAL_VERDICTS.get(whole.get("Final verdict", "").strip())
    rationale = Rationale(tuple(map(_canonical_unit, units)), _content(whole, "Solution"), verdict)
    return rationale if render(rationale).strip() == text else None


def _canonical_unit(fields: dict[str, str]) -> Unit:
    principle, definition, judgment = (_content(fields, name) for name in ("Principle", "Definition", "Judgment"))
    return Unit(principle, definition, judgment, _CANONICAL_SUB_VERDICTS.get(fields.get("Verdict", "").strip()))


def _content(fields: dict[str, str], name: str) -> str:
    """The value of a field, stripped before `clean` sees it: the neighbours of a joiner decide whether it is kept."""
    return _unescaped(fields.get(name, "").strip())


def _unescaped(text: str) -> str:
    return _ESCAPED.sub("\n", "\n" + text)[1:] if "\\" in text else text


_FIELDS_OF_ALL = ("Solution", "Final verdict")
_ONE_LINE = ("Principle", "Definition", "Verdict", "Final verdict")
_MAX_FIELDS = 4 * MAX_UNITS + 3
_CANONICAL_VERDICTS: dict[str, Choice] = {"[[A]]": "A", "[[B]]": "B", "[[tie]]": "tie"}
_CANONICAL_SUB_VERDICTS: dict[str, SubVerdict] = {"A": "A", "B": "B", "MIXED": "MIXED"}
