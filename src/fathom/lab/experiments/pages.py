"""The page of an experiment, the register of all, and tables for the README and the index of the docs.

All are pure functions of registers and results.

    page(EXPERIMENT, EXPERIMENT.results)        # Markdown
    plots(EXPERIMENT, EXPERIMENT.results, folder)
    register([EXPERIMENT, ...]), table([EXPERIMENT, ...]), questions([EXPERIMENT, ...])

A page states first what the experiment found, then how it was done and what it can and cannot show, then decides the
claims, then shows every seed. Only then follows the experiment's own part. NAME.md.jinja has this part, and what was
found as a block named `findings`; every number in it comes from results, register or the definition of its world.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from fathom.errors import FathomError
from fathom.lab.experiments.claims import Decision, decide, succeeds
from fathom.lab.experiments.experiment import Experiment
from fathom.lab.experiments.results import Figure, Results, over_seeds

HERE = Path(__file__).parent


def page(experiment: Experiment[Any], results: Results | None) -> str:
    """Without results, the register alone. With only some of the reported seeds, the page says so."""
    shared = {
        "name": experiment.name,
        "register": experiment.register,
        "decisions": decisions(experiment, results),
        "rows": results.rows if results else (),
        "missing": [seed for seed in experiment.register.reported.seeds if not results or seed not in results.seeds],
        "succeeds": succeeds,
    }
    own = findings = ""
    if results:
        found = over_seeds(row.figures for row in results.rows)
        values = {**shared, "results": results, **found, **experiment.tables(found)}
        module = _template(experiment.template).make_module(values)
        own, findings = str(module), str(getattr(module, "findings", ""))
    return _render(HERE / "page.md.jinja", **shared, own=own, findings=findings)


def plots(experiment: Experiment[Any], results: Results, folder: Path) -> None:
    experiment.figures(over_seeds(row.figures for row in results.rows), folder)


def register(experiments: Iterable[Experiment[Any]]) -> str:
    """The registers of all experiments on one page."""
    return _render(HERE / "register.md.jinja", experiments=list(experiments))


def table(experiments: Iterable[Experiment[Any]]) -> str:
    """One line per experiment with results: what it asks, how many claims hold, and on how many of the reported seeds.

    A sentence names the experiments without results.
    """
    lines = ["| experiment | question | claims that hold | they succeed on |", "|---|---|---|---|"]
    waiting = []
    for each in experiments:
        made = decisions(each, each.results)
        link = f"[{each.name}](docs/reproductions/{each.name}.md)"
        if made:
            lines.append(f"| {link} | {each.register.question} | {holding(made)} | {_successes(made)} |")
        else:
            waiting.append(link)
    rows = "\n".join(lines) + "\n" if len(lines) > 2 else ""
    left = f"Without results of reported seeds so far: {', '.join(waiting)}.\n" if waiting else ""
    return "\n".join(filter(None, [rows, left]))


def questions(experiments: Iterable[Experiment[Any]]) -> str:
    """One line per experiment for docs/index.md: its page and its question."""
    lines = ["| page | question |", "|---|---|"]
    lines += [f"| [{each.name}](reproductions/{each.name}.md) | {each.register.question} |" for each in experiments]
    return "\n".join(lines) + "\n"


def decisions(experiment: Experiment[Any], results: Results | None) -> list[Decision]:
    return [decide(claim, results.rows) for claim in experiment.register.claims] if results and results.rows else []


def holding(made: Sequence[Decision]) -> str:
    """How many claims hold, by who made them: "3 of 4 of the paper's (1 undecided), 1 of 1 of Fathom's"."""
    groups = {"of the paper's": "paper", "of Fathom's": "ours"}
    results = {words: [each.result for each in made if each.claim.of == of] for words, of in groups.items()}
    return ", ".join(
        f"{found.count('holds')} of {len(found)} {words}"
        + (f" ({found.count('undecided')} undecided)" if "undecided" in found else "")
        for words, found in results.items()
        if found
    )


def _successes(made: Sequence[Decision]) -> str:
    """On how many seeds the claims that hold succeed, fewest and most: "7 to 8 of 8 seeds"."""
    counts = [sum(each.successes) for each in made if each.holds]
    bounds = dict.fromkeys(map(str, (min(counts), max(counts)))) if counts else "-"
    return f"{' to '.join(bounds)} of {len(made[0].successes)} seeds"


def between(text: str, name: str, content: str) -> str:
    """Replace what stands between <!-- NAME --> and <!-- /NAME --> in a page."""
    begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
    if text.count(begin) != 1 or text.count(end) != 1:
        raise FathomError(
            f"expected {begin.strip()} and {end} once each; got {text.count(begin)} and {text.count(end)}"
        )
    before, rest = text.split(begin)
    return before + begin + content + end + rest.split(end)[1]


# Templates ------------------------------------------------------------------------------------------------------------


def _render(template: Path, **values: Any) -> str:
    return _template(template).render(values)


def _template(path: Path) -> Template:
    """A missing value is an error, never blank."""
    environment = Environment(
        loader=FileSystemLoader(path.parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "signed": _signed,
        "points": _points,
        "plain": _plain,
        "share": _share,
        "mean": fmean,
        "minutes": _minutes,
    }
    return environment.get_template(path.name)


def _signed(figure: Figure, digits: int = 3) -> str:
    return figure.text(f"+.{digits}f")


def _points(figure: Figure) -> str:
    """In percentage points."""
    return figure.text("+.1f", times=100)


def _plain(figure: Figure, digits: int = 2) -> str:
    """The mean over seeds without its interval, for prose; the page's tables have the interval."""
    return f"{figure.mean:.{digits}f}"


def _share(value: float, digits: int = 0) -> str:
    return f"{100 * value:.{digits}f} %"


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.1f}"


def beside(rows: Iterable[tuple[str, float, Figure]]) -> list[Mapping[str, Any]]:
    """The differences that a paper reports, in percentage points, with the same differences measured here.

    The mark is the sign where Student's interval excludes zero after Holm's correction over all rows, or where every
    seed has the same value; otherwise "not significant". The correction favours agreement with the paper, so the mark
    also says where an interval without it lies on the other side of zero.
    """
    from fathom.metrics.significance import holm, student_p

    rows = list(rows)
    adjusted = holm([student_p(here.values) for *_, here in rows])
    marked: list[Mapping[str, Any]] = []
    for (name, paper, here), p in zip(rows, adjusted, strict=True):
        alike = len(here.values) > 1 and here.interval is None and here.mean != 0
        same = (here.mean > 0) == (paper > 0)
        mark = "not significant"
        if p < 0.05 or alike:
            mark = "same sign" if same else "**other sign**"
        elif not same and student_p(here.values) < 0.05:
            mark = "not significant, **other sign** without the correction"
        marked.append({"difference": name, "paper": round(paper, 1), "here": here, "mark": mark})
    return marked
