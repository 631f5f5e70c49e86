"""Judging a whole source: comparisons in, one row of plain JSON a verdict out; or a ranking, or a preference.

    judge = as_trained(checkpoint, engine=engine, sampling=Sampling(max_tokens=1024))
    async for row in rows(judge, read("pairs.jsonl")):
        ...

A row holds all that any metric needs, so that figures can be computed from the file again.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Container, Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from pydantic_core import to_json

from fathom.data.records import Comparison, Label
from fathom.engines.scoring import Scorer
from fathom.engines.usage import Usage
from fathom.errors import FathomError
from fathom.judges import Judge, RewardModel, Rule, Verdict, Vote, judge_all
from fathom.judging.choice import make_judge
from fathom.metrics import rankings
from fathom.metrics.verdicts import Tally, count
from fathom.ranking import Ranking, rank, share
from fathom.ranking.preferences import LeftOut, Preference
from fathom.rationale import Rationale, Status, Unit
from fathom.results.rows import correct, tokens
from fathom.voting.meta import MetaRewardModel

DESCRIPTION = "fathom.json"
"""Stands beside the weights of a trained judge: its `name`, its `style`, and that it is `trained`."""
META = "meta"
"""The `kind` that it names beside those of a meta reward model, whose judge's votes it scores."""


class RowOutcome(NamedTuple):
    """What became of one row."""

    readable: bool
    """Whether it has a verdict, or, of a ranking, whether no pair is missing."""
    failed: bool = False
    """Whether any call for it failed, also where other votes give it a verdict."""


Done = Callable[[RowOutcome], None]
"""Called after each row that was written."""


def as_trained(checkpoint: Path | None, **settings: Any) -> Judge:
    """The judge that a checkpoint was trained to be, or the Mix judge with instructions where nothing is said.

    `settings` are the judge's own; those that are not None go before what the checkpoint says, which holds for the
    judge that it names alone. Raises FathomError for an unknown judge or setting, for a value that a setting does not
    take, and for a description that cannot be read.
    """
    given = {key: value for key, value in settings.items() if value is not None}
    described = {"name": "mix"} | (_description(checkpoint / DESCRIPTION) if checkpoint else {})
    if described.pop("kind", None) == META:
        raise FathomError(f"{checkpoint} is a meta reward model, which scores a judge's votes: give it as --meta")
    chosen = given if given.get("name", described["name"]) != described["name"] else described | given
    # A description may be a stranger's, and must not choose which code runs; a name that the user gives may.
    return make_judge(**chosen, installed="name" not in given)


def meta_reward_model(checkpoint: Path, guided: Judge | None = None, **options: Any) -> MetaRewardModel:
    """The meta reward model that `fathom train meta` left in a folder; `options` are those of `Scorer`.

    Raises FathomError as `judge_of_meta` does, and for weights that cannot be loaded.
    """
    judge = judge_of_meta(checkpoint, guided)
    return MetaRewardModel(Scorer(checkpoint, **options), judge)


def judge_of_meta(checkpoint: Path, guided: Judge | None = None) -> Judge:
    """The judge whose votes a meta reward model scores. No weights are loaded.

    Raises FathomError for a checkpoint that is none, and where it scores votes of another judge than the `guided` one.
    """
    described = _description(checkpoint / DESCRIPTION)
    if described.pop("kind", None) != META:
        raise FathomError(f"{checkpoint} is no meta reward model; fathom train meta makes one")
    judge = make_judge(**described, installed=True)
    if guided is not None and type(guided) is not type(judge):
        raise FathomError(
            f"{checkpoint} scores votes of {type(judge).__name__}, as its {DESCRIPTION} says, and not of "
            f"{type(guided).__name__}; judge with --judge {described['name']}, or train one on votes of that judge"
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
        raise FathomError(f"{path} must hold an object with name, style, trained")
    return described


async def rows(
    voter: RewardModel, comparisons: Iterable[Comparison], *, concurrency: int = 256
) -> AsyncIterator[dict[str, Any]]:
    """One row a comparison, in their order."""
    async for comparison, verdict in judge_all(voter, comparisons, concurrency=concurrency):
        yield verdict_row(comparison, verdict)


async def write_verdicts(
    voter: RewardModel, comparisons: Iterable[Comparison], sink: BinaryIO, done: Done
) -> dict[str, Tally]:
    """Writes a line of JSON per verdict and returns the tallies; calls `done` after each."""
    tallies: dict[str, Tally] = {}
    async for comparison, verdict in judge_all(voter, comparisons, concurrency=256):
        row = verdict_row(comparison, verdict)
        write_row(sink, row)
        count(row, tallies)
        done(RowOutcome(verdict.status is Status.OK, verdict.failed))
    return tallies


def verdict_row(comparison: Comparison, verdict: Verdict) -> dict[str, Any]:
    """`winner` and `label` are indices of the comparison's responses; `placement` says where the source had those.

    `correct` is None where no label names one best response or the verdict has a status other than ok. A tie is not
    correct. A single response has no `label` but `label_scores`: where that is 1 or 0 and the verdict has a
    `threshold`, `correct` is whether the mean score and the label lie on the same side of it.
    """
    row = {
        "id": comparison.id,
        "status": verdict.status,
        "winner": verdict.winner,
        "scores": verdict.scores,
        "label": comparison.label.winner if comparison.label and len(comparison.responses) > 1 else None,
        "label_scores": comparison.label.scores if comparison.label else None,
        "threshold": verdict.threshold,
        "correct": None,
        "agreement": verdict.agreement,
        "flip_rate": verdict.flip_rate,
        "rule": _shallow(verdict.rule),
        "tokens": tokens(verdict.usage),
        "votes": [vote_row(vote) for vote in verdict.votes],
        **_judged(comparison),
    }
    return row | {"correct": correct(row)}


def _judged(comparison: Comparison) -> dict[str, Any]:
    """What was judged, so that a file of results can be read, measured and looked at without its source."""
    return {
        "domain": comparison.domain,
        "placement": comparison.placement,
        "prompt": _prompt(comparison),
        "responses": comparison.responses,
        "reference": comparison.reference,
        **_annotations(comparison),
        "metadata": comparison.metadata,
    }


def _annotations(comparison: Comparison) -> dict[str, Any]:
    """Of rows that have any, so that the others are not longer for it."""
    said = comparison.annotations
    return {"annotations": {name: label.model_dump(exclude_none=True) for name, label in said.items()}} if said else {}


def vote_row(vote: Vote) -> dict[str, Any]:
    return {
        "status": vote.status,
        "winner": vote.winner,
        "scores": vote.scores,
        "step_scores": vote.step_scores,
        "probabilities": vote.probabilities,
        "missing_mass": vote.missing_mass,
        "order": vote.order,
        "structure": vote.rationale.structure if vote.rationale else None,
        "rationale": _rationale_row(vote.rationale) if vote.rationale else None,
        "text": vote.text,
        "reasoning": vote.reasoning,
        "extended_to": vote.extended_to,
        "tokens": tokens(vote.usage),
        "error": vote.error,
        "counted": vote.counted,
        "meta_score": vote.meta_score,
        "parts": [_part_row(part) for part in vote.parts],
    }


def _part_row(part: Vote) -> dict[str, Any]:
    """Without its text, which is a part of the vote's, and without what only votes on all responses have."""
    row = vote_row(part)
    return {name: value for name, value in row.items() if name not in {"winner", "order", "text", "counted", "parts"}}


def _rationale_row(rationale: Rationale) -> dict[str, Any]:
    units = [_shallow(unit) for unit in rationale.units]
    return {"units": units, "trace": rationale.trace, "verdict": rationale.verdict}


def _shallow(value: Unit | Rule) -> dict[str, Any]:
    """By hand: `dataclasses.asdict` copies deeply, and took a tenth of the time of a judgement."""
    return {name: getattr(value, name) for name in _FIELDS[type(value)]}


_FIELDS: dict[type, tuple[str, ...]] = {kind: tuple(field.name for field in fields(kind)) for kind in (Unit, Rule)}


def write_row(sink: BinaryIO, row: Mapping[str, Any]) -> None:
    # Not by `json`, which takes twice as long. And the metadata of a Parquet row may hold times, bytes and decimals.
    sink.write(to_json(row, bytes_mode="base64", fallback=str) + b"\n")


async def write_judged(voter: RewardModel, comparisons: Iterable[Comparison], sink: BinaryIO, done: Done) -> None:
    """Writes a line of JSON for each comparison: a verdict, or the ranking by a judge of pairs of more than two."""

    async def judged(comparison: Comparison) -> Verdict | Ranking:
        ranked = voter.pattern == "pairwise" and len(comparison.responses) > 2
        return await (rank(voter, comparison) if ranked else voter(comparison))

    async for comparison, result in judge_all(judged, comparisons):
        if isinstance(result, Ranking):
            write_row(sink, ranking_row(comparison, result))
            done(_ranked(result))
        else:
            write_row(sink, verdict_row(comparison, result))
            done(RowOutcome(result.status is Status.OK, result.failed))


# Rankings and preferences ---------------------------------------------------------------------------------------------

Ranked = Callable[[Comparison], Awaitable[Ranking]]


def _ranked(ranking: Ranking) -> RowOutcome:
    return RowOutcome(not ranking.missing, any(verdict.failed for verdict in ranking.verdicts.values()))


async def write_rankings(
    ranked: Ranked, comparisons: Iterable[Comparison], sink: BinaryIO, done: Done, *, texts: bool = True
) -> dict[str, rankings.RankingTally]:
    """Writes a line of JSON per ranking and returns the tallies; calls `done` after each."""
    tallies: dict[str, rankings.RankingTally] = {}
    async for comparison, ranking in judge_all(ranked, comparisons):
        row = ranking_row(comparison, ranking, texts=texts)
        write_row(sink, row)
        rankings.count(row, tallies)
        done(_ranked(ranking))
    return tallies


async def write_preferences(
    ranked: Ranked,
    prefer: Callable[[Ranking], Preference | LeftOut],
    comparisons: Iterable[Comparison],
    sink: BinaryIO,
    done: Done,
) -> tuple[Counter[str], Usage]:
    """Writes a line of JSON a preference. Returns how many were "written" and left out, by reason, and the tokens."""
    counts: Counter[str] = Counter(written=0)
    usage = Usage()
    async for comparison, ranking in judge_all(ranked, comparisons):
        preference = prefer(ranking)
        if isinstance(preference, Preference):
            write_row(sink, preference_row(comparison, preference, ranking))
        counts["written" if isinstance(preference, Preference) else preference] += 1
        usage += ranking.usage
        done(_ranked(ranking))
    return counts, usage


def ranking_row(comparison: Comparison, ranking: Ranking, *, texts: bool = True) -> dict[str, Any]:
    """All indices are of the comparison's responses, those in `pairs` too. Without `texts` votes have none.

    `correct` is None where no label names one best response or no pair could be read; a tie at the top is not correct.
    `kendall_tau` is None where the label is no full ranking, where a response has no score, and where nothing is
    ordered.
    """
    label = comparison.label.winner if comparison.label else None
    told = label is not None and bool(ranking.order)
    return {
        "id": comparison.id,
        "winner": ranking.winner,
        "order": ranking.order,
        "scores": ranking.scores,
        "missing": ranking.missing,
        "label": label,
        "correct": ranking.winner == label if told else None,
        "kendall_tau": _tau(ranking, comparison.label),
        "tokens": tokens(ranking.usage),
        "pairs": [_pair_row(pair, verdict, texts=texts) for pair, verdict in ranking.verdicts.items()],
        **_judged(comparison),
    }


def _tau(ranking: Ranking, label: Label | None) -> float | None:
    true = None if label is None else label.scores
    if label is not None and label.ranking is not None:
        true = tuple(-float(label.ranking.index(i)) for i in range(len(label.ranking)))
    found = [score for score in ranking.scores if score is not None]
    return rankings.kendall_tau(found, true) if true and len(found) == len(true) else None


def _pair_row(pair: tuple[int, ...], verdict: Verdict, *, texts: bool) -> dict[str, Any]:
    return {
        "pair": pair,
        "status": verdict.status,
        "winner": None if verdict.winner is None else pair[verdict.winner],
        "share": share(verdict) if len(pair) == 2 else None,
        "agreement": verdict.agreement,
        "votes": [_ballot(pair, vote, texts=texts) for vote in verdict.votes],
    }


def _ballot(pair: tuple[int, ...], vote: Vote, *, texts: bool) -> dict[str, Any]:
    written = {"text": vote.text, "reasoning": vote.reasoning} if texts else {}
    return {
        "status": vote.status,
        "winner": None if vote.winner is None else pair[vote.winner],
        "order": [pair[i] for i in vote.order],
        "error": vote.error,
        **written,
    }


def preference_row(comparison: Comparison, preference: Preference, ranking: Ranking) -> dict[str, Any]:
    """In TRL's preference layout: text, or, where the prompt is a conversation, messages.

    `probability` is the share of the votes that prefer the chosen response to the rejected one, a tie half; None where
    they were never compared. The source's other columns are kept; one with a name of these gets `source_` before it.
    """
    chosen, rejected = preference.chosen, preference.rejected
    votes = ranking.votes(chosen, rejected)
    row = {
        "prompt": _prompt(comparison),
        "chosen": _answer(comparison, chosen),
        "rejected": _answer(comparison, rejected),
        "margin": preference.margin,
        "probability": votes.share,
        "chosen_votes": votes.one,
        "rejected_votes": votes.other,
        "tied_votes": votes.tied,
        "chosen_index": chosen,
        "rejected_index": rejected,
        "id": comparison.id,
    }
    return row | _source_columns(comparison, row)


def _prompt(comparison: Comparison) -> str | list[dict[str, Any]]:
    prompt = comparison.prompt
    return prompt if isinstance(prompt, str) else [message.model_dump() for message in prompt]


def _answer(comparison: Comparison, index: int) -> str | list[dict[str, str]]:
    """A response as TRL has it: a text to a text, a conversation's next message to a conversation."""
    text = comparison.responses[index]
    return text if isinstance(comparison.prompt, str) else [{"role": "assistant", "content": text}]


def _source_columns(comparison: Comparison, taken: Container[str]) -> dict[str, Any]:
    return {f"source_{name}" if name in taken else name: value for name, value in comparison.metadata.items()}
