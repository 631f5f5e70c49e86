"""GenPRM and ThinkPRM: their calls in order, programs that are run, and scores from the probabilities of two words."""

from __future__ import annotations

import asyncio
import math

import pytest

from fathom import sandbox
from fathom.data.records import Comparison
from fathom.engines import Completion, EngineError, Request, Sampling, TokenLogprob
from fathom.engines.scripted import ScriptedEngine, choosing
from fathom.errors import FathomError
from fathom.judges import EngineRewardModel, Vote, find, word_share
from fathom.judges.thinkprm import NUDGES, QUESTION, ThinkPRMJudge
from fathom.judging.session import Session, judge_of
from fathom.rationale import Status
from fathom.rewards.genprm import CODE, JUDGE_IT, GenPRM, executed
from fathom.settings import JudgeSettings, JudgingSettings, SamplingSettings
from fathom.voting.wrappers import Repeated

STEPS = ("2 + 2 = 4", "4 + 1 = 6")
SOLUTION = Comparison(id="1", prompt="2 + 2 + 1?", responses=("\n\n".join(STEPS),), steps=(STEPS,))
SAMPLED = Sampling(temperature=0.6, top_p=0.95)


def voted(model: EngineRewardModel, comparison: Comparison = SOLUTION) -> Vote:
    (vote,) = asyncio.run(model.votes(comparison))
    return vote


def steps_of(vote: Vote) -> list[float | None]:
    return list(vote.step_scores[0]) if vote.step_scores else []


# The share of a word -------------------------------------------------------------------------------------------------


def test_the_share_of_a_word_counts_its_spellings_and_bounds_a_missing_one() -> None:
    def token(**probabilities: float) -> TokenLogprob:
        return TokenLogprob("x", 0.0, tuple((name.replace("_", " "), math.log(p)) for name, p in probabilities.items()))

    assert word_share(token(Yes=0.5, _yes=0.1, No=0.2), "yes", "no") == pytest.approx(0.6 / 0.8)
    assert word_share(token(Yes=0.6, The=0.1), "yes", "no") == pytest.approx(0.6 / 0.7)
    assert word_share(token(No=0.6, The=0.1), "yes", "no") == pytest.approx(0.1 / 0.7)
    assert word_share(token(Yes=0.95), "yes", "no") == pytest.approx(0.95)
    assert word_share(token(The=0.6), "yes", "no") is None


# GenPRM ---------------------------------------------------------------------------------------------------------------

needs_sandbox = pytest.mark.skipif(not sandbox.available(), reason="this system offers no sandbox")


def critic(request: Request) -> Completion:
    """A critic that recomputes a step, and believes the output of its program."""
    index = sum(message["role"] == "user" for message in request.messages)
    if request.prefix.endswith(JUDGE_IT):
        yes = 0.9 if "True" in request.prefix.split("[Code Output]")[-1] else 0.2
        yes += 0.05 * request.sample
        return choosing("", {"Yes": yes, "No": 1 - yes})
    if request.prefix.endswith(CODE):
        return Completion("left = 2 + 2\nprint(left == 4)" if index == 1 else "print(left + 1 == 6)")
    return Completion("\nThe program decides.\n</verify>\n<output>" if "[Code Output]" in request.prefix else "I look.")


@needs_sandbox
def test_programs_are_run_and_their_output_decides_the_score_of_each_step() -> None:
    engine = ScriptedEngine(critic)
    vote = voted(GenPRM(engine=engine, sampling=SAMPLED))
    assert steps_of(vote) == pytest.approx([0.9, 0.2])
    assert list(vote.scores or ()) == pytest.approx([0.2])
    # The second program uses what the first one defined.
    assert "print(left + 1 == 6)\n```\n[Code Output]\n\n```\nFalse\n```\n\nThe program decides.\n</verify>" in vote.text
    roles = [[message["role"] for message in request.messages] for request in engine.requests]
    assert roles == [["user"]] * 4 + [["user", "assistant", "user"]] * 4
    assert {request.sampling.temperature for request in engine.requests} == {0.6, 0.0}
    assert engine.requests[4].messages[1]["content"].endswith("$\\boxed{Yes}$\n</output>")


@needs_sandbox
def test_the_score_of_a_step_is_the_mean_over_samples() -> None:
    vote = voted(GenPRM(engine=ScriptedEngine(critic), sampling=SAMPLED, samples=3))
    assert steps_of(vote) == pytest.approx([0.95, 0.25])  # 0.9, 0.95 and 1.0; 0.2, 0.25 and 0.3


@needs_sandbox
def test_a_step_has_at_most_as_many_programs_as_rounds() -> None:
    def tireless(request: Request) -> Completion:
        judging = request.prefix.endswith(JUDGE_IT)
        return (
            choosing("", {"No": 1.0}) if judging else Completion("print(1)" if request.prefix.endswith(CODE) else "And")
        )

    engine = ScriptedEngine(tireless)
    vote = voted(GenPRM(engine=engine, rounds=2))
    assert vote.text.count("[Code Output]") == 2 * len(STEPS)
    assert vote.status is Status.OK


def test_without_programs_the_analysis_alone_is_judged() -> None:
    engine = ScriptedEngine(critic)
    vote = voted(GenPRM(engine=engine, verify=False))
    assert steps_of(vote) == pytest.approx([0.2, 0.2])
    assert "```python" not in vote.text
    assert len(engine.requests) == 2 * len(STEPS)


@pytest.mark.parametrize(
    ("reply", "status", "error"),
    [
        (Completion("I look", "length"), Status.TRUNCATED, "step 1: a text reached the token limit"),
        (Completion("No.", "refusal"), Status.REFUSED, "step 1: the model declined"),
        (choosing("", {"Maybe": 1.0}), Status.INVALID, "step 1: neither Yes nor No"),
        (EngineError("down"), Status.FAILED, "down"),
    ],
)
def test_a_step_that_cannot_be_read_gives_no_score(reply: Completion | EngineError, status: Status, error: str) -> None:
    vote = voted(GenPRM(engine=ScriptedEngine(lambda request: reply), verify=False))
    assert (vote.status, vote.scores, vote.step_scores) == (status, None, None)
    assert error in (vote.error or "")


@needs_sandbox
def test_the_output_of_a_program_or_what_went_wrong_is_shown() -> None:
    assert executed(["print('earlier')\nx = 2", "print(x ** 3)"]) == "8"
    assert executed(["1 / 0"]) == "Code execute Error: ZeroDivisionError: division by zero"
    assert executed(["1 / 0", "print('on')"]) == "on"
    assert executed(["import socket; socket.create_connection(('127.0.0.1', 9))"]).startswith(
        "Code execute Error: OSError"
    )
    assert executed(["while True: pass"]) == "Code execute time out: more than 5 seconds"


def test_where_programs_cannot_be_run_safely_the_judge_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*, unsafe_code: bool = False) -> None:
        raise FathomError("this system offers no sandbox")

    monkeypatch.setattr(sandbox, "available", lambda: False)
    monkeypatch.setattr(sandbox, "check", refuse)
    with pytest.raises(FathomError, match="no sandbox"):
        GenPRM()
    assert GenPRM(unsafe_code=True).verify
    assert not GenPRM(verify=False).unsafe_code


def test_the_settings_of_a_run_reach_the_judges() -> None:
    judge = JudgeSettings(judge="genprm", unsafe_code=True, options={"samples": 4})
    settings = JudgingSettings(judge=judge, sampling=SamplingSettings(temperature=0.6, top_p=0.95))
    with Session(settings, engine=ScriptedEngine(critic)) as session:
        model = session.base_judge
    assert isinstance(model, GenPRM)
    assert (model.samples, model.unsafe_code) == (4, True)
    assert model.sampling == SAMPLED
    assert find("thinkprm") is ThinkPRMJudge
    with pytest.raises(FathomError, match="unsafe_code"):
        judge_of(JudgingSettings(judge=JudgeSettings(judge="thinkprm", unsafe_code=True)))


def test_calls_that_depend_on_answers_cannot_be_planned() -> None:
    for model in (GenPRM(verify=False), ThinkPRMJudge()):
        with pytest.raises(FathomError, match="cannot be planned"):
            model.plan(SOLUTION)


# ThinkPRM -------------------------------------------------------------------------------------------------------------

RIGHT, WRONG = (
    "Step 1: fine \\boxed{correct}\nStep 2: fine \\boxed{correct}",
    "Step 1: \\boxed{correct}\nStep 2: \\boxed{incorrect}",
)


def verifier(request: Request) -> Completion:
    if request.prefix.endswith(QUESTION):
        yes = 0.1 + 0.2 * request.sample + 0.1 * sum(nudge in request.prefix for nudge in NUDGES)
        return choosing("", {"yes": yes, " no": 0.8 - yes})
    return Completion(WRONG if not request.prefix else "\nIndeed.")


def test_the_score_is_the_probability_of_yes_after_the_closing_question() -> None:
    engine = ScriptedEngine(verifier)
    vote = voted(ThinkPRMJudge(engine=engine, sampling=SAMPLED))
    assert list(vote.scores or ()) == pytest.approx([0.1 / 0.8])
    assert vote.text == f"{WRONG}{QUESTION} no"
    chain, question = engine.requests
    assert (chain.prefix, question.prefix) == ("", f"{WRONG}{QUESTION}")
    assert "Step 2:\n```\n4 + 1 = 6\n```" in chain.messages[0]["content"]
    assert (question.sampling.max_tokens, question.sampling.temperature) == (1, 0.0)


def test_rounds_continue_one_chain_after_different_nudges() -> None:
    engine = ScriptedEngine(verifier)
    vote = voted(ThinkPRMJudge(engine=engine, rounds=4))
    assert list(vote.scores or ()) == pytest.approx([0.4 / 0.8])
    assert [request.prefix.count("Indeed.") for request in engine.requests] == [0, 0, 1, 2, 3]
    assert all(vote.text.index(nudge) for nudge in NUDGES)


def test_the_score_of_several_chains_is_their_mean() -> None:
    verdict = asyncio.run(Repeated(ThinkPRMJudge(engine=ScriptedEngine(verifier)), 3)(SOLUTION))
    assert list(verdict.scores or ()) == pytest.approx([(0.1 + 0.3 + 0.5) / 3 / 0.8])


@pytest.mark.parametrize(
    ("chain", "status", "scores"),
    [
        (RIGHT, Status.OK, (1.0, 1.0)),
        (WRONG, Status.OK, (1.0, 0.0)),
        ("Step 1: \\boxed{incorrect}", Status.OK, (0.0, None)),
        ("Step 1: \\boxed{incorrect} Step 2: \\boxed{correct}", Status.OK, (0.0, None)),
        ("Step 1: \\boxed{\\text{incorrect}}", Status.OK, (0.0, None)),
        ("Step 1: \\boxed{correct}", Status.INVALID, None),
        (f"{RIGHT} \\boxed{{correct}}", Status.INVALID, None),
        ("All is fine.", Status.MISSING, None),
    ],
)
def test_a_chain_has_a_verdict_for_every_step_up_to_the_first_incorrect_one(
    chain: str, status: Status, scores: tuple[float | None, ...] | None
) -> None:
    vote = voted(ThinkPRMJudge(engine=ScriptedEngine(chain), reads="steps"))
    assert vote.status is status
    assert vote.step_scores == (None if scores is None else (scores,))


@pytest.mark.parametrize(
    "chain",
    [
        "Steps 1 and 2 are fine. Step 3: \\boxed{incorrect}",
        "Looking at step 2, the sum is wrong: \\boxed{incorrect}",
        "Step 2: \\boxed{correct} Step 2 again: \\boxed{correct}",
        "Step 1: fine.\nStep 2: fine. \\boxed{incorrect}",
        "Step 1: \\boxed{correct} And so on: \\boxed{correct}",
        "Step 1: \\boxed{incorrect} No, step 1 is right: \\boxed{correct}",
        "**Paragraph 2**: \\boxed{incorrect}",
        "Each step ends with \\boxed{correct} or \\boxed{incorrect}. Step 1: \\boxed{correct} Step 2: \\boxed{correct}",
        "Each step ends with \\boxed{correct} or \\boxed{incorrect}. All is fine.",
        "A verdict is \\boxed{correct}, another \\boxed{incorrect}. Step 1 adds two and two.",
    ],
)
def test_verdicts_that_do_not_follow_the_order_of_the_steps_are_invalid(chain: str) -> None:
    vote = voted(ThinkPRMJudge(engine=ScriptedEngine(chain), reads="steps"))
    assert (vote.status, vote.step_scores) == (Status.INVALID, None)


@pytest.mark.parametrize(
    "chain",
    [
        "I check steps 1 to 2.\n**Step 1**\nFine. \\boxed{correct}\n\n### Step 2: by step 1, yes. \\boxed{correct}",
        "The first one is right: \\boxed{correct}\nIt then adds one: \\boxed{correct}",
        "In step 1, fine. \\boxed{correct} For step 2, fine. \\boxed{correct} So all steps are right.",
    ],
)
def test_verdicts_may_name_their_steps_in_any_words_or_none(chain: str) -> None:
    assert voted(ThinkPRMJudge(engine=ScriptedEngine(chain), reads="steps")).step_scores == ((1.0, 1.0),)


def test_a_chain_that_was_cut_off_has_no_score() -> None:
    engine = ScriptedEngine(Completion("Step 1: \\boxed{correct}", "length"))
    for reads in ("solution", "steps"):
        assert voted(ThinkPRMJudge(engine=engine, reads=reads)).status is Status.TRUNCATED


def test_rounds_and_verdicts_of_steps_exclude_each_other() -> None:
    with pytest.raises(FathomError, match="rounds=2"):
        ThinkPRMJudge(reads="steps", rounds=2)
