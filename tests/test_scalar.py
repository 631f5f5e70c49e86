"""`--judge scalar`: a sequence classifier as a reward model gives the numbers of plain `transformers`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    BertTokenizer,
    Qwen2Config,
    Qwen2ForSequenceClassification,
    RobertaConfig,
    RobertaForSequenceClassification,
)
from typer.testing import CliRunner

from fathom import bench
from fathom.cli import app
from fathom.data.records import Comparison
from fathom.engines import Classification, ClassifyRequest
from fathom.engines.cache import CachedEngine
from fathom.engines.heads import fetch_config, is_classifier
from fathom.engines.local import LocalEngine
from fathom.errors import FathomError
from fathom.judges import Verdict
from fathom.rationale import Status
from fathom.rewards.scalar import ScalarRewardModel
from scoring_server import Scoring
from serving import serving
from test_bench import write_example
from tiny import CHAT_TEMPLATE, make_classifier, make_tokenizer

RUN = CliRunner()
TOLERANCE = 1e-4


def llama(path: Path) -> Path:
    return make_classifier(path)


def two_labels(path: Path) -> Path:
    return make_classifier(path, labels=2)


def qwen(path: Path) -> Path:
    tokenizer = make_tokenizer((), 1024, CHAT_TEMPLATE)
    tokenizer.save_pretrained(path)
    torch.manual_seed(1)
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        initializer_range=0.3,
        pad_token_id=tokenizer.pad_token_id,
        num_labels=1,
    )
    Qwen2ForSequenceClassification(config).save_pretrained(path)
    return path


def padded_with_the_end_token(path: Path) -> Path:
    """As many public models are saved: the padding token is the end token, with which every turn ends."""
    make_classifier(path)
    tokenizer = AutoTokenizer.from_pretrained(path)
    tokenizer.pad_token = tokenizer.eos_token
    tokenizer.save_pretrained(path)
    model = AutoModelForSequenceClassification.from_pretrained(path)
    model.config.pad_token_id = tokenizer.eos_token_id
    model.save_pretrained(path)
    return path


def adapter(path: Path) -> Path:
    base = make_classifier(path / "base")
    model = AutoModelForSequenceClassification.from_pretrained(base)
    torch.manual_seed(2)
    lora = get_peft_model(model, LoraConfig(task_type="SEQ_CLS", target_modules=["q_proj"], init_lora_weights=False))
    lora.save_pretrained(path / "adapter")
    AutoTokenizer.from_pretrained(base).save_pretrained(path / "adapter")
    return path / "adapter"


KINDS: Sequence[Callable[[Path], Path]] = [llama, qwen, two_labels, padded_with_the_end_token, adapter]


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: kind.__name__)
def public(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, LocalEngine]:
    folder = request.param(tmp_path_factory.mktemp(request.param.__name__))
    return folder, LocalEngine(folder)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_classifier(tmp_path_factory.mktemp("scalar"))


def plain_scores(folder: Path, prompt: str, response: str) -> list[float]:
    """What the page of a public reward model tells its users to run: one conversation, unpadded."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    settings_file = folder / "adapter_config.json"
    if settings_file.exists():
        base = json.loads(settings_file.read_text())["base_model_name_or_path"]
        model = PeftModel.from_pretrained(AutoModelForSequenceClassification.from_pretrained(base), folder)
    else:
        model = AutoModelForSequenceClassification.from_pretrained(folder)
    turns = [{"role": "user", "content": prompt}, {"role": "assistant", "content": response}]
    tokens = tokenizer.apply_chat_template(turns, return_tensors="pt", return_dict=True)
    assert tokens["input_ids"][0].tolist().count(tokenizer.bos_token_id) == 1
    with torch.no_grad():
        scores: list[float] = model.eval()(**tokens).logits[0].tolist()
    return scores


@settings(max_examples=5, deadline=None)
@given(texts=st.lists(st.tuples(st.text("ab ", max_size=40), st.text("cd ", min_size=1, max_size=90)), min_size=1))
def test_scores_are_those_of_plain_transformers_whatever_the_batch(
    public: tuple[Path, LocalEngine], texts: list[tuple[str, str]]
) -> None:
    folder, engine = public
    requests = [ClassifyRequest(({"role": "user", "content": prompt},), response) for prompt, response in texts]

    async def scored() -> list[Classification]:
        return await asyncio.gather(*map(engine.classify, requests))

    for (prompt, response), result in zip(texts[:3], asyncio.run(scored()), strict=False):
        assert result.logits == pytest.approx(plain_scores(folder, prompt, response), abs=TOLERANCE)


def test_in_bfloat16_the_head_still_computes_in_float32(checkpoint: Path) -> None:
    engine = LocalEngine(checkpoint, device="cpu", dtype="bfloat16")
    messages: Any = ({"role": "user", "content": "Name a colour."},)
    texts = ["red " * count for count in range(1, 9)]
    scores = [asyncio.run(engine.classify(ClassifyRequest(messages, text))).logits[0] for text in texts]
    rounded = [torch.tensor(score).bfloat16().item() for score in scores]
    assert scores != rounded
    assert scores == pytest.approx([plain_scores(checkpoint, "Name a colour.", text)[0] for text in texts], abs=0.1)


# Encoders -------------------------------------------------------------------------------------------------------------

MARKS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def encoder_tokenizer(**options: Any) -> Any:
    pieces = [*MARKS, *"abcd ", *(f"##{letter}" for letter in "abcd")]
    return BertTokenizer(vocab={text: place for place, text in enumerate(pieces)}, **options)


def bert(path: Path) -> Path:
    """Two texts, told apart by token types, and a head on a pooled first token."""
    tokenizer = encoder_tokenizer(model_max_length=64)
    tokenizer.save_pretrained(path)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    torch.manual_seed(3)
    config = BertConfig(
        vocab_size=len(tokenizer), **sizes, max_position_embeddings=64, num_labels=2, initializer_range=0.5
    )
    BertForSequenceClassification(config).save_pretrained(path)
    return path


def roberta(path: Path) -> Path:
    """A classifier with a head of two layers, and more positions than tokens."""
    tokenizer = encoder_tokenizer(model_max_length=62, model_input_names=["input_ids", "attention_mask"])
    tokenizer.save_pretrained(path)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    torch.manual_seed(4)
    config = RobertaConfig(
        vocab_size=len(tokenizer),
        **sizes,
        max_position_embeddings=64,
        num_labels=1,
        initializer_range=0.5,
        pad_token_id=1,
    )
    RobertaForSequenceClassification(config).save_pretrained(path)
    return path


@pytest.mark.parametrize("kind", [bert, roberta])
def test_an_encoder_reads_prompt_and_response_as_a_pair_of_texts(kind: Callable[[Path], Path], tmp_path: Path) -> None:
    folder = kind(tmp_path)
    engine = LocalEngine(folder)
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForSequenceClassification.from_pretrained(folder)
    texts = [("ab", "cd"), ("ab cd a", "d"), ("", "abc"), ("a", "b " * 20)]

    async def scored() -> list[Classification]:
        requests = [ClassifyRequest(({"role": "user", "content": prompt},), answer) for prompt, answer in texts]
        return await asyncio.gather(*map(engine.classify, requests))

    for (prompt, answer), result in zip(texts, asyncio.run(scored()), strict=True):
        with torch.no_grad():
            own = model.eval()(**tokenizer(prompt, answer, return_tensors="pt")).logits[0].tolist()
        assert result.logits == pytest.approx(own, abs=TOLERANCE)
    assert verdict(engine, ("ab", "b " * 70), weights={"0": 1.0}).status is Status.FAILED


@pytest.mark.parametrize(("kind", "labels"), [(bert, 2), (bert, 3), (roberta, 1), (roberta, 3)])
def test_an_adapter_of_an_encoder_gives_the_outputs_of_peft(
    kind: Callable[[Path], Path], labels: int, tmp_path: Path
) -> None:
    """The head of RoBERTa has two layers; only the second has as many rows as there are outputs."""
    base = kind(tmp_path / "base")
    if labels == 3:  # a base without a head, as of a masked language model
        AutoModelForSequenceClassification.from_pretrained(base).base_model.save_pretrained(base)
    torch.manual_seed(5)
    plain = AutoModelForSequenceClassification.from_pretrained(base, num_labels=labels)
    tuned = get_peft_model(plain, LoraConfig(task_type="SEQ_CLS", target_modules=["query"], init_lora_weights=False))
    tuned.save_pretrained(tmp_path / "adapter")
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.save_pretrained(tmp_path / "adapter")
    request = ClassifyRequest(({"role": "user", "content": "ab"},), "cd a")
    outputs = asyncio.run(LocalEngine(tmp_path / "adapter").classify(request)).logits
    with torch.no_grad():
        own = tuned.eval()(**tokenizer("ab", "cd a", return_tensors="pt")).logits[0].tolist()
    assert len(outputs) == labels
    assert outputs == pytest.approx(own, abs=TOLERANCE)


def test_an_encoder_gives_no_states_and_no_text(tmp_path: Path) -> None:
    assert LocalEngine(bert(tmp_path)).provides == {"classification"}


# One to n responses ---------------------------------------------------------------------------------------------------


def verdict(engine: Any, responses: tuple[str, ...], **options: Any) -> Verdict:
    model = ScalarRewardModel(engine=engine, **options)
    return asyncio.run(model(Comparison(prompt="Name a colour.", responses=responses)))


@pytest.mark.parametrize("n", [1, 2, 5])
def test_any_number_of_responses_is_scored_each_alone(checkpoint: Path, n: int) -> None:
    engine = LocalEngine(checkpoint)
    responses = tuple(f"colour {k}" for k in range(n))
    scores = verdict(engine, responses).scores
    assert scores is not None
    alone = [verdict(engine, (response,)).scores for response in responses]
    assert scores == pytest.approx([each[0] for each in alone if each], abs=TOLERANCE)
    winner = verdict(engine, responses).winner
    assert winner == (None if n == 1 else max(range(n), key=lambda k: scores[k]))


def test_an_empty_response_and_one_beyond_the_context_have_a_status_and_no_score(checkpoint: Path) -> None:
    engine = LocalEngine(checkpoint)
    empty, long = verdict(engine, ("blue", "")), verdict(engine, ("blue", "blue " * 500))
    assert (empty.status, long.status) == (Status.INVALID, Status.FAILED)
    assert verdict(engine, ("blue", " \n")).status is Status.INVALID
    assert empty.scores is long.scores is None
    assert "a response is empty or white space" in str(empty.votes[0].error)
    assert "has a context of 512" in str(long.votes[0].error)


def test_a_score_that_is_no_number_is_invalid(tmp_path: Path) -> None:
    folder = make_classifier(tmp_path)
    engine = LocalEngine(folder)
    with torch.no_grad():
        engine.model.score.weight[:] = float("nan")
    assert verdict(engine, ("blue",)).status is Status.INVALID


# Several outputs ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("outputs", [(float("nan"), 1.0), (float("inf"), float("-inf"))])
@pytest.mark.parametrize("options", [{"combine": "mean", "pessimism": 1.0}, {"combine": "mean"}, {"combine": "sum"}])
def test_an_output_of_an_ensemble_that_is_not_finite_is_invalid(outputs: Any, options: Any) -> None:
    comparison = Comparison(prompt="?", responses=("blue",))
    vote = ScalarRewardModel(**options).read_answers([Classification(outputs)], comparison)
    assert (vote.status, vote.scores, vote.rationale) == (Status.INVALID, None, None)


def test_an_output_without_a_weight_may_be_any_number() -> None:
    model = ScalarRewardModel(weights={"1": 2.0})
    vote = model.read_answers([Classification((float("nan"), 1.0))], Comparison(prompt="?", responses=("blue",)))
    assert vote.scores == (2.0,)


@pytest.fixture(scope="module")
def objectives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_classifier(tmp_path_factory.mktemp("objectives"), labels=3)
    config = json.loads((folder / "config.json").read_text())
    config["id2label"] = {"0": "helpfulness", "1": "correctness", "2": "verbosity"}
    config["label2id"] = {name: int(place) for place, name in config["id2label"].items()}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_several_outputs_are_weighed_by_their_names_in_the_configuration(objectives: Path) -> None:
    engine = LocalEngine(objectives)
    outputs = plain_scores(objectives, "Name a colour.", "blue")
    named = verdict(engine, ("blue",), weights={"helpfulness": 1.0, "verbosity": -0.5})
    assert named.scores == pytest.approx((outputs[0] - 0.5 * outputs[2],), abs=TOLERANCE)
    assert verdict(engine, ("blue",), weights={"1": 2.0}).scores == pytest.approx((2 * outputs[1],), abs=TOLERANCE)
    assert named.votes[0].text.startswith("helpfulness ")


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (None, "has the outputs helpfulness, correctness, verbosity; expected their weights"),
        ({"humour": 1.0}, "has no output humour; expected helpfulness, correctness, verbosity"),
    ],
)
def test_outputs_without_a_meaning_are_no_score(objectives: Path, weights: Any, message: str) -> None:
    with pytest.raises(FathomError, match=message):
        verdict(LocalEngine(objectives), ("blue",), weights=weights)


# The command line -----------------------------------------------------------------------------------------------------


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    path = tmp_path / "pairs.jsonl"
    rows = [{"prompt": f"question {k}", "chosen": "yes " * k, "rejected": "no"} for k in range(1, 5)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_sequence_classifier_is_judged_by_its_scores(checkpoint: Path, pairs: Path, tmp_path: Path) -> None:
    out = tmp_path / "verdicts.jsonl"
    result = RUN.invoke(app, ["judge", str(pairs), "--model", str(checkpoint), "--out", str(out)])
    assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(rows) == 4
    for row in rows:
        assert row["winner"] == max((0, 1), key=lambda k: row["scores"][k])


def test_a_rerun_of_a_finished_run_makes_no_forward_pass(
    checkpoint: Path, pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["judge", str(pairs), "--model", str(checkpoint), "--out", str(tmp_path / "verdicts.jsonl")]
    assert RUN.invoke(app, arguments).exit_code == 0

    def refuse(*_: Any) -> Any:
        raise AssertionError("a forward pass was made")

    monkeypatch.setattr("fathom.engines.forward.Forward.states", refuse)
    again = RUN.invoke(app, arguments)
    assert again.exit_code == 0, again.output
    assert "spent by this run: nothing" in again.output


def test_weights_are_given_as_an_option_of_the_judge(objectives: Path, pairs: Path) -> None:
    weights = ["--judge-option", "weights={helpfulness: 1}"]
    assert RUN.invoke(app, ["judge", str(pairs), "--model", str(objectives), *weights]).exit_code == 0
    refused = RUN.invoke(app, ["judge", str(pairs), "--model", str(objectives)])
    assert "--judge-option 'weights={helpfulness: 1.0}'" in str(refused.exception)


@pytest.mark.parametrize("flags", [["--temperature", "0.5"], ["--max-tokens", "5"], ["--votes", "2"]])
def test_settings_of_sampling_have_no_effect_and_are_refused(checkpoint: Path, pairs: Path, flags: list[str]) -> None:
    result = RUN.invoke(app, ["judge", str(pairs), "--model", str(checkpoint), *flags])
    assert result.exit_code != 0
    assert "has no effect: ScalarRewardModel writes no text" in " ".join(str(result.exception or result.output).split())


def test_the_journal_answers_for_equal_texts(checkpoint: Path, tmp_path: Path) -> None:
    cached = CachedEngine(LocalEngine(checkpoint), tmp_path / "journal")
    with cached:
        verdict(cached, ("blue", "red"))
        assert verdict(cached, ("red", "blue", "green")).status is Status.OK
        assert cached.misses == 3


def test_a_server_of_scores_is_judged_by_them(checkpoint: Path, pairs: Path) -> None:
    async def run() -> Any:
        async with serving(Scoring(checkpoint)) as server:
            command = ["judge", str(pairs), "--engine", "scores", "--base-url", server.url, "--model", "m"]
            return await asyncio.to_thread(lambda: RUN.invoke(app, command, catch_exceptions=False))

    result = asyncio.run(run())
    assert result.exit_code == 0
    served = [json.loads(line)["scores"] for line in result.stdout.splitlines()]
    local = RUN.invoke(app, ["judge", str(pairs), "--model", str(checkpoint)]).stdout.splitlines()
    assert served == [pytest.approx(json.loads(line)["scores"], abs=TOLERANCE) for line in local]


def test_a_name_that_is_on_no_hub_is_no_classifier(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    fetch_config("nobody/nothing")
    assert not is_classifier("nobody/nothing")


VERBS = [
    ["rank", "PAIRS", "--model", "MODEL", "--out", "OUT/rankings.jsonl"],
    ["pairs", "PAIRS", "--model", "MODEL", "--out", "OUT/preferences.jsonl"],
    ["probe", "PAIRS", "--model", "MODEL", "--probe", "length", "--out", "OUT/card"],
    ["eval", "judgebench", "--data", "DATA", "--limit", "2", "--model", "MODEL", "--out", "OUT/eval"],
    ["score", "RUN"],
    ["compare", "RUN", "COPY"],
    ["report", "RUN", "--out", "OUT/report.html"],
    ["export", "RUN", "--out", "OUT/rows.csv"],
    ["runs", "RUN.journal"],
]


@pytest.fixture(scope="module")
def run(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    rows = [{"prompt": f"question {k}", "chosen": "yes " * k, "rejected": "no"} for k in range(1, 5)]
    (folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_example(bench.find("judgebench"), folder / "judgebench")
    for name in ("run", "copy"):
        out = folder / f"{name}.jsonl"
        RUN.invoke(app, ["judge", str(folder / "pairs.jsonl"), "--model", str(checkpoint), "--out", str(out)])
    return folder


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb[0])
def test_every_verb_takes_scores_as_it_takes_verdicts(verb: list[str], run: Path, checkpoint: Path) -> None:
    names = {"PAIRS": run / "pairs.jsonl", "RUN": run / "run.jsonl", "COPY": run / "copy.jsonl", "MODEL": checkpoint}
    names["DATA"] = run
    arguments = [str(names.get(each, each)).replace("OUT/", f"{run}/") for each in verb]
    arguments = [str(run / "run.jsonl.journal") if each == "RUN.journal" else each for each in arguments]
    result = RUN.invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    if verb[0] == "runs":
        assert "readings (classification)" in result.output
