"""Keeps the names of version 0.1: `import fathom.records` and `fathom.recorded` work, with a warning of the new name.

An import finder, last in `sys.meta_path`, makes an empty module for an old name. Attributes are looked up in the new
module. The old names will be removed in version 0.3.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.machinery import ModuleSpec

TYPE_CHECKING = False  # instead of typing.TYPE_CHECKING: importing typing takes longer than the rest of `import fathom`
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType
    from typing import Any

MOVED = {
    "answers": "metrics.answers",
    "atomic": "data.atomic",
    "checkpoints": "engines.checkpoints",
    "comparing": "judging.compare_engines",
    "control": "engines.control",
    "conversations": "data.conversations",
    "exporting": "results.export",
    "labels": "data.labels",
    "layouts": "data.layouts",
    "metrics.rows": "results.rows",
    "mini": "lab",
    "outputs": "results.outputs",
    "provenance": "results.provenance",
    "published": "bench.published",
    "reading": "data.reading",
    "recipes": "train.recipes",
    "records": "data.records",
    "reproductions": "lab.reproductions",
    "runs": "results.runs",
    "scaling": "voting",
    "scaling.adaptive": "voting.adaptive",
    "scaling.best_of": "ranking.best_of",
    "scaling.differences": "ranking.differences",
    "scaling.guided": "voting.meta",
    "scaling.panel": "voting.panel",
    "scaling.preferences": "ranking.preferences",
    "scaling.ranking": "ranking",
    "scaling.recorded": "voting.recorded",
    "scaling.schedules": "ranking.schedules",
    "scaling.scores": "ranking.reducers",
    "scaling.votes": "voting.wrappers",
    "scoring": "report.scoring",
    "sources": "data.sources",
    "transcript": "rationale.transcript",
    "transcript.page": "rationale.transcript.document",
    "verdict": "judges",
}
"""Old name: new name, both within `fathom`."""
RENAMED: dict[str, str] = {
    "Counted": "WithRule",
    "Guided": "MetaFiltered",
    "Page": "Document",
    "Pattern": "Arity",
    "Votes": "PairVotes",
    "as_mapping": "parse_mapping",
    "chance_of_another": "flip_probability",
    "correct": "verdict_correct",
    "difference_advantages": "pairwise_advantages",
    "count_text": "format_token_count",
    "deciding": "counted_votes",
    "half": "accuracy_half_ties",
    "highest": "unique_argmax",
    "is_caught": "score_catch_up_probability",
    "labelled": "is_labelled",
    "OpenSource": "DataSource",
    "open_source": "open_data_source",
    "overtakes": "catch_up_probability",
    "placement": "shuffled_order",
    "recorded": "verdict_from_completions",
    "replacing": "atomic_write",
    "score_alone": "pointwise_score",
    "scores_alone": "pointwise_scores",
    "settled_after": "votes_until_settled",
    "shortened": "truncated_repr",
    "strict": "accuracy",
    "tokens": "tokens_of_usage",
    "truth": "is_correct",
    "vote_groups": "votes_by_pair",
}
"""Renamed names within these modules: old name: new name."""
EXPORTED = {
    "Counted": "WithRule",
    "Pattern": "Arity",
    "Voter": "RewardModel",
    "difference_advantages": "pairwise_advantages",
    "recorded": "verdict_from_completions",
    "scores_alone": "pointwise_scores",
}
"""Renamed names that `fathom` itself exported: old name: new name."""


def exported_name(name: str) -> str:
    """The current name of a name that `fathom` exports. Warns, at the line that uses it, about an old name."""
    if name not in EXPORTED:
        return name
    import warnings

    warnings.warn(f"fathom.{name} is now fathom.{EXPORTED[name]}", DeprecationWarning, stacklevel=3)
    return EXPORTED[name]


class MovedModules:
    """Finds and loads modules by the names in `MOVED`, and modules of moved packages below them.

    It implements `importlib.abc.MetaPathFinder` and `Loader` without inheriting, because importing these is slow.
    """

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        return ModuleSpec(name, self, is_package=True) if _new_name(name) else None  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> None:
        """Return None, so that the import system creates an ordinary module."""

    def exec_module(self, module: ModuleType) -> None:
        import warnings

        new = _new_name(module.__name__)
        assert new is not None, module.__name__
        # `stacklevel` skips the frames of the import system, so that the warning points at the import statement.
        warnings.warn(f"{module.__name__} is now {new}", DeprecationWarning, stacklevel=6)
        current = import_module(new)

        def lookup(name: str) -> Any:
            new = RENAMED.get(name, name)
            # Names are mapped in all modules, but one module may still have a name that was renamed in another.
            return getattr(current, new if hasattr(current, new) else name)

        module.__getattr__ = lookup  # type: ignore[method-assign]


def _new_name(name: str) -> str | None:
    """The new name of a module, by the longest old name that is a prefix of it; None if it was not moved."""
    parts = name.split(".")[1:]
    for count in range(len(parts), 0, -1):
        if new := MOVED.get(".".join(parts[:count])):
            return ".".join(["fathom", new, *parts[count:]])
    return None


def install() -> None:
    """Append the finder once. It is last, so it does not affect the import of existing modules."""
    if not any(isinstance(finder, MovedModules) for finder in sys.meta_path):
        sys.meta_path.append(MovedModules())
