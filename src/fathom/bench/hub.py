"""The files of a benchmark: in a folder that the user names, or from the Hugging Face hub, as they lie there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fathom.errors import FathomError, require

if TYPE_CHECKING:
    from fathom.bench import Benchmark


def folder(benchmark: Benchmark, data: Path | None) -> Path:
    """`data`/NAME where there is such a folder, or else `data`; without it, a copy from the hub (kept in its cache).

    Raises FathomError where nothing can be had, with what to do about it.
    """
    if data is None:
        return _fetched(benchmark)
    return data / benchmark.name if (data / benchmark.name).is_dir() else data


def _fetched(benchmark: Benchmark) -> Path:
    wanted = f"give its files with --data FOLDER: {', '.join(benchmark.files)}"
    if benchmark.hub is None:
        raise FathomError(f"{benchmark.title} has no files of its own on the hub; {wanted}; from {benchmark.source}")
    hub = require("huggingface_hub", "local")
    patterns = [f"*{choice}" for pattern in benchmark.files for choice in pattern.split("|")]
    try:
        return Path(hub.snapshot_download(benchmark.hub, repo_type="dataset", allow_patterns=patterns))
    except (OSError, hub.errors.HfHubHTTPError) as error:
        raise FathomError(f"{benchmark.hub} cannot be had from the hub ({error}); or {wanted}") from error
