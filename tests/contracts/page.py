"""The programs of docs/trainers.md, as files of a user."""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PAGE = Path(__file__).parent.parent.parent / "docs" / "trainers.md"
ADDRESS = "http://127.0.0.1:8090"


def program(section: str, url: str) -> str:
    """The first program of a section, with the address of a running server in place of Fathom's default one."""
    text = PAGE.read_text(encoding="utf-8").split(f"\n## {section}\n")[1].split("\n## ")[0]
    found = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)[0]
    return found.replace(ADDRESS, url)


@contextmanager
def judged(text: str) -> Iterator[Path]:
    """A file `judged.py` that can be imported as `judged`."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "judged.py"
        file.write_text(text, encoding="utf-8")
        sys.path.insert(0, folder)
        yield file
