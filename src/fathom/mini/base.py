"""The small base model: a Llama of 0.4 million parameters and a word-level tokenizer, saved as any checkpoint is.

    AutoModelForCausalLM.from_pretrained(base.PATH), AutoTokenizer.from_pretrained(base.PATH)

`fathom.mini.pretrain` made the weights that are shipped in `PATH`.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from fathom.judges.mix import MixJudge, Style
from fathom.mini import world
from fathom.rationale import render

PATH = Path(__file__).parent / "base"

SPECIAL = ("<|pad|>", "<|begin|>", "<|user|>", "<|assistant|>", "<|end|>", "<|unknown|>")
PAD, BEGIN, _, _, END, UNKNOWN = SPECIAL

# A word carries the space before it, so that tokens joined are the text again, to the character.
_WORD = r"\n| ?-?\d+| ?[A-Za-z]+| ?[^\sA-Za-z\d]+| "

CHAT_TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)

STYLES: tuple[Style, ...] = ("mix", "vanilla", "breadth", "depth")


def tokenizer() -> Any:
    """A `PreTrainedTokenizerFast` that knows every word the small world can write. Words from elsewhere are unknown."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    split = pre_tokenizers.Split(Regex(_WORD), behavior="isolated")
    words = sorted({word for text in _every_word() for word, _ in split.pre_tokenize_str(text)})
    vocabulary = {word: index for index, word in enumerate([*SPECIAL, *words])}
    model = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    model.pre_tokenizer = split
    model.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=model,
        pad_token=PAD,
        bos_token=BEGIN,
        eos_token=END,
        unk_token=UNKNOWN,
        additional_special_tokens=["<|user|>", "<|assistant|>"],
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
        padding_side="left",
    )


def _every_word() -> Iterable[str]:
    rng = random.Random(0)
    low = min(expression.value for expression in world.EXPRESSIONS) - 10
    high = max(expression.value for expression in world.EXPRESSIONS) + 10
    yield from (form.format(number) for number in range(low, high + 1) for form in ("{}", " {}"))
    yield from (f"{verb} 1 + 2 - 3 * 4" for verbs in world.VERBS.values() for verb in verbs)
    for item in world.items(200, seed=0):
        yield from (MixJudge(style=style, trained=True).ask(item.comparison)[0]["content"] for style in STYLES)
        yield from (render(world.rationale(item, style, rng)) for style in ("vanilla", "breadth", "depth"))


def untrained(seed: int, hidden: int = 96, layers: int = 3, heads: int = 4) -> Any:
    """A `LlamaForCausalLM` with random weights for the tokenizer above."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    words = tokenizer()
    torch.manual_seed(seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(words),
            hidden_size=hidden,
            intermediate_size=4 * hidden,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            num_key_value_heads=heads,
            max_position_embeddings=512,
            tie_word_embeddings=True,
            pad_token_id=words.pad_token_id,
            bos_token_id=words.bos_token_id,
            eos_token_id=words.eos_token_id,
        )
    )
