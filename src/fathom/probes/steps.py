"""Steps of a solution: a step repeated, emptied, merged, split, reordered, padded, praised, or the rest cut off.

The probe needs single responses with steps. Five changes add no content and take none away: the score of the solution
and the scores of the other steps should stay. Three take something away: the score of the solution must not rise.
Judges that do not score steps are measured by the score of the solution only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from statistics import fmean

from fathom.data.records import Comparison, shuffled_order
from fathom.data.steps import first_error
from fathom.probes import Probe, Variation
from fathom.probes._changes import drawn, texts_of
from fathom.probes._measures import Item, Measure, Outcome, Value, difference, of_pairs, share, shift

Placed = tuple[str, int | None]
"""A step of the changed solution, and its place in the original one if it is unchanged."""
Change = Callable[[Comparison, Sequence[str], int], Sequence[Placed] | None]
"""Maps a comparison, its steps and the place of one of them to the changed steps; None if the change does not apply."""


def vary(comparison: Comparison) -> Iterator[Variation]:
    """A variation per change of a single solution with two or more steps.

    The first wrong step by the label is changed; without one, a step drawn by the comparison's id.
    """
    if len(comparison.responses) != 1 or comparison.steps is None or len(comparison.steps[0]) < 2:
        return
    (steps,) = comparison.steps
    wrong = _first_wrong(comparison)
    for name, change in {**SAME, **LESS}.items():
        place = shuffled_order(0, f"{comparison.id}/{name}", len(steps))[0] if wrong is None else wrong
        changed = change(comparison, steps, place)
        if changed is not None:
            texts = tuple(text for text, _ in changed)
            kept = tuple((before, after) for after, (_, before) in enumerate(changed) if before is not None)
            yield Variation(name, (_joint(comparison).join(texts),), 0, steps=(texts,), kept=kept)


def _first_wrong(comparison: Comparison) -> int | None:
    labels = comparison.label.steps[0] if comparison.label and comparison.label.steps else ()
    return first_error(labels)


def _joint(comparison: Comparison) -> str:
    """What stands between the steps of the response: nothing if they concatenate to it."""
    steps = comparison.steps[0] if comparison.steps else ()
    return "" if "".join(steps) == comparison.responses[0] else "\n\n"


# Changes --------------------------------------------------------------------------------------------------------------


def _placed(steps: Sequence[str], begin: int = 0, end: int | None = None) -> list[Placed]:
    """The unchanged steps from `begin` up to `end`."""
    return [(steps[place], place) for place in range(begin, len(steps) if end is None else end)]


def _repeated(_: Comparison, steps: Sequence[str], place: int) -> list[Placed]:
    return [*_placed(steps, end=place + 1), (steps[place], None), *_placed(steps, place + 1)]


def _merged(comparison: Comparison, steps: Sequence[str], place: int) -> list[Placed]:
    first = min(place, len(steps) - 2)
    both = " ".join(step.strip() for step in steps[first : first + 2])
    return [*_placed(steps, end=first), (both, None), *_placed(steps, first + 2)]


def _split(_: Comparison, steps: Sequence[str], __: int) -> list[Placed] | None:
    """The longest step is split at the space nearest to its middle."""
    place = max(range(len(steps)), key=lambda each: len(steps[each]))
    text = steps[place].strip()
    spaces = [at for at, letter in enumerate(text) if letter.isspace()]
    if not spaces:
        return None
    middle = min(spaces, key=lambda at: abs(at - len(text) / 2))
    halves = [(text[:middle], None), (text[middle + 1 :], None)]
    return [*_placed(steps, end=place), *halves, *_placed(steps, place + 1)]


def _padded(comparison: Comparison, steps: Sequence[str], place: int) -> list[Placed]:
    filler = drawn(texts_of("steps.yaml")["filler"], comparison, "filler")
    return [*_placed(steps, end=place), (filler, None), *_placed(steps, place)]


def _praised(comparison: Comparison, steps: Sequence[str], place: int) -> list[Placed]:
    praise = drawn(texts_of("steps.yaml")["praise"], comparison, "praise")
    return [*_placed(steps, end=place), (f"{steps[place].rstrip()} {praise}", None), *_placed(steps, place + 1)]


def _emptied(_: Comparison, steps: Sequence[str], place: int) -> list[Placed]:
    return [*_placed(steps, end=place), ("", None), *_placed(steps, place + 1)]


def _reordered(_: Comparison, steps: Sequence[str], place: int) -> list[Placed] | None:
    first = min(place, len(steps) - 2)
    if steps[first].strip() == steps[first + 1].strip():
        return None
    swapped = [(steps[first + 1], first + 1), (steps[first], first)]
    return [*_placed(steps, end=first), *swapped, *_placed(steps, first + 2)]


def _cut(comparison: Comparison, steps: Sequence[str], _: int) -> list[Placed] | None:
    """Only the first half is left, or more, so that the first wrong step is."""
    wrong = _first_wrong(comparison)
    end = max((len(steps) + 1) // 2, 0 if wrong is None else wrong + 1)
    return _placed(steps, end=end) if end < len(steps) else None


SAME: Mapping[str, Change] = {
    "repeated": _repeated,
    "merged": _merged,
    "split": _split,
    "padded": _padded,
    "praised": _praised,
}
"""Changes that keep the content."""
LESS: Mapping[str, Change] = {"emptied": _emptied, "reordered": _reordered, "cut": _cut}
"""Changes that remove content, or the order in which it makes sense."""


# Measures -------------------------------------------------------------------------------------------------------------


def measure(items: Sequence[Item]) -> list[Measure]:
    scored = "change in the score of the solution"
    others = "change in the mean score of the steps that are unchanged"
    rise = "rise of the score of the solution, where a fall counts 0"
    accepted = "share of changes after which a solution is called right that is wrong and was called wrong"
    return [
        *(shift(name, scored, items, partial(_change, name)) for name in SAME),
        *(shift(f"{name}, other steps", others, items, partial(_change_of_steps, name)) for name in (*SAME, "cut")),
        *(shift(name, rise, items, partial(_rise, name)) for name in LESS),
        share("wrong made right", accepted, 0.0, items, _accepted),
    ]


def _change(name: str, item: Item) -> float | None:
    after = item.variation(name)
    return None if after is None or item.plain is None else difference(after.score, item.plain.score)


def _rise(name: str, item: Item) -> float | None:
    change = _change(name, item)
    return None if change is None else max(change, 0.0)


def _change_of_steps(name: str, item: Item) -> float | None:
    after = item.variation(name)
    if after is None or item.plain is None or not after.steps or not item.plain.steps:
        return None
    changes = [difference(after.steps[now], item.plain.steps[then]) for then, now in after.kept]
    known = [change for change in changes if change is not None]
    return fmean(known) if known else None


def _accepted(item: Item) -> float | None:
    if item.plain is None or item.plain.truth is not False or item.plain.called_right is not False:
        return None
    return _called_right(item)


def _right_after(outcome: Outcome) -> float | None:
    return None if outcome.called_right is None else float(outcome.called_right)


_called_right: Value = of_pairs(_right_after)


PROBE = Probe(
    title="Steps",
    change=(
        "One step of a solution is repeated, merged with its neighbour, split, preceded by a step without content, or "
        "praises itself; or it is emptied, or changes places with its neighbour; or the end of the solution is cut off."
    ),
    vary=vary,
    measure=measure,
    alone=True,
)
