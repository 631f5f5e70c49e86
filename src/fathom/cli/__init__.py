"""The command line: `fathom VERB`.

A verb is one file here that turns arguments into calls, and nothing else. The file's name is the verb's (`_` becomes
`-`); it defines `command`, a function with Typer's annotations, or a `typer.Typer` with verbs of its own. Files whose
name starts with `_` are not verbs. Every file is imported for `fathom --help`: heavy libraries belong inside functions.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from inspect import cleandoc
from textwrap import dedent

import typer

import fathom
from fathom.errors import FathomError

app = typer.Typer(
    name="fathom",
    help="Generative reward models: judge, synthesise rationales, train, measure.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    rich_markup_mode="markdown",
)


@app.callback(invoke_without_command=True)
def _version(version: bool = typer.Option(False, "--version", help="Print the version and exit.")) -> None:
    if version:
        typer.echo(fathom.__version__)
        raise typer.Exit


def _add_verbs() -> None:
    for module in pkgutil.iter_modules(__path__):
        if module.name.startswith("_"):
            continue
        command = importlib.import_module(f"{__name__}.{module.name}").command
        name = module.name.replace("_", "-")
        if isinstance(command, typer.Typer):
            for each in command.registered_commands:
                each.help = _shown(each.callback.__doc__ or "")
            app.add_typer(command, name=name)
        else:
            app.command(name, help=_shown(command.__doc__ or ""))(command)


def _shown(docstring: str) -> str:
    """With indented examples between fences: Typer takes the indentation away, and would run the lines together."""
    paragraphs = cleandoc(docstring).split("\n\n")
    return "\n\n".join(f"```\n{dedent(each)}\n```" if each.startswith("    ") else each for each in paragraphs)


_add_verbs()


def main() -> None:
    """What the `fathom` script runs. Errors a user can mend are one message and exit code 1, never a traceback."""
    try:
        app()
    except FathomError as error:
        typer.secho(f"fathom: {error}", err=True, fg="red")
        sys.exit(error.exit_code)
