"""Recipes that come with Fathom: one YAML file a published or small run. `fathom train` takes their names for files.

In `chat` are chat templates for base models that have none, for a recipe's `trainer.chat_template_path`.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from fathom.errors import FathomError

HERE = Path(__file__).parent


def path(recipe: str | Path) -> Path:
    """The file of a recipe: a path to one, or the name of one that comes with Fathom."""
    return _found("recipe", recipe, HERE.glob("*.yaml"))


def chat_template(template: str | Path) -> Path:
    """The file of a chat template: a path to one, or the name of one that comes with Fathom."""
    return _found("chat template", template, (HERE / "chat").glob("*.jinja"))


def _found(kind: str, wanted: str | Path, files: Iterable[Path]) -> Path:
    if Path(wanted).is_file():
        return Path(wanted)
    shipped = {file.stem: file for file in files}
    if str(wanted) not in shipped:
        raise FathomError(f"there is no {kind} {str(wanted)!r}; give a file, or one of: {', '.join(sorted(shipped))}")
    return shipped[str(wanted)]
