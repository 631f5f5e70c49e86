"""Finds verbs, including those that other packages register.

    [project.entry-points."fathom.verbs"]
    audit = "my_package.cli:audit"          # fathom audit: a function with Typer's annotations, or a typer.Typer

`fathom --help` lists them without importing them, so a slow or broken package does not affect other verbs.
"""

from __future__ import annotations

from copy import copy
from importlib.metadata import EntryPoint
from inspect import cleandoc
from textwrap import dedent
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command, get_group

from fathom.cli._verb import verb
from fathom.errors import FathomError
from fathom.plugins import PluginKind, load_entry_point, unknown_name_message

VERBS = PluginKind("verb", group="fathom.verbs", packages=("fathom.cli",), attribute="command")


class Verbs(TyperGroup):
    """The verbs of this package, followed by those of other packages under names not yet taken."""

    def list_commands(self, ctx: Any) -> list[str]:
        own = super().list_commands(ctx)
        return [*own, *sorted({point.name for point in VERBS.points()} - set(own))]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        own = super().get_command(ctx, cmd_name)
        if own is not None:
            return own
        return next((ExternalVerb(point) for point in VERBS.points() if point.name == cmd_name), None)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name = args[0]
        if not name.startswith("-") and self.get_command(ctx, name) is None:
            ctx.fail(unknown_name_message("verb", name, self.list_commands(ctx)))
        return super().resolve_command(ctx, args)


class OwnVerb(TyperCommand):
    """A verb of this package. Its help lists the judges if it has the option --judge."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        shown = copy(self)
        if any(parameter.name == "judge" for parameter in self.params):
            shown.help = f"{self.help}\n\n{_judges()}"
        TyperCommand.format_help(shown, ctx, formatter)


def _judges() -> str:
    from fathom.judges import JUDGES

    return f"Judges and reward models (docs/judges.md): {', '.join(JUDGES.names())}."


class ExternalVerb(TyperCommand):
    """A placeholder for another package's verb, which is imported only to run it or to show its help."""

    def __init__(self, point: EntryPoint) -> None:
        package = point.dist.name if point.dist else point.module
        super().__init__(point.name, help=f"Of the package {package}.", rich_help_panel="Other packages")
        self.point = point

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Import the verb and make its own context: Typer calls this to run a command and to print its help."""
        return self.imported().make_context(info_name, args, parent=parent, **extra)

    def imported(self) -> Any:
        """The command of the package. Raises FathomError if it cannot be imported, and if it is not a verb."""
        name, command = self.point.name, load_entry_point(self.point, VERBS.noun)
        if isinstance(command, typer.Typer):
            return get_group(with_checks(name, command))
        if not callable(command):
            raise FathomError(
                f"the verb {name!r} ({self.point.value}) is {command!r}, expected a function or a typer.Typer"
            )
        app = typer.Typer(rich_markup_mode="markdown", add_completion=False)
        app.command(name, help=help_text(command.__doc__ or ""))(verb(name, command))
        return get_command(app)


def with_checks(name: str, group: typer.Typer) -> typer.Typer:
    """Wrap every command of the group, and of groups within it, as a verb."""
    for each in group.registered_commands:
        assert each.callback is not None
        each.name = each.name or each.callback.__name__.replace("_", "-")
        each.help = help_text(each.help or each.callback.__doc__ or "")
        each.callback = verb(f"{name} {each.name}", each.callback)
    for inner in group.registered_groups:
        if inner.typer_instance is not None:
            with_checks(f"{name} {inner.name}", inner.typer_instance)
    return group


def help_text(docstring: str) -> str:
    """A docstring as Markdown, with indented examples in fences: Typer removes indentation and would join the lines."""
    paragraphs = cleandoc(docstring).split("\n\n")
    return "\n\n".join(f"```\n{dedent(each)}\n```" if each.startswith("    ") else each for each in paragraphs)
