"""Judge a source: comparisons in, one JSON row per verdict, ranking or preference out.

    judge = make_judge_for_checkpoint(checkpoint, engine=engine, sampling=Sampling(max_tokens=1024))
    async for row in rows(judge, read("pairs.jsonl")):
        ...

A row contains everything that metrics need, so they can be recomputed from the file.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from fathom.data.records import Comparison
from fathom.engines.heads import is_classifier
from fathom.engines.scoring import Scorer
from fathom.engines.step_heads import step_head
from fathom.engines.usage import Usage
from fathom.errors import FathomError
from fathom.judges import EngineRewardModel, Judge, RewardModel, Verdict, as_judge, judge_all
from fathom.judging.choice import make_judge
from fathom.metrics import rankings
from fathom.metrics.steps import wrong_by_length
from fathom.metrics.verdicts import Tally, count
from fathom.process.conventions import of_head, of_model
from fathom.ranking import Ranking, rank
from fathom.ranking.preferences import LeftOut, Preference
from fathom.rationale import Status
from fathom.results.rows import VerdictRow, preference_row, to_row, write_row
from fathom.voting.meta import MetaRewardModel

LOG = logging.getLogger(__name__)

DESCRIPTION = "fathom.json"
"""The file beside a trained judge's weights, with the judge's `name`, `style` and `trained`."""
META = "meta"
"""The `kind` in this file for a meta reward model; `name` is then the judge whose votes the model scores."""


class RowOutcome(NamedTuple):
    """Whether a row was parsed and whether any of its calls failed. `id` is that of the row."""

    parsed: bool
    """Whether the row has a verdict; for a ranking, whether every pair has one."""
    failed: bool = False
    """Whether any call failed, even if other votes give the row a verdict."""
    id: str = ""


def make_judge_for_checkpoint(checkpoint: Path | None, **settings: Any) -> EngineRewardModel:
    """The judge that a checkpoint was trained as.

    Without `fathom.json`, it is `process` for a process reward model whose name or files show its family, `scalar` for
    a sequence classifier, and otherwise the untrained Mix judge.
    `settings` are the judge's own settings. Those that are not None override the checkpoint's. If they name another
    judge, the checkpoint's settings are ignored. Raises FathomError for an unknown judge or setting, for an invalid
    value, and for an unreadable `fathom.json`.
    """
    given = {key: value for key, value in settings.items() if value is not None}
    described = _recognised(checkpoint) | (_description(checkpoint / DESCRIPTION) if checkpoint else {})
    described.pop("head", None)  # how the weights are loaded, which is the engine's concern
    if described.pop("kind", None) == META:
        raise FathomError(f"{checkpoint} is a meta reward model, which scores the votes of a judge; pass it as --meta")
    chosen = given if given.get("name", described["name"]) != described["name"] else described | given
    # The checkpoint may be a download, so its fathom.json must not choose which code runs: it may name installed judges
    # only. A name given by the user may also be a file.
    return make_judge(**chosen, installed="name" not in given)


def _recognised(checkpoint: Path | None) -> dict[str, Any]:
    """The judge that a checkpoint's name or its own files show."""
    if checkpoint is None:
        return {"name": "mix"}
    if published := of_model(checkpoint):
        return {"name": "process", "family": published.name}
    if is_classifier(checkpoint):
        return {"name": "scalar"}
    kind = step_head(checkpoint)
    return {"name": "process", "family": of_head(kind).name} if kind else {"name": "mix"}


def meta_reward_model(
    checkpoint: Path, filtered_judge: EngineRewardModel | None = None, **options: Any
) -> MetaRewardModel:
    """Load the meta reward model that `fathom train meta` saved in a folder; `options` are those of `Scorer`.

    Raises FathomError as `judge_of_meta` does, and for weights that cannot be loaded.
    """
    judge = judge_of_meta(checkpoint, filtered_judge)
    return MetaRewardModel(Scorer(checkpoint, **options), judge)


def judge_of_meta(checkpoint: Path, filtered_judge: EngineRewardModel | None = None) -> Judge:
    """The judge whose votes a meta reward model scores. No weights are loaded.

    Raises FathomError for a checkpoint that is not a meta reward model, and for one that was trained on votes of
    another judge than `filtered_judge`.
    """
    described = _description(checkpoint / DESCRIPTION)
    if described.pop("kind", None) != META:
        raise FathomError(f"{checkpoint} is not a meta reward model; expected a folder made by fathom train meta")
    judge = as_judge(make_judge(**described, installed=True), f"the meta reward model {checkpoint}")
    if filtered_judge is not None and type(filtered_judge) is not type(judge):
        raise FathomError(
            f"{checkpoint} was trained on votes of {type(judge).__name__} (see its {DESCRIPTION}), not of "
            f"{type(filtered_judge).__name__}; use --judge {described['name']}, or train a meta reward model on "
            "votes of that judge"
        )
    return judge


def _description(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        described = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise FathomError(f"{path} is not JSON: {error}") from error
    if not isinstance(described, dict) or not isinstance(described.get("name", ""), str):
        raise FathomError(f"{path}: got {type(described).__name__}, expected an object with name, style and trained")
    return described


async def rows(
    model: RewardModel, comparisons: Iterable[Comparison], *, concurrency: int = 256
) -> AsyncIterator[VerdictRow]:
    """Judge comparisons and yield one row per comparison, in their order."""
    async for comparison, verdict in judge_all(model, comparisons, concurrency=concurrency):
        yield to_row(comparison, verdict)


async def write_verdicts(
    model: RewardModel, comparisons: Iterable[Comparison], sink: BinaryIO, tallies: dict[str, Tally]
) -> AsyncGenerator[RowOutcome, None]:
    """Write one line of JSON per verdict, count it in `tallies`, and yield its outcome.

    Logs a warning if solutions are called wrong only because they have many steps (`wrong_by_length`).
    """
    long = 0
    # `aclosing`, because a caller that stops early must cancel the calls in flight before the engine closes.
    async with aclosing(judge_all(model, comparisons, concurrency=256)) as judged:
        async for comparison, verdict in judged:
            row = to_row(comparison, verdict)
            write_row(sink, row)
            count(row, tallies)
            long += wrong_by_length(row)
            yield row_outcome(comparison, verdict)
    if long:
        LOG.warning(
            "%d solutions are called wrong although no step is: their score is the product of step scores, which falls "
            "with the number of steps; for verdicts on single solutions, give --step-reduction min",
            long,
        )


async def write_judged(
    model: RewardModel, comparisons: Iterable[Comparison], sink: BinaryIO
) -> AsyncGenerator[RowOutcome, None]:
    """Write one line of JSON per comparison: a verdict, or a pairwise judge's ranking of more than two responses."""
    async with aclosing(judge_all(verdict_or_ranking(model), comparisons)) as judged:
        async for comparison, result in judged:
            write_row(sink, to_row(comparison, result))
            yield row_outcome(comparison, result)


def verdict_or_ranking(model: RewardModel) -> Callable[[Comparison], Awaitable[Verdict | Ranking]]:
    """Judges as `fathom eval` does: a pairwise judge ranks more than two responses, else there is a verdict."""

    async def judge(comparison: Comparison) -> Verdict | Ranking:
        ranked = model.arity == "pairwise" and len(comparison.responses) > 2
        return await (rank(model, comparison) if ranked else model(comparison))

    return judge


def row_outcome(comparison: Comparison, result: Verdict | Ranking) -> RowOutcome:
    if isinstance(result, Ranking):
        failed = any(verdict.failed for verdict in result.verdicts.values())
        return RowOutcome(not result.missing, failed, comparison.id)
    return RowOutcome(result.status is Status.OK, result.failed, comparison.id)


# Rankings and preferences ---------------------------------------------------------------------------------------------

Ranked = Callable[[Comparison], Awaitable[Ranking]]


async def write_rankings(
    ranked: Ranked,
    comparisons: Iterable[Comparison],
    sink: BinaryIO,
    tallies: dict[str, rankings.RankingTally],
    *,
    texts: bool = True,
) -> AsyncGenerator[RowOutcome, None]:
    """Write one line of JSON per ranking, count it in `tallies`, and yield its outcome."""
    async with aclosing(judge_all(ranked, comparisons)) as results:
        async for comparison, ranking in results:
            row = to_row(comparison, ranking, texts=texts)
            write_row(sink, row)
            rankings.count(row, tallies)
            yield row_outcome(comparison, ranking)


@dataclass
class PreferenceCounts:
    """The numbers of preferences written and of rankings left out, and the usage of a run."""

    written: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    usage: Usage = field(default_factory=Usage)


async def write_preferences(
    ranked: Ranked,
    prefer: Callable[[Ranking], Preference | LeftOut],
    comparisons: Iterable[Comparison],
    sink: BinaryIO,
    counts: PreferenceCounts,
) -> AsyncGenerator[RowOutcome, None]:
    """Write one line of JSON per preference, count it in `counts`, and yield the outcome of each ranking."""
    async with aclosing(judge_all(ranked, comparisons)) as results:
        async for comparison, ranking in results:
            preference = prefer(ranking)
            if isinstance(preference, Preference):
                write_row(sink, preference_row(comparison, preference, ranking))
                counts.written += 1
            else:
                counts.left_out[preference] += 1
            counts.usage += ranking.usage
            yield row_outcome(comparison, ranking)
