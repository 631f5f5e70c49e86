"""Makes the pages of experiments from their registers and committed results: python docs/reproductions.py [NAME ...]

Writes docs/reproductions/NAME.md and its figures, docs/reproductions/register.md, and the tables in README.md and
docs/index.md; without names, of all experiments. README's table of `make demo` is made from src/fathom/lab/demo.json,
the results.json of a run. --check writes nothing, names the files that differ, and exits with 1 if there are any.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from fathom.lab import demo
from fathom.lab.experiments import pages
from fathom.lab.experiments.experiment import Experiment
from fathom.lab.reproductions import REPRODUCTIONS, find

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "docs" / "reproductions"
ORDER = (
    "mix-grm",
    "mix-grm-smollm2",
    "rm-r1",
    "s2j",
    "libra",
    "self-prm",
    "spct",
    "meta-voting",
    "adaptive-votes",
    "master-keys",
    "likelihood-rewards",
    "scalar",
    "bnrm",
    "heads",
    "endogenous",
    "genarm",
    "merge",
    "activation",
    "esfp",
)
"""Of the table and the register; others follow by name."""
NUMBER = re.compile(r"-?\d+\.?\d*(?:e-?\d+)?")
DRAWN_ID = re.compile(r"[a-z]?[0-9a-f]{10}")
"""The identity of a shape in a figure, a hash of its coordinates."""


def experiments() -> list[Experiment[Any]]:
    """Those of this package."""
    found = [find(name) for name in REPRODUCTIONS.shipped()]
    return sorted(found, key=lambda each: (ORDER.index(each.name) if each.name in ORDER else len(ORDER), each.name))


def texts(names: Sequence[str] = ()) -> dict[Path, str]:
    """Every generated text by its path: pages, register, README and index."""
    every = experiments()
    chosen = [each for each in every if not names or each.name in names]
    readme, index = ROOT / "README.md", ROOT / "docs" / "index.md"
    text = pages.between(readme.read_text(encoding="utf-8"), "experiments", pages.table(every))
    return {
        **{FOLDER / f"{each.name}.md": pages.page(each, each.results) for each in chosen},
        FOLDER / "register.md": pages.register(every),
        index: pages.between(index.read_text(encoding="utf-8"), "experiments", pages.questions(every)),
        readme: pages.between(text, "demo", f"```text\n{demo.committed_table()}```\n"),
    }


def figures(names: Sequence[str] = ()) -> dict[Path, str]:
    """Every generated figure by its path."""
    with tempfile.TemporaryDirectory() as folder:
        for each in experiments():
            if each.results and (not names or each.name in names):
                pages.plots(each, each.results, Path(folder))
        return {FOLDER / path.name: path.read_text(encoding="utf-8") for path in sorted(Path(folder).glob("*.svg"))}


def differing(names: Sequence[str] = ()) -> Iterator[Path]:
    """The files that are not what registers and results give."""
    drawn = figures(names)
    for path, text in texts(names).items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            yield path
    for path, text in drawn.items():
        if not path.exists() or not alike(path.read_text(encoding="utf-8"), text):
            yield path
    if not names:
        yield from (path for path in sorted(FOLDER.glob("*.svg")) if path not in drawn)


def alike(one: str, other: str) -> bool:
    """Whether two figures show the same: processors differ in the last digits of coordinates."""
    plain = [NUMBER.sub("#", DRAWN_ID.sub("id", text)) for text in (one, other)]
    numbers = [[float(found) for found in NUMBER.findall(DRAWN_ID.sub("id", text))] for text in (one, other)]
    return plain[0] == plain[1] and all(abs(a - b) < 0.05 for a, b in zip(*numbers, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args()
    if given.check:
        found = [str(path.relative_to(ROOT)) for path in differing(given.names)]
        sys.exit("\n".join(["not what registers and results give:", *found]) if found else 0)
    for path, text in {**texts(given.names), **figures(given.names)}.items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
