"""The small base model: a Llama of 0.3 million parameters and a word-level tokenizer, saved as any checkpoint is.

    AutoModelForCausalLM.from_pretrained(base.PATH), AutoTokenizer.from_pretrained(base.PATH)

`fathom.mini.pretrain` made the weights that are shipped in `PATH`.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable
from typing import Any

from fathom.checkpoints import SHIPPED
from fathom.judges.mix import MixJudge, Style
from fathom.mini import world
from fathom.rationale import render
from fathom.records import Comparison

PATH = SHIPPED["mini"]

SPECIAL = ("<|pad|>", "<|begin|>", "<|user|>", "<|assistant|>", "<|end|>", "<|unknown|>")
PAD, BEGIN, _, _, END, UNKNOWN = SPECIAL

# A word carries the space before it, so that tokens joined are the text again, to the character.
_WORD = r" ?-?\d+| ?[A-Za-z]+| ?[^\sA-Za-z\d]+|\n| "
_FIELD = r"\n*Principle \d+:|\n(?:Solution|Judgment|Verdict):|\n*Final verdict:"

CHAT_TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)

STYLES: tuple[Style, ...] = ("mix", "vanilla", "breadth", "depth")


def tokenizer() -> Any:
    """A `PreTrainedTokenizerFast` that knows every word the small world can write. Words from elsewhere are unknown.

    What never varies (the prompt's own sentences, a rationale's field names) is one token, as it would be a few in a
    large vocabulary: that halves the length of every text, and with it the cost of every experiment.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    pattern = "|".join([*map(re.escape, _boilerplate()), _FIELD, _WORD])
    split = pre_tokenizers.Split(Regex(pattern), behavior="isolated")
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


def _boilerplate() -> list[str]:
    """The pieces of the trained prompt that are the same for every comparison, longest first."""
    slots = [f"<{name}>" for name in ("prompt", "first", "second")]
    comparison = Comparison(id="", prompt=slots[0], responses=(slots[1], slots[2]))
    prompts = [MixJudge(style=style, trained=True).ask(comparison)[0]["content"] for style in STYLES]
    pieces = {piece for prompt in prompts for piece in re.split("|".join(slots), prompt)}
    return sorted(pieces, key=len, reverse=True)


def _every_word() -> Iterable[str]:
    rng = random.Random(0)
    values = [expression.value for expression in world.EXPRESSIONS]
    yield from (f"{number} {number}" for number in range(min(values) - 10, max(values) + 11))
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
            intermediate_size=2 * hidden,
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
