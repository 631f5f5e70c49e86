"""Labels all problems of a source with one labeler: `run` for values, `label_each` for a loop with progress.

    async with CachedEngine(engine, "label.journal") as cached:
        tools = Tools(Rollouts(cached, Sampling(temperature=0.7), check))
        result = await run(list(read("solutions.jsonl")), MonteCarlo(rollouts=8), tools)
    result.rows, result.rejections, result.agreement

To resume, run again with the same journal.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import aclosing
from functools import partial
from itertools import chain

from pydantic import ValidationError

from fathom.data.records import Comparison
from fathom.engines import AnyRequest
from fathom.errors import FathomError
from fathom.judges import judge_all
from fathom.labelers._labeler import LABELERS, Labeler, Labelled, Tools
from fathom.labelers._result import Result
from fathom.labelers._solutions import reference_of, solutions
from fathom.settings import first_problem


def make_labeler(name: str, *, source: str | None = None, **options: object) -> Labeler:
    """The labeler of that name with these options. Raises FathomError for an unknown name, option or value."""
    kind = LABELERS.find(name)
    if not (isinstance(kind, type) and issubclass(kind, Labeler)):
        raise FathomError(f"the labeler {name!r} is {kind!r}, expected a subclass of fathom.labelers.Labeler")
    try:
        return kind(**options)
    except ValidationError as error:
        field, problem = first_problem(error)
        known = ", ".join(kind.model_fields) or "no options"
        hint = f"; its options are {known}" if field not in kind.model_fields else ""
        raise FathomError(f"the labeler {name}: {field}: {problem}{hint}") from None


def checked(problems: Iterable[Comparison], labeler: Labeler) -> Iterator[Comparison]:
    """The problems. Raises FathomError for one without a reference, if the labeler needs it."""
    for problem in problems:
        if labeler.needs_reference:
            reference_of(problem)
        yield problem


async def label_each(
    problems: Sequence[Comparison], labeler: Labeler, tools: Tools, *, concurrency: int = 64
) -> AsyncIterator[list[Labelled]]:
    """The labelled solutions of each problem, in the order of the problems.

    Raises FathomError before the first call if a problem lacks a reference that the labeler needs.
    """
    problems = list(checked(problems, labeler))
    work = partial(labeler.label, tools=tools)
    async with aclosing(judge_all(work, problems, concurrency=concurrency)) as results:
        async for _, labelled in results:
            yield labelled


async def run(problems: Sequence[Comparison], labeler: Labeler, tools: Tools, *, concurrency: int = 64) -> Result:
    """Label all problems."""
    each = label_each(problems, labeler, tools, concurrency=concurrency)
    labelled = [found async for found in each]
    return Result(labeler, tuple(chain.from_iterable(labelled)), tools.rollouts.cost)


def requests(problems: Sequence[Comparison], labeler: Labeler, tools: Tools) -> Iterable[AnyRequest]:
    """The calls of a run, at most, for dry runs."""
    for problem in problems:
        for solution in solutions(problem, tools.splitter):
            yield from labeler.requests(solution, tools)
