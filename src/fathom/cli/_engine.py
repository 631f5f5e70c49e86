"""Settings of an engine or a judge, from the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fathom.errors import FathomError


def options(arguments: Sequence[str], flags: Mapping[str, Any]) -> dict[str, Any]:
    """`flags` that were given, and NAME=VALUE with the value in YAML. Raises FathomError for any other argument."""
    return {name: value for name, value in flags.items() if value is not None} | dict(map(_option, arguments))


def _option(argument: str) -> tuple[str, Any]:
    import yaml

    name, equals, text = argument.partition("=")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise FathomError(f"{argument}: allowed is NAME=VALUE with a value in YAML: {error}") from None
    if not name or not equals:
        raise FathomError(f"{argument}: allowed is NAME=VALUE, such as timeout=60")
    return name.replace("-", "_"), value
