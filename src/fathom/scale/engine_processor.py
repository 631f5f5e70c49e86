"""Completes the prompts of a judge by an engine processor of `ray.data.llm`: vLLM or SGLang on the GPUs of Ray.

    config = vLLMEngineProcessorConfig(model_source="Qwen/Qwen3-32B")
    fill_journal(settings, read("pairs.jsonl"), "verdicts", config)      # the number of completions

`fathom judge --ray` with the same settings, source and folder then finds its completions in the journal. Only calls
that do not depend on answers can be planned, so adaptive votes and readings are refused. The requests of the whole
source are held in memory. This path is tested with a stand-in of the same signature, and was not run on a GPU.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from fathom.data.folders import Folder
from fathom.data.records import Comparison
from fathom.engines import Completion, Request, Sampling
from fathom.engines.cache import encode_completion, request_key, request_text
from fathom.engines.dialect import seed_of
from fathom.engines.journal import Row
from fathom.engines.usage import Usage
from fathom.errors import FathomError, require
from fathom.judges import RewardModel
from fathom.judging.session import Session
from fathom.scale.plan import pieces, shard_name
from fathom.scale.segments import SEGMENT_ROWS, encode, stored
from fathom.scale.work import JOURNAL
from fathom.settings import JudgingSettings

ERROR = "__inference_error__"
"""The column in which `ray.data.llm` (2.60) reports the error of a row, if its config continues after errors."""


def fill_journal(
    settings: JudgingSettings,
    comparisons: Iterable[Comparison],
    out: str | Path,
    config: Any,
    *,
    shard_rows: int = 1000,
) -> int:
    """Complete the calls of a run before it starts, into the journals of its shards. Returns how many succeeded.

    `config`: a ProcessorConfig of `ray.data.llm` for text. The run needs the same settings, source, `out` and
    `shard_rows`. It makes the calls that failed here. A second call completes only what the journals lack. Raises
    FathomError as `request_rows` does.
    """
    data, journal, total = require("ray.data", "ray"), Folder.at(out) / JOURNAL, 0
    requests = list(_missing(settings, comparisons, journal, shard_rows))
    if not requests:
        return 0
    for rows in pieces(completed(data.from_items(requests), config).iter_rows(), SEGMENT_ROWS):
        for shard, of_shard in groupby(sorted(rows, key=itemgetter("shard")), itemgetter("shard")):
            segment = encode(Row(row["key"], row["request"], row["completion"]) for row in of_shard)
            (journal / shard).write(f"processor-{uuid.uuid4().hex}.parquet", segment)
        total += len(rows)
    return total


def _missing(
    settings: JudgingSettings, comparisons: Iterable[Comparison], journal: Folder, shard_rows: int
) -> Iterator[dict[str, str]]:
    """The calls that the journals lack: `request_rows` with the `shard` of each."""
    with Session(settings) as session:
        for number, shard in enumerate(pieces(comparisons, shard_rows)):
            name = shard_name(number)
            known = {row.key for row in stored(journal / name)}
            for row in request_rows(session.reward_model, shard, session.cached.identity):
                if row["key"] not in known:
                    yield {"shard": name, **row}


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


def completed(requests: Any, config: Any) -> Any:
    """A Ray dataset of journal rows (`shard`, `key`, `request`, `completion`) from one of requests.

    Rows that failed have no place in a journal and are left out, so that they are tried again.
    """
    build = require("ray.data.llm", "ray").build_processor
    results = build(config, preprocess=_prompt, postprocess=_row)(requests)
    return results.filter(_succeeded).select_columns(["shard", "key", "request", "completion"])


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
        **{name: row[name] for name in ("shard", "key", "request")},
        "messages": request["messages"],
        "sampling_params": parameters,
    }


def _row(row: Mapping[str, Any]) -> dict[str, Any]:
    """A journal row. The processor does not say why a text ended, so one of the maximum length counts as truncated."""
    most = json.loads(row["request"])["sampling"]["max_tokens"]
    tokens = int(row["num_generated_tokens"])
    usage = Usage(int(row["num_input_tokens"]), tokens)
    completion = Completion(row["generated_text"], "length" if tokens >= most else "stop", usage)
    return {**{name: row[name] for name in ("shard", "key", "request")}, "completion": encode_completion(completion)}


def _succeeded(row: Mapping[str, Any]) -> bool:
    return not row.get(ERROR) and row.get("completion") is not None
