"""Reliability cards of judges (card.json of `fathom probe`), read and validated for reports.

beside(runs.open("cards/sft/rows.jsonl"))         # the path of card.json in that folder, or None
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import AliasChoices, BaseModel, Field, FiniteFloat, ValidationError

from fathom.errors import FathomError
from fathom.metrics.intervals import Interval
from fathom.results.runs import Run


class Measure(BaseModel):
    """One measure of a probe with its interval."""

    name: str
    meaning: str = ""
    target: FiniteFloat | None = Field(default=None, validation_alias=AliasChoices("target", "wanted"))
    """The value of an unbiased judge. Cards of earlier versions call it `wanted`."""
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
    """The measures of one probe."""

    title: str
    change: str = ""
    measures: tuple[Measure, ...]


class Card(BaseModel):
    """A card by probe. Other keys of the file (versions, inputs, ...) are ignored."""

    probes: dict[str, Findings]
    config: dict[str, Any] = {}

    @property
    def judge(self) -> str:
        return str(self.config.get("model", "a judge"))


def read(path: Path) -> Card:
    """Read a card. Raises FathomError for a file that is not a card."""
    try:
        return Card.model_validate_json(path.read_bytes())
    except OSError as error:
        raise FathomError(f"{path}: cannot be read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ": ".join([str(path), *([".".join(map(str, first["loc"]))] if first["loc"] else [])])
        raise FathomError(f"{where}: {first['msg']}; expected a card.json of fathom probe") from error


def beside(run: Run) -> Path | None:
    """The path of the card in the run's folder; None without one."""
    path = run.path.with_name("card.json")
    return path if path.is_file() else None
