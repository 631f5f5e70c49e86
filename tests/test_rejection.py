"""Rejection sampling: which trajectories are kept and why others are not, on cases made by hand."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from fathom.cli import app
from fathom.data.reading import read
from fathom.data.records import Comparison, Label
from fathom.engines import BaseEngine, Completion, EngineError, Request
from fathom.engines.scripted import ScriptedEngine
from fathom.errors import FathomError, IncompleteRunError
from fathom.judges.mix import MixJudge
from fathom.judges.processbench import ProcessBenchJudge
from fathom.judges.spct import SPCTJudge
from fathom.judges.thinkprm import ThinkPRMJudge
from fathom.results import runs
from fathom.synth import rejection
from fathom.synth.rejection import Result, Settings
from fathom.train import meta
from fathom.train.rewards import JudgeReward
from fathom.train.sft import Example

HINT = "Hint: "


def comparison(name: str, n: int = 2, label: Label | None = None) -> Comparison:
    return Comparison(id=name, prompt=name, responses=("x",) * n, label=label or Label(best=0))


@dataclass
class Scripted(BaseEngine):
    """Answers a prompt that holds a name with that name's texts, sample by sample; `None` is a failure."""

    texts: dict[str, list[str | None]]
    """The last one is the answer to the hinted prompt."""
    identity: str = "scripted"
    asked: list[str] = field(default_factory=list)

    async def complete(self, request: Request) -> Completion:
        prompt = request.messages[0]["content"]
        self.asked.append(prompt)
        texts = next(texts for name, texts in self.texts.items() if name in prompt)
        text = texts[-1] if HINT in prompt else texts[request.sample]
        if text is None:
            raise EngineError("no answer")
        return Completion(f"Scores: \\boxed{{{text}}}" if text[0].isdigit() else text)


def sampled(texts: dict[str, list[str | None]], *items: Comparison, **settings: object) -> tuple[Result, Scripted]:
    engine = Scripted(texts)
    return asyncio.run(rejection.sample(items, engine, Settings(**settings))), engine  # type: ignore[arg-type]


def test_every_reason_is_counted_for_each_source() -> None:
    texts: dict[str, list[str | None]] = {
        "mixed": ["9, 2", "2, 9", "5, 5", "8, 1"],  # right, wrong, a tie is wrong; the hinted one is right
        "easy": ["9, 2", "9, 3", "7, 1", "9, 1"],  # all three right: too easy; the hinted one stays
        "broken": ["nothing", "9, 2, 4", None, "1, 9"],  # missing, invalid, failed; the hinted one is wrong
    }
    result, engine = sampled(texts, *map(comparison, texts))
    assert result.counts == {
        "sampled": {"kept": 1, "incorrect": 2, "too easy": 3, "missing": 1, "invalid": 1, "failed": 1},
        "hinted": {"kept": 2, "incorrect": 1},
    }
    assert [(row["id"], row["source"], row["sample"]) for row in result.rows] == [
        ("mixed", "sampled", 0),
        ("mixed", "hinted", 0),
        ("easy", "hinted", 0),
    ]
    assert len(engine.asked) == 3 * 4


def test_rows_have_the_plain_prompt_of_training_without_instructions_or_hint() -> None:
    result, engine = sampled({"q": ["9, 2", "2, 9", "9, 3", "9, 1"]}, comparison("q"))
    plain = SPCTJudge(trained=True).ask(comparison("q"))
    assert [row["prompt"] for row in result.rows] == [plain] * 3
    asked = SPCTJudge().ask(comparison("q"))[0]["content"]
    assert engine.asked.count(asked) == 3
    hinted = [prompt for prompt in engine.asked if HINT in prompt]
    assert hinted == [f"{asked}\n\nHint: response 1 is the best one."]
    for row in result.rows:
        Example.model_validate(row)


@given(st.integers(2, 6), st.integers(2, 5), st.data())
def test_what_is_kept_is_right_and_never_all_of_a_comparison(samples: int, n: int, data: st.DataObject) -> None:
    label = Label(best=data.draw(st.integers(0, n - 1)))
    scores = st.lists(st.integers(1, 10), min_size=n, max_size=n)
    drawn = data.draw(st.lists(scores, min_size=samples, max_size=samples))
    texts: list[str | None] = [", ".join(map(str, row)) for row in drawn]
    result, _ = sampled({"q": texts}, comparison("q", n, label), samples=samples, hints=False)
    right = [sum(score >= row[label.best or 0] for score in row) == 1 for row in drawn]
    kept = {row["sample"] for row in result.rows}
    assert kept == (set() if all(right) else {k for k, good in enumerate(right) if good})


def test_a_single_response_is_judged_by_its_score() -> None:
    right, wrong = Label(scores=(1.0,)), Label(scores=(0.0,))
    texts: dict[str, list[str | None]] = {"good": ["1", "0", "1", "1"], "bad": ["1", "1", "7", "0"]}
    items = comparison("good", 1, right), comparison("bad", 1, wrong)
    result, engine = sampled(texts, *items, judge=SPCTJudge(binary=True))
    assert result.counts == {"sampled": {"kept": 2, "incorrect": 3, "invalid": 1}, "hinted": {"kept": 2}}
    hints = [prompt.rpartition("\n")[2] for prompt in engine.asked if HINT in prompt]
    assert hints == ["Hint: the response is correct.", "Hint: the response is not correct."]


# Chains that verify steps ---------------------------------------------------------------------------------------------


def steps(name: str, *labels: float | None) -> Comparison:
    texts = tuple(f"{name} {place}" for place in range(len(labels)))
    label = Label(steps=(labels,))
    return Comparison(id=name, prompt=name, responses=("\n\n".join(texts),), steps=(texts,), label=label)


def chain(*verdicts: str) -> str:
    return "\n".join(f"Step {place}: \\boxed{{{verdict}}}" for place, verdict in enumerate(verdicts, 1))


GOOD, BAD = "correct", "incorrect"
VERIFIER = ThinkPRMJudge(reads="steps")
CHAINS: dict[str, list[str | None]] = {
    # agrees; calls a right step wrong; a verdict is missing
    "right": [f"{chain(GOOD, GOOD, GOOD)}\nSo all is well.", chain(GOOD, BAD), chain(GOOD, GOOD)],
    # agrees; agrees, with verdicts after the first incorrect one; misses the wrong step
    "wrong": [chain(GOOD, BAD), chain(GOOD, BAD, GOOD), chain(GOOD, GOOD, GOOD)],
    # agrees; no verdict in the format; a failed call
    "first": [chain(BAD), "All is fine.", None],
}
LABELLED = steps("right", 1.0, 1.0, 1.0), steps("wrong", 1.0, 0.0, None), steps("first", 0.0, None, None)


def test_a_chain_is_kept_if_every_verdict_agrees_with_the_labels_of_steps_and_each_rejection_is_counted() -> None:
    result, _ = sampled(CHAINS, *LABELLED, judge=VERIFIER, hints=False, easy=True)
    assert result.counts == {"sampled": {"kept": 4, "incorrect": 2, "invalid": 1, "missing": 1, "failed": 1}}
    kept = [(row["id"], row["completion"][0]["content"]) for row in result.rows]
    closed = f"{chain(GOOD, BAD)}\nIs the solution correct? No"  # text after the first incorrect step is cut
    assert kept == [
        ("right", f"{chain(GOOD, GOOD, GOOD)}\nIs the solution correct? Yes"),
        ("wrong", closed),
        ("wrong", closed),
        ("first", f"{chain(BAD)}\nIs the solution correct? No"),
    ]
    assert result.rows[0]["prompt"] == ThinkPRMJudge().prompt(LABELLED[0])  # that of the judge of whole solutions
    for row in result.rows:
        Example.model_validate(row)


def test_a_chain_that_rejects_another_step_than_the_first_wrong_one_is_not_training_data() -> None:
    later = f"Steps 1 and 2 are fine. Step 3: \\boxed{{{BAD}}}"
    result, _ = sampled({"first": [later] * 3}, LABELLED[2], judge=VERIFIER, hints=False, easy=True)
    assert result.counts == {"sampled": {"invalid": 3}}


def test_a_chain_that_was_cut_off_is_rejected_for_its_length() -> None:
    cut = ScriptedEngine(Completion(chain(GOOD, GOOD, GOOD), "length"))
    settings = Settings(judge=VERIFIER, hints=False, easy=True)
    result = asyncio.run(rejection.sample([LABELLED[0]], cut, settings))
    assert result.counts == {"sampled": {"truncated": 3}}


def test_chains_are_balanced_between_right_and_wrong_solutions() -> None:
    result, _ = sampled(CHAINS, *LABELLED, judge=VERIFIER, hints=False, easy=True, balance=True)
    assert result.counts["sampled"]["surplus"] == 2
    assert sorted(row["id"] == "right" for row in result.rows) == [False, True]
    again, _ = sampled(CHAINS, *LABELLED, judge=VERIFIER, hints=False, easy=True, balance=True)
    assert again.rows == result.rows
    with pytest.raises(FathomError, match="balance applies to single responses"):
        sampled({"q": ["9, 2"] * 3}, comparison("q"), balance=True)


def test_easy_comparisons_are_kept_on_request() -> None:
    result, _ = sampled({"q": ["9, 2", "9, 3", "7, 1"]}, comparison("q"), hints=False, easy=True)
    assert result.counts == {"sampled": {"kept": 3}}
    assert list(rejection.not_too_easy(result)) == []


def test_the_reward_of_steps_is_that_of_the_first_wrong_step() -> None:
    """By the reward function of `fathom train rlvr`, for both judges of steps that write text."""
    item = steps("wrong", 1.0, 0.0, None)
    texts = [chain(GOOD, BAD), chain(GOOD, GOOD, GOOD), chain(BAD), "?"]
    reward = JudgeReward(VERIFIER, max_completion_length=100, end_token_ids=())
    encoded = [item.model_dump_json()] * len(texts)
    assert reward(texts, [[1]] * len(texts), encoded) == [1.0, -1.0, -1.0, -1.0]
    critic = JudgeReward(ProcessBenchJudge(), max_completion_length=100, end_token_ids=())
    assert critic(["\\boxed{1}", "\\boxed{0}", "\\boxed{-1}", "?"], [[1]] * 4, encoded) == [1.0, -1.0, -1.0, -1.0]
    whole = JudgeReward(ThinkPRMJudge(), max_completion_length=100, end_token_ids=())
    assert whole(texts, [[1]] * len(texts), encoded) == [1.0, -1.0, 1.0, -1.0]  # only whether any step is wrong


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        (
            Comparison(id="c", prompt="q", responses=("a",), label=Label(scores=(1.0,))),
            "expected labels of one response's steps",
        ),
        (steps("c", 1.0, None, 0.0), "step 2 has no label"),
    ],
)
def test_labels_that_name_no_first_wrong_step_are_refused(item: Comparison, reason: str) -> None:
    with pytest.raises(FathomError, match=reason):
        sampled({"c": ["x"]}, item, judge=VERIFIER, hints=False)


def test_hints_are_refused_for_labels_of_steps() -> None:
    with pytest.raises(FathomError, match="--no-hints"):
        sampled(CHAINS, LABELLED[0], judge=VERIFIER)


@pytest.mark.parametrize(
    ("judge", "item", "reason"),
    [
        pytest.param(SPCTJudge(), Comparison(id="c", prompt="q", responses=("a", "b")), "no label", id="no label"),
        pytest.param(SPCTJudge(), comparison("c", 2, Label(scores=(1.0, 1.0))), "winner", id="no winner"),
        pytest.param(SPCTJudge(), comparison("c", 1, Label(scores=(1.0,))), "binary=true", id="not scored 0 or 1"),
        pytest.param(
            SPCTJudge(binary=True), comparison("c", 1), "single response 0 or 1", id="a label without a score"
        ),
        pytest.param(
            SPCTJudge(binary=True), comparison("c", 1, Label(scores=(0.5,))), "expected 0 or 1", id="half right"
        ),
        pytest.param(MixJudge(), comparison("c", 3), "judges 2 at a time", id="too many for the judge"),
    ],
)
def test_what_cannot_be_told_right_is_refused_before_anything_is_asked(
    judge: SPCTJudge, item: Comparison, reason: str
) -> None:
    with pytest.raises(FathomError, match=reason):
        sampled({}, item, judge=judge)


def test_the_command_writes_rows_reasons_and_counts_and_resumes_from_its_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher = Scripted({"first": ["9, 2", "2, 9", "1, 2", "9, 1"], "second": ["9, 2", "9, 2", "9, 2", "1, 9"]})
    monkeypatch.setattr("fathom.engines.open", lambda *_, **__: teacher)
    file, out = tmp_path / "pairs.jsonl", tmp_path / "out"
    file.write_text("".join(comparison(name).model_dump_json() + "\n" for name in teacher.texts))
    arguments = ["rejection-sample", str(file), "--model", "any", "--out", str(out)]
    first = CliRunner().invoke(app, arguments)
    assert first.exit_code == 0, first.output
    written = (out / "rft.jsonl").read_bytes()
    assert len(written.splitlines()) == 2
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["trajectories"] == {
        "sampled": {"kept": 1, "incorrect": 2, "too easy": 3},
        "hinted": {"kept": 1, "incorrect": 1},
    }
    reasons = [json.loads(line)["reason"] for line in (out / "rejected.jsonl").read_text().splitlines()]
    assert sorted(reasons) == ["incorrect"] * 3 + ["too easy"] * 3

    asked = len(teacher.asked)
    assert CliRunner().invoke(app, arguments).exit_code == 0
    assert len(teacher.asked) == asked
    assert (out / "rft.jsonl").read_bytes() == written


def test_the_command_says_what_to_do_where_nothing_was_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    teacher = Scripted({"first": ["2, 9", "9, 2", "2, 9", "2, 9"]})
    file = tmp_path / "pairs.jsonl"
    file.write_text(comparison("first").model_dump_json())
    monkeypatch.setattr("fathom.engines.open", lambda *_, **__: teacher)
    arguments = ["rejection-sample", str(file), "--model", "any", "--out"]
    assert "nothing was kept" not in CliRunner().invoke(app, [*arguments, str(tmp_path / "some")]).output
    teacher.texts["first"][1] = "2, 9"
    said = r"nothing was kept; the most common reason is 'incorrect' \(4 of 4 trajectories\): use more --samples"
    with pytest.raises(IncompleteRunError, match=said):
        CliRunner().invoke(app, [*arguments, str(tmp_path / "none")], catch_exceptions=False)
    told = CliRunner().invoke(app, [*arguments, str(tmp_path / "none"), "--fail-on", "never"])
    assert told.exit_code == 0
    assert re.search(said, told.output)


def test_a_judge_that_is_paid_for_solving_too_is_sampled_with_its_references(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    solved = "Solution: 2 + 2 = 4\n\nFinal verdict: [[A]]"
    teacher = Scripted({"2 + 2": [solved, "Final verdict: [[B]]", solved, solved]})
    monkeypatch.setattr("fathom.engines.open", lambda *_, **__: teacher)
    file, out = tmp_path / "pairs.jsonl", tmp_path / "out"
    item = Comparison(id="1", prompt="2 + 2?", responses=("4", "5"), label=Label(best=0), reference="4")
    file.write_text(item.model_dump_json())
    done = CliRunner().invoke(
        app, ["rejection-sample", str(file), "--judge", "s2j", "--model", "any", "--out", str(out)]
    )
    assert done.exit_code == 0, done.output
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["trajectories"] == {"sampled": {"kept": 2, "incorrect": 1}, "hinted": {"kept": 1}}
    assert "object at 0x" not in manifest["settings"]["judge"]
    assert "function" not in manifest["settings"]["judge"]


def test_all_that_was_sampled_without_a_hint_is_left_as_votes_for_a_meta_reward_model(tmp_path: Path) -> None:
    texts: dict[str, list[str | None]] = {
        "mixed": ["9, 2", "2, 9", "nothing", "8, 1"],
        "easy": ["9, 2", None, "7, 1", "9, 1"],
    }
    times = {"at": b"\x00\xff"}
    items = [comparison(name).model_copy(update={"metadata": times}) for name in texts]
    result, _ = sampled(texts, *items)
    rejection.write(result, tmp_path)
    rows = list(runs.open(tmp_path / "votes.jsonl").rows())
    assert [(row["id"], len(row["votes"]), row["winner"]) for row in rows] == [("mixed", 3, None), ("easy", 3, 0)]
    judge = SPCTJudge(trained=True)
    examples = list(meta.examples(judge, rows, "votes.jsonl"))
    assert [each.right for each in examples] == [True, False, False, True, True]  # a call that failed is no vote
    assert examples[0].prompt == judge.ask(items[0])
    assert [each.text for each in examples[:3]] == ["Scores: \\boxed{9, 2}", "Scores: \\boxed{2, 9}", "nothing"]


def test_comparisons_that_are_not_too_easy_are_left_for_reinforcement_learning(tmp_path: Path) -> None:
    texts: dict[str, list[str | None]] = {
        "mixed": ["9, 2", "2, 9", "9, 1", "9, 1"],
        "easy": ["9, 2", "9, 3", "7, 1", "1, 9"],
        "wrong": ["2, 9", "2, 9", "2, 9", "9, 1"],
        "failed": [None, None, None, None],
    }
    items = [comparison(name, label=Label(scores=(2.0, 0.0))) for name in texts]
    result, _ = sampled(texts, *items)
    rejection.write(result, tmp_path)
    assert list(read(tmp_path / "comparisons.jsonl")) == [item for item in items if item.id != "easy"]


@pytest.mark.parametrize(
    ("row", "hint"),
    [
        ({"preference_strength": -3}, "Hint: response 1 is the best one, with a strength of 3."),
        ({"preference_strength": 1}, "Hint: response 2 is the best one, with a strength of 1."),
        ({"label": "A"}, "Hint: response 1 is the best one."),
    ],
)
def test_a_hint_says_how_strong_a_preference_is_where_its_source_does(
    tmp_path: Path, row: dict[str, object], hint: str
) -> None:
    file = tmp_path / "helpsteer2.jsonl"
    file.write_text(json.dumps({"prompt": "p", "response_1": "x", "response_2": "y"} | row))
    (item,) = read(file)
    assert rejection.hinted(SPCTJudge().ask(item), item)[0]["content"].rpartition("\n")[2] == hint


def test_of_several_the_strength_is_that_over_the_next_best() -> None:
    item = comparison("c", 3, Label(scores=(1.0, 4.5, 4.2)))
    assert (
        "response 2 is the best one, with a strength of 0.3."
        in rejection.hinted(SPCTJudge().ask(item), item)[0]["content"]
    )


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        pytest.param(
            ["--samples", "1"],
            "--samples.*greater than or equal to 2|--samples.*1 is not in the range",
            id="one is too easy, or wrong",
        ),
        pytest.param(
            ["--temperature", "0"],
            "got temperature 0, expected more: 3 samples would be the same text",
            id="the same text again",
        ),
    ],
)
def test_settings_that_can_keep_nothing_are_refused_before_anything_is_asked(
    tmp_path: Path, given: list[str], reason: str
) -> None:
    file = tmp_path / "pairs.jsonl"
    file.write_text(comparison("c").model_dump_json())
    arguments = ["rejection-sample", str(file), "--model", "nowhere", "--out", str(tmp_path / "out"), *given]
    refused = CliRunner().invoke(app, arguments)
    assert refused.exit_code != 0
    assert re.search(reason, f"{' '.join(refused.output.split())} {refused.exception}")
