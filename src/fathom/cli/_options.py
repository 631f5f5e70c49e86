"""Derives command-line options from settings: each field of `fathom.settings` becomes an option; its docs are the help.

    @with_settings
    def command(file: File, *, settings: JudgingSettings, source: SourceSettings) -> None: ...

The verb gets the options --model, --votes, ... in place of `settings` and `source`, and receives validated settings
objects. So every verb that takes `EngineSettings` has the same engine options with the same help.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import typer
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from fathom.cli._config import loader
from fathom.errors import FathomError
from fathom.settings import MAX_COUNT, Settings, first_problem, flag_of

File = Annotated[
    str,
    typer.Argument(help="JSONL, JSON, CSV, TSV, XLSX, Parquet, a datasets folder or hf:OWNER/NAME:SPLIT; - for stdin."),
]
Out = Annotated[Path | None, typer.Option(help="Write the rows to this file. Default: standard output.")]
Limit = Annotated[int | None, typer.Option(min=1, max=MAX_COUNT, help="Read at most this many rows.")]
PairOutcome = Annotated[
    Literal["verdict", "votes"],
    typer.Option(
        "--pair-outcome",
        help="Count a pair by its verdict (win or tie), or by the share of votes for each response.",
    ),
]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Show the calls, tokens, cost and one prompt; send nothing and write no file."),
]

SettingsT = TypeVar("SettingsT", bound=Settings)
CONFIG = "Read settings from a YAML file with the keys of fathom.settings; options on the command line take precedence."
PLAIN = (str, int, float, bool, Path)
"""Types that Typer parses. Values of other types are passed as text and parsed by the settings."""


def with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Give `command` an option for every field of its settings parameters, and --config for a file of settings.

    A parameter's default, if any, provides the defaults of its options.
    """
    hints = get_type_hints(command, include_extras=True)
    kinds = {name: hint for name, hint in hints.items() if isinstance(hint, type) and issubclass(hint, Settings)}
    parameters: list[inspect.Parameter] = []
    for each in inspect.signature(command).parameters.values():
        if each.name in kinds:
            default = kinds[each.name]() if each.default is each.empty else each.default
            parameters += _options(default)
        else:
            parameters.append(each.replace(kind=each.KEYWORD_ONLY, annotation=hints[each.name]))
    config = typer.Option(help=CONFIG, is_eager=True, callback=loader(kinds), exists=True, dir_okay=False)
    annotation = Annotated[Path | None, config]
    parameters.append(inspect.Parameter("config", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation))

    @functools.wraps(command)
    def called(**values: Any) -> None:
        settings = {name: _collected(kind, values) for name, kind in kinds.items()}
        own = {name: value for name, value in values.items() if name in hints and name not in kinds}
        command(**own, **settings)

    called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    called.__annotations__ = {each.name: each.annotation for each in parameters}
    return called


def fields_of(kind: type[Settings]) -> Iterator[tuple[type[Settings], str, FieldInfo]]:
    """The fields that become options, including those of nested settings."""
    for name, field in kind.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, Settings):
            yield from fields_of(inner)
        else:
            yield kind, name, field


def _options(default: Settings) -> Iterator[inspect.Parameter]:
    """The options of settings, whose values are the defaults."""
    for name, field in type(default).model_fields.items():
        value = getattr(default, name)
        if isinstance(value, Settings):
            yield from _options(value)
            continue
        kind = type(default)
        annotation, shown = _annotation(field), [] if value == {} else value
        help = " ".join((field.description or "").split())
        if shown is not None:
            help = help.partition(" Default: ")[0]  # Typer shows the default of this verb
        option = typer.Option(help=help, rich_help_panel=kind.panel, **_limits(field, annotation))
        yield inspect.Parameter(
            flag_of(kind, name),
            inspect.Parameter.KEYWORD_ONLY,
            default=str(shown) if annotation is str and shown is not None else shown,
            annotation=Annotated[annotation if shown is not None else annotation | None, option],
        )


def _annotation(field: FieldInfo) -> Any:
    """The type of an option without None; str if Typer does not support the field's type."""
    if get_origin(field.annotation) in (dict, list):
        return list[str]
    origin = get_origin(field.annotation)
    kinds = get_args(field.annotation) if origin in (Union, UnionType) else (field.annotation,)
    kinds = tuple(kind for kind in kinds if kind is not NoneType)
    plain = len(kinds) == 1 and (kinds[0] in PLAIN or get_origin(kinds[0]) is Literal)
    return kinds[0] if plain else str


def _limits(field: FieldInfo, annotation: Any) -> dict[str, Any]:
    """The metavar and range in an option's help. Limits that only guard against overflow are not shown."""
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    limits: dict[str, Any] = {"metavar": extra["metavar"]} if "metavar" in extra else {}
    if annotation in (int, float):
        for limit in field.metadata:
            lowest, highest = getattr(limit, "ge", None), getattr(limit, "le", None)
            limits |= {"min": lowest} if lowest is not None and lowest > -MAX_COUNT else {}
            limits |= {"max": highest} if highest is not None and highest < MAX_COUNT else {}
    return limits


def _collected(kind: type[SettingsT], values: Mapping[str, Any]) -> SettingsT:
    """Build settings from option values. Raises typer.BadParameter for an invalid value."""
    fields: dict[str, Any] = {}
    for name, field in kind.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, Settings):
            fields[name] = _collected(inner, values)
        else:
            value = values[flag_of(kind, name)]
            fields[name] = assignments(value) if get_origin(inner) is dict else value
    try:
        return kind(**fields)
    except ValidationError as error:
        name, message = first_problem(error)
        if not name:
            raise FathomError(message) from None
        raise typer.BadParameter(message, param_hint=f"--{flag_of(kind, name).replace('_', '-')}") from None


def assignments(arguments: Sequence[str]) -> dict[str, Any]:
    """Parse NAME=VALUE arguments with YAML values. Raises FathomError for any other argument."""
    return dict(map(_assignment, arguments))


def _assignment(argument: str) -> tuple[str, Any]:
    import yaml

    name, equals, text = argument.partition("=")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise FathomError(f"{argument}: expected NAME=VALUE with a value in YAML: {error}") from None
    if not name or not equals:
        raise FathomError(f"{argument}: expected NAME=VALUE, such as timeout=60")
    return name.replace("-", "_"), value
