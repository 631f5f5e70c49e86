"""Models of the `transformers` library in this process: loaded with their tokenizers, on a device, in a precision.

loaded = load("Qwen/Qwen3-8B", CAUSAL)          # loaded.model, loaded.tokenizer
placed("auto", "auto")                          # ("cpu", "float32") without a GPU, ("cuda", "auto") with one
"""

from __future__ import annotations

import sys
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
    """Weights that are in no file of the checkpoint, and were drawn at random."""


def load(
    name: str,
    kind: ModelKind,
    *,
    device: str = "auto",
    dtype: str = "auto",
    head: Callable[[Any], Mapping[str, Any]] = lambda tokenizer: {},
    **options: Any,
) -> Loaded:
    """The model for inference, and its tokenizer. Weights are read from safetensors only.

    `head` says of the tokenizer what else the model's config needs; `options` go to both (`revision`,
    `trust_remote_code`). Raises FathomError for a checkpoint that cannot be loaded or does not fit the device.
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
    except Exception as error:  # damaged files raise whatever the library that reads them likes
        raise FathomError(f"cannot load {name} as a {kind.noun}: {reason(error)}") from error
    return Loaded(on_device(model, device, name), tokenizer, frozenset(report["missing_keys"]))


def load_weights(name: str, kind: ModelKind, **options: Any) -> Any:
    """What the library's class for this kind returns, on the CPU."""
    return getattr(require("transformers", "local"), kind.auto_class).from_pretrained(name, **options)


def load_tokenizer(name: str, **options: Any) -> Any:
    """Raises FathomError where it cannot be had."""
    transformers = require("transformers", "local")
    try:
        return transformers.AutoTokenizer.from_pretrained(name, **options)
    except Exception as error:
        where = "" if Path(name).is_dir() else ", which is no folder here"
        raise FathomError(f"cannot load the tokenizer of {name}{where}: {reason(error)}") from error


def placed(device: str, dtype: str) -> tuple[str, str]:
    """The device and the precision to load with: `auto` is the first GPU where there is one, else float32 on the CPU.

    On a GPU the precision `auto` stays: it is the checkpoint's own. Raises FathomError for a device that is not there,
    and for what is no precision of floating-point numbers.
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


def _check_device(torch: Any, device: str) -> None:
    try:
        wanted = torch.device(device)
    except (RuntimeError, ValueError):
        raise FathomError(f"--device {device}: expected auto, cpu, cuda, cuda:1, or another device of torch") from None
    if wanted.type == "meta":
        raise FathomError(f"--device {device}: it holds no numbers; expected auto, cpu or cuda")
    if wanted.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (wanted.index or 0) >= count:
            there = f"{count} GPUs, numbered from 0" if count else "no GPU"
            raise FathomError(f"--device {device}: torch finds {there} here; expected auto, or cpu")
    elif wanted.type == "mps" and not torch.backends.mps.is_available():
        raise FathomError(f"--device {device}: torch finds no Apple GPU here; expected auto, or cpu")


def on_device(model: Any, device: str, name: str) -> Any:
    """The model there, ready to be used. Raises FathomError where it does not fit."""
    torch = require("torch", "local")
    try:
        return model.to(device).eval()
    except torch.OutOfMemoryError:
        raise FathomError(
            f"{name} does not fit into the memory of {device}; give --dtype bfloat16, or --device cpu"
        ) from None
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # a device that this torch was not built for
        raise FathomError(f"--device {device}: {reason(error)}; expected auto, cpu or cuda") from error


def reason(error: Exception) -> str:
    """What went wrong, in a line; with the kind of error where its text alone may not say it."""
    text = str(error).partition("\n")[0]
    return text if isinstance(error, OSError | ValueError) and text else f"{type(error).__name__}: {text}"
