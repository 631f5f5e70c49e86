"""Recognizes and loads process reward models with a head: token classifiers, two-layer heads and value heads.

    kind = step_head("Qwen/Qwen2.5-Math-PRM-7B")        # "classes"; None for a language model
    loaded = load_step_model(folder, kind)              # loaded.model.score(states) are the outputs at these states

Token classifiers of `transformers` are recognized by their configuration. Two other heads are recognized by the names
of their weights: two layers with a ReLU between them (`score.0`, `score.2`: Qwen2.5-Math-PRM), and a value head
(`v_head.summary`: Skywork-o1-Open-PRM, TRL). The checkpoints' own modelling code is not run.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any, Literal

from fathom.engines.checkpoints import adapter_base, resolve_checkpoint, snapshot
from fathom.engines.heads import BACKBONE, load_on_backbone
from fathom.engines.loading import (
    Loaded,
    ModelKind,
    load,
)
from fathom.errors import FathomError

TOKEN_CLASSIFIER = ModelKind("AutoModelForTokenClassification", "token classifier")
StepHead = Literal["token_classes", "layers", "value"]


def step_head(model: str | Path) -> StepHead | None:
    """The kind of head of a process reward model; None for other models, and for hub names that are not cached."""
    folder = Path(model)
    if not folder.is_dir():
        try:
            folder = snapshot(str(model))
        except FathomError:
            return None
    if _json(folder / "adapter_config.json").get("task_type") == "TOKEN_CLS":
        return "token_classes"
    kinds = _json(folder / "config.json").get("architectures") or ()
    if any(str(kind).endswith("ForTokenClassification") for kind in kinds):
        return "token_classes"
    names = _weight_files(folder)
    return "layers" if "score.0.weight" in names else "value" if "v_head.summary.weight" in names else None


def load_step_model(
    model: str | Path, kind: StepHead, *, device: str = "auto", dtype: str = "auto", **options: Any
) -> Loaded:
    """Load a process reward model for inference: `model.score` maps states (positions, hidden) to its outputs.

    `options` are as for `loading.load`. Raises FathomError if it cannot be loaded, or if it has no trained head.
    """
    name = resolve_checkpoint(model)
    if kind == "token_classes":
        head = partial(_two_labels, Path(name))
        loaded = load(name, TOKEN_CLASSIFIER, device=device, dtype=dtype, head=head, **options)
        if loaded.missing:
            missing = ", ".join(sorted(loaded.missing))
            raise FathomError(f"{name} is not a trained token classifier: no file of it has {missing}")
        return loaded
    return _load_headed(name, kind, device=device, dtype=dtype, **options)


def _two_labels(folder: Path, tokenizer: Any) -> dict[str, Any]:
    """Options to load an adapter's base model as a token classifier; a full model's config has them already."""
    return {} if adapter_base(folder) is None else {"num_labels": 2}


def _load_headed(name: str, kind: StepHead, *, device: str, dtype: str, **options: Any) -> Loaded:
    from fathom.engines.step_model import StepModel

    folder = Path(name) if Path(name).is_dir() else snapshot(name, options.get("revision"))
    return load_on_backbone(
        name,
        ModelKind(BACKBONE.auto_class, "process reward model"),
        lambda backbone: StepModel(backbone, _head_weights(folder)),
        device=device,
        dtype=dtype,
        **options,
    )


def _head_weights(folder: Path) -> dict[str, Any]:
    from safetensors import safe_open

    names = {name: file for name, file in _weight_files(folder).items() if name.startswith(("score.", "v_head."))}
    weights = {}
    for name, path in names.items():
        with safe_open(path, "pt") as file:
            weights[name] = file.get_tensor(name)
    return weights


def _weight_files(folder: Path) -> dict[str, Path]:
    """The file of each weight in a folder of safetensors; empty for an adapter, and without such files."""
    index = _json(folder / "model.safetensors.index.json").get("weight_map")
    if index:
        return {name: folder / file for name, file in index.items()}
    path = folder / "model.safetensors"
    return dict.fromkeys(_names(path), path) if path.is_file() else {}


def _names(path: Path) -> list[str]:
    """The names of the weights in a safetensors file: 8 bytes with the header's length, then the header as JSON."""
    with path.open("rb") as file:
        header = file.read(int.from_bytes(file.read(8), "little"))
    try:
        return [name for name in json.loads(header) if name != "__metadata__"]
    except ValueError:
        return []


def _json(path: Path) -> dict[str, Any]:
    """The JSON object in a file; an empty one if there is none. A damaged file is reported when it is loaded."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
