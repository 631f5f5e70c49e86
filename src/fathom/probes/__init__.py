"""Probes: how much irrelevant changes of a comparison affect a judge's verdicts.

    asked = [each for comparison in comparisons for each in with_variations(comparison, {"length": find("length")})]
    rows = [to_row(*judged) for judged in judge.run(asked)]
    compute_card(rows)["length"][0]          # Measure(name="effect", interval=Interval(mean=0.12, ...), n=200, ...)

A probe consists of two pure functions: one from a comparison to variations of it, and one from the verdicts on both to
measures. Variations are judged like other comparisons, and the metadata of a row names its variation, so a reliability
card can be recomputed from the rows.

To add a probe, bind a `Probe` to the name `PROBE` in a new file here; files with a leading underscore hold shared code.
A judge that no probe affects is not necessarily accurate, and may have biases that no probe measures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fathom.data.records import Comparison, Label
from fathom.errors import FathomError
from fathom.plugins import PluginKind
from fathom.probes._measures import Item, Measure, corrected, items
from fathom.results.rows import Row

__all__ = [
    "Item",
    "Measure",
    "Probe",
    "Variation",
    "compute_card",
    "each",
    "effects",
    "find",
    "mark_own_response",
    "names",
    "original_outcome",
    "with_variations",
]


@dataclass(frozen=True)
class Variation:
    """Responses to show in place of those of a comparison."""

    name: str
    responses: tuple[str, ...]
    target: int | None = None
    """Index of the changed response."""
    letter: str | None = None
    """The letter that the change asks the judge to name; "A" is the response shown first."""
    label: Label | None = None
    steps: tuple[tuple[str, ...], ...] | None = None
    """For each response, its steps; by default those of the comparison if no response is changed."""
    kept: tuple[tuple[int, int], ...] = ()
    """The unchanged steps of a single response: their places before and after the change."""


@dataclass(frozen=True, kw_only=True)
class Probe:
    title: str
    change: str
    """What the probe changes, as one sentence for the card."""
    vary: Callable[[Comparison], Iterable[Variation]]
    """Variations of a comparison with one or two responses; empty if the probe does not apply."""
    measure: Callable[[Sequence[Item]], list[Measure]]
    alone: bool = False
    """Whether single responses are compared with their original."""


PROBES = PluginKind("probe", packages=(__name__,), group="fathom.probes", attribute="PROBE")


def names() -> list[str]:
    """The names of all installed probes."""
    return PROBES.names()


def find(name: str) -> Probe:
    """The probe with this name: a file in this package, an entry point in `fathom.probes`, FILE.py or MODULE:NAME.

    Raises FathomError for an unknown name, with the names of all probes.
    """
    probe = PROBES.find(name)
    if not isinstance(probe, Probe):
        raise FathomError(f"the probe {name!r} is {probe!r}, expected a fathom.probes.Probe")
    return probe


def with_variations(comparison: Comparison, probes: Mapping[str, Probe]) -> Iterator[Comparison]:
    """The original comparison and its variations by all probes.

    Of more than two responses, only the best and the next one are kept. A comparison with one response has variations
    only, since the original has no pair to judge, unless a probe compares single responses (`Probe.alone`).
    """
    pair = _pair(comparison)
    if len(pair.responses) == 2 or any(
        probe.alone and any(True for _ in probe.vary(pair)) for probe in probes.values()
    ):
        yield _tagged(pair, "plain", Variation("plain", pair.responses, label=pair.label))
    for name, probe in probes.items():
        yield from (_tagged(pair, name, variation) for variation in probe.vary(pair))


def _pair(comparison: Comparison) -> Comparison:
    n = len(comparison.responses)
    if n <= 2:
        return comparison
    best = (comparison.label.winner if comparison.label else None) or 0
    chosen = sorted((best, (best + 1) % n))
    label = Label(best=chosen.index(best)) if comparison.label and comparison.label.winner is not None else None
    return comparison.subset(chosen).model_copy(update={"label": label})


def _tagged(pair: Comparison, probe: str, variation: Variation) -> Comparison:
    """The variation as a comparison. Measures need only `metadata["probe"]` and the verdict."""
    of = {"probe": probe, "variation": variation.name, "of": pair.id}
    about: dict[str, Any] = of | {"target": variation.target, "letter": variation.letter}
    if variation.kept:
        about["kept"] = variation.kept
    unchanged = pair.steps if variation.responses == pair.responses else None
    return pair.model_copy(
        update={
            "id": pair.id if probe == "plain" else f"{pair.id}#{probe}/{variation.name}",
            "responses": variation.responses,
            "label": variation.label,
            "source_order": pair.source_order if len(variation.responses) == len(pair.responses) else None,
            "steps": variation.steps or unchanged,
            "step_types": None if variation.steps or not unchanged else pair.step_types,
            # Annotators judged the responses as they were, and no changed ones.
            "annotations": pair.annotations if probe == "plain" else None,
            "metadata": {**pair.metadata, "probe": about},
        }
    )


def mark_own_response(comparison: Comparison, columns: Sequence[str], model: str) -> Comparison:
    """Record in `metadata["own_response"]` which of two responses `model` wrote; None if it wrote both or neither.

    `columns` are the columns of the source with the authors of its responses: one per response, or one that holds a
    list. Raises FathomError if they do not name an author for each response.
    """
    values = [comparison.metadata.get(column) for column in columns]
    authors = values[0] if len(values) == 1 and isinstance(values[0], list | tuple) else values
    if len(authors) != len(comparison.responses) or None in authors:
        raise FathomError(
            f"comparison {comparison.id!r} has {len(comparison.responses)} responses, but {', '.join(columns)} names "
            f"{[author for author in authors if author is not None]} as their authors; expected one column per response"
        )
    places = comparison.source_order or range(len(authors))
    own = [k for k, place in enumerate(places) if authors[place] == model]
    index = own[0] if len(own) == 1 and len(authors) == 2 else None
    return comparison.model_copy(update={"metadata": {**comparison.metadata, "own_response": index}})


def compute_card(rows: Iterable[Row]) -> dict[str, list[Measure]]:
    """The measures of each probe, by name, from rows of verdicts on the output of `with_variations`.

    Probes without variations are measured on the original comparisons; others only if the rows have their variations.
    Whether a measure is on target is corrected for the number of measures (Holm); intervals are not.
    """
    by_probe = items(rows)
    measured = {
        name: find(name).measure(by_probe.get(name, by_probe["plain"])) for name in names() if _applies(name, by_probe)
    }
    return corrected({name: measures for name, measures in measured.items() if measures})


def _applies(name: str, by_probe: Mapping[str, Sequence[Item]]) -> bool:
    """Whether there are rows for a probe: its own, or the original ones if it has no variations."""
    blank = Comparison(id="", prompt="-", responses=("", ""))
    if find(name).alone:
        return name in by_probe
    return name in by_probe or not any(True for _ in find(name).vary(blank))


# Building blocks for probes of other packages. They need the classes above, so they are imported last.
from fathom.probes._changes import each, effects, original_outcome  # noqa: E402
