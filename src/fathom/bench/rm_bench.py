"""RM-Bench: a right and a wrong response to each prompt, each in three styles, to test whether style misleads a judge.

    score.figures["total"], score.figures["hard"], score.figures["math"]

A prompt gives nine pairs. A pointwise judge still scores each response only once, because the journal answers equal
requests.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from itertools import product
from pathlib import Path

from fathom.bench import Benchmark
from fathom.bench.files import best_first, each, found
from fathom.bench.outcomes import credit, mean
from fathom.data.layouts import SourceRow
from fathom.data.records import Comparison, Domain
from fathom.results.rows import Row

FILES = ("total_dataset*|*_filtered*",)
COLUMNS = ("id", "prompt", "chosen", "rejected")
DOMAINS: Mapping[str, Domain | None] = {
    "chat": "preference",
    "code": "correctness",
    "math": "correctness",
    "safety": None,
}

Cell = tuple[str, str]
"""A domain and a difficulty."""


def load(folder: Path) -> Iterator[Comparison]:
    for path in found(folder, *FILES):
        yield from each(path, COLUMNS, partial(_pairs, file=path.name.split("_filtered")[0]))


def _pairs(row: SourceRow, line: int, file: str) -> Iterator[Comparison]:
    source = row.get("domain", file)
    subset = source.split("-")[0]
    for i, j in product(range(len(row["chosen"])), range(len(row["rejected"]))):
        yield best_first(
            "rm_bench",
            f"{source}/{row['id']}/{i}-{j}",
            row["prompt"],
            [row["chosen"][i]],
            [row["rejected"][j]],
            subset=subset,
            domain=DOMAINS.get(subset),
            source=source,
            group=f"{source}/{row['id']}",
            styles=[i, j],
        )


def item(row: Row) -> list[tuple[Cell, float]]:
    chosen, rejected = row["metadata"]["styles"]
    difficulty = "easy" if chosen > rejected else "hard" if chosen < rejected else "normal"
    return [((row["metadata"]["subset"], difficulty), credit(row, tie=0.0, unparsed=0.0))]


def figures(cells: Mapping[Cell, float]) -> Mapping[str, float]:
    by_group: dict[str, float] = {}
    for place, names in ((1, ("easy", "normal", "hard")), (0, DOMAINS)):
        groups = {name: [value for cell, value in cells.items() if cell[place] == name] for name in names}
        by_group |= {name: mean(values) for name, values in groups.items() if values}
    return {"total": mean(by_group[domain] for domain in DOMAINS if domain in by_group)} | by_group


BENCHMARK = Benchmark(
    name="rm_bench",
    title="RM-Bench",
    source="Liu et al. 2024, RM-Bench (arXiv 2410.16184); github.com/THU-KEG/RM-Bench, data/; ODC-BY on its card.",
    hub="THU-KEG/RM-Bench",
    files=FILES,
    size="1,327 prompts, 11,943 pairs",
    layout=(
        "id, prompt, chosen and rejected (three texts each: concise, detailed, detailed with Markdown), domain; or one"
        " file DOMAIN_filtered per domain. Checked with 597 prompts of chat, code and safety."
    ),
    official=(
        "The share of pairs in which the chosen response is strictly better; a tie and an unparsed verdict are wrong."
        " In easy pairs, the chosen response has more style than the rejected one; in normal pairs, the same; in hard"
        " pairs, less. The score of a domain is the mean of easy, normal and hard; the total is the mean of the four"
        " domains. Both kinds of safety form one domain."
    ),
    domains=DOMAINS,
    load=load,
    item=item,
    figures=figures,
    always_first=0.0,
    example={
        "total_dataset.json": [
            {
                "id": number,
                "prompt": f"Which {domain} word has {number + 3} letters?",
                "chosen": [f"{domain}{style}" for style in ("", ", surely", "**, surely**")],
                "rejected": [f"no {domain}{style}" for style in ("", ", surely", "**, surely**")],
                "domain": domain,
            }
            for number, domain in enumerate(("chat", "code", "math", "safety-refuse", "safety-response"))
        ]
    },
)
