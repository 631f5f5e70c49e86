"""Writes a Llama checkpoint with a byte-level BPE tokenizer as a GGUF file, in float32: what llama.cpp reads.

    python benchmarks/gguf_llama.py CHECKPOINT FILE.gguf            # needs: pip install gguf safetensors numpy

For checkpoints whose tokenizer splits as GPT-2's does, such as the one that `real_servers.py` trains. llama.cpp's own
converter knows hundreds of others, but takes a tokenizer only where it knows the hash of what that makes of a certain
text.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy
from gguf import GGUFWriter, TokenType
from safetensors.numpy import load_file

TENSORS = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def export(checkpoint: Path, file: Path) -> None:
    config = json.loads((checkpoint / "config.json").read_text())
    writer = GGUFWriter(file, "llama")
    writer.add_name(checkpoint.name)
    _add_shape(writer, config)
    _add_tokenizer(writer, checkpoint, config)
    for name, tensor in load_file(checkpoint / "model.safetensors").items():
        writer.add_tensor(*_tensor(name, tensor, config))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_shape(writer: Any, config: dict[str, Any]) -> None:
    writer.add_vocab_size(config["vocab_size"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_rope_dimension_count(config["head_dim"])
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])


def _add_tokenizer(writer: Any, checkpoint: Path, config: dict[str, Any]) -> None:
    tokenizer = json.loads((checkpoint / "tokenizer.json").read_text())
    special = {entry["id"]: entry["content"] for entry in tokenizer["added_tokens"]}
    tokens = {index: text for text, index in tokenizer["model"]["vocab"].items()} | special
    assert sorted(tokens) == list(range(config["vocab_size"]))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([tokens[index] for index in sorted(tokens)])
    writer.add_token_types([TokenType.CONTROL if index in special else TokenType.NORMAL for index in sorted(tokens)])
    writer.add_token_merges([" ".join(pair) for pair in tokenizer["model"]["merges"]])
    writer.add_bos_token_id(config["bos_token_id"])
    writer.add_eos_token_id(config["eos_token_id"])
    writer.add_pad_token_id(config["pad_token_id"])
    # The chat template writes the begin token; plain encoding adds it only where the tokenizer has a step for that.
    writer.add_add_bos_token(tokenizer["post_processor"] is not None)
    writer.add_chat_template((checkpoint / "chat_template.jinja").read_text())


def _tensor(name: str, tensor: numpy.ndarray, config: dict[str, Any]) -> tuple[str, numpy.ndarray]:
    """Under llama.cpp's name; queries and keys in its order of rotary dimensions."""
    heads = {"q_proj": config["num_attention_heads"], "k_proj": config["num_key_value_heads"]}
    for part, count in heads.items():
        if part in name:
            tensor = _interleaved(tensor, count)
    name, _, kind = name.rpartition(".")
    if name.startswith("model.layers."):
        _, _, layer, rest = name.split(".", 3)
        return f"blk.{layer}.{TENSORS[rest]}.{kind}", tensor.astype(numpy.float32)
    return f"{TENSORS[name]}.{kind}", tensor.astype(numpy.float32)


def _interleaved(weight: numpy.ndarray, heads: int) -> numpy.ndarray:
    """Rotary pairs side by side: transformers rotates dimension i with i + half of the head, llama.cpp with i + 1."""
    halves = weight.reshape(heads, 2, -1, weight.shape[1])
    return numpy.ascontiguousarray(halves.swapaxes(1, 2)).reshape(weight.shape)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("file", type=Path)
    export(**vars(parser.parse_args()))
