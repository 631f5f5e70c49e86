"""The pairwise test set of Auto-J: human verdicts, including ties, over 58 scenarios in eight groups.

    score.figures["agreement"], score.figures["consistency"], score.figures["Code agreement"]

metadata["gold"] is the human verdict, null for a tie. A row's label is null for a tie, so it cannot tell ties from
missing labels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from fathom.bench import Benchmark
from fathom.bench.files import comparison, each, found
from fathom.bench.outcomes import in_order, scoring_status
from fathom.data.labels import FROM_ZERO_2_IS_TIE, outcome
from fathom.data.layouts import SourceRow
from fathom.data.records import Comparison, Label
from fathom.results.rows import Row

FILES = ("*pair*",)
COLUMNS = ("scenario", "label", "prompt", "response 1", "response 2")
GROUPS: Mapping[str, str] = {
    "Summarization": "post_summarization text_summarization note_summarization",
    "Exam Questions": "math_reasoning solving_exam_question_with_math solving_exam_question_without_math",
    "Code": "code_simplification code_generation explaining_code code_correction_rewriting code_to_code_translation",
    "Rewriting": "text_simplification language_polishing instructional_rewriting text_correction paraphrasing",
    "Creative Writing": (
        "writing_song_lyrics writing_social_media_post writing_blog_post writing_personal_essay creative_writing"
        " writing_advertisement writing_marketing_materials writing_presentation_script counterfactual"
    ),
    "Functional Writing": (
        "writing_product_description writing_job_application writing_news_article writing_biography writing_email"
        " writing_legal_document writing_technical_document writing_scientific_paper functional_writing"
        " writing_cooking_recipe"
    ),
    "General Communication": (
        "asking_how_to_question open_question analyzing_general explaining_general seeking_advice recommendation"
        " value_judgement verifying_fact chitchat roleplay planning brainstorming"
    ),
    "NLP Tasks": (
        "ranking text_to_text_translation data_analysis classification_identification title_generation"
        " question_generation reading_comprehension keywords_extraction information_extraction topic_modeling others"
    ),
}
"""The scenarios of each group whose scores are reported."""
UNPARSED = -1
TOTALS = ("agreement", "consistency", "single")


def load(folder: Path) -> Iterator[Comparison]:
    for path in found(folder, *FILES):
        yield from each(path, COLUMNS, _pair)


def _pair(row: SourceRow, line: int) -> Iterator[Comparison]:
    gold = outcome(row["label"], FROM_ZERO_2_IS_TIE)
    yield comparison(
        "autoj",
        str(row.get("_index", line - 1)),
        row["prompt"],
        (row["response 1"], row["response 2"]),
        Label(scores=(0.5, 0.5)) if gold is None else Label(best=gold),
        subset=group(row["scenario"]),
        domain="preference",
        scenario=row["scenario"],
        gold=gold,
    )


def group(scenario: str) -> str:
    """The group of a scenario; an unknown scenario is its own group."""
    return next((name for name, scenarios in GROUPS.items() if scenario in scenarios.split()), scenario)


def item(row: Row) -> list[tuple[str, float]]:
    gold, group = row["metadata"]["gold"], row["metadata"]["subset"]
    votes = [vote for vote in (in_order(row, 0), in_order(row, 1)) if vote]
    outcomes = [_outcome(vote["status"], vote["winner"]) for vote in votes] or [
        _outcome(scoring_status(row), row["winner"])
    ]
    values = _agreement(outcomes[0], outcomes[1], gold) if len(outcomes) > 1 else {}
    values["single"] = outcomes[0] == gold
    return [(f"{part}{name}", float(value)) for part in ("", f"{group} ") for name, value in values.items()]


def _agreement(straight: int | None, swapped: int | None, gold: int | None) -> dict[str, bool]:
    return {"agreement": straight == gold == swapped, "consistency": straight == swapped != UNPARSED}


def _outcome(status: str, winner: int | None) -> int | None:
    """0, 1, None for a tie, or `UNPARSED`."""
    return winner if status == "ok" else UNPARSED


def figures(means: Mapping[str, float]) -> Mapping[str, float]:
    return {name: means[name] for name in TOTALS if name in means} | dict(means)


BENCHMARK = Benchmark(
    name="autoj",
    title="Auto-J pairwise",
    source="Li et al. 2024, Auto-J (arXiv 2310.05470); github.com/GAIR-NLP/auto-j, data/test/testdata_pairwise.jsonl.",
    files=FILES,
    size="1,392 pairs: 24 for each of 58 scenarios",
    layout=(
        "scenario, label (0, 1, or 2 for a tie), prompt, response 1, response 2; checked with 1,011 of the 1,392 rows."
    ),
    official=(
        "Agreement is the share of pairs whose verdicts in both orders equal the label; a tie is right if the label is"
        " a tie. Consistency is the share of pairs with the same verdict in both orders. Single is the agreement in the"
        " first order alone. An unparsed verdict is wrong. If there are several votes in one order, only the first one"
        " counts."
    ),
    domains=dict.fromkeys(GROUPS, "preference"),
    load=load,
    item=item,
    figures=figures,
    always_first=0.0,
    example={
        "testdata_pairwise.jsonl": [
            {
                "scenario": scenarios.split()[0],
                "label": place % 2,
                "prompt": f"Say {name} in capitals.",
                f"response {1 + place % 2}": name.upper(),
                f"response {2 - place % 2}": name.lower(),
            }
            for place, (name, scenarios) in enumerate(GROUPS.items())
        ]
    },
)
