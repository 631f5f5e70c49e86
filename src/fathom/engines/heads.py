"""Scalar reward models: a language model with a head that gives one number per output instead of text.

    Head(kind="mlp", pooling="mean")                # two layers on the mean of the final states
    loaded = load_classifier("runs/reward")         # loaded.model(input_ids=..., attention_mask=...).logits

`fathom train reward` writes these folders:

- A linear head on the last token is an ordinary sequence classifier of `transformers`, or an adapter of peft whose
  `score` layer is saved with it. Other libraries load both.
- Any other head is a folder with the ordinary backbone (`AutoModel`) and `head.safetensors`, or an adapter whose
  `score` layer is that head. Only Fathom loads these: `fathom.json` describes the head.

Not guaranteed: that a sequence classifier of the hub was trained to give rewards.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fathom.engines.checkpoints import adapter_base, resolve_checkpoint, snapshot
from fathom.engines.loading import (
    CLASSIFIER,
    Loaded,
    ModelKind,
    load,
    load_tokenizer,
    load_weights,
    on_device,
    placed,
    reason,
)
from fathom.errors import FathomError

WEIGHTS = "head.safetensors"
"""The file with the weights of a head that `transformers` does not know."""
DESCRIPTION = "fathom.json"
BACKBONE = ModelKind("AutoModel", "backbone of a reward model")
HEAD_LAYERS = {"score", "classifier"}
"""The names that `transformers` and peft give to the head."""


class Head(BaseModel):
    """What turns the final states of a text's tokens into its rewards. `fathom.json` holds it under the key `head`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["linear", "mlp", "bnrm", "gaussian"] = "linear"
    """`mlp` has two layers with a SiLU between them (BaseReward, arXiv 2509.16127, section 3). The outputs of `bnrm`
    are the contributions of non-negative factors, whose sum is the reward (`engines.bnrm`); those of `gaussian` are the
    mean and the standard deviation of the reward (`engines.gaussian`)."""
    pooling: Literal["last", "mean"] = "last"
    """The state of the last token, or the mean of the states of all tokens."""
    outputs: tuple[str, ...] = Field(default=("reward",), min_length=1)
    """The name of each number that the model gives."""

    @property
    def is_standard(self) -> bool:
        """Whether `AutoModelForSequenceClassification` is this head."""
        return self.kind == "linear" and self.pooling == "last"


def read_head(folder: Path) -> Head | None:
    """The head that `fathom.json` describes; None if there is no such file or it describes none.

    Raises FathomError for a description that cannot be read.
    """
    path = folder / DESCRIPTION
    if not path.is_file():
        return None
    try:
        described = json.loads(path.read_text(encoding="utf-8")).get("head")
        return None if described is None else Head.model_validate(described)
    except (ValueError, AttributeError, ValidationError) as error:
        raise FathomError(f"{path}: the key `head` does not describe a head: {reason(error)}") from error


def is_classifier(model: str | Path) -> bool:
    """Whether a checkpoint is a classifier: of `transformers`, with a head of its own, or an adapter of either.

    False for a name on the hub whose files are not in the cache. Raises FathomError as `read_head` does.
    """
    folder = Path(model)
    if not folder.is_dir():
        try:
            folder = snapshot(str(model))
        except FathomError:
            return False
    if read_head(folder) is not None or _config(folder / "adapter_config.json").get("task_type") == "SEQ_CLS":
        return True
    kinds = _config(folder / "config.json").get("architectures") or ()
    return any(str(kind).endswith("ForSequenceClassification") for kind in kinds)


def is_encoder(model: Any) -> bool:
    """Whether a loaded model is a sequence classifier whose head is more than one layer on the state of a token."""
    return not hasattr(model, "score") and type(model).__name__.endswith("ForSequenceClassification")


def fetch_config(model: str) -> None:
    """Download the configuration of a model on the hub, by which `is_classifier` knows its kind.

    Nothing happens if that fails: loading the model then reports why.
    """
    if Path(model).is_dir():
        return
    with suppress(Exception):
        snapshot(model)
        return
    from huggingface_hub import hf_hub_download

    for name in ("config.json", "adapter_config.json"):
        with suppress(Exception):  # no network, no such model, no such file
            hf_hub_download(model, name)


def _config(path: Path) -> dict[str, Any]:
    """The JSON object in a file; an empty one if there is none. A damaged file is reported when it is loaded."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def load_classifier(model: str | Path, *, device: str = "auto", dtype: str = "auto", **options: Any) -> Loaded:
    """Load a trained classifier for inference: `model(input_ids, attention_mask).logits` is (batch, outputs).

    `model` is a sequence classifier's folder or name on the hub, a folder of `fathom train reward`, or an adapter of
    either. `options` are as for `loading.load`. Raises FathomError if it cannot be loaded, or if no file has the
    weights of its head.
    """
    name = resolve_checkpoint(model)
    head = read_head(Path(name))
    _check_adapter(Path(name))
    if head is not None and not head.is_standard:
        return _load_headed(name, head, device=device, dtype=dtype, **options)
    loaded = load(
        name, CLASSIFIER, device=device, dtype=dtype, head=partial(_classifier_options, Path(name), head), **options
    )
    if loaded.missing:
        raise FathomError(
            f"{name} is not a trained classifier: it has no {', '.join(sorted(loaded.missing))}; expected a sequence "
            "classifier saved with its head"
        )
    return loaded


def _classifier_options(folder: Path, head: Head | None, tokenizer: Any) -> dict[str, Any]:
    """Options that make a classifier of an adapter's base model; the config of a full classifier has them already."""
    if adapter_base(folder) is None:
        return {}
    shapes = _adapter_head(folder)
    # The heads of some encoders have two layers. The last one has a row for each output, the first many more.
    options = {"num_labels": len(head.outputs) if head else min(shape[0] for shape in shapes.values())}
    if any("score" in name.split(".") for name in shapes):
        # Reads the last token before the padding. Other heads do not, and some encoders derive positions from this id.
        options["pad_token_id"] = tokenizer.pad_token_id
    return options


def _load_headed(name: str, head: Head, *, device: str, dtype: str, **options: Any) -> Loaded:
    from fathom.engines.headed import HeadedModel

    adapted = adapter_base(Path(name))

    def with_head(backbone: Any) -> Any:
        model: Any = HeadedModel(backbone, head)
        if adapted is None:
            model.load_head(Path(name))
        else:
            model.load_adapter(name)
        return model

    backbone = ModelKind(BACKBONE.auto_class, "reward model")
    return load_on_backbone(name, backbone, with_head, base=adapted, device=device, dtype=dtype, **options)


def load_on_backbone(
    name: str,
    kind: ModelKind,
    with_head: Callable[[Any], Any],
    *,
    base: str | None = None,
    device: str,
    dtype: str,
    **options: Any,
) -> Loaded:
    """Load a backbone without a head, and put on it the head that `with_head` returns it with.

    `base`: the model with the backbone's weights, by default `name`. Raises FathomError if weights are missing or
    damaged.
    """
    device, dtype = placed(device, dtype)
    try:
        backbone, report = load_weights(
            base or name, kind, dtype=dtype, use_safetensors=True, output_loading_info=True, **options
        )
        model = with_head(backbone)
    except Exception as error:  # damaged files raise errors of many libraries
        raise FathomError(f"cannot load {name} as a {kind.noun}: {reason(error)}") from error
    if missing := sorted(report["missing_keys"]):
        raise FathomError(f"{name} is not a complete {kind.noun}: no file of it has {', '.join(missing)}")
    return Loaded(on_device(model, device, name), load_tokenizer(name, **options), frozenset())


def _check_adapter(folder: Path) -> None:
    """Raise FathomError for an adapter without a head: with a new, random one it would give random scores."""
    if adapter_base(folder) is not None and not _adapter_head(folder):
        raise FathomError(
            f"{folder} is an adapter without a classification layer; expected one made by fathom train reward, or by "
            "fathom train meta"
        )


def _adapter_head(folder: Path) -> dict[str, tuple[int, ...]]:
    """The shape of each weight of the head in an adapter's file, by name."""
    from safetensors import safe_open

    with safe_open(folder / "adapter_model.safetensors", "pt") as file:
        return {
            name: tuple(file.get_slice(name).get_shape())
            for name in file.keys()  # noqa: SIM118 - not a dict
            if HEAD_LAYERS & set(name.split(".")) and "lora_" not in name
        }
