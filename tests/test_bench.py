"""Every benchmark, tested alike by being there: its example is in its layout, perfect judges score 1, constant ones
what the official rule gives them. What is special about one is tested below, with the arithmetic in comments."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fathom import bench
from fathom.data.records import Comparison
from fathom.judges import Arity, RewardModel, Vote
from fathom.ranking import rank
from fathom.rationale import Status
from fathom.results.rows import to_row
from fathom.voting.wrappers import Swapped

Row = dict[str, Any]
Quality = Callable[[Comparison, int], float]


@dataclass(frozen=True)
class Scripted(RewardModel):
    """Gives each response the quality that `quality` says it has; with another `status`, no verdict at all."""

    quality: Quality
    shape: Arity = "pairwise"
    status: Status = Status.OK

    @property
    def arity(self) -> Arity:
        return self.shape

    async def votes(self, comparison: Comparison, sample: int = 0) -> list[Vote]:
        order = tuple(range(len(comparison.responses)))
        if self.status is not Status.OK:
            return [Vote(self.status, order=order)]
        scores = tuple(self.quality(comparison, i) for i in order)
        winner = scores.index(max(scores)) if scores.count(max(scores)) == 1 else None
        told = None if self.shape == "pairwise" else scores
        return [Vote(Status.OK, winner=winner, scores=told, order=order)]


def write_example(benchmark: bench.Benchmark, folder: Path) -> Path:
    for name, rows in benchmark.example.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(map(json.dumps, rows)) if name.endswith("l") else json.dumps(rows))
    return folder


OF_RESPONSES = [name for name in bench.names() if not bench.find(name).scores_steps]
"""Benchmarks that compare responses. Those of steps are in test_step_benchmarks.py."""


@pytest.fixture(scope="module", params=OF_RESPONSES)
def benchmark(request: pytest.FixtureRequest) -> bench.Benchmark:
    return bench.find(request.param)


@pytest.fixture(scope="module")
def example(benchmark: bench.Benchmark, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_example(benchmark, tmp_path_factory.mktemp(benchmark.name))


@pytest.fixture(scope="module")
def comparisons(benchmark: bench.Benchmark, example: Path) -> list[Comparison]:
    return list(benchmark.load(example))


async def judged(voter: RewardModel, comparison: Comparison) -> Row:
    if voter.arity == "pairwise" and len(comparison.responses) > 2:
        row = to_row(comparison, await rank(Swapped(voter), comparison))
    else:
        row = to_row(comparison, await Swapped(voter)(comparison))
    return json.loads(json.dumps(row, default=str))


def rows_of(voter: RewardModel, comparisons: list[Comparison]) -> Iterator[Row]:
    return iter(asyncio.run(_all(voter, comparisons)))


async def _all(voter: RewardModel, comparisons: list[Comparison]) -> list[Row]:
    return [await judged(voter, comparison) for comparison in comparisons]


def perfect(comparisons: list[Comparison]) -> Quality:
    """The label, found by the text of the response, because a prompt never has the label."""
    known: dict[tuple[str, str], float] = {}
    for comparison in comparisons:
        label = comparison.label
        assert label is not None
        for i, response in enumerate(comparison.responses):
            score = label.scores[i] if label.scores else float(i == label.winner)
            known[comparison.prompt_text, response] = score
    return lambda comparison, i: known[comparison.prompt_text, comparison.responses[i]]


def headline(score: bench.Score) -> float:
    return next(iter(score.figures.values())).mean


@pytest.mark.parametrize("shape", ["pairwise", "pointwise", "listwise"])
def test_a_perfect_judge_scores_one_in_every_figure(
    benchmark: bench.Benchmark, comparisons: list[Comparison], shape: Arity
) -> None:
    score = benchmark.score(rows_of(Scripted(perfect(comparisons), shape), comparisons))
    # RewardBench 2 adds up to 0.01 in Ties for wide margins.
    most = 1.01 if benchmark.name == "rewardbench2" else 1.0
    assert all(1.0 <= interval.mean <= most + 1e-9 for interval in score.figures.values()), score.figures
    assert (score.rows, score.failed, score.unparsed, score.absent) == (len(comparisons), 0, {}, ())


def test_a_judge_that_names_the_first_scores_what_the_official_rule_gives_it(
    benchmark: bench.Benchmark, comparisons: list[Comparison]
) -> None:
    score = benchmark.score(rows_of(Scripted(lambda _, i: float(i == 0)), comparisons))
    assert headline(score) == pytest.approx(benchmark.always_first)


def test_a_failed_call_is_in_no_figure_and_its_subset_is_named_as_absent(
    benchmark: bench.Benchmark, comparisons: list[Comparison]
) -> None:
    score = benchmark.score(rows_of(Scripted(perfect(comparisons), status=Status.FAILED), comparisons))
    assert score.figures == {}
    assert score.failed == score.rows == len(comparisons)
    assert set(score.absent) == set(benchmark.domains)


def test_unreadable_verdicts_are_counted_and_never_better_than_right(
    benchmark: bench.Benchmark, comparisons: list[Comparison]
) -> None:
    score = benchmark.score(rows_of(Scripted(perfect(comparisons), status=Status.MISSING), comparisons))
    assert score.unparsed == {"missing": len(comparisons)}
    assert headline(score) < 1


def test_ids_are_unique_and_stable_and_name_the_benchmark(
    benchmark: bench.Benchmark, comparisons: list[Comparison], example: Path
) -> None:
    ids = [comparison.id for comparison in comparisons]
    assert len(set(ids)) == len(ids)
    assert [comparison.id for comparison in benchmark.load(example)] == ids
    assert all(id.startswith(f"{benchmark.name}/") for id in ids)


def test_rows_say_their_benchmark_subset_and_domain(benchmark: bench.Benchmark, comparisons: list[Comparison]) -> None:
    for comparison in comparisons:
        assert comparison.metadata["benchmark"] == benchmark.name
        assert comparison.domain == benchmark.domains[comparison.metadata["subset"]]


def test_a_missing_file_and_a_missing_column_are_named(benchmark: bench.Benchmark, tmp_path: Path) -> None:
    with pytest.raises(bench.FathomError, match="no file matches"):
        list(benchmark.load(tmp_path))
    for name in benchmark.example:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text('[{"strange": 1}]')
    with pytest.raises(bench.FathomError, match=r"lacks the column .*; its columns are strange"):
        list(benchmark.load(tmp_path))


def test_an_unknown_benchmark_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(bench.FathomError, match=r"no benchmark 'chess'; expected one of: .*judgebench"):
        bench.find("chess")
