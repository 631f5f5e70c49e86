"""Scores of steps by a server with STEP pooling (vLLM): those of the local engine, never those of other tokens."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer

import prm
from fathom import Comparison, LocalEngine, Status, Vote
from fathom.engines.reading_server import ReadingServer
from fathom.errors import FathomError
from fathom.process.conventions import find
from fathom.rewards.process import ProcessRewardModel
from prm import PROBLEM, STEPS, TAG
from serving import Call, Reply, serving

Answer = Callable[[Call], Reply]


def reply(pairs: Any, call: Call, *, unread: int = 0) -> Reply:
    """The body of vLLM's documentation of PoolingResponse, of a server that does not read the last tokens."""
    data = {"index": 0, "object": "pooling", "data": pairs}
    usage = {"prompt_tokens": len(call.fields["input"]) - unread}
    body = {"id": "pool-1", "object": "list", "created": 1, "model": "m", "data": [data], "usage": usage}
    return Reply(body=json.dumps(body).encode())


def step_pooling(family: str, folder: Path) -> Answer:
    """vLLM's STEP pooling: a softmax at every token with the id of the separator."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    if family == "math_shepherd":
        model = AutoModelForCausalLM.from_pretrained(folder).eval()
        tag, candidates = tokenizer.encode(TAG)[-1], [tokenizer.encode(sign)[-1] for sign in "+-"]
    else:
        model = AutoModel.from_pretrained(folder).eval()
        tag, weights = tokenizer.convert_tokens_to_ids("<extra_0>"), load_file(folder / "model.safetensors")

    @torch.no_grad()
    def answer(call: Call) -> Reply:
        assert (call.path, call.fields["task"]) == ("/pooling", "token_classify")
        ids = torch.tensor([call.fields["input"]])
        if family == "math_shepherd":
            logits = model(ids).logits[0][:, candidates]
        else:
            inner = model(ids).last_hidden_state[0] @ weights["score.0.weight"].T + weights["score.0.bias"]
            logits = inner.relu() @ weights["score.2.weight"].T + weights["score.2.bias"]
        return reply(logits.softmax(-1)[ids[0] == tag].tolist(), call)

    return answer


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {name: prm.CHECKPOINTS[name](tmp_path_factory.mktemp(name)) for name in ("math_shepherd", "qwen_math")}


def vote(family: str, answer: Answer, folder: Path, steps: Sequence[str] = STEPS) -> Vote:
    item = Comparison(prompt=PROBLEM, responses=("\n\n".join(steps),), steps=(tuple(steps),))

    async def run() -> Vote:
        async with serving(answer) as server:
            engine = ReadingServer("m", base_url=server.url, protocol="vllm_steps", tokenizer=folder, retries=0)
            try:
                (found,) = await ProcessRewardModel(family=family, engine=engine).votes(item)
            finally:
                await engine.close()
        return found

    return asyncio.run(run())


def local(family: str, folder: Path, steps: Sequence[str]) -> Any:
    item = Comparison(prompt=PROBLEM, responses=("\n\n".join(steps),), steps=(tuple(steps),))
    (found,) = asyncio.run(ProcessRewardModel(family=family, engine=LocalEngine(folder)).votes(item))
    return found.step_scores


@pytest.mark.parametrize("family", ["math_shepherd", "qwen_math"])
@pytest.mark.parametrize("steps", [STEPS, ("8.",), ("2 * 4 = 8", f"a {TAG} b {TAG}", "So <extra_0> 8.")])
def test_the_scores_are_those_of_the_local_engine_also_of_steps_with_separators(
    family: str, steps: Sequence[str], folders: dict[str, Path]
) -> None:
    found = vote(family, step_pooling(family, folders[family]), folders[family], steps)
    assert found.status is Status.OK, found.error
    assert found.step_scores is not None
    assert found.step_scores[0] == pytest.approx(local(family, folders[family], steps)[0], abs=1e-4)


PAIR = [0.25, 0.75]


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ([PAIR] * 2, "2 pairs for 3 separators; the server needs their step_tag_id"),
        ([], "0 pairs for 3 separators"),
        ([PAIR, PAIR, [0.5]], "expected two probabilities"),
        ([PAIR, PAIR, [2.5, -1.5]], "expected two probabilities"),
        ([PAIR, PAIR, [1.5, 3.0]], "expected two probabilities"),
        ([PAIR, PAIR, ["high", "low"]], "expected a number"),
        (None, "the answer is not that of vllm_steps"),
    ],
)
def test_an_answer_that_is_not_one_pair_of_probabilities_per_separator_is_no_score(
    pairs: Any, message: str, folders: dict[str, Path]
) -> None:
    found = vote("qwen_math", lambda call: reply(pairs, call), folders["qwen_math"])
    assert (found.status, found.step_scores, found.scores) == (Status.FAILED, None, None)
    assert message in str(found.error)


def test_a_server_that_read_other_tokens_than_were_sent_gives_no_score(folders: dict[str, Path]) -> None:
    found = vote("qwen_math", lambda call: reply([PAIR] * 3, call, unread=1), folders["qwen_math"])
    assert (found.status, found.step_scores) == (Status.FAILED, None)
    assert "tokens were sent to vllm_steps, and the server read" in str(found.error)


@pytest.mark.parametrize(("family", "what"), [("rlhflow", "the token before it"), ("skywork", "a value")])
def test_a_family_that_step_pooling_does_not_serve_is_refused(family: str, what: str, folders: dict[str, Path]) -> None:
    assert find(family).convention.read == "before" or find(family).convention.head == "value"
    with pytest.raises(FathomError, match=f"gives two probabilities at a separator; this family reads {what}"):
        vote(family, lambda call: reply([], call), folders["qwen_math"])
