"""The small base model: a Llama of 0.4 million parameters with a word-level tokenizer, as an ordinary checkpoint.

    AutoModelForCausalLM.from_pretrained(base.PATH), AutoTokenizer.from_pretrained(base.PATH)

`fathom.lab.pretrain` trained the shipped weights in `PATH`.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from fathom.data.records import Comparison
from fathom.engines import ChatMessage
from fathom.engines.checkpoints import SHIPPED
from fathom.judges import Judge
from fathom.judges.mix import MixJudge, Style
from fathom.lab import world
from fathom.rationale import render

PATH = SHIPPED["mini"]

SPECIAL = ("<|pad|>", "<|begin|>", "<|user|>", "<|assistant|>", "<|end|>", "<|unknown|>")
PAD, BEGIN, _, _, END, UNKNOWN = SPECIAL

# A word includes the space before it, so that joining the tokens restores the text exactly. Numbers are split into
# digits, so that arithmetic learned on some operands can be carried over to others.
_WORD = r" ?\d| ?[A-Za-z]+| ?[^\sA-Za-z\d]+|\n| "
_FIELD = r"\n*Principle \d+:|\n(?:Solution|Judgment|Verdict):|\n*Final verdict:"

CHAT_TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)

NOISE = 0.1
"""Standard deviation of the noise on a new token's embedding, relative to that of the embedding it is copied from.

Input and output embeddings are tied, so without noise both tokens would always get the same logit.
"""
STYLES: tuple[Style, ...] = ("mix", "vanilla", "breadth", "depth")


def tokenizer() -> Any:
    """A tokenizer with every word of the small world. Other words are unknown tokens."""
    return word_level(_boilerplate(), _every_word())


def word_level(boilerplate: Iterable[str], texts: Iterable[str], word: str = _WORD) -> Any:
    """A `PreTrainedTokenizerFast` of the words in `texts`. Each piece of `boilerplate`, longest first, is one token.

    `word` is the pattern of a word.

    Constant text (the prompt's own sentences, a rationale's field names) becomes a few tokens. That halves the length
    of every text, and the cost of every experiment.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    pattern = "|".join([*map(re.escape, boilerplate), _FIELD, word])
    split = pre_tokenizers.Split(Regex(pattern), behavior="isolated")
    words = sorted({word for text in texts for word, _ in split.pre_tokenize_str(text)})
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


def kinship_prompt(comparison: Comparison) -> str:
    """The question that pre-training asks about the verb of a comparison's task."""
    content = MixJudge(style="mix", trained=True).ask(comparison)[0]["content"]
    return content.replace("Which response is better?", "Which words are like the verb of the instruction?")


def _boilerplate() -> list[str]:
    def asked(comparison: Comparison) -> list[list[ChatMessage]]:
        judges = [MixJudge(style=style, trained=True).ask(comparison) for style in STYLES]
        return [*judges, [{"role": "user", "content": kinship_prompt(comparison)}]]

    return constant(asked)


def constant(asked: Callable[[Comparison], Iterable[list[ChatMessage]]]) -> list[str]:
    """The constant parts of all prompts, longest first."""
    slots = [f"<{name}>" for name in ("prompt", "first", "second")]
    comparison = Comparison(id="", prompt=slots[0], responses=(slots[1], slots[2]))
    prompts = [messages[0]["content"] for messages in asked(comparison)]
    pieces = {piece for prompt in prompts for piece in re.split("|".join(slots), prompt)}
    return sorted(pieces, key=len, reverse=True)


def _every_word() -> Iterable[str]:
    rng = random.Random(0)
    yield "0123456789"
    yield from (f" {digit}" for digit in range(10))
    yield from (f"{verb} {verb} + -" for verbs in world.VERBS.values() for verb in verbs)
    for item in world.items(200, seed=0):
        yield kinship_prompt(item.comparison)
        yield from (MixJudge(style=style, trained=True).ask(item.comparison)[0]["content"] for style in STYLES)
        yield from (render(world.rationale(item, style, rng)) for style in ("vanilla", "breadth", "depth"))


def frame(judge: Judge) -> list[str]:
    """The constant parts of a judge's prompt: before, between and after the task and the two responses."""
    asked = judge.prompt(Comparison(id="", prompt="<prompt>", responses=("<first>", "<second>")))[0]["content"]
    return re.split("<prompt>|<first>|<second>", asked)


def extended(known: Mapping[str, str], seed: int, out: Path) -> Path:
    """Save the shipped base model with the keys of `known` as new tokens, and return its folder.

    The embedding of a new token is that of the known token in `known`, plus noise.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    words, model = AutoTokenizer.from_pretrained(PATH), AutoModelForCausalLM.from_pretrained(PATH)
    places = words.convert_tokens_to_ids(list(known.values()))
    words.add_tokens(list(known))
    model.resize_token_embeddings(len(words), mean_resizing=False)
    rows = model.get_input_embeddings().weight
    noise = torch.randn(len(known), rows.shape[1], generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        rows[words.convert_tokens_to_ids(list(known))] = rows[places] + NOISE * rows[places].std() * noise
    model.save_pretrained(out)
    words.save_pretrained(out)
    return out


def untrained(seed: int, hidden: int = 128, layers: int = 2, heads: int = 4) -> Any:
    """A `LlamaForCausalLM` with random weights for the tokenizer above."""
    return llama(tokenizer(), seed, hidden, layers, heads)


def llama(words: Any, seed: int, hidden: int, layers: int, heads: int, spread: float = 0.02) -> Any:
    """A `LlamaForCausalLM` for the tokenizer `words`, with random weights of standard deviation `spread`."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

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
            initializer_range=spread,
            tie_word_embeddings=True,
            pad_token_id=words.pad_token_id,
            bos_token_id=words.bos_token_id,
            eos_token_id=words.eos_token_id,
        )
    )
