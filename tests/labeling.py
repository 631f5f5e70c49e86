"""A policy with known success rates, for tests of labelers: what it writes depends on the length of the prefix only.

    policy({1: "RRWR", 2: "WW?C"})      # 4 rollouts after step 1, of which 3 are right; 2 wrong ones after step 2

R: the right answer, W: a wrong one, ?: no answer, C: cut off at the token limit, F: a failed call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

from fathom import Comparison, ScriptedEngine
from fathom.data.records import Label
from fathom.engines import Completion, Engine, EngineError, Request, Sampling
from fathom.engines.cache import CachedEngine
from fathom.labelers import Labeler, Result, Rollouts, Tools, exact, run

RIGHT, WRONG = "The answer is 5.", "The answer is 6."
TEXTS = {
    "R": RIGHT,
    "W": WRONG,
    "?": "I cannot say",
    "C": Completion(RIGHT, finish_reason="length"),
    "F": EngineError("no connection"),
}


def problem(
    steps: int, outcome: str = "R", *, id: str = "p", labels: Sequence[float | None] | None = None
) -> Comparison:
    """A problem with one solution of several steps, whose last one states the right or a wrong answer."""
    texts = (*(f"{id} step {number}" for number in range(1, steps)), RIGHT if outcome == "R" else WRONG)
    label = None if labels is None else Label(steps=(tuple(labels),))
    responses = ("\n\n".join(texts),)
    return Comparison(id=id, prompt=f"2 + 3? ({id})", responses=responses, steps=(texts,), reference="5", label=label)


def steps_in(request: Request) -> int:
    return request.prefix.count("\n\n")


def policy(replies: Mapping[int, str]) -> ScriptedEngine:
    """`replies[n][k]` is what sample k writes after n steps."""
    return ScriptedEngine(lambda request: TEXTS[replies[steps_in(request)][request.sample]])


def tools(engine: Engine) -> Tools:
    return Tools(Rollouts(engine, Sampling(temperature=0.7), exact))


def labelled(engine: Engine, labeler: Labeler, *problems: Comparison, journal: str | Path = ":memory:") -> Result:
    async def result() -> Result:
        async with CachedEngine(engine, journal) as cached:
            return await run(problems, labeler, tools(cached))

    return asyncio.run(result())


def labels_of(result: Result) -> list[tuple[float | None, ...]]:
    return [row.label.steps[0] for row in result.rows if row.label is not None and row.label.steps is not None]
