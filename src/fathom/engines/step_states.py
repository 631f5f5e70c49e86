"""Scores the next step of a solution on a cached prefix, for guided search.

    scorer = StepScorer(engine, convention)
    state, score = scorer.extend(scorer.start("2 + 2 + 1?"), "2 + 2 = 4")
    state, score = scorer.extend(state, "4 + 1 = 6")
    scorer.branch(state, ["It is 6.", "So 7."])             # several next steps, in one forward pass

States are immutable: each can be extended several times, in any order, by different steps. The scores are those of
`LocalEngine.steps` on the whole solution, up to floating-point rounding: a prefix of the steps is a prefix of the
tokens, and a causal model's states do not depend on later tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from transformers import DynamicCache

from fathom.engines import EngineError, StepConvention
from fathom.engines.chat import Tokens
from fathom.engines.forward import Forward
from fathom.engines.local import LocalEngine
from fathom.engines.local_readings import step_scores
from fathom.engines.steps import Rendered, render_next
from fathom.errors import FathomError

Cache = tuple[tuple[torch.Tensor, torch.Tensor], ...]


@dataclass(frozen=True)
class StepState:
    """A problem and some of its steps, with the keys and values that a model computed for them."""

    problem: str
    steps: tuple[str, ...] = ()
    tokens: Tokens = ()
    cache: Cache = field(default=(), repr=False)
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
        (found,) = self.branch(state, [step])
        if isinstance(found, EngineError):
            raise found
        return found

    def branch(self, state: StepState, steps: Sequence[str]) -> list[tuple[StepState, float] | EngineError]:
        """As `extend`, for alternative next steps in one forward pass; an EngineError for a step beyond the context."""
        found = [self._rendered(state, step) for step in steps]
        fitting = [each for each in found if isinstance(each, Rendered)]
        states = iter(self._continue(state, fitting) if fitting else ())
        return [
            each if isinstance(each, EngineError) else self._extended(state, step, each, *next(states))
            for step, each in zip(steps, found, strict=True)
        ]

    def _rendered(self, state: StepState, step: str) -> Rendered | EngineError:
        new = render_next(self.engine.tokenizer, state.problem, state.steps, step, self.convention)
        context, end = self.engine.context, len(state.tokens) + len(new.tokens)
        if new.seen(context - len(state.tokens)):
            return new
        message = f"step {len(state.steps) + 1} ends after {end} tokens; the context is {context}"
        return EngineError(message, hint="stop the search here, or use a model with a longer context")

    @torch.inference_mode()
    def _extended(
        self, state: StepState, step: str, new: Rendered, states: torch.Tensor, cache: Cache
    ) -> tuple[StepState, float]:
        (at,) = new.positions
        score = step_scores(self.forward, self.engine.tokenizer, states[at : at + 1], self.convention).item()
        return StepState(state.problem, (*state.steps, step), (*state.tokens, *new.tokens), cache), score

    @torch.inference_mode()
    def _continue(self, state: StepState, branches: Sequence[Rendered]) -> Iterator[tuple[torch.Tensor, Cache]]:
        """For each branch, the states (tokens, hidden) of its new tokens, and all its keys and values.

        Branches are padded on the right, which does not change a causal model's states before the padding.
        """
        device, known, count = self.engine.model.device, len(state.tokens), len(branches)
        new = [branch.tokens for branch in branches]
        longest = max(map(len, new))
        # DynamicCache concatenates into new tensors, so those of the state are not modified.
        past = [tuple(part.expand(count, -1, -1, -1) for part in layer) for layer in state.cache]
        cache = DynamicCache(past or None, config=self.engine.model.config)
        output = self.forward.backbone(
            input_ids=torch.tensor([[*tokens, *[0] * (longest - len(tokens))] for tokens in new], device=device),
            attention_mask=torch.tensor(
                [[1] * (known + len(tokens)) + [0] * (longest - len(tokens)) for tokens in new], device=device
            ),
            position_ids=torch.arange(known, known + longest, device=device).expand(count, -1),
            past_key_values=cache,
            use_cache=True,
        )
        for row, tokens in enumerate(new):
            end = known + len(tokens)
            kept = tuple((_own(layer.keys, row, end), _own(layer.values, row, end)) for layer in cache.layers)
            yield output.last_hidden_state[row, : len(tokens)], kept


def _own(batch: torch.Tensor, row: int, end: int) -> torch.Tensor:
    """One row of a batch up to a token. Copied only if it is a part, so that a state does not keep the whole batch."""
    part = batch[row : row + 1, :, :end]
    return part if part.shape == batch.shape else part.clone()
