"""Recipes that come with Fathom: one YAML file a published or small run. `fathom train` takes their names for files."""

from __future__ import annotations

from pathlib import Path

from fathom.errors import FathomError


def path(recipe: str | Path) -> Path:
    """The file of a recipe: a path to one, or the name of one that comes with Fathom."""
    if Path(recipe).is_file():
        return Path(recipe)
    shipped = {file.stem: file for file in Path(__file__).parent.glob("*.yaml")}
    if str(recipe) not in shipped:
        raise FathomError(f"there is no recipe {str(recipe)!r}; give a file, or one of: {', '.join(sorted(shipped))}")
    return shipped[str(recipe)]
