"""Which engine is meant, and settings of an engine or a judge, from the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fathom.errors import FathomError


def named(engine: str | None, base_url: str | None) -> str:
    """What --engine says; without it the engine that asks servers, where --base-url names one, and else local.

    Raises FathomError where --engine says another than --base-url can mean.
    """
    if base_url is None:
        return engine or "local"
    if engine not in (None, "openai"):
        raise FathomError(
            f"--engine {engine} asks no server, and --base-url names one; leave --engine out, or give --engine openai"
        )
    return "openai"


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
