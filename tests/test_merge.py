"""Merging checkpoints: exact endpoints, what is merged and what is kept, and which models are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason='needs pip install "fathom-rm[train]"')

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model
from transformers import AutoModel, AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer
from typer.testing import CliRunner

from fathom.cli import app
from fathom.data.records import Comparison
from fathom.engines.headed import HeadedModel
from fathom.engines.heads import Head, load_classifier
from fathom.engines.local import LocalEngine
from fathom.errors import FathomError
from fathom.rewards.scalar import ScalarRewardModel
from fathom.train import merging
from tiny import make_checkpoint, make_classifier

TEXTS = ["kind rude words of a domain "] * 4


def moved(model: Any, seed: int, scale: float = 0.02) -> Any:
    """The model after a stand-in for fine-tuning: small changes of every weight."""
    noise = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(scale * torch.randn(weight.shape, generator=noise, dtype=torch.float32).to(weight.dtype))
    return model


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("base") / "m", vocab_texts=TEXTS, context=128)


@pytest.fixture(scope="module")
def language(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("language") / "m"
    moved(AutoModelForCausalLM.from_pretrained(base), 1).save_pretrained(folder)
    AutoTokenizer.from_pretrained(base).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def reward(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return classifier_of(base, tmp_path_factory.mktemp("reward") / "m", seed=2)


def classifier_of(base: Path, folder: Path, *, seed: int, **options: Any) -> Path:
    tokenizer = AutoTokenizer.from_pretrained(base)
    options = {"num_labels": 1, "pad_token_id": tokenizer.pad_token_id} | options
    torch.manual_seed(seed)
    moved(AutoModelForSequenceClassification.from_pretrained(base, **options), seed).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "fathom.json").write_text('{"name": "scalar"}')
    return folder


def weights(folder: Path, kind: Any = AutoModelForSequenceClassification) -> dict[str, torch.Tensor]:
    return dict(kind.from_pretrained(folder, dtype="auto").state_dict())


def test_the_ends_are_the_models_themselves_and_the_head_is_never_touched(
    reward: Path, language: Path, tmp_path: Path
) -> None:
    ours, theirs = weights(reward), weights(language, AutoModelForCausalLM)
    at = {w: weights(merging.merge([str(reward), str(language)], [w], tmp_path / str(w))) for w in (0.0, 0.4, 1.0)}
    assert set(at[0.4]) == set(ours) > {"score.weight", "model.embed_tokens.weight"}
    for name, weight in ours.items():
        assert torch.equal(at[0.0][name], weight), name
        if name == "score.weight":
            assert torch.equal(at[0.4][name], weight)
            assert torch.equal(at[1.0][name], weight)
            continue
        assert torch.equal(at[1.0][name], theirs[name]), name
        assert torch.allclose(at[0.4][name], 0.6 * weight + 0.4 * theirs[name], atol=1e-6), name


def test_a_merged_reward_model_judges_without_further_settings(reward: Path, language: Path, tmp_path: Path) -> None:
    folder = merging.merge([str(reward), str(language)], [0.0], tmp_path / "m")
    item = Comparison(id="1", prompt="which words?", responses=("kind words", "rude words"))
    expected, found = (
        ScalarRewardModel(engine=LocalEngine(path, device="cpu")).run([item]) for path in (reward, folder)
    )
    assert json.loads((folder / "fathom.json").read_text()) == {"name": "scalar"}
    assert [verdict.scores for _, verdict in found] == [verdict.scores for _, verdict in expected]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 8), min_size=2, max_size=4).filter(any), st.integers(0, 2**16))
def test_the_mean_is_weighted_and_exact_for_equal_tensors_and_at_the_ends(parts: list[int], seed: int) -> None:
    shares = [part / sum(parts) for part in parts]
    tensors = [torch.randn(7, generator=torch.Generator().manual_seed(seed + place)) for place in range(len(shares))]
    found = merging.blend(tensors, shares[1:])
    assert torch.allclose(found, sum(share * each for share, each in zip(shares, tensors, strict=True)), atol=1e-5)
    assert torch.equal(merging.blend([tensors[0]] * len(shares), shares[1:]), tensors[0])
    if 1.0 in shares:
        assert torch.equal(found, tensors[shares.index(1.0)])


def test_only_tokens_that_both_tokenizers_have_are_merged(reward: Path, base: Path, tmp_path: Path) -> None:
    """The other model's tokenizer knows the same bytes under other ids, other merges, and one token more."""
    other = tmp_path / "other"
    tokenizer = AutoTokenizer.from_pretrained(base)
    model = moved(AutoModelForCausalLM.from_pretrained(base), 3)
    tokenizer.add_tokens(["<|new|>"])
    model.resize_token_embeddings(len(tokenizer))
    swapped = {"a": tokenizer.convert_tokens_to_ids("b"), "b": tokenizer.convert_tokens_to_ids("a")}
    with torch.no_grad():
        rows = model.get_input_embeddings().weight
        rows[[swapped["a"], swapped["b"]]] = rows[[swapped["b"], swapped["a"]]].clone()
    tokenizer.save_pretrained(other)
    model.save_pretrained(other)
    described = json.loads((other / "tokenizer.json").read_text())
    described["model"]["vocab"] |= swapped
    lost = next(token for token in described["model"]["vocab"] if len(token) > 2 and token.isalpha())
    renamed = {("zz" if token == lost else token): place for token, place in described["model"]["vocab"].items()}
    described["model"] |= {"vocab": renamed, "merges": []}
    (other / "tokenizer.json").write_text(json.dumps(described))

    rows = weights(merging.merge([str(reward), str(other)], [1.0], tmp_path / "m"))["model.embed_tokens.weight"]
    ours, theirs = weights(reward)["model.embed_tokens.weight"], model.get_input_embeddings().weight
    assert rows.shape == ours.shape
    place = AutoTokenizer.from_pretrained(base).get_vocab()
    assert torch.equal(rows[place["a"]], theirs[swapped["a"]])
    assert torch.equal(rows[place[lost]], ours[place[lost]])  # only the reward model has this token
    assert torch.equal(rows[place["k"]], theirs[place["k"]])


def test_models_of_different_bases_are_refused(reward: Path, tmp_path: Path) -> None:
    apart = make_checkpoint(tmp_path / "apart", vocab_texts=TEXTS, context=128, seed=7)
    with pytest.raises(FathomError, match="were not fine-tuned from one base model: the cosine of their weights is"):
        merging.merge([str(reward), str(apart)], [0.5], tmp_path / "m")
    tokenizer = AutoTokenizer.from_pretrained(reward)
    config = AutoModelForCausalLM.from_pretrained(apart).config
    config.num_hidden_layers = 1
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "shallow")
    tokenizer.save_pretrained(tmp_path / "shallow")
    with pytest.raises(FathomError, match=r"have different layers: layers\.1\..* is .* and missing"):
        merging.merge([str(reward), str(tmp_path / "shallow")], [0.5], tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_reward_models_with_the_same_outputs_are_merged_with_their_heads(
    base: Path, reward: Path, tmp_path: Path
) -> None:
    second, third = (classifier_of(base, tmp_path / str(seed), seed=seed) for seed in (5, 6))
    folder = merging.merge([str(reward), str(second), str(third)], [0.25, 0.25], tmp_path / "m")
    found, parts = weights(folder), [weights(path) for path in (reward, second, third)]
    assert found
    for name, weight in found.items():
        mean = 0.5 * parts[0][name] + 0.25 * parts[1][name] + 0.25 * parts[2][name]
        assert torch.allclose(weight, mean, atol=1e-6), name
    two = classifier_of(base, tmp_path / "two", seed=8, num_labels=2)
    kept = weights(merging.merge([str(reward), str(two)], [0.5], tmp_path / "other"))["score.weight"]
    assert torch.equal(kept, weights(reward)["score.weight"])


def test_language_models_are_merged_with_their_output_layers(base: Path, language: Path, tmp_path: Path) -> None:
    folder = merging.merge([str(base), str(language)], [0.5], tmp_path / "m")
    found, left, right = (weights(path, AutoModelForCausalLM) for path in (folder, base, language))
    assert "lm_head.weight" in found
    for name, weight in found.items():
        assert torch.allclose(weight, (left[name] + right[name]) / 2, atol=1e-6), name


def tied(base: Path, folder: Path) -> Path:
    """A model of the same base whose embeddings are also its output layer."""
    model = moved(AutoModelForCausalLM.from_pretrained(base), 11)
    model.config.tie_word_embeddings = True
    model.tie_weights()
    assert model.lm_head.weight is model.get_input_embeddings().weight
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(base).save_pretrained(folder)
    return folder


def test_embeddings_that_are_also_the_output_layer_are_merged_with_both_layers(base: Path, tmp_path: Path) -> None:
    other = tied(base, tmp_path / "tied")
    found = weights(merging.merge([str(base), str(other)], [0.5], tmp_path / "m"), AutoModelForCausalLM)
    left, right = weights(base, AutoModelForCausalLM), weights(other, AutoModelForCausalLM)
    assert torch.equal(right["lm_head.weight"], right["model.embed_tokens.weight"])
    for name, weight in found.items():
        assert torch.allclose(weight, (left[name] + right[name]) / 2, atol=1e-6), name
    with pytest.raises(FathomError, match=r"has an output layer of its own, .* as the first model"):
        merging.merge([str(other), str(base)], [0.5], tmp_path / "n")
    assert not (tmp_path / "n").exists()
    both = weights(merging.merge([str(other), str(other)], [0.5], tmp_path / "both"), AutoModelForCausalLM)
    assert torch.equal(both["lm_head.weight"], right["lm_head.weight"])


def test_a_head_of_fathoms_own_is_kept(base: Path, language: Path, tmp_path: Path) -> None:
    head = Head(kind="mlp", pooling="mean")
    model = HeadedModel(moved(AutoModel.from_pretrained(base), 4), head)
    model.save_pretrained(tmp_path / "mlp")
    AutoTokenizer.from_pretrained(base).save_pretrained(tmp_path / "mlp")
    (tmp_path / "mlp" / "fathom.json").write_text(json.dumps({"name": "scalar", "head": head.model_dump()}))
    folder = merging.merge([str(tmp_path / "mlp"), str(language)], [1.0], tmp_path / "m")
    found, theirs = load_classifier(folder, device="cpu").model, weights(language, AutoModelForCausalLM)
    assert torch.equal(found.score[0].weight, model.score[0].weight)
    for name, weight in found.model.state_dict().items():
        assert torch.equal(weight, theirs[f"model.{name}"]), name


def test_an_adapter_is_merged_into_its_base_first(base: Path, language: Path, tmp_path: Path) -> None:
    config = LoraConfig(task_type="SEQ_CLS", r=4, target_modules="all-linear", init_lora_weights=False)
    options = {"num_labels": 1, "pad_token_id": 0}
    model: Any = get_peft_model(AutoModelForSequenceClassification.from_pretrained(base, **options), config)
    model.save_pretrained(tmp_path / "adapter")
    AutoTokenizer.from_pretrained(base).save_pretrained(tmp_path / "adapter")
    expected = model.merge_and_unload().state_dict()
    found = weights(merging.merge([str(tmp_path / "adapter"), str(language)], [0.0], tmp_path / "m"))
    assert set(found) == set(expected)
    for name, weight in found.items():
        assert torch.allclose(weight, expected[name], atol=1e-5), name


def test_the_result_holds_the_values_of_the_more_precise_model(base: Path, language: Path, tmp_path: Path) -> None:
    rough = classifier_of(base, tmp_path / "rough", seed=9, dtype=torch.bfloat16)
    found = weights(merging.merge([str(rough), str(language)], [1.0], tmp_path / "m"))
    theirs = weights(language, AutoModelForCausalLM)
    assert torch.equal(found["model.norm.weight"], theirs["model.norm.weight"])
    both = weights(merging.merge([str(rough), str(rough)], [0.5], tmp_path / "both"))
    assert both["model.norm.weight"].dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("given_weights", "problem"),
    [
        ([1.5], "weights 1.5: expected numbers from 0 to 1"),
        ([-0.1], "expected numbers from 0 to 1"),
        ([float("nan")], "expected numbers from 0 to 1"),
        ([0.5, 0.5], "got 2 weights for 2 models"),
    ],
)
def test_weights_that_are_no_shares_are_refused(given_weights: list[float], problem: str) -> None:
    with pytest.raises(FathomError, match=problem):
        merging.check_weights(2, given_weights)


def test_the_command_writes_a_checkpoint_with_its_provenance(reward: Path, language: Path, tmp_path: Path) -> None:
    out = tmp_path / "m"
    arguments = ["merge", str(reward), str(language), "--weight", "0.4", "--out", str(out)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    record = json.loads((out / "manifest.json").read_text())
    assert record["config"] == {"models": [str(reward), str(language)], "weights": [0.4]}
    assert any(path.endswith("model.safetensors") for path in record["inputs"])
    again = CliRunner().invoke(app, [*arguments[:4], "0.5", *arguments[5:]])
    assert isinstance(again.exception, FathomError)  # results of other settings are not replaced
    other = make_classifier(tmp_path / "other")
    failed = CliRunner().invoke(app, ["merge", str(reward), str(other), "--out", str(tmp_path / "n")])
    assert isinstance(failed.exception, FathomError)
    assert not list((tmp_path / "n").glob("*.safetensors"))


def test_a_model_that_is_merged_is_never_the_output(reward: Path, language: Path) -> None:
    before = (reward / "model.safetensors").read_bytes()
    result = CliRunner().invoke(app, ["merge", str(reward), str(language), "--out", str(reward), "--force"])
    assert isinstance(result.exception, FathomError)
    assert "MODEL" in str(result.exception)
    assert (reward / "model.safetensors").read_bytes() == before
