"""Tiny checkpoints of process reward models with the architectures of published families, and plain scorers for them.

A plain scorer follows a family's own code: one solution at a time, whole texts tokenized at once, and scores picked
from all tokens that equal the separator.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForTokenClassification,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen2ForTokenClassification,
)

PROBLEM = "Anna has 2 boxes of 4 apples. How many has she?"
STEPS = ("Step 1: 2 * 4 = 8.", "Step 2: She eats none.", "Step 3: The answer is 8.")
TAG = "ки"
GAP = "\n" * 5
TEXTS = [PROBLEM, *STEPS, f"a {TAG}\n", " + - Yes No +-", f" {GAP} {GAP}", f"x. {GAP} y", "user assistant system"] * 30

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LLAMA3 = (
    "{{ bos_token }}{% for m in messages %}{{ '<|start_header_id|>' + m['role'] + '<|end_header_id|>\n\n' + "
    "m['content'] | trim + '<|eot_id|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""Where the tokenizers of Qwen2 and Llama 3 split a text."""

Score = Callable[[str, Sequence[str]], list[float]]


def byte_level(special: Sequence[str], template: str | None = None, bos: str | None = None) -> Any:
    """A tokenizer of the kind of Qwen2 and Llama 3."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(SPLIT), "isolated"), pre_tokenizers.ByteLevel(False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=700, special_tokens=list(special), initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=bos,
        eos_token=special[0],
        pad_token=special[0],
        additional_special_tokens=list(special[1:]),
        chat_template=template,
    )


def sentence_piece() -> Any:
    """A tokenizer of the kind of Llama 2 and Mistral: it puts a space before every text that it encodes."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("(?=▁)|\n"), "isolated")
    tokenizer.decoder = decoders.Replace("▁", " ")
    alphabet = sorted(set("".join(TEXTS).replace(" ", "▁")))
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=["<unk>", "<s>", "</s>"], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>", pad_token="</s>"
    )


def sizes(tokenizer: Any) -> dict[str, Any]:
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "initializer_range": 0.3,
        "tie_word_embeddings": False,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }


def saved(path: Path, tokenizer: Any, config: Any, model: Any, **options: Any) -> Path:
    torch.manual_seed(0)
    tokenizer.save_pretrained(path)
    model(config(**sizes(tokenizer), **options)).save_pretrained(path)
    return path


def with_head(path: Path, architecture: str, head: dict[str, torch.Tensor]) -> Path:
    """Replace the output layer of a saved language model by another one, as the family's own class saves it."""
    weights = load_file(path / "model.safetensors")
    weights.pop("lm_head.weight")
    save_file(weights | head, path / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((path / "config.json").read_text()) | {"architectures": [architecture]}
    (path / "config.json").write_text(json.dumps(config))
    return path


def linear(outputs: int, inputs: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(outputs, inputs, generator=generator) / 3, torch.randn(outputs, generator=generator) / 3


# Checkpoints ----------------------------------------------------------------------------------------------------------


def math_shepherd(path: Path) -> Path:
    return saved(path, sentence_piece(), MistralConfig, MistralForCausalLM, sliding_window=None)


def rlhflow(path: Path) -> Path:
    special = ["<|end_of_text|>", "<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
    return saved(path, byte_level(special, LLAMA3, "<|begin_of_text|>"), LlamaConfig, LlamaForCausalLM)


def _qwen(path: Path) -> Path:
    tokenizer = byte_level(["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<extra_0>"], CHATML)
    return saved(path, tokenizer, Qwen2Config, Qwen2ForCausalLM)


def qwen_math(path: Path) -> Path:
    (first, first_bias), (second, second_bias) = linear(32, 32, 1), linear(2, 32, 2)
    head = {"score.0.weight": first, "score.0.bias": first_bias, "score.2.weight": second, "score.2.bias": second_bias}
    return with_head(_qwen(path), "Qwen2ForProcessRewardModel", head)


def skywork(path: Path) -> Path:
    weight, bias = linear(1, 32, 3)
    return with_head(_qwen(path), "Qwen2ForPrmModel", {"v_head.summary.weight": weight, "v_head.summary.bias": bias})


def token_classes(path: Path) -> Path:
    tokenizer = byte_level(["<|endoftext|>", "<|im_start|>", "<|im_end|>"], CHATML)
    return saved(path, tokenizer, Qwen2Config, Qwen2ForTokenClassification, num_labels=2)


CHECKPOINTS: dict[str, Callable[[Path], Path]] = {
    "math_shepherd": math_shepherd,
    "rlhflow": rlhflow,
    "qwen_math": qwen_math,
    "reasonflux": qwen_math,
    "skywork": skywork,
    "openr": _qwen,
    "token_classes": token_classes,
    "p_plus": _qwen,
    "p_yes": _qwen,
}


# Plain scorers --------------------------------------------------------------------------------------------------------


def plain(family: str, path: Path) -> Score:
    """The scores of one solution, by the family's own code."""
    headless = ("qwen_math", "reasonflux", "skywork")
    kinds = dict.fromkeys(headless, AutoModel) | {"token_classes": AutoModelForTokenClassification}
    tokenizer = AutoTokenizer.from_pretrained(path)
    model = kinds.get(family, AutoModelForCausalLM).from_pretrained(path).eval()
    if family in headless:
        weights = load_file(path / "model.safetensors")
        return torch.no_grad()(partial(_PLAIN[family], model, tokenizer, weights))
    return torch.no_grad()(partial(_PLAIN[family], model, tokenizer))


def _tagged(model: Any, text: str, tokenizer: Any, tag: int, candidates: Sequence[int], begin: bool) -> list[float]:
    ids = [*([tokenizer.bos_token_id] if begin else []), *tokenizer.encode(text, add_special_tokens=False)]
    logits = model(torch.tensor([ids])).logits[0][:, list(candidates)]
    return [logits[place].softmax(-1)[0].item() for place, token in enumerate(ids) if token == tag]


def _math_shepherd(model: Any, tokenizer: Any, problem: str, steps: Sequence[str]) -> list[float]:
    text = f"{problem} " + "\n".join(f"{step} {TAG}" for step in steps)
    candidates = [tokenizer.encode(sign)[-1] for sign in "+-"]
    return _tagged(model, text, tokenizer, tokenizer.encode(TAG)[-1], candidates, begin=True)


def _openr(model: Any, tokenizer: Any, problem: str, steps: Sequence[str]) -> list[float]:
    text = f"{problem} " + " ".join(f"{step} {GAP}" for step in steps)
    candidates = [tokenizer.encode(f" {sign}")[-1] for sign in "+-"]
    return _tagged(model, text, tokenizer, tokenizer.encode(f" {GAP}")[-1], candidates, begin=False)


def _words(good: str, bad: str, model: Any, tokenizer: Any, problem: str, steps: Sequence[str]) -> list[float]:
    """The probability of a word after each blank line, one forward pass per step."""
    scores = []
    good_id, bad_id = tokenizer.encode(good)[-1], tokenizer.encode(bad)[-1]
    for count in range(1, len(steps) + 1):
        ids = tokenizer.encode("\n\n".join([problem, *steps[:count]]) + "\n\n")
        scores.append(model(torch.tensor([ids])).logits[0, -1, [good_id, bad_id]].softmax(-1)[0].item())
    return scores


def _rlhflow(model: Any, tokenizer: Any, problem: str, steps: Sequence[str]) -> list[float]:
    scores, messages = [], []
    candidates = [tokenizer.encode(sign, add_special_tokens=False)[-1] for sign in "+-"]
    for place, step in enumerate(steps):
        messages.append({"role": "user", "content": step if place else f"{problem} {step}"})
        messages.append({"role": "assistant", "content": "+"})
        ids = tokenizer.apply_chat_template(messages, return_dict=False)
        scores.append(model(torch.tensor([ids])).logits[0, -3, candidates].softmax(-1)[0].item())
    return scores


def _qwen_math(model: Any, tokenizer: Any, weights: Any, problem: str, steps: Sequence[str]) -> list[float]:
    system = "Please reason step by step, and put your final answer within \\boxed{}."
    return _marked(model, tokenizer, weights, {"system": system, "user": problem}, steps)


def _reasonflux(model: Any, tokenizer: Any, weights: Any, problem: str, steps: Sequence[str]) -> list[float]:
    return _marked(model, tokenizer, weights, {"user": problem}, steps)


def _marked(model: Any, tokenizer: Any, weights: Any, before: dict[str, str], steps: Sequence[str]) -> list[float]:
    contents = {**before, "assistant": "<extra_0>".join(steps) + "<extra_0>"}
    messages = [{"role": role, "content": content} for role, content in contents.items()]
    ids = tokenizer.encode(tokenizer.apply_chat_template(messages, tokenize=False), add_special_tokens=False)
    states = model(torch.tensor([ids])).last_hidden_state[0]
    inner = torch.relu(states @ weights["score.0.weight"].T + weights["score.0.bias"])
    probabilities = (inner @ weights["score.2.weight"].T + weights["score.2.bias"]).softmax(-1)[:, 1]
    separator = tokenizer.convert_tokens_to_ids("<extra_0>")
    return [probabilities[place].item() for place, token in enumerate(ids) if token == separator]


def _skywork(model: Any, tokenizer: Any, weights: Any, problem: str, steps: Sequence[str]) -> list[float]:
    ids, flags = tokenizer.encode(f"{problem}\n"), []
    for step in steps:
        ids += [*tokenizer.encode(step), tokenizer.encode("\n")[-1]]
        flags.append(len(ids) - 1)
    states = model(torch.tensor([ids])).last_hidden_state[0]
    values = (states @ weights["v_head.summary.weight"].T + weights["v_head.summary.bias"]).sigmoid()
    return values[flags, 0].tolist()


def _token_classes(model: Any, tokenizer: Any, problem: str, steps: Sequence[str]) -> list[float]:
    """TRL's `tokenize_row`: prompt and completions apart, each with the separator's tokens, the label at the last."""
    separator = tokenizer.encode("\n", add_special_tokens=False)
    ids, places = tokenizer.encode(problem, add_special_tokens=False), []
    for step in steps:
        ids += [*tokenizer.encode(step, add_special_tokens=False), *separator]
        places.append(len(ids) - 1)
    return model(torch.tensor([ids])).logits[0].softmax(-1)[places, 1].tolist()


_PLAIN: dict[str, Callable[..., list[float]]] = {
    "math_shepherd": _math_shepherd,
    "rlhflow": _rlhflow,
    "qwen_math": _qwen_math,
    "reasonflux": _reasonflux,
    "skywork": _skywork,
    "openr": _openr,
    "token_classes": _token_classes,
    "p_plus": partial(_words, "+", "-"),
    "p_yes": partial(_words, "Yes", "No"),
}
