"""The lines of the tables that verbs print, shared by all verbs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from fathom.cli._verb import claim, file_outputs

if TYPE_CHECKING:
    from rich.table import Table

    from fathom.engines.usage import Usage
    from fathom.metrics.baselines import Baselines
    from fathom.metrics.calibration import Calibration
    from fathom.metrics.intervals import Interval
    from fathom.metrics.margins import Margins
    from fathom.metrics.rankings import RankingTally
    from fathom.metrics.separation import Separation
    from fathom.metrics.step_calibration import StepCalibration
    from fathom.metrics.steps import StepTally
    from fathom.metrics.verdicts import Tally

Counted = TypeVar("Counted")
Json = Annotated[Path | None, typer.Option(help="Write the metrics as JSON to this file; - for standard output.")]
STANDARD_OUTPUT = Path("-")

VERDICTS: Mapping[str, Callable[[Tally], str]] = {
    "rows": lambda tally: str(tally.rows),
    "status": lambda tally: _shares(tally.status),
    "accuracy": lambda tally: _figure(tally, "accuracy", "no labels"),
    "accuracy of parsed": lambda tally: _figure(tally, "accuracy_parsed", "no parsed row has a label"),
    "accuracy, tie = 1/2": lambda tally: _figure(tally, "accuracy_half_ties", "no labels"),
    "baselines": lambda tally: _baselines(tally.baselines),
    "AUC of single responses": lambda tally: _auc(tally.alone),
    "parse rate": lambda tally: _figure(tally, "parse_rate", "no rows"),
    "share tied": lambda tally: _figure(tally, "tied", "none"),
    "flip rate": lambda tally: _figure(tally, "flip_rate", "no row has parsed votes in two orders"),
    "agreement of votes": lambda tally: _figure(tally, "agreement", "no row has two parsed votes"),
    "residual probability": lambda tally: _figure(tally, "residual_probability", "none"),
    "calibration": lambda tally: _calibration(tally.calibration, tally.rows),
    "temperature of scores": lambda tally: _temperature(tally.margins),
    "accuracy by margin": lambda tally: _by_margin(tally.margins),
    "unparsed votes": lambda tally: _shares(tally.invalid, tally.votes),
    "most frequent error": lambda tally: _most_frequent(tally.errors),
    "structure": lambda tally: _shares(tally.structure),
    "prompt, completion tokens": lambda tally: tokens_text(tally.usage),
}

BY_VOTES: Mapping[str, Callable[[Tally], str]] = {
    "rows": lambda tally: str(tally.labelled or tally.rows),
    "accuracy, tie = 1/2": lambda tally: str(tally.accuracy_half_ties or "no labels"),
    "tie = 0": lambda tally: f"{tally.accuracy.mean:.3f}" if tally.accuracy else "no labels",
    "tied": lambda tally: f"{tally.tied.mean:.3f}" if tally.tied else "",
    "parse rate": lambda tally: f"{tally.parse_rate.mean:.3f}" if tally.parse_rate else "no rows",
    "prompt tokens": lambda tally: _count(tally.usage.prompt_tokens, tally.usage),
    "completion tokens": lambda tally: _count(tally.usage.completion_tokens, tally.usage),
}

TIES_OF_ORDERS = (
    "Compare numbers of votes by the accuracy with tie = 1/2: if two orders name different responses, two votes tie, "
    "but a single vote cannot tie."
)
"""A note below tables by number of votes."""

STEPS: Mapping[str, Callable[[StepTally], str]] = {
    "n": lambda tally: str(tally.solutions),
    "F1": lambda tally: _number(tally.f1()),
    "F1 of baselines": lambda tally: (
        "\n".join(f"{name}: {_number(f1)}" for name, f1 in tally.f1_of_baselines.items()) or "none"
    ),
    "F1 tuned": lambda tally: (
        "\n".join(f"{subset}: {_number(tally.tuned_on(subset)['average'])}" for subset in tally.tunable) or "none"
    ),
}
"""First errors: each solution is judged as a whole."""

STEP_SCORES: Mapping[str, Callable[[StepTally], str]] = {
    "AUC": lambda tally: _number(tally.auc),
    "AUC within lengths": lambda tally: _number(tally.auc_within_length),
    "AUC of length": lambda tally: _number(tally.auc_of_shortness),
    "ECE": lambda tally: _number(tally.calibrated.raw.ece),
    "temperature: ECE": lambda tally: _tempered(tally.calibrated),
}

STEP_TYPES: Mapping[str, Callable[[Separation], str]] = {
    "right steps": lambda found: str(len(found.right)),
    "wrong steps": lambda found: str(len(found.wrong)),
    "AUC": lambda found: _number(found.auc),
}

RANKINGS: Mapping[str, Callable[[RankingTally], str]] = {
    "rows": lambda tally: str(tally.rows),
    "best-of-n accuracy": lambda tally: _of(tally.best_of_n, tally.labelled, tally.rows, "no labels"),
    "baselines": lambda tally: _baselines(tally.baselines),
    "Kendall's tau": lambda tally: f"{tally.tau} of {len(tally.taus)}" if tally.tau else "too few full rankings",
    "ties at the top": lambda tally: str(tally.tied),
    "pairs": lambda tally: str(tally.pairs),
    "parse rate": lambda tally: str(tally.parse_rate or "no rows"),
    "prompt, completion tokens": lambda tally: tokens_text(tally.usage),
}


def table(title: str, tallies: Mapping[str, Counted], lines: Mapping[str, Callable[[Counted], str]]) -> Table:
    """A table with a column per group of rows and a line per metric. Lines with "none" in every group are left out."""
    from rich.table import Table

    result = Table("", *map(plain, tallies), title=plain(title))
    for name, cell in lines.items():
        cells = [cell(tally) for tally in tallies.values()]
        if set(cells) != {"none"}:
            result.add_row(name, *cells)
    return result


def across(
    title: str, tallies: Mapping[str, Counted], columns: Mapping[str, Callable[[Counted], str]], note: str | None = None
) -> Table:
    """A table with a row per group, a column per metric, and a note below."""
    from rich.table import Column, Table

    # Long names are folded, not cut, because runs in one folder share the beginning of their names.
    result = Table(Column(overflow="fold"), *columns, title=plain(title), caption=note, caption_justify="left")
    for name, tally in tallies.items():
        result.add_row(plain(name), *(cell(tally) for cell in columns.values()))
    return result


def plain(text: str) -> str:
    """Untrusted text as one line for a table, without markup and control characters."""
    from rich.markup import escape

    return escape("".join(each if each.isprintable() else " " for each in text))


def claim_json(out: Path | None) -> None:
    """Claim the file of `--json`, if given."""
    if out and out != STANDARD_OUTPUT:
        claim(file_outputs("--json", out), costly=False)


def written(figures: Mapping[str, Any], out: Path | None) -> None:
    """Write metrics as JSON to a file, or to standard output if it is "-". None writes nothing."""
    from fathom.results.provenance import write_json

    if out == STANDARD_OUTPUT:
        typer.echo(dumps(figures, indent=2, ensure_ascii=False))
    elif out:
        write_json(out, figures)


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"


def _figure(tally: Tally, name: str, without: str) -> str:
    return _of(getattr(tally, name), tally.count(name), tally.rows, without)


def _of(interval: Interval | None, count: int, total: int, without: str) -> str:
    """A metric with its interval, and the number of rows it covers unless that is all rows."""
    return without if interval is None else f"{interval}{_part(count, total)}"


def _part(count: int, total: int) -> str:
    return "" if count == total else f" of {count}"


def tokens_text(usage: Usage) -> str:
    """Prompt and completion tokens as a table shows them."""
    counts = f"{_count(usage.prompt_tokens, usage)}, {_count(usage.completion_tokens, usage)}"
    return f"{counts} ({usage.unknown_calls} calls without reported usage)" if usage.unknown_calls else counts


def _count(tokens: int, usage: Usage) -> str:
    from fathom.results.rows import format_token_count

    return format_token_count(tokens, usage, form="d")


def _shares(counts: Counter[str], of: int | None = None) -> str:
    total = of or counts.total()
    return "\n".join(f"{name} {count} ({count / total:.0%})" for name, count in counts.most_common()) or "none"


def _baselines(baselines: Baselines) -> str:
    return "\n".join(f"{name} {interval.mean:.3f}" for name, interval in baselines.accuracy.items()) or "no labels"


def _auc(scores: Separation) -> str:
    area = scores.auc
    return "none" if area is None else f"{area:.3f} of {len(scores.right)} right, {len(scores.wrong)} wrong"


def _calibration(calibration: Mapping[str, Calibration], rows: int) -> str:
    cells = (
        f"{source}: ECE {measured.ece:.3f}, Brier {measured.brier:.3f}{_part(measured.count, rows)}"
        for source, measured in calibration.items()
    )
    return "\n".join(cells) or "none"


def _temperature(margins: Margins) -> str:
    temperature, error = margins.temperature, margins.ece_with_temperature
    if temperature is None or error is None:
        return "none"
    return f"{temperature:.3g}; fitted on the other half of the prompts: ECE {error:.3f}"


def _tempered(steps: StepCalibration) -> str:
    """The temperature of step scores, and their calibration error with it on held-out problems."""
    temperature, held_out = steps.temperature, steps.tempered
    return "none" if temperature is None or held_out is None else f"{temperature:.3g}: {_number(held_out.ece)}"


def _by_margin(margins: Margins) -> str:
    lines = (f"{part.low:.3g} to {part.high:.3g}: {part.accuracy:.3f} of {part.pairs}" for part in margins.by_size())
    return "\n".join(lines) or "none"


def _most_frequent(errors: Counter[str]) -> str:
    """The most common error and its count. Its first line is not shortened, because it ends with what to do."""
    lines = (f"{count} times: {plain(text.splitlines()[0])}" for text, count in errors.most_common(1) if text)
    return next(lines, "none")
