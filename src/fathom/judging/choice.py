"""A judge by name with validated settings, shared by the command line, recipes and `fathom.json`.

    choice = judge_choice("yes_no").model_validate({"least": 0.3})
    judge = choice.build()

A judge is a dataclass, and the types and constraints of its fields define its settings. An invalid value is therefore
rejected before any call is made.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import cache
from typing import Any, get_type_hints

from pydantic import (
    BaseModel,
    ConfigDict,
    ModelWrapValidatorHandler,
    StrictBool,
    ValidationError,
    create_model,
    model_validator,
)

from fathom.errors import FathomError
from fathom.judges import EngineRewardModel, Judge, as_judge, find

SHIPPED = ("fathom.judges.", "fathom.rewards.")
OF_A_RUN = frozenset({"engine", "sampling"})
"""Fields of a judge that belong to a run and not to the judge's own settings."""


class JudgeChoice(BaseModel):
    """The judge that builds prompts and parses completions, in training and afterwards, or another reward model.

    Its fields are `name` and that judge's own settings (see `judge_choice`).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    name: str = "mix"

    @model_validator(mode="wrap")
    @classmethod
    def _with_its_settings(cls, given: Any, handler: ModelWrapValidatorHandler[JudgeChoice]) -> JudgeChoice:
        # Validating the base class picks the subclass of the named judge; validating that subclass must not recurse.
        if cls is not JudgeChoice or not isinstance(given, Mapping):
            return handler(given)
        return judge_choice(str(given.get("name", "mix"))).model_validate(given)

    def build(self) -> Judge:
        """The judge, without an engine. Raises FathomError for a reward model that writes no text."""
        return as_judge(find(self.name)(**self.model_dump(exclude={"name"})), "training")


@cache
def judge_choice(name: str) -> type[JudgeChoice]:
    """The pydantic model of a judge's name and settings, with their types and defaults.

    If the judge has a setting `trained`, it defaults to true, which selects the short prompt of trained models. Raises
    FathomError for an unknown judge.
    """
    kind = find(name)
    hints = get_type_hints(kind, include_extras=True)
    fields: dict[str, Any] = {
        field.name: (_strict(hints[field.name]), True if field.name == "trained" else field.default)
        for field in dataclasses.fields(kind)
        if field.name not in OF_A_RUN
    }
    return create_model(kind.__name__, __base__=JudgeChoice, name=(str, name), **fields)


def _strict(hint: Any) -> Any:
    """Booleans must be booleans: pydantic would also accept words and numbers, which are more likely mistakes."""
    return StrictBool if hint is bool else hint


def described(judge: EngineRewardModel, given: str | None = None) -> dict[str, Any]:
    """The judge as a run's provenance records it: its `name` as for `--judge`, its `options`, and its `sampling` if it
    writes text.

    The name of a judge outside Fathom is `given`, or else MODULE:CLASS.
    """
    kind = type(judge)
    external = given or f"{kind.__module__}:{kind.__qualname__}"
    return {
        "name": kind.__module__.rpartition(".")[2] if kind.__module__.startswith(SHIPPED) else external,
        "options": {
            field.name: getattr(judge, field.name) for field in dataclasses.fields(kind) if field.name not in OF_A_RUN
        },
        **({"sampling": dataclasses.asdict(judge.sampling)} if isinstance(judge, Judge) else {}),
    }


def make_judge(name: str, *, installed: bool = False, **settings: Any) -> EngineRewardModel:
    """The judge of that name with these settings; others have the judge's defaults.

    With `installed`, only judges of installed packages are accepted. Raises FathomError for an unknown judge, for a
    setting that the judge does not have, and for an invalid value.
    """
    kind = find(name, installed=installed)
    own = {setting: value for setting, value in settings.items() if setting not in OF_A_RUN}
    known = [setting for setting in judge_choice(name).model_fields if setting != "name"]
    unknown = sorted(own.keys() - set(known))
    if unknown:
        raise FathomError(
            f"the judge {name!r} has no setting {unknown[0]}; expected {', '.join(known) or 'no settings'}"
        )
    try:
        chosen = judge_choice(name).model_validate({"name": name} | own)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        setting = str(problem["loc"][0]) if problem["loc"] else ""
        message = problem["msg"].replace("Input should be", "must be")
        raise FathomError(f"{setting}={own.get(setting)!r} of the judge {name!r} {message}") from None
    of_a_run = {setting: value for setting, value in settings.items() if setting in OF_A_RUN}
    return kind(**{setting: getattr(chosen, setting) for setting in own}, **of_a_run)
