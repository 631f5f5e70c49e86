"""The Mix judge: principles side by side for matters of preference, a solution first for matters of correctness.

Method: "Beyond Length Scaling: Synergizing Breadth and Depth for Generative Reward Models" (arXiv 2603.01571).

    judge = MixJudge(engine=engine)                    # any LLM, told how to judge
    judge = MixJudge(engine=engine, trained=True)      # a model trained by `fathom train`, which picks by itself
    verdict = await judge(comparison)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from fathom import prompts
from fathom.data.records import Comparison
from fathom.engines import ChatMessage
from fathom.judges import Judge
from fathom.judges._verdict import Vote
from fathom.rationale import parse

Style = Literal["vanilla", "breadth", "depth", "mix", "hybrid"]


@dataclass(frozen=True, kw_only=True)
class MixJudge(Judge):
    """Judges pairs. `style` is the structure asked for; `mix` leaves the choice between breadth and depth to the model.

    A prompted model is instructed in the style and the format. A `trained` one gets the plain prompt of its training
    data, where `mix` adds nothing and any other style is only named.
    """

    gives_scores: ClassVar[bool] = False
    style: Style = "mix"
    trained: bool = False

    def ask(self, comparison: Comparison) -> list[ChatMessage]:
        self.check(comparison)
        text = prompts.render(
            "mix/trained" if self.trained else f"mix/{self.style}",
            instruction=comparison.prompt_text,
            responses=comparison.responses,
            reference=comparison.reference,
            style=self.style,
        )
        return [{"role": "user", "content": text}]

    def read(self, text: str, comparison: Comparison, *, finished: bool = True) -> Vote:
        reading = parse(text, finished=finished)
        winner = {"A": 0, "B": 1}.get(reading.rationale.verdict or "")
        return Vote(reading.status, winner=winner, rationale=reading.rationale)


JUDGE = MixJudge
