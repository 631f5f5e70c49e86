"""`benchmarks/gpu_check.py` runs without a GPU, and fails beyond a tolerance."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "gpu_check.py"


@pytest.fixture
def script() -> dict[str, Any]:
    return runpy.run_path(str(SCRIPT))


def test_the_engine_agrees_with_itself_on_the_cpu(
    script: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["gpu_check.py", "--device", "cpu", "--small", "--json", str(tmp_path / "found")])
    with pytest.raises(SystemExit) as ended:
        script["main"]()
    assert ended.value.code == 0
    lines = json.loads((tmp_path / "found").read_text())["lines"]
    exact = [line for line in lines if "bfloat16" not in line["what"]]
    assert len(lines) == 11
    assert len(exact) == 7
    assert all(line["difference"] == pytest.approx(0, abs=1e-6) for line in exact)


def test_a_difference_beyond_its_tolerance_fails(script: dict[str, Any]) -> None:
    line = script["Line"]("likelihood", 0.2, 0.1)
    assert not line.passed
    assert "TOO LARGE" in str(line)


def test_without_a_gpu_it_says_so(script: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["gpu_check.py"])
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(SystemExit, match="torch finds no GPU here"):
        script["main"]()
