"""`fathom compare RUN RUN...`: judges on the same items."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fathom.cli._figures import STANDARD_OUTPUT, Json, claim_json
from fathom.cli._verb import Force, claim, file_outputs
from fathom.errors import FathomError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console
    from rich.table import Table

    from fathom.metrics.comparing import Contrast, Group, PairOfRuns


def command(
    run: Annotated[list[Path], typer.Argument(help="Two or more result files, as written by fathom judge or rank.")],
    out: Annotated[
        Path | None, typer.Option(help="(two runs) Write the items whose verdicts differ in correctness to this file.")
    ] = None,
    json: Json = None,
    force: Force = False,
) -> None:
    """Compare two or more runs on the same items: the difference in accuracy, with its interval and p value.

        fathom compare base.jsonl trained.jsonl --out changed.jsonl
        fathom compare base.jsonl sft.jsonl rlvr.jsonl

    Items are matched by id. A tie and an unparsed verdict count as wrong. Intervals are bootstrapped over prompts; p is
    that of McNemar's exact test. Results are also shown for domains, subsets, and principles that occur in at least 20
    items; with many such groups, some differ by chance. With more than two runs, all pairs of runs are compared, and p
    is corrected by Holm's method. docs/measuring.md explains the tables.
    """
    from rich.console import Console

    if len(run) < 2 or (len(run) > 2 and len(set(run)) < len(run)):
        raise FathomError(f"got {', '.join(map(str, run))}; expected two runs or more, each once")
    if out and len(run) > 2:
        raise FathomError(
            f"--out {out} lists the items that differ between two runs; got {len(run)}; leave --out out, or give two"
        )
    if out:
        claim(file_outputs("--out", out), costly=False)
    claim_json(json)
    console = Console(stderr=json == STANDARD_OUTPUT)
    if len(run) == 2:
        _compare_two(run[0], run[1], out, json, console)
    else:
        _compare_all(run, json, console)


def _compare_two(a: Path, b: Path, out: Path | None, json: Path | None, console: Console) -> None:
    from dataclasses import asdict

    from fathom.cli._figures import written
    from fathom.data.reading import write_jsonl
    from fathom.metrics.comparing import changed_rows, compare
    from fathom.results import runs

    rows_a, rows_b = list(runs.open(a).rows()), list(runs.open(b).rows())
    contrast = compare(rows_a, rows_b)
    console.print(_table(f"A: {a}, B: {b}", contrast))
    console.print(_left_out(contrast), highlight=False)
    if out:
        write_jsonl(out, changed_rows(rows_a, rows_b, contrast.changed))
    written(asdict(contrast), json)


def _compare_all(paths: Sequence[Path], json: Path | None, console: Console) -> None:
    from dataclasses import asdict

    from fathom.cli._figures import written
    from fathom.metrics.comparing import compare_all
    from fathom.results import runs

    pairs = compare_all({str(path): runs.open(path).rows() for path in paths})
    console.print(_pairs_table(pairs))
    written({"pairs": [asdict(pair) for pair in pairs]}, json)


def _pairs_table(pairs: Sequence[PairOfRuns]) -> Table:
    from rich.table import Column, Table

    from fathom.cli._figures import plain

    names = Column("A", overflow="fold"), Column("B", overflow="fold")
    columns = ("rows", "accuracy A", "B", "B - A", "p", "p, Holm", "lost", "won")
    table = Table(*names, *columns, title=f"{len(pairs)} pairs of runs")
    for pair in pairs:
        rows, a, b, difference, p, lost, won = _cells(pair.all)
        table.add_row(plain(pair.a), plain(pair.b), rows, a, b, difference, p, f"{pair.p_holm:.3g}", lost, won)
    return table


def _table(title: str, contrast: Contrast) -> Table:
    from rich.table import Table

    from fathom.cli._figures import plain

    columns = ("rows", "A", "B", "B - A", "p", "lost", "won")
    table = Table("", *columns, title=plain(title))
    kinds = {"domain": contrast.domains, "subset": contrast.subsets, "principle": contrast.principles}
    table.add_row("all", *_cells(contrast.all), end_section=True)
    for kind, groups in kinds.items():
        for name, group in groups.items():
            table.add_row(f"{kind} {plain(name)}", *_cells(group), end_section=name == [*groups][-1])
    return table


def _cells(group: Group) -> list[str]:
    means = [f"{interval.mean:.3f}" if interval else "" for interval in (group.a, group.b)]
    difference = str(group.difference or "one prompt only")
    return [str(group.rows), *means, difference, f"{group.p:.3g}", str(group.right_to_wrong), str(group.wrong_to_right)]


def _left_out(contrast: Contrast) -> str:
    notes = (
        "lost: right in A and wrong in B; won: wrong in A and right in B\n"
        f"left out: {contrast.only_a} items only in A, {contrast.only_b} only in B, {contrast.unlabelled} unlabelled"
    )
    if contrast.other_prompts:
        notes += (
            f"\n{contrast.other_prompts} of the compared items have other prompts in B; expected runs on one source"
        )
    return notes
