"""Parse completions that another tool recorded, as if the judge had requested them.

    transcripts = read_transcripts(enumerate(outputs, 1))
    reader = TranscriptReader(judge, {comparison.id: comparison for comparison in source})
    verdicts = list(reader.rows(transcripts))        # as `fathom judge` writes them

| a row has | meaning |
|---|---|
| an id and a text | one completion on the comparison with that id; several rows with one id are several votes |
| an id and a list of texts | several completions |
| `custom_id` and `response` | one completion (OpenAI's batch files) |
| `pair_id` and `judgments` | two completions, one in each order (JudgeBench's outputs) |

A text may be nested in objects, such as a chat completion. If the usual names do not find it, `Fields` gives the column
or a path such as `judgments.judgment.response`. The order of the responses is a column (`order`, a list of indices in
the source; or `swapped`, true or false) or one setting for all rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, NamedTuple

from fathom.data.conversations import BadRowError, truncated_repr
from fathom.data.layouts import SourceRow
from fathom.data.records import Comparison
from fathom.engines import Completion, FinishReason
from fathom.errors import FathomError
from fathom.judges import Judge
from fathom.results.rows import VerdictRow, to_row
from fathom.voting.recorded import Order, verdict_from_completions

Recorded = tuple[Order, Completion | None]
Shown = Literal["source", "swapped", "both", "each"]
"""The order of the responses: as in the source, reversed, both alternately, or each response alone."""

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
"""The keys of a text within an object."""
REASONINGS = ("reasoning", "reasoning_content")
ORDERS = ("order", "orders")
SWAPPED = ("swapped", "is_swapped", "swap", "flipped", "is_flipped", "reversed")
REASONS: Mapping[str, FinishReason] = {
    **dict.fromkeys(("stop", "end_turn", "eos", "stop_sequence", "completed", "finished"), "stop"),
    **dict.fromkeys(("length", "max_tokens", "max_output_tokens", "truncated", "incomplete"), "length"),
}
"""Finish reasons in lower case. Any other value, and a missing one, counts as the end of a complete text."""


@dataclass(frozen=True)
class Fields:
    """Columns, or paths into columns, that replace the usual names. A path through a list applies to each item."""

    id: str | None = None
    text: str | None = None
    order: str | None = None
    finish_reason: str | None = None


class Transcript(NamedTuple):
    """All completions on one comparison."""

    id: str
    completions: tuple[Completion | None, ...]
    """None for a failed call."""
    orders: tuple[Order | None, ...]
    """The order of the responses for each completion, as indices in the source; None if the row does not have it."""
    row: SourceRow
    """The first row with this id."""
    where: str
    """The file and line of that row, for error messages."""
    read: frozenset[str] = frozenset()
    """The columns of that row that hold the id, the texts and their order."""

    @property
    def judged(self) -> SourceRow:
        """The other columns of the row, with the transcript's id: they may contain the comparison itself."""
        return {name: value for name, value in self.row.items() if name not in self.read} | {"id": self.id}


def read_transcripts(
    rows: Iterable[tuple[int, Any]], fields: Fields | None = None, *, name: str = "transcripts"
) -> Iterator[Transcript]:
    """The transcripts of numbered rows, in the order in which their ids first occur.

    Raises FathomError for a row without an id, without a text or with an invalid order (with `name`, line and column),
    and for a field that names no column of any row.
    """
    fields = fields or Fields()
    by_id: dict[str, list[Transcript]] = {}
    columns: dict[str, None] = {}
    for line, row in rows:
        where = f"{name}:{line}"
        if isinstance(row, BadRowError):
            raise FathomError(f"{where}: {row}")
        if not isinstance(row, Mapping):
            raise FathomError(f"{where}: got {type(row).__name__}, expected an object with an id and a text")
        columns |= dict.fromkeys(row)
        transcript = _transcript(row, where, fields)
        by_id.setdefault(transcript.id, []).append(transcript)
    for name_of, path in asdict(fields).items():
        if path is not None and _column(path, columns) not in columns:
            raise FathomError(
                f"{name}: --map {name_of}={path} names no column of the rows; expected one of {', '.join(columns)}"
            )
    for same in by_id.values():
        yield same[0]._replace(
            completions=tuple(completion for each in same for completion in each.completions),
            orders=tuple(order for each in same for order in each.orders),
        )


def _transcript(row: SourceRow, where: str, fields: Fields) -> Transcript:
    key = fields.id or _first(row, IDS)
    id = _at(row, key)
    if id is None or isinstance(id, list | Mapping):
        raise FathomError(f"{where}: no id in the columns {', '.join(row)}; name its column with --map id=COLUMN")
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
    """The first of these columns that has a value."""
    return next((name for name in names if row.get(name) is not None), None)


def _column(path: str, columns: Container[str]) -> str:
    """The column in which a path starts. A column name may itself contain dots."""
    return path if path in columns else path.partition(".")[0]


def _at(row: Any, path: str | None) -> Any:
    """The value at a path such as `judgments.judgment.response`; for a list, the list of the items' values."""
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
    candidates = [name for name in TEXTS if name in row]
    if len(candidates) != 1:
        which = "several columns may hold the judge's text" if candidates else "no column holds the judge's text"
        raise FathomError(f"{where}: {which}: {', '.join(candidates or row)}; name it with --map text=COLUMN")
    return candidates[0]


# Completions ----------------------------------------------------------------------------------------------------------


def _completions(place: str, value: Any, reason: Any, reasoning: Any) -> Iterator[Completion | None]:
    """The completions in a value; None for a failed call. Raises BadRowError with the position in the row."""
    if value is None:
        yield None
    elif isinstance(value, str):
        yield Completion(value, REASONS.get(str(reason).lower(), "stop"), reasoning=str(reasoning or ""))
    elif isinstance(value, list):
        # A list of typed parts is the content of one message; any other list has one completion per item.
        if value and all(isinstance(part, Mapping) and "type" in part for part in value):
            text = "".join(str(part.get("text") or "") for part in value if part["type"] in ("text", "output_text"))
            yield from _completions(place, text, reason, reasoning)
        else:
            for number, each in enumerate(value):
                yield from _completions(f"{place}.{number}", each, reason, reasoning)
    elif isinstance(value, Mapping):
        yield from _of_object(place, value, reason, reasoning)
    else:
        got = f"got {type(value).__name__} {value!r}, expected the judge's text"
        raise BadRowError(place, f"{got}; if another column holds it, name that with --map text=COLUMN")


def _of_object(place: str, value: SourceRow, reason: Any, reasoning: Any) -> Iterator[Completion | None]:
    reason = value.get("finish_reason") or value.get("stop_reason") or reason
    reasoning = value.get("reasoning_content") or value.get("reasoning") or reasoning
    for name in ("body", "choices", "message", *INNER):
        if name in value:
            yield from _completions(f"{place}.{name}", value[name], reason, reasoning)
            return
    yield None  # no text at all: batch files have an error object in place of the answer


# Orders ---------------------------------------------------------------------------------------------------------------


def _orders(row: SourceRow, column: str | None, count: int) -> tuple[Order | None, ...]:
    """The order of the responses for each text; None if the row does not have it. Raises BadRowError."""
    value = _at(row, column)
    if column is None or value is None:
        return ((0, 1), (1, 0)) if _is_of_judgebench(row) and count == 2 else (None,) * count
    orders = value if isinstance(value, list) and value and isinstance(value[0], list | bool) else [value] * count
    if len(orders) != count:
        raise BadRowError(column, f"got {len(orders)} orders for {count} texts, expected one for each, or one for all")
    return tuple(_order(order, column) for order in orders)


def _order(value: Any, column: str) -> Order:
    if isinstance(value, bool):  # before int, because a bool is an int
        return (1, 0) if value else (0, 1)
    if isinstance(value, int):
        return (value,)
    indices = range(len(value)) if isinstance(value, list) else ()
    if isinstance(value, list) and all(type(index) is int for index in value) and sorted(value) == list(indices):
        return tuple(value)
    raise BadRowError(
        column, f"got {truncated_repr(value)}, expected indices from 0 such as [1, 0], or true for swapped"
    )


def _is_of_judgebench(row: SourceRow) -> bool:
    return {"pair_id", "judgments"} <= row.keys()


# Verdicts -------------------------------------------------------------------------------------------------------------


@dataclass
class TranscriptReader:
    """Makes verdict rows from a judge's texts on known comparisons.

    A comparison is found by its id, or by the part of its id after the last `/` if that is unique: benchmarks prefix
    the ids of their files with names.
    """

    judge: Judge
    comparisons: Mapping[str, Comparison]
    shown: Shown | None = None
    """The order of the responses if rows do not have it."""
    otherwise: Callable[[SourceRow], Comparison | None] | None = None
    """Makes the comparison of a row whose id is not in `comparisons`."""
    skip: bool = False
    """Whether transcripts with unknown ids are left out rather than being an error."""
    used: set[str] = field(default_factory=set)
    """The ids of comparisons with a transcript."""
    left_out: list[str] = field(default_factory=list)
    """The unknown ids of transcripts that were left out."""
    assumed: int = 0
    """The number of transcripts with a single text and no order, for which source order was assumed."""

    def __post_init__(self) -> None:
        ends = {id: id.rpartition("/")[2] for id in self.comparisons}
        counts = Counter(ends.values())
        self._by_end = {end: id for id, end in ends.items() if counts[end] == 1}

    @property
    def missing(self) -> int:
        """The number of comparisons without a transcript."""
        return len(self.comparisons.keys() - self.used)

    def rows(self, transcripts: Iterable[Transcript]) -> Iterator[VerdictRow]:
        """Yield a verdict row per transcript.

        Raises FathomError for an unknown id, and if the order of the responses is ambiguous.
        """
        for transcript in transcripts:
            comparison = self._comparison(transcript)
            if comparison is not None:
                self.used.add(comparison.id)
                yield to_row(
                    comparison, verdict_from_completions(self.judge, comparison, self._read(transcript, comparison))
                )

    def _comparison(self, transcript: Transcript) -> Comparison | None:
        id = transcript.id
        known = id if id in self.comparisons else self._by_end.get(id)
        if known is not None:
            return self.comparisons[known]
        made = self.otherwise(transcript.row) if self.otherwise else None
        if made is None and not self.skip:
            example = f"; expected ids such as {next(iter(self.comparisons))!r}" if self.comparisons else ""
            raise FathomError(f"{transcript.where}: the id {id!r} is not in the source{example}")
        if made is None:
            self.left_out.append(id)
        return made

    def _read(self, transcript: Transcript, comparison: Comparison) -> list[Recorded]:
        texts = list(zip(self._orders(transcript, comparison), transcript.completions, strict=True))
        return _in_rounds(texts, len(comparison.responses)) if self.judge.arity == "pointwise" else texts

    def _orders(self, transcript: Transcript, comparison: Comparison) -> list[Order]:
        stated, count = transcript.orders, len(comparison.responses)
        shown = self._default_order(transcript, count) if None in stated else "source"
        orders = [_order_of_text(shown, turn, count) if order is None else order for turn, order in enumerate(stated)]
        for order in orders:
            alone = self.judge.arity == "pointwise"
            if (len(order) != 1 if alone else len(order) != count) or max(order) >= count:
                raise FathomError(
                    f"{transcript.where}: got order {list(order)} of {count} responses, but {type(self.judge).__name__}"
                    f" is shown {'one response at a time' if alone else 'all of them'}"
                )
        return [_in_comparison(order, comparison) for order in orders]

    def _default_order(self, transcript: Transcript, count: int) -> Shown:
        """The order of texts whose rows have none."""
        texts = len(transcript.completions)
        if self.judge.arity == "pointwise":
            if self.shown in (None, "each") and texts % count == 0:
                return "each"
            raise FathomError(
                f"{transcript.where}: {texts} texts on {count} responses, but {type(self.judge).__name__} is shown one"
                " response at a time; expected a text on each response in turn, or the response's index as order"
            )
        if self.shown is not None and self.shown != "each":
            return self.shown
        if texts == 1:
            self.assumed += 1
            return "source"
        raise FathomError(
            f"{transcript.where}: {texts} texts and no order; give the order of the responses as --shown both"
            " (alternately), source or swapped, or as --map order=COLUMN"
        )


def _in_rounds(recorded_texts: Sequence[Recorded], count: int) -> list[Recorded]:
    """Sort completions on single responses into rounds, each with every response once.

    A round is one vote. A response without a completion in a round counts as a failed call.
    """
    by_place: dict[int, list[Completion | None]] = {place: [] for place in range(count)}
    for (place,), completion in recorded_texts:
        by_place[place].append(completion)
    rounds = max(map(len, by_place.values()))
    return [
        ((place,), texts[turn] if turn < len(texts) else None)
        for turn in range(rounds)
        for place, texts in by_place.items()
    ]


def _order_of_text(shown: Shown, turn: int, count: int) -> Order:
    if shown == "each":
        return (turn % count,)
    straight = tuple(range(count))
    return straight[::-1] if shown == "swapped" or (shown == "both" and turn % 2) else straight


def _in_comparison(order: Order, comparison: Comparison) -> Order:
    """Indices in the source as indices in the comparison, whose responses may have been shuffled."""
    source_order = comparison.source_order
    return order if source_order is None else tuple(source_order.index(place) for place in order)
