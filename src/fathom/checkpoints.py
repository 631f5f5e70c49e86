"""Models that come with Fathom, under names that stand for their folders wherever a checkpoint is asked for."""

from __future__ import annotations

from pathlib import Path

SHIPPED = {"mini": Path(__file__).parent / "mini" / "base"}


def located(model: str) -> str:
    """The folder of a shipped model; any other text (a folder, a name on the model hub) is returned as it is."""
    return str(SHIPPED.get(model, model))
