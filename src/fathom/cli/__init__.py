"""The command line: `fathom VERB`.

A verb is one file here that turns arguments into calls, and nothing else. The file's name is the verb's (`_` becomes
`-`); it defines `command`, a function with Typer's annotations, or a `typer.Typer` with verbs of its own. Files whose
name starts with `_` are not verbs. Every file is imported for `fathom --help`: heavy libraries belong inside functions.
"""

from __future__ import annotations

import importlib
import pkgutil
import signal
import sys
from inspect import cleandoc
from textwrap import dedent

import typer

import fathom
from fathom.cli._signals import end_as_interrupted, exit_code
from fathom.cli._verb import verb
from fathom.errors import FathomError, RunInterruptedError

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
                assert each.callback is not None
                each.help = _shown(each.callback.__doc__ or "")
                each.callback = verb(f"{name} {each.name}", each.callback)
            app.add_typer(command, name=name)
        else:
            app.command(name, help=_shown(command.__doc__ or ""))(verb(name, command))


def _shown(docstring: str) -> str:
    """With indented examples between fences: Typer takes the indentation away, and would run the lines together."""
    paragraphs = cleandoc(docstring).split("\n\n")
    return "\n\n".join(f"```\n{dedent(each)}\n```" if each.startswith("    ") else each for each in paragraphs)


_add_verbs()


def main() -> None:
    """Runs the verb that the arguments name. What a user can mend is one message and exit code 1, never a traceback.

    Exit code 2 is for arguments that cannot be understood, 130 for Ctrl-C, 143 for SIGTERM.
    """
    early = signal.getsignal(signal.SIGINT)
    end_as_interrupted()
    try:
        app()
    except (RunInterruptedError, KeyboardInterrupt) as error:
        typer.secho(f"fathom: {error or 'stopped'}", err=True, fg="red")
        sys.exit(exit_code(RunInterruptedError.exit_code))
    except FathomError as error:
        typer.secho(f"fathom: {error}", err=True, fg="red")
        sys.exit(error.exit_code)
    except SystemExit as end:
        end.code = exit_code(end.code)
        raise
    finally:
        signal.signal(signal.SIGINT, early)
