"""Loads models of the `transformers` library and their tokenizers, on a given device and in a given precision.

loaded = load("Qwen/Qwen3-8B", CAUSAL)          # loaded.model, loaded.tokenizer
placed("auto", "auto")                          # ("cpu", "float32") without a GPU, ("cuda", "auto") with one
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from fathom.errors import FathomError, require


class ModelKind(NamedTuple):
    auto_class: str
    """The class of `transformers` that loads it."""
    noun: str


CAUSAL = ModelKind("AutoModelForCausalLM", "causal language model")
CLASSIFIER = ModelKind("AutoModelForSequenceClassification", "sequence classifier")

DTYPES = ("float32", "bfloat16", "float16", "float64")


class Loaded(NamedTuple):
    model: Any
    tokenizer: Any
    missing: frozenset[str]
    """Weights that the checkpoint lacks, so they were initialized at random."""


def load(
    name: str,
    kind: ModelKind,
    *,
    device: str = "auto",
    dtype: str = "auto",
    head: Callable[[Any], Mapping[str, Any]] = lambda tokenizer: {},
    **options: Any,
) -> Loaded:
    """Load a model for inference, and its tokenizer. Weights are read from safetensors only.

    `head` maps the tokenizer to further options of the model's config; `options` are passed to both (`revision`,
    `trust_remote_code`). Raises FathomError for a checkpoint that cannot be loaded or does not fit on the device.
    """
    transformers = require("transformers", "local")
    device, dtype = placed(device, dtype)
    if not sys.stderr.isatty():
        transformers.utils.logging.disable_progress_bar()
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(name, **options)
        model, report = load_weights(
            name, kind, dtype=dtype, use_safetensors=True, output_loading_info=True, **head(tokenizer), **options
        )
    except Exception as error:  # damaged files raise errors of many libraries
        raise FathomError(f"cannot load {name} as a {kind.noun}: {reason(error)}") from error
    return Loaded(on_device(model, device, name), tokenizer, frozenset(report["missing_keys"]))


def load_weights(name: str, kind: ModelKind, **options: Any) -> Any:
    """Load the weights of a model of this kind, on the CPU."""
    return getattr(require("transformers", "local"), kind.auto_class).from_pretrained(name, **options)


def load_tokenizer(name: str, **options: Any) -> Any:
    """Load a tokenizer. Raises FathomError if that fails."""
    transformers = require("transformers", "local")
    try:
        return transformers.AutoTokenizer.from_pretrained(name, **options)
    except Exception as error:
        where = "" if Path(name).is_dir() else ", which is not a local folder"
        raise FathomError(f"cannot load the tokenizer of {name}{where}: {reason(error)}") from error


def placed(device: str, dtype: str) -> tuple[str, str]:
    """Resolve the device and the precision: `auto` is the first GPU if there is one, else the CPU with float32.

    On a GPU the precision `auto` is kept, and means the checkpoint's own. Raises FathomError for a missing device, and
    for a precision that is not a floating-point type of torch.
    """
    torch = require("torch", "local")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    _check_device(torch, device)
    if dtype == "auto":
        return device, "float32" if device == "cpu" else "auto"
    kind = getattr(torch, dtype, None)
    if not isinstance(kind, torch.dtype) or not kind.is_floating_point:
        raise FathomError(f"--dtype {dtype}: expected auto, {', '.join(DTYPES)}")
    return device, dtype


def fastest_dtype(device: str, seconds: float = 1.0) -> str:
    """ "bfloat16" or "float32", whichever multiplies matrices faster on this device.

    Most GPUs and CPUs with AMX or AVX512_BF16 are faster with bfloat16; other CPUs emulate it. Takes about twice
    `seconds`. The best of several products counts, because other processes only ever make one slower.
    """
    return min(("bfloat16", "float32"), key=lambda dtype: _product_seconds(device, dtype, seconds))


def _product_seconds(device: str, dtype: str, seconds: float) -> float:
    """The shortest time of a product of the size of a small model's layer."""
    torch = require("torch", "local")
    left, right = (torch.ones(shape, device=device, dtype=getattr(torch, dtype)) for shape in ((512, 576), (576, 1536)))
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        started = time.perf_counter()
        (left @ right)[0, 0].item()  # waits for the device
        best = min(best, time.perf_counter() - started)
    return best


def _check_device(torch: Any, device: str) -> None:
    try:
        wanted = torch.device(device)
    except (RuntimeError, ValueError):
        raise FathomError(f"--device {device}: expected auto, cpu, cuda, cuda:1, or another device of torch") from None
    if wanted.type == "meta":
        raise FathomError(f"--device {device}: tensors on it have no data; expected auto, cpu or cuda")
    if wanted.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (wanted.index or 0) >= count:
            available = f"{count} GPUs, numbered from 0" if count else "no GPU"
            raise FathomError(f"--device {device}: torch finds {available} here; expected auto, or cpu")
    elif wanted.type == "mps" and not torch.backends.mps.is_available():
        raise FathomError(f"--device {device}: torch finds no Apple GPU here; expected auto, or cpu")


def on_device(model: Any, device: str, name: str) -> Any:
    """Move a model to a device and into evaluation mode. Raises FathomError if it does not fit."""
    torch = require("torch", "local")
    try:
        return model.to(device).eval()
    except torch.OutOfMemoryError:
        raise FathomError(
            f"{name} does not fit into the memory of {device}; give --dtype bfloat16, or --device cpu"
        ) from None
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # torch was built without this device
        raise FathomError(f"--device {device}: {reason(error)}; expected auto, cpu or cuda") from error


def reason(error: Exception) -> str:
    """An error in one line, with its type unless the text alone is clear."""
    text = str(error).partition("\n")[0]
    return text if isinstance(error, OSError | ValueError) and text else f"{type(error).__name__}: {text}"


def context_length(config: Any, tokenizer: Any) -> int:
    """The maximum number of tokens of a text, by a model's configuration and tokenizer; 2**31 if it has no limit."""
    positions: int = getattr(config.get_text_config(), "max_position_embeddings", None) or 2**31
    # Some encoders, such as RoBERTa, have more positions than a text may use; their tokenizers state the limit.
    return min(positions, tokenizer.model_max_length) if tokenizer.sep_token else positions
