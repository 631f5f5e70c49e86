"""Judges that think, solve or verify before they decide: what they read, and what they are paid."""

from __future__ import annotations

import asyncio
import gzip
import json
import math
import os
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import fathom.judges
from fathom import ScriptedEngine
from fathom.data.records import Comparison, Label
from fathom.engines import Completion, Sampling, TokenLogprob
from fathom.errors import FathomError
from fathom.judges import JUDGES, Judge, Vote, contains_answer, find, find_degeneracy
from fathom.judges.libra import LibraJudge
from fathom.judges.rm_r1 import RMR1Judge
from fathom.judges.s2j import S2JJudge
from fathom.judges.self_prm import SelfPRMJudge
from fathom.judges.think_rm import STRENGTHS, ThinkRMJudge
from fathom.judges.verifier import VerifierJudge
from fathom.judges.yes_no import YesNoJudge
from fathom.judging import rows
from fathom.metrics.verdicts import tally
from fathom.rationale import Status
from fathom.results.rows import to_row
from fathom.voting.wrappers import Repeated, Swapped
from judged import as_json

OK, MISSING, INVALID, TRUNCATED, CONTRADICTORY = (
    Status.OK,
    Status.MISSING,
    Status.INVALID,
    Status.TRUNCATED,
    Status.CONTRADICTORY,
)
PAIR = Comparison(id="1", prompt="2 + 2?", responses=("4", "5"), reference="4", label=Label(best=0))
ONE = Comparison(id="1", prompt="2 + 2?", responses=("It is 4.",), reference="4", label=Label(scores=(1.0,)))
NAMES = sorted(module.name for module in pkgutil.iter_modules(fathom.judges.__path__) if module.name[0] != "_")


def comparison(judge: Judge) -> Comparison:
    return ONE if judge.arity == "pointwise" else PAIR


def test_the_page_of_judges_names_every_judge_with_its_pattern() -> None:
    page = (Path(__file__).parent.parent / "docs" / "judges.md").read_text(encoding="utf-8")
    shows = {"pointwise": "one", "pairwise": "a pair", "listwise": "a list"}
    named = dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", page, re.MULTILINE))
    assert sorted(named) == sorted(JUDGES.names())
    writing = [name for name in named if issubclass(find(name), Judge)]
    assert writing
    made = {name: find(name)(explain=False) if name == "slot" else find(name)() for name in writing}
    assert all(named[name].startswith(shows[judge.arity]) for name, judge in made.items())


def test_the_page_of_judges_gives_the_source_of_every_judge() -> None:
    page = (Path(__file__).parent.parent / "docs" / "judges.md").read_text(encoding="utf-8")
    sources: dict[str, list[str]] = {}
    for table in re.findall(r"(?:^\|.*\n)+", page, re.MULTILINE):
        header, _, *rows = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in table.splitlines()]
        if "source" in header:
            for row in rows:
                assert len(row) == len(header), row
                for name in re.findall(r"`(\w+)`", row[0]) if row[0].startswith("`") else []:
                    sources.setdefault(name, []).append(row[header.index("source")])
    assert set(JUDGES.names()) <= set(sources)
    known = re.compile(r"arXiv \d{4}\.\d{5}|\(#likelihood-rewards\)|pointwise mutual|none: |authors of each")
    assert [name for name, found in sources.items() if not all(map(known.search, found))] == []


# All of them ----------------------------------------------------------------------------------------------------------

PIECES = ["Verdict: YES", "Verdict: no\n", "correct", "<answer>", "A", "</answer>", "\\boxed{", "3", "}", "</think>"]
PIECES += ["Scores: ", "Score: 7\n", "<think>", "-2", "Final verdict: [[A]]", "<rubric>\n1. ", "<solution>", "\n"]
PIECES += ["[[A>B]]", "[[C]]", "Output (b)", "[RESULT] 4", '{"score": "7"}', "final decision is Tie", "m", "tie"]


@given(st.sampled_from(NAMES), st.lists(st.sampled_from(PIECES) | st.text(max_size=9)).map("".join), st.booleans())
def test_any_text_is_a_vote_and_only_a_readable_one_decides(name: str, text: str, finished: bool) -> None:
    judge = find(name)()
    vote = judge.read(text, comparison(judge), finished=finished)
    assert vote.status is OK or (vote.winner, vote.scores) == (None, None)
    assert vote.winner in (None, *range(len(comparison(judge).responses)))
    if vote.status is OK and judge.arity == "pointwise":
        assert vote.scores is not None
        assert len(vote.scores) == 1


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_text_is_no_verdict(name: str) -> None:
    judge = find(name)()
    assert judge.read("", comparison(judge)).status is MISSING
    assert judge.read("", comparison(judge), finished=False).status is TRUNCATED


@pytest.mark.parametrize("name", NAMES)
def test_the_label_never_reaches_the_prompt(name: str) -> None:
    judge = find(name)()
    shown = comparison(judge)
    assert judge.ask(shown) == judge.ask(shown.model_copy(update={"label": None}))


# Words after a thought ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "status", "score"),
    [
        pytest.param("YES", OK, 1.0, id="the word alone"),
        pytest.param("no.", OK, 0.0, id="in small letters, with a stop"),
        pytest.param("**YES**", OK, 1.0, id="in markdown"),
        pytest.param("It matches.\nVerdict: YES", OK, 1.0, id="on a line of its own"),
        pytest.param("Final answer: \\boxed{NO}", OK, 0.0, id="boxed"),
        pytest.param("<think>NO? Verdict: NO</think>\nYES", OK, 1.0, id="a thought is no verdict"),
        pytest.param("so Verdict: NO it seems</think>YES", OK, 1.0, id="a thought that the prompt began"),
        pytest.param("<think>I would say YES", TRUNCATED, None, id="a thought without an end"),
        pytest.param("Verdict: YES\nVerdict: NO", CONTRADICTORY, None, id="two verdicts"),
        pytest.param("Verdict: YES\nVerdict: yes", OK, 1.0, id="one verdict twice"),
        pytest.param("I say YES to that.", MISSING, None, id="in prose"),
        pytest.param("Verdict: YES and NO", INVALID, None, id="a menu"),
        pytest.param("Verdict: maybe", INVALID, None, id="another word"),
    ],
)
def test_a_verifier_is_read_by_one_word(text: str, status: Status, score: float | None) -> None:
    vote = VerifierJudge().read(text, ONE)
    assert (vote.status, vote.scores) == (status, None if score is None else (score,))


def test_libra_says_correct_or_incorrect() -> None:
    assert LibraJudge().read("<think>incorrect?</think>\nVerdict: correct", ONE).scores == (1.0,)
    assert LibraJudge().read("Verdict: incorrect", ONE).scores == (0.0,)


# The verifier's guard -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("response", "kind"),
    [
        ("", "empty"),
        (" \n\t", "empty"),
        (":", "punctuation"),
        ("...", "punctuation"),
        ("—", "punctuation"),
        ("Thought process:", "opener"),
        ("Let's solve this problem step by step.", "opener"),
        ("Solution", "opener"),
        ("解", "opener"),
        ("The answer is", "opener"),
        ("4", None),
        ("-4", None),
        ("∞", None),
        ("A", None),
        ("The answer is 4", None),
        ("Step 1: take 4, and", None),
        ("no solution", None),
    ],
)
def test_a_response_that_says_nothing_is_told_by_kind(response: str, kind: str | None) -> None:
    assert find_degeneracy(response) == kind


PAPER = (" ", ".", ",", ":", "Thought process:", "Let's solve this problem step by step.")
PAPER += ("Solution", "解", "かいせつ", "Respuesta")


@pytest.mark.parametrize("reference", [None, "12", "Paris", "B", "\\frac{1}{2}", "十二", "∞", "x = 3", ""])
@pytest.mark.parametrize("key", PAPER)
def test_the_ten_keys_of_the_paper_say_nothing(key: str, reference: str | None) -> None:
    assert find_degeneracy(key, reference) is not None


@pytest.mark.parametrize(
    ("response", "reference"),
    [
        ("Paris,", "Paris"),
        ("paris:", "Paris."),
        ("while True:", "while True"),
        ('";"', ";"),
        ("Final answer: yes,", "yes"),
        ("The answer is \\boxed{},", "{}"),
        ("答案是：解，", "解"),
        ("ＡＢＣ：", "abc"),
        ("Solution", "solution"),
        ("The solution is B:", "(B)"),
    ],
)
def test_a_response_that_holds_the_reference_is_asked_about(response: str, reference: str) -> None:
    assert find_degeneracy(response, reference) is None


@pytest.mark.parametrize(
    ("text", "reference", "there"),
    [
        ("It costs 12cm.", "12", True),
        ("It is 112 or 123.", "12", False),
        ("答案是十二。", "十二", True),
        ("x<0", "<", True),
        ("Let's begin.", "b", False),
        ("It is (B).", "b", True),
        ("The cats sat.", "cat", True),
        ("anything", "", False),
        ("It is \\frac12", "\\frac{12}", False),
        ("a - b", "a b", True),
    ],
)
def test_a_text_holds_a_reference_as_it_is_spelt(text: str, reference: str, there: bool) -> None:
    assert contains_answer(text, reference) == there


@given(st.text(), st.text(), st.text())
def test_a_text_holds_what_stands_in_it_between_spaces(before: str, reference: str, after: str) -> None:
    assert contains_answer(f"{before} {reference} {after}", reference) or not reference.strip()


@given(st.text())
def test_the_reference_answer_itself_is_never_degenerate(text: str) -> None:
    assert find_degeneracy(text, text) is None or not text.strip()


@pytest.mark.parametrize(("guard", "score", "asked"), [("refuse", 0.0, 0), ("ask", 1.0, 1)])
def test_the_guard_refuses_what_says_nothing_without_asking(guard: str, score: float, asked: int) -> None:
    engine = ScriptedEngine(Completion("YES"))
    judge = VerifierJudge(engine=engine, guard=guard)  # type: ignore[arg-type]
    verdict = asyncio.run(judge(ONE.model_copy(update={"responses": ("Thought process:",)})))
    assert (verdict.scores, len(engine.requests)) == ((score,), asked)
    rationale = verdict.votes[0].rationale
    assert (rationale is not None and "without asking the model" in rationale.units[0].judgment) == (not asked)


def test_a_verifier_scores_each_of_several_responses_alone() -> None:
    engine = ScriptedEngine(Completion("YES"))
    verdict = asyncio.run(VerifierJudge(engine=engine)(PAIR.model_copy(update={"responses": ("4", "Solution", "5")})))
    assert verdict.scores == (1.0, 0.0, 1.0)
    assert len(engine.requests) == 2


def replying(replies: dict[str, Completion]) -> ScriptedEngine:
    """Answers by what the prompt holds."""
    return ScriptedEngine(
        lambda request: next(reply for sign, reply in replies.items() if sign in request.messages[0]["content"])
    )


def several(*responses: str) -> Comparison:
    return PAIR.model_copy(update={"responses": responses, "label": None})


def test_what_was_written_about_each_of_several_responses_is_kept() -> None:
    engine = replying(
        {"I say 4": Completion("YES", reasoning="4 is 4", retry_max_tokens=9), "I say 5": Completion("NO")}
    )
    judge, asked = VerifierJudge(engine=engine), several("I say 4", "Solution", "I say 5")
    vote = asyncio.run(judge(asked)).votes[0]
    assert [part.scores for part in vote.per_response] == [(1.0,), (0.0,), (0.0,)]
    assert vote.per_response[1].rationale is not None
    assert "without asking the model" in vote.per_response[1].rationale.units[0].judgment
    assert [part.reasoning for part in vote.per_response] == ["4 is 4", "", ""]
    assert vote.retry_max_tokens == 9
    assert [part.text for part in vote.unpermuted((2, 0, 1)).per_response] == ["", "NO", "YES"]
    row = to_row(asked, asyncio.run(judge(asked)))["votes"][0]
    assert [part["rationale"] is not None for part in row["per_response"]] == [False, True, False]
    assert [part["retry_max_tokens"] for part in row["per_response"]] == [9, None, None]


@pytest.mark.parametrize("name", ["libra", "verifier", "yes_no", "self_prm"])
def test_what_is_called_right_and_wrong_alone_lies_on_either_side_of_the_bound(name: str) -> None:
    said = {
        "libra": ("Verdict: correct", "Verdict: incorrect"),
        "self_prm": ("\\boxed{9}\nScore: 9", "\\boxed{1}\nScore: 1"),
    }
    judge = find(name)()
    right, wrong = (judge.read(text, ONE).scores for text in said.get(name, ("Yes", "No")))
    assert right is not None
    assert wrong is not None
    assert judge.threshold is not None
    assert wrong[0] < judge.threshold <= right[0]
    assert Repeated(judge, 2).threshold == judge.threshold


@pytest.mark.parametrize(("said", "correct"), [("YES", True), ("NO", False)])
@pytest.mark.parametrize("times", [1, 2])
def test_rows_of_a_single_response_are_held_against_its_label(said: str, correct: bool, times: int) -> None:
    voter = Repeated(VerifierJudge(engine=ScriptedEngine(Completion(said))), times)

    async def judged() -> list[dict[str, Any]]:
        return [row async for row in rows(voter, [ONE])]

    [row] = asyncio.run(judged())
    assert (row["correct"], row["threshold"]) == (correct, 0.5)


def test_probabilities_of_each_of_several_responses_are_kept() -> None:
    engine = replying({"I say 4": one_token("Yes", Yes=0.6, No=0.2), "I say 5": one_token("No", Yes=0.1, No=0.9)})
    vote = asyncio.run(YesNoJudge(engine=engine)(several("I say 4", "I say 5"))).votes[0]
    assert [part.probabilities for part in vote.per_response] == [pytest.approx((0.6,)), pytest.approx((0.1,))]


def test_where_one_of_several_cannot_be_read_the_vote_names_it_and_keeps_the_others() -> None:
    engine = replying({"I say 4": Completion("YES"), "I say 5": Completion("Perhaps"), "I say 6": Completion("NO")})
    verdict = asyncio.run(VerifierJudge(engine=engine)(several("I say 4", "I say 5", "I say 6")))
    vote = verdict.votes[0]
    assert (verdict.status, verdict.scores, vote.scores) == (MISSING, None, None)
    assert vote.error == "of 3 responses, not readable: 2 (missing)"
    assert [part.scores for part in vote.per_response] == [(1.0,), None, (0.0,)]


def test_a_verifier_without_a_reference_says_what_to_do() -> None:
    engine = ScriptedEngine(Completion("YES"))
    for response in ("It is 4.", "Solution"):
        asked = ONE.model_copy(update={"reference": None, "responses": (response,)})
        with pytest.raises(FathomError, match="no reference answer"):
            VerifierJudge().ask(asked)
        with pytest.raises(FathomError, match="no reference answer"):
            asyncio.run(VerifierJudge(engine=engine)(asked))


def test_no_right_answer_of_real_problems_is_called_degenerate() -> None:
    data = os.environ.get("FATHOM_DATA")
    if data is None:
        pytest.skip("set FATHOM_DATA to the folder that holds the evaluation data")
    answers = [*_answers(Path(data) / "gsm8k/test.jsonl.gz")]
    answers += _answers(Path(data) / "math_answers/math500_agieval_problems.jsonl.gz")
    assert len(answers) > 1000
    assert [answer for answer in answers if find_degeneracy(answer)] == []


def _answers(path: Path) -> Iterator[str]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            answer = json.loads(line)["answer"]
            yield from {answer, answer.rpartition("####")[2].strip()}


# RM-R1 ----------------------------------------------------------------------------------------------------------------


def test_rm_r1_keeps_the_rubric_of_a_chat_task() -> None:
    text = (
        "<type>Chat</type>\n<rubric>\n1. Warmth (60%): is it kind?\n- Brevity (40%)\n<justify>1. No item: no."
        "</justify>\n</rubric>\n<eval><quote_A>Hi</quote_A> is warm.</eval>\n<answer>[[A]]</answer>"
    )
    rationale = RMR1Judge().read(text, PAIR).rationale
    assert rationale is not None
    assert [(unit.principle, unit.definition) for unit in rationale.units] == [
        ("Warmth (60%)", "is it kind?"),
        ("Brevity (40%)", ""),
    ]
    assert (rationale.trace, rationale.verdict) == ("", "A")


def test_rm_r1_takes_the_outermost_items_for_principles_and_no_marks() -> None:
    text = (
        "<rubric>\n  1. **Warmth (60%)**: is it kind?\n     - tone: gentle\n\t- words: few\n"
        "  **2. Brevity:** is it short?\n</rubric>\n<answer>[[A]]</answer>"
    )
    rationale = RMR1Judge().read(text, PAIR).rationale
    assert rationale is not None
    assert [(unit.principle, unit.definition) for unit in rationale.units] == [
        ("Warmth (60%)", "is it kind?"),
        ("Brevity", "is it short?"),
    ]


def test_rm_r1_keeps_the_solution_of_a_reasoning_task() -> None:
    text = (
        "<type>Reasoning</type>\n<solution>\n2 + 2 = 4\n</solution>\n<eval>A is right.</eval>\n<answer>[[B]]</answer>"
    )
    vote = RMR1Judge().read(text, PAIR)
    assert vote.rationale is not None
    assert (vote.winner, vote.rationale.trace, vote.rationale.structure) == (1, "2 + 2 = 4", "depth")


# Think-RM -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strength", STRENGTHS)
def test_the_sign_of_a_strength_says_who_and_its_size_how_much(strength: int) -> None:
    vote = ThinkRMJudge(labels="strength").read(f"<think>hm</think><answer> {strength} </answer>", PAIR)
    assert (vote.status, vote.winner) == (OK, int(strength > 0))
    assert vote.scores is not None
    assert vote.scores[1] - vote.scores[0] == strength


@pytest.mark.parametrize("answer", ["0", "4", "-4", "2.5", "A", "", "1 or 2", "³"])
def test_what_is_no_strength_is_invalid(answer: str) -> None:
    assert ThinkRMJudge(labels="strength").read(f"<answer>{answer}</answer>", PAIR).status is INVALID


def test_the_answer_after_the_thought_counts() -> None:
    judge = ThinkRMJudge()
    vote = judge.read("<think>first <answer>A</answer></think> So <answer>B</answer>", PAIR)
    assert (vote.winner, vote.reasoning) == (1, "first <answer>A</answer>")
    assert judge.read("So <answer>A</answer>, no: <answer>B</answer>", PAIR).status is CONTRADICTORY
    assert judge.read("<think><answer>A</answer>", PAIR).status is TRUNCATED
    assert judge.read("<answer>2</answer>", PAIR).status is INVALID


def test_a_thought_is_kept_wherever_it_stands() -> None:
    judge = ThinkRMJudge()
    kept = [
        judge.read_completion(completion, PAIR).reasoning
        for completion in (
            Completion("<think>long</think><answer>A</answer>"),
            Completion("<answer>A</answer>", reasoning="apart"),
        )
    ]
    assert kept == ["long", "apart"]


# S2J, Self-PRM --------------------------------------------------------------------------------------------------------

SOLVED = "Solution: 2 + 2 = 4\nPrinciple 1: Correctness\nJudgment: A is right.\nVerdict: A\n\nFinal verdict: [[A]]"


def equal(solution: str, reference: str) -> bool:
    return solution.endswith(f"= {reference}")


@pytest.mark.parametrize(
    ("text", "reward"),
    [
        pytest.param(SOLVED, 1.25, id="solved and judged"),
        pytest.param(SOLVED.replace("[[A]]", "[[B]]"), -0.75, id="solved, and judged wrongly all the same"),
        pytest.param(SOLVED.replace("= 4", "= 5"), 1.0, id="judged without solving"),
        pytest.param("Final verdict: [[B]]", -1.0, id="neither"),
        pytest.param(SOLVED.partition("\n\n")[0], -0.75, id="solved, and no verdict"),
    ],
)
def test_both_parts_of_one_text_are_paid(text: str, reward: float) -> None:
    judge = S2JJudge(solving_weight=0.25, solved=equal)
    assert judge.vote_reward(judge.read(text, PAIR), PAIR) == reward


@pytest.mark.parametrize(
    "judge",
    [
        *(kind(trained=trained) for kind in (S2JJudge, LibraJudge, YesNoJudge) for trained in (False, True)),
        *(YesNoJudge(pairs=True, trained=trained) for trained in (False, True)),
        SelfPRMJudge(),
    ],
    ids=lambda judge: judge.template_name,
)
def test_a_judge_that_must_find_out_by_itself_does_not_see_the_reference(judge: Judge) -> None:
    shown = comparison(judge).model_copy(update={"reference": "QreferenceQ"})
    assert "QreferenceQ" not in judge.ask(shown)[0]["content"]


def test_solving_is_not_paid_silently_with_nothing() -> None:
    vote = S2JJudge().read(SOLVED, PAIR)
    with pytest.raises(FathomError, match="solving_weight=0"):
        S2JJudge().vote_reward(vote, PAIR)
    assert S2JJudge(solving_weight=0).vote_reward(vote, PAIR) == 1.0
    assert S2JJudge().vote_reward(vote, PAIR.model_copy(update={"reference": None})) == 1.0


@pytest.mark.parametrize(
    ("text", "status", "scores"),
    [
        ("It holds.\nScore: 7", OK, (7.0,)),
        ("It gives \\boxed{3}.\nScore: 10", OK, (10.0,)),
        ("<think>Score: 3</think>", MISSING, None),
        ("Score: 11", INVALID, None),
        ("Score: 7.5", INVALID, None),
        ("Score: -1", INVALID, None),
    ],
)
def test_a_model_scores_its_own_solution(text: str, status: Status, scores: tuple[float] | None) -> None:
    vote = SelfPRMJudge().read(text, ONE)
    assert (vote.status, vote.scores) == (status, scores)


# Yes and No -----------------------------------------------------------------------------------------------------------


def one_token(text: str, **masses: float) -> Completion:
    top = tuple((token, math.log(mass)) for token, mass in masses.items())
    return Completion(text, "length", logprobs=(TokenLogprob(text, top[0][1], top),))


def weighed(completion: Completion, **settings: bool) -> Vote:
    judge = YesNoJudge(**settings)  # type: ignore[arg-type]
    return judge.read_completion(completion, comparison(judge))


def test_a_score_is_the_share_of_yes_in_both_masses() -> None:
    vote = weighed(one_token("Yes", Yes=0.5, No=0.15, yes=0.1, Perhaps=0.2))
    assert vote.scores == pytest.approx((0.8,))  # 0.6 of 0.75
    assert vote.probabilities == pytest.approx((0.6,))
    assert vote.residual_probability == pytest.approx(0.25)


def test_a_pair_has_both_masses_as_they_are() -> None:
    vote = weighed(one_token("No", No=0.6, Yes=0.2, Well=0.1), pairs=True)
    assert (vote.winner, vote.probabilities) == (1, pytest.approx((0.2, 0.6)))
    assert vote.scores == pytest.approx((0.25, 0.75))
    assert vote.residual_probability == pytest.approx(0.2)


def test_little_mass_on_both_words_is_no_verdict() -> None:
    vote = weighed(one_token("Yes", Yes=0.3, Perhaps=0.6))
    assert vote.status is INVALID
    assert vote.error is not None
    assert "0.300" in vote.error


@pytest.mark.parametrize(
    ("masses", "pairs", "elsewhere"),
    [
        pytest.param({"No": 0.7, "Well": 0.2}, False, 0.3, id="a confident No"),
        pytest.param({"No": 0.7, "Well": 0.2}, True, 0.3, id="a confident No about a pair"),
        pytest.param({"Yes": 0.7, "Well": 0.2}, True, 0.3, id="a confident Yes about a pair"),
        pytest.param({"No": 0.1, "Yes": 0.2, "Well": 0.7}, False, 0.7, id="too little for a verdict"),
        pytest.param({"No": 0.6, "Yes": 0.4}, True, 0.0, id="nothing"),
    ],
)
def test_the_probability_that_went_elsewhere_is_told(masses: dict[str, float], pairs: bool, elsewhere: float) -> None:
    vote = weighed(one_token(next(iter(masses)), **masses), pairs=pairs)
    assert vote.residual_probability == pytest.approx(elsewhere)
    if pairs:
        assert vote.unpermuted((1, 0)).residual_probability == vote.residual_probability


def test_what_went_elsewhere_is_in_the_rows_and_their_tally() -> None:
    engine = replying({"I say 4": one_token("Yes", Yes=0.6, No=0.2), "I say 5": one_token("No", No=0.6, Well=0.4)})
    judge, asked = YesNoJudge(engine=engine), [several("I say 4", "I say 5"), several("I say 4")]
    made = [as_json(to_row(*judged)) for judged in judge.run(asked)]
    assert made[0]["votes"][0]["residual_probability"] == pytest.approx(0.3)  # the mean of 0.2 and 0.4
    assert [part["residual_probability"] for part in made[0]["votes"][0]["per_response"]] == [
        pytest.approx(0.2),
        pytest.approx(0.4),
    ]
    told = tally(made)["all"].residual_probability
    assert told is not None
    assert told.mean == pytest.approx(0.25)  # of 0.3 and 0.2


def spelt(*tokens: str, at: int = 0, **masses: float) -> Completion:
    """A text of several tokens, with masses at one of them."""
    top = tuple((token, math.log(mass)) for token, mass in masses.items())
    told = [TokenLogprob(token, -0.1, top if k == at else ((token, -0.1),)) for k, token in enumerate(tokens)]
    return Completion("".join(tokens), logprobs=tuple(told))


@pytest.mark.parametrize(
    ("completion", "share"),
    [
        pytest.param(spelt("Yes", ",", " it is good", ".", Yes=0.6, No=0.2), 0.75, id="prose after the word"),
        pytest.param(spelt("**", "No", "**", ": it is not.", at=1, Yes=0.2, No=0.6), 0.25, id="in markdown"),
        pytest.param(one_token("Well", Yes=0.45, No=0.15, Well=0.4), 0.75, id="another word was drawn"),
        pytest.param(spelt("<think>", "No", "</think>", "Yes", ", good", at=3, Yes=0.9, No=0.1), 0.9, id="a thought"),
        pytest.param(spelt("[THINK]", "No", "[/THINK]", "Yes", ", good", at=3, Yes=0.9, No=0.1), 0.9, id="in brackets"),
    ],
)
def test_where_the_text_is_prose_its_first_word_is_weighed(completion: Completion, share: float) -> None:
    vote = weighed(completion)
    assert (vote.status, vote.scores) == (OK, pytest.approx((share,)))


@pytest.mark.parametrize(
    "completion",
    [
        pytest.param(spelt("Well", ", yes.", Yes=0.3, Well=0.7), id="little mass on both words"),
        pytest.param(spelt("<think>", "Yes", ", or", at=1, Yes=0.9, No=0.1), id="a thought without an end"),
        pytest.param(Completion("Yes, it is good."), id="no probabilities"),
    ],
)
def test_where_the_first_word_says_nothing_there_is_no_verdict(completion: Completion) -> None:
    vote = weighed(completion)
    assert vote.status in (MISSING, TRUNCATED)
    assert vote.scores is None
    assert (vote.residual_probability is None) == ("Well" not in completion.text)


def test_no_mass_on_either_word_is_no_verdict_however_little_is_asked_for() -> None:
    top = (("Yes", -9999.0), ("Well", 0.0))
    completion = Completion("Yes", "length", logprobs=(TokenLogprob("Yes", -9999.0, top),))
    vote = YesNoJudge(least=0).read_completion(completion, ONE)
    assert (vote.status, vote.residual_probability) == (INVALID, 1.0)


def test_without_probabilities_there_is_no_share() -> None:
    vote = weighed(Completion("Yes"))
    assert (vote.status, vote.scores) == (INVALID, None)
    assert vote.error is not None


def test_both_orders_are_asked_of_pairs_and_an_always_yes_ties() -> None:
    engine = ScriptedEngine(one_token("Yes", Yes=0.9, No=0.1))
    verdict = asyncio.run(Swapped(YesNoJudge(engine=engine, pairs=True))(PAIR))
    assert verdict.scores == pytest.approx((0.5, 0.5))
    assert (verdict.winner, verdict.flip_rate, len(engine.requests)) == (None, 1.0, 2)
    assert engine.requests[0].sampling.top_logprobs == 20


def test_the_sampling_of_a_user_is_kept() -> None:
    assert YesNoJudge(sampling=Sampling(top_logprobs=3, max_tokens=9)).sampling.top_logprobs == 3


# Rewards --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("judge", "told", "text", "reward"),
    [
        (LibraJudge(), ONE, "Verdict: correct", 1.0),
        (LibraJudge(), ONE, "Verdict: incorrect", 0.0),
        (LibraJudge(), ONE, "", 0.0),
        (VerifierJudge(), ONE, "YES", 1.0),
        (VerifierJudge(), ONE, "NO", -1.0),
        (YesNoJudge(), ONE, "Yes", 1.0),
        (YesNoJudge(pairs=True), PAIR, "No", -1.0),
        (RMR1Judge(), PAIR, "<answer>[[A]]</answer>", 1.0),
        (RMR1Judge(), PAIR, "<answer>[[B]]</answer>", -1.0),
        (ThinkRMJudge(), PAIR, "<answer>A</answer>", 1.0),
        (ThinkRMJudge(), PAIR, "<answer>B</answer>", 0.0),
        (ThinkRMJudge(), PAIR, "A", 0.0),
    ],
)
def test_each_judge_is_paid_as_its_paper_says(judge: Judge, told: Comparison, text: str, reward: float) -> None:
    assert judge.vote_reward(judge.read(text, told), told) == reward


@pytest.mark.parametrize(("answer", "reward"), [("-2", 1.0), ("-1", 0.5), ("-3", 0.5), ("1", 0.0), ("9", 0.0)])
def test_a_strength_is_paid_in_full_only_where_it_is_exact(answer: str, reward: float) -> None:
    judge, told = ThinkRMJudge(labels="strength"), PAIR.model_copy(update={"label": Label(scores=(2.0, 0.0))})
    assert judge.vote_reward(judge.read(f"<answer>{answer}</answer>", told), told) == reward


def test_a_self_score_is_paid_nothing() -> None:
    with pytest.raises(FathomError, match="trained to solve"):
        SelfPRMJudge().vote_reward(Vote(OK, scores=(1.0,)), ONE)


# With real engines ----------------------------------------------------------------------------------------------------


def test_the_local_engine_gives_both_masses(tmp_path: Path) -> None:
    from fathom.engines.local import LocalEngine
    from fathom.lab import base

    words = base.word_level(["YES", "NO"], ["YES", "NO", "a"], r"[\s\S]")  # nine words: all are among the likeliest
    votes = []
    for seed in range(6):
        for part in (words, base.llama(words, seed, 16, 1, 2, spread=0.5)):
            part.save_pretrained(tmp_path / str(seed))
        engine = LocalEngine(tmp_path / str(seed))
        votes += asyncio.run(YesNoJudge(engine=engine, least=0.01).votes(ONE))
    told = [vote for vote in votes if vote.status is OK]
    assert told, "one model in six says YES or NO"
    for vote in told:
        assert vote.scores is not None
        assert vote.probabilities is not None
        assert 0 < vote.probabilities[0] < vote.scores[0] < 1
        assert 0 < (vote.residual_probability or 0) < 1


def test_a_server_gives_both_masses() -> None:
    from fathom.engines.openai import OpenAIEngine
    from serving import Reply, chat, serving

    async def asked() -> tuple[Vote, dict[str, object]]:
        body = json.loads(chat("Yes", "length").body)
        top = [{"token": token, "logprob": math.log(mass)} for token, mass in (("Yes", 0.6), ("No", 0.2))]
        body["choices"][0]["logprobs"] = {"content": [{**top[0], "top_logprobs": top}]}
        async with serving(lambda _: Reply(body=json.dumps(body).encode())) as server:
            engine = OpenAIEngine("m", base_url=server.url)
            (vote,) = await YesNoJudge(engine=engine).votes(ONE)
            await engine.close()
            return vote, server.calls[0].fields

    vote, sent = asyncio.run(asked())
    assert (vote.scores, vote.probabilities) == (pytest.approx((0.75,)), pytest.approx((0.6,)))
    assert (sent["logprobs"], sent["top_logprobs"], sent["max_tokens"]) == (True, 20, 1)
