"""A meta reward model from end to end on a very small checkpoint: trained on results, scoring votes, choosing them."""

from __future__ import annotations

import asyncio
import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl", reason='needs pip install "fathom-rm[train]"')

import torch
from pydantic_core import to_json
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer
from typer.testing import CliRunner

from fathom.cli import app
from fathom.data.records import Comparison, Label
from fathom.engines import Completion, scoring
from fathom.engines.chat import encode_turn
from fathom.engines.scoring import Scorer
from fathom.errors import FathomError
from fathom.judges import Rule, Vote
from fathom.judges.mix import MixJudge
from fathom.judges.s2j import S2JJudge
from fathom.judges.spct import SPCTJudge
from fathom.judges.yes_no import YesNoJudge
from fathom.judging import make_judge_for_checkpoint, meta_reward_model
from fathom.judging.choice import described
from fathom.rationale import Status
from fathom.results.rows import to_row
from fathom.train import meta, preview, sft, trainers
from fathom.train.recipe import MetaRecipe, SFTRecipe
from fathom.voting.meta import MetaFiltered
from fathom.voting.wrappers import Repeated, Shuffled
from tiny import make_checkpoint, make_parrot

JUDGE = SPCTJudge(trained=True)
FAST = {"gradient_checkpointing": False, "logging_steps": 1, "save_strategy": "no", "lr_scheduler_type": "constant"}
LORA = {"r": 4, "target_modules": "all-linear"}


def item(number: int, label: Label | None = None) -> Comparison:
    return Comparison(id=str(number), prompt="which?", responses=("x", "y"), label=label or Label(best=0))


def text(word: str, first: int, second: int) -> str:
    return f"Principle 1: {word}\n\nScores: \\boxed{{{first}, {second}}}"


def result(number: int, words: list[str]) -> dict[str, Any]:
    """A row of results in which votes that say "care" are right and those that say "haste" are wrong."""
    comparison = item(number)
    cast = []
    for place, word in enumerate(words):
        order = (0, 1) if place % 2 else (1, 0)
        shown = comparison.permuted(order)
        right = [2, 1] if shown.label == Label(best=0) else [1, 2]
        said = text(word, *(right if word == "care" else right[::-1]))
        cast.append(JUDGE.read_completion(Completion(said), shown).unpermuted(order))
    row: dict[str, Any] = json.loads(json.dumps(to_row(comparison, Rule()(cast))))
    return row


def results(path: Path, count: int) -> Path:
    rng = random.Random(0)
    rows = [result(number, [rng.choice(["care", "haste"]) for _ in range(3)]) for number in range(count)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    texts = [JUDGE.ask(item(0))[0]["content"], text("care", 1, 2), text("haste", 2, 1)]
    return make_checkpoint(tmp_path_factory.mktemp("base") / "m", vocab_texts=texts, vocab_size=600, context=256)


@pytest.fixture(scope="module")
def trained(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("meta")
    trainer = FAST | {"max_steps": 40, "per_device_train_batch_size": 16, "learning_rate": 3e-3}
    data = results(folder / "r.jsonl", 60)
    recipe = MetaRecipe(model=str(base), data=data, output=folder / "o", judge={"name": "spct"}, trainer=trainer)
    return meta.train(recipe)


def test_its_votes_are_asked_in_their_order_and_right_by_the_judges_reward(tmp_path: Path) -> None:
    row = result(0, ["care", "haste", "care"])
    examples = list(meta.examples(JUDGE, [row], "r"))
    assert [each.right for each in examples] == [True, False, True]
    assert [each.prompt for each in examples] == [
        JUDGE.ask(item(0).permuted(order)) for order in ((1, 0), (0, 1), (1, 0))
    ]
    assert examples[0].text == text("care", 1, 2)  # the second response shown is the best


def test_unreadable_votes_are_wrong_failed_calls_and_unlabelled_rows_are_left_out() -> None:
    row = result(0, ["care"])
    vote = row["votes"][0]
    lost = vote | {"winner": None, "scores": None}
    row["votes"] += [lost | {"status": Status.MISSING, "text": "hm"}, lost | {"status": Status.FAILED, "text": ""}]
    told = [
        (each.text, each.right) for each in meta.examples(JUDGE, [row, row | {"label": None, "full_label": None}], "r")
    ]
    assert told == [(text("care", 1, 2), True), ("hm", False)]


def test_a_single_response_is_right_where_its_score_is_the_labels() -> None:
    judge = SPCTJudge(trained=True, binary=True)
    comparison = Comparison(id="c", prompt="q", responses=("a",), label=Label(scores=(0.0,)))
    votes = [judge.read_completion(Completion(f"Scores: \\boxed{{{score}}}"), comparison) for score in (0, 1)]
    row = json.loads(json.dumps(to_row(comparison, Rule(aggregate="sum")(votes))))
    assert (row["label"], row["correct"], row["label_scores"]) == (None, None, [0.0])
    for vote in row["votes"]:
        vote["order"] = [0]
    assert [each.right for each in meta.examples(judge, [row], "r")] == [True, False]


@pytest.mark.parametrize("words", [["care"], ["haste"]])
def test_votes_of_one_kind_teach_nothing_and_are_refused(tmp_path: Path, base: Path, words: list[str]) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text(json.dumps(result(0, words)) + "\n")
    recipe = MetaRecipe(model=str(base), data=path, output=tmp_path / "o", judge={"name": "spct"}, trainer=FAST)
    with pytest.raises(FathomError, match=r"[01] of 1 votes .* are correct; expected correct and wrong votes"):
        meta.train(recipe)


def test_votes_of_another_judge_than_the_recipes_are_refused_where_their_provenance_names_it(
    base: Path, tmp_path: Path
) -> None:
    path = results(tmp_path / "r.jsonl", 20)
    recipe = MetaRecipe(model=str(base), data=path, output=tmp_path / "o", judge={"name": "spct"}, trainer=FAST)
    beside = tmp_path / "r.jsonl.meta.json"
    beside.write_text(json.dumps({"config": {"judge": repr(JUDGE)}}))
    assert len(list(meta.read(recipe))) == 60
    beside.write_text(json.dumps({"config": {"judge": described(JUDGE)}}))
    assert len(list(meta.read(recipe))) == 60
    beside.write_text(json.dumps({"config": {"judge": described(MixJudge())}}, default=str))
    with pytest.raises(FathomError, match=r"r\.jsonl: the votes are of the judge mix .*expected spct"):
        meta.train(recipe)
    beside.write_text(json.dumps({"config": {"judge": repr(MixJudge())}}))
    with pytest.raises(FathomError, match=r"r\.jsonl: the votes are of the judge MixJudge .*expected SPCTJudge"):
        meta.train(recipe)


def test_accumulated_gradients_are_those_of_one_batch(base: Path, tmp_path: Path) -> None:
    def weights(name: str, **batch: int) -> torch.Tensor:
        trainer = FAST | {"max_steps": 2, "learning_rate": 1.0, "optim": "sgd", "max_grad_norm": 0.0} | batch
        recipe = MetaRecipe(model=str(base), data=path, output=tmp_path / name, judge={"name": "spct"}, trainer=trainer)
        return load_file(meta.train(recipe) / "model.safetensors")["score.weight"]

    path = results(tmp_path / "r.jsonl", 16)
    whole = weights("whole", per_device_train_batch_size=16)
    parts = weights("parts", per_device_train_batch_size=8, gradient_accumulation_steps=2)
    assert torch.allclose(whole, parts, atol=1e-4)


def test_it_is_evaluated_on_held_out_votes(base: Path, tmp_path: Path) -> None:
    data, held_out = results(tmp_path / "r.jsonl", 20), results(tmp_path / "held-out.jsonl", 10)
    trainer = FAST | {"max_steps": 4, "eval_strategy": "steps", "eval_steps": 2}
    recipe = MetaRecipe(
        model=str(base), data=data, eval_data=held_out, output=tmp_path / "o", judge={"name": "spct"}, trainer=trainer
    )
    history = (meta.train(recipe) / "history.jsonl").read_text().splitlines()
    accuracies = [entry["eval_accuracy"] for entry in map(json.loads, history) if "eval_accuracy" in entry]
    assert len(accuracies) == 2
    assert [accuracy * 30 for accuracy in accuracies] == pytest.approx([round(each * 30) for each in accuracies])


def test_its_examples_are_the_tokens_of_fine_tuning(base: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(base)
    messages = JUDGE.ask(item(0))
    example = {"prompt": messages, "completion": [{"role": "assistant", "content": "care"}]}
    tuned = sft.encode(tokenizer, sft.Example.model_validate(example))
    assert encode_turn(tokenizer, messages, "care") == tuned["input_ids"]


def test_what_it_learned_is_told_by_its_scores(trained: Path) -> None:
    scorer = Scorer(trained)
    turns = [(JUDGE.ask(item(0)), text(word, 2, 1)) for word in ("care", "haste")]
    care, haste = asyncio.run(scorer.score(turns))
    assert care is not None
    assert haste is not None
    assert haste < 0.2 < 0.8 < care


def test_scores_do_not_depend_on_what_else_is_in_the_batch(trained: Path) -> None:
    turns = [(JUDGE.ask(item(0)), text("care" * (k % 5), k % 10, 1)) for k in range(23)]
    together = Scorer(trained).score_sync(turns)
    alone = [Scorer(trained, max_batch_tokens=1).score_sync([turn])[0] for turn in turns[:3]]
    assert together[:3] == pytest.approx(alone, abs=1e-5)
    assert Scorer(trained, max_batch_tokens=300).score_sync(turns) == pytest.approx(together, abs=1e-5)


def test_a_text_longer_than_it_reads_has_no_score(trained: Path) -> None:
    long = (JUDGE.ask(item(0)), "care " * 300)
    short = (JUDGE.ask(item(0)), "care")
    scores = asyncio.run(Scorer(trained).score([long, short]))
    assert scores[0] is None
    assert scores[1] is not None


def test_its_checkpoint_says_what_it_is_and_is_no_judge(trained: Path, base: Path) -> None:
    assert json.loads((trained / "fathom.json").read_text()) == {
        "kind": "meta",
        "name": "spct",
        "trained": True,
        "binary": False,
    }
    assert (trained / "model.safetensors").exists()
    assert not list(trained.glob("*.bin"))
    with pytest.raises(FathomError, match="pass it as --meta"):
        make_judge_for_checkpoint(trained)
    with pytest.raises(FathomError, match="is not a meta reward model"):
        meta_reward_model(base)


def test_it_guides_a_judge(trained: Path, tmp_path: Path) -> None:
    reward_model = meta_reward_model(trained)
    assert reward_model.judge == JUDGE
    said = result(0, ["care", "haste", "haste", "care"])
    votes = [
        Vote(Status.OK, winner=vote["winner"], text=vote["text"], order=tuple(vote["order"])) for vote in said["votes"]
    ]
    scores = asyncio.run(reward_model(item(0), votes))
    assert [score is not None and score > 0.5 for score in scores] == [True, False, False, True]


def test_a_dry_run_counts_right_and_wrong_votes(base: Path, tmp_path: Path) -> None:
    path = results(tmp_path / "r.jsonl", 20)
    recipe = MetaRecipe(model=str(base), data=path, output=tmp_path / "o", judge={"name": "spct"}, trainer=FAST)
    page = preview.meta(recipe)
    right = sum(each.right for each in meta.read(recipe))
    assert f"60 votes, {right} of them right" in page
    assert page.count("--- right") + page.count("--- wrong") == preview.EXAMPLES
    assert not (tmp_path / "o").exists()


def test_the_command_line_counts_the_votes_that_it_keeps(trained: Path, tmp_path: Path) -> None:
    parrot = make_parrot(tmp_path / "parrot", text("care", 2, 1))
    (parrot / "fathom.json").write_text('{"name": "spct", "trained": true}')
    file, out = tmp_path / "c.jsonl", tmp_path / "out.jsonl"
    file.write_text(item(0).model_dump_json() + "\n")
    arguments = ["judge", str(file), "--model", str(parrot), "--out", str(out), "--meta", str(trained)]
    told = CliRunner().invoke(app, [*arguments, "--votes", "5", "--temperature", "1", "--keep", "0.4"])
    assert told.exit_code == 0, told.output
    (row,) = map(json.loads, out.read_text().splitlines())
    assert [vote["included"] for vote in row["votes"]].count(True) == 2
    assert all(0 <= vote["meta_score"] <= 1 for vote in row["votes"])
    kept = [vote["scores"] for vote in row["votes"] if vote["included"]]
    assert row["scores"] == [sum(scores) for scores in zip(*kept, strict=True)]
    assert row["tokens"]["completion"] == sum(vote["tokens"]["completion"] for vote in row["votes"])
    made = json.loads(out.with_name("out.jsonl.meta.json").read_text())
    assert made["config"]["meta"].startswith("scorer:")
    refused = CliRunner().invoke(app, [*arguments, "--votes", "adaptive", "--temperature", "1"])
    assert "--meta selects from a fixed number of votes" in str(refused.exception)


@pytest.mark.parametrize("verb", ["judge", "probe"])
def test_a_run_loads_the_meta_reward_model_once(
    verb: str, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[str] = []
    load = scoring.load_classifier

    def counted(name: str, *rest: Any, **more: Any) -> Any:
        loaded.append(name)
        return load(name, *rest, **more)

    monkeypatch.setattr(scoring, "load_classifier", counted)
    parrot = make_parrot(tmp_path / "parrot", text("care", 2, 1))
    (parrot / "fathom.json").write_text('{"name": "spct", "trained": true}')
    (tmp_path / "c.jsonl").write_text(item(0).model_dump_json() + "\n")
    arguments = [verb, str(tmp_path / "c.jsonl"), "--model", str(parrot), "--meta", str(trained)]
    arguments += ["--probe", "position"] if verb == "probe" else []
    done = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert loaded == [str(trained.resolve())]


def test_it_is_refused_for_another_judge_before_any_vote(trained: Path, tmp_path: Path) -> None:
    parrot = make_parrot(tmp_path / "parrot", "Final verdict: [[A]]")
    file, out = tmp_path / "c.jsonl", tmp_path / "out.jsonl"
    file.write_text(item(0).model_dump_json() + "\n")
    told = CliRunner().invoke(
        app, ["judge", str(file), "--model", str(parrot), "--judge", "mix", "--out", str(out), "--meta", str(trained)]
    )
    assert "was trained on votes of SPCTJudge (see its fathom.json), not of MixJudge" in str(told.exception)
    assert not out.exists()
    assert not out.with_name("out.jsonl.journal").exists()


def test_guided_votes_nest_as_other_votes_do(trained: Path) -> None:
    voter = MetaFiltered(Repeated(Shuffled(JUDGE), 2), meta_reward_model(trained))
    assert (voter.arity, voter.rule) == ("listwise", Rule(aggregate="sum"))


@pytest.fixture
def adapted(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Path, Any]]:
    """Trains an adapter for a little while: its folder, and the trained model as it is in memory."""
    kept: list[Any] = []
    run = trainers.run
    monkeypatch.setattr(trainers, "run", lambda trainer, *rest: (kept.append(trainer.model), run(trainer, *rest))[1])
    data = results(tmp_path / "r.jsonl", 20)

    def train(model: Path = base, lora: dict[str, Any] | None = LORA, **settings: Any) -> tuple[Path, Any]:
        trainer = FAST | {"max_steps": 6, "per_device_train_batch_size": 16, "learning_rate": 3e-3} | settings
        output = tmp_path / f"o{len(kept)}"
        choice = {"name": "spct"}
        recipe = MetaRecipe(model=str(model), data=data, output=output, judge=choice, lora=lora, trainer=trainer)
        return meta.train(recipe), kept[-1].eval()

    return train


TURNS = [(JUDGE.ask(item(0)), text(word, first, 1)) for word in ("care", "haste", "care " * 9) for first in (2, 5)]


def in_memory(model: Any, folder: Path) -> list[float]:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    rows = [torch.tensor([encode_turn(tokenizer, *turn)]) for turn in TURNS]
    with torch.no_grad():
        return [torch.sigmoid(model(input_ids=row).logits[0, 0]).item() for row in rows]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def without_padding(base: Path, path: Path) -> Path:
    """The same model, where neither tokenizer nor config names a token for padding."""
    tokenizer, model = AutoTokenizer.from_pretrained(base), AutoModelForCausalLM.from_pretrained(base)
    tokenizer.pad_token = model.config.pad_token_id = model.generation_config.pad_token_id = None
    tokenizer.save_pretrained(path)
    model.save_pretrained(path)
    return path


@pytest.mark.parametrize("padding", [True, False])
def test_an_adapter_scores_as_it_did_in_training_beside_a_base_that_stays(
    base: Path, tmp_path: Path, adapted: Any, padding: bool
) -> None:
    base = base if padding else without_padding(base, tmp_path / "bare")
    before = contents(base)
    folder, model = adapted(base)
    scores = meta_reward_model(folder).scorer.score_sync(TURNS)
    assert scores == pytest.approx(in_memory(model, folder), abs=1e-5)
    assert len({round(score, 3) for score in scores}) > 1
    assert contents(base) == before
    assert not (folder / "model.safetensors").exists()


def test_an_adapters_last_layer_begins_as_that_of_a_whole_model(adapted: Any) -> None:
    still = {"max_steps": 1, "learning_rate": 0.0}
    adapter, whole = adapted(**still)[0], adapted(lora=None, **still)[0]
    begun = load_file(adapter / "adapter_model.safetensors")["base_model.model.score.weight"]
    assert torch.equal(begun, load_file(whole / "model.safetensors")["score.weight"])


def test_an_adapter_is_trained_in_all_its_layers_and_its_last_one(adapted: Any) -> None:
    before = load_file(adapted(max_steps=1, learning_rate=0.0)[0] / "adapter_model.safetensors")
    after = load_file(adapted(gradient_checkpointing=True)[0] / "adapter_model.safetensors")
    assert before.keys() == after.keys()
    assert not [name for name in before if torch.equal(before[name], after[name])]


def test_a_judges_adapter_is_trained_on_as_a_meta_reward_model(base: Path, tmp_path: Path, adapted: Any) -> None:
    examples = tmp_path / "rft.jsonl"
    example = {"prompt": JUDGE.ask(item(0)), "completion": [{"role": "assistant", "content": text("care", 1, 2)}]}
    examples.write_text(f"{json.dumps(example)}\n" * 16)
    trainer = FAST | {"max_steps": 2, "learning_rate": 1e-2}
    judge = sft.train(SFTRecipe(model=str(base), data=examples, output=tmp_path / "j", lora=LORA, trainer=trainer))

    begun = load_file(adapted(judge, lora=None, max_steps=1, learning_rate=0.0)[0] / "adapter_model.safetensors")
    of_judge = load_file(judge / "adapter_model.safetensors")
    assert all(torch.equal(begun[name], weight) for name, weight in of_judge.items())
    folder, model = adapted(judge, lora=None)
    assert meta_reward_model(folder).scorer.score_sync(TURNS) == pytest.approx(in_memory(model, folder), abs=1e-5)
    with pytest.raises(FathomError, match="leave `lora` out"):
        adapted(judge)
    with pytest.raises(FathomError, match="without a classification layer"):
        Scorer(judge)


def test_an_adapter_without_its_last_layer_is_refused(adapted: Any) -> None:
    folder, _ = adapted()
    file = folder / "adapter_model.safetensors"
    save_file({name: weight for name, weight in load_file(file).items() if "score" not in name}, file)
    with pytest.raises(FathomError, match="is an adapter without a classification layer"):
        meta_reward_model(folder)


def test_an_adapter_is_another_scorer_when_its_base_has_changed(base: Path, tmp_path: Path, adapted: Any) -> None:
    copy = shutil.copytree(base, tmp_path / "copy")
    folder, _ = adapted(copy)
    before = Scorer(folder).identity
    model = load_file(copy / "model.safetensors")
    save_file({name: weight + 1 for name, weight in model.items()}, copy / "model.safetensors", {"format": "pt"})
    assert Scorer(folder).identity != before


def test_votes_of_a_judge_that_is_paid_for_solving_teach_with_their_references(tmp_path: Path) -> None:
    judge, told = S2JJudge(), item(0).model_copy(update={"reference": "4"})
    votes = [judge.read_completion(Completion(f"Final verdict: [[{letter}]]"), told) for letter in "AB"]
    path = tmp_path / "r.jsonl"
    path.write_bytes(to_json(to_row(told, Rule()(votes))))
    recipe = MetaRecipe(model="mini", data=path, output=tmp_path / "o", judge={"name": "s2j"})
    assert [each.right for each in meta.read(recipe)] == [True, False]


def alone(score: float) -> dict[str, Any]:
    """A row of results of one response, whose votes say Yes with shares of 0.8 and of 0.3."""
    told = Comparison(id="c", prompt="q", responses=("a",), label=Label(scores=(score,)))
    votes = [Vote(Status.OK, scores=(share,), text="Yes", order=(0,)) for share in (0.8, 0.3)]
    row: dict[str, Any] = json.loads(json.dumps(to_row(told, Rule(aggregate="mean")(votes))))
    return row


def test_votes_on_responses_alone_are_right_where_their_word_is_the_labels() -> None:
    examples = meta.examples(YesNoJudge(trained=True), [alone(1.0), alone(0.0)], "r")
    assert [each.right for each in examples] == [True, False, False, True]


def test_a_judge_that_writes_on_each_response_alone_has_no_one_text_to_score() -> None:
    with pytest.raises(FathomError, match="comparison '0': a meta reward model scores one text on all responses"):
        list(meta.examples(YesNoJudge(trained=True), [result(0, ["care"])], "r"))


def test_such_a_judge_is_refused_before_its_votes_are_paid_for() -> None:
    async def scored(comparison: Comparison, votes: Any) -> list[float]:
        raise AssertionError("the votes were cast")

    voter = MetaFiltered(Repeated(YesNoJudge(), 2), scored)  # without an engine: to ask would be another error
    with pytest.raises(FathomError, match="writes a separate text for each of 2"):
        asyncio.run(voter(item(0)))
