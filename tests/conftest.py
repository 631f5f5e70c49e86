from __future__ import annotations

import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# A busy machine is no failure.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")

# A shell lets its background jobs ignore Ctrl-C, and so all that these start; tests of Ctrl-C need it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny causal language model with random weights, as a folder."""
    pytest.importorskip("transformers", reason='needs pip install "fathom-rm[local]"')
    from tiny import make_checkpoint

    return make_checkpoint(tmp_path_factory.mktemp("checkpoint") / "tiny")
