"""Recipes that come with Fathom: one YAML file a published or small run. `fathom train` takes their names for files.

In `chat` are chat templates for base models that have none, for a recipe's `trainer.chat_template_path`. Other packages
declare theirs as entry points, in the groups `fathom.recipes` and `fathom.chat_templates`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from fathom.plugins import PluginFileKind

HERE = Path(__file__).parent

RECIPES = PluginFileKind("recipe", group="fathom.recipes", folder=HERE, suffix=".yaml")
CHAT_TEMPLATES = PluginFileKind("chat template", group="fathom.chat_templates", folder=HERE / "chat", suffix=".jinja")


def path(recipe: str | Path) -> Path:
    """The file of a recipe: a path to one, or the name of an installed one."""
    return RECIPES.find(recipe)


def contents(*names: str) -> dict[str, Any]:
    """What each recipe's file holds, by the recipe's name, without defaults and overrides."""
    return {name: yaml.safe_load(path(name).read_text("utf-8")) for name in names}


def chat_template(template: str | Path) -> Path:
    """The file of a chat template: a path to one, or the name of an installed one."""
    return CHAT_TEMPLATES.find(template)
