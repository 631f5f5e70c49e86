"""Guided decoding: the distribution is the stated product, and needs one vocabulary."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LogitsProcessorList

from fathom.engines.guiding import Guide, check_vocabulary
from fathom.errors import FathomError
from tiny import make_checkpoint

PROMPTS = ["The capital of France is", "2 + 2 ="]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any, Any]:
    """A base model, a reward model with other weights, and their tokenizer."""
    folder = tmp_path_factory.mktemp("models")
    base, reward = (make_checkpoint(folder / str(seed), seed=seed) for seed in (0, 1))
    tokenizer = AutoTokenizer.from_pretrained(base, padding_side="left")
    # Random weights give nearly uniform distributions; sharper ones differ visibly.
    return (
        sharp(AutoModelForCausalLM.from_pretrained(base)),
        sharp(AutoModelForCausalLM.from_pretrained(reward)),
        tokenizer,
    )


def sharp(model: Any) -> Any:
    model.lm_head.weight.data *= 30
    return model.eval()


def next_logprobs(model: Any, ids: torch.Tensor) -> torch.Tensor:
    """Of unpadded rows, one position after each prefix."""
    with torch.no_grad():
        found: torch.Tensor = model(input_ids=ids).logits.float().log_softmax(-1)
    return found


def generated(
    models: tuple[Any, Any, Any], alpha: float, text: str, steps: int = 6
) -> tuple[torch.Tensor, torch.Tensor]:
    """The tokens after a text, decoded greedily, and the processed scores of each step."""
    base, reward, tokenizer = models
    prompt = tokenizer([text], return_tensors="pt")
    guide = Guide([(reward, alpha)], prompt["attention_mask"])
    out = base.generate(
        **prompt,
        logits_processor=LogitsProcessorList([guide]),
        do_sample=False,
        max_new_tokens=steps,
        min_new_tokens=steps,
        output_scores=True,
        return_dict_in_generate=True,
    )
    return out.sequences[0], torch.stack(out.scores)[:, 0]


@pytest.mark.parametrize("alpha", [0.5, 1.0, -0.5])
def test_the_guided_distribution_is_the_product_at_every_step(models: tuple[Any, Any, Any], alpha: float) -> None:
    base, reward, _ = models
    tokens, scores = generated(models, alpha, PROMPTS[0])
    steps = len(scores)
    ids = tokens[None, :-1]
    expected = next_logprobs(base, ids)[0, -steps:] + alpha * next_logprobs(reward, ids)[0, -steps:]
    assert steps == 6
    # min_new_tokens forbids the end token, so compare the others; the cached passes round differently.
    free = torch.isfinite(scores)
    distance = (expected.masked_fill(~free, -torch.inf).softmax(-1) - scores.softmax(-1)).abs().max()
    assert distance < 1e-4
    assert (expected.softmax(-1) - next_logprobs(base, ids)[0, -steps:].softmax(-1)).abs().max() > 0.01


def test_with_alpha_zero_it_is_the_base_models(models: tuple[Any, Any, Any]) -> None:
    base, reward, tokenizer = models
    ids = tokenizer([PROMPTS[0]], return_tensors="pt")["input_ids"]
    plain = next_logprobs(base, ids)[:, -1]
    guided = Guide([(reward, 0.0)])(ids, plain.clone())
    assert (guided.softmax(-1) - plain.softmax(-1)).abs().max() < 1e-6


def test_padded_rows_are_guided_as_each_alone(models: tuple[Any, Any, Any]) -> None:
    base, reward, tokenizer = models
    prompt = tokenizer(PROMPTS, return_tensors="pt", padding=True)
    assert prompt["attention_mask"].sum(-1).tolist()[0] != prompt["attention_mask"].sum(-1).tolist()[1]
    guide = Guide([(reward, 1.0)], prompt["attention_mask"])
    zeros = torch.zeros(len(PROMPTS), base.config.vocab_size)
    together = guide(prompt["input_ids"], zeros).softmax(-1)
    for row, text in enumerate(PROMPTS):
        ids = tokenizer([text], return_tensors="pt")["input_ids"]
        assert (next_logprobs(reward, ids)[0, -1].softmax(-1) - together[row]).abs().max() < 1e-5


def test_rows_that_change_places_are_read_anew(models: tuple[Any, Any, Any]) -> None:
    _, reward, _ = models
    ids = torch.tensor([[5, 6, 7], [8, 9, 10]])
    zeros = torch.zeros(2, reward.config.vocab_size)
    guide = Guide([(reward, 1.0)])
    guide(ids, zeros)
    moved = torch.cat([ids.flip(0), torch.tensor([[11], [12]])], dim=1)
    expected = Guide([(reward, 1.0)])(moved, zeros)
    assert (guide(moved, zeros) - expected).abs().max() < 1e-4


def test_several_reward_models_add_with_their_weights(models: tuple[Any, Any, Any]) -> None:
    base, reward, _ = models
    ids, zeros = torch.tensor([[5, 6, 7]]), torch.zeros(1, reward.config.vocab_size)
    both = Guide([(reward, 0.5), (base, 2.0)])(ids, zeros)
    uniform = zeros.log_softmax(-1)
    expected = uniform + 0.5 * next_logprobs(reward, ids)[:, -1] + 2.0 * next_logprobs(base, ids)[:, -1]
    assert (both - expected).abs().max() < 1e-4


def test_a_padded_output_layer_gives_no_token(models: tuple[Any, Any, Any]) -> None:
    _, reward, _ = models
    size = reward.config.vocab_size
    guided = Guide([(reward, 1.0)])(torch.tensor([[5, 6, 7]]), torch.zeros(1, size + 8))
    assert torch.isinf(guided[:, size:]).all()
    assert torch.isfinite(guided[:, :size]).all()


def test_another_vocabulary_is_refused(models: tuple[Any, Any, Any], tmp_path: Path) -> None:
    tokenizer = models[2]
    check_vocabulary(tokenizer, tokenizer)
    other = AutoTokenizer.from_pretrained(
        make_checkpoint(tmp_path / "other", vocab_texts=["the cat sat on the mat"] * 3)
    )
    with pytest.raises(FathomError, match=r"differ in \d+ of \d+ tokens, such as .*expected one vocabulary"):
        check_vocabulary(tokenizer, other)
