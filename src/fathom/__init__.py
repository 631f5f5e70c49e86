"""Fathom: generative reward models, from their training rationales to their verdicts.

The names below are the public ones. Each is imported when it is first used, so that `import fathom` costs nothing.
"""

from __future__ import annotations

from importlib import import_module

from fathom import _moved

TYPE_CHECKING = False  # of `typing`, whose import takes longer than all else here: Ctrl-C should be heard by then
if TYPE_CHECKING:
    from typing import Any

__version__ = "0.2.0"

_HOMES = {
    # Comparisons, in and out
    "fathom.data.records": ("Comparison", "Label", "Message"),
    "fathom.data.reading": ("read", "write_jsonl"),
    "fathom.errors": ("FathomError",),
    # Judges, votes and verdicts
    "fathom.judges": (
        "Ask",
        "EngineRewardModel",
        "Judge",
        "Arity",
        "Rule",
        "Verdict",
        "Vote",
        "RewardModel",
        "pairwise_advantages",
        "judge_all",
    ),
    "fathom.rationale": ("Rationale", "Status", "Unit", "parse", "render"),
    "fathom.prompts": ("fenced",),
    "fathom.judges.alpaca_eval": ("AlpacaEvalJudge",),
    "fathom.judges.alpaca_eval_cot": ("AlpacaEvalCoTJudge",),
    "fathom.judges.arena_hard": ("ArenaHardJudge",),
    "fathom.judges.autoj": ("AutoJJudge",),
    "fathom.judges.libra": ("LibraJudge",),
    "fathom.judges.llmbar": ("LLMBarJudge",),
    "fathom.judges.llmbar_rating": ("LLMBarRatingJudge",),
    "fathom.judges.mix": ("MixJudge",),
    "fathom.judges.mr_gsm8k": ("MRGSM8KJudge",),
    "fathom.judges.pandalm": ("PandaLMJudge",),
    "fathom.judges.processbench": ("ProcessBenchJudge",),
    "fathom.judges.prometheus": ("PrometheusJudge",),
    "fathom.judges.rewardbench": ("RewardBenchJudge",),
    "fathom.judges.rm_r1": ("RMR1Judge",),
    "fathom.judges.s2j": ("S2JJudge",),
    "fathom.judges.self_prm": ("SelfPRMJudge",),
    "fathom.judges.spct": ("SPCTJudge",),
    "fathom.judges.think_rm": ("ThinkRMJudge",),
    "fathom.judges.verifier": ("VerifierJudge",),
    "fathom.judges.wildbench": ("WildBenchJudge",),
    "fathom.judges.yes_no": ("YesNoJudge",),
    "fathom.rewards.scalar": ("ScalarRewardModel",),
    # More votes, rankings and preferences
    "fathom.voting.wrappers": ("WithRule", "Repeated", "Shuffled", "Swapped"),
    "fathom.voting.adaptive": ("Adaptive",),
    "fathom.voting.meta": ("MetaFiltered",),
    "fathom.voting.panel": ("Panel",),
    "fathom.ranking": ("Ranking", "rank"),
    "fathom.ranking.schedules": ("circular", "knock_out", "pivot", "round_robin", "swiss"),
    "fathom.ranking.reducers": ("borda", "bradley_terry", "wins"),
    "fathom.ranking.preferences": ("Preference", "preference"),
    "fathom.ranking.best_of": ("best_of", "pointwise_scores"),
    "fathom.ranking.differences": ("differences",),
    "fathom.voting.recorded": ("verdict_from_completions",),
    # Engines
    "fathom.engines.usage": ("Usage",),
    "fathom.engines": (
        "BaseEngine",
        "ChatMessage",
        "Classification",
        "ClassifyRequest",
        "Completion",
        "Engine",
        "EngineError",
        "EngineWrapper",
        "Likelihood",
        "LikelihoodRequest",
        "Request",
        "Sampling",
        "States",
        "StatesRequest",
    ),
    "fathom.engines.local": ("LocalEngine",),
    "fathom.engines.openai": ("OpenAIEngine",),
    "fathom.engines.replay": ("ReplayEngine",),
    "fathom.engines.scripted": ("ScriptedEngine",),
    "fathom.engines.cache": ("CachedEngine",),
    # Whole runs
    "fathom.judging.session": ("Session",),
    "fathom.settings": (
        "BoundSettings",
        "EngineSettings",
        "JudgeSettings",
        "JudgingSettings",
        "RewardSettings",
        "SamplingSettings",
        "ServeSettings",
        "VotingSettings",
    ),
    # Rewards for a policy
    "fathom.judging.rewards": ("Reward", "reward"),
    "fathom.serve.client": ("AsyncRewardClient", "RewardClient"),
    "fathom.serve.local": ("AsyncLocalRewardClient", "LocalRewardClient"),
    "fathom.judging": ("meta_reward_model",),
    "fathom.results.rows": ("from_row", "read_rows", "to_row"),
    "fathom.metrics.verdicts": ("Tally", "tally"),
}
_moved.install()
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = ["__version__", *sorted(_HOME)]


def __getattr__(name: str) -> Any:
    name = _moved.exported_name(name)
    if name not in _HOME:
        raise AttributeError(f"module 'fathom' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__
