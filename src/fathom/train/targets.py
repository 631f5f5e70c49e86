"""Training targets of scalar reward models: converts a label to the form that a loss needs.

target = of(recipe, comparison)                 # None if the loss cannot use the label
pairs(Label(ranking=(2, 0, 1)), 3)              # [(2, 0, 1.0), (2, 1, 1.0), (0, 1, 1.0)]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from numbers import Real
from typing import Any

from fathom.data.records import Comparison, Label
from fathom.errors import FathomError
from fathom.train.recipe import RewardRecipe


@dataclass(frozen=True)
class Target:
    """The label of n responses, for one loss. Only the fields of the recipe's loss are set."""

    pairs: tuple[tuple[int, int, float], ...] = ()
    """(bradley_terry, ties) Better response, worse response, difference of their scores; 0 for a tie."""
    order: tuple[int, ...] = ()
    """(plackett_luce) The ranked responses from best to worst, then the unranked ones."""
    places: int = 0
    """(plackett_luce) The number of places of `order` that the label determines."""
    values: tuple[tuple[float | None, ...], ...] = ()
    """(regression, binary) The scores of each response, one per output; None if unknown."""
    objective: int = 0
    """The place of the comparison's objective among those of the recipe."""

    @property
    def ordered(self) -> list[tuple[int, int]]:
        """The pairs (better, worse) that the label implies."""
        ranked = [pair for pair in combinations(self.order, 2) if self.order.index(pair[0]) < self.places]
        return ranked or [(better, worse) for better, worse, gap in self.pairs if gap > 0]


def of(recipe: RewardRecipe, item: Comparison) -> Target | None:
    """The target of a comparison; None if the recipe's loss cannot use its label.

    Raises FathomError for a missing or unreadable column of `attributes` or `objective`, and for binary labels outside
    0 to 1.
    """
    target = _of_label(recipe, item)
    return replace(target, objective=_objective(recipe, item)) if target and recipe.objectives else target


def _objective(recipe: RewardRecipe, item: Comparison) -> int:
    given = item.metadata.get(recipe.objective)
    if given not in recipe.objectives:
        raise FathomError(
            f"comparison {item.id!r}: column {recipe.objective!r} is {given!r}, expected one of objectives: "
            + ", ".join(recipe.objectives)
        )
    return recipe.objectives.index(given)


def _of_label(recipe: RewardRecipe, item: Comparison) -> Target | None:
    if recipe.attributes:
        return Target(values=_attributes(recipe.attributes, item))
    label, n = item.label, len(item.responses)
    if label is None:
        return None
    if recipe.loss in ("regression", "binary"):
        return _scored(recipe, item.id, label)
    if recipe.loss == "plackett_luce":
        return _ranked(label, n)
    found = pairs(label, n)
    kept = found if recipe.loss == "ties" else [pair for pair in found if pair[2] > 0]
    return Target(pairs=tuple(kept)) if kept else None


def pairs(label: Label, n: int) -> list[tuple[int, int, float]]:
    """Every pair of responses that the label compares: better, worse, difference of their scores.

    Without scores, the difference is 1. The difference of a tie is 0. A label that names only the best response does
    not order the others.
    """
    if (scores := label.response_scores) is not None:
        ordered = [sorted(pair, key=lambda place: -scores[place]) for pair in combinations(range(n), 2)]
        return [(better, worse, scores[better] - scores[worse]) for better, worse in ordered]
    if label.ranking is not None:
        return [(better, worse, 1.0) for better, worse in combinations(label.ranking, 2)]
    best = label.best
    return [] if best is None else [(best, other, 1.0) for other in range(n) if other != best]


def _ranked(label: Label, n: int) -> Target | None:
    """The ranking, or the best response. Scores with ties give no ranking."""
    if (scores := label.response_scores) is not None:
        if len(set(scores)) < n or n < 2:
            return None
        return Target(order=tuple(sorted(range(n), key=lambda place: -scores[place])), places=n - 1)
    if label.ranking is not None:
        return Target(order=label.ranking, places=n - 1) if n > 1 else None
    if label.best is None or n < 2:
        return None
    return Target(order=(label.best, *(place for place in range(n) if place != label.best)), places=1)


def _scored(recipe: RewardRecipe, id: str, label: Label) -> Target | None:
    scores = label.response_scores
    if scores is None:
        return None
    if recipe.loss == "binary" and not all(0 <= score <= 1 for score in scores):
        raise FathomError(
            f"comparison {id!r}: got scores {list(scores)}, expected 0 (wrong) to 1 (right) for loss: binary; "
            "use loss: regression"
        )
    return Target(values=tuple((score,) for score in scores))


def _attributes(names: Sequence[str], item: Comparison) -> tuple[tuple[float | None, ...], ...]:
    columns = [_column(name, item) for name in names]
    return tuple(tuple(column[place] for column in columns) for place in range(len(item.responses)))


def _column(name: str, item: Comparison) -> list[float | None]:
    """A number per response, in the comparison's order, which may differ from the source's."""
    metadata: Mapping[str, Any] = item.metadata
    value, n = metadata.get(name), len(item.responses)
    given: list[Any] = list(value) if isinstance(value, list | tuple) else [value]
    if name not in metadata or len(given) != n or not all(_is_number(number) for number in given):
        raise FathomError(
            f"comparison {item.id!r}: attribute {name!r} is {value!r}, expected a number"
            + (" for each of its responses" if n > 1 else "")
            + f" in a column; the columns are {', '.join(map(str, metadata)) or 'none'}"
        )
    order = item.source_order or range(n)
    return [given[place] for place in order]


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, Real) and not isinstance(value, bool) and value == value)
