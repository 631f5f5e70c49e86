"""The register of an experiment: what is claimed and fixed before the first reported seed is run.

    register = read(Path("src/fathom/lab/reproductions/spct.yaml"))
    register.claims[0].contrasts        # {"greedy, with - without": 0.0}

Seeds 0 to 9 are development seeds, and are never reported. Reported seeds are from 10 to 99. Seeds from 100 on are not
run before a release, so that the finished code can be checked on seeds that influenced no decision.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from fathom.errors import FathomError

SHAPING, REPORTED = range(10), range(10, 100)
MIN_REPORTED = 8
"""Reported seeds; fewer need a reason."""

Seeds = Annotated[tuple[int, ...], Field(min_length=1)]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Paper(_Record):
    citation: str
    url: str


class Claim(_Record):
    """A claim holds if all of its contrasts lie above their thresholds; `decided_by` says by which interval.

    `mean`: the Student t interval of each contrast's seed means lies above its threshold; for contrasts that vary
    smoothly from seed to seed. `count`: a seed succeeds if all of its contrasts lie above their thresholds, and the
    Clopper-Pearson interval of the share of successful seeds lies above one half; for training that works or fails.
    """

    name: str
    words: str
    of: Literal["paper", "ours"]
    decided_by: Literal["mean", "count"]
    contrasts: Annotated[dict[str, float], Field(min_length=1)]
    """The threshold of each contrast, by the contrast's words."""


class Shaping(_Record):
    seeds: Seeds
    chosen: tuple[str, ...]
    """What was chosen on these seeds."""

    @model_validator(mode="after")
    def _are_shaping_seeds(self) -> Shaping:
        if others := [seed for seed in self.seeds if seed not in SHAPING]:
            raise ValueError(f"seeds {others} are not development seeds; expected 0 to {SHAPING[-1]}")
        return self


class Reported(_Record):
    seeds: Seeds
    reason: str = ""
    """Why there are fewer than `MIN_REPORTED`."""

    @model_validator(mode="after")
    def _are_enough(self) -> Reported:
        if others := [seed for seed in self.seeds if seed not in REPORTED]:
            raise ValueError(f"seeds {others} cannot be reported; expected {REPORTED[0]} to {REPORTED[-1]}")
        if len(set(self.seeds)) < MIN_REPORTED and not self.reason:
            raise ValueError(f"{len(set(self.seeds))} seeds; expected at least {MIN_REPORTED}, or a `reason` for fewer")
        return self


class Change(_Record):
    """Something that was changed after a first result."""

    date: date
    what: str
    first_result: str
    reason: str


class Objection(_Record):
    """What a critical reader of the page would say, and the answer."""

    objection: str
    answer: str


class Register(_Record):
    """All texts may name settings in braces, such as `{held_out} comparisons`, so that each number has one home."""

    title: str
    question: str
    """One sentence for tables."""
    summary: str
    """The experiment in a paragraph."""
    paper: Paper | None = None
    """None for a claim of this library."""
    minutes: float
    """Expected wall time per seed on `cores` cores."""
    cores: int = 2
    settings: Annotated[dict[str, Any], Field(min_length=1)]
    """The experiment's size and budgets; the code reads them from here."""
    fixed: tuple[str, ...]
    claims: Annotated[tuple[Claim, ...], Field(min_length=1)]
    shaping: Shaping
    reported: Reported
    changes: tuple[Change, ...] = ()
    unplanned: tuple[str, ...] = ()
    """Analyses on the page that were not planned before the first reported seed."""
    true_by_construction: tuple[str, ...]
    learned: tuple[str, ...]
    cannot_show: tuple[str, ...]
    terms: dict[str, str] = {}
    """What the names in contrasts, tables and figures of the page mean."""
    base_models: str
    """Which pretraining seeds there are, or that the intervals leave pretraining out."""
    objections: tuple[Objection, ...] = ()

    @property
    def criteria(self) -> dict[str, Any]:
        """What decides each claim, by its name: `decided_by`, and the threshold of each contrast. Without the words."""
        return {claim.name: claim.model_dump(include={"decided_by", "contrasts"}) for claim in self.claims}

    @model_validator(mode="after")
    def _names_are_unique(self) -> Register:
        names = [claim.name for claim in self.claims]
        if len(set(names)) < len(names):
            raise ValueError(f"claims need different names; got {names}")
        return self


def read(path: Path) -> Register:
    """Raises FathomError, with the field, for a file that is not a register."""
    try:
        text = yaml.safe_load(path.read_text(encoding="utf-8"))
        settings = text.get("settings", {})
        return Register(
            **{key: value if key == "settings" else _filled(value, settings) for key, value in text.items()}
        )
    except (ValidationError, yaml.YAMLError, KeyError, AttributeError, TypeError, OSError) as error:
        raise FathomError(f"{path}: not a valid register: {error}") from error


def _filled(value: Any, settings: Mapping[str, Any]) -> Any:
    """Replace the names of settings in braces."""
    if isinstance(value, str):
        return value.format_map(settings)
    if isinstance(value, list):
        return [_filled(each, settings) for each in value]
    if isinstance(value, dict):
        return {_filled(key, settings): _filled(each, settings) for key, each in value.items()}
    return value
