"""Provenance of results that were made without calling a model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any


def describe(out: Path, config: Mapping[str, Any], inputs: Iterable[Path], summary: Mapping[str, Any]) -> None:
    """Write OUT.meta.json as the verbs that judge do, but without spending."""
    from fathom.results.outputs import beside, is_replaceable
    from fathom.results.provenance import provenance, write_json

    if is_replaceable(out):
        write_json(beside(out, "meta.json"), provenance(config, inputs) | {"summary": summary})
