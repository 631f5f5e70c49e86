"""The validation split of HelpSteer3-Preference: human preferences between two responses, from -3 to 3.

    score.figures["accuracy"], score.figures["code"]

Pairs that were rated equal have a tie as their label and are in no score. `fathom judge` reads other files of this
layout, such as those of HelpSteer2.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from fathom.bench import Benchmark
from fathom.bench.files import comparison, each, found
from fathom.bench.outcomes import credit, in_subset
from fathom.data.conversations import as_prompt
from fathom.data.layouts import SourceRow
from fathom.data.records import Comparison, Domain, Label
from fathom.results.rows import Row

FILES = ("*preference/validation*|validation*",)
COLUMNS = ("domain", "context", "response1", "response2", "overall_preference")
DOMAINS: Mapping[str, Domain] = {
    "general": "preference",
    "multilingual": "preference",
    "stem": "correctness",
    "code": "correctness",
}


def load(folder: Path) -> Iterator[Comparison]:
    for path in found(folder, *FILES):
        yield from each(path, COLUMNS, _pair)


def _pair(row: SourceRow, line: int) -> Iterator[Comparison]:
    strength = float(row["overall_preference"])
    yield comparison(
        "helpsteer3",
        str(line),
        as_prompt(row["context"], "context"),
        (row["response1"], row["response2"]),
        Label(scores=(-strength / 2, strength / 2)),
        subset=row["domain"],
        domain=DOMAINS.get(row["domain"]),
        language=row.get("language"),
    )


def item(row: Row) -> list[tuple[str, float]]:
    """Empty for a pair that was rated equal."""
    if row["label"] is None:
        return []
    return in_subset(row, credit(row, tie=0.0, unparsed=0.0))


BENCHMARK = Benchmark(
    name="helpsteer3",
    title="HelpSteer3-Preference, validation",
    source="Wang et al. 2025, HelpSteer3-Preference (arXiv 2505.11475); on the hub nvidia/HelpSteer3; CC-BY-4.0.",
    hub="nvidia/HelpSteer3",
    files=FILES,
    size="about 2,000 pairs",
    layout=(
        "domain (general, multilingual, stem, code), language, context (turns), response1, response2,"
        " overall_preference (below 0: the first is better). Checked with this layout only, not with the real files."
    ),
    official=(
        "There is no official benchmark score. The score here is the share of pairs for which the judge names the"
        " response that people prefer, overall and by domain. Pairs with the preference 0 are left out. A tie and an"
        " unparsed verdict are wrong."
    ),
    domains=DOMAINS,
    load=load,
    item=item,
    always_first=0.0,
    example={
        "preference/validation.jsonl": [
            {
                "domain": domain,
                "language": "english",
                "context": [{"role": "user", "content": f"What does {domain} mean?"}],
                "response1": f"A definition of {domain}.",
                "response2": f"{domain} {strength}",
                "overall_preference": strength,
            }
            for domain in DOMAINS
            for strength in (-2, 0, 1)
        ]
    },
)
