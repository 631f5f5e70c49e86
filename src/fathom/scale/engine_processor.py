"""Completes the prompts of a judge by an engine processor of `ray.data.llm`: vLLM or SGLang on the GPUs of Ray.

    requests = ray.data.from_items(list(request_rows(model, comparisons, engine.identity)))
    for row in completed(requests, vLLMEngineProcessorConfig(model_source="Qwen/Qwen3-32B")).iter_rows(): ...

The rows are those of a journal: written as segments of a shard (`fathom.scale.segments.encode`), they answer all calls
of a run whose engine has that identity. Only calls that do not depend on answers can be planned, so adaptive votes and
readings are refused. This path is tested with a stand-in of the same signature, and was not run on a GPU.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from fathom.data.records import Comparison
from fathom.engines import Completion, Request, Sampling
from fathom.engines.cache import encode_completion, request_key, request_text
from fathom.engines.dialect import seed_of
from fathom.engines.usage import Usage
from fathom.errors import FathomError, require
from fathom.judges import RewardModel

ERROR = "__inference_error__"
"""The column in which `ray.data.llm` (2.60) reports the error of a row, if its config continues after errors."""


def request_rows(model: RewardModel, comparisons: Iterable[Comparison], identity: str) -> Iterator[dict[str, str]]:
    """The distinct calls that a reward model plans, as `key` and `request` of journal rows of an engine.

    Raises FathomError for a reward model that asks for readings of given texts.
    """
    seen = set()
    for comparison in comparisons:
        for ask in model.plan(comparison):
            for request in ask.requests if ask.vote is None else ():
                if not isinstance(request, Request) or request.prefix:
                    raise FathomError(
                        "an engine processor only completes prompts; this judge reads or continues given texts, so use "
                        "--engine vllm or a server"
                    )
                key = request_key(identity, request)
                if key not in seen:
                    seen.add(key)
                    yield {"key": key, "request": request_text(identity, request)}


def completed(requests: Any, config: Any, build: Callable[..., Any] | None = None) -> Any:
    """A Ray dataset of journal rows (`key`, `request`, `completion`) from one of `request_rows`.

    `config`: a ProcessorConfig of `ray.data.llm` for text. `build` replaces its `build_processor`. Rows that failed
    have no place in a journal and are left out, so that they are tried again.
    """
    build = build or require("ray.data.llm", "ray").build_processor
    results = build(config, preprocess=_prompt, postprocess=_row)(requests)
    return results.filter(_succeeded).select_columns(["key", "request", "completion"])


def _prompt(row: Mapping[str, Any]) -> dict[str, Any]:
    request = json.loads(row["request"])
    sampling = Sampling(**request["sampling"])
    parameters = {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "max_tokens": sampling.max_tokens,
        "stop": list(sampling.stop),
        "seed": seed_of(sampling, request["sample"]),
    }
    if sampling.logprobs or sampling.top_logprobs:
        raise FathomError("an engine processor gives no log-probabilities here; use --engine vllm or a server")
    return {
        "key": row["key"],
        "request": row["request"],
        "messages": request["messages"],
        "sampling_params": parameters,
    }


def _row(row: Mapping[str, Any]) -> dict[str, Any]:
    """A journal row. The processor does not say why a text ended, so one of the maximum length counts as truncated."""
    most = json.loads(row["request"])["sampling"]["max_tokens"]
    tokens = int(row["num_generated_tokens"])
    usage = Usage(int(row["num_input_tokens"]), tokens)
    completion = Completion(row["generated_text"], "length" if tokens >= most else "stop", usage)
    return {"key": row["key"], "request": row["request"], "completion": encode_completion(completion)}


def _succeeded(row: Mapping[str, Any]) -> bool:
    return not row.get(ERROR) and row.get("completion") is not None
