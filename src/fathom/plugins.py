"""Judges, engines, verbs and other plug-ins by name: of this package, of other packages, and of one's own files.

    JUDGES = Kind("judge", group="fathom.judges", package="fathom.judges", attribute="JUDGE")
    JUDGES.find("mix")                      # the file judges/mix.py of this package
    JUDGES.find("politeness")               # an entry point that another package declares in the group fathom.judges
    JUDGES.find("my_package.judges:Polite") # an object of any module that can be imported
    JUDGES.find("./polite.py")              # a file of one's own, which binds the name JUDGE
    JUDGES.find("./polite.py:Polite")       # another name in it

A name that stands for code outside the installed packages runs that code. Text from a stranger's file, such as a
checkpoint's description, must therefore be looked up with `installed=True`.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import pkgutil
import re
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from fathom.errors import FathomError


@dataclass(frozen=True)
class Kind:
    """A kind of plug-in: where this package keeps its own, and how others declare theirs.

    Its own are the files of `package`, or the objects that `table` names where they stand in several places.
    """

    noun: str
    """What one is called in messages."""
    group: str
    """The group of entry points in which other packages declare theirs, such as `fathom.judges`."""
    package: str | None = None
    """The package whose files each hold one; a file that does not bind `attribute`, or `_name.py`, holds none."""
    attribute: str | None = None
    """The name that such a file binds to its plug-in; None where the plug-in is the module itself."""
    table: Mapping[str, str] = field(default_factory=dict)
    """By name, where a plug-in of this package is: `MODULE:NAME`."""

    def names(self) -> list[str]:
        """All installed ones, sorted: those of this package and those of entry points."""
        return sorted({*self.shipped(), *(point.name for point in self.points())})

    def find(self, name: str, *, installed: bool = False) -> Any:
        """The plug-in of that name; `-` may stand for `_`.

        With `installed`, a file or `module:name` is refused. Raises FathomError for a name that stands for nothing,
        with those that are close to it, and for a file or module that cannot be imported or does not bind the name.
        """
        if name in self.table:
            where, _, bound = self.table[name].partition(":")
            return getattr(importlib.import_module(where), bound)
        if name.replace("-", "_") in self.shipped():
            module = importlib.import_module(f"{self.package}.{name.replace('-', '_')}")
            return getattr(module, self.attribute) if self.attribute else module
        for point in self.points():
            if point.name == name:
                return loaded(point, self.noun)
        if not _is_own(name):
            raise FathomError(unknown(self.noun, name, self.names(), "your own as FILE.py or MODULE:NAME"))
        if installed:
            raise FathomError(
                f"the {self.noun} {name!r} is code outside the installed packages; name it yourself to run it"
            )
        return self._own(name)

    def shipped(self) -> list[str]:
        """The names of this package's own."""
        if self.package is None:
            return list(self.table)
        path = importlib.import_module(self.package).__path__
        found = [each.name for each in pkgutil.iter_modules(path) if not each.ispkg and not each.name.startswith("_")]
        return [name for name in found if self.attribute is None or _binds(Path(path[0], f"{name}.py"), self.attribute)]

    def points(self) -> tuple[EntryPoint, ...]:
        """Those of other packages, which are not imported."""
        return tuple(entry_points(group=self.group))

    def _own(self, name: str) -> Any:
        where, _, attribute = (name, "", "") if name.endswith(".py") else name.rpartition(":")
        wanted = attribute or self.attribute
        try:
            module = from_file(Path(where)) if where.endswith(".py") else importlib.import_module(where)
        except FathomError:
            raise
        except Exception as error:
            raise FathomError(
                f"the {self.noun} {name!r} cannot be imported: {type(error).__name__}: {error}"
            ) from error
        if not wanted:
            return module
        if not hasattr(module, wanted):
            raise FathomError(
                f"the {self.noun} {name!r}: {where} does not bind the name {wanted}; bind it, or give {where}:NAME"
            )
        return getattr(module, wanted)


@dataclass(frozen=True)
class FileKind:
    """A kind of plug-in that is a file and no code, such as a recipe: `find` returns its path.

    Another package's entry point names an object that is the path of such a file.
    """

    noun: str
    group: str
    folder: Path
    """Where this package keeps its own."""
    suffix: str

    def names(self) -> list[str]:
        """All installed ones, sorted."""
        return sorted({*self._shipped(), *(point.name for point in entry_points(group=self.group))})

    def find(self, name: str | Path) -> Path:
        """The file of that name or at that path. Raises FathomError for a name that stands for nothing."""
        if Path(name).is_file():
            return Path(name)
        shipped = self._shipped()
        if str(name) in shipped:
            return shipped[str(name)]
        for point in entry_points(group=self.group):
            if point.name == str(name):
                return self._checked(point)
        raise FathomError(unknown(self.noun, str(name), self.names(), f"the path of a file NAME{self.suffix}"))

    def _shipped(self) -> dict[str, Path]:
        return {file.stem: file for file in self.folder.glob(f"*{self.suffix}")}

    def _checked(self, point: EntryPoint) -> Path:
        file = loaded(point, self.noun)
        if not isinstance(file, str | Path) or not Path(file).is_file():
            raise FathomError(f"the {self.noun} {point.name!r} ({point.value}) is {file!r}, expected a file's path")
        return Path(file)


def loaded(point: EntryPoint, noun: str) -> Any:
    """What an entry point names. Raises FathomError, with the package that declares it, where that fails."""
    try:
        return point.load()
    except Exception as error:  # whatever the other package's code raises
        package = point.dist.name if point.dist else "a package"
        message = f"{type(error).__name__}: {error}"
        raise FathomError(f"the {noun} {point.name!r} of {package} ({point.value}): {message}") from error


def unknown(noun: str, name: str, names: Collection[str], own: str = "") -> str:
    """The message for a name that stands for nothing: those close to it, all others, and how to give one's own."""
    spelled = {each.replace("-", "_"): each for each in names}
    close = [spelled[each] for each in get_close_matches(name.replace("-", "_"), spelled, n=3)]
    meant = f"; did you mean {' or '.join(close)}?" if close else ""
    return f"there is no {noun} {name!r}{meant}; there are: {', '.join(names)}" + (f"; or give {own}" if own else "")


@cache
def _binds(file: Path, attribute: str) -> bool:
    """Whether a file of this package binds a name, by its text: to import all of them would take long."""
    return re.search(rf"^(?:def )?{attribute}\b", file.read_text(encoding="utf-8"), re.MULTILINE) is not None


def _is_own(name: str) -> bool:
    return ":" in name or name.endswith(".py")


def from_file(path: Path) -> ModuleType:
    """The module in a file, imported once for each path, as dataclasses and pickles look their module up by name.

    The name is the same in every process. Raises FathomError for a file that is not there.
    """
    path = path.expanduser().resolve()
    if not path.is_file():
        raise FathomError(f"{path}: no such file")
    name = f"{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise FathomError(f"{path}: Python cannot import it")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
    return sys.modules[name]
