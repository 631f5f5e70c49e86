"""A model behind the documented HTTP schemas of vLLM, SGLang and OpenAI for readings, with faults on demand.

    async with serving(Scoring(folder)) as server:            # tests/serving.py
        ReadingServer("m", base_url=server.url, protocol="vllm_classify")

The bodies are constructed from the documentation that `fathom.engines.reading_server.PROTOCOLS` names.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from serving import Call, Reply

Fault = Literal["sigmoid", "doubled begin token", "half precision", "another template", "truncation"]


class Scoring:
    """Answers calls with the numbers of plain `transformers`, distorted by `fault`."""

    def __init__(self, folder: Path, fault: Fault | None = None, *, keeps: int = 40) -> None:
        self.folder = folder
        self.fault = fault
        self.keeps = keeps
        self.tokenizer = AutoTokenizer.from_pretrained(folder)

    def __call__(self, call: Call) -> Reply:
        fields = call.fields
        answers = {
            "/classify": self.sglang_classify if "input_ids" in fields else self.vllm_classify,
            "/pooling": self.pooling,
            "/generative_scoring": self.generative_scoring,
            "/v1/score": self.score,
            "/v1/completions": self.completions,
        }
        if call.path not in answers:
            return Reply(404, b'{"error": {"message": "Not Found"}}')
        return Reply(body=json.dumps(answers[call.path](fields)).encode())

    def _load(self, kind: Any) -> Any:
        model = kind.from_pretrained(self.folder).eval()
        return model.to(torch.bfloat16) if self.fault == "half precision" else model

    @cached_property
    def classifier(self) -> Any:
        return self._load(AutoModelForSequenceClassification)

    @cached_property
    def causal(self) -> Any:
        return self._load(AutoModelForCausalLM)

    def distorted(self, tokens: list[int]) -> list[int]:
        if self.fault == "doubled begin token":
            return [self.tokenizer.bos_token_id, *tokens]
        return tokens[: self.keeps] if self.fault == "truncation" else tokens

    def _conversation(self, messages: list[dict[str, str]]) -> list[int]:
        if self.fault == "another template":
            text = "".join(f"{each['role']}: {each['content']}\n" for each in messages)
            return list(self.tokenizer.encode(text))
        return list(self.tokenizer.apply_chat_template(messages, tokenize=True, return_dict=False))

    def outputs(self, tokens: list[int], *, activation: bool) -> tuple[list[float], int]:
        tokens = self.distorted(tokens)
        with torch.no_grad():
            logits = self.classifier(torch.tensor([tokens])).logits[0].float()
        if activation or self.fault == "sigmoid":
            logits = logits.sigmoid() if len(logits) == 1 else logits.softmax(-1)
        return logits.tolist(), len(tokens)

    def logprobs(self, tokens: list[int]) -> torch.Tensor:
        """(tokens, vocabulary): row k is the distribution of token k + 1."""
        with torch.no_grad():
            logprobs: torch.Tensor = self.causal(torch.tensor([tokens])).logits[0].float().log_softmax(-1)
        return logprobs

    # vLLM -------------------------------------------------------------------------------------------------------------

    def vllm_classify(self, fields: Mapping[str, Any]) -> Any:
        outputs, tokens = self.outputs(
            self._conversation(fields["messages"]), activation=fields.get("use_activation", True)
        )
        data = {"index": 0, "label": "LABEL_0", "probs": outputs, "num_classes": len(outputs)}
        return {
            "id": "classify-1",
            "object": "list",
            "created": 1,
            "model": "m",
            "data": [data],
            "usage": usage(tokens),
        }

    def pooling(self, fields: Mapping[str, Any]) -> Any:
        assert fields["task"] == "classify"
        outputs, tokens = self.outputs(
            self._conversation(fields["messages"]), activation=fields.get("use_activation", True)
        )
        data = {"index": 0, "object": "pooling", "data": outputs}
        return {"id": "pool-1", "object": "list", "created": 1, "model": "m", "data": [data], "usage": usage(tokens)}

    def generative_scoring(self, fields: Mapping[str, Any]) -> Any:
        scores, tokens = self.labels(fields)
        data = [{"index": k, "object": "score", "score": score[0]} for k, score in enumerate(scores)]
        return {"id": "s-1", "object": "list", "created": 1, "model": "m", "data": data, "usage": usage(tokens)}

    # SGLang -----------------------------------------------------------------------------------------------------------

    def sglang_classify(self, fields: Mapping[str, Any]) -> Any:
        outputs, tokens = self.outputs(fields["input_ids"], activation=False)
        return {"embedding": outputs, "meta_info": {"id": "1", "prompt_tokens": tokens}}

    def score(self, fields: Mapping[str, Any]) -> Any:
        scores, tokens = self.labels(fields)
        return {"scores": scores, "model": "m", "usage": usage(tokens), "object": "scoring"}

    def labels(self, fields: Mapping[str, Any]) -> tuple[list[list[float]], int]:
        assert fields["item_first"] is False
        scores, tokens = [], 0
        for item in fields["items"]:
            prompt = self.distorted([*fields["query"], *item])
            tokens += len(prompt)
            chosen = self.logprobs(prompt)[-1][fields["label_token_ids"]]
            scores.append((chosen.softmax(-1) if fields["apply_softmax"] else chosen.exp()).tolist())
        return scores, tokens

    # OpenAI's completions ---------------------------------------------------------------------------------------------

    def completions(self, fields: Mapping[str, Any]) -> Any:
        prompt = self.distorted(fields["prompt"])
        rows = self.logprobs(prompt)
        likely = [None, *(rows[k, token].item() for k, token in enumerate(prompt[1:]))]
        choice: dict[str, Any] = {"index": 0, "text": "", "finish_reason": "length", "logprobs": None}
        if "prompt_logprobs" in fields:
            choice["prompt_logprobs"] = [
                None if value is None else {str(token): {"logprob": value, "rank": 1, "decoded_token": ""}}
                for token, value in zip(prompt, likely, strict=True)
            ]
        if fields.get("echo"):
            best = rows[-1].max().item()  # of the token that was generated
            choice["logprobs"] = {"token_logprobs": [*likely, best], "tokens": [], "text_offset": []}
        return {"id": "cmpl-1", "object": "text_completion", "choices": [choice], "usage": usage(len(prompt))}


def usage(tokens: int) -> dict[str, int]:
    return {"prompt_tokens": tokens, "completion_tokens": 0, "total_tokens": tokens}
