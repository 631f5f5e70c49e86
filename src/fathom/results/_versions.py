"""Checks rows that are read from a file, and upgrades rows of earlier schema versions."""

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
"""Keys of version 1 and their names in version 2."""
_LISTS = frozenset({"responses", "votes", "pairs", "order", "pair"})
_OBJECTS = frozenset({"tokens", "metadata", "rule"})


def checked(row: dict[str, Any], where: str) -> Row:
    """Check a row, and upgrade it if it has an earlier schema version.

    Raises FathomError, prefixed with `where`, for an object that is not a result row, for a row that lacks a key, and
    for a row of a later version.
    """
    if not {"id", "metadata"} <= row.keys():
        raise FathomError(f"{where}: {_unlike_results(row)}")
    if "votes" not in row and "pairs" not in row:
        raise FathomError(
            f"{where}: row {row['id']!r} has neither votes nor pairs; expected results of fathom judge FILE --out "
            "verdicts.jsonl or fathom rank FILE --out rankings.jsonl"
        )
    version = row.get("schema", 1)
    if not isinstance(version, int) or not 1 <= version <= SCHEMA:
        raise FathomError(
            f"{where}: has schema {version!r}, but this version of Fathom reads only up to {SCHEMA}; upgrade Fathom"
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
        return "is a preference of fathom pairs; expected a row of fathom judge or fathom rank"
    return "is not a result row; expected a row of fathom judge or fathom rank"


def is_preference(row: Mapping[str, Any]) -> bool:
    """Whether a row is a preference of `fathom pairs`."""
    return {"chosen", "rejected", "margin"} <= row.keys() and "votes" not in row


def _votes(row: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    """The votes of a verdict or of a ranking, each with its path in the row."""
    for number, vote in enumerate(row.get("votes", ())):
        yield f"votes.{number}", vote
    for number, pair in enumerate(row.get("pairs", ())):
        for place, vote in enumerate(pair["votes"]):
            yield f"pairs.{number}.votes.{place}", vote


def _check_keys(value: Any, kind: Any, where: str) -> None:
    _check_object(value, where)
    lacking = kind.__required_keys__ - value.keys()
    if lacking:
        raise _lacks(min(lacking), where)
    _check_kinds(value, where)


def _lacks(name: str, where: str) -> FathomError:
    return FathomError(f"{where}: lacks {name}, which every result row has; expected an unmodified file of Fathom")


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
"""The keys that every row of version 1 has. Other keys were added during version 1, so they have defaults."""


def _check_first(row: Mapping[str, Any], where: str) -> None:
    def check(value: Any, names: frozenset[str], where: str) -> None:
        _check_object(value, where)
        for name in sorted(names - value.keys()):
            raise _lacks(name, where)
        _check_kinds(value, where)

    check(row, _FIRST_VERDICT if "votes" in row else _FIRST_RANKING, where)
    for number, pair in enumerate(row.get("pairs", ())):
        check(pair, frozenset({"pair", "status", "winner", "votes"}), f"{where}: pairs.{number}")
    for place, vote in _votes(row):
        check(vote, _FIRST_VOTE, f"{where}: {place}")


def upgraded(row: Mapping[str, Any]) -> dict[str, Any]:
    """Convert a row of version 1 to version 2. Values that version 1 did not record get defaults.

    The votes of a ranking had neither scores nor a rule, so its shares and winners are not recomputed.
    """
    renamed = {_RENAMED.get(name, name): value for name, value in row.items()}
    new = {"source_order": None, "reference": None, "label_scores": None, **renamed, "schema": SCHEMA}
    new["full_label"] = _label(new)
    if "votes" in new:
        new = {"threshold": None, **new, "rule": _rule(new), "votes": [_vote(vote) for vote in new["votes"]]}
    if "pairs" in new:
        new["pairs"] = [_pair(pair) for pair in new["pairs"]]
    return new


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
    renamed = {_RENAMED_OF_VOTES.get(name, name): value for name, value in vote.items()}
    new = {"structure": None, "tokens": {"prompt": 0, "completion": 0}, **_VOTE_DEFAULTS, **renamed}
    return new | {"per_response": [_vote(part) for part in new["per_response"]]}


_VOTE_DEFAULTS = {field.name: field.default for field in fields(Vote) if field.default is not MISSING} | {"order": []}
del _VOTE_DEFAULTS["usage"]  # rows have `tokens` instead
