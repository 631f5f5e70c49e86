"""Completions that another tool recorded, read as if the judge had asked for them.

    transcripts = read_transcripts(enumerate(outputs, 1))
    reader = TranscriptReader(judge, {comparison.id: comparison for comparison in source})
    verdicts = list(reader.rows(transcripts))        # as `fathom judge` writes them

| a row has | read as |
|---|---|
| an id and a text | one completion on the comparison of that id; several rows of an id are several votes |
| an id and a list of texts | several completions |
| `custom_id` and `response` | one completion, as OpenAI's batch files have it |
| `pair_id` and `judgments` | JudgeBench's outputs: two completions, one in each order |

A text may be within objects, such as a chat completion; `Fields` names columns and paths, as in
`judgments.judgment.response`, where the usual names do not find it. Which responses a completion was shown, in which
order, stands in the row (`order`, a list of places in the source; or `swapped`, true or false) or is said for all rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, NamedTuple

from fathom.data.conversations import BadRowError, shortened
from fathom.data.layouts import SourceRow
from fathom.data.records import Comparison
from fathom.engines import Completion, FinishReason
from fathom.errors import FathomError
from fathom.judges import Judge
from fathom.results.rows import VerdictRow, to_row
from fathom.voting.recorded import Order, recorded

Recorded = tuple[Order, Completion | None]
Shown = Literal["source", "swapped", "both", "each"]
"""How the responses were shown: as the source has them, in reverse, by turns both ways, or each response alone."""

IDS = ("id", "custom_id", "pair_id", "uid", "uuid", "idx", "item_id", "question_id", "prompt_id")
TEXTS = (
    *("completion", "completions", "generation", "generations", "generated_text", "judgment", "judgments", "judgement"),
    *(
        "judgements",
        "text",
        "texts",
        "output",
        "outputs",
        "raw_output",
        "model_output",
        "response",
        "responses",
        "result",
    ),
)
INNER = ("text", "content", "completion", "generation", "generated_text", "judgment", "judgement", "output", "response")
"""What a text is called within an object."""
REASONINGS = ("reasoning", "reasoning_content")
ORDERS = ("order", "orders")
SWAPPED = ("swapped", "is_swapped", "swap", "flipped", "is_flipped", "reversed")
REASONS: Mapping[str, FinishReason] = {
    **dict.fromkeys(("stop", "end_turn", "eos", "stop_sequence", "completed", "finished"), "stop"),
    **dict.fromkeys(("length", "max_tokens", "max_output_tokens", "truncated", "incomplete"), "length"),
}
"""Of finish reasons in small letters. Any other is taken for the end of a whole text, as no reason is."""


@dataclass(frozen=True)
class Fields:
    """Columns, or paths into them, where the usual names do not find them: a list is followed item by item."""

    id: str | None = None
    text: str | None = None
    order: str | None = None
    finish_reason: str | None = None


class Transcript(NamedTuple):
    """All completions on one comparison."""

    id: str
    completions: tuple[Completion | None, ...]
    """None is a call that failed."""
    orders: tuple[Order | None, ...]
    """The places in the source of the responses that each was shown; None where the row does not say it."""
    row: SourceRow
    """The first row of that id."""
    where: str
    """Its file and line, for messages."""
    read: frozenset[str] = frozenset()
    """The columns of that row in which the id, the texts and their order were found."""

    @property
    def judged(self) -> SourceRow:
        """What the row holds beside the judge's texts, under the transcript's id: it may be what was judged."""
        return {name: value for name, value in self.row.items() if name not in self.read} | {"id": self.id}


def read_transcripts(
    rows: Iterable[tuple[int, Any]], fields: Fields | None = None, *, name: str = "transcripts"
) -> Iterator[Transcript]:
    """The transcripts of numbered rows, in the order in which their ids occur.

    Raises FathomError: with `name`, the line and the column for a row without an id, a text or a possible order, and
    for a field that names no column of any row.
    """
    fields = fields or Fields()
    found: dict[str, list[Transcript]] = {}
    columns: dict[str, None] = {}
    for line, row in rows:
        where = f"{name}:{line}"
        if isinstance(row, BadRowError):
            raise FathomError(f"{where}: {row}")
        if not isinstance(row, Mapping):
            raise FathomError(f"{where}: got {type(row).__name__}, expected an object with an id and a text")
        columns |= dict.fromkeys(row)
        transcript = _transcript(row, where, fields)
        found.setdefault(transcript.id, []).append(transcript)
    for name_of, path in asdict(fields).items():
        if path is not None and _column(path, columns) not in columns:
            raise FathomError(
                f"{name}: --map {name_of}={path} names no column of the rows; there are {', '.join(columns)}"
            )
    for same in found.values():
        yield same[0]._replace(
            completions=tuple(completion for each in same for completion in each.completions),
            orders=tuple(order for each in same for order in each.orders),
        )


def _transcript(row: SourceRow, where: str, fields: Fields) -> Transcript:
    key = fields.id or _first(row, IDS)
    id = _at(row, key)
    if id is None or isinstance(id, list | Mapping):
        raise FathomError(f"{where}: no id among {', '.join(row)}; name its column with --map id=COLUMN")
    text = fields.text or _text_column(row, where)
    order = fields.order or _first(row, (*ORDERS, *SWAPPED))
    reason, reasoning = fields.finish_reason or "finish_reason", _first(row, REASONINGS)
    try:
        completions = tuple(_completions(text, _at(row, text), _at(row, reason), _at(row, reasoning)))
        orders = _orders(row, order, len(completions))
    except BadRowError as bad:
        raise FathomError(f"{where}: {bad.field}: {bad}") from None
    read = frozenset(_column(path, row) for path in (key, text, order, reason, reasoning) if path is not None)
    return Transcript(str(id), completions, orders, row, where, read)


def _first(row: SourceRow, names: Sequence[str]) -> str | None:
    """The first of these columns that holds something."""
    return next((name for name in names if row.get(name) is not None), None)


def _column(path: str, columns: Container[str]) -> str:
    """The column that a path begins with."""
    return path if path in columns else path.partition(".")[0]


def _at(row: Any, path: str | None) -> Any:
    """What stands at a path such as `judgments.judgment.response`; of a list, what stands there in each item."""
    if path is None:
        return None
    if isinstance(row, Mapping) and path in row:
        return row[path]
    step, _, rest = path.partition(".")
    if isinstance(row, list):
        return [_at(each, path) for each in row]
    value = row.get(step) if isinstance(row, Mapping) else None
    return _at(value, rest) if rest and value is not None else None if rest else value


def _text_column(row: SourceRow, where: str) -> str:
    there = [name for name in TEXTS if name in row]
    if len(there) != 1:
        which = "more than one column may hold the judge's text" if there else "no column holds the judge's text"
        raise FathomError(f"{where}: {which}: {', '.join(there or row)}; name it with --map text=COLUMN")
    return there[0]


# Completions ----------------------------------------------------------------------------------------------------------


def _completions(place: str, told: Any, reason: Any, reasoning: Any) -> Iterator[Completion | None]:
    """The completions that a value holds; None for a call that failed. Raises BadRowError with the place in the row."""
    if told is None:
        yield None
    elif isinstance(told, str):
        yield Completion(told, REASONS.get(str(reason).lower(), "stop"), reasoning=str(reasoning or ""))
    elif isinstance(told, list):
        if told and all(isinstance(part, Mapping) and "type" in part for part in told):
            text = "".join(str(part.get("text") or "") for part in told if part["type"] in ("text", "output_text"))
            yield from _completions(place, text, reason, reasoning)
        else:
            for number, each in enumerate(told):
                yield from _completions(f"{place}.{number}", each, reason, reasoning)
    elif isinstance(told, Mapping):
        yield from _of_object(place, told, reason, reasoning)
    else:
        got = f"got {type(told).__name__} {told!r}, expected the judge's text"
        raise BadRowError(place, f"{got}; if another column holds it, name that with --map text=COLUMN")


def _of_object(place: str, told: SourceRow, reason: Any, reasoning: Any) -> Iterator[Completion | None]:
    reason = told.get("finish_reason") or told.get("stop_reason") or reason
    reasoning = told.get("reasoning_content") or told.get("reasoning") or reasoning
    for name in ("body", "choices", "message", *INNER):
        if name in told:
            yield from _completions(f"{place}.{name}", told[name], reason, reasoning)
            return
    yield None  # an error in place of an answer


# Orders ---------------------------------------------------------------------------------------------------------------


def _orders(row: SourceRow, column: str | None, count: int) -> tuple[Order | None, ...]:
    """The order of each of the texts, None where the row does not say it. Raises BadRowError."""
    told = _at(row, column)
    if column is None or told is None:
        return ((0, 1), (1, 0)) if _is_of_judgebench(row) and count == 2 else (None,) * count
    each = told if isinstance(told, list) and told and isinstance(told[0], list | bool) else [told] * count
    if len(each) != count:
        raise BadRowError(column, f"got {len(each)} orders of {count} texts, expected one for each, or one for all")
    return tuple(_order(one, column) for one in each)


def _order(told: Any, column: str) -> Order:
    if isinstance(told, bool):
        return (1, 0) if told else (0, 1)
    if isinstance(told, int):
        return (told,)
    if isinstance(told, list) and all(type(place) is int for place in told) and sorted(told) == list(range(len(told))):
        return tuple(told)
    raise BadRowError(column, f"got {shortened(told)}, expected places from 0 such as [1, 0], or true for swapped")


def _is_of_judgebench(row: SourceRow) -> bool:
    return {"pair_id", "judgments"} <= row.keys()


# Verdicts -------------------------------------------------------------------------------------------------------------


@dataclass
class TranscriptReader:
    """Makes verdict rows of a judge's texts on known comparisons.

    A comparison is found by its id, or by the part of it after the last `/` where no other id ends so: benchmarks put
    names before the ids of their files.
    """

    judge: Judge
    comparisons: Mapping[str, Comparison]
    shown: Shown | None = None
    """How responses were shown where rows do not say it."""
    otherwise: Callable[[SourceRow], Comparison | None] | None = None
    """Makes the comparison of a row whose id is not among `comparisons`."""
    skip: bool = False
    """Whether transcripts of unknown ids are left out, where they would stop the reading."""
    used: set[str] = field(default_factory=set)
    """Ids of the comparisons that have a transcript."""
    left_out: list[str] = field(default_factory=list)
    """Ids that are unknown."""
    assumed: int = 0
    """Transcripts of one text whose order nobody states: taken as the source has the responses."""

    def __post_init__(self) -> None:
        ends = {id: id.rpartition("/")[2] for id in self.comparisons}
        counts = Counter(ends.values())
        self._by_end = {end: id for id, end in ends.items() if counts[end] == 1}

    @property
    def missing(self) -> int:
        """Comparisons without a transcript."""
        return len(self.comparisons.keys() - self.used)

    def rows(self, transcripts: Iterable[Transcript]) -> Iterator[VerdictRow]:
        """A verdict row for each transcript.

        Raises FathomError for an unknown id, and where it is not clear which responses were shown.
        """
        for transcript in transcripts:
            comparison = self._comparison(transcript)
            if comparison is not None:
                self.used.add(comparison.id)
                yield to_row(comparison, recorded(self.judge, comparison, self._read(transcript, comparison)))

    def _comparison(self, transcript: Transcript) -> Comparison | None:
        id = transcript.id
        known = id if id in self.comparisons else self._by_end.get(id)
        if known is not None:
            return self.comparisons[known]
        made = self.otherwise(transcript.row) if self.otherwise else None
        if made is None and not self.skip:
            example = f"; ids there are, for example, {next(iter(self.comparisons))!r}" if self.comparisons else ""
            raise FathomError(f"{transcript.where}: the id {id!r} is not in the source{example}")
        if made is None:
            self.left_out.append(id)
        return made

    def _read(self, transcript: Transcript, comparison: Comparison) -> list[Recorded]:
        told = list(zip(self._orders(transcript, comparison), transcript.completions, strict=True))
        return _in_rounds(told, len(comparison.responses)) if self.judge.arity == "pointwise" else told

    def _orders(self, transcript: Transcript, comparison: Comparison) -> list[Order]:
        stated, count = transcript.orders, len(comparison.responses)
        shown = self._shown(transcript, count) if None in stated else "source"
        orders = [_by_turns(shown, turn, count) if order is None else order for turn, order in enumerate(stated)]
        for order in orders:
            alone = self.judge.arity == "pointwise"
            if (len(order) != 1 if alone else len(order) != count) or max(order) >= count:
                raise FathomError(
                    f"{transcript.where}: got order {list(order)} of {count} responses; {type(self.judge).__name__}"
                    f" is shown {'one response at a time' if alone else 'all of them'}"
                )
        return [_in_comparison(order, comparison) for order in orders]

    def _shown(self, transcript: Transcript, count: int) -> Shown:
        texts = len(transcript.completions)
        if self.judge.arity == "pointwise":
            if self.shown in (None, "each") and texts % count == 0:
                return "each"
            raise FathomError(
                f"{transcript.where}: {texts} texts on {count} responses, which {type(self.judge).__name__} is"
                " shown one at a time; expected a text on each in turn, or the response's place as order"
            )
        if self.shown is not None and self.shown != "each":
            return self.shown
        if texts == 1:
            self.assumed += 1
            return "source"
        raise FathomError(
            f"{transcript.where}: {texts} texts and no order; say how the responses were shown: --shown both (by"
            " turns both ways), source or swapped, or --map order=COLUMN"
        )


def _in_rounds(told: Sequence[Recorded], count: int) -> list[Recorded]:
    """Completions on one response each, sorted into rounds of all responses; one that is not there has failed."""
    by_place: dict[int, list[Completion | None]] = {place: [] for place in range(count)}
    for (place,), completion in told:
        by_place[place].append(completion)
    rounds = max(map(len, by_place.values()))
    return [
        ((place,), texts[turn] if turn < len(texts) else None)
        for turn in range(rounds)
        for place, texts in by_place.items()
    ]


def _by_turns(shown: Shown, turn: int, count: int) -> Order:
    if shown == "each":
        return (turn % count,)
    straight = tuple(range(count))
    return straight[::-1] if shown == "swapped" or (shown == "both" and turn % 2) else straight


def _in_comparison(order: Order, comparison: Comparison) -> Order:
    """Places in the source as those of the comparison, whose responses may have been drawn into another order."""
    source_order = comparison.source_order
    return order if source_order is None else tuple(source_order.index(place) for place in order)
