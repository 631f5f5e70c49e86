"""The folder with a benchmark's files: given by the user, or downloaded from the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fathom.errors import FathomError, require

if TYPE_CHECKING:
    from fathom.bench import Benchmark


def folder(benchmark: Benchmark, data: Path | None) -> Path:
    """`data`/NAME if it exists, else `data`. Without `data`, the files are downloaded from the hub into its cache.

    Raises FathomError if the benchmark is not on the hub or the download fails.
    """
    if data is None:
        return _downloaded(benchmark)
    return data / benchmark.name if (data / benchmark.name).is_dir() else data


def _downloaded(benchmark: Benchmark) -> Path:
    advice = f"give its files with --data FOLDER: {', '.join(benchmark.files)}"
    if benchmark.hub is None:
        raise FathomError(f"{benchmark.title} is not on the hub; {advice}; source: {benchmark.source}")
    hub = require("huggingface_hub", "local")
    patterns = [f"*{choice}" for pattern in benchmark.files for choice in pattern.split("|")]
    try:
        return Path(hub.snapshot_download(benchmark.hub, repo_type="dataset", allow_patterns=patterns))
    except (OSError, hub.errors.HfHubHTTPError) as error:
        raise FathomError(f"cannot download {benchmark.hub} from the hub ({error}); {advice}") from error
