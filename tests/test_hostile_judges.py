"""Texts that tempt the readers of judges that do not end in a final verdict: scores, words, tags."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from fathom.data.records import Comparison
from fathom.engines import TokenLogprob
from fathom.judges import Judge, Vote, find, reduce_steps
from fathom.judges._probabilities import verdict_probabilities
from fathom.judges.libra import LibraJudge
from fathom.judges.rm_r1 import RMR1Judge
from fathom.judges.self_prm import SelfPRMJudge
from fathom.judges.spct import SPCTJudge
from fathom.judges.think_rm import ThinkRMJudge
from fathom.judges.verifier import VerifierJudge
from fathom.judges.yes_no import YesNoJudge
from fathom.rationale import Status

OK, MISSING, INVALID, TRUNCATED, CONTRADICTORY = (
    Status.OK,
    Status.MISSING,
    Status.INVALID,
    Status.TRUNCATED,
    Status.CONTRADICTORY,
)
PAIR = Comparison(id="1", prompt="2 + 2?", responses=("4", "5"), reference="4")
ONE = Comparison(id="1", prompt="2 + 2?", responses=("It is 4.",), reference="4")


def read(judge: Judge, text: str, *, finished: bool = True, n: int | None = None) -> Vote:
    responses = n or (1 if judge.arity == "pointwise" else 2)
    return judge.read(text, ONE if responses == 1 else PAIR, finished=finished)


# The corpus -----------------------------------------------------------------------------------------------------------

CORPUS = sorted((Path(__file__).parent / "hostile_judges").glob("*.yaml"))


def rows() -> Iterator[dict[str, Any]]:
    for path in CORPUS:
        for row in yaml.safe_load(path.read_text(encoding="utf-8")):
            yield row | {"file": path.name}


def said(row: dict[str, Any]) -> dict[str, Any]:
    judge = find(row["judge"])(**row.get("settings", {}))
    count = row.get("responses", 1 if judge.arity == "pointwise" else 2)
    responses = ("It is 4.", "It is 5.", "It is 6.", "It is 7.")[:count]
    comparison = Comparison(id="1", prompt="2 + 2?", responses=responses, reference="4")
    vote = judge.read(row["text"], comparison, finished=row.get("finished", True))
    winner = "tie" if vote.winner is None else vote.winner
    scores = vote.scores if vote.step_scores is None else reduce_steps(vote.step_scores, "min")
    return {"status": str(vote.status), "winner": winner, "scores": None if scores is None else [*scores]}


def misread(row: dict[str, Any], got: dict[str, Any]) -> str | None:
    """What was read otherwise than the row expects, in one line; None where all is right."""
    wrong = [f"{key} {got[key]!r}, not {row[key]!r}" for key in got if key in row and got[key] != row[key]]
    return f"{row['file']} {row['id']}: " + "; ".join(wrong) if wrong else None


def test_the_corpus_of_judges_is_large_and_its_rows_have_names_of_their_own() -> None:
    names = Counter(row["id"] for row in rows())
    assert len(names) >= 100
    assert [name for name, count in names.items() if count > 1] == []
    assert all(row["id"].startswith(f"{row['judge']}-") for row in rows())


def test_at_least_99_in_100_hostile_texts_of_judges_are_read_as_expected() -> None:
    wrong = [line for row in rows() if (line := misread(row, said(row)))]
    total = sum(1 for _ in rows())
    assert len(wrong) <= 0.01 * total, f"{len(wrong)} of {total} misread:\n" + "\n".join(wrong)


def test_no_hostile_text_of_a_judge_is_given_a_verdict_that_it_does_not_hold() -> None:
    sure = [line for row in rows() if (got := said(row))["status"] == "ok" and (line := misread(row, got))]
    assert sure == [], "\n".join(sure)


# Thoughts -------------------------------------------------------------------------------------------------------------

GIVEN = [
    pytest.param(SPCTJudge(), "Scores: \\boxed{2, 8}", "Scores: \\boxed{8, 2}", id="spct"),
    pytest.param(SelfPRMJudge(), "Score: 7", "Score: 2", id="self_prm"),
    pytest.param(ThinkRMJudge(), "<answer>A</answer>", "<answer>B</answer>", id="think_rm"),
    pytest.param(RMR1Judge(), "<answer>[[A]]</answer>", "<answer>[[B]]</answer>", id="rm_r1"),
    pytest.param(LibraJudge(), "Verdict: correct", "Verdict: incorrect", id="libra"),
    pytest.param(VerifierJudge(), "YES", "NO", id="verifier"),
    pytest.param(YesNoJudge(), "Yes", "No", id="yes_no"),
]


@pytest.mark.parametrize(("judge", "verdict", "thought"), GIVEN)
@pytest.mark.parametrize(
    "form", ["<think>{}</think>\n", "{}</think>\n", "<thinking>\n{}\n</thinking>\n", "◁think▷{}◁/think▷"]
)
def test_what_is_thought_is_not_read(judge: Judge, verdict: str, thought: str, form: str) -> None:
    alone, after = read(judge, verdict), read(judge, form.format(thought) + verdict)
    assert alone.status is OK
    assert (after.status, after.winner, after.scores) == (OK, alone.winner, alone.scores)


@pytest.mark.parametrize(("judge", "verdict", "thought"), GIVEN)
@pytest.mark.parametrize("before", ["<think>", "\n <think>", "Well. <think>", "<think>Hm.</think> Or <reasoning>"])
def test_a_thought_that_never_ends_holds_no_verdict(judge: Judge, verdict: str, thought: str, before: str) -> None:
    for finished in (True, False):
        assert read(judge, f"{before}\n{verdict}", finished=finished).status is TRUNCATED


@pytest.mark.parametrize(("judge", "verdict", "thought"), GIVEN)
def test_the_first_closing_tag_closes(judge: Judge, verdict: str, thought: str) -> None:
    assert read(judge, f"<think>{thought} <think> or not?</think>\n{verdict}").status is OK


@pytest.mark.parametrize(("judge", "verdict", "thought"), GIVEN)
@pytest.mark.parametrize("ending", ["\r\n", "\r"])
def test_line_ends_change_nothing(judge: Judge, verdict: str, thought: str, ending: str) -> None:
    text = f"<think>\n{thought}\n</think>\n\n{verdict}\n"
    alone, other = read(judge, text), read(judge, text.replace("\n", ending))
    assert (other.status, other.winner, other.scores) == (OK, alone.winner, alone.scores)


# SPCT -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "scores"),
    [
        pytest.param("Principle 1: Clarity (100 %)\n\nScores: \\boxed{3, 7}", (3, 7), id="as small models write it"),
        pytest.param("**Scores:** $\\boxed{3,7}$.", (3, 7), id="in markdown"),
        pytest.param("### 3. Scores\n\\[\n\\boxed{3, 7}\n\\]\n", (3, 7), id="below a heading"),
        pytest.param(
            "Scores: \\boxed{3, 7}, one number a response, in their order", (3, 7), id="in the prompt's words"
        ),
        pytest.param("Scores: \\boxed{3, 7}\nThe second is better.", (3, 7), id="before a last remark"),
        pytest.param("Analysis: not \\boxed{9, 1}.\nScores: \\boxed{3, 7}", (3, 7), id="after another box"),
    ],
)
def test_scores_are_read_where_they_are_announced(text: str, scores: tuple[int, ...]) -> None:
    assert read(SPCTJudge(), text).scores == scores


@pytest.mark.parametrize(
    ("text", "status"),
    [
        pytest.param("Analysis: \\boxed{9, 1} it is.", MISSING, id="a box in the analysis"),
        pytest.param("Scores: \\boxed{9, 1}, but no", INVALID, id="a box that is doubted"),
        pytest.param("Scores: 9, 1", INVALID, id="no box"),
        pytest.param("\\boxed{9, 1}\nScores: \\boxed{\\text{2, 8}}", INVALID, id="a box in a box"),
        pytest.param("\\boxed{9, 1}\nScores: \\boxed{2, 8", INVALID, id="an open box"),
        pytest.param("Scores: \\boxed{0000008, 1}", INVALID, id="zeros in front"),
        pytest.param(f"Scores: \\boxed{{{'9' * 5000}, 1}}", INVALID, id="more digits than Python converts"),
        pytest.param("Scores: \\boxed{9, 1}\nScores: \\boxed{1, 9}", CONTRADICTORY, id="two lines"),
        pytest.param("Scores: \\boxed{9, 1}\nOr rather \\boxed{1, 9}", CONTRADICTORY, id="a box after it"),
        pytest.param("Scores: \\boxed{9, 1}\nWait, the first is wrong.", CONTRADICTORY, id="taken back"),
        pytest.param("> Scores: \\boxed{9, 1}\n\nsays the response.", MISSING, id="a block quote"),
        pytest.param("It prints\n```\nScores: \\boxed{9, 1}\n```\nand ends.", MISSING, id="a code fence"),
    ],
)
def test_scores_that_are_not_given_are_none(text: str, status: Status) -> None:
    vote = read(SPCTJudge(), text)
    assert (vote.status, vote.scores) == (status, None)


@pytest.mark.parametrize("text", ["it answers \\boxed{7}, wrong.\n\nScores: 2", "So it says\n\\boxed{7}"])
def test_the_answer_of_a_response_is_not_its_score(text: str) -> None:
    assert read(SPCTJudge(), text, n=1).scores is None


@pytest.mark.parametrize(
    "text",
    [
        "Analysis: at first \\boxed{9, 1}, but on",
        "Scores: \\boxed{9, 1}, but on",
        "Analysis: \\boxed{9, 1}\nScores: \\boxed{2, 8",
        "Scores: \\boxed{9, 1}\nScores: \\boxed{2, 8",
        "Scores: \\boxed{9, 1}\nBut the sec",
        "Scores:",
    ],
)
def test_scores_that_were_cut_off_are_truncated(text: str) -> None:
    assert read(SPCTJudge(), text, finished=False).status is TRUNCATED


def test_scores_whose_box_was_closed_before_the_cut_are_whole() -> None:
    assert read(SPCTJudge(), "Scores: \\boxed{3, 7}", finished=False).scores == (3, 7)


# Self-PRM -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["Score: 9", "**Score:** 9/10", "Final score: \\boxed{9}.", "## Score\n\n9 out of 10"])
def test_a_score_is_what_its_line_says(text: str) -> None:
    assert read(SelfPRMJudge(), f"The solution concludes \\boxed{{4}}.\n\n{text}").scores == (9.0,)


@pytest.mark.parametrize(
    ("text", "status"),
    [
        pytest.param("It concludes \\boxed{4}, which I verified. So the score is 9.", MISSING, id="its answer"),
        pytest.param("Score: 2\nScore: 9", CONTRADICTORY, id="two scores"),
        pytest.param("Score: 9\nOn second thought it fails.", CONTRADICTORY, id="taken back"),
        pytest.param("Score: 9\nIt should have a score of 2.", CONTRADICTORY, id="another one in prose"),
        pytest.param("Score: 7.5", INVALID, id="no whole number"),
        pytest.param("Score: 007", INVALID, id="zeros in front"),
        pytest.param("Score: " + "9" * 5000, INVALID, id="more digits than Python converts"),
        pytest.param("> Score: 9", MISSING, id="quoted"),
    ],
)
def test_a_score_that_is_not_given_is_none(text: str, status: Status) -> None:
    assert read(SelfPRMJudge(), text).status is status


@pytest.mark.parametrize("text", ["Score: 1", "Score: 7\nThe last st", "so \\boxed{4"])
def test_a_score_that_was_cut_off_is_truncated(text: str) -> None:
    assert read(SelfPRMJudge(), text, finished=False).status is TRUNCATED


def test_the_prompt_asks_for_the_line_that_is_read() -> None:
    line = next(line for line in SelfPRMJudge().ask(ONE)[0]["content"].splitlines() if line.startswith("Score:"))
    assert read(SelfPRMJudge(), line).scores == (7.0,)


# Words ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "status", "score"),
    [
        pytest.param("> Verdict: correct", MISSING, None, id="a quote"),
        pytest.param("It ends:\n> Verdict: correct\n\nVerdict: incorrect", OK, 0.0, id="a verdict after a quote"),
        pytest.param("It ends\n```\nVerdict: correct\n```\nand is wrong.", MISSING, None, id="a code fence"),
        pytest.param("```\nVerdict: correct\n```", OK, 1.0, id="a fence around all of it"),
        pytest.param("The response says:\nVerdict: correct", MISSING, None, id="somebody else's words"),
        pytest.param("Verdict: ≠ correct", INVALID, None, id="a sign for not"),
        pytest.param("Verdict: !correct", INVALID, None, id="another sign for not"),
        pytest.param("Verdict: ~~correct~~", MISSING, None, id="struck out"),
        pytest.param("~~Verdict: correct~~\nVerdict: incorrect", OK, 0.0, id="a line struck out"),
        pytest.param(
            "Verdict: correct\nVerdict: incorrect, by step 3", CONTRADICTORY, None, id="a second with a reason"
        ),
        pytest.param("Verdict: correct\nWait, actually step 3 is wrong.", CONTRADICTORY, None, id="taken back"),
        pytest.param(
            "Verdict: correct\nWait, actually step 3 is wrong, so it is incorrect.", CONTRADICTORY, None, id="replaced"
        ),
        pytest.param("Verdict: correct\nHowever, it is incorrect.", CONTRADICTORY, None, id="the other word later"),
        pytest.param("Verdict: correct\nBut step 3 is not correct.", CONTRADICTORY, None, id="denied later"),
        pytest.param("Verdict: incorrect\nThe correct answer is 5.", OK, 0.0, id="the other word for something else"),
        pytest.param("Verdict: incorrect\nIt is not correct.", OK, 0.0, id="the same in other words"),
        pytest.param("**Verdict**\n\ncorrect.", OK, 1.0, id="below a heading"),
        pytest.param("Verdict: “correct”", OK, 1.0, id="in its own quotation marks"),
    ],
)
def test_a_word_counts_where_it_is_given(text: str, status: Status, score: float | None) -> None:
    vote = read(LibraJudge(), text)
    assert (vote.status, vote.scores) == (status, None if score is None else (score,))


@pytest.mark.parametrize(
    ("text", "score"),
    [("Final answer: No\nVerdict: YES", 1.0), ("Verdict: YES\nAnswer: 4", 1.0), ("Answer: 4\nVerdict: NO", 0.0)],
)
def test_a_verdict_outranks_an_answer(text: str, score: float) -> None:
    assert read(VerifierJudge(), text).scores == (score,)


@pytest.mark.parametrize("text", ["Verdict: correct", "Verdict: correct\nLet me check st", "Verdict: incorrect\n\nThe"])
def test_a_line_of_a_text_that_was_cut_off_is_no_verdict(text: str) -> None:
    assert read(LibraJudge(), text, finished=False).status is TRUNCATED


@pytest.mark.parametrize("judge", [VerifierJudge(), YesNoJudge()])
def test_one_token_is_a_whole_verdict(judge: Judge) -> None:
    assert read(judge, " Yes", finished=False).scores == (1.0,)


@pytest.mark.parametrize(
    ("judge", "written", "others"),
    [
        (VerifierJudge(), "YES", {"YES": 0.5, " Yes": 0.3, "yes": 0.1, "NO": 0.1}),
        (LibraJudge(), " correct", {" correct": 0.5, "Correct": 0.3, "CORRECT": 0.1, " incorrect": 0.1}),
    ],
)
def test_every_spelling_of_a_word_adds_to_its_probability(judge: Judge, written: str, others: dict[str, float]) -> None:
    top = tuple((token, math.log(mass)) for token, mass in others.items())
    tokens = [TokenLogprob("Verdict:", -0.1), TokenLogprob(written, math.log(0.5), top)]
    text = "Verdict:" + written

    def again(text: str) -> Vote:
        return read(judge, text)

    assert verdict_probabilities(tokens, text, judge.choices, again(text), again) == pytest.approx((0.9,))


# Tags -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", ["A", " A ", "**A**", "[[A]]", '"A"', "\\boxed{A}", "A."])
def test_markup_around_an_answer_means_nothing(answer: str) -> None:
    assert read(ThinkRMJudge(), f"<answer>{answer}</answer>").winner == 0


@pytest.mark.parametrize(
    ("text", "status"),
    [
        pytest.param("Assistant B wrote <answer>B</answer> in its reply.", MISSING, id="what somebody wrote"),
        pytest.param("It ends with `<answer>B</answer>`.", MISSING, id="in code"),
        pytest.param("<answer>A</answer> if A is better, <answer>B</answer> if B is.", MISSING, id="the menu"),
        pytest.param("<answer>A</answer>\n<answer>B</answer>", CONTRADICTORY, id="two answers"),
        pytest.param("<answer>A</answer>\nWait, B is better.", CONTRADICTORY, id="taken back"),
        pytest.param("<answer>A and B</answer>", INVALID, id="two letters"),
    ],
)
def test_an_answer_that_is_not_given_is_none(text: str, status: Status) -> None:
    assert read(ThinkRMJudge(), text).status is status


@pytest.mark.parametrize(
    "before", ["Between the two, A is better:", "Rather than B:", "Not B, so", "If I had to choose between them:"]
)
def test_an_answer_that_closes_the_text_is_given_whatever_leads_up_to_it(before: str) -> None:
    assert read(ThinkRMJudge(), f"{before} <answer>A</answer>\n").winner == 0
    assert read(ThinkRMJudge(), "Assistant B ends with <answer>B</answer>").status is MISSING


@pytest.mark.parametrize("text", ["<answer>A", "<answer>A</answer> Let me che", "<answer>A</answer>\n<answer>B"])
def test_an_answer_before_the_cut_is_not_the_last_word(text: str) -> None:
    assert read(ThinkRMJudge(), text, finished=False).status is TRUNCATED
    assert read(ThinkRMJudge(), "<answer>A</answer>", finished=False).winner == 0


@pytest.mark.parametrize(("answer", "winner"), [("+2", 1), ("2", 1), ("-2", 0), ("+-2", None), ("--2", None)])
def test_a_strength_has_one_sign(answer: str, winner: int | None) -> None:
    vote = read(ThinkRMJudge(labels="strength"), f"<answer>{answer}</answer>")
    assert (vote.status, vote.winner) == (INVALID if winner is None else OK, winner)


def test_rm_r1_does_not_read_what_it_asks_itself() -> None:
    text = "Should it be <answer>[[A]]</answer>? Let me check that agai"
    assert read(RMR1Judge(), f"<think>{text}", finished=False).status is TRUNCATED
    assert read(RMR1Judge(), text, finished=False).status is TRUNCATED
    assert read(RMR1Judge(), f"<think>{text}n</think>").status is MISSING


def test_blanks_after_an_answer_do_not_hide_it() -> None:
    text = "<answer>[[A]]</answer>"
    assert read(RMR1Judge(), text + " \n" * 80).winner == 0
    assert read(RMR1Judge(), text + "x" * 80).status is MISSING
    assert read(RMR1Judge(), text, finished=False).winner == 0


# Any length -----------------------------------------------------------------------------------------------------------

LONG = [
    "Scores: \\boxed{", "Score: 7\n", "Verdict: correct\n", "Verdict\n", "<answer>", "<answer>A</answer>", "</think>",
    "not ", "1 ", "* ", '"', "\\boxed{", "\\[", " incorrect",
]  # fmt: skip


@pytest.mark.parametrize("piece", LONG)
@pytest.mark.parametrize(("judge", "verdict", "thought"), GIVEN)
def test_a_model_that_loops_gives_a_vote_all_the_same(judge: Judge, verdict: str, thought: str, piece: str) -> None:
    for text in (piece * (100_000 // len(piece)), f"{verdict}\n{piece * (100_000 // len(piece))}"):
        vote = read(judge, text)
        assert (vote.status is OK) == (vote.scores is not None or vote.winner is not None)
