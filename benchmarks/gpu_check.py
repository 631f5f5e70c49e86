"""Compare the local engine on a GPU with the CPU: completing, scoring and classifying texts, and one training step.

    python benchmarks/gpu_check.py --json gpu.json              # on the first GPU; about two minutes
    python benchmarks/gpu_check.py --device cpu --small         # the script itself, on a machine without a GPU

It makes a language model and a classifier with random weights and downloads nothing. The reference is float32 on the
CPU. Each line shows the largest difference from it and its tolerance; the exit code is 1 if one is exceeded. Speeds and
memory are shown beside them.

Tolerances: float32 sums in another order on a GPU, which changes log-probabilities by about 1e-5 and is allowed 1e-3.
bfloat16 has 8 bits of precision; log-probabilities may differ by 0.1, and scores by 0.1 of their standard deviation.
Greedy texts may part where two tokens are nearly equally probable, as they often are in a random model: half of them
must be equal in float32, and none in bfloat16.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import pstdev
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForSequenceClassification,
)

from fathom.engines import Answer, AnyRequest, ClassifyRequest, LikelihoodRequest, Request, Sampling, answer
from fathom.engines.checkpoints import resolve
from fathom.engines.local import LocalEngine

LARGE = {"hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 12, "texts": 32, "words": 120}
SMALL = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "texts": 12, "words": 20}
TOLERANCES = {
    "float32": {"likelihood": 1e-3, "verdict": 1e-3, "classification": 1e-2, "texts": 0.5},
    "bfloat16": {"likelihood": 0.1, "verdict": 0.1, "classification": 0.1, "texts": 1.0},
}
TRAINING = {"loss": 1e-4, "gradient norm": 1e-3, "loss after the step": 1e-3}


@dataclass(frozen=True)
class Line:
    """One comparison with the reference."""

    what: str
    difference: float
    tolerance: float
    tokens_per_second: float = 0.0
    gigabytes: float = 0.0

    @property
    def passed(self) -> bool:
        return self.difference <= self.tolerance

    def __str__(self) -> str:
        speed = f", {self.tokens_per_second:,.0f} tokens/s" if self.tokens_per_second else ""
        memory = f", {self.gigabytes:.2f} GB" if self.gigabytes else ""
        verdict = "ok" if self.passed else "TOO LARGE"
        return f"{self.what:<44} {self.difference:9.2e} (at most {self.tolerance:g}) {verdict}{speed}{memory}"


def models(folder: Path, size: dict[str, int]) -> tuple[str, str]:
    """Save a language model and a classifier, and return their folders."""
    tokenizer = AutoTokenizer.from_pretrained(resolve("mini"))
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=size["hidden_size"],
        intermediate_size=size["intermediate_size"],
        num_hidden_layers=size["num_hidden_layers"],
        num_attention_heads=8,
        max_position_embeddings=2048,
        initializer_range=0.02,  # as in trained models, rounding does not grow from layer to layer
        pad_token_id=tokenizer.pad_token_id,
        num_labels=1,
    )
    paths = []
    for name, kind in (("causal", LlamaForCausalLM), ("classifier", LlamaForSequenceClassification)):
        kind(config).save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)
        paths.append(str(folder / name))
    return paths[0], paths[1]


def texts(count: int, words: int) -> list[str]:
    draw = random.Random(0)
    known = [word.strip("Ġ") for word in AutoTokenizer.from_pretrained(resolve("mini")).get_vocab()]
    plain = sorted(word for word in known if word.isalpha())
    return [" ".join(draw.choices(plain, k=draw.randint(words // 4, words))) for _ in range(count)]


def answers(engine: LocalEngine, requests: Sequence[AnyRequest]) -> list[Any]:
    async def run() -> list[Answer]:
        return await asyncio.gather(*(answer(engine, each) for each in requests))

    return asyncio.run(run())


def requests(contents: Sequence[str]) -> dict[str, list[AnyRequest]]:
    prompts: list[Any] = [({"role": "user", "content": content},) for content in contents]
    return {
        "likelihood": [LikelihoodRequest(prompt, contents[0], end=True) for prompt in prompts],
        "verdict": [Request(prompt, Sampling(max_tokens=1, top_logprobs=20)) for prompt in prompts],
        "texts": [Request(prompt, Sampling(max_tokens=16)) for prompt in prompts],
        "classification": [ClassifyRequest(prompt, contents[0]) for prompt in prompts],
    }


def difference(what: str, reference: Sequence[Any], found: Sequence[Any]) -> float:
    """The largest difference in the unit of the tolerance of `what`."""
    pairs = list(zip(reference, found, strict=True))
    if what == "texts":
        return sum(one.text != other.text for one, other in pairs) / len(pairs)
    if what == "likelihood":
        return max(abs(a - b) for one, other in pairs for a, b in zip(one.logprobs, other.logprobs, strict=True))
    if what == "verdict":
        return max(_of_the_likeliest(one, other) for one, other in pairs)
    spread = pstdev([one.logits[0] for one in reference])
    return max(abs(one.logits[0] - other.logits[0]) for one, other in pairs) / spread


def _of_the_likeliest(one: Any, other: Any) -> float:
    """The difference of the log-probability of the reference's likeliest token."""
    token, logprob = one.logprobs[0].top[0]
    return abs(dict(other.logprobs[0].top).get(token, float("-inf")) - logprob)


def synchronized(device: str) -> float:
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return time.perf_counter()


def readings(paths: tuple[str, str], contents: Sequence[str], device: str, dtype: str) -> list[Line]:
    """Compare what the engine on `device` answers with the reference."""
    asked = requests(contents)
    lines = []
    for path, kinds in ((paths[0], ("likelihood", "verdict", "texts")), (paths[1], ("classification",))):
        reference, engine = (
            LocalEngine(path, device="cpu", dtype="float32"),
            LocalEngine(path, device=device, dtype=dtype),
        )
        for kind in kinds:
            expected = answers(reference, asked[kind])
            answers(engine, asked[kind][:2])  # compiles and allocates
            if device.startswith("cuda"):
                torch.cuda.reset_peak_memory_stats()
            start = synchronized(device)
            found = answers(engine, asked[kind])
            seconds = synchronized(device) - start
            tokens = sum(each.usage.tokens for each in found)
            memory = torch.cuda.max_memory_allocated() / 2**30 if device.startswith("cuda") else 0.0
            apart = difference(kind, expected, found)
            lines.append(Line(f"{kind}, {dtype}", apart, TOLERANCES[dtype][kind], tokens / seconds, memory))
            print(lines[-1], flush=True)
    return lines


def training_step(path: str, contents: Sequence[str], device: str) -> dict[str, float]:
    """The loss, the gradient's norm, and the loss after one step of AdamW on a batch, in float32."""
    model, tokenizer = (
        AutoModelForCausalLM.from_pretrained(path).to(device).train(),
        AutoTokenizer.from_pretrained(path),
    )
    batch = tokenizer(list(contents[:8]), padding=True, padding_side="right", return_tensors="pt").to(device)
    labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
    given = {name: batch[name] for name in ("input_ids", "attention_mask")}
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    loss = model(**given, labels=labels).loss
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    with torch.no_grad():
        after = model(**given, labels=labels).loss
    return {"loss": loss.item(), "gradient norm": norm.item(), "loss after the step": after.item()}


def training(path: str, contents: Sequence[str], device: str) -> list[Line]:
    reference, found = training_step(path, contents, "cpu"), training_step(path, contents, device)
    return [
        Line(f"training: {what}, relative", abs(found[what] / value - 1), TRAINING[what])
        for what, value in reference.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true", help="a tiny model and few texts")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    if given.device.startswith("cuda") and not torch.cuda.is_available():
        raise SystemExit("torch finds no GPU here; --device cpu --small tries the script itself")
    torch.backends.cuda.matmul.allow_tf32 = False  # TF32 has the precision of 10 bits
    size = SMALL if given.small else LARGE
    name = torch.cuda.get_device_name() if given.device.startswith("cuda") else "CPU"
    print(f"{name}, torch {torch.__version__}")
    with tempfile.TemporaryDirectory() as folder:
        paths, contents = models(Path(folder), size), texts(size["texts"], size["words"])
        lines = [line for dtype in TOLERANCES for line in readings(paths, contents, given.device, dtype)]
        trained = training(paths[0], contents, given.device)
    print(*trained, sep="\n")
    lines += trained
    if given.json:
        rows = [asdict(line) | {"passed": line.passed} for line in lines]
        given.json.write_text(json.dumps({"device": name, "torch": torch.__version__, "lines": rows}, indent=1) + "\n")
    raise SystemExit(int(not all(line.passed for line in lines)))


if __name__ == "__main__":
    main()
