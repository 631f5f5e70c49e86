"""A real checkpoint small enough for tests: a Llama with random weights and a byte-level tokenizer, saved on disk.

path = make_checkpoint(tmp_path / "tiny")
AutoModelForCausalLM.from_pretrained(path), AutoTokenizer.from_pretrained(path)
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

PAD, BEGIN, END, USER, ASSISTANT = "<|pad|>", "<|begin|>", "<|end|>", "<|user|>", "<|assistant|>"

CHAT_TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def make_checkpoint(
    path: Path,
    *,
    vocab_texts: Iterable[str] | None = None,
    vocab_size: int = 1024,
    context: int = 4096,
    chat_template: str | None = CHAT_TEMPLATE,
    seed: int = 0,
) -> Path:
    """Writes model and tokenizer to `path` and returns it.

    Every text can be encoded. `vocab_texts` makes the tokens longer than a byte: up to `vocab_size` merges are learned
    from them.
    """
    tokenizer = make_tokenizer(vocab_texts or (), vocab_size, chat_template)
    tokenizer.save_pretrained(path)
    make_model(tokenizer, context=context, seed=seed).save_pretrained(path)
    return path


def make_tokenizer(texts: Iterable[str], vocab_size: int, chat_template: str | None) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    special = [PAD, BEGIN, END, USER, ASSISTANT]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    # As many real tokenizers do: plain encoding adds the begin token. A template that writes it too must not double it.
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BEGIN} $A", special_tokens=[(BEGIN, tokenizer.token_to_id(BEGIN))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        bos_token=BEGIN,
        eos_token=END,
        additional_special_tokens=[USER, ASSISTANT],
        chat_template=chat_template,
        clean_up_tokenization_spaces=False,
    )


def make_model(tokenizer: Any, *, context: int, seed: int) -> Any:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=context,
            initializer_range=0.3,
            tie_word_embeddings=False,
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )
    )


def make_classifier(path: Path, *, labels: int = 1, context: int = 512, seed: int = 0) -> Path:
    """Write a Llama with a random classification head, and its tokenizer, to `path` and return it."""
    import torch
    from transformers import LlamaConfig, LlamaForSequenceClassification

    tokenizer = make_tokenizer((), 1024, CHAT_TEMPLATE)
    tokenizer.save_pretrained(path)
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=context,
        initializer_range=0.3,
        pad_token_id=tokenizer.pad_token_id,
        num_labels=labels,
    )
    LlamaForSequenceClassification(config).save_pretrained(path)
    return path


def make_parrot(path: Path, *texts: str, vocab_texts: Iterable[str] = ()) -> Path:
    """A checkpoint that answers every prompt with one of `texts`, each of which becomes a token of its vocabulary.

    All are equally likely; other tokens are improbable at temperatures of 0.2 and below.
    """
    import torch

    tokenizer = make_tokenizer(vocab_texts, 4096, CHAT_TEMPLATE)
    tokenizer.add_tokens(list(texts))
    *said, end = tokenizer.convert_tokens_to_ids([*texts, END])
    model = make_model(tokenizer, context=2**17, seed=0)
    with torch.no_grad():
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
        # The layers add nothing, so the next token follows from the last one alone: any token, a text, the end.
        directions = torch.eye(32)
        model.model.embed_tokens.weight.copy_(directions[0].expand(len(tokenizer), -1))
        model.model.embed_tokens.weight[said] = directions[1]
        model.lm_head.weight.zero_()
        model.lm_head.weight[said] = directions[0]
        model.lm_head.weight[end] = directions[1]
    tokenizer.save_pretrained(path)
    model.save_pretrained(path)
    return path


def make_masked(path: Path, words: Iterable[str], *, context: int = 128, seed: int = 0) -> Path:
    """A BERT with random weights and a tokenizer that knows the given words, saved as a masked language model."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertForMaskedLM, PreTrainedTokenizerFast

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = {word: place for place, word in enumerate(dict.fromkeys([*special, *words]))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_max_length=context,
    ).save_pretrained(path)
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=context,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        initializer_range=0.2,
        pad_token_id=0,
    )
    BertForMaskedLM(config).save_pretrained(path)
    return path
