"""SmolLM2 for tests: its folder, or a skip where it is missing (a failure if FATHOM_REQUIRE_SMOLLM2 is set)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fathom.engines import smollm2
from fathom.errors import FathomError


def smollm2_folder() -> Path:
    try:
        return smollm2.folder()
    except FathomError as error:
        if os.environ.get("FATHOM_REQUIRE_SMOLLM2"):
            pytest.fail(str(error))
        pytest.skip(str(error))
