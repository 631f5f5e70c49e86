"""A backbone with the head of a published process reward model, made of the weights in its files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn


class StepModel(nn.Module):
    """`backbone`, a model of `transformers`, and `score`, which maps states (positions, hidden) to outputs.

    The head computes in float32 (float64 if the backbone does).
    """

    def __init__(self, backbone: Any, weights: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.base_model = backbone
        self.config = backbone.config
        precision = torch.promote_types(backbone.dtype, torch.float32)
        self.score = _head(weights).to(precision)

    @property
    def device(self) -> Any:
        return self.base_model.device

    @property
    def dtype(self) -> Any:
        return self.base_model.dtype

    def get_input_embeddings(self) -> Any:
        return self.base_model.get_input_embeddings()

    def get_output_embeddings(self) -> None:
        """None: it gives no logits of a vocabulary."""


def _head(weights: Mapping[str, Tensor]) -> nn.Module:
    """Two layers with a ReLU between them, or a value head. The dropout of the latter is for training only."""
    if "v_head.summary.weight" in weights:
        return _linear(weights, "v_head.summary")
    return nn.Sequential(_linear(weights, "score.0"), nn.ReLU(), _linear(weights, "score.2"))


def _linear(weights: Mapping[str, Tensor], name: str) -> nn.Linear:
    weight, bias = weights[f"{name}.weight"], weights.get(f"{name}.bias")
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    layer.load_state_dict({"weight": weight} | ({} if bias is None else {"bias": bias}))
    return layer
