"""Reliability cards of judges, as `fathom probe` writes them to card.json: read and checked, to be shown beside runs.

beside(runs.open("cards/sft/rows.jsonl"))         # the card in that folder, or None
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import AliasChoices, BaseModel, Field, FiniteFloat, ValidationError

from fathom.errors import FathomError
from fathom.metrics.intervals import Interval
from fathom.results.runs import Run


class Measure(BaseModel):
    name: str
    meaning: str = ""
    target: FiniteFloat | None = Field(default=None, validation_alias=AliasChoices("target", "wanted"))
    """Cards of earlier versions call it `wanted`."""
    mean: FiniteFloat | None = None
    low: FiniteFloat | None = None
    high: FiniteFloat | None = None
    on_target: bool | None = Field(default=None, validation_alias=AliasChoices("on_target", "as_wanted"))
    n: int
    left_out: int = 0

    @property
    def interval(self) -> Interval | None:
        if self.mean is None or self.low is None or self.high is None:
            return None
        return Interval(self.mean, self.low, self.high)


class Findings(BaseModel):
    title: str
    change: str = ""
    measures: tuple[Measure, ...]


class Card(BaseModel):
    """Further keys of the file say how the card was made; they are not shown."""

    probes: dict[str, Findings]
    config: dict[str, Any] = {}

    @property
    def judge(self) -> str:
        return str(self.config.get("model", "a judge"))


def read(path: Path) -> Card:
    """Raises FathomError for a file that is no card."""
    try:
        return Card.model_validate_json(path.read_bytes())
    except OSError as error:
        raise FathomError(f"{path}: cannot be read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise FathomError(f"{path}: no card as fathom probe writes it: {where}: {first['msg']}") from error


def beside(run: Run) -> Path | None:
    """The card in the run's folder, if there is one."""
    path = run.path.with_name("card.json")
    return path if path.is_file() else None
