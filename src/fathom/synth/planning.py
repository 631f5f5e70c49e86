"""What synthesis would ask a teacher, counted without asking: at most, as most steps build on earlier replies.

    counting = preview(engine_settings).engine
    stages = plan(comparisons, settings, counting)        # Counter({"sample": 16, "standardise": 16, ...})

Derivation of the bound, with S samples of at most T tokens each. A comparison takes S samples and at most S steps of
standardising (those whose text has no units). Breadth takes one merge where the teacher merges; depth takes one
solution, one choice and one refinement. A text of the teacher that a later prompt quotes has at most T tokens, and all
units of all samples together at most S T.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from fathom import prompts
from fathom.data.records import Comparison
from fathom.engines import ChatMessage, Request
from fathom.engines.planning import CountingEngine
from fathom.judges.mix import MixJudge
from fathom.synth.pipeline import Settings, structure
from fathom.synth.steps import Stage


class Step(NamedTuple):
    """One call: its prompt as far as it is known, and how many tokens of earlier replies it may hold besides."""

    stage: Stage
    messages: Sequence[ChatMessage]
    sample: int = 0
    quoted: int = 0


def plan(comparisons: Iterable[Comparison], settings: Settings, counting: CountingEngine) -> Counter[Stage]:
    """Counts the calls in `counting.plan`, and returns how many each stage takes at most."""
    stages: Counter[Stage] = Counter()
    for comparison in comparisons:
        for step in steps(comparison, settings):
            request = Request(tuple(step.messages), settings.sampling, step.sample)
            counting.count(request, quoted=step.quoted)
            stages[step.stage] += 1
    return stages


def steps(comparison: Comparison, settings: Settings) -> Iterator[Step]:
    """All that may be asked about one comparison."""
    longest = settings.sampling.max_tokens
    everything = settings.samples * longest
    vanilla = MixJudge(style="vanilla").ask(comparison)
    for sample in range(settings.samples):
        yield Step("sample", vanilla, sample)
    for sample in range(settings.samples):
        yield Step("standardise", _prompt("standardise", evaluation=""), sample, quoted=longest)
    wanted = {structure(arm, comparison) for arm in settings.arms}
    if "breadth" in wanted and settings.merge == "llm":
        yield Step("merge", _prompt("merge", units=[]), quoted=everything)
    if "depth" in wanted:
        task = comparison.prompt_text
        shown = {"responses": comparison.responses, "reference": comparison.reference}
        yield Step("solve", _prompt("solve", instruction=task))
        yield Step("choose", _prompt("choose", instruction=task, units=[]), quoted=everything)
        refine = _prompt("refine", instruction=task, **shown, solution="", units=[])
        yield Step("refine", refine, quoted=longest + everything)


def _prompt(stage: Stage, **values: object) -> list[ChatMessage]:
    return [{"role": "user", "content": prompts.render(f"synth/{stage}", **values)}]
