"""Walks with one comparison through `fathom judge`: which packages it enters, and which calls go up the layers.

    python benchmarks/walk.py                     # this source tree
    python benchmarks/walk.py ../older-checkout   # another one, by its own table of layers

Rules. A file with one pair is judged by the shipped model, with default settings. Counted is what runs between the
construction of the comparison and the end of the command, in all threads, but for the import of modules. A package is a
module or folder directly below `fathom`. It is entered when one of its functions runs. A call goes from the nearest
frame of Fathom on the stack to the function that starts. A climb is a call into a package of a higher layer, one
which stands further down in the table of docs/architecture.md: a callback, a method of a wrapped object, a protocol.
Each pair of caller and called function counts once, however often it is called.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from types import FrameType
from typing import Any

ROOT = Path(__file__).parents[1]
PAIR = {"id": "1", "prompt": "compute 5 + 4", "response_a": "9", "response_b": "8", "label": "a"}


def layers(tree: Path) -> dict[str, int]:
    """The layer of each package: the number in the table, or the row where older tables have no numbers."""
    page = (tree / "docs" / "architecture.md").read_text(encoding="utf-8")
    # The section was once called "Rooms".
    table = re.split(r"^## (?:Packages|Rooms)$", page, flags=re.MULTILINE)[1].split("\n\nSome ")[0]
    rows = re.findall(r"^\|(?: (\d+) \|)? `(\w+)` \|", table, re.MULTILINE)
    return {room: int(number or place) for place, (number, room) in enumerate(rows)}


class Walk:
    """Counts calls between functions of Fathom's, as a profile function does."""

    def __init__(self, package: Path) -> None:
        self.package = f"{package}{os.sep}"
        self.started = False
        self.entered: dict[str, int] = {}
        self.calls: set[tuple[str, str]] = set()

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        if event != "call" or not frame.f_code.co_filename.startswith(self.package):
            return
        called = self.name(frame)
        if called is None:
            return
        self.started = self.started or ("record" in called and "Comparison" in called)
        if not self.started:
            return
        room = called.split(".")[0].split(":")[0]
        self.entered[room] = self.entered.get(room, 0) + 1
        caller = self.caller(frame.f_back)
        if caller is not None:
            self.calls.add((caller, called))

    def name(self, frame: FrameType) -> str | None:
        """`room.module:function`; None for the body of a module or class."""
        code = frame.f_code
        if code.co_name == "<module>" or not code.co_flags & 0x2:  # bodies of modules and classes are not CO_NEWLOCALS
            return None
        module = code.co_filename.removeprefix(self.package).removesuffix(".py").replace(os.sep, ".")
        return f"{module.removesuffix('.__init__')}:{code.co_qualname}"

    def caller(self, frame: FrameType | None) -> str | None:
        while frame is not None:
            if frame.f_code.co_filename.startswith(self.package) and (name := self.name(frame)):
                return name
            frame = frame.f_back
        return None


def walk(tree: Path) -> None:
    """Judges in this process, whose path begins with the tree's `src`, and prints what was counted as JSON."""
    from fathom.cli import app

    counted = Walk(tree / "src" / "fathom")
    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder, "pair.jsonl"), Path(folder, "verdicts.jsonl")
        source.write_text(json.dumps(PAIR))
        threading.setprofile(counted)
        sys.setprofile(counted)
        try:
            app(["judge", str(source), "--model", "mini", "--out", str(out)], standalone_mode=False)
        finally:
            sys.setprofile(None)
            threading.setprofile(None)
        assert out.read_text(encoding="utf-8"), "nothing was judged"
    print(json.dumps({"entered": counted.entered, "calls": sorted(counted.calls)}))


def report(tree: Path, verbose: bool) -> None:
    environment = {**os.environ, "PYTHONPATH": str(tree / "src")}
    command = [sys.executable, __file__, "--walk", str(tree)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    counted = json.loads(done.stdout.splitlines()[-1])
    layer = layers(tree)
    room = {name: name.split(".")[0].split(":")[0] for pair in counted["calls"] for name in pair}
    climbs = [pair for pair in counted["calls"] if layer.get(room[pair[1]], 0) > layer.get(room[pair[0]], 0)]
    packages = sorted(set(counted["entered"]) & set(layer), key=layer.__getitem__)
    moves = sum(room[caller] != room[called] for caller, called in counted["calls"])
    print(f"{len(packages)} packages: {' '.join(packages)}")
    print(f"{len(counted['calls'])} calls, {moves} between packages, {len(climbs)} climbs")
    for caller, called in climbs if verbose else []:
        print(f"  {caller} -> {called}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tree", nargs="?", type=Path, default=ROOT, help="a checkout of Fathom (default: this one)")
    parser.add_argument("--verbose", action="store_true", help="list the climbs")
    parser.add_argument("--walk", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    tree = options.tree.resolve()
    walk(tree) if options.walk else report(tree, options.verbose)


if __name__ == "__main__":
    main()
