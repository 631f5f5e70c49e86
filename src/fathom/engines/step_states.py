"""Scores one step more on a cached prefix, which guided search needs: no second pass over the problem and its steps.

    scorer = StepScorer(engine, convention)
    state, score = scorer.extend(scorer.start("2 + 2 + 1?"), "2 + 2 = 4")
    state, score = scorer.extend(state, "4 + 1 = 6")

A state is a value: it can be extended several times, in any order, by different steps. The scores are those of
`LocalEngine.steps` on the whole solution, up to floating-point rounding, because the tokens of a prefix are a prefix of
the tokens, and a causal model's states do not depend on later tokens.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import DynamicCache

from fathom.engines import EngineError, StepConvention
from fathom.engines.chat import Tokens
from fathom.engines.forward import Forward
from fathom.engines.local import LocalEngine
from fathom.engines.local_readings import step_scores
from fathom.engines.steps import render
from fathom.errors import FathomError


@dataclass(frozen=True)
class StepState:
    """A problem and some of its steps, with the keys and values that a model computed for them."""

    problem: str
    steps: tuple[str, ...] = ()
    tokens: Tokens = ()
    cache: tuple[tuple[torch.Tensor, torch.Tensor], ...] = field(default=(), repr=False)
    """For each layer, keys and values (1, heads, tokens, width)."""


class StepScorer:
    """Scores single steps with the model of `engine`. Raises FathomError if the model cannot continue a prefix."""

    def __init__(self, engine: LocalEngine, convention: StepConvention) -> None:
        self.engine = engine
        self.convention = convention
        self.forward = Forward(engine.model, max_batch_tokens=engine.max_batch_tokens)
        if not self.forward.continues:
            raise FathomError(f"{engine.name} cannot continue a cached prefix; score whole solutions instead")

    def start(self, problem: str) -> StepState:
        """The state before the first step."""
        return StepState(problem)

    def extend(self, state: StepState, step: str) -> tuple[StepState, float]:
        """The state after one more step, and that step's score, 0 to 1. `state` is unchanged.

        Raises EngineError if the step exceeds the model's context.
        """
        steps = (*state.steps, step)
        rendered = render(self.engine.tokenizer, state.problem, steps, self.convention)
        known = len(state.tokens)
        if rendered.tokens[:known] != state.tokens:
            raise FathomError("the tokens of the steps so far change with the next step, so none can be added")
        if rendered.seen(self.engine.context) < len(steps):
            message = (
                f"step {len(steps)} ends after {len(rendered.tokens)} tokens; the context is {self.engine.context}"
            )
            raise EngineError(message, hint="stop the search here, or use a model with a longer context")
        states, cache = self._continue(rendered.tokens[known:], state)
        position = rendered.positions[-1] - known
        with torch.inference_mode():
            score = step_scores(
                self.forward, self.engine.tokenizer, states[position : position + 1], self.convention
            ).item()
        return StepState(state.problem, steps, rendered.tokens, cache), score

    @torch.inference_mode()
    def _continue(self, tokens: Tokens, state: StepState) -> tuple[torch.Tensor, tuple[Any, ...]]:
        """The states (tokens, hidden) of further tokens, and all keys and values."""
        device, known = self.engine.model.device, len(state.tokens)
        # Layers concatenate into new tensors, so those of the state stay as they are.
        cache = DynamicCache(state.cache or None, config=self.engine.model.config)
        output = self.forward.backbone(
            input_ids=torch.tensor([tokens], device=device),
            attention_mask=torch.ones(1, known + len(tokens), dtype=torch.long, device=device),
            position_ids=torch.arange(known, known + len(tokens), device=device)[None],
            past_key_values=cache,
            use_cache=True,
        )
        return output.last_hidden_state[0], tuple((layer.keys, layer.values) for layer in cache.layers)
