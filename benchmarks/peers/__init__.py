"""The same judgments by other libraries, each in a virtual environment of its own.

    settings = {"url": url, "pairs": [[prompt, first, second], ...], "concurrency": 64}
    figures = measured("inspect_ai", Path("environments"), settings)

A peer is one file here that judges in its own process. It reads its settings as JSON from standard input and prints
what it did: judgments, seconds, CPU seconds and peak memory. Imports are not counted.
"""

from __future__ import annotations

import json
import subprocess
import sys
import venv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

REQUIREMENTS: Mapping[str, tuple[str, ...]] = {
    "inspect_ai": ("inspect-ai==0.3.285", "openai==3.54.0"),
    "openjudge": ("py-openjudge==0.2.4", "openai==3.54.0"),
}
"""What is installed from PyPI for the peer in the file `drive_NAME.py`."""


class UnusableError(Exception):
    """A peer could not be installed, or did not do its work. The message says why."""


def measured(name: str, environments: Path, settings: Mapping[str, Any]) -> dict[str, float]:
    """What the peer did with these settings. Raises UnusableError."""
    script = Path(__file__).with_name(f"drive_{name}.py")
    command = [str(_python(name, environments)), str(script)]
    done = subprocess.run(command, input=json.dumps(settings), capture_output=True, text=True, check=False)
    if done.returncode:
        raise UnusableError(f"{script.name} failed: {done.stderr.strip()[-500:]}")
    told: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    rows = len(settings["pairs"])
    if told["judged"] != rows:
        raise UnusableError(f"{name} gave {told['judged']:.0f} verdicts of {rows}")
    return {
        "seconds": told["seconds"],
        "per_second": rows / told["seconds"],
        "cpu_ms": 1000 * told["cpu_seconds"] / rows,
        "rss_mb": told["rss_mb"],
    }


def _python(name: str, environments: Path) -> Path:
    """The interpreter of the peer's environment, which is made where it is missing."""
    folder = environments / name
    python = folder / "bin" / "python"
    ready = folder / "requirements.txt"
    wanted = "\n".join(REQUIREMENTS[name])
    if ready.is_file() and ready.read_text() == wanted:
        return python
    print(f"installing {', '.join(REQUIREMENTS[name])} into {folder}", file=sys.stderr)
    venv.create(folder, with_pip=True)
    command = [str(python), "-m", "pip", "install", "--quiet", *REQUIREMENTS[name]]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UnusableError(f"pip could not install {', '.join(REQUIREMENTS[name])}: {done.stderr.strip()[-500:]}")
    ready.write_text(wanted)
    return python
