"""A language model's backbone with a head for rewards that `transformers` has no class for.

    model = HeadedModel(AutoModel.from_pretrained(folder), Head(kind="mlp", pooling="mean"))
    model(input_ids=ids, attention_mask=mask).logits        # (batch, outputs)
    model.save_pretrained("runs/reward")                    # the backbone's files and head.safetensors

The backbone's folder is ordinary, so `AutoModel` loads it; `heads.load_classifier` loads both parts.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from fathom.engines.bnrm import FactorHead
from fathom.engines.gaussian import GaussianHead, divergence, text_means
from fathom.engines.heads import WEIGHTS, Head


class HeadedModel(PreTrainedModel):  # type: ignore[misc]
    """`backbone` with `head` on its pooled states. Padding is what `attention_mask` says, whatever the pad token is.

    The head computes in float32 (float64 if the backbone does), because rewards differ by less than bfloat16 resolves.
    Its module is called `score`, as in `transformers`, so that peft trains it in full and saves it with an adapter.
    """

    supports_gradient_checkpointing = True
    # PreTrainedModel refuses attention that its class does not name; the backbone has checked its own.
    _supports_sdpa = _supports_flash_attn = _supports_flex_attn = _supports_attention_backend = True

    def __init__(self, backbone: Any, head: Head) -> None:
        config = backbone.config
        super().__init__(config)
        config.id2label = dict(enumerate(head.outputs))  # also sets num_labels, which trainers read
        config.label2id = {name: place for place, name in enumerate(head.outputs)}
        self.head, self.model = head, backbone
        precision = torch.promote_types(backbone.dtype, torch.float32)
        text = config.get_text_config()
        spread = getattr(text, "initializer_range", 0.02)
        self.score = make_head(head, text.hidden_size, spread=spread).to(precision)

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None, **options: Any) -> Any:
        """The outputs as `logits`, of shape (batch, outputs), for tokens of shape (batch, length).

        While a head with a penalty of its own is trained, `loss` is that penalty, of shape (batch,).
        """
        given = {name: value for name, value in options.items() if value is not None and name in PASSED}
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        states = self.model(input_ids, attention_mask=mask, **given).last_hidden_state
        pooled = POOLED[self.head.pooling](states, mask).to(next(self.score.parameters()).dtype)
        penalty = self._penalty(states, mask, pooled) if self.training else None
        return SequenceClassifierOutput(logits=self.score(pooled), loss=penalty)

    def _penalty(self, states: Tensor, mask: Tensor, pooled: Tensor) -> Tensor | None:
        head: Any = self.score
        if self.head.kind == "gaussian":
            return text_means(divergence(head.rewards(states.to(pooled.dtype))), mask)
        penalty: Tensor | None = head.penalty(pooled) if self.head.kind == "bnrm" else None
        return penalty

    def save_pretrained(
        self, save_directory: str | Path, *, state_dict: Mapping[str, Tensor] | None = None, **options: Any
    ) -> None:
        """Write the backbone's ordinary files, and the head's weights beside them."""
        state = self.state_dict() if state_dict is None else state_dict
        self.model.save_pretrained(save_directory, state_dict=_part(state, "model."), **options)
        if options.get("is_main_process", True):
            head = {name: weight.contiguous() for name, weight in _part(state, "score.").items()}
            save_file(head, Path(save_directory) / WEIGHTS)

    def load_head(self, folder: Path) -> None:
        """Read the head's weights. Raises OSError or RuntimeError if they are missing or of another shape."""
        self.score.load_state_dict(load_file(folder / WEIGHTS))

    def load(self, folder: Path) -> None:
        """Read all weights that `save_pretrained` wrote, in place: an optimizer keeps its parameters."""
        saved = type(self.model).from_pretrained(folder, dtype=self.model.dtype, use_safetensors=True)
        self.model.load_state_dict(saved.state_dict())
        self.load_head(folder)

    def get_input_embeddings(self) -> Any:
        return self.model.get_input_embeddings()


PASSED = {"position_ids", "inputs_embeds", "use_cache", "output_hidden_states", "output_attentions"}
"""Arguments of a classifier that the backbone takes. Others, such as peft's `labels`, are for the head's loss."""


def last(states: Tensor, mask: Tensor) -> Tensor:
    """The state of each text's last token: (batch, length, width) to (batch, width)."""
    places = torch.arange(mask.shape[1], device=mask.device)
    return states[torch.arange(len(states), device=states.device), (places * mask).argmax(-1)]


def mean(states: Tensor, mask: Tensor) -> Tensor:
    """The mean of the states of each text's tokens, without padding."""
    states = states.to(torch.promote_types(states.dtype, torch.float32))
    weights = mask.to(states.dtype).unsqueeze(-1)
    return (states * weights).sum(1) / weights.sum(1)


POOLED = {"last": last, "mean": mean}


def make_head(head: Head, width: int, *, spread: float) -> nn.Module:
    """New layers that map pooled states (batch, width) to rewards (batch, outputs).

    Weights are normal with standard deviation `spread`, as `transformers` draws those of its own head, so rewards begin
    near 0.
    """
    count = len(head.outputs)
    if head.kind == "bnrm":
        return FactorHead(width, count, spread)
    if head.kind == "gaussian":
        return GaussianHead(width, spread)
    if head.kind == "linear":
        return _initialized(nn.Linear(width, count, bias=False), spread)
    hidden, final = (_initialized(nn.Linear(width, size), spread) for size in (width, count))
    return nn.Sequential(hidden, nn.SiLU(), final)


def _initialized(layer: nn.Linear, spread: float) -> nn.Linear:
    nn.init.normal_(layer.weight, std=spread)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def _part(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): weight for name, weight in state.items() if name.startswith(prefix)}
