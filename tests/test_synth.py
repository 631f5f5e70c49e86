"""Synthesis: what merging keeps and drops, what is rejected and why, what is measured, and going on after a stop."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from fathom import ScriptedEngine
from fathom.cli import app
from fathom.data.reading import write_jsonl
from fathom.data.records import Comparison
from fathom.engines import BaseEngine, Completion, Engine, EngineError, Request
from fathom.engines.cache import CachedEngine
from fathom.errors import FathomError, RunInterruptedError
from fathom.lab import base, world
from fathom.lab.teacher import Teacher
from fathom.rationale import Rationale, Unit, parse, render
from fathom.synth import Result, Settings, merge, synthesise, validate_comparisons, write
from fathom.synth.merging import (
    grouped,
    merged,
    normalise,
    ordered_alike,
    sentences,
    similarity,
    sources,
    unify_names,
)
from fathom.synth.result import manifest

# Merging --------------------------------------------------------------------------------------------------------------

words = st.sampled_from(["A is plain.", "B rambles.", "B is *plain*!", "A 3", "B 5\n- a list", "好。", "e.g. this", ""])
judgments = st.lists(words, max_size=4).map(" ".join)
names = st.sampled_from(["Clarity", "clarity", "**Clarity**", "Brevity", "Warmth of tone", "Correctness", "好"])
units = st.builds(Unit, names, st.just(""), judgments, st.sampled_from(["A", "B", "MIXED", None]))
rationales = st.builds(
    Rationale, st.lists(units, max_size=5).map(tuple), st.just(""), st.sampled_from(["A", "B", "tie", None])
)


@given(st.lists(rationales, max_size=4), st.integers(1, 4))
def test_every_sentence_of_a_merge_stands_in_a_source(many: list[Rationale], keep: int) -> None:
    written = {s.strip() for rationale in many for unit in rationale.units for s in sentences(unit.judgment)}
    named = {unit.principle for rationale in many for unit in rationale.units}
    for unit in merge(many, keep=keep).units:
        assert unit.principle in named
        assert {sentence.strip() for sentence in sentences(unit.judgment)} <= written


@given(st.lists(rationales, max_size=4))
def test_every_unit_is_counted_in_exactly_one_group(many: list[Rationale]) -> None:
    groups = grouped(sources(many))
    assert sum(len(group) for group in groups) == sum(len(rationale.units) for rationale in many)
    assert all(1 <= merged(group).count <= len(many) for group in groups)


@given(st.lists(units, unique_by=lambda unit: unit.principle.strip("*").lower()), st.integers(1, 4))
def test_a_rationale_merged_with_itself_keeps_its_principles_and_sides(some: list[Unit], times: int) -> None:
    again = merge([Rationale(tuple(some))] * times, keep=100).units
    assert [(unit.principle, unit.sub_verdict) for unit in again] == [(u.principle, u.sub_verdict) for u in some]


principles = st.tuples(st.text(max_size=20), st.text(max_size=40))


@given(principles, principles)
def test_similarity_is_a_symmetric_share(one: tuple[str, str], other: tuple[str, str]) -> None:
    assert 0 <= similarity(one, other) <= 1 + 1e-9
    assert similarity(one, other) == pytest.approx(similarity(other, one))


@given(st.lists(rationales, max_size=4))
def test_a_run_spells_and_orders_a_principle_in_one_way(many: list[Rationale]) -> None:
    spelt = unify_names(many)
    names = {unit.principle for rationale in spelt for unit in rationale.units}
    assert len(names) == len({normalise(name) for name in names})
    for before, after in zip(spelt, ordered_alike(spelt), strict=True):
        assert sorted(map(str, before.units)) == sorted(map(str, after.units))
    orders = [[normalise(unit.principle) for unit in rationale.units] for rationale in ordered_alike(spelt)]
    for one, other in product(orders, repeat=2):
        shared = set(one) & set(other)
        assert list(dict.fromkeys(n for n in one if n in shared)) == list(
            dict.fromkeys(n for n in other if n in shared)
        )


@given(judgments)
def test_sentences_joined_are_the_text(text: str) -> None:
    assert "".join(sentences(text)).strip() == text.strip()


def rationale(*units: tuple[str, str, str], verdict: str | None = None, trace: str = "") -> Rationale:
    return Rationale(tuple(Unit(n, judgment=j, sub_verdict=v) for n, j, v in units), trace, verdict)  # type: ignore[arg-type]


def clarity(*sides: str) -> list[Rationale]:
    return [rationale(("Clarity", f"{side} is clearer.", side)) for side in sides]


def test_the_sub_verdict_is_the_majority_and_the_minority_is_not_quoted() -> None:
    assert merge(clarity("A", "B", "A"), keep=1).units == (Unit("Clarity", "", "A is clearer.", "A"),)


def test_balanced_sides_are_mixed_and_all_quoted() -> None:
    assert merge(clarity("A", "B"), keep=1).units == (Unit("Clarity", "", "A is clearer. B is clearer.", "MIXED"),)


def test_a_repeated_sentence_is_written_once_in_its_commonest_spelling() -> None:
    texts = ["a is **plain**. B rambles.", "A is plain. B is dull.", "A is plain."]
    made = merge([rationale(("Clarity", text, "A")) for text in texts], keep=1)
    assert made.units[0].judgment == "A is plain. B rambles. B is dull."


def test_sentences_that_differ_in_a_sign_are_different() -> None:
    made = merge([rationale(("Accuracy", text, "A")) for text in ("A 4 = 4.", "A 4 != 4.", "A -4 = 4.")], keep=1)
    assert made.units[0].judgment == "A 4 = 4. A 4 != 4. A -4 = 4."


def test_the_commonest_spelling_of_a_name_stands() -> None:
    spellings = ["CLARITY", "clarity", "**Clarity**", "clarity"]
    assert merge([rationale((name, "x", "A")) for name in spellings], keep=1).units[0].principle == "clarity"


def test_the_most_frequent_units_are_kept_in_the_order_of_their_usual_place() -> None:
    made = merge(
        [
            rationale(("Relevance", "x", "A"), ("Safety", "x", "A"), ("Brevity", "x", "A")),
            rationale(("Safety", "x", "A"), ("Brevity", "x", "A")),
            rationale(("Humour", "x", "B"), ("Brevity", "x", "A")),
        ],
        keep=2,
    )
    assert [unit.principle for unit in made.units] == ["Safety", "Brevity"]


def test_principles_of_like_wording_are_one() -> None:
    one = Unit("Factual accuracy", "Statements should be free of factual errors.", "A errs.", "B")
    other = Unit(
        "Accuracy of facts", "All statements in the response should be free of factual errors.", "B is right.", "B"
    )
    made = merge([Rationale((one,)), Rationale((other,))], keep=10)
    assert made.units == (replace(one, judgment="A errs. B is right."),)


def test_principles_that_one_rationale_lists_side_by_side_stay_apart() -> None:
    listed = rationale(("Clarity of structure", "x", "A"), ("Clarity of style", "y", "A"))
    assert merge([listed, listed], keep=10).units == listed.units


@pytest.mark.parametrize(
    ("sides", "verdicts", "decided"),
    [
        pytest.param("AAB", "BBB", "A", id="the units decide, whatever the teacher said"),
        pytest.param("AB", "BBA", "B", id="balanced units leave it to the teacher's verdicts"),
        pytest.param("AB", "AB", None, id="balanced again is undecided"),
        pytest.param("", "", None, id="nothing decides nothing"),
    ],
)
def test_the_verdict_of_a_merge(sides: str, verdicts: str, decided: str | None) -> None:
    listed = [(name, "x", side) for name, side in zip(("Brevity", "Warmth", "Safety"), sides, strict=False)]
    sampled = [rationale(*listed, verdict=verdict) for verdict in verdicts] or [rationale(*listed)]
    assert merge(sampled, keep=10).verdict == decided


# The whole run, on the small world ------------------------------------------------------------------------------------


class Scripted(BaseEngine):
    """The mini teacher, except where a prompt holds one of the signs: there it answers as told, or fails."""

    identity = "scripted"

    def __init__(self, answers: dict[str, str | None] | None = None, teacher: Engine | None = None) -> None:
        self.answers = answers or {}
        self.teacher = teacher or Teacher(messiness=0)
        self.requests: list[Request] = []

    async def complete(self, request: Request) -> Completion:
        self.requests.append(request)
        await asyncio.sleep(0)
        for sign, answer in self.answers.items():
            if sign in request.messages[0]["content"]:
                if answer is None:
                    raise EngineError("no connection")
                return Completion(answer)
        return await self.teacher.complete(request)


VANILLA, STANDARDISE, MERGE = "three to five principles", "Rewrite an evaluation", "Merge units"
SOLVE, CHOOSE, REFINE = "Solve this task", "Choose the principle", "by exactly these principles"


def comparisons(n: int) -> list[Comparison]:
    return [item.comparison for item in world.items(n, seed=0)]


def synthesised(engine: Engine, n: int = 4, **changed: object) -> Result:
    """An odd number of samples, none of them a tie, so that every merge is decided whatever the teacher's draws are."""
    return asyncio.run(synthesise(comparisons(n), engine, Settings(**{"samples": 5, **changed})))  # type: ignore[arg-type]


def test_mix_gives_breadth_to_preference_and_depth_to_correctness() -> None:
    rationales = synthesised(Teacher(), n=8).rationales("mix")
    assert len(rationales) == 8
    for comparison, made in rationales:
        assert made.structure == {"preference": "breadth", "correctness": "depth"}[comparison.domain or ""]


def test_messy_texts_come_out_in_the_words_of_the_world() -> None:
    """Unit for unit what `world.rationale` writes, in its order; and every token is known to the small model."""
    items = {item.id: item for item in world.items(100, seed=0)}
    result = synthesised(Teacher(messiness=0.4), n=100, arms=("mix", "vanilla", "breadth", "depth"), samples=10)
    tokenizer = base.tokenizer()
    for arm in result.settings.arms:
        assert len(result.rationales(arm)) >= 95
        for comparison, made in result.rationales(arm):
            item = items[comparison.id]
            if made.trace:
                assert made == world.rationale(item, "depth", None)  # type: ignore[arg-type]
            else:
                shown = {unit.principle for unit in made.units}
                assert made.units == tuple(world.unit_at_sight(item, n) for n in world.PRINCIPLES if n in shown)
        for row in result.completions(arm):
            ids = tokenizer.apply_chat_template([*row["prompt"], *row["completion"]], return_dict=False)
            assert tokenizer.unk_token_id not in ids


def test_no_request_depends_on_a_label() -> None:
    there, back = Scripted(), Scripted()
    swapped = [c.model_copy(update={"label": c.label and c.label.permuted((1, 0))}) for c in comparisons(6)]
    for engine, asked in ((there, comparisons(6)), (back, swapped)):
        asyncio.run(synthesise(asked, engine, Settings(arms=("breadth", "depth"))))
    assert there.requests == back.requests


@pytest.mark.parametrize("show", [False, True])
@pytest.mark.parametrize("domain", ["preference", "correctness"])
def test_a_reference_answer_is_in_no_prompt_unless_the_settings_show_it(domain: str, show: bool) -> None:
    known = Comparison(id="1", prompt="2 + 2", responses=("4", "5"), domain=domain, reference="4711")  # type: ignore[arg-type]
    judged = render(rationale(("accuracy", "A has the sum.", "A"), verdict="A"))
    engine = Scripted({VANILLA: judged, REFINE: judged, SOLVE: "2 + 2 = 4", CHOOSE: "1"})
    result = asyncio.run(synthesise([known], engine, Settings(show_reference=show)))
    (row,) = result.completions("mix")
    assert ("4711" in row["prompt"][0]["content"]) == show
    asked = [request.messages[0]["content"] for request in engine.requests]
    showing = [any(step in text for step in (VANILLA, REFINE)) for text in asked]
    assert showing.count(True) == (2 if domain == "preference" else 3)
    assert ["4711" in text for text in asked] == [show and step for step in showing]


def test_the_domain_is_inferred_from_a_reference_that_is_not_shown() -> None:
    one, other = (c.model_copy(update={"domain": None}) for c in comparisons(2))
    known = one.model_copy(update={"reference": "4711"})
    prepared = validate_comparisons([known, other], Settings(domain="auto"))
    assert [(c.domain, c.reference) for c in prepared] == [("correctness", None), ("preference", None)]


def test_no_more_requests_are_in_flight_than_allowed() -> None:
    flying, most = 0, 0

    class Counting(Teacher):
        async def complete(self, request: Request) -> Completion:
            nonlocal flying, most
            flying += 1
            most = max(most, flying)
            await asyncio.sleep(0)
            flying -= 1
            return await Teacher().complete(request)

    synthesised(Counting(), n=10, concurrency=3)
    assert most == 3


@pytest.mark.parametrize(("mode", "asked"), [("auto", 0), ("llm", 20)])
def test_standardising_asks_the_teacher_only_where_it_must(mode: str, asked: int) -> None:
    engine = Scripted()
    result = synthesised(engine, standardise=mode)
    assert sum(STANDARDISE in request.messages[0]["content"] for request in engine.requests) == asked
    assert ("standardise" in result.usage) == bool(asked)


def test_merging_by_the_teacher_and_by_similarity_agree_on_texts_that_name_principles_alike() -> None:
    by_similarity, by_teacher = (
        synthesised(Teacher(), n=20, arms=("breadth",), merge=m) for m in ("similarity", "llm")
    )
    assert by_similarity.rationales("breadth") == by_teacher.rationales("breadth")
    assert set(by_teacher.usage) - set(by_similarity.usage) == {"merge"}


REJECTIONS = [
    (VANILLA, None, "sample", "no connection"),
    (VANILLA, "I cannot help with that.", "sample", "refused"),
    (VANILLA, "<think>A is", "sample", "truncated"),
    (MERGE, "Principle 1: clarity\nJudgment: x\nVerdict: A", "merge", "does not name its source units"),
    (MERGE, "Principle 1: clarity (units 1, 2)\nJudgment: x\nVerdict: A", "merge", "exactly once"),
    (MERGE, "Principle 1: clarity (units 1, 99)\nJudgment: x\nVerdict: A", "merge", "exactly once"),
    (SOLVE, " ", "solve", "no solution"),
    (SOLVE, "<think>2 + 2 = 4", "solve", "no solution"),
    (SOLVE, None, "solve", "no connection"),
    (CHOOSE, "the first", "choose", "no numbers"),
    (CHOOSE, "99", "choose", "no numbers"),
    (CHOOSE, "0", "choose", "no principle can be decided"),
    (REFINE, "Principle 1: accuracy\nJudgment: A is right.\nVerdict: A", "refine", "missing"),
    (REFINE, "Final verdict: [[A]]", "refine", "principles, got 0"),
    (REFINE, "Principle 1: accuracy\nVerdict: A\n\nFinal verdict: [[A]]", "refine", "expected judgments on"),
    (
        REFINE,
        "Principle 1: accuracy\nJudgment: x\nVerdict: A\n\nFinal verdict: [[B]]",
        "refine",
        "contradicts the verdict",
    ),
    (REFINE, "Principle 1: accuracy\nJudgment: Alike.\nVerdict: MIXED\n\nFinal verdict: [[tie]]", "refine", "tie"),
]


@pytest.mark.parametrize(("sign", "answer", "stage", "reason"), REJECTIONS)
def test_what_cannot_be_read_is_rejected_with_its_stage_reason_and_text(
    sign: str, answer: str | None, stage: str, reason: str
) -> None:
    result = synthesised(Scripted({sign: answer}), merge="llm", arms=("mix",))
    lost = [rejected for rejected in result.rejected if rejected.stage == stage]
    assert lost
    for rejected in lost:
        assert reason in rejected.reason
        assert parse(rejected.text) == parse(answer or "")
    kept = {comparison.id for comparison, _ in result.rationales("mix")}
    assert kept == {c.id for c in comparisons(4)} - {r.id for r in result.rejected if r.structure}


def test_an_answer_cut_off_by_the_token_limit_is_rejected() -> None:
    class Short(Teacher):
        async def complete(self, request: Request) -> Completion:
            whole = await Teacher().complete(request)
            return replace(whole, finish_reason="length") if SOLVE in request.messages[0]["content"] else whole

    assert {(r.stage, r.reason) for r in synthesised(Short()).rejected} == {
        ("solve", "the answer was cut off (length)")
    }


def test_an_undecided_merge_is_rejected_and_no_coin_is_thrown() -> None:
    balanced = render(rationale(("clarity", "x", "A"), ("warmth", "y", "B"), verdict="tie"))
    result = synthesised(Scripted({VANILLA: balanced}), arms=("breadth",))
    assert result.rationales("breadth") == []
    assert {rejected.reason for rejected in result.rejected} == {
        "sub-verdicts and verdicts are tied, so there is no verdict"
    }


def test_the_chosen_principle_keeps_its_name_and_definition() -> None:
    refined = "Principle 1: Getting it right\nJudgment: A agrees with the solution.\nVerdict: A\n\nFinal verdict: [[A]]"
    rationales = synthesised(Scripted({REFINE: refined}), arms=("depth",)).rationales("depth")
    assert len(rationales) == 4
    for _, made in rationales:
        assert made.units == (Unit("accuracy", "", "A agrees with the solution.", "A"),)


TWO = render(rationale(("clarity", "x", "A"), ("warmth", "y", "B"), verdict="A"))


@pytest.mark.parametrize(
    ("names", "kept"),
    [(("clarity", "Warmth"), 4), (("Warmth", "clarity"), 4), (("clarity", "humour"), 0)],
    ids=["in another order", "in the same order", "about another principle"],
)
def test_several_refined_judgments_find_their_principles_by_name(names: tuple[str, str], kept: int) -> None:
    refined = render(rationale(*((name, f"about {name}".lower(), "A") for name in names), verdict="A"))
    engine = Scripted({VANILLA: TWO, CHOOSE: "2, 1", REFINE: refined, SOLVE: "It is 4."})
    made = synthesised(engine, arms=("depth",)).rationales("depth")
    assert len(made) == kept
    for _, depth in made:
        assert depth == rationale(
            ("warmth", "about warmth", "A"), ("clarity", "about clarity", "A"), verdict="A", trace="It is 4."
        )


# What is measured -----------------------------------------------------------------------------------------------------


def test_accuracy_after_every_stage_is_counted_by_hand() -> None:
    """Four comparisons, two votes each: every vote says A, but one in prose that says nothing."""
    says_a = render(rationale(("accuracy", "x", "A"), verdict="A"))

    def answer(request: Request) -> str:
        text = request.messages[0]["content"]
        if SOLVE in text or CHOOSE in text:
            return "1"
        speechless = comparisons(1)[0].prompt_text in text and request.sample == 0
        return "Hm." if speechless or "Hm." in text else says_a

    result = synthesised(ScriptedEngine(answer), samples=2, arms=("breadth", "depth"))
    wins = [c.label is not None and c.label.winner == 0 for c in comparisons(4)]
    overall = {row.stage: row for row in result.accuracies() if row.domain is None}
    assert (overall["sampled"].labelled, overall["sampled"].parsed) == (8, 7)
    assert overall["sampled"].correct == 2 * sum(wins) - wins[0]
    assert (overall["breadth"].labelled, overall["breadth"].parsed, overall["breadth"].correct) == (4, 4, sum(wins))
    by_domain = [row for row in result.accuracies() if row.stage == "depth" and row.domain]
    assert sum(row.correct for row in by_domain) == overall["depth"].correct == sum(wins)
    assert overall["sampled"].summary()["parse_rate"]["mean"] == 7 / 8


def test_without_labels_nothing_is_measured_and_everything_made() -> None:
    unlabelled = [comparison.model_copy(update={"label": None}) for comparison in comparisons(4)]
    result = asyncio.run(synthesise(unlabelled, Teacher(), Settings()))
    assert result.accuracies() == []
    assert len(result.rationales("mix")) + len(result.rejected) == 4


def test_tokens_are_the_sum_of_what_every_stage_spent() -> None:
    engine = Scripted(teacher=Teacher(messiness=0.5))
    result = synthesised(engine, n=10, merge="llm")
    spent = [asyncio.run(engine.teacher.complete(request)).usage for request in engine.requests]
    assert set(result.usage) == {"sample", "standardise", "merge", "solve", "choose", "refine"}
    assert sum(usage.prompt_tokens for usage in result.usage.values()) == sum(usage.prompt_tokens for usage in spent)
    assert sum(u.completion_tokens for u in result.usage.values()) == sum(u.completion_tokens for u in spent)


def test_the_filter_keeps_what_agrees_with_the_label_and_says_what_it_dropped() -> None:
    free, filtered = (synthesised(Teacher(), n=40, arms=("vanilla",), filter=f) for f in ("none", "consistent"))
    kept = filtered.rationales("vanilla")
    assert 0 < len(kept) < len(free.rationales("vanilla"))
    assert all(c.label is not None and made.verdict == "AB"[c.label.winner or 0] for c, made in kept)
    dropped = [rejected for rejected in filtered.rejected if rejected.stage == "filter"]
    assert len(kept) + len(dropped) == len(free.rationales("vanilla"))
    assert filtered.accuracies() == free.accuracies()


# Settings and data that cannot be used --------------------------------------------------------------------------------


def test_mix_without_a_domain_says_how_to_give_one() -> None:
    nameless = [comparison.model_copy(update={"domain": None}) for comparison in comparisons(2)]
    engine = Scripted()
    with pytest.raises(FathomError, match="--domain"):
        asyncio.run(synthesise(nameless, engine, Settings()))
    assert engine.requests == []
    given_one = asyncio.run(synthesise(nameless, engine, Settings(domain="preference", samples=5)))
    assert {made.structure for _, made in given_one.rationales("mix")} == {"breadth"}


def test_only_pairs_can_be_used() -> None:
    three = Comparison(id="three", prompt="x", responses=("a", "b", "c"), domain="preference")
    with pytest.raises(FathomError, match="three has 3 responses"):
        asyncio.run(synthesise([three], Teacher(), Settings()))


WRONG = [{"samples": 0}, {"keep": 0}, {"concurrency": 0}, {"arms": ()}, {"arms": ("x",)}, {"merge": "LLM"}]


@pytest.mark.parametrize("changed", WRONG)
def test_settings_that_make_no_sense_are_refused(changed: dict[str, object]) -> None:
    with pytest.raises(FathomError, match=next(iter(changed))):
        Settings(**changed)  # type: ignore[arg-type]


# Writing and going on -------------------------------------------------------------------------------------------------


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


class Breaks(BaseEngine):
    """An engine that dies after some requests, as a process does."""

    identity = Teacher().identity

    def __init__(self, after: int) -> None:
        self.after = after
        self.asked = 0

    async def complete(self, request: Request) -> Completion:
        if self.asked >= self.after:
            raise KeyboardInterrupt
        self.asked += 1
        return await Teacher().complete(request)


@pytest.mark.parametrize("after", [0, 7, 21, 34])
def test_an_interrupted_run_goes_on_where_it_stopped(tmp_path: Path, after: int) -> None:
    async def run(engine: Engine) -> tuple[Result, int]:
        async with CachedEngine(engine, tmp_path / "journal.sqlite") as cached:
            return await synthesise(comparisons(10), cached, Settings(concurrency=4)), cached.misses

    broken, whole = Breaks(after), Scripted(teacher=Teacher())
    with pytest.raises(KeyboardInterrupt):
        asyncio.run(run(broken))
    result, asked = asyncio.run(run(Teacher()))
    again, nothing = asyncio.run(run(Teacher()))
    uninterrupted = asyncio.run(synthesise(comparisons(10), whole, Settings()))
    repeated = asked - (len(whole.requests) - broken.asked)
    assert 0 <= repeated <= 4  # what was in flight when it stopped
    assert nothing == 0
    for name, made in (("resumed", result), ("again", again), ("whole", uninterrupted)):
        write(replace(made, settings=Settings()), tmp_path / name)
    assert files(tmp_path / "resumed") == files(tmp_path / "again") == files(tmp_path / "whole")


def test_the_folder_holds_a_set_an_arm_the_rejections_and_a_manifest(tmp_path: Path) -> None:
    result = synthesised(Scripted({CHOOSE: "?"}), n=6, arms=("mix", "vanilla"))
    write(result, tmp_path)
    assert set(files(tmp_path)) == {"mix.jsonl", "vanilla.jsonl", "rejected.jsonl", "manifest.json"}
    written = json.loads((tmp_path / "manifest.json").read_text())
    assert written["completions"] == {"mix": 3, "vanilla": 6}
    assert (
        written["rejected"]["rationales"]
        == [{"stage": "choose", "reason": "the last line names no numbers from 1 to 6", "count": 3}]
        or sum(row["count"] for row in written["rejected"]["rationales"]) == 3
    )
    rows = [json.loads(line) for line in (tmp_path / "mix.jsonl").read_text().splitlines()]
    assert [row["id"] for row in rows] == [c.id for c in comparisons(6) if c.domain == "preference"]
    assert all(parse(row["completion"][0]["content"]).rationale.verdict for row in rows)
    assert manifest(result)["samples"] == 30


# On the command line --------------------------------------------------------------------------------------------------


def test_the_command_writes_the_set_and_goes_on_without_asking_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, out = tmp_path / "pairs.jsonl", tmp_path / "out"
    write_jsonl(data, comparisons(8))
    command = ["synth", str(data), "--engine", "mini-teacher", "--arm", "mix", "--arm", "vanilla", "--out", str(out)]
    first = CliRunner().invoke(app, command)
    assert first.exit_code == 0
    assert "depth" in first.stdout
    made = files(out)
    assert len((out / "mix.jsonl").read_text().splitlines()) >= 6

    async def refuses(self: Teacher, request: Request) -> Completion:
        raise AssertionError("asked again")

    monkeypatch.setattr(Teacher, "complete", refuses)
    again = CliRunner().invoke(app, command)
    assert (again.exit_code, again.stdout) == (0, first.stdout)
    assert files(out)["mix.jsonl"] == made["mix.jsonl"]


def test_ctrl_c_says_what_is_kept_and_how_to_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def interrupted(self: Teacher, request: Request) -> Completion:
        raise KeyboardInterrupt

    write_jsonl(tmp_path / "pairs.jsonl", comparisons(2))
    monkeypatch.setattr(Teacher, "complete", interrupted)
    command = ["synth", str(tmp_path / "pairs.jsonl"), "--engine", "mini-teacher", "--out", str(tmp_path)]
    outcome = CliRunner().invoke(app, command)
    assert isinstance(outcome.exception, RunInterruptedError)
    assert "journal.sqlite: repeat the command" in str(outcome.exception)


ROOT = Path(__file__).parent.parent
OWN = [
    {"prompt": "Say hello", "chosen": "yes", "rejected": "no", "kind": "preference", "topic": "chat"},
    {"prompt": "2 + 2", "chosen": "4", "rejected": "5", "kind": "correctness", "topic": "sums", "reference": "4"},
]
"""Rows of a user's own, whose kinds stand in a column that is called otherwise."""


@pytest.mark.parametrize(
    ("options", "depth"),
    [
        (["--domain", "preference"], 0),
        (["--domain", "correctness"], 2),
        (["--map", "domain=kind"], 1),
        (["--map", "domain=correctness"], 2),
        (["--arm", "breadth"], 0),
        (["--map", "domain=topic", "--map", "domain.correctness=sums", "--domain", "preference"], 1),
        (["--map", "domain=topic", "--map", "domain.correctness=sums", "--map", "domain.preference=chat"], 1),
        (["--domain", "auto"], 1),
    ],
)
def test_rows_of_ones_own_get_a_domain_for_all_or_from_a_column(options: list[str], depth: int, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "own.jsonl", OWN)
    command = ["synth", str(tmp_path / "own.jsonl"), "--engine", "mini-teacher", "--out", str(tmp_path / "out")]
    planned = CliRunner().invoke(app, [*command, *options, "--dry-run"])
    assert planned.exit_code == 0, planned.output
    steps = re.findall(r"solve (?:at most )?(\d+)", planned.stdout)
    assert list(map(int, steps)) == ([depth] if depth else [])
    told = {
        0: "domain preference: 2\n",
        1: "domain correctness: 1, domain preference: 1\n",
        2: "domain correctness: 2\n",
    }
    assert (told[depth] in planned.stderr) == ("--arm" not in options)


def test_the_command_shows_the_teacher_a_reference_only_if_asked_to(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "own.jsonl", [OWN[1] | {"reference": "4711"}])
    command = ["synth", str(tmp_path / "own.jsonl"), "--engine", "mini-teacher", "--out", str(tmp_path / "out")]
    for options, shown in (([], False), (["--show-reference"], True)):
        planned = CliRunner().invoke(app, [*command, "--domain", "auto", "--dry-run", *options])
        assert "example prompt" in planned.stdout, planned.output
        assert ("4711" in planned.stdout) == shown
        assert "domain correctness: 1" in planned.stderr


def test_the_first_line_on_synthesis_works_on_a_file_of_ones_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_jsonl(tmp_path / "pairs.jsonl", OWN)
    pages = [ROOT / "README.md", ROOT / "docs" / "synthesis.md"]
    lines = [re.search(r"^fathom (synth pairs\.jsonl .*?)( +#.*)?$", page.read_text(), re.MULTILINE) for page in pages]
    for line in lines:
        assert line is not None
        arguments = line[1].replace("./teacher", "mini").replace("TEACHER", "mini").split()
        assert CliRunner().invoke(app, [*arguments, "--dry-run"]).exit_code == 0, line[1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--engine", "nobody"], "expected one of: local, masked, mini-teacher"),
        (["--engine", "local"], "--model is missing: name the model to call"),
        (["--engine", "mini-teacher", "--arm", "wide"], "got wide, expected some of mix, breadth, depth, vanilla"),
        (["--engine", "mini-teacher", "--map", "domain"], "FIELD=COLUMN"),
    ],
)
def test_a_wrong_argument_is_answered_with_what_is_allowed(tmp_path: Path, arguments: list[str], said: str) -> None:
    write_jsonl(tmp_path / "pairs.jsonl", comparisons(1))
    outcome = CliRunner().invoke(app, ["synth", str(tmp_path / "pairs.jsonl"), "--out", str(tmp_path), *arguments])
    assert isinstance(outcome.exception, FathomError)
    assert said in str(outcome.exception)
