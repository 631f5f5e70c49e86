"""What a frozen language model computes at the steps of solutions, in one pass a solution, kept in files.

    compute(solutions, engine, layer, folder)           # resumes; may run in two processes
    read = load(folder, len(solutions))                 # one `StepReadings` per solution

The features are those of `--judge uheads`, which reads each step apart and so can share nothing between judges. Beside
them are the entropies of the next token, which no engine reports.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import load_file, save
from torch import Tensor

from fathom.data.atomic import atomic_write
from fathom.data.records import Comparison
from fathom.data.steps import parts_of
from fathom.engines import Likelihood, LikelihoodRequest, States
from fathom.engines.chat import encode_given
from fathom.engines.forward import Forward, Passage
from fathom.engines.local import LocalEngine
from fathom.rewards import conversation
from fathom.rewards.implicit import token_steps
from fathom.rewards.uheads import step_features

CHUNK = 16
"""Solutions per file."""


class StepReadings(NamedTuple):
    features: Tensor
    """(steps, width + 3): the state at the end of a step, and statistics of its log-probabilities."""
    entropies: Tensor
    """(steps,): the mean entropy of the next token within a step, in nats."""


def compute(
    solutions: Sequence[Comparison], engine: LocalEngine, layer: int, folder: Path, *, backwards: bool = False
) -> None:
    """Write the readings of each chunk of solutions, unless they are there already.

    Two processes share the work if one of them goes backwards: each skips what the other has finished.
    """
    folder.mkdir(parents=True, exist_ok=True)
    forward = Forward(engine.model, max_batch_tokens=2**11)
    chunks = range((len(solutions) + CHUNK - 1) // CHUNK)
    for chunk in reversed(chunks) if backwards else chunks:
        if not (path := _path(folder, chunk)).exists():
            begun = time.process_time()
            found = readings(solutions[chunk * CHUNK : (chunk + 1) * CHUNK], engine, forward, layer)
            tensors = {
                "features": torch.cat([each.features for each in found]),
                "entropies": torch.cat([each.entropies for each in found]),
                "steps": torch.tensor([len(each.entropies) for each in found]),
                "seconds": torch.tensor(time.process_time() - begun),
            }
            with atomic_write(path) as sink:
                sink.write(save(tensors))


def load(folder: Path, count: int) -> list[StepReadings]:
    """The readings of `count` solutions, in their order."""
    found: list[StepReadings] = []
    for tensors in _chunks(folder, count):
        sizes = tensors["steps"].tolist()
        parts = zip(*(torch.split(tensors[name], sizes) for name in ("features", "entropies")), strict=True)
        found += [StepReadings(*part) for part in parts]
    return found


def seconds(folder: Path, count: int) -> float:
    """The CPU seconds that the readings took."""
    return sum(float(tensors["seconds"]) for tensors in _chunks(folder, count))


def is_complete(folder: Path, count: int) -> bool:
    """Whether the readings of `count` solutions are there."""
    return all(_path(folder, chunk).exists() for chunk in range((count + CHUNK - 1) // CHUNK))


def _chunks(folder: Path, count: int) -> list[dict[str, Tensor]]:
    return [load_file(_path(folder, chunk)) for chunk in range((count + CHUNK - 1) // CHUNK)]


def _path(folder: Path, chunk: int) -> Path:
    return folder / f"steps-{chunk:03}.safetensors"


# One pass -------------------------------------------------------------------------------------------------------------


def readings(solutions: Sequence[Comparison], engine: LocalEngine, forward: Forward, layer: int) -> list[StepReadings]:
    """The readings of solutions with their own steps, batched by length."""
    texts = [parts_of(each, "paragraphs") for each in solutions]
    given = [
        encode_given(engine.tokenizer, LikelihoodRequest(conversation(each), "".join(steps)))
        for each, steps in zip(solutions, texts, strict=True)
    ]
    passages = [
        Passage((*prompt, *answer), range(len(prompt) - 1, len(prompt) + len(answer))) for prompt, answer in given
    ]
    found: dict[int, StepReadings] = {}
    for places, states in forward.states(passages, (layer, -1)):
        ends = [0, *torch.tensor([len(passages[place].positions) for place in places]).cumsum(0).tolist()]
        for place, (begin, end) in zip(places, pairwise(ends), strict=True):
            of_layer, last = states[:, begin:end]
            found[place] = _reading(engine, forward, texts[place], given[place][1], of_layer.float(), last)
    return [found[place] for place in range(len(solutions))]


def _reading(
    engine: LocalEngine, forward: Forward, steps: Sequence[str], answer: Sequence[int], states: Tensor, last: Tensor
) -> StepReadings:
    """From the states at the token before the answer and at each of its tokens."""
    tokens = tuple(engine.tokenizer.batch_decode([[token] for token in answer]))
    logprobs, entropies = _token_statistics(forward, last[:-1], torch.tensor(answer))
    places = token_steps(tokens, steps)
    # The last token of a step that is not white space; the state after token k of the answer is at position k + 1.
    ends = {step: k + 1 for k, step in enumerate(places) if tokens[k].strip()}
    vectors = [States((tuple(states[ends[step]].tolist()),)) for step in range(len(steps))]
    features = step_features([*vectors, Likelihood(tokens, tuple(logprobs.tolist()))], steps)
    of_step = torch.tensor(places)
    means = [entropies[of_step == step].mean() for step in range(len(steps))]
    return StepReadings(torch.tensor(features), torch.stack(means))


@torch.inference_mode()
def _token_statistics(forward: Forward, states: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """The log-probability of each target, and the entropy of the distribution that it was drawn from, in nats."""
    logprobs, entropies = [], []
    for span, logits in forward.chunks(states):
        likely = logits.log_softmax(-1)
        logprobs.append(likely.gather(-1, targets[span, None])[:, 0])
        entropies.append(-(likely.exp() * likely).sum(-1))
    return torch.cat(logprobs), torch.cat(entropies)
