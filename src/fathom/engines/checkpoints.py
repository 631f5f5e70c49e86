"""Checkpoints: those that come with Fathom, the base that an adapter stands on, and what tells one from another.

    resolve("mini")             # the folder of the shipped model
    adapter_base(folder)        # "google/gemma-2-27b", or None for a whole model
    fingerprint(str(folder))    # "5f1c09e2a7d3b846", which changes with the weights

Not promised: that a model on the hub is what its commit says. Its files are not read, and it must have been loaded.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from fathom.errors import FathomError

SHIPPED = {"mini": Path(__file__).parents[1] / "lab" / "base"}

WHOLE_FILE = 64 * 2**20
"""Weights up to this many bytes are hashed for a fingerprint; larger files by size, time and first megabyte."""


def resolve(model: str) -> str:
    """The folder of a shipped model; any other text (a folder, a name on the model hub) is returned as it is."""
    return str(SHIPPED.get(model, model))


def resolve_checkpoint(model: str | Path) -> str:
    """The absolute folder of a checkpoint, or the name unchanged where it can only be one on the hub.

    A shipped model goes by its name: "mini" is the folder inside the package.
    """
    model = model if isinstance(model, Path) else resolve(model)
    folder = Path(model).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").exists() and not (folder / "adapter_config.json").exists():
            raise FathomError(f"{folder} is no checkpoint: it holds neither config.json nor adapter_config.json")
        if (folder / "adapter_config.json").exists() and not (folder / "adapter_model.safetensors").exists():
            raise FathomError(f"{folder} holds an adapter without adapter_model.safetensors; save it as safetensors")
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
    """The model, a folder or a name on the hub, whose weights an adapter's folder adds to; None for a whole model.

    A folder that holds both is a whole model, as `transformers` sees it. Raises FathomError for an adapter that names
    no base.
    """
    path = folder / "adapter_config.json"
    if not path.is_file() or (folder / "config.json").exists():
        return None
    try:
        base = json.loads(path.read_text(encoding="utf-8"))["base_model_name_or_path"]
    except (ValueError, KeyError, TypeError):
        base = None
    if not isinstance(base, str):
        raise FathomError(f"{path} names no model under base_model_name_or_path, which an adapter needs")
    return base


def fingerprint(model: str, revision: str | None = None) -> str:
    """What tells these weights from others: a hash of the folder's weights and settings, or the hub's commit.

    That of an adapter holds its base's too. Raises FathomError for a model that is neither a folder nor in the cache of
    the hub's models.
    """
    folder = Path(model)
    if folder.is_dir():
        own = _digest(folder)
    else:
        folder = _snapshot(model, revision)
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


def _snapshot(model: str, revision: str | None) -> Path:
    """The folder in the hub's cache, named by the commit, that a loaded model came from."""
    from huggingface_hub import try_to_load_from_cache

    for name in ("config.json", "adapter_config.json"):
        try:
            found = try_to_load_from_cache(model, name, revision=revision)
        except ValueError:  # what cannot be a name on the hub
            break
        if isinstance(found, str):
            return Path(found).parent
    raise FathomError(f"cannot tell which weights {model} has: it is no folder here, and not in the model hub's cache")
