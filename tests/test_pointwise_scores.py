"""Judges that see one response at a time: the score that was read is the verdict's, and rankings are by it."""

from __future__ import annotations

import asyncio
import json
import math
import pkgutil
from dataclasses import dataclass
from typing import Any

import pytest

from fathom import judges
from fathom.data.records import Comparison, Label
from fathom.engines import BaseEngine, Completion, Request, TokenLogprob
from fathom.judges import DEFAULT_RULES, Judge, Rule, find
from fathom.ranking import rank
from fathom.results.rows import to_row
from fathom.voting.recorded import verdict_from_completions
from fathom.voting.wrappers import Repeated


def steps(first_wrong: int) -> str:
    return f"Final Judgement: wrong\nFirst Error Step: step {first_wrong}\nError Analysis: it is wrong."


RIGHT = "Final Judgement: correct\nFirst Error Step: N/A\nError Analysis: N/A"


def likely(yes: float) -> Completion:
    """One token, as yes_no asks for it: "Yes" with that probability, else "No"."""
    top = tuple(sorted((("Yes", math.log(yes)), ("No", math.log(1 - yes))), key=lambda each: -each[1]))
    return Completion(top[0][0], "length", logprobs=(TokenLogprob(*top[0], top),))


def chain(verdict: str, answer: str) -> Completion:
    """A chain of thinkprm with one verdict; read as the answer to its question, the answer is certain."""
    return Completion(f"\\boxed{{{verdict}}}", logprobs=(TokenLogprob(answer, 0.0, ((answer, 0.0),)),))


TEXTS: dict[str, dict[float, Completion | str]] = {
    "libra": {0.0: "Verdict: incorrect", 1.0: "Verdict: correct"},
    "llmbar_rating": {2.0: "2", 5.0: "5", 4.0: "4"},
    "mr_gsm8k": {0.0: steps(2), 1.0: RIGHT},
    "processbench": {0.0: r"\boxed{1}", 1.0: r"\boxed{-1}"},
    "prometheus": {2.0: "[RESULT] 2", 5.0: "[RESULT] 5", 4.0: "[RESULT] 4"},
    "self_prm": {2.0: "Score: 2", 5.0: "Score: 5", 4.0: "Score: 4"},
    "thinkprm": {0.0: chain("incorrect", "no"), 1.0: chain("correct", "yes")},
    "verifier": {0.0: "Verdict: NO", 1.0: "Verdict: YES"},
    "wildbench": {score: json.dumps({"score": str(score)}) for score in (2.0, 5.0, 4.0)},
    "yes_no": {score: likely(score) for score in (0.2, 0.7, 0.6)},
}
"""For each judge of one response: scores, and what it would write to give them."""

POINTWISE = sorted(
    module.name
    for module in pkgutil.iter_modules(judges.__path__)
    if not module.name.startswith("_") and find(module.name)().arity == "pointwise"
)


def completion(told: Completion | str) -> Completion:
    return told if isinstance(told, Completion) else Completion(told)


@dataclass(frozen=True)
class Scripted(BaseEngine):
    """Writes what goes with the score that the response names."""

    texts: dict[float, Completion | str]
    identity: str = "scripted"

    async def complete(self, request: Request) -> Completion:
        shown = str(request.messages)
        score = next(score for score in self.texts if f"This is worth {score}." in shown)
        return completion(self.texts[score])

    async def close(self) -> None: ...


def comparison(*scores: float, **more: Any) -> Comparison:
    responses = tuple(f"This is worth {score}." for score in scores)
    return Comparison(id="1", prompt="2 + 2?", reference="4", responses=responses, **more)


def test_every_judge_of_one_response_is_tested_here() -> None:
    assert sorted(TEXTS) == POINTWISE


@pytest.mark.parametrize("name", POINTWISE)
def test_the_verdict_on_one_response_has_the_score_that_was_read(name: str) -> None:
    judge = find(name)()
    assert TEXTS[name]
    for score, text in TEXTS[name].items():
        verdict = verdict_from_completions(judge, comparison(score), [((0,), completion(text))])
        assert verdict.scores == (pytest.approx(score),)


@pytest.mark.parametrize("name", POINTWISE)
def test_several_scores_of_one_response_are_averaged(name: str) -> None:
    low, high, *_ = TEXTS[name]
    told = [((0,), completion(TEXTS[name][score])) for score in (low, high, high, high)]
    verdict = verdict_from_completions(find(name)(), comparison(low), told)
    assert verdict.scores == (pytest.approx((low + 3 * high) / 4),)


@pytest.mark.parametrize("name", POINTWISE)
@pytest.mark.parametrize("times", [1, 3])
def test_rankings_are_ordered_by_the_scores(name: str, times: int) -> None:
    scores = [*TEXTS[name]]
    ranking = asyncio.run(rank(Repeated(find(name)(engine=Scripted(TEXTS[name])), times), comparison(*scores)))
    best_first = sorted(range(len(scores)), key=lambda place: -scores[place])
    assert ranking.order == tuple((place,) for place in best_first)
    assert ranking.scores == tuple(map(pytest.approx, scores))


def test_the_rule_of_a_judge_follows_from_how_many_responses_it_sees() -> None:
    assert {arity: rule.aggregate for arity, rule in DEFAULT_RULES.items()} == {
        "pointwise": "mean",
        "listwise": "sum",
        "pairwise": "majority",
    }

    class Own(Judge):
        arity = "pointwise"
        ask = read = None  # type: ignore[assignment]

    Own.__abstractmethods__ = frozenset()
    assert Own().rule == Rule(aggregate="mean")


@pytest.mark.parametrize(("label", "correct"), [(1.0, True), (0.0, False)])
def test_the_threshold_is_in_the_verdict_whoever_makes_a_row_of_it(label: float, correct: bool) -> None:
    judged = comparison(1.0, label=Label(scores=(label,)))
    verdict = verdict_from_completions(find("libra")(), judged, [((0,), Completion("Verdict: correct"))])
    assert verdict.threshold == 0.5
    row = to_row(judged, verdict)
    assert (row["threshold"], row["correct"]) == (0.5, correct)
