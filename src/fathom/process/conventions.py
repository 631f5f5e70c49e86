"""The conventions of published process reward models, as data: `conventions.yaml`.

find("qwen_math").convention            # fathom.engines.StepConvention
find("./mine.yaml")                     # a family of your own, from a file with its keys
of_head("layers")                       # the family "qwen_math"
of_model("Qwen/Qwen2.5-Math-PRM-7B")    # the same, by the name of the checkpoint
"""

from __future__ import annotations

from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from fathom.engines import StepConvention
from fathom.engines.step_heads import StepHead
from fathom.errors import FathomError
from fathom.plugins import unknown_name_message
from fathom.settings import StepReduction, first_problem

FILE = Path(__file__).with_name("conventions.yaml")


class Family(BaseModel):
    """A family of process reward models."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    title: str = ""
    models: tuple[str, ...] = ()
    """Published checkpoints, on the model hub. A checkpoint of this name is of this family (`of_model`)."""
    recognised_by: StepHead | None = None
    """The kind of head that only checkpoints of this family have."""
    reduction: StepReduction | None = None
    """How its authors reduce step scores to the score of a solution; None if they name no single way."""
    threshold: float | None = Field(None, ge=0, le=1)
    """The score at or above which its authors call a step right; None if they name none, or tune it."""
    convention: StepConvention


@cache
def families() -> dict[str, Family]:
    """All families of `conventions.yaml`, by name."""
    rows = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return {name: _family(name, row, FILE) for name, row in rows.items()}


def find(name: str) -> Family:
    """The family of that name, or from a YAML file. Raises FathomError for an unknown name or bad keys."""
    if name.endswith((".yaml", ".yml")):
        return _of_file(Path(name))
    if (plain := name.replace("-", "_")) not in families():
        own = "the path of a YAML file with your own"
        raise FathomError(unknown_name_message("family of process reward models", name, sorted(families()), own))
    return families()[plain]


def of_head(head: str) -> Family:
    """The family whose models have this kind of head (`fathom.engines.step_heads.step_head`)."""
    return next(family for family in families().values() if family.recognised_by == head)


def of_model(model: str | Path) -> Family | None:
    """The family that has published a checkpoint of this name, on the hub or as a folder; None if none has.

    A name says more than a head: ReasonFlux-PRM-7B has the head of Qwen2.5-Math-PRM, but another prompt.
    """
    name = Path(model).name
    published = (each for each in families().values() if name in {Path(listed).name for listed in each.models})
    return next(published, None)


def _of_file(path: Path) -> Family:
    try:
        row = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise FathomError(f"{path}: cannot be read as YAML: {error}") from error
    if not isinstance(row, dict):
        expected = "the keys of one family, such as layout, separator and head"
        raise FathomError(f"{path}: got {type(row).__name__}, expected {expected}")
    return _family(path.stem, row, path)


def _family(name: str, row: dict[str, Any], path: Path) -> Family:
    own = {field.name for field in fields(StepConvention)}
    convention = {key: value for key, value in row.items() if key in own}
    about = {key: value for key, value in row.items() if key not in own}
    try:
        checked = TypeAdapter(StepConvention).validate_python(convention)
        return Family(name=name, convention=checked, **about)
    except ValidationError as error:
        field, problem = first_problem(error)
        raise FathomError(f"{path}: family {name}: {field}: {problem}") from None
    except TypeError as error:
        raise FathomError(f"{path}: family {name}: {error}") from None
