"""Probes: what moves a judge that should not, and by how much.

    asked = [each for comparison in comparisons for each in with_variations(comparison, {"length": find("length")})]
    rows = [to_row(*judged) for judged in judge.run(asked)]
    card(rows)["length"][0]                  # Measure(name="effect", interval=Interval(mean=0.12, ...), n=200, ...)

A probe is a pure function from a comparison to variations of it, and one from what was judged of both to measures. All
goes through the ordinary judging, and a row's metadata says which variation it is: a card can be made of rows again.

A new probe is a file here that binds a `Probe` to the name `PROBE`; the other files hold what probes share. Not
promised: that a judge which no probe moves is a good one, or that nothing else moves it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from fathom.data.records import Comparison, Label
from fathom.errors import FathomError
from fathom.plugins import Kind
from fathom.probes._measures import Item, Measure, items
from fathom.results.rows import Row

__all__ = [
    "Item",
    "Measure",
    "Probe",
    "Variation",
    "card",
    "each",
    "effects",
    "find",
    "mark_own_response",
    "names",
    "original",
    "with_variations",
]


@dataclass(frozen=True)
class Variation:
    """What is shown in place of a comparison's responses."""

    name: str
    responses: tuple[str, ...]
    target: int | None = None
    """The response that was changed."""
    letter: str | None = None
    """The letter that the change asks the judge to name: "A" is the response shown first."""
    label: Label | None = None


@dataclass(frozen=True, kw_only=True)
class Probe:
    title: str
    change: str
    """What is done to a comparison, in a sentence."""
    vary: Callable[[Comparison], Iterable[Variation]]
    """Of a comparison with one response or two; yields nothing where it does not apply."""
    measure: Callable[[Sequence[Item]], list[Measure]]


PROBES = Kind("probe", package=__name__, group="fathom.probes", attribute="PROBE")


def names() -> list[str]:
    """The names of all installed probes."""
    return PROBES.names()


def find(name: str) -> Probe:
    """The probe of a name: a file in this package, an entry point in `fathom.probes`, FILE.py or MODULE:NAME.

    Raises FathomError for a name that stands for no probe, with the names of all.
    """
    probe = PROBES.find(name)
    if not isinstance(probe, Probe):
        raise FathomError(f"the probe {name!r} is {probe!r}, expected a fathom.probes.Probe")
    return probe


def with_variations(comparison: Comparison, probes: Mapping[str, Probe]) -> Iterator[Comparison]:
    """The comparison as it is, and its variations. Of more than two responses, the best and the one after it.

    A comparison of one response is not judged as it is, for want of another.
    """
    pair = _pair(comparison)
    if len(pair.responses) == 2:
        yield _told(pair, "plain", Variation("plain", pair.responses, label=pair.label))
    for name, probe in probes.items():
        yield from (_told(pair, name, variation) for variation in probe.vary(pair))


def _pair(comparison: Comparison) -> Comparison:
    n = len(comparison.responses)
    if n <= 2:
        return comparison
    best = (comparison.label.winner if comparison.label else None) or 0
    chosen = sorted((best, (best + 1) % n))
    label = Label(best=chosen.index(best)) if comparison.label and comparison.label.winner is not None else None
    return comparison.subset(chosen).model_copy(update={"label": label})


def _told(pair: Comparison, probe: str, variation: Variation) -> Comparison:
    """`metadata["probe"]` is all that measures need beside the verdict."""
    of = {"probe": probe, "variation": variation.name, "of": pair.id}
    about = of | {"target": variation.target, "letter": variation.letter}
    return pair.model_copy(
        update={
            "id": pair.id if probe == "plain" else f"{pair.id}#{probe}/{variation.name}",
            "responses": variation.responses,
            "label": variation.label,
            "source_order": pair.source_order if len(variation.responses) == len(pair.responses) else None,
            "steps": pair.steps if variation.responses == pair.responses else None,
            # Annotators judged the responses as they were, and no changed ones.
            "annotations": pair.annotations if probe == "plain" else None,
            "metadata": {**pair.metadata, "probe": about},
        }
    )


def mark_own_response(comparison: Comparison, columns: Sequence[str], model: str) -> Comparison:
    """Says in `metadata["own_response"]` which of two responses `model` wrote; None where it wrote both or neither.

    `columns` of the source name the authors of its responses: a column each, or one that holds a list. Raises
    FathomError where they do not name two.
    """
    told = [comparison.metadata.get(column) for column in columns]
    authors = told[0] if len(told) == 1 and isinstance(told[0], list | tuple) else told
    if len(authors) != len(comparison.responses) or None in authors:
        raise FathomError(
            f"comparison {comparison.id!r} has {len(comparison.responses)} responses, and {', '.join(columns)} names "
            f"{[author for author in authors if author is not None]} as their authors; name a column for each"
        )
    places = comparison.source_order or range(len(authors))
    own = [k for k, place in enumerate(places) if authors[place] == model]
    index = own[0] if len(own) == 1 and len(authors) == 2 else None
    return comparison.model_copy(update={"metadata": {**comparison.metadata, "own_response": index}})


def card(rows: Iterable[Row]) -> dict[str, list[Measure]]:
    """What each probe found, by its name, of rows as `to_row` makes them of probed comparisons.

    Probes that vary nothing are measured on the comparisons as they are; others where there are rows of theirs.
    """
    found = items(rows)
    measured = {name: find(name).measure(found.get(name, found["plain"])) for name in names() if _is_told(name, found)}
    return {name: measures for name, measures in measured.items() if measures}


def _is_told(name: str, found: Mapping[str, Sequence[Item]]) -> bool:
    nothing = Comparison(id="", prompt="-", responses=("", ""))
    return name in found or not any(True for _ in find(name).vary(nothing))


# What probes of one's own are made of. It needs the classes above, so it is imported last.
from fathom.probes._changes import each, effects, original  # noqa: E402
