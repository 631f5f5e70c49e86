"""Which judge, with which settings of its own: checked values, alike for command lines, recipes and `fathom.json`.

    choice = judge_choice("yes_no").model_validate({"least": 0.3})
    judge = choice.build()

A judge is a dataclass; the types and limits of its fields are what its settings must be. So a value that it would take
for another, or would choke on at its first vote, is refused before anything is asked.
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
from fathom.judges import Judge, find

SHIPPED = "fathom.judges."
OF_A_RUN = frozenset({"engine", "sampling"})
"""Fields of a judge that are no settings of its own."""


class JudgeChoice(BaseModel):
    """The judge that a model becomes. It makes the prompts and reads the completions, in training as afterwards.

    Beside `name` there are that judge's own settings (see `judge_choice`).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    name: str = "mix"

    @model_validator(mode="wrap")
    @classmethod
    def _with_its_settings(cls, given: Any, handler: ModelWrapValidatorHandler[JudgeChoice]) -> JudgeChoice:
        if cls is not JudgeChoice or not isinstance(given, Mapping):
            return handler(given)
        return judge_choice(str(given.get("name", "mix"))).model_validate(given)

    def build(self) -> Judge:
        return find(self.name)(**self.model_dump(exclude={"name"}))


@cache
def judge_choice(name: str) -> type[JudgeChoice]:
    """A judge's name and settings, with their types and defaults. `trained`, where a judge has that, defaults to true.

    The prompt is then the plain one for trained models. Raises FathomError where there is no such judge.
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
    """Words and numbers that pydantic takes for true or false are rather a slip."""
    return StrictBool if hint is bool else hint


def described(judge: Judge, given: str | None = None) -> dict[str, Any]:
    """A judge as a run's record has it: its `name` as `--judge` takes it, all its `options`, and how it samples.

    A judge of one's own has the name that was `given`, else MODULE:CLASS.
    """
    kind = type(judge)
    own = given or f"{kind.__module__}:{kind.__qualname__}"
    return {
        "name": kind.__module__.removeprefix(SHIPPED) if kind.__module__.startswith(SHIPPED) else own,
        "options": {
            field.name: getattr(judge, field.name) for field in dataclasses.fields(kind) if field.name not in OF_A_RUN
        },
        "sampling": dataclasses.asdict(judge.sampling),
    }


def make_judge(name: str, *, installed: bool = False, **settings: Any) -> Judge:
    """The judge of that name with settings; those that are not given have the judge's own defaults.

    With `installed`, code outside the installed packages is refused. Raises FathomError for a judge that is not there,
    for a setting that it does not have, and for a value that a setting does not take.
    """
    kind = find(name, installed=installed)
    own = {setting: value for setting, value in settings.items() if setting not in OF_A_RUN}
    known = [setting for setting in judge_choice(name).model_fields if setting != "name"]
    unknown = sorted(own.keys() - set(known))
    if unknown:
        raise FathomError(f"the judge {name!r} has no {unknown[0]}; it has {', '.join(known) or 'none'}")
    try:
        chosen = judge_choice(name).model_validate({"name": name} | own)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        setting = str(problem["loc"][0]) if problem["loc"] else ""
        message = problem["msg"].replace("Input should be", "must be")
        raise FathomError(f"{setting}={own.get(setting)!r} of the judge {name!r} {message}") from None
    of_a_run = {setting: value for setting, value in settings.items() if setting in OF_A_RUN}
    return kind(**{setting: getattr(chosen, setting) for setting in own}, **of_a_run)
