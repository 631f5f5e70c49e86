"""SmolLM2 for tests: its folder, or a skip where it is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from fathom.engines import smollm2
from fathom.errors import FathomError


def smollm2_folder() -> Path:
    try:
        return smollm2.folder()
    except FathomError as error:
        pytest.skip(str(error))
