"""Reads a recipe's file: YAML, with `key=value` overrides applied, as plain values.

    read_values("recipe.yaml", ["trainer.learning_rate=1e-5"])

`fathom.train.recipe` validates them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from fathom.errors import FathomError


def read_values(path: str | Path, overrides: Iterable[str] = ()) -> dict[str, Any]:
    """The values of a recipe file with the overrides applied, not validated yet.

    Raises FathomError if the file cannot be read or is not a YAML mapping, and for an invalid override.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FathomError(f"cannot read the recipe {path}: {getattr(error, 'strerror', None) or error}") from error
    values = _yaml(text, str(path)) or {}
    if not isinstance(values, dict):
        raise FathomError(f"{path}: expected keys and values, as in `model: mini`, got {type(values).__name__}")
    for override in overrides:
        _override(values, override)
    return values


class _Loader(yaml.SafeLoader):
    """Parses only true and false as booleans. `no` stays text, because TRL has settings with that value."""


_BOOL = "tag:yaml.org,2002:bool"
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != _BOOL]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(_BOOL, re.compile("^(?:true|false)$", re.IGNORECASE), list("tTfF"))


def _yaml(text: str, where: str) -> Any:
    try:
        return yaml.load(text, _Loader)
    except (yaml.YAMLError, RecursionError) as error:
        raise FathomError(f"{where} is not YAML: {error}") from error


def _override(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise FathomError(f"invalid override {override!r}; expected key=value, such as trainer.learning_rate=1e-5")
    *parents, last = key.split(".")
    for parent in parents:
        if values.get(parent) is None:
            values[parent] = {}
        values = values[parent]
        if not isinstance(values, dict):
            raise FathomError(f"{override!r}: {parent} is {values!r}, expected a mapping")
    values[last] = _yaml(text, override)
