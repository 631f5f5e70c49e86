"""Sampling for GRPO by Fathom's own decoding loop, in place of `generate`.

    GRPOTrainer(..., rollout_func=engine_rollouts)

The completions of a prompt share one prefill, and a finished completion leaves the batch. For small models this saves
much work, the more the lengths differ. The sampling distribution is the same. It supports one process and plain
sampling only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fathom.engines import ChatMessage, Sampling
from fathom.engines.chat import encode_chat
from fathom.engines.decoding import Row, decode


def engine_rollouts(prompts: Sequence[Sequence[ChatMessage]], trainer: Any) -> dict[str, Any]:
    """TRL's `rollout_func`: one completion per entry of `prompts`, which repeats each prompt once per completion.

    Every completion has its own random stream, seeded by the run's seed, the step and its index, so a resumed run draws
    the same tokens as an uninterrupted one.
    """
    args, model = trainer.args, trainer.model
    asked = _encoded(trainer.processing_class, prompts)
    name = f"{args.seed}:{trainer.state.global_step}"
    rows = [Row(prompt, f"{name}:{place}".encode()) for place, prompt in enumerate(asked)]
    sampling = Sampling(temperature=args.temperature, top_p=args.top_p, max_tokens=args.max_completion_length)
    context = max(map(len, asked)) + args.max_completion_length  # prompts without room were left out before
    written: list[list[int]] = [[] for _ in rows]
    was_training = model.training  # false while TRL evaluates
    model.eval()
    for finished in decode(model, rows, sampling, ends=set(trainer.eos_token_ids), context=context):
        for place, text in finished:
            written[place] = text.tokens
    model.train(was_training)
    return {"prompt_ids": [list(prompt) for prompt in asked], "completion_ids": written, "logprobs": None}


def _encoded(tokenizer: Any, prompts: Sequence[Sequence[ChatMessage]]) -> list[tuple[int, ...]]:
    known: dict[str, tuple[int, ...]] = {}
    return [
        known.get(key) or known.setdefault(key, tuple(encode_chat(tokenizer, prompt)))
        for prompt, key in ((prompt, str(prompt)) for prompt in prompts)
    ]
