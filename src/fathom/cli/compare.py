"""`fathom compare RUN RUN`: two judges on the same items."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fathom.cli._figures import STANDARD_OUTPUT, Json, claim_json
from fathom.cli._verb import Force, claim, file_outputs

if TYPE_CHECKING:
    from rich.table import Table

    from fathom.metrics.comparing import Contrast, Group

RUN = "A file of results, as fathom judge or rank writes it."


def command(
    a: Annotated[Path, typer.Argument(help=RUN)],
    b: Annotated[Path, typer.Argument(help=RUN)],
    out: Annotated[
        Path | None, typer.Option(help="Write the changed items, each with both rows, to this file.")
    ] = None,
    json: Json = None,
    force: Force = False,
) -> None:
    """Compare two runs on the same items: by how much B is better than A, and how sure that is.

        fathom compare base.jsonl trained.jsonl --out changed.jsonl

    Items are matched by id. Accuracy is strict: a tie and an unreadable verdict are wrong. Intervals resample prompts;
    p is McNemar's exact test. Groups are domains, subsets, and principles that occur in 20 items or more; of many
    groups some differ by chance. docs/measuring.md says how to read the table.
    """
    from dataclasses import asdict

    from rich.console import Console

    from fathom import runs
    from fathom.cli._figures import written
    from fathom.metrics.comparing import changed_rows, compare
    from fathom.reading import write_jsonl

    if out:
        claim(file_outputs("--out", out), costly=False)
    claim_json(json)
    rows_a, rows_b = list(runs.open(a).rows()), list(runs.open(b).rows())
    contrast = compare(rows_a, rows_b)
    console = Console(stderr=json == STANDARD_OUTPUT)
    console.print(_table(f"A: {a}, B: {b}", contrast))
    console.print(_left_out(contrast), highlight=False)
    if out:
        write_jsonl(out, changed_rows(rows_a, rows_b, contrast.changed))
    written(asdict(contrast), json)


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
    said = (
        "lost: right in A and wrong in B; won: the other way round\n"
        f"left out: {contrast.only_a} items only in A, {contrast.only_b} only in B, {contrast.unlabelled} unlabelled"
    )
    if contrast.other_prompts:
        said += (
            f"\n{contrast.other_prompts} of the compared items have other prompts in B: are these runs on one source?"
        )
    return said
