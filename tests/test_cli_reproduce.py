"""`fathom reproduce`: which experiment, and where it goes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fathom.cli import app
from fathom.errors import FathomError


def test_a_wrong_name_lists_all_even_without_a_folder() -> None:
    with pytest.raises(FathomError, match=r"no reproduction 'nonsense'; expected one of: activation, .*mix_grm"):
        CliRunner().invoke(app, ["reproduce", "nonsense"], catch_exceptions=False)


@pytest.mark.parametrize(
    ("given", "out"),
    [
        (["mix-grm"], "runs/mix-grm"),
        (["mix-grm", "--out", "elsewhere"], "elsewhere"),
        (["likelihood-rewards", "--all"], "runs/likelihood-rewards-all"),
    ],
    ids=["default", "given", "every pair"],
)
def test_without_a_folder_it_goes_into_one_of_its_name(
    given: list[str], out: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    went: list[Path] = []

    def reproduce(experiment: object, out: Path, seeds: Sequence[int]) -> Iterator[str]:
        went.append(out)
        yield "done"

    monkeypatch.setattr("fathom.lab.experiments.running.reproduce", reproduce)
    done = CliRunner().invoke(app, ["reproduce", *given], catch_exceptions=False)
    assert done.exit_code == 0
    assert went == [Path(out)]


def test_all_pairs_are_refused_where_none_are_drawn() -> None:
    with pytest.raises(FathomError, match="--all: mix-grm draws no pairs from a larger set; leave --all out"):
        CliRunner().invoke(app, ["reproduce", "mix-grm", "--all"], catch_exceptions=False)
