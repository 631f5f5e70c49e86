"""Experiments of published claims in small worlds. One file per paper, found by name: `fathom reproduce NAME`.

An experiment is a module that binds `EXPERIMENT`, a `fathom.lab.experiments.experiment.Experiment`. Beside NAME.py are
NAME.yaml (its register, written before the first reported seed), NAME.md.jinja (its part of the page) and, once the
reported seeds have run, NAME.json (its results). Claims are decided by intervals over seeds and may come out false.
"""

from typing import Any

from fathom.errors import FathomError
from fathom.lab.experiments.experiment import Experiment
from fathom.plugins import PluginKind

REPRODUCTIONS = PluginKind("reproduction", packages=(__name__,), group="fathom.reproductions", attribute="EXPERIMENT")


def find(name: str) -> Experiment[Any]:
    """The experiment of that name. Raises FathomError for an unknown name, and for an object of another type."""
    found = REPRODUCTIONS.find(name)
    if not isinstance(found, Experiment):
        raise FathomError(f"{name}: found a {type(found).__name__}, expected a {Experiment.__module__}.Experiment")
    return found
