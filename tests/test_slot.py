"""The judge `slot`: what the masked language model reads, what its slot is worth, and what training teaches it."""

from __future__ import annotations

import asyncio
import json
import random
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl", reason='needs pip install "fathom-rm[train]"')

import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForMaskedLM, AutoTokenizer
from typer.testing import CliRunner

from fathom.cli import app
from fathom.data.records import Comparison, Label
from fathom.engines import Completion, EngineError, SlotRequest
from fathom.engines.cache import CachedEngine, entries
from fathom.engines.masked import MaskedLMEngine
from fathom.engines.scripted import ScriptedEngine
from fathom.errors import FathomError
from fathom.judges import Rule, Vote, gather
from fathom.rationale import Status
from fathom.results.rows import to_row
from fathom.rewards._cloze import log_odds, probabilities
from fathom.rewards.slot import Cloze, SlotReward, strip_verdicts
from fathom.train import slot as training
from fathom.train.recipe import SlotRecipe
from fathom.voting.wrappers import Repeated, Swapped
from tiny import make_checkpoint, make_masked

TEXT = "prompt response explanation all in , the is better : . 1 2 it good bad first second how are you kind rude fine"
WORDS = [*TEXT.split(), *"thanks go away polite harsh tone ? [ ]".split()]  # noqa: SIM905


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_masked(tmp_path_factory.mktemp("masked") / "m", WORDS)


@pytest.fixture(scope="module")
def engine(model: Path) -> MaskedLMEngine:
    return MaskedLMEngine(model, device="cpu")


def comparison(*responses: str, label: Label | None = None, **metadata: Any) -> Comparison:
    return Comparison(id="1", prompt="how are you ?", responses=responses, label=label, metadata=metadata)


def plain(model: Path, text: str, words: tuple[str, ...]) -> list[float]:
    """The log-probabilities by plain code of transformers, on one unpadded text."""
    tokenizer, masked = AutoTokenizer.from_pretrained(model), AutoModelForMaskedLM.from_pretrained(model)
    ids = tokenizer(f"{text} [MASK].", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        logits = masked(ids).logits[0, ids[0].tolist().index(tokenizer.mask_token_id)]
    return logits.log_softmax(-1)[tokenizer.convert_tokens_to_ids(list(words))].tolist()


# The engine -----------------------------------------------------------------------------------------------------------


def test_the_slot_is_that_of_transformers_whatever_the_batch(model: Path, engine: MaskedLMEngine) -> None:
    texts = ["it is", "how are you ? fine thanks . it is", "go away " * 20 + "it is"]

    async def read() -> list[Any]:
        return await asyncio.gather(*(engine.slot(SlotRequest((), text, ("good", "bad"))) for text in texts))

    found = asyncio.run(read())
    assert len(found) == 3
    for text, scores in zip(texts, found, strict=True):
        assert scores.logprobs == pytest.approx(plain(model, text, ("good", "bad")), abs=1e-5)


def test_mask_tokens_in_a_text_are_text(engine: MaskedLMEngine) -> None:
    scores = asyncio.run(engine.slot(SlotRequest((), "it is [MASK] . it is", ("good", "bad"))))
    assert len(scores.logprobs) == 2


def test_words_and_texts_that_do_not_fit_are_refused(engine: MaskedLMEngine, tmp_path: Path) -> None:
    def read(text: str, *words: str) -> Any:
        return asyncio.run(engine.slot(SlotRequest((), text, words)))

    with pytest.raises(FathomError, match="no single token for the word 'excellent'"):
        read("it is", "excellent", "bad")
    with pytest.raises(FathomError, match="expected two or more that are different tokens"):
        read("it is", "good", "Good")
    with pytest.raises(EngineError, match=r"the text has \d+ tokens; .* has a context of 128"):
        read("fine " * 200, "good", "bad")
    with pytest.raises(FathomError, match=r"cannot load .* as a masked language model"):
        MaskedLMEngine(make_checkpoint(tmp_path / "causal"), device="cpu")


def test_readings_are_stored_in_the_journal(engine: MaskedLMEngine, tmp_path: Path) -> None:
    request = SlotRequest((), "it is", ("good", "bad"))

    class Broken(MaskedLMEngine):
        def __init__(self) -> None:
            self.name = "none"

        identity = engine.identity

    async def read(inner: Any) -> Any:
        async with CachedEngine(inner, tmp_path / "journal") as cached:
            return await cached.slot(request)

    assert asyncio.run(read(engine)) == asyncio.run(read(Broken()))


# The cloze ------------------------------------------------------------------------------------------------------------


LOGPROBS = st.lists(st.tuples(st.floats(-30, 0), st.floats(-30, 0)), min_size=2, max_size=4)


@given(LOGPROBS, st.floats(-5, 5))
def test_probabilities_sum_to_one_and_calibration_cancels_what_the_words_are_worth_anyway(
    both: list[tuple[float, float]], shift: float
) -> None:
    logprobs, blank = map(list, zip(*both, strict=True))
    shares = probabilities(logprobs, blank)
    assert sum(shares) == pytest.approx(1)
    assert probabilities(logprobs, logprobs) == pytest.approx([1 / len(logprobs)] * len(logprobs))
    assert probabilities([value + shift for value in logprobs], blank) == pytest.approx(shares)
    assert probabilities(logprobs) == pytest.approx(probabilities(logprobs, [shift] * len(logprobs)))


def test_the_score_is_the_expected_rating() -> None:
    assert Cloze().score((0.3, 0.7)) == pytest.approx(0.7)
    assert Cloze(words=("bad", "it", "good")).score((0.2, 0.5, 0.3)) == pytest.approx(0.25 + 0.3)
    assert Cloze(words=("bad", "good"), values=(1, 10)).score((0.5, 0.5)) == pytest.approx(5.5)
    assert log_odds((0.25, 0.75)) == pytest.approx(torch.log(torch.tensor(3.0)).item())


@pytest.mark.parametrize(
    ("text", "stripped", "count"),
    [
        ("It is good.", "It is.", 1),
        ("Good: it adds up. Response 1 is BETTER!", ": it adds up. Response 1 is!", 2),
        ("The goodness of a badge.", "The goodness of a badge.", 0),
        ("The first is polite.", "The is polite.", 1),
        ("Correct", "", 1),
    ],
)
def test_words_that_state_a_verdict_are_stripped(text: str, stripped: str, count: int) -> None:
    assert strip_verdicts(text, ("first", "second")) == (stripped, count)


@pytest.mark.parametrize("words", [("good",), ("first", "second", "it")])
def test_words_that_make_no_slot_are_refused(words: tuple[str, ...]) -> None:
    with pytest.raises(FathomError, match=r"the judge 'slot': words .*: expected two"):
        SlotReward(slot="m", pairs=len(words) == 3, words=words)


# The judge ------------------------------------------------------------------------------------------------------------


def explaining(*texts: str) -> ScriptedEngine:
    return ScriptedEngine(texts)


def test_the_score_is_the_calibrated_probability_of_the_last_word(model: Path) -> None:
    judge = SlotReward(engine=explaining("the tone is good kind ."), slot=str(model), leak=True)
    ((_, verdict),) = judge.run([comparison("fine thanks")])
    (vote,) = verdict.votes
    text = "Prompt: how are you ?\nResponse: {}\n{}All in all, the response is"
    logprobs = plain(model, text.format("fine thanks", "Explanation: the tone is kind .\n"), ("bad", "good"))
    blank = plain(model, text.format("", ""), ("bad", "good"))
    expected = torch.tensor(logprobs).sub(torch.tensor(blank)).softmax(0)[1].item()
    assert verdict.scores == pytest.approx((expected,), abs=1e-5)
    assert vote.text.startswith("the tone is good kind .\n\n[slot: bad ")
    assert "1 verdict words stripped; the explanation alone: good 0." in vote.text


def test_without_an_explanation_the_engine_itself_reads_the_slot(model: Path, engine: MaskedLMEngine) -> None:
    judge = SlotReward(engine=engine, explain=False, calibrate=False)
    ((_, verdict),) = judge.run([comparison("fine thanks", "go away")])
    text = "Prompt: how are you ?\nResponse: {}\nAll in all, the response is"
    expected = [
        torch.tensor(plain(model, text.format(each), ("bad", "good"))).softmax(0)[1].item()
        for each in ("fine thanks", "go away")
    ]
    assert verdict.scores == pytest.approx(expected, abs=1e-5)
    assert judge.needs == {"slot"}


def test_both_orders_of_a_pair_cancel_the_position(model: Path) -> None:
    judge = SlotReward(engine=ScriptedEngine(["the tone is kind ."] * 4), slot=str(model), pairs=True)
    ((_, forward),) = Swapped(judge).run([comparison("fine thanks", "go away")])
    ((_, backward),) = Swapped(judge).run([comparison("go away", "fine thanks")])
    assert forward.scores is not None
    assert backward.scores is not None
    assert forward.scores == pytest.approx(backward.scores[::-1], abs=1e-6)
    assert [vote.order for vote in forward.votes] == [(0, 1), (1, 0)]


def test_votes_average_the_probabilities_of_several_explanations(model: Path) -> None:
    texts = ["kind kind .", "rude rude rude ."]
    judge = SlotReward(engine=explaining(*texts), slot=str(model))
    ((_, verdict),) = Repeated(judge, 2).run([comparison("fine thanks")])
    scores = [vote.scores[0] for vote in verdict.votes if vote.scores]
    assert len(scores) == 2
    assert abs(scores[0] - scores[1]) > 1e-4
    assert verdict.scores == pytest.approx((sum(scores) / 2,))


@pytest.mark.parametrize(
    ("completion", "status"),
    [
        (Completion(""), Status.MISSING),
        (Completion("Good."[:4]), Status.MISSING),  # nothing is left after stripping
        (Completion("I cannot.", finish_reason="refusal"), Status.REFUSED),
        (Completion("kind , the", finish_reason="length"), Status.TRUNCATED),
        (Completion("<think> kind", finish_reason="length"), Status.TRUNCATED),
    ],
)
def test_no_explanation_gives_no_score(model: Path, completion: Completion, status: Status) -> None:
    judge = SlotReward(engine=ScriptedEngine([completion]), slot=str(model))
    ((_, verdict),) = judge.run([comparison("fine thanks")])
    assert (verdict.votes[0].status, verdict.scores) == (status, None)


def test_texts_that_cannot_be_read_give_no_score(model: Path) -> None:
    judge = SlotReward(engine=explaining("kind ."), slot=str(model))
    ((_, verdict),) = judge.run([comparison("fine " * 200)])
    assert verdict.votes[0].status is Status.FAILED
    assert "has a context of 128" in str(verdict.votes[0].error)
    (vote,) = gather(judge.plan(comparison("fine")), [Completion("kind .")])  # a transcript without the second stage
    assert vote.status is Status.MISSING
    ((_, verdict),) = judge.run([comparison("")])
    assert verdict.votes[0].status is Status.INVALID


@pytest.mark.parametrize("pairs", [False, True])
def test_a_model_that_computes_nan_gives_no_verdict(model: Path, pairs: bool) -> None:
    broken = MaskedLMEngine(model, device="cpu")
    with torch.no_grad():
        broken.model.get_input_embeddings().weight[:] = torch.nan
    judge = SlotReward(engine=broken, explain=False, pairs=pairs)
    ((_, verdict),) = judge.run([comparison("fine thanks", "go away")])
    assert (verdict.status, verdict.winner, verdict.scores) == (Status.INVALID, None, None)
    assert "the score is nan" in str(verdict.votes[0].error)


def test_responses_without_text_are_invalid(model: Path) -> None:
    for pairs in (False, True):
        judge = SlotReward(engine=explaining("kind .", "kind ."), slot=str(model), pairs=pairs)
        ((_, verdict),) = judge.run([comparison("fine", " \n")])
        assert verdict.status is Status.INVALID


def test_the_prompt_does_not_depend_on_the_label(model: Path) -> None:
    judge = SlotReward(slot=str(model), pairs=True)
    asked = [judge.ask(comparison("fine", "go away", label=label)) for label in (None, Label(best=0), Label(best=1))]
    assert asked[0] == asked[1] == asked[2]
    assert "go away" in asked[0][0]["content"]


def test_settings_without_a_second_model_are_refused() -> None:
    with pytest.raises(FathomError, match="needs a masked language model beside the one that explains"):
        SlotReward()
    with pytest.raises(FathomError, match="slot=m has no effect with explain=false; give the model as --model"):
        SlotReward(slot="m", explain=False)
    with pytest.raises(FathomError, match="no model that reads criteria; leave the rubric out"):
        SlotReward(explain=False, rubric="Prefer short answers.")


# Training -------------------------------------------------------------------------------------------------------------

LEARN = {
    "gradient_checkpointing": False,
    "logging_steps": 10,
    "save_strategy": "no",
    "max_steps": 30,
    "eval_strategy": "steps",
    "eval_steps": 30,
    "per_device_train_batch_size": 16,
    "learning_rate": 1e-3,
    "lr_scheduler_type": "linear",
}


def labelled(count: int, seed: int) -> list[Comparison]:
    """Kind responses are better, and people explain them by their tone."""
    rng = random.Random(seed)
    items = []
    for number in range(count):
        kind, rude = ("fine thanks " * rng.randint(1, 3), "go away " * rng.randint(1, 3))
        best = rng.randrange(2)
        responses, gold = ((kind, rude), ["polite tone", "harsh tone"])
        if best:
            responses, gold = (rude, kind), gold[::-1]
        item = comparison(*responses, label=Label(best=best), why=gold)
        items.append(item.model_copy(update={"id": f"{seed}-{number}"}))
    return items


def write(path: Path, items: list[Comparison]) -> Path:
    lines = []
    for item in items:
        row = {"id": item.id, "prompt": item.prompt, "responses": item.responses, "why": item.metadata["why"]}
        assert item.label is not None
        lines.append(json.dumps(row | {"label": {"best": item.label.best}}) + "\n")
    path.write_text("".join(lines))
    return path


def measured(folder: Path) -> dict[str, float]:
    lines = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    return {name: value for line in lines for name, value in line.items()}


def test_training_teaches_the_slot(model: Path, tmp_path: Path) -> None:
    data, held_out = write(tmp_path / "d.jsonl", labelled(48, 0)), write(tmp_path / "e.jsonl", labelled(24, 1))
    settings: dict[str, Any] = {"data": data, "eval_data": held_out, "output": tmp_path / "m", "trainer": LEARN}
    folder = training.train(SlotRecipe(model=str(model), **settings))
    assert json.loads((folder / "fathom.json").read_text()) == {
        "name": "slot",
        "pairs": False,
        "words": ["bad", "good"],
        "values": [0.0, 1.0],
    }
    assert measured(folder)["eval_held_out_accuracy"] > 0.9
    judge = SlotReward(engine=MaskedLMEngine(folder, device="cpu"), explain=False)
    right = [
        verdict.winner == item.label.best for item, verdict in judge.run(labelled(30, 2)) if item.label is not None
    ]
    assert sum(right) >= 27  # chance is 15 with a standard deviation of 2.7


def test_what_explanations_alone_give_away_is_measured(model: Path, tmp_path: Path) -> None:
    """Both responses are equal, so only the explanations know which one the label prefers."""
    items = [each.model_copy(update={"responses": ("fine", "fine")}) for each in labelled(72, 0)]
    data, held_out = write(tmp_path / "d.jsonl", items[:48]), write(tmp_path / "e.jsonl", items[48:])
    settings: dict[str, Any] = {"data": data, "eval_data": held_out, "output": tmp_path / "m", "trainer": LEARN}
    found = measured(training.train(SlotRecipe(model=str(model), gold="why", **settings)))
    assert found["eval_held_out_accuracy"] > 0.9
    assert found["eval_explanation_alone_accuracy"] > 0.9


def test_the_loss_is_that_of_the_right_word_among_the_words_alone() -> None:
    logits = torch.tensor([[1.0, 3.0], [0.5, -0.5]])
    expected = -(logits.log_softmax(-1)[0, 1] + logits.log_softmax(-1)[1, 0]) / 2
    assert training.slot_loss(logits, torch.tensor([1, 0])) == pytest.approx(expected.item())


def test_training_reads_the_slot_where_the_judge_reads_it(model: Path, tmp_path: Path) -> None:
    """The loss on padded batches before a first step, against plain code on one text at a time."""
    items = labelled(6, 0)
    data, held_out = write(tmp_path / "d.jsonl", items[:1]), write(tmp_path / "e.jsonl", items[1:])
    trainer = LEARN | {"max_steps": 1, "eval_steps": 1, "learning_rate": 0.0}
    keys = {"data": data, "eval_data": held_out, "output": tmp_path / "m", "trainer": trainer}
    folder = training.train(recipe(model=str(model), gold=None, **keys))
    expected = []
    for item in items[1:]:
        for place, response in enumerate(item.responses):
            text = f"Prompt: how are you ?\nResponse: {response}\nAll in all, the response is"
            shares = torch.tensor(plain(model, text, ("bad", "good"))).log_softmax(0)
            assert item.label is not None
            expected.append(-shares[int(place == item.label.best)].item())
    assert len(expected) == 10
    assert measured(folder)["eval_held_out_loss"] == pytest.approx(sum(expected) / 10, abs=1e-4)


def explained(count: int) -> list[training.Explained]:
    return [
        training.Explained(item, ("polite", "harsh"), (("kind", "kind tone"), ("rude",))) for item in labelled(count, 3)
    ]


def recipe(**keys: Any) -> SlotRecipe:
    return SlotRecipe(**{"model": "m", "data": Path("d"), "output": Path("o"), "gold": "why"} | keys)


def test_explanations_by_people_and_generated_ones_are_mixed_by_the_share() -> None:
    def by_people(share: float) -> float:
        texts = [each.request.answer for each in training.examples(recipe(gold_share=share), explained(200))]
        assert len(texts) == 400
        return sum("polite" in text or "harsh" in text for text in texts) / len(texts)

    assert (by_people(0.0), by_people(1.0)) == (0.0, 1.0)
    assert by_people(0.5) == pytest.approx(0.5, abs=0.1)  # 4 standard errors


def test_the_right_word_follows_the_label() -> None:
    scored = comparison("a", "b", label=Label(scores=(0.9, 0.2)))
    assert training._labels(Cloze(), scored) == [(0, 1), (1, 0)]
    assert training._labels(Cloze(words=("bad", "it", "good")), scored) == [(0, 2), (1, 0)]
    assert training._labels(Cloze(pairs=True), comparison("a", "b", label=Label(best=1))) == [(0, 1)]
    assert training._labels(Cloze(), comparison("a", "b")) == []
    assert training._labels(Cloze(), comparison("a", "b", label=Label(scores=(0.5, 0.5)))) == [(0, 0), (1, 0)]


def test_votes_of_the_judge_are_training_data(model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The commands of `fathom train slot --help`, with a model that says one thing."""
    from tiny import make_parrot

    parrot = make_parrot(tmp_path / "parrot", "the tone is kind .")
    data, out = write(tmp_path / "d.jsonl", labelled(4, 0)), tmp_path / "explained.jsonl"
    judge = ["--judge", "slot", "--judge-option", f"slot={model}", "--model", str(parrot)]
    result = CliRunner().invoke(app, ["judge", str(data), *judge, "--max-tokens", "8", "--out", str(out)])
    assert result.exit_code == 0, result.output
    with caplog.at_level("WARNING"):
        found = training.read(recipe(data=out))
    assert not caplog.records  # every column is used
    assert [each.generated for each in found] == [(("the tone is kind .",), ("the tone is kind .",))] * 4
    assert all(each.gold and set(each.gold) == {"polite tone", "harsh tone"} for each in found)
    arguments = ["train", "slot", "modernbert_slot", f"model={model}", f"data={out}", f"output={tmp_path / 'm'}"]
    result = CliRunner().invoke(app, [*arguments, "trainer.max_length=128", "--dry-run"])
    assert result.exit_code == 0, result.output
    assert "8 examples, 8 with an explanation" in result.output
    with pytest.raises(FathomError, match="row 0-0 explains single responses, and the recipe has pairs: true"):
        training.read(recipe(data=out, pairs=True))
    meta = Path(f"{out}.meta.json")
    meta.write_text(meta.read_text().replace('"name": "slot"', '"name": "mix"'))
    with pytest.raises(FathomError, match="the votes are of the judge mix, expected slot"):
        training.read(recipe(data=out))


def test_the_masked_model_is_in_the_journal_and_in_the_count_of_tokens(model: Path, tmp_path: Path) -> None:
    from tiny import make_parrot

    parrot = make_parrot(tmp_path / "parrot", "the tone is kind .")
    data, out = write(tmp_path / "d.jsonl", labelled(4, 0)), tmp_path / "v.jsonl"
    judge = ["--judge", "slot", "--judge-option", f"slot={model}", "--model", str(parrot), "--dtype", "float64"]
    arguments = ["judge", str(data), *judge, "--max-tokens", "8", "--journal", str(tmp_path / "j"), "--out", str(out)]
    spent = []
    for _ in range(2):
        result = CliRunner().invoke(app, [*arguments, "--force"])
        assert result.exit_code == 0, result.output
        spent.append(json.loads(Path(f"{out}.meta.json").read_text())["spent"]["this_run"])
    stored = list(entries(tmp_path / "j"))
    assert spent[0]["prompt_tokens"] == sum(each.completion.usage.prompt_tokens for each in stored)
    assert spent[1]["prompt_tokens"] == 0  # neither model was called again
    (identity,) = {each.request["engine"] for each in stored if each.request and "reading" in each.request}
    assert identity.startswith(f"masked:{model}:float64:")


def test_a_masked_model_that_cannot_be_opened_costs_no_explanation(model: Path, tmp_path: Path) -> None:
    with pytest.raises(FathomError, match="there is no folder"):
        SlotReward(slot=str(tmp_path / "missing"))
    causal = make_checkpoint(tmp_path / "causal")
    for name, message in ((str(causal), "as a masked language model"), ("missing/model", "cannot load missing/model")):
        engine = explaining("kind .")
        with pytest.raises(FathomError, match=message):
            list(SlotReward(engine=engine, slot=name).run([comparison("fine")]))
        assert engine.requests == []


@pytest.mark.parametrize("option", [["--votes", "4"], ["--temperature", "0.7"]])
def test_sampling_has_no_effect_without_an_explanation_and_is_refused(
    model: Path, tmp_path: Path, option: list[str]
) -> None:
    data = write(tmp_path / "d.jsonl", labelled(2, 0))
    judge = ["--judge", "slot", "--judge-option", "explain=false", "--engine", "masked", "--model", str(model)]
    result = CliRunner().invoke(app, ["judge", str(data), *judge, *option, "--out", str(tmp_path / "v.jsonl")])
    assert result.exit_code == 1
    assert "SlotReward writes no text" in str(result.exception)


def row(status: str, text: str, order: list[int] | None = None) -> Any:
    """A result row of the judge, with one vote on its only response, or on its pair."""
    order = order or [0]
    item = comparison(*["fine"] * len(order), label=Label(scores=(1.0,) * len(order)))
    scores = (0.5,) * len(order) if status == "ok" else None
    vote = Vote(Status(status), order=tuple(order), text=text, scores=scores)
    return to_row(item, Rule()([vote]))


def generated(*given: Any, **keys: Any) -> tuple[tuple[str, ...], ...]:
    return training._of_row(recipe(**keys), Path("f"), row(*given)).generated


def test_only_explanations_that_the_judge_has_read_are_trained_on() -> None:
    read = "<think>a good one?</think>kind [slot: a word]\n\n[slot: bad 0.5000, good 0.5000]"
    assert generated("ok", read) == (("kind [slot: a word]",),)
    assert generated("refused", "I cannot.") == ((),)
    assert generated("truncated", "kind but") == ((),)
    assert generated("ok", "kind\n\n[slot: ]", [0, 1], pairs=True) == (("kind",),)
    assert generated("ok", "kind\n\n[slot: ]", [1, 0], pairs=True) == ((),)  # it calls the second response the first
    with pytest.raises(FathomError, match="row 1 explains a pair, and the recipe has pairs: false"):
        generated("ok", "kind\n\n[slot: ]", [0, 1])


def test_explanations_of_which_nothing_is_left_are_not_drawn() -> None:
    each = training.Explained(comparison("a", label=Label(scores=(1.0,))), ("Good!",), (("", "better", "kind"),))
    assert {training._drawn(recipe(), each, 0, random.Random(seed)) for seed in range(20)} == {"kind", "!"}
    empty = each._replace(gold=("good",), generated=(("",),))
    (example,) = training.examples(recipe(), [empty])
    assert not example.explained
    assert training.described(recipe(), [empty], [example], 0, None) == [
        "1 examples have no explanation and are used without one"
    ]


def test_a_column_of_explanations_that_is_nowhere_is_refused(tmp_path: Path) -> None:
    data = write(tmp_path / "d.jsonl", labelled(2, 0))
    with pytest.raises(FathomError, match="has an explanation in the column gold: wy; the columns are why"):
        training.read(recipe(data=data, gold="wy"))


def test_texts_are_left_out_at_the_model_s_context_and_never_cut(
    model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    items = labelled(8, 0)
    items[0] = items[0].model_copy(update={"responses": ("fine " * 130, "go away")})
    items.append(comparison("fine", "go away", why=None).model_copy(update={"id": "none"}))
    data = tmp_path / "d.jsonl"
    data.write_text("".join(item.model_dump_json(exclude_none=True) + "\n" for item in items))
    long = {"max_steps": 1, "max_length": 2048, "gradient_checkpointing": False, "save_strategy": "no"}
    keys = {"model": str(model), "output": tmp_path / "m", "gold": None}
    with caplog.at_level("WARNING"):
        training.train(recipe(**keys, data=data, trainer=long))
    said = [record.getMessage() for record in caplog.records if record.name == "fathom.train"]
    assert said == [
        "trainer.max_length=2048 exceeds the model's context; 128 applies instead",
        "1 comparisons have no label for the words of the slot and are left out",
        "1 examples exceed trainer.max_length=128 tokens and are left out",
        "16 examples have no explanation and are used without one",
    ]
    held_out = recipe(**keys, eval_data=data)
    problem = r"no example is left to evaluate on: 16 are longer than trainer.max_length=9"
    with pytest.raises(FathomError, match=problem):
        training._held_out(held_out, AutoTokenizer.from_pretrained(model), 9)


def test_a_column_with_too_few_explanations_is_refused() -> None:
    item = comparison("a", "b", label=Label(best=0), why=["only one"])
    with pytest.raises(FathomError, match=r"the column 'why' is .*; expected a list with one text per response"):
        training._gold(recipe(), item)
