"""An experiment as a value: how one seed is run and measured, and what its page shows.

EXPERIMENT = Experiment(
    home=Path(__file__),                # beside it: NAME.yaml (register), NAME.json (results), NAME.md.jinja (page)
    make_settings=Settings,             # a dataclass; its fields are the settings in the register
    parts=("with", "without"),
    run=run,                            # run(part, seed, settings, folder): trains, and leaves files in the folder
    measure=measure,                    # measure(seed, settings, folder): what these files say, as a `Measurement`
    figures=figures,                    # figures(found, folder): plots of `over_seeds`
)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, TypeVar

from fathom.errors import FathomError
from fathom.lab.experiments.register import Register, read
from fathom.lab.experiments.results import Measurement, Results, load
from fathom.results.provenance import input_hashes, provenance

Settings = TypeVar("Settings")


@dataclass(frozen=True, kw_only=True)
class Experiment(Generic[Settings]):
    home: Path
    """The experiment's module. Its register, results and template lie beside it, under the same name."""
    make_settings: Callable[..., Settings]
    """Makes the settings, a dataclass, from those of the register, which it takes by name."""
    parts: Sequence[str]
    """The parts of a seed, which run side by side, each in a process of its own."""
    run: Callable[[str, int, Settings, Path], None]
    """Runs a part of a seed in the seed's folder. A function of a module. Keeps what an interrupted run finished."""
    measure: Callable[[int, Settings, Path], Measurement]
    """Reads what the parts of a seed left."""
    figures: Callable[[Mapping[str, Any], Path], None]
    """Given the figures over seeds, writes plots named NAME*.png and .svg into a folder."""
    tables: Callable[[Mapping[str, Any]], Mapping[str, Any]] = lambda _: {}
    """More values for the page's template, computed from the figures over seeds."""
    prepare: Callable[[str, int, Settings, Path], None] | None = None
    """Makes what all parts of a seed need, before them; takes what `run` takes."""
    recipes: Callable[[], Mapping[str, Any]] = dict
    """The training recipes as they are in their files, by name."""
    inputs: Sequence[Path] = ()
    """Files and folders that results depend on, such as a base model."""
    every_pair: Mapping[str, Any] | None = None
    """The settings with which it judges every pair of its seeds; None if it draws no pairs from a larger set."""
    overrides: Mapping[str, Any] = field(default_factory=dict)
    """Settings that differ from those of the register."""

    @property
    def own_file(self) -> Path | None:
        """The module's file, if it was imported as a plug-in of one's own, so that other processes can import it."""
        return None if "." in self.run.__module__ else self.home

    def on(self, device: str) -> Experiment[Settings]:
        """The same experiment on a device. Raises FathomError if its settings have no `device`: it needs no GPU."""
        if not hasattr(self.settings, "device"):
            raise FathomError(f"--device {device}: {self.name} runs on the CPU only; leave --device out")
        return replace(self, overrides={**self.overrides, "device": device})

    def on_every_pair(self) -> Experiment[Settings]:
        """The same experiment on every pair that its seeds may judge, where the register has a number of them drawn.

        Raises FathomError if it draws no pairs.
        """
        if self.every_pair is None:
            raise FathomError(f"--all: {self.name} draws no pairs from a larger set; leave --all out")
        return replace(self, overrides={**self.overrides, **self.every_pair})

    @property
    def name(self) -> str:
        return self.home.stem.replace("_", "-")

    @cached_property
    def register(self) -> Register:
        return read(self.home.with_suffix(".yaml"))

    @cached_property
    def settings(self) -> Settings:
        """Raises FathomError if the register lacks a setting, or has one that the experiment does not know."""
        try:
            return self.make_settings(**{**self.register.settings, **self.overrides})
        except TypeError as error:
            raise FathomError(f"{self.home.with_suffix('.yaml')}: settings: {error}") from error

    @property
    def results(self) -> Results | None:
        """The committed results; None before the first reported run."""
        path = self.home.with_suffix(".json")
        return load(path) if path.exists() else None

    @property
    def template(self) -> Path:
        return self.home.with_suffix(".md.jinja")

    def origin(self) -> tuple[dict[str, Any], dict[str, str]]:
        """What results are made from (settings, recipes, input hashes), and the versions of libraries."""
        hashes = input_hashes(self.inputs)
        made_from = {"settings": asdict(self.settings), "recipes": self.recipes(), "inputs": hashes}  # type: ignore[call-overload]
        return made_from, provenance({}, [])["versions"]
