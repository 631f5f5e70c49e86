"""Rows that were read from a file: checked, and those of earlier versions upgraded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields
from typing import Any, cast

from fathom.errors import FathomError
from fathom.judges import Rule, Vote
from fathom.results._schema import SCHEMA, PairRow, RankingRow, Row, VerdictRow, VoteRow

_RENAMED = {"placement": "source_order", "right_from": "threshold"}
_RENAMED_OF_VOTES = {
    "counted": "included",
    "extended_to": "retry_max_tokens",
    "missing_mass": "residual_probability",
    "parts": "per_response",
}
"""Keys of version 1, and what they are called since."""
_LISTS = frozenset({"responses", "votes", "pairs", "order", "pair"})
_OBJECTS = frozenset({"tokens", "metadata", "rule"})


def checked(row: dict[str, Any], where: str) -> Row:
    """The row, upgraded where it is of an earlier version.

    Raises FathomError, which begins with `where`, for what is no row of results, for a row that lacks a key, as one
    that was edited may, and for a row of a later version.
    """
    if not {"id", "metadata"} <= row.keys():
        raise FathomError(f"{where}: {_unlike_results(row)}")
    if "votes" not in row and "pairs" not in row:
        raise FathomError(
            f"{where}: row {row['id']!r} has neither votes nor pairs; make results first: fathom judge FILE --out "
            "verdicts.jsonl, or fathom rank FILE --out rankings.jsonl"
        )
    version = row.get("schema", 1)
    if not isinstance(version, int) or not 1 <= version <= SCHEMA:
        raise FathomError(
            f"{where}: has rows of schema {version!r}, and this version of Fathom reads up to {SCHEMA}: upgrade Fathom"
        )
    if version < SCHEMA:
        _check_first(row, where)
        row = upgraded(row)
    _check_keys(row, VerdictRow if "votes" in row else RankingRow, where)
    for number, pair in enumerate(row.get("pairs", ())):
        _check_keys(pair, PairRow, f"{where}: pairs.{number}")
    for place, vote in _votes(row):
        _check_keys(vote, VoteRow, f"{where}: {place}")
    return cast("Row", row)


def _unlike_results(row: Mapping[str, Any]) -> str:
    if is_preference(row):
        return "is a preference of fathom pairs; expected a verdict or a ranking, as fathom judge or rank writes them"
    return "no row of results; expected what fathom judge or fathom rank writes"


def is_preference(row: Mapping[str, Any]) -> bool:
    """Whether a row is one that `fathom pairs` writes."""
    return {"chosen", "rejected", "margin"} <= row.keys() and "votes" not in row


def _votes(row: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    """The votes of a verdict or of a ranking, with the place of each."""
    for number, vote in enumerate(row.get("votes", ())):
        yield f"votes.{number}", vote
    for number, pair in enumerate(row.get("pairs", ())):
        for place, vote in enumerate(pair["votes"]):
            yield f"pairs.{number}.votes.{place}", vote


def _check_keys(value: Any, kind: Any, where: str) -> None:
    _check_object(value, where)
    lacking = kind.__required_keys__ - value.keys()
    if lacking:
        name = min(lacking)
        raise FathomError(f"{where}: lacks {name}, which every result has; was it changed, or made by other tools?")
    _check_kinds(value, where)


def _check_object(value: Any, where: str) -> None:
    if not isinstance(value, dict):
        raise FathomError(f"{where}: got {type(value).__name__}, expected a JSON object")


def _check_kinds(value: Mapping[str, Any], where: str) -> None:
    for names, kind, expected in ((_LISTS, list, "a list"), (_OBJECTS, dict, "an object")):
        for name in names & value.keys():
            if not isinstance(value[name], kind):
                raise FathomError(f"{where}: {name}: got {type(value[name]).__name__}, expected {expected}")


# Version 1 ------------------------------------------------------------------------------------------------------------

_FIRST = frozenset({"domain", "label", "prompt", "responses", "tokens", "winner", "scores"})
_FIRST_VERDICT = _FIRST | {"status", "correct", "agreement", "flip_rate", "votes"}
_FIRST_RANKING = _FIRST | {"order", "missing", "kendall_tau", "pairs"}
_FIRST_VOTE = frozenset({"status", "winner", "order", "error"})
"""What every row of version 1 has. Nothing else can be said for sure where one of these is missing."""


def _check_first(row: Mapping[str, Any], where: str) -> None:
    def check(value: Any, names: frozenset[str], where: str) -> None:
        _check_object(value, where)
        for name in sorted(names - value.keys()):
            raise FathomError(f"{where}: lacks {name}, which every result has; was it changed, or made by other tools?")
        _check_kinds(value, where)

    check(row, _FIRST_VERDICT if "votes" in row else _FIRST_RANKING, where)
    for number, pair in enumerate(row.get("pairs", ())):
        check(pair, frozenset({"pair", "status", "winner", "votes"}), f"{where}: pairs.{number}")
    for place, vote in _votes(row):
        check(vote, _FIRST_VOTE, f"{where}: {place}")


def upgraded(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of version 1 as version 2 has it. What version 1 did not record has its default.

    A ranking's votes had neither scores nor a rule, so its shares and winners stand as they were counted.
    """
    given = {_RENAMED.get(name, name): value for name, value in row.items()}
    made = {"source_order": None, "reference": None, "label_scores": None, **given, "schema": SCHEMA}
    made["full_label"] = _label(made)
    if "votes" in made:
        made = {"threshold": None, **made, "rule": _rule(made), "votes": [_vote(vote) for vote in made["votes"]]}
    if "pairs" in made:
        made["pairs"] = [_pair(pair) for pair in made["pairs"]]
    return made


def _label(row: Mapping[str, Any]) -> dict[str, Any] | None:
    if row["label_scores"] is not None:
        return {"scores": row["label_scores"]}
    return None if row["label"] is None else {"best": row["label"]}


def _rule(row: Mapping[str, Any]) -> dict[str, Any]:
    return {field.name: field.default for field in fields(Rule)} | dict(row.get("rule", {}))


def _pair(pair: Mapping[str, Any]) -> dict[str, Any]:
    defaults = {"scores": None, "threshold": None, "share": None, "agreement": None}
    return {**defaults, **pair, "rule": _rule(pair), "votes": [_vote(vote) for vote in pair["votes"]]}


def _vote(vote: Mapping[str, Any]) -> dict[str, Any]:
    given = {_RENAMED_OF_VOTES.get(name, name): value for name, value in vote.items()}
    made = {"structure": None, "tokens": {"prompt": 0, "completion": 0}, **_VOTE_DEFAULTS, **given}
    return made | {"per_response": [_vote(part) for part in made["per_response"]]}


_VOTE_DEFAULTS = {field.name: field.default for field in fields(Vote) if field.default is not MISSING} | {"order": []}
del _VOTE_DEFAULTS["usage"]  # which rows have as `tokens`
