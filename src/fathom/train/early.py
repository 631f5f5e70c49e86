"""What a recipe's values say that cannot work, found without TRL, whose import alone takes many seconds.

    mistakes({"data": "nothere.jsonl", ...})            # ["data: there is no file nothere.jsonl"]

A model that is no folder here is looked for on the model hub, which is asked once and briefly. Everything else about a
recipe is `fathom.train.recipe`'s to check.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fathom.data.sources import HUB
from fathom.engines.checkpoints import resolve, resolve_checkpoint
from fathom.errors import FathomError

HUB_SECONDS = 10
"""How long the model hub may take to say whether it has a model."""

PACKAGES = {
    "azure_ml": "azureml-mlflow",
    "clearml": "clearml",
    "codecarbon": "codecarbon",
    "comet_ml": "comet_ml",
    "dvclive": "dvclive",
    "mlflow": "mlflow",
    "neptune": "neptune",
    "swanlab": "swanlab",
    "tensorboard": "tensorboard",
    "trackio": "trackio",
    "wandb": "wandb",
}
"""What `trainer.report_to` names, and the package that brings it, for those that one package brings."""
MODULES = {"azure_ml": ("azureml",), "tensorboard": ("tensorboard", "tensorboardX")}
"""The modules of which one must be there, where they are not called as the package."""


def mistakes(values: Mapping[str, Any], *, resume: bool = False, dry_run: bool = False) -> list[str]:
    """One line for each value that cannot work.

    With `resume` the output folder may hold checkpoints. In a `dry_run` it is no mistake that a model cannot be looked
    for, as the dry run itself names what it could not check.
    """
    found = [*_missing_files(values), *_missing_trackers(values)]
    if not resume:
        found += _checkpoints(values.get("output"))
    # Last, as it may ask the hub: not where something else is wrong already.
    return found or _no_model(values.get("model"), dry_run)


def last_checkpoint(output: Path) -> str | None:
    """The folder checkpoint-N of the largest N."""
    found = output.glob("checkpoint-*") if output.is_dir() else ()
    steps = {int(path.name[11:]): path for path in found if path.name[11:].isdecimal() and path.is_dir()}
    return str(steps[max(steps)]) if steps else None


def _missing_files(values: Mapping[str, Any]) -> Iterator[str]:
    for key in ("data", "eval_data"):
        files = values.get(key)
        for file in files if isinstance(files, list) else [files]:
            if isinstance(file, str) and not file.startswith(HUB) and not Path(file).exists():
                yield f"{key}: there is no file {file}"


def _missing_trackers(values: Mapping[str, Any]) -> Iterator[str]:
    trainer = values.get("trainer")
    names = trainer.get("report_to") if isinstance(trainer, Mapping) else None
    for name in names if isinstance(names, list) else [names]:
        package = PACKAGES.get(str(name))
        if package and not any(find_spec(module) for module in MODULES.get(str(name), (str(name),))):
            yield f"trainer.report_to: {name} is not installed; install it with: pip install {package}"


def _checkpoints(output: Any) -> list[str]:
    if not isinstance(output, str) or last_checkpoint(Path(output)) is None:
        return []
    return [f"{output} holds checkpoints already; resume that run (--resume), or choose another output="]


def _no_model(model: Any, dry_run: bool) -> list[str]:
    if not isinstance(model, str):
        return []
    try:
        name = resolve_checkpoint(resolve(model))
    except FathomError as error:
        return [f"model: {error}"]
    return [] if Path(name).is_dir() else _not_on_hub(name, dry_run)


def _not_on_hub(name: str, dry_run: bool) -> list[str]:
    """Why a model that is no folder cannot be had; nothing where it is in the hub's cache, or the hub has it."""
    if find_spec("huggingface_hub") is None:
        return []  # the library that is missing is named by whoever needs it
    from huggingface_hub import HfApi, constants, try_to_load_from_cache
    from huggingface_hub.errors import GatedRepoError, HFValidationError, RepositoryNotFoundError

    try:
        if any(isinstance(try_to_load_from_cache(name, f"{kind}config.json"), str) for kind in ("", "adapter_")):
            return []
        if constants.HF_HUB_OFFLINE:
            unseen = f"model: there is no folder {name} here, nor is it in the hub's cache, and HF_HUB_OFFLINE is set"
            return [] if dry_run else [unseen]
        HfApi().model_info(name, timeout=HUB_SECONDS)
    except GatedRepoError:
        return []  # it is there; whether it may be had is seen when it is loaded
    except (RepositoryNotFoundError, HFValidationError):
        return [f"model: there is no folder {name} here, and the model hub has no model of that name that you may see"]
    except Exception as error:  # noqa: BLE001 - of whatever library carries the request
        unseen = f"model: there is no folder {name} here, and the model hub cannot be asked ({type(error).__name__})"
        return [] if dry_run else [unseen]
    return []
