"""Merges checkpoints of one base model: every weight of the result is a weighted mean of theirs.

    merge(["runs/reward", "maths-7b"], [0.4], Path("runs/merged"))      # 0.6 reward + 0.4 maths

With a reward model first and a language model second, this is DogeRM (arXiv 2407.01470, section 3): the language model
brings knowledge of its domain into the backbone, and the head for rewards stays as it is.

- The first model has the share 1 - sum(weights), so the weight 0 gives the first model and 1 the second, bit for bit.
- The result has the kind, the head, the tokenizer and `fathom.json` of the first model. If all models are of one kind
  with the same outputs, their heads are merged too, as in WARM (arXiv 2401.12187).
- Rows of embeddings are merged if both tokenizers have the token, wherever it stands in each. All other tokens of the
  first model keep their row. The paper also appends tokens that only the language model has; here they are left out,
  because the reward model was never trained on them.
- Embeddings that are also the output layer of one language model are merged with both layers of another, if that one is
  the first. The other way round, the result would have no place for the second layer, and the models are refused.

Not guaranteed: that the merged model is better than its parts. Choose the weight on held-out comparisons.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from fathom.engines.checkpoints import adapter_base, resolve_checkpoint
from fathom.engines.heads import DESCRIPTION, is_classifier, load_classifier
from fathom.engines.loading import CAUSAL, ModelKind, load
from fathom.errors import FathomError, require

if TYPE_CHECKING:
    from torch import Tensor

KINDS = {
    "ForCausalLM": CAUSAL,
    "ForMaskedLM": ModelKind("AutoModelForMaskedLM", "masked language model"),
    "ForTokenClassification": ModelKind("AutoModelForTokenClassification", "token classifier"),
}
"""The kind of a model by the end of its architecture's name; `heads` knows the kinds of sequence classifiers."""

LEAST_SIMILARITY = 0.5
"""The least cosine of two models' weights. Fine-tuning moves weights little, so models of one base have almost 1.
Models that were initialized apart have almost 0, and so has every mean of their layers with what either computes."""


class Part(NamedTuple):
    """A model to be merged."""

    name: str
    model: Any
    vocabulary: Mapping[str, int]
    """The id of each token."""


def merge(models: Sequence[str], weights: Sequence[float], output: Path) -> Path:
    """Merge two or more checkpoints, and return the folder of the merged one.

    `weights`: one for each model after the first. Raises FathomError for weights out of range, models that cannot be
    loaded, and models of different bases.
    """
    check_weights(len(models), weights)
    first, tokenizer = _loaded(models[0])
    others = [_loaded(model)[0] for model in models[1:]]
    for other in others:
        check_same_base(first, other)
    merge_into(first, others, weights)
    output.mkdir(parents=True, exist_ok=True)
    first.model.save_pretrained(output)
    tokenizer.save_pretrained(output)
    described = Path(resolve_checkpoint(models[0])) / DESCRIPTION
    if described.is_file():
        shutil.copyfile(described, output / DESCRIPTION)
    return output


def check_weights(count: int, weights: Sequence[float]) -> None:
    """Raise FathomError unless there is one weight for each model after the first, from 0 to 1 together."""
    if count < 2:
        raise FathomError(f"got {count} model; expected two or more to merge")
    if len(weights) != count - 1:
        raise FathomError(
            f"got {len(weights)} weights for {count} models; expected one for each model after the first, which has "
            "the rest"
        )
    if not all(isfinite(weight) and weight >= 0 for weight in weights) or sum(weights) > 1:
        listed = ", ".join(f"{weight:g}" for weight in weights)
        raise FathomError(f"weights {listed}: expected numbers from 0 to 1 with a sum of at most 1")


def merge_into(first: Part, others: Sequence[Part], weights: Sequence[float]) -> None:
    """Replace the weights of `first` by the merged ones.

    It does not check that the models have one base (`check_same_base`). Raises FathomError for tensors that do not fit.
    """
    import torch

    _widen(first.model, [other.model for other in others])
    kept, layouts = _tensors(first.model), [_every_name(other.model) for other in others]
    heads = all(_same_head(first.model, other.model) for other in others)
    if heads and _is_tied(first.model):
        _refuse_output_layers(first, others)
    vocabulary, done = set(_vocabulary_names(first.model)), set[int]()
    with torch.no_grad():
        for name, tensor in kept.items():
            if tensor.data_ptr() in done or not tensor.is_floating_point():  # an output layer may be the embeddings
                continue
            if name.startswith(HEAD) and not heads:
                continue
            found = [_matching(name, layout, other) for layout, other in zip(layouts, others, strict=True)]
            if name in vocabulary:
                pairs = zip(found, others, strict=True)
                found = [_aligned(tensor, rows, first.vocabulary, other.vocabulary) for rows, other in pairs]
            for each, other in zip(found, others, strict=True):
                _check_shape(name, tensor, each, first, other)
            tensor.copy_(blend([tensor, *found], weights))
            done.add(tensor.data_ptr())


def blend(tensors: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """The weighted mean of tensors of one shape, in the first one's precision; the first has what `weights` leave.

    It is exact where all tensors are equal, and if one of them has the whole weight: `lerp` is exact at 0 and at 1, and
    each step moves the mean so far by the share of the next tensor in the weight up to it.
    """
    import torch

    mean, total = tensors[0].to(torch.promote_types(tensors[0].dtype, torch.float32)), 1 - sum(weights)
    for tensor, weight in zip(tensors[1:], weights, strict=True):
        total += weight
        if weight > 0:
            mean = torch.lerp(mean, tensor.to(mean.dtype), min(weight / total, 1.0))
    return mean.to(tensors[0].dtype)


def similarity(first: Any, other: Any) -> float:
    """The cosine of the matrices of two backbones, without their embeddings, as one long vector: -1 to 1."""
    import torch

    ours, theirs = _tensors(first), _tensors(other)
    left_out = set(_vocabulary_names(first))
    products = torch.zeros(3, dtype=torch.float64)
    for name, tensor in ours.items():
        if name.startswith(HEAD) or name in left_out or tensor.dim() < 2:  # norms are close to 1 in every model
            continue
        left, right = tensor.float().flatten(), theirs[name].float().flatten()
        products += torch.stack([left @ right, left @ left, right @ right]).double()
    return float(products[0] / (products[1] * products[2]).sqrt().clamp(min=1e-30))


def check_same_base(first: Part, other: Part) -> None:
    """Raise FathomError if two models have different layers, or weights that no fine-tuning of one base explains."""
    ours, theirs = _backbone_shapes(first.model), _backbone_shapes(other.model)
    for name in sorted(ours.keys() | theirs.keys()):
        if ours.get(name) != theirs.get(name):
            raise FathomError(
                f"{first.name} and {other.name} have different layers: {name} is {_in_words(ours.get(name))} and "
                f"{_in_words(theirs.get(name))}; expected models that were fine-tuned from one base model"
            )
    found = similarity(first.model, other.model)
    if not found >= LEAST_SIMILARITY:
        raise FathomError(
            f"{first.name} and {other.name} were not fine-tuned from one base model: the cosine of their weights is "
            f"{found:.3f}, expected at least {LEAST_SIMILARITY}; merged layers would compute neither's function"
        )


# Loading --------------------------------------------------------------------------------------------------------------


def _loaded(name: str) -> tuple[Part, Any]:
    """A model in its own precision, with its adapter merged into it, and its tokenizer."""
    folder = resolve_checkpoint(name)
    config = require("transformers", "local").AutoConfig.from_pretrained(adapter_base(Path(folder)) or folder)
    dtype = str(getattr(config, "dtype", None) or "float32").removeprefix("torch.")
    if is_classifier(folder):
        loaded = load_classifier(folder, device="cpu", dtype=dtype)
    else:
        loaded = load(folder, _kind(folder, config), device="cpu", dtype=dtype)
        if loaded.missing:
            listed = ", ".join(sorted(loaded.missing)[:3])
            raise FathomError(f"{name}: no file has the weights {listed}; expected a checkpoint with all its weights")
    _unload_adapter(loaded.model)
    return Part(name, loaded.model, loaded.tokenizer.get_vocab()), loaded.tokenizer


def _kind(folder: str, config: Any) -> ModelKind:
    """The kind of a model that is no sequence classifier."""
    path = Path(folder) / "adapter_config.json"
    if adapter_base(Path(folder)) is not None:
        tasks = {"CAUSAL_LM": "ForCausalLM", "TOKEN_CLS": "ForTokenClassification"}
        architectures = [tasks.get(str(json.loads(path.read_text(encoding="utf-8")).get("task_type")), "")]
    else:
        architectures = list(config.architectures or ())
    for end, kind in KINDS.items():
        if any(architecture.endswith(end) for architecture in architectures):
            return kind
    raise FathomError(
        f"{folder}: cannot merge a model of the kind {', '.join(architectures) or 'unknown'}; expected a sequence "
        "classifier, a token classifier, or a causal or masked language model"
    )


def _unload_adapter(model: Any) -> None:
    """Merge an adapter into the layers that it adapts, as `merge_and_unload` of peft does."""
    if not getattr(model, "_hf_peft_config_loaded", False):
        return
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils import ModulesToSaveWrapper

    for name, module in list(model.named_modules()):
        if isinstance(module, BaseTunerLayer):
            module.merge()
            model.set_submodule(name, module.get_base_layer())
        elif isinstance(module, ModulesToSaveWrapper):
            model.set_submodule(name, module.modules_to_save[module.active_adapter])
    model._hf_peft_config_loaded = False
    del model.peft_config, model._weight_conversions  # which rename the adapter's tensors, not the model's


# Tensors --------------------------------------------------------------------------------------------------------------

HEAD = "head:"
"""Begins the names of tensors that are not the backbone's."""


def _tensors(model: Any) -> dict[str, Tensor]:
    """The tensors of a model by names that do not depend on its head."""
    backbone = _backbone(model)
    inside: dict[str, Tensor] = backbone.state_dict()
    places = {tensor.data_ptr() for tensor in inside.values()}
    outside = {
        f"{HEAD}{name}": tensor for name, tensor in model.state_dict().items() if tensor.data_ptr() not in places
    }
    return inside | outside


def _every_name(model: Any) -> dict[str, Tensor]:
    """As `_tensors`, with the embeddings also under the name of the output layer, if they are that too."""
    return {f"{HEAD}{name}": tensor for name, tensor in model.state_dict().items()} | _tensors(model)


def _backbone(model: Any) -> Any:
    """The layers without the head. `HeadedModel` keeps them in `model`, and `transformers` names them `base_model`."""
    return model.base_model if model.base_model is not model else getattr(model, "model", model)


def _vocabulary_names(model: Any) -> Iterator[str]:
    """The names of the tensors that have a row for each token."""
    layers = model.get_input_embeddings(), model.get_output_embeddings()
    rows = {layer.weight.data_ptr() for layer in layers if layer is not None}
    rows |= {layer.bias.data_ptr() for layer in layers if getattr(layer, "bias", None) is not None}
    return (name for name, tensor in _tensors(model).items() if tensor.data_ptr() in rows)


def _backbone_shapes(model: Any) -> dict[str, tuple[int, ...]]:
    """The shape of each of the backbone's tensors, for embeddings without the number of tokens."""
    vocabulary = set(_vocabulary_names(model))
    return {
        name: tuple(tensor.shape)[1:] if name in vocabulary else tuple(tensor.shape)
        for name, tensor in _tensors(model).items()
        if not name.startswith(HEAD)
    }


def _same_head(first: Any, other: Any) -> bool:
    """Whether two models are of one kind with the same outputs."""
    head = getattr(first, "head", None), getattr(other, "head", None)
    return type(first) is type(other) and first.config.num_labels == other.config.num_labels and head[0] == head[1]


def _widen(first: Any, others: Sequence[Any]) -> None:
    """Convert the first model to a precision that holds the values of all, so that a weight of 1 is exact."""
    import torch

    wide = first.dtype
    for other in others:
        wide = torch.promote_types(wide, other.dtype)
    if wide is not first.dtype:
        first.to(wide)


def _is_tied(model: Any) -> bool:
    """Whether the embeddings are also the output layer."""
    output = model.get_output_embeddings()
    return output is not None and bool(output.weight.data_ptr() == model.get_input_embeddings().weight.data_ptr())


def _refuse_output_layers(first: Part, others: Sequence[Part]) -> None:
    """Raise FathomError for a model whose output layer is not its embeddings: one tensor cannot be the mean of both."""
    for other in others:
        if not _is_tied(other.model):
            raise FathomError(
                f"the embeddings of {first.name} are also its output layer, and {other.name} has an output layer of "
                f"its own, for which the result would have no place; give {other.name} as the first model"
            )


def _matching(name: str, tensors: Mapping[str, Tensor], other: Part) -> Tensor:
    if name not in tensors:
        raise FathomError(f"{other.name} has no tensor {name.removeprefix(HEAD)}; expected models of one base")
    return tensors[name]


def _aligned(ours: Tensor, theirs: Tensor, ids: Mapping[str, int], other_ids: Mapping[str, int]) -> Tensor:
    """The other model's rows in the first one's order of tokens; the first one's row for tokens that only it has.

    Equal vocabularies are aligned as a whole, with the rows that belong to no token.
    """
    if ids == other_ids and ours.shape == theirs.shape:
        return theirs
    rows = ours.clone()
    shared = [(place, other_ids[token]) for token, place in ids.items() if token in other_ids]
    fitting = [(here, there) for here, there in shared if here < len(ours) and there < len(theirs)]
    if fitting:
        here, there = map(list, zip(*fitting, strict=True))
        rows[here] = theirs[there].to(rows.dtype)
    return rows


def _check_shape(name: str, tensor: Tensor, found: Tensor, first: Part, other: Part) -> None:
    if tensor.shape != found.shape:
        raise FathomError(
            f"{first.name} and {other.name} have different layers: {name.removeprefix(HEAD)} is "
            f"{_in_words(tuple(tensor.shape))} and {_in_words(tuple(found.shape))}; expected models of one base"
        )


def _in_words(shape: tuple[int, ...] | None) -> str:
    return "missing" if shape is None else " x ".join(map(str, shape)) or "a number"
