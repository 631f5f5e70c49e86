"""Upper bounds on the calls and tokens of a synthesis run, without any call.

    counter = preview(engine_settings).counter
    stages = plan(comparisons, settings, counter)        # Counter({"sample": 16, "standardise": 16, ...})

Derivation of the bound, with S samples of at most T tokens each. A comparison takes S samples and at most S calls to
standardise (for texts without units). Breadth takes one merge if the teacher merges; depth takes one solution, one
choice and one refinement. Later prompts quote earlier answers: a single one has at most T tokens, and the units of all
samples at most S T.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from fathom import prompts
from fathom.data.records import Comparison
from fathom.engines import ChatMessage, Request
from fathom.engines.planning import CallCounter
from fathom.judges.mix import MixJudge
from fathom.synth.pipeline import Settings, structure
from fathom.synth.steps import Stage


class Step(NamedTuple):
    """One call: the known part of its prompt, and the maximum number of tokens that it quotes from earlier answers."""

    stage: Stage
    messages: Sequence[ChatMessage]
    sample: int = 0
    quoted: int = 0


def plan(comparisons: Iterable[Comparison], settings: Settings, counter: CallCounter) -> Counter[Stage]:
    """Count the calls in `counter.plan`. Returns the maximum number of calls per stage."""
    stages: Counter[Stage] = Counter()
    for comparison in comparisons:
        for step in steps(comparison, settings):
            request = Request(tuple(step.messages), settings.sampling, step.sample)
            counter.count(request, quoted=step.quoted)
            stages[step.stage] += 1
    return stages


def steps(comparison: Comparison, settings: Settings) -> Iterator[Step]:
    """All possible calls for one comparison."""
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
