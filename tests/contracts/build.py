"""Installs the trainers whose reward clients `tests/test_contracts.py` runs, one folder each, without dependencies.

python tests/contracts/build.py .contracts

A folder is put before this environment, which has torch and transformers. What a client imports and does not use, such
as libraries for GPUs, is stubbed in the client's own file.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from trainers import PACKAGES


def build(into: Path) -> None:
    for name, packages in PACKAGES.items():
        folder, built = into / name, into / f"{name}.txt"
        wanted = "\n".join(packages)
        if built.is_file() and built.read_text() == wanted:
            continue
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--upgrade", "--target", str(folder)]
        subprocess.run([*command, *packages], check=True)
        built.write_text(wanted)


if __name__ == "__main__":
    build(Path(sys.argv[1]))
