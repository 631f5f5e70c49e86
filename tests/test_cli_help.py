"""`--help` of every verb: its examples can be copied."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from inspect import cleandoc
from pathlib import Path

import pytest
import typer
from click.testing import CliRunner
from typer.main import get_command

import fathom
from fathom.cli import app
from test_architecture import HEAVY


def commands(of: typer.Typer, *before: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every verb, as the words that name it, with its docstring."""
    for each in of.registered_commands:
        assert each.callback is not None
        assert each.callback.__doc__, "a verb says what it does"
        name = each.name or each.callback.__name__.replace("_", "-")
        yield (*before, name), cleandoc(each.callback.__doc__)
    for group in of.registered_groups:
        assert group.typer_instance is not None
        yield from commands(group.typer_instance, *before, str(group.name))


COMMANDS = dict(commands(app))


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("names", COMMANDS, ids=" ".join)
def test_every_verb_shows_examples_each_on_a_line_of_its_own(names: tuple[str, ...], width: int) -> None:
    shown = CliRunner().invoke(get_command(app), [*names, "--help"], terminal_width=width, env={"COLUMNS": str(width)})
    lines = [line.strip() for line in shown.output.splitlines()]
    examples = [line.strip() for line in COMMANDS[names].splitlines() if line.strip().startswith("fathom ")]
    assert examples
    for example in examples:
        assert any(line and example.startswith(line) for line in lines), f"{example!r} in {shown.output}"


@pytest.mark.parametrize("name", ["judge", "eval", "rank", "probe"])
def test_help_lists_every_judge_and_reward_model_and_imports_nothing_heavy(name: str) -> None:
    code = f"""
import sys
from fathom.__main__ import main
try:
    main()
finally:
    assert not {set(HEAVY)!r} & set(sys.modules), sorted({set(HEAVY)!r} & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code, name, "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    words = {word.strip(",.") for word in done.stdout.split()}
    folder = Path(fathom.__file__).parent
    files = {file.stem for package in ("judges", "rewards") for file in (folder / package).glob("[!_]*.py")}
    assert {"mix", "pmi", "endogenous", "genarm", "forward", "scalar"} <= files
    assert files <= words
