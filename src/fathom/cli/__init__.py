"""The command line: `fathom VERB`.

A verb is one file here that only turns arguments into calls. The file's name is the verb's (`_` becomes `-`); it
defines `command`, a function with Typer's annotations, or a `typer.Typer` with subcommands. Files whose name starts
with `_` are not verbs. `fathom --help` imports every file, so heavy libraries must be imported inside functions. Other
packages add verbs by entry points in the group `fathom.verbs`, which are imported only to run (`_plugins`).
"""

from __future__ import annotations

import importlib
import pkgutil
import signal
import sys

import typer

import fathom
from fathom.cli._plugins import OwnVerb, Verbs, help_text, with_checks
from fathom.cli._signals import end_as_interrupted, exit_code
from fathom.cli._verb import verb
from fathom.errors import FathomError, RunInterruptedError

app = typer.Typer(
    name="fathom",
    cls=Verbs,
    help="Generative reward models: judge, synthesize rationales, train, measure.",
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
            app.add_typer(with_checks(name, command), name=name)
        else:
            app.command(name, cls=OwnVerb, help=help_text(command.__doc__ or ""))(verb(name, command))


_add_verbs()


def main() -> None:
    """Run the verb. An error that the user can fix ends with one message and exit code 1, without a traceback.

    Exit code 2 is for invalid arguments, 130 for Ctrl-C, 143 for SIGTERM.
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
