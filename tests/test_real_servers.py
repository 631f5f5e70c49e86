"""The openai engine against real servers: the same verdicts as the local engine, at temperature 0.

`python benchmarks/real_servers.py FOLDER` makes what is needed once; `FATHOM_SERVERS=FOLDER pytest -m slow` finds it.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "real_servers.py"
DEFAULTS = "llama.cpp, defaults"
EXACT = [
    "transformers serve, mini",
    "transformers serve, BPE",
    "llama.cpp, float32 cache, no repeat penalty",
    "llama.cpp, float16 cache, no repeat penalty",
]


@pytest.fixture(scope="module")
def script() -> Any:
    spec = importlib.util.spec_from_file_location("real_servers", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["real_servers"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def measured(script: Any, name: str, folder: Path, rows: int) -> dict[str, Any]:
    servers = Path(os.environ.get("FATHOM_SERVERS", "")).resolve()
    [setup] = [setup for setup in script.setups(servers) if setup.name == name]
    if "FATHOM_SERVERS" not in os.environ or not (servers / setup.server / "installed").exists():
        pytest.skip(f"FATHOM_SERVERS names no folder with {setup.server}; make one: python benchmarks/real_servers.py")
    figures: dict[str, Any] = script.compared(setup, folder, script.write_comparisons(folder / "pairs.jsonl", rows))
    return figures


@pytest.mark.slow
@pytest.mark.parametrize("name", EXACT)
def test_a_real_server_gives_the_verdicts_of_the_local_engine(script: Any, name: str, tmp_path: Path) -> None:
    figures = measured(script, name, tmp_path, rows=100)
    assert figures["comparisons"] == 100 + len(script.ODD_TEXTS)
    assert figures["verdicts_equal"] == figures["comparisons"]
    assert figures["prompts_equal"] == figures["texts"]


@pytest.mark.slow
def test_sampling_defaults_that_change_greedy_decoding_are_found_out(script: Any, tmp_path: Path) -> None:
    figures = measured(script, DEFAULTS, tmp_path, rows=30)
    assert figures["verdicts_equal"] < figures["comparisons"]
    assert figures["causes"]["sampling"] > 0.9 * (figures["texts"] - figures["texts_equal"])
