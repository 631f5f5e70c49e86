"""Installs the trainers whose reward clients `tests/test_contracts.py` runs, one folder each, without dependencies.

python tests/contracts/build.py .contracts

A folder is put before this environment, which has torch and transformers. What a client imports and does not use, such
as libraries for GPUs, is stubbed in the client's own file.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

TRAINERS = {
    "openrlhf": ["openrlhf==0.11.2"],
    "verl": [
        "verl==0.9.1", "tensordict==0.15.3", "omegaconf==2.4.0", "antlr4-python3-runtime==4.9.3", "pyvers==0.2.3",
        "orjson==3.13.0", "cloudpickle==3.1.2", "codetiming==1.4.0",
    ],
}  # fmt: skip


def build(into: Path) -> None:
    for name, packages in TRAINERS.items():
        folder, built = into / name, into / f"{name}.txt"
        wanted = "\n".join(packages)
        if built.is_file() and built.read_text() == wanted:
            continue
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--upgrade", "--target", str(folder)]
        subprocess.run([*command, *packages], check=True)
        built.write_text(wanted)


if __name__ == "__main__":
    build(Path(sys.argv[1]))
