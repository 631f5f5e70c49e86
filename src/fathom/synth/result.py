"""Results of a synthesis run: training sets, accuracy after every stage, tokens, rejections; and writing them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

from fathom.data.reading import write_jsonl
from fathom.data.records import Comparison, Domain
from fathom.engines.usage import Usage
from fathom.judges.mix import MixJudge
from fathom.rationale import Rationale, render
from fathom.results.provenance import write_json
from fathom.results.rows import reported
from fathom.synth.merging import ordered_alike, unify_names
from fathom.synth.pipeline import Arm, Rejected, Settings, Structure, Synthesis, structure
from fathom.synth.steps import Stage

STAGES = ("sampled", "standardised", "breadth", "depth")


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Agreement of the teacher's verdict with the label after a stage, over the labelled comparisons.

    `stage` is "sampled" (every vanilla text), "standardised", "breadth" or "depth". `domain` is None for all domains.
    Unparsed and rejected texts are counted in `labelled` but not in `parsed`.
    """

    stage: str
    domain: Domain | None
    correct: int
    parsed: int
    labelled: int

    def summary(self) -> dict[str, Any]:
        """Accuracy over labelled texts and over parsed ones, and the parse rate: 95 % Wilson intervals."""
        from fathom.metrics.intervals import wilson

        intervals = {
            "accuracy": wilson(self.correct, self.labelled),
            "accuracy_parsed": wilson(self.correct, self.parsed),
            "parse_rate": wilson(self.parsed, self.labelled),
        }
        return asdict(self) | {name: interval and interval._asdict() for name, interval in intervals.items()}


@dataclass(frozen=True)
class Result:
    settings: Settings
    syntheses: tuple[Synthesis, ...]

    def rationales(self, arm: Arm) -> list[tuple[Comparison, Rationale]]:
        """The training set of an arm after filtering, in the order of the comparisons.

        Principles have the same names in the whole run, and breadth rationales list them in the same order.
        """
        keys = [(k, structure(arm, synthesis.comparison)) for k, synthesis in enumerate(self.syntheses)]
        rows = [(self.syntheses[key[0]].comparison, self._alike[key]) for key in keys if key in self._alike]
        return [row for row in rows if self._passes(*row)]

    @cached_property
    def _alike(self) -> dict[tuple[int, Structure], Rationale]:
        """All rationales of the run with unified names and order, by index of the comparison and structure."""
        raw = {
            (k, name): rationale
            for k, synthesis in enumerate(self.syntheses)
            for name, rationale in synthesis.rationales.items()
        }
        spelt = dict(zip(raw, unify_names(list(raw.values())), strict=True))
        breadth = [key for key in spelt if key[1] == "breadth"]
        return spelt | dict(zip(breadth, ordered_alike([spelt[key] for key in breadth]), strict=True))

    def _passes(self, comparison: Comparison, rationale: Rationale) -> bool:
        return self.settings.filter == "none" or _correct(comparison, rationale.verdict)

    def completions(self, arm: Arm) -> list[dict[str, Any]]:
        """The training set as conversational prompt-completion rows of TRL, with `id`, `domain` and `structure`."""
        judge = MixJudge(style="mix", trained=True)
        return [
            {
                "id": comparison.id,
                "domain": comparison.domain,
                "structure": structure(arm, comparison),
                "prompt": judge.prompt(comparison),
                "completion": [{"role": "assistant", "content": render(rationale)}],
            }
            for comparison, rationale in self.rationales(arm)
        ]

    @property
    def rejected(self) -> list[Rejected]:
        """All rejected texts, including those rejected by the filter."""
        return [lost for synthesis in self.syntheses for lost in (*synthesis.rejected, *self._filtered(synthesis))]

    def _filtered(self, synthesis: Synthesis) -> list[Rejected]:
        reason = (
            "the verdict is not the label" if _labelled(synthesis.comparison) else "there is no label to agree with"
        )
        return [
            Rejected(synthesis.comparison.id, "filter", reason, render(rationale), structure=name)
            for name, rationale in synthesis.rationales.items()
            if not self._passes(synthesis.comparison, rationale)
        ]

    @property
    def usage(self) -> dict[str, Usage]:
        """Tokens of every stage that called the teacher."""
        stages = [stage for stage in get_args(Stage) if any(stage in synthesis.usage for synthesis in self.syntheses)]
        return {
            stage: sum((synthesis.usage.get(stage, Usage()) for synthesis in self.syntheses), Usage())
            for stage in stages
        }

    def accuracies(self) -> list[Accuracy]:
        """Accuracy after every stage that took place: over all comparisons, and by domain if there are several."""
        domains = sorted({synthesis.comparison.domain for synthesis in self.syntheses if synthesis.comparison.domain})
        parts = (None, *domains) if len(domains) > 1 else (None,)
        rows = [self._accuracy(stage, domain) for stage in STAGES for domain in parts]
        return [row for row in rows if row.labelled]

    def _accuracy(self, stage: str, domain: Domain | None) -> Accuracy:
        of_domain = [m for m in self.syntheses if _labelled(m.comparison) and domain in (None, m.comparison.domain)]
        verdicts = [(m.comparison, verdict) for m in of_domain for verdict in _verdicts(m, stage)]
        correct = sum(_correct(comparison, verdict) for comparison, verdict in verdicts)
        return Accuracy(stage, domain, correct, sum(verdict is not None for _, verdict in verdicts), len(verdicts))


def _verdicts(synthesis: Synthesis, stage: str) -> list[str | None]:
    """The verdicts on a comparison after a stage; None for rejected texts."""
    if stage == "sampled":
        return [vote.rationale.verdict if vote.rationale else None for vote in synthesis.votes]
    if stage == "standardised":
        lost = len(synthesis.votes) - len(synthesis.standardised)
        return [*(rationale.verdict for rationale in synthesis.standardised), *[None] * lost]
    if stage in synthesis.rationales:
        return [synthesis.rationales[stage].verdict]  # type: ignore[index]
    return [None for rejected in synthesis.rejected if rejected.structure == stage]


def _labelled(comparison: Comparison) -> bool:
    return comparison.label is not None and comparison.label.winner is not None


def _correct(comparison: Comparison, verdict: str | None) -> bool:
    return _labelled(comparison) and comparison.label.winner == {"A": 0, "B": 1}.get(verdict or "")  # type: ignore[union-attr]


def table(result: Result) -> str:
    """Accuracy after every stage, tokens of every step, and counts, as text."""
    lines = [f"{'after':<14}{'domain':<14}{'correct':>12}   {'accuracy':<24}parsed"]
    lines += [_table_row(accuracy) for accuracy in result.accuracies()]
    lines += ["", f"{'step':<14}{'prompt tokens':>14}{'completion tokens':>20}"]
    lines += [_usage_row(step, usage) for step, usage in result.usage.items()]
    lines += ["", *(f"{len(result.rationales(arm))} rationales for {arm}" for arm in result.settings.arms)]
    return "\n".join([*lines, f"{len(result.rejected)} texts rejected"])


def warning(result: Result) -> str | None:
    """A message if training sets are empty, with the most common reason of rejection; otherwise None."""
    empty = [arm for arm in result.settings.arms if not result.rationales(arm)]
    if not empty or not result.syntheses:
        return None
    reasons = Counter(f"{lost.stage}: {lost.reason}" for lost in result.rejected)
    [(reason, count)] = reasons.most_common(1) or [("none", 0)]
    return (
        f"kept 0 rationales of {len(result.syntheses)} comparisons for {', '.join(empty)}; the most common reason of "
        f"rejection is {reason!r} ({count} of {reasons.total()}): see rejected.jsonl"
    )


def _usage_row(step: str, usage: Usage) -> str:
    counts = f"{step:<14}{usage.prompt_tokens:>14,}{usage.completion_tokens:>20,}"
    return f"{counts}   and {usage.unknown_calls} calls without reported usage" if usage.unknown_calls else counts


def _table_row(accuracy: Accuracy) -> str:
    correct = f"{accuracy.correct}/{accuracy.labelled}"
    share = "{mean:.3f} [{low:.3f}, {high:.3f}]".format(**accuracy.summary()["accuracy"])
    parsed = accuracy.parsed / accuracy.labelled
    return f"{accuracy.stage:<14}{accuracy.domain or 'all':<14}{correct:>12}   {share:<24}{parsed:.3f}"


def manifest(result: Result) -> dict[str, Any]:
    """Settings, counts, accuracies, tokens and rejections by reason, in JSON types."""
    lost = result.rejected
    return {
        "settings": asdict(result.settings),
        "comparisons": len(result.syntheses),
        "samples": sum(len(synthesis.votes) for synthesis in result.syntheses),
        "completions": {arm: len(result.rationales(arm)) for arm in result.settings.arms},
        "accuracy": [accuracy.summary() for accuracy in result.accuracies()],
        "tokens": {stage: reported(usage) for stage, usage in result.usage.items()},
        "rejected": {
            "samples": _counted(r for r in lost if r.structure is None),
            "rationales": _counted(r for r in lost if r.structure is not None),
        },
    }


def _counted(rejected: Iterable[Rejected]) -> list[dict[str, Any]]:
    counts = Counter((r.stage, r.reason) for r in rejected)
    return [{"stage": stage, "reason": reason, "count": n} for (stage, reason), n in counts.most_common()]


def write(result: Result, out: Path, provenance: Mapping[str, Any] | None = None) -> None:
    """Write ARM.jsonl for every arm, rejected.jsonl and manifest.json into the folder `out`."""
    for arm in result.settings.arms:
        write_jsonl(out / f"{arm}.jsonl", result.completions(arm))
    write_jsonl(out / "rejected.jsonl", [asdict(rejected) for rejected in result.rejected])
    write_json(out / "manifest.json", {**manifest(result), **(provenance or {})})
