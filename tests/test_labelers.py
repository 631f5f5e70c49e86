"""Labelers: labels of steps from rollouts, on policies whose success after every step is known."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import integrate, stats
from typer.testing import CliRunner

from fathom import Comparison, FathomError, ScriptedEngine
from fathom.cli import app
from fathom.data.reading import read
from fathom.data.records import Label
from fathom.engines import BaseEngine, Completion, EngineError, Request, Sampling, StepRequest, StepScores
from fathom.engines.cache import CachedEngine
from fathom.errors import IncompleteRunError
from fathom.judges import Vote, find
from fathom.judges.processbench import ProcessBenchJudge
from fathom.labelers import (
    Count,
    Labeler,
    Result,
    Rollouts,
    Tools,
    agreement,
    answer_checker,
    exact,
    make_labeler,
    requests,
    run,
    solutions,
)
from fathom.labelers._merging import mergeable, merged
from fathom.labelers.judge import fitting, prompted
from fathom.labelers.monte_carlo import hard_labels
from fathom.labelers.rpe import progress_labels
from fathom.metrics.ratios import probability_of_ratio
from fathom.process import stepwise_rows
from fathom.rationale import Status
from labeling import labelled, labels_of, policy, problem, steps_in, tools

# Rollouts -------------------------------------------------------------------------------------------------------------


def test_monte_carlo_labels_stop_at_the_first_step_from_which_no_rollout_is_right() -> None:
    engine = policy({1: "RWWR", 2: "WRWW", 3: "WWWW"})
    result = labelled(engine, make_labeler("monte-carlo", rollouts=4), problem(5, "W"))
    assert labels_of(result) == [(1.0, 1.0, 0.0, None, None)]
    assert result.rows[0].metadata["values"] == (0.5, 0.25, 0.0, None, None)
    assert [steps_in(request) for request in engine.requests] == [1] * 4 + [2] * 4 + [3] * 4, "none after a wrong step"


def test_soft_labels_are_the_shares_of_right_rollouts_and_the_last_one_is_the_outcome() -> None:
    engine = policy({1: "RRWR", 2: "RRWW"})
    soft = make_labeler("monte-carlo", rollouts=4, soft=True)
    assert labels_of(labelled(engine, soft, problem(3, "W"))) == [(0.75, 0.5, 0.0)]
    assert labels_of(labelled(engine, soft, problem(3, "R"))) == [(0.75, 0.5, 1.0)]


def test_unreadable_rollouts_are_neither_right_nor_wrong() -> None:
    engine = policy({1: "?R?W", 2: "?C?W"})  # after step 1, 2 of 4 can be read; after step 2 only 1 of 4
    result = labelled(engine, make_labeler("monte-carlo", rollouts=4, soft=True), problem(3, "R"))
    assert labels_of(result) == [(0.5, None, 1.0)]
    assert result.cost.statuses == {"right": 1, "wrong": 2, "unreadable": 5}


def test_a_failed_call_rejects_its_solution_and_another_run_repeats_only_that_call(tmp_path: Path) -> None:
    journal, labeler = tmp_path / "journal.sqlite", make_labeler("monte-carlo", rollouts=2)
    failing = policy({1: "RF", 2: "RR"})
    result = labelled(failing, labeler, problem(2, "R"), journal=journal)
    assert result.rows == []
    assert result.rejections == [{"id": "p", "reason": "a call failed", "detail": "no connection"}]
    assert result.labelled[0].failed
    again = policy({1: "RR"})
    assert labels_of(labelled(again, labeler, problem(2, "R"), journal=journal)) == [(1.0, 1.0)]
    assert [request.sample for request in again.requests] == [1]


def test_what_solutions_share_is_completed_and_counted_once() -> None:
    """Both solutions of the problem begin with the same step; each counts 4 rollouts after it."""
    one, other = "a\n\nb\n\nThe answer is 5.", "a\n\nc\n\nThe answer is 6."
    shared = Comparison(id="two", prompt="2 + 3?", responses=(one, other), reference="5")
    engine = policy({1: "RRWW", 2: "RWWW"})
    result = labelled(engine, make_labeler("monte-carlo", rollouts=4), shared)
    assert labels_of(result) == [(1.0, 1.0, 1.0), (1.0, 1.0, 0.0)]
    assert [row.id for row in result.rows] == ["two/0", "two/1"]
    assert len(engine.requests) == result.cost.completions == 4 + 4 + 4
    assert result.cost.usage.completion_tokens == sum(len(["The", "answer", "is", "5."]) for _ in range(12))


def test_more_rollouts_contain_those_of_fewer() -> None:
    engine = policy({0: "RRWRWWWW"})
    solution = solutions(problem(2), "paragraphs")[0]

    async def counts() -> list[Count | None]:
        async with CachedEngine(engine, ":memory:") as cached:
            rollouts = tools(cached).rollouts
            return [(await rollouts.of(solution, 0, count)).count for count in (4, 8)]

    assert asyncio.run(counts()) == [Count(3, 4), Count(3, 8)]
    assert len(engine.requests) == 8


@given(st.text("ab \n.", min_size=1, max_size=60).filter(str.strip))
def test_prefixes_of_a_split_text_continue_to_the_text(text: str) -> None:
    solution = solutions(Comparison(id="t", prompt="?", responses=(text,)), "paragraphs")[0]
    prefixes = [solution.prefix(count) for count in range(len(solution.steps) + 1)]
    assert prefixes[0] == ""
    assert prefixes[-1] == text
    assert all(text.startswith(prefix) for prefix in prefixes)


def test_steps_of_a_source_are_joined_by_a_blank_line_so_that_a_model_writes_the_next_one() -> None:
    assert solutions(problem(3), "paragraphs")[0].prefix(2) == "p step 1\n\np step 2\n\n"


def test_rollouts_refuse_what_gives_no_labels() -> None:
    no_reference = problem(2).model_copy(update={"reference": None})
    engine = ScriptedEngine("The answer is 5.")
    with pytest.raises(FathomError, match=r"'p' has no reference answer.*--map reference=COLUMN"):
        labelled(engine, make_labeler("monte-carlo"), no_reference)
    greedy = Tools(Rollouts(engine, Sampling(temperature=0), exact))
    with pytest.raises(FathomError, match=r"temperature 0, at which all rollouts"):
        asyncio.run(run([problem(2)], make_labeler("monte-carlo"), greedy))
    assert engine.requests == []


# Labels ---------------------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 8), min_size=1, max_size=8), st.integers(0, 7))
def test_hard_labels_are_one_until_the_first_zero_and_none_after_it(right: list[int], least: int) -> None:
    labels = hard_labels([Count(each, 8) for each in right], threshold=least / 8)
    wrong = next((step for step, each in enumerate(right) if each <= least), len(right))
    assert labels == (1.0,) * wrong + (0.0,) * (wrong < len(right)) + (None,) * max(len(right) - wrong - 1, 0)


def test_relative_progress_compares_each_step_with_the_one_before() -> None:
    """Shares 6/8, 5/8, 4/8, 0/8: the ratios are 0.83, 0.80 and 0."""
    counts = [Count(6, 8), Count(5, 8), Count(4, 8), Count(0, 8), Count(0, 1)]
    assert progress_labels(counts, 0.8) == (1.0, 1.0, 0.0, None)
    assert progress_labels(counts, 0.81) == (1.0, 0.0, 0.0, None)
    assert progress_labels([Count(6, 8), None, Count(5, 8)], 0.8) == (None, None), "without an estimate, no ratio"


def test_with_a_test_a_step_is_wrong_only_if_the_ratio_is_surely_low() -> None:
    few, many = [Count(5, 8), Count(3, 8)], [Count(500, 800), Count(300, 800)]
    assert progress_labels(few, 0.8) == progress_labels(many, 0.8) == (0.0,)
    assert progress_labels(few, 0.8, certainty=0.95) == (1.0,), "3 of 8 may well be 0.8 times 5 of 8"
    assert progress_labels(many, 0.8, certainty=0.95) == (0.0,)


def test_relative_progress_begins_with_the_bare_problem() -> None:
    engine = policy({0: "RRRR", 1: "RRWW", 2: "RRWW"})
    rpe = make_labeler("rpe", rollouts=4, epsilon=0.8)
    result = labelled(engine, rpe, problem(3, "R"))
    assert labels_of(result) == [(0.0, 1.0, 1.0)], "half of the probability is lost at the first step"
    # P(p1 >= 0.8 p0) with p0 ~ Beta(5, 1), p1 ~ Beta(3, 3): the integral of 5 p^4 P(p1 >= 0.8 p) over p.
    keeps = integrate.quad(lambda p: stats.beta(5, 1).pdf(p) * stats.beta(3, 3).sf(0.8 * p), 0, 1)[0]
    assert result.rows[0].metadata["confidence"][0] == pytest.approx(1 - keeps, abs=1e-6)
    assert result.rows[0].metadata["confidence"][2] == 1.0
    hopeless = labelled(policy({0: "WWWW"}), rpe, problem(3, "W"))
    assert [each["reason"] for each in hopeless.rejections] == ["no rollout of the problem is right"]


def test_relative_progress_warns_of_too_few_rollouts() -> None:
    """At a rate of one half, each share of n rollouts has the relative error sqrt(1/n), and a ratio sqrt(2/n)."""
    assert "standard error of 0.50" in str(make_labeler("rpe", epsilon=0.8, rollouts=8).warning)
    assert make_labeler("rpe", epsilon=0.8, rollouts=64).warning is None  # 0.18 is less than 0.2
    assert make_labeler("rpe", epsilon=0.8, rollouts=8, test=True).warning is None


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 40), st.integers(0, 40), st.floats(0, 1.5))
@example(19, 40, 1.5)  # the chance that the second rate is high enough falls to 0 with a bend, at 1/1.5
def test_the_probability_of_a_ratio_is_the_integral_over_both_rates(before: int, after: int, ratio: float) -> None:
    density, tail = stats.beta(before + 1, 41 - before), stats.beta(after + 1, 41 - after)
    exact_value = integrate.quad(lambda p: density.pdf(p) * tail.sf(ratio * p), 0, 1, epsabs=1e-10, limit=200)[0]
    assert probability_of_ratio(ratio, before=(before, 40), after=(after, 40)) == pytest.approx(exact_value, abs=1e-5)


def test_a_judge_labels_steps_by_its_vote_or_by_the_majority_of_several() -> None:
    replies = [r"\boxed{1}", r"\boxed{2}", r"\boxed{1}", "I cannot say."]
    engine = ScriptedEngine(lambda request: replies[request.sample])
    judging = Tools(tools(engine).rollouts, ProcessBenchJudge(engine=engine))

    def judged(votes: int) -> object:
        return asyncio.run(run([problem(3)], make_labeler("judge", votes=votes), judging))

    (one,), (four,) = judged(1).rows, judged(4).rows  # type: ignore[attr-defined]
    assert one.label.steps == ((1.0, 0.0, None),)
    # Of three readable votes, all accept step 0, two of three reject step 1, and the only one on step 2 rejects it.
    assert four.label.steps == ((1.0, 0.0, 0.0),)
    assert four.metadata["confidence"] == (1.0, pytest.approx(2 / 3), 1.0)
    assert judging.rollouts.cost.statuses == {"judge: ok": 4, "judge: missing": 1}


def judged_by(replies: Sequence[str | EngineError], *problems: Comparison, **options: object) -> Result:
    engine = ScriptedEngine(lambda request: replies[request.sample])
    used = Tools(tools(engine).rollouts, ProcessBenchJudge(engine=engine))
    return asyncio.run(run(problems, make_labeler("judge", votes=len(replies), **options), used))


def test_a_step_on_which_votes_tie_has_no_label() -> None:
    result = judged_by([r"\boxed{1}", r"\boxed{-1}"], problem(3))
    assert labels_of(result) == [(1.0, None, 1.0)]
    assert result.rows[0].metadata["confidence"] == (1.0, None, 1.0)


def test_the_only_vote_of_a_judge_that_scores_by_probabilities_gives_soft_labels() -> None:
    class Scoring(BaseEngine):
        identity = "scoring"

        async def complete(self, request: Request) -> Completion:
            raise NotImplementedError

        async def steps(self, request: StepRequest) -> StepScores:
            return StepScores((0.9, 0.25, 0.75))

    used = Tools(tools(ScriptedEngine("")).rollouts, find("process")(engine=Scoring(), family="p_plus"))
    assert labels_of(asyncio.run(run([problem(3)], make_labeler("judge"), used))) == [(0.9, 0.25, 0.75)]


def test_votes_on_another_number_of_steps_do_not_count() -> None:
    (solution,) = solutions(problem(3), "paragraphs")
    votes = [Vote(Status.OK, order=(0,), step_scores=(scores,)) for scores in ((1.0, 0.0), (1.0, 0.0, None))]
    assert fitting([*votes, Vote(Status.MISSING)], solution) == [(1.0, 0.0, None)]


def test_a_failed_vote_rejects_the_solution_for_another_run_even_if_others_can_be_read() -> None:
    result = judged_by([r"\boxed{1}", EngineError("no connection")], problem(3))
    assert result.rejections == [{"id": "p", "reason": "a call failed", "detail": "no connection"}]
    assert result.labelled[0].failed


def test_votes_may_be_limited_to_those_with_the_majoritys_opinion_on_the_solution() -> None:
    """Three of five votes see an error; two of these at step 0. Of all five, three accept step 0."""
    replies = [r"\boxed{0}", r"\boxed{0}", r"\boxed{1}", r"\boxed{-1}", r"\boxed{-1}"]
    assert labels_of(judged_by(replies, problem(3))) == [(1.0, 1.0, 1.0)]
    assert labels_of(judged_by(replies, problem(3), merge="outcome")) == [(0.0, 0.0, None)]
    tied = judged_by(replies[1:], problem(3), merge="outcome")
    assert [each["reason"] for each in tied.rejections] == ["as many votes call the solution right as wrong"]


def test_a_wrong_answer_refutes_a_judge_that_calls_every_step_right() -> None:
    blind = [r"\boxed{-1}"]
    both = problem(3, "R", id="a"), problem(3, "W", id="b")
    assert len(judged_by(blind, *both).rows) == 2
    checked = judged_by(blind, *both, check_outcome=True)
    assert labels_of(checked) == [(1.0, 1.0, 1.0)]
    assert [each["reason"] for each in checked.rejections] == ["every step is called right, but the answer is wrong"]
    # A wrong answer agrees with a judge that sees an error, and an answer that cannot be read refutes nothing.
    assert labels_of(judged_by([r"\boxed{1}"], both[1], check_outcome=True)) == [(1.0, 0.0, None)]
    unreadable = Comparison(id="c", prompt="2 + 3?", responses=("2 + 3 = 5\n\nI am done",), reference="5")
    assert labels_of(judged_by(blind, unreadable, check_outcome=True)) == [(1.0, 1.0)]


def test_a_judge_may_review_each_of_its_votes_and_the_second_text_counts() -> None:
    """The review of SPARK: the judge sees its own text, and its new one replaces it, also if it cannot be read."""

    def critic(request: Request) -> str:
        first, *others = request.messages
        if not others:
            return r"Step 1 adds wrongly. \boxed{1}"
        assert others[0]["content"] == r"Step 1 adds wrongly. \boxed{1}"
        assert "Review your own check" in others[1]["content"]
        return r"No, it is right. \boxed{-1}" if "(a)" in first["content"] else "I cannot say."

    engine = ScriptedEngine(critic)
    used = Tools(tools(engine).rollouts, ProcessBenchJudge(engine=engine))
    problems, labeler = [problem(3, id="a"), problem(3, id="b")], make_labeler("judge", revise=True)
    result = asyncio.run(run(problems, labeler, used))
    assert labels_of(result) == [(1.0, 1.0, 1.0)]
    assert [each["reason"] for each in result.rejections] == ["no vote of the judge could be read"]
    assert result.cost.statuses == {"judge: ok": 3, "judge: missing": 1}
    assert len(list(requests(problems, labeler, used))) == len(engine.requests) == 4


def test_a_review_has_the_sample_of_its_vote_and_one_that_fails_rejects_the_solution() -> None:
    def critic(request: Request) -> str | EngineError:
        failing = len(request.messages) > 1 and request.sample == 1 and "(b)" in request.messages[0]["content"]
        return EngineError("no connection") if failing else r"\boxed{1}"

    engine = ScriptedEngine(critic)
    used = Tools(tools(engine).rollouts, ProcessBenchJudge(engine=engine))
    problems, labeler = [problem(3, id="a"), problem(3, id="b")], make_labeler("judge", revise=True, votes=2)
    result = asyncio.run(run(problems, labeler, used))
    asked = [request for request in engine.requests if "(a)" in request.messages[0]["content"]]
    assert sorted((len(request.messages), request.sample) for request in asked) == [(1, 0), (1, 1), (3, 0), (3, 1)]
    assert labels_of(result) == [(1.0, 0.0, None)]
    assert result.rejections == [{"id": "b", "reason": "a call failed", "detail": "no connection"}]


def test_prompts_of_an_ensemble_outvote_the_error_of_one_and_each_is_a_source(tmp_path: Path) -> None:
    """After AURORA. The judge's own prompt misses the error at step 1; a shipped and a user's prompt see it."""
    mine = tmp_path / "mine.jinja"
    mine.write_text(r"My own prompt: {{ instruction }} {% for p in paragraphs %}{{ p }}{% endfor %} \boxed{}")

    def critic(request: Request) -> str:
        (message,) = request.messages
        sees = "work out on your own" in message["content"] or "My own prompt" in message["content"]
        return r"\boxed{1}" if sees else r"\boxed{-1}"

    engine = ScriptedEngine(critic)
    used = Tools(tools(engine).rollouts, ProcessBenchJudge(engine=engine))
    labeler = make_labeler("judge", prompts=["recompute", str(mine)])
    result = asyncio.run(run([problem(3)], labeler, used))
    assert labels_of(result) == [(1.0, 0.0, 1.0)]  # of step 2, only the first prompt says anything
    assert result.rows[0].metadata["confidence"] == (1.0, pytest.approx(2 / 3), 1.0)
    same = {name: each.same_first_error and each.same_first_error.mean for name, each in result.agreement.items()}
    assert same == {"judge, recompute": 0.0, f"judge, {mine}": 0.0, f"recompute, {mine}": 1.0}
    assert len(list(requests([problem(3)], labeler, used))) == len(engine.requests) == 3


def test_the_prompt_in_reverse_shows_the_reference_answer() -> None:
    judge = prompted(ProcessBenchJudge(), "reverse")
    assert "The correct final answer:\n```\n5\n```" in judge.prompt(problem(3))[0]["content"]


def test_prompts_and_revisions_need_a_judge_that_writes() -> None:
    engine = ScriptedEngine("")
    used = Tools(tools(engine).rollouts, find("process")(engine=engine, family="p_yes"))
    with pytest.raises(FathomError, match="writes no text"):
        list(requests([problem(3)], make_labeler("judge", prompts=["recompute"]), used))
    with pytest.raises(FathomError, match=r"no prompt 'nothing'; .* one of recompute, reverse"):
        prompted(ProcessBenchJudge(), "nothing")


# Merged steps ---------------------------------------------------------------------------------------------------------


@given(st.lists(st.text(min_size=1, max_size=8), min_size=2, max_size=6), st.data())
def test_merging_keeps_the_text_and_the_labels_but_that_of_the_earlier_step(
    steps: list[str], data: st.DataObject
) -> None:
    labels = data.draw(st.lists(st.sampled_from([0.0, 0.5, 1.0, None]), min_size=len(steps), max_size=len(steps)))
    joint = data.draw(st.sampled_from(["", "\n\n"]))
    numbers = tuple(range(len(steps)))
    row = Comparison(
        prompt="?",
        responses=(joint.join(steps),),
        steps=(tuple(steps),),
        label=Label(steps=(labels,)),
        metadata={"values": numbers, "source": "mine"},
    )
    found = [merged(row, place) for place in mergeable(row)]
    assert len(found) == sum(label is not None for label in labels[1:])  # a pair for each later step with a label
    for each, place in zip(found, mergeable(row), strict=True):
        assert each.steps is not None
        assert each.label is not None
        assert joint.join(each.steps[0]) == row.responses[0] == each.responses[0]
        assert each.steps[0][place] == f"{steps[place]}{joint}{steps[place + 1]}"
        assert each.label.steps == ((*labels[:place], *labels[place + 1 :]),)
        assert each.metadata == {"values": (*numbers[:place], *numbers[place + 1 :]), "source": "mine"}


def test_a_share_of_the_labelled_solutions_has_a_copy_with_merged_steps() -> None:
    problems = [problem(4, "W", id=str(number)) for number in range(60)]
    found = labelled(policy(dict.fromkeys(range(1, 4), "RW")), make_labeler("monte-carlo", rollouts=2), *problems)
    result = replace(found, merge=0.5, seed=3)
    copies = [row for row in result.rows if "merged" in row.id]
    assert len(result.rows) == 60 + len(copies)
    assert 18 <= len(copies) <= 42  # a share of 0.5 of 60 has a standard deviation of 3.9
    assert len({row.id[-1] for row in copies}) == 3  # of every pair
    assert result.manifest()["merged"] == len(copies)
    for row in copies:
        assert row.label is not None
        assert row.label.steps == ((1.0, 1.0, 0.0),)
        assert row.annotations is not None
        assert row.annotations["monte_carlo"].steps == row.label.steps
        assert [len(row.metadata[name]) for name in ("confidence", "values")] == [3, 3]
    assert [row.id for row in replace(result, seed=4).rows] != [row.id for row in result.rows]
    assert replace(result, merge=0.0).rows == found.rows


# Agreement ------------------------------------------------------------------------------------------------------------


def test_agreement_counts_solutions_and_steps_that_both_label() -> None:
    pairs = [
        ((1.0, 0.0, None), (1.0, 0.0, None)),  # the same first error; two steps, both equal
        ((1.0, 1.0, 1.0), (1.0, 0.0, 1.0)),  # none and step 1; three steps, two equal
        ((0.9, 0.6), (1.0, 1.0)),  # none in both; two steps, both equal
        ((None, None), (1.0, 1.0)),  # no labels
    ]
    found = agreement(pairs)
    assert found.solutions == 3
    assert found.same_first_error is not None
    assert found.same_first_error.mean == pytest.approx(2 / 3)
    assert (found.first_errors.erroneous, found.first_errors.correct) == (0.5, 1.0)
    assert found.steps == 7
    assert found.same_step is not None
    assert found.same_step.mean == pytest.approx(6 / 7)


@pytest.mark.parametrize(
    ("text", "reference", "equal"),
    [
        ("First 6.\nThe answer is 5.", "5", True),
        (r"\boxed{\frac{1}{2}}", "2", False),
        (r"So \boxed{Yes}", "yes", True),
        ("I do not know what this text wants from me", "5", None),
    ],
)
def test_exact_answers_are_compared_as_text(text: str, reference: str, equal: bool | None) -> None:
    with answer_checker("exact") as check:
        assert check(text, reference) is equal


def test_options_and_names_that_do_not_exist_are_named() -> None:
    with pytest.raises(FathomError, match=r"labeler 'monte'"):
        make_labeler("monte")
    with pytest.raises(FathomError, match=r"rollout: .*its options are rollouts, soft, threshold"):
        make_labeler("monte-carlo", rollout=3)
    with pytest.raises(FathomError, match=r"rpe: epsilon"):
        make_labeler("rpe")
    with pytest.raises(FathomError, match=r"expected a subclass of fathom\.labelers\.Labeler"):
        make_labeler("json:JSONDecoder")
    assert issubclass(type(make_labeler("judge")), Labeler)


# The command ----------------------------------------------------------------------------------------------------------


def written(path: Path, *problems: Comparison) -> Path:
    path.write_text("".join(each.model_dump_json() + "\n" for each in problems))
    return path


def invoked(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["label", *map(str, arguments)])
    return result.exit_code, " ".join(f"{result.output} {result.exception or ''}".split())


def test_the_command_writes_labels_that_training_reads_rejections_and_a_manifest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = ScriptedEngine(lambda request: "?" if "(b)" in request.messages[0]["content"] else "The answer is 5.")
    monkeypatch.setattr("fathom.engines.open", lambda *_, **__: engine)
    given_labels = problem(3, "W", id="a", labels=(1.0, 1.0, 0.0))
    file, out = written(tmp_path / "s.jsonl", given_labels, problem(2, "W", id="b")), tmp_path / "out"
    command = [file, "--method", "monte-carlo", "--model", "any", "--out", out, "--checker", "exact"]
    command += ["--method-option", "rollouts=4"]
    code, output = invoked(*command)
    assert code == 0, output
    assert "labels are made of 12 completions (8 right, 4 unreadable)" in output
    rows = list(read(out / "labels.jsonl"))
    assert [stepwise_rows(row)[0]["labels"] for row in rows] == [[1.0, 1.0, 0.0], [None, 0.0]]
    assert rows[0].annotations is not None
    assert set(rows[0].annotations) == {"monte_carlo", "given"}
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["labeler"]["options"]["rollouts"] == 4
    assert manifest["solutions"] == {"labelled": 2, "rejected": {}}
    assert manifest["steps"] == {"right": 2, "wrong": 2, "unlabelled": 1}
    assert manifest["agreement"]["monte_carlo, given"]["same_first_error"]["mean"] == 1.0
    assert manifest["cost"]["answers"] == {"right": 8, "unreadable": 4}
    assert manifest["cost"]["completions"] == 12
    before = len(engine.requests)
    assert invoked(*command)[0] == 0
    assert len(engine.requests) == before == 12, "a finished run asks nothing again"


def test_a_run_that_labels_nothing_says_why_and_is_incomplete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fathom.engines.open", lambda *_, **__: ScriptedEngine("The answer is 6."))
    file, out = written(tmp_path / "s.jsonl", problem(2)), tmp_path / "out"
    command = ["label", str(file), "--method", "rpe", "--model", "any", "--out", str(out), "--checker", "exact"]
    command += ["--method-option", "epsilon=0.8", "--method-option", "rollouts=4"]
    done = CliRunner().invoke(app, command)
    assert isinstance(done.exception, IncompleteRunError)
    assert "most common reason is 'no rollout of the problem is right' (1 of 1 solutions)" in str(done.exception)
    assert "standard error of 0.71" in done.output
    assert json.loads((out / "rejected.jsonl").read_text())["id"] == "p"


def test_a_dry_run_shows_the_most_calls_and_sends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = ScriptedEngine("")
    monkeypatch.setattr("fathom.engines.open", lambda *_, **__: engine)
    file = written(tmp_path / "s.jsonl", problem(4, id="a"), problem(2, id="b"))
    code, output = invoked(file, "--method", "monte-carlo", "--model", "any", "--out", tmp_path / "out", "--dry-run")
    assert code == 0, output
    assert f"calls at most {8 * (3 + 1)}" in output
    assert "Please reason step by step" in output
    assert not (tmp_path / "out").exists()
    assert engine.requests == []


def test_a_dry_run_fails_where_the_run_would_and_its_advice_for_a_published_layout_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fathom.engines.open", lambda *_, **__: ScriptedEngine("The answer is 5."))
    mistake = {"input": "2 + 3?", "steps": ["We add.", "The answer is 6."], "target": "5", "mistake_index": 1}
    (file := tmp_path / "s.jsonl").write_text(json.dumps(mistake) + "\n")
    command = [
        file,
        "--method",
        "consensus",
        "--method-option",
        "against=given",
        "--model",
        "any",
        "--checker",
        "exact",
    ]
    code, output = invoked(*command, "--out", tmp_path / "dry", "--dry-run")
    assert code != 0
    assert "name yours with --map reference=COLUMN" in " ".join(output.split())
    code, output = invoked(*command, "--out", tmp_path / "out", "--map", "reference=target")
    assert code == 0, output
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["agreement"]["monte_carlo, given"]["same_first_error"]["mean"] == 1.0


@pytest.mark.parametrize(
    ("given_options", "message"),
    [
        (["--method", "mont-carlo"], "did you mean monte_carlo"),
        (["--method", "rpe"], "the labeler rpe: epsilon"),
        (["--method", "judge", "--judge", "mix"], "--judge mix does not score steps"),
        (["--method", "monte-carlo", "--checker", "maths"], "checker 'maths'"),
        (["--method", "monte-carlo"], "needs an engine with prefix"),
    ],
)
def test_settings_that_cannot_label_are_refused_before_any_call(
    given_options: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = ScriptedEngine("", provides=("text",))
    monkeypatch.setattr("fathom.engines.open", lambda *_, **__: engine)
    code, output = invoked(
        written(tmp_path / "s.jsonl", problem(2)), "--model", "any", "--out", tmp_path, *given_options
    )
    assert code == 1
    assert message in output
    assert engine.requests == []
