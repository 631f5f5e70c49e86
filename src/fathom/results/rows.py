"""Result rows: conversion of verdicts and rankings to JSON lines and back.

    row = to_row(comparison, verdict)                # a VerdictRow; of a Ranking a RankingRow
    from_row(row) == (comparison, verdict)
    for row in read_rows(Path("verdicts.jsonl")): ...

All writing and reading of rows is in this module. `from_row` is the inverse of `to_row`. Rows also contain derived
values (`correct`, `tokens`, `flip_rate`, ...) for readers with other tools. The keys are documented in `VerdictRow`,
`RankingRow`, `VoteRow`, `PairRow` and `PreferenceRow`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from hashlib import blake2b
from pathlib import Path
from statistics import fmean
from typing import Any, BinaryIO, cast, overload

from pydantic_core import to_json

from fathom.data.records import Comparison, Label
from fathom.engines.usage import Usage
from fathom.errors import FathomError
from fathom.judges import Rule, Verdict, Vote, reduce_steps
from fathom.ranking import Ranking, share
from fathom.ranking.preferences import Preference
from fathom.ranking.tau import ranking_tau
from fathom.rationale import Rationale, Status, Unit
from fathom.results import parts
from fathom.results._schema import (
    SCHEMA,
    ComparisonRow,
    LabelRow,
    PairRow,
    PreferenceRow,
    RankingRow,
    RationaleRow,
    Row,
    RuleRow,
    Tokens,
    UnitRow,
    VerdictRow,
    VoteRow,
)
from fathom.results._versions import checked, is_preference

__all__ = [
    "SCHEMA",
    "ComparisonRow",
    "LabelRow",
    "PairRow",
    "PreferenceRow",
    "RankingRow",
    "RationaleRow",
    "Row",
    "RuleRow",
    "Tokens",
    "UnitRow",
    "VerdictRow",
    "VoteRow",
    "is_preference",
]

# Writing --------------------------------------------------------------------------------------------------------------


@overload
def to_row(comparison: Comparison, result: Verdict, *, texts: bool = True) -> VerdictRow: ...
@overload
def to_row(comparison: Comparison, result: Ranking, *, texts: bool = True) -> RankingRow: ...
def to_row(comparison: Comparison, result: Verdict | Ranking, *, texts: bool = True) -> Row:
    """The row of a verdict or a ranking, as `fathom judge` and `fathom rank` write it.

    Without `texts`, its votes have no text, reasoning or rationale. Sequences may be tuples; `write_row` writes them as
    JSON lists.
    """
    if isinstance(result, Ranking):
        return _ranking_row(comparison, result, texts)
    return _verdict_row(comparison, result, texts)


def _verdict_row(comparison: Comparison, verdict: Verdict, texts: bool) -> VerdictRow:
    row: dict[str, Any] = {
        "schema": SCHEMA,
        "id": comparison.id,
        "status": verdict.status,
        "winner": verdict.winner,
        "scores": verdict.scores,
        **_label_columns(comparison),
        "threshold": verdict.threshold,
        "correct": None,
        "agreement": verdict.agreement,
        "flip_rate": verdict.flip_rate,
        "rule": _shallow(verdict.rule),
        "tokens": tokens_of_usage(verdict.usage),
        "votes": [_vote_row(vote, texts) for vote in verdict.votes],
        **_comparison_columns(comparison),
    }
    row["correct"] = verdict_correct(cast("VerdictRow", row))
    return cast("VerdictRow", row)


def _ranking_row(comparison: Comparison, ranking: Ranking, texts: bool) -> RankingRow:
    columns = _label_columns(comparison)
    label = columns["label"]
    row = {
        "schema": SCHEMA,
        "id": comparison.id,
        "winner": ranking.winner,
        "order": ranking.order,
        "scores": ranking.scores,
        "missing": ranking.missing,
        **columns,
        "correct": ranking.winner == label if label is not None and ranking.order else None,
        "kendall_tau": ranking_tau(ranking, comparison.label),
        "tokens": tokens_of_usage(ranking.usage),
        "pairs": [_pair_row(pair, verdict, texts) for pair, verdict in ranking.verdicts.items()],
        **_comparison_columns(comparison),
    }
    return cast("RankingRow", row)


def _pair_row(pair: tuple[int, ...], verdict: Verdict, texts: bool) -> dict[str, Any]:
    return {
        "pair": pair,
        "status": verdict.status,
        "winner": None if verdict.winner is None else pair[verdict.winner],
        "scores": verdict.scores,
        "threshold": verdict.threshold,
        "share": share(verdict) if len(pair) == 2 else None,
        "agreement": verdict.agreement,
        "rule": _shallow(verdict.rule),
        "votes": [_pair_vote_row(pair, vote, texts) for vote in verdict.votes],
    }


def _pair_vote_row(pair: tuple[int, ...], vote: Vote, texts: bool) -> dict[str, Any]:
    winner = None if vote.winner is None else pair[vote.winner]
    return _vote_row(vote, texts) | {"winner": winner, "order": [pair[place] for place in vote.order]}


def _label_columns(comparison: Comparison) -> dict[str, Any]:
    label = comparison.label
    if label is None:
        return {"label": None, "label_scores": None, "full_label": None}
    return {
        "label": label.winner if len(comparison.responses) > 1 else None,
        "label_scores": label.response_scores,
        "full_label": _label_row(label),
    }


def _label_row(label: Label) -> dict[str, Any]:
    return next({name: value} for name in _LABEL_FIELDS if (value := getattr(label, name)) is not None)


_LABEL_FIELDS = tuple(Label.model_fields)


def _comparison_columns(comparison: Comparison) -> dict[str, Any]:
    """The comparison, so that a file of results can be scored and viewed without its source."""
    columns: dict[str, Any] = {
        "domain": comparison.domain,
        "source_order": comparison.source_order,
        "prompt": _prompt(comparison),
        "responses": comparison.responses,
        "reference": comparison.reference,
        "metadata": comparison.metadata,
    }
    # Few comparisons have these, so other rows omit the keys.
    if comparison.steps is not None:
        columns["steps"] = comparison.steps
    if comparison.step_types is not None:
        columns["step_types"] = comparison.step_types
    if comparison.annotations is not None:
        columns["annotations"] = {name: _label_row(label) for name, label in comparison.annotations.items()}
    return columns


def _vote_row(vote: Vote, texts: bool) -> dict[str, Any]:
    row = _shallow(vote)
    row["tokens"] = tokens_of_usage(row.pop("usage"))
    row["structure"] = vote.rationale and vote.rationale.structure
    row["rationale"] = _rationale_row(vote.rationale) if vote.rationale and texts else None
    if vote.per_response:
        row["per_response"] = [_vote_row(one, texts) for one in vote.per_response]
        # The texts of a pointwise judge are long, and the votes on each response already have them.
        row["text"] = None if vote.text == _joined(one.text for one in vote.per_response) else vote.text
    return row if texts else row | {"text": "", "reasoning": ""}


def _joined(texts: Iterable[str]) -> str:
    return "\n\n".join(texts)


def _rationale_row(rationale: Rationale) -> dict[str, Any]:
    row = _shallow(rationale)
    row["units"] = [_COPY[Unit](unit) for unit in rationale.units]
    return row


def _shallow(value: Vote | Rationale | Unit | Rule) -> dict[str, Any]:
    """The fields of a dataclass. `dataclasses.asdict` copies deeply, which took a tenth of the time of a judgment."""
    return _COPY[type(value)](value)


def _copier(kind: type) -> Callable[[Any], dict[str, Any]]:
    """Compile `lambda value: {"status": value.status, ...}` for a dataclass.

    It is twice as fast as a loop over the field names; `collections.namedtuple` compiles its methods in the same way.
    """
    entries = ", ".join(f"{field.name!r}: value.{field.name}" for field in fields(kind))
    copy: Callable[[Any], dict[str, Any]] = eval(f"lambda value: {{{entries}}}")
    return copy


_COPY = {kind: _copier(kind) for kind in (Vote, Rationale, Unit, Rule)}


def write_row(sink: BinaryIO, row: Mapping[str, Any] | Row | PreferenceRow) -> None:
    """Write a row as one line of JSON. In metadata, bytes become base64 and other values without JSON form strings."""
    # pydantic's serializer is twice as fast as `json`, and metadata of Parquet rows may have times, bytes and decimals.
    sink.write(to_json(row, bytes_mode="base64", fallback=str) + b"\n")


def preference_row(comparison: Comparison, preference: Preference, ranking: Ranking) -> PreferenceRow:
    """The row of a preference, with the vote counts of its pair in the ranking."""
    chosen, rejected = preference.chosen, preference.rejected
    votes = ranking.votes(chosen, rejected)
    row: PreferenceRow = {
        "schema": SCHEMA,
        "prompt": _prompt(comparison),
        "chosen": _answer(comparison, chosen),
        "rejected": _answer(comparison, rejected),
        "margin": preference.margin,
        "probability": votes.share,
        "chosen_votes": votes.one,
        "rejected_votes": votes.other,
        "tied_votes": votes.tied,
        "chosen_index": chosen,
        "rejected_index": rejected,
        "id": comparison.id,
    }
    return cast("PreferenceRow", {**row, **_source_columns(comparison, row)})


def _prompt(comparison: Comparison) -> str | list[dict[str, Any]]:
    prompt = comparison.prompt
    return prompt if isinstance(prompt, str) else [message.model_dump() for message in prompt]


def _answer(comparison: Comparison, index: int) -> str | list[dict[str, str]]:
    """A response in TRL's layout: a text if the prompt is a text, a message if it is a conversation."""
    text = comparison.responses[index]
    return text if isinstance(comparison.prompt, str) else [{"role": "assistant", "content": text}]


def _source_columns(comparison: Comparison, taken: Container[str]) -> dict[str, Any]:
    return {f"source_{name}" if name in taken else name: value for name, value in comparison.metadata.items()}


# Reading --------------------------------------------------------------------------------------------------------------


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of a file or of a folder of parts, upgraded to the current schema version.

    Raises FathomError, with file and line, for a line that is not a result row, and for rows of a later version.
    """
    for line, where in row_lines(path):
        yield checked(parse_object(line, where), where)


def read_objects(path: Path) -> Iterator[dict[str, Any]]:
    """The JSON objects of a file or of parts, unchecked. Raises FathomError for a line that is not a JSON object."""
    for line, where in row_lines(path):
        yield parse_object(line, where)


def row_lines(path: Path) -> Iterator[tuple[bytes, str]]:
    """Each line of a file or of parts, with its place for error messages."""
    if not path.is_file() and parts.is_run(path):
        yield from parts.lines(path)
        return
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            yield line, f"{path}:{number}"


def parse_object(text: bytes, where: str) -> dict[str, Any]:
    """Parse a JSON object. Raises FathomError, prefixed with `where`, for anything else."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FathomError(f"{where}: not JSON: {error}") from error
    if not isinstance(value, dict):
        raise FathomError(f"{where}: got {type(value).__name__}, expected a JSON object")
    return value


@overload
def from_row(row: VerdictRow) -> tuple[Comparison, Verdict]: ...
@overload
def from_row(row: RankingRow) -> tuple[Comparison, Ranking]: ...
def from_row(row: Row) -> tuple[Comparison, Verdict | Ranking]:
    """The comparison and the verdict or ranking of a row: the inverse of `to_row`.

    Raises FathomError for invalid values.
    """
    try:
        comparison = to_comparison(row)
        return comparison, _ranking(row) if "pairs" in row else _verdict(row)
    except ValueError as error:  # includes pydantic's ValidationError
        raise FathomError(f"row {row['id']!r} has an invalid value: {error}") from error


def to_comparison(row: Row) -> Comparison:
    """The comparison of a row."""
    names = Comparison.model_fields.keys() - {"label"}
    columns = cast("Mapping[str, Any]", row)
    return Comparison(label=columns["full_label"], **{name: columns[name] for name in names if name in columns})


def _verdict(row: VerdictRow) -> Verdict:
    return Verdict(
        votes=tuple(map(_vote, row["votes"])),
        status=Status(row["status"]),
        winner=row["winner"],
        scores=_tuples(row["scores"]),
        agreement=row["agreement"],
        rule=to_rule(row),
        threshold=row["threshold"],
    )


def _ranking(row: RankingRow) -> Ranking:
    return Ranking(tuple(row["scores"]), {tuple(pair["pair"]): _pair_verdict(pair) for pair in row["pairs"]})


def _pair_verdict(row: PairRow) -> Verdict:
    """The verdict of a pair. Its indices refer to the pair, while those of the row refer to all responses."""
    places = {index: place for place, index in enumerate(row["pair"])}
    votes: list[VoteRow] = [
        {
            **vote,
            "winner": None if vote["winner"] is None else places[vote["winner"]],
            "order": [places[index] for index in vote["order"]],
        }
        for vote in row["votes"]
    ]
    return Verdict(
        votes=tuple(map(_vote, votes)),
        status=Status(row["status"]),
        winner=None if row["winner"] is None else places[row["winner"]],
        scores=_tuples(row["scores"]),
        agreement=row["agreement"],
        rule=to_rule(row),
        threshold=row["threshold"],
    )


def to_rule(row: VerdictRow | PairRow) -> Rule:
    """The rule of a row. Raises ValueError for an unknown rule."""
    return Rule(**row["rule"])


def _vote(row: VoteRow) -> Vote:
    held = {**row, "text": vote_text(row)}
    values = {name: _READ.get(name, _tuples)(held[name]) for name in _VOTE_FIELDS if name in held}
    return Vote(usage=usage(row), **values)


def _rationale(row: RationaleRow | None) -> Rationale | None:
    if row is None:
        return None
    return Rationale(tuple(Unit(**unit) for unit in row["units"]), row["trace"], row["verdict"])


def _tuples(value: Any) -> Any:
    """Convert lists to tuples at any depth."""
    return tuple(map(_tuples, value)) if isinstance(value, list | tuple) else value


_VOTE_FIELDS = tuple(field.name for field in fields(Vote))
_READ: Mapping[str, Callable[[Any], Any]] = {
    "status": Status,
    "rationale": _rationale,
    "per_response": lambda votes: tuple(map(_vote, votes)),
}
"""Converters of those fields of a vote that are neither plain values nor lists of them."""

# Values derived from a row --------------------------------------------------------------------------------------------


def tokens_of_usage(usage: Usage) -> Tokens:
    """Usage as a row stores it. An unknown count is None, never 0."""
    if not usage.unknown_calls:
        return {"prompt": usage.prompt_tokens, "completion": usage.completion_tokens}
    return {
        "prompt": usage.prompt_tokens or None,
        "completion": usage.completion_tokens or None,
        "unknown_calls": usage.unknown_calls,
    }


def usage(row: Row | VoteRow) -> Usage:
    """The usage of a row or of a vote: the inverse of `tokens`."""
    counts = row["tokens"]
    return Usage(counts["prompt"] or 0, counts["completion"] or 0, counts.get("unknown_calls", 0))


def reported(usage: Usage) -> dict[str, int | None]:
    """Usage as a summary stores it: the counts of `tokens` as `prompt_tokens` and `completion_tokens`."""
    counts = cast("Mapping[str, int | None]", tokens_of_usage(usage))
    return {name if name == "unknown_calls" else f"{name}_tokens": count for name, count in counts.items()}


def format_token_count(tokens: float, usage: Usage, form: str = ",.0f") -> str:
    """A token count, or a mean of one, as text: "at least ..." or "unknown" if some calls reported no usage."""
    if usage.unknown_calls:
        return f"at least {tokens:{form}}" if tokens else "unknown"
    return f"{tokens:{form}}"


def prompt_key(row: Row, benchmark: str | None = None) -> int:
    """The cluster of a row as a 64-bit hash. Rows of one prompt share a cluster, because they are correlated.

    Rows of a benchmark are clustered by metadata["group"] if they have it. In other rows, a source column of that name
    could mean anything, so it is ignored.
    """
    metadata = row["metadata"]
    benchmark = metadata.get("benchmark", benchmark)
    grouped = benchmark is not None and "group" in metadata
    key = [benchmark, metadata["group"]] if grouped else row["prompt"]
    text = key if isinstance(key, str) else json.dumps(key, default=str)
    return int.from_bytes(blake2b(text.encode(errors="surrogatepass"), digest_size=8).digest())


def vote_text(row: VoteRow) -> str:
    """The text of a vote: its own, or the joined texts of its votes on single responses."""
    text = row["text"]
    return _joined(map(vote_text, row["per_response"])) if text is None else text


def votes_by_pair(row: Row) -> Iterator[Sequence[VoteRow]]:
    """Groups of votes on the same responses: all votes of a verdict, or the votes on each pair of a ranking."""
    yield from (pair["votes"] for pair in row["pairs"]) if "pairs" in row else [row["votes"]]


def counted_votes(row: VerdictRow) -> list[VoteRow]:
    """The votes that count towards the verdict: parsed, and not excluded by a filter."""
    return [vote for vote in row["votes"] if vote["status"] == "ok" and vote["included"]]


def is_correct(row: Row) -> bool | None:
    """Whether the label calls a single response correct. None for several responses, and unless the label is 0 or 1."""
    scores = row["label_scores"]
    return scores[0] == 1 if len(row["responses"]) == 1 and scores and scores[0] in (0, 1) else None


def pointwise_score(row: VerdictRow) -> float | None:
    """The score of a single response: the verdict's score if its rule is a mean, else the mean of the votes' scores.

    Step scores are reduced by the row's rule. None for several responses, and without a score.
    """
    if row["status"] != "ok" or len(row["responses"]) != 1:
        return None
    if row["rule"]["aggregate"] == "mean" and row["scores"]:
        return row["scores"][0]
    scores = [values[0] for vote in counted_votes(row) if (values := _vote_scores(vote, row["rule"]))]
    return fmean(scores) if scores else None


def _vote_scores(vote: VoteRow, rule: RuleRow) -> Sequence[float] | None:
    reduction = rule["steps"]
    return reduce_steps(vote["step_scores"], reduction) if vote["step_scores"] and reduction else vote["scores"]


def is_labelled(row: Row) -> bool:
    """Whether the result can be compared with a label.

    That is the case if the label names the best of several responses. For a single response, the label must be 0 or 1
    and the judge must have a threshold.
    """
    has_threshold = "pairs" not in row and row["threshold"] is not None
    return row["label"] is not None or (has_threshold and is_correct(row) is not None)


def verdict_correct(row: VerdictRow) -> bool | None:
    """Whether verdict and label agree; None if `is_labelled` is false or the status is not ok.

    A tie is not correct. The score of a single response is compared with the threshold.
    """
    if row["status"] != "ok" or not is_labelled(row):
        return None
    if row["label"] is not None:
        return row["winner"] == row["label"]
    score, threshold = pointwise_score(row), row["threshold"]
    return None if score is None or threshold is None else (score >= threshold) == is_correct(row)


def accuracy(row: Row) -> float:
    """1 for a correct verdict, 0 for a wrong one, a tie, or no verdict."""
    return float(bool(row["correct"]))


def accuracy_half_ties(row: Row) -> float:
    """As `accuracy`, but a tie counts 0.5, the expected value of breaking it at random."""
    tie = row["label"] is not None and row["correct"] is not None and row["winner"] is None
    return 0.5 if tie else accuracy(row)
