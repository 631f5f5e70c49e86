"""Early checks of a recipe, made without importing TRL, which takes many seconds.

    mistakes({"data": "nothere.jsonl", ...})            # ["data: no such file: nothere.jsonl"]

A model that is not a local folder is looked up on the model hub, once and with a short timeout. All other checks are in
`fathom.train.recipe`.
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
"""Timeout for looking up a model on the hub."""

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
"""Trackers of `trainer.report_to`, with the package that provides each."""
MODULES = {"azure_ml": ("azureml",), "tensorboard": ("tensorboard", "tensorboardX")}
"""Modules of which one must be installed, if their name differs from the tracker's."""


def mistakes(values: Mapping[str, Any], *, resume: bool = False, dry_run: bool = False) -> list[str]:
    """One line per value that cannot work.

    With `resume`, the output folder may contain checkpoints. With `dry_run`, a failed lookup of the model is not a
    mistake, because the dry run itself lists what it could not check.
    """
    lines = [*_missing_files(values), *_missing_trackers(values)]
    if not resume:
        lines += _checkpoints(values.get("output"))
    # The model is checked last, and only if nothing else is wrong, because that may take a request to the hub.
    return lines or _no_model(values.get("model"), dry_run)


def last_checkpoint(output: Path) -> str | None:
    """The folder checkpoint-N with the largest N; None if there is none."""
    folders = output.glob("checkpoint-*") if output.is_dir() else ()
    steps = {int(path.name[11:]): path for path in folders if path.name[11:].isdecimal() and path.is_dir()}
    return str(steps[max(steps)]) if steps else None


def _missing_files(values: Mapping[str, Any]) -> Iterator[str]:
    for key in ("data", "eval_data"):
        files = values.get(key)
        for file in files if isinstance(files, list) else [files]:
            if isinstance(file, str) and not file.startswith(HUB) and not Path(file).exists():
                yield f"{key}: no such file: {file}"


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
    return [f"{output} contains checkpoints; resume that run (--resume), or choose another output="]


def _no_model(model: Any, dry_run: bool) -> list[str]:
    if not isinstance(model, str):
        return []
    try:
        name = resolve_checkpoint(resolve(model))
    except FathomError as error:
        return [f"model: {error}"]
    return [] if Path(name).is_dir() else _not_on_hub(name, dry_run)


def _not_on_hub(name: str, dry_run: bool) -> list[str]:
    """Why a model on the hub is not available; empty if it is in the hub's cache, or the hub has it."""
    if find_spec("huggingface_hub") is None:
        return []  # the code that needs the missing library reports it
    from huggingface_hub import HfApi, constants, try_to_load_from_cache
    from huggingface_hub.errors import GatedRepoError, HFValidationError, RepositoryNotFoundError

    try:
        if any(isinstance(try_to_load_from_cache(name, f"{kind}config.json"), str) for kind in ("", "adapter_")):
            return []
        if constants.HF_HUB_OFFLINE:
            unseen = f"model: no folder {name}, and the hub's cache does not contain it (HF_HUB_OFFLINE is set)"
            return [] if dry_run else [unseen]
        HfApi().model_info(name, timeout=HUB_SECONDS)
    except GatedRepoError:
        return []  # it exists; access is checked when it is loaded
    except (RepositoryNotFoundError, HFValidationError):
        return [f"model: no folder {name}, and no model of that name on the hub is accessible to you"]
    except Exception as error:  # noqa: BLE001 - errors of whichever HTTP library makes the request
        unseen = f"model: no folder {name}, and the model hub cannot be reached ({type(error).__name__})"
        return [] if dry_run else [unseen]
    return []
