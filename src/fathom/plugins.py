"""Finds judges, engines, verbs and other plug-ins by name: from this package, other packages and your own files.

    JUDGES = PluginKind("judge", group="fathom.judges", packages=("fathom.judges",), attribute="JUDGE")
    JUDGES.find("mix")                      # the file judges/mix.py of this package
    JUDGES.find("politeness")               # an entry point that another package declares in the group fathom.judges
    JUDGES.find("my_package.judges:Polite") # an object of any module that can be imported
    JUDGES.find("./polite.py")              # your own file, which binds the name JUDGE
    JUDGES.find("./polite.py:Polite")       # another name in it

Finding a plug-in that is not in an installed package runs its code. Names from untrusted files, such as a checkpoint's
description, must therefore be looked up with `installed=True`.
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
class PluginKind:
    """A kind of plug-in: where this package defines its own plug-ins, and how other packages declare theirs.

    This package's own are the files of `packages`, or the objects in `table`.
    """

    noun: str
    """The name of the kind in error messages."""
    group: str
    """The group of entry points in which other packages declare theirs, such as `fathom.judges`."""
    packages: tuple[str, ...] = ()
    """Packages with one plug-in per file. Files that do not bind `attribute`, or are named `_name.py`, have none."""
    attribute: str | None = None
    """The name that such a file binds to its plug-in; None if the plug-in is the module itself."""
    table: Mapping[str, str] = field(default_factory=dict)
    """The location of this package's plug-ins, `MODULE:NAME`, by name."""

    def names(self) -> list[str]:
        """The names of all installed plug-ins, sorted: this package's and those of entry points."""
        return sorted({*self.shipped(), *(point.name for point in self.points())})

    def find(self, name: str, *, installed: bool = False) -> Any:
        """The plug-in with this name; `-` and `_` are equivalent.

        With `installed`, a file or `module:name` is refused. Raises FathomError for an unknown name, with similar
        names, and for a file or module that cannot be imported or does not bind the name.
        """
        if name in self.table:
            where, _, bound = self.table[name].partition(":")
            return getattr(importlib.import_module(where), bound)
        if (file := name.replace("-", "_")) in (files := self._files()):
            module = importlib.import_module(f"{files[file]}.{file}")
            return getattr(module, self.attribute) if self.attribute else module
        for point in self.points():
            if point.name == name:
                return load_entry_point(point, self.noun)
        if not _is_own(name):
            raise FathomError(unknown_name_message(self.noun, name, self.names(), "your own as FILE.py or MODULE:NAME"))
        if installed:
            raise FathomError(
                f"the {self.noun} {name!r} is code outside the installed packages, which runs only if you choose it "
                f"yourself, as with --{self.noun} {name}"
            )
        return self._own(name)

    def shipped(self) -> list[str]:
        """The names of this package's own plug-ins."""
        return [*self.table, *self._files()]

    def _files(self) -> dict[str, str]:
        """The package of each file with a plug-in, by the file's name."""
        found = {}
        for package in self.packages:
            path = importlib.import_module(package).__path__
            for each in pkgutil.iter_modules(path):
                plain = not each.ispkg and not each.name.startswith("_")
                if plain and (self.attribute is None or _binds(Path(path[0], f"{each.name}.py"), self.attribute)):
                    found[each.name] = package
        return found

    def points(self) -> tuple[EntryPoint, ...]:
        """The entry points of other packages, which are not imported."""
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
class PluginFileKind:
    """A kind of plug-in that is a data file, such as a recipe: `find` returns its path.

    An entry point of another package names an object that is the path of such a file.
    """

    noun: str
    group: str
    folder: Path
    """The folder of this package's own files."""
    suffix: str

    def names(self) -> list[str]:
        """The names of all installed files, sorted."""
        return sorted({*self._shipped(), *(point.name for point in entry_points(group=self.group))})

    def find(self, name: str | Path) -> Path:
        """The file with this name or path. Raises FathomError for an unknown name."""
        if Path(name).is_file():
            return Path(name)
        shipped = self._shipped()
        if str(name) in shipped:
            return shipped[str(name)]
        for point in entry_points(group=self.group):
            if point.name == str(name):
                return self._checked(point)
        raise FathomError(
            unknown_name_message(self.noun, str(name), self.names(), f"the path of a file NAME{self.suffix}")
        )

    def _shipped(self) -> dict[str, Path]:
        return {file.stem: file for file in self.folder.glob(f"*{self.suffix}")}

    def _checked(self, point: EntryPoint) -> Path:
        file = load_entry_point(point, self.noun)
        if not isinstance(file, str | Path) or not Path(file).is_file():
            raise FathomError(f"the {self.noun} {point.name!r} ({point.value}) is {file!r}, expected a file's path")
        return Path(file)


def load_entry_point(point: EntryPoint, noun: str) -> Any:
    """The object of an entry point. Raises FathomError, naming the package, if it cannot be imported."""
    try:
        return point.load()
    except Exception as error:  # the code of another package may raise anything
        package = point.dist.name if point.dist else "a package"
        message = f"{type(error).__name__}: {error}"
        raise FathomError(f"the {noun} {point.name!r} of {package} ({point.value}): {message}") from error


def unknown_name_message(noun: str, name: str, names: Collection[str], custom_hint: str = "") -> str:
    """The message for an unknown name: similar names, all names, and how to give your own."""
    spelled = {each.replace("-", "_"): each for each in names}
    close = [spelled[each] for each in get_close_matches(name.replace("-", "_"), spelled, n=3)]
    meant = f"; did you mean {' or '.join(close)}?" if close else ""
    return f"there is no {noun} {name!r}{meant}; expected one of: {', '.join(names)}" + (
        f"; or give {custom_hint}" if custom_hint else ""
    )


@cache
def _binds(file: Path, attribute: str) -> bool:
    """Whether a file of this package binds a name. Reads its text, because importing all files would be slow."""
    return re.search(rf"^(?:def )?{attribute}\b", file.read_text(encoding="utf-8"), re.MULTILINE) is not None


def _is_own(name: str) -> bool:
    return ":" in name or name.endswith(".py")


def from_file(path: Path) -> ModuleType:
    """Import the module in a file, once per path.

    It is registered in `sys.modules`, because dataclasses and pickle look up modules by name, under a name that is the
    same in every process. Raises FathomError if the file does not exist.
    """
    path = path.expanduser().resolve()
    if not path.is_file():
        raise FathomError(f"{path}: no such file; expected a Python file")
    name = f"{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise FathomError(f"{path}: cannot be imported as a Python module")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
    return sys.modules[name]
