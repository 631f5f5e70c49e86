"""The settings of a run from a YAML file: `--config FILE`.

    engine:
      model: Qwen/Qwen3-32B
      base_url: http://localhost:8000/v1
    voting:
      votes: 8
    sampling:
      temperature: 0.8

Keys are those of the classes in `fathom.settings`. The values are the defaults of the verb's options, so an option on
the command line takes precedence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import typer
import yaml
from pydantic import ValidationError

from fathom.errors import FathomError
from fathom.settings import Settings, first_problem, flag_of

Groups = Mapping[str, type[Settings]]


def loader(kinds: Mapping[str, type[Settings]]) -> Callable[[typer.Context, Path | None], Path | None]:
    """The callback of --config for a verb that takes these settings, by the names of its parameters."""
    groups = dict(_groups(kinds))

    def load(context: typer.Context, value: Path | None) -> Path | None:
        if value is not None:
            context.default_map = {**(context.default_map or {}), **defaults(value, groups)}
        return value

    return load


def _groups(kinds: Mapping[str, type[Settings]]) -> Iterator[tuple[str, type[Settings]]]:
    """Settings made of settings have a group for each of them; others are a group themselves."""
    for name, kind in kinds.items():
        inner = {name: field.annotation for name, field in kind.model_fields.items()}
        nested = {name: kind for name, kind in inner.items() if isinstance(kind, type) and issubclass(kind, Settings)}
        yield from nested.items() if nested else [(name, kind)]


def defaults(path: Path, groups: Groups) -> dict[str, Any]:
    """The values of a file by the names of the options, as texts of the command line where an option takes those.

    Raises FathomError, which names the file and the key, for a file that is no YAML, an unknown key and a value that
    its setting does not take. Values are checked against each other later, with those of the command line.
    """
    found: dict[str, Any] = {}
    for group, values in _mapping(_loaded(path), str(path)).items():
        kind = groups[_known(group, groups, str(path))]
        where = f"{path}: {group}"
        given = {name: value for name, value in _mapping(values, where).items() if value is not None}
        for name in given:
            _known(name, kind.model_fields, where)
        _check(kind, given, where)
        found |= {flag_of(kind, name): _as_arguments(value) for name, value in given.items()}
    return found


def _loaded(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise FathomError(f"--config {path}: cannot be read: {error}; expected YAML such as `model: mini`") from None


def _mapping(value: Any, where: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise FathomError(f"{where}: got {type(value).__name__}, expected keys with values, such as `model: mini`")
    return {str(name): inner for name, inner in value.items()}


def _known(name: str, known: Mapping[str, object], where: str) -> str:
    if name in known:
        return name
    close = get_close_matches(name.replace("-", "_"), known, n=3)
    meant = f"did you mean {' or '.join(close)}? " if close else ""
    raise FathomError(f"{where}: unknown key {name!r}; {meant}expected one of {', '.join(known)}")


def _check(kind: type[Settings], values: Mapping[str, Any], where: str) -> None:
    try:
        kind(**values)
    except ValidationError as error:
        name, message = first_problem(error)
        if name:
            raise FathomError(f"{where}.{name}: {message}") from None


def _as_arguments(value: Any) -> Any:
    if isinstance(value, dict):
        return [f"{name}={yaml.safe_dump(inner, default_flow_style=True).strip()}" for name, inner in value.items()]
    return value
