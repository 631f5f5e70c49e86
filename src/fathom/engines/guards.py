"""Warnings about readings that are numbers, but probably not the ones that were meant.

    guards = Guards("judge-7b")
    guards.begin(tokens, tokenizer.bos_token_id)            # warns, once, if the text begins with two begin tokens

Errors that leave no number, such as a text beyond the context or a head in no file, are raised elsewhere. Every warning
names the setting to change, and appears once per engine.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from math import isfinite
from statistics import pstdev

LOG = logging.getLogger(__name__)

BATCH_ROWS = 8
"""Rows that are computed alone too, to see whether scores depend on the batch."""
BATCH_SHARE = 0.02
"""The largest difference between a row alone and in a batch, as a share of the scores' spread: bfloat16 stays below."""
SATURATED_ROWS = 20
"""Outputs after which their saturation is judged."""
FEWEST_ROWS = 4
"""Outputs of a shorter run from which on it is judged at its end, if they are also equal."""
AT_A_BOUND = 1e-3


class Guards:
    """The warnings of one engine on the model `name`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._given: set[str] = set()
        self._outputs: list[float] = []

    def begin(self, tokens: Sequence[int], begin: int | None) -> None:
        """Warn if a text begins with two begin tokens, on which no model was trained."""
        if begin is not None and list(tokens[:2]) == [begin, begin]:
            self._warn(
                "begin",
                "texts begin with two begin tokens: correct chat_template.jinja, or set add_bos_token to false in "
                "tokenizer_config.json",
            )

    def padding(self, tokens: Sequence[int], position: int) -> None:
        """Warn if the score is read before the last token, because that one is the padding token."""
        if position < len(tokens) - 1:
            self._warn(
                "padding",
                "the padding token (pad_token_id in config.json) is a token that texts end with, so the score is read "
                "before it, as transformers does; if the model was trained to be read at its last token, give it "
                "another pad_token_id",
            )

    def batch(self, alone: Sequence[float], together: Sequence[float], spread: float) -> None:
        """Warn if scores of rows alone differ from those in a batch by more than a share of the spread of all.

        Scores that are not finite are left out: they give no verdict.
        """
        pairs = [pair for pair in zip(alone, together, strict=True) if all(map(isfinite, pair))]
        difference = max((abs(one - other) for one, other in pairs), default=0.0)
        if difference > BATCH_SHARE * spread:
            self._warn(
                "batch",
                f"scores depend on the batch: the largest difference of {len(pairs)} scores is {difference:.3g}, at a "
                f"spread of {spread:.3g}; give --dtype float32, or --max-batch-tokens 1 for rows alone",
            )

    def saturation(self, outputs: Sequence[float]) -> None:
        """Warn if all outputs are 0 or 1, as after a sigmoid or a softmax of one output."""
        if len(self._outputs) < SATURATED_ROWS:
            self._outputs += outputs
            if len(self._outputs) >= SATURATED_ROWS:
                self._check_bounds()

    def closed(self) -> None:
        """Warn at the end of a short run if all its outputs are 0, or all are 1."""
        if FEWEST_ROWS <= len(self._outputs) < SATURATED_ROWS and max(self._outputs) - min(self._outputs) < AT_A_BOUND:
            self._check_bounds()

    def _check_bounds(self) -> None:
        if all(min(abs(value), abs(value - 1)) < AT_A_BOUND for value in self._outputs):
            self._warn(
                "saturation",
                f"all {len(self._outputs)} outputs are 0 or 1: the server probably applies a sigmoid or a softmax to "
                "raw scores; check use_activation, and the protocol",
            )

    def uncounted(self) -> None:
        """Warn that a server reports no number of prompt tokens, which would show that it read other tokens."""
        self._warn(
            "uncounted",
            "the server reports no number of prompt tokens, so a text that it cuts, or to which it adds a begin token, "
            "is not noticed: use a version that reports usage, or compare with known scores (fathom compare-engines "
            "--expect)",
        )

    def _warn(self, kind: str, message: str) -> None:
        if kind not in self._given:
            self._given.add(kind)
            LOG.warning("%s: %s", self.name, message)


def spread(scores: Sequence[float]) -> float:
    """The standard deviation of the finite scores; 0 for none."""
    finite = list(filter(isfinite, scores))
    return pstdev(finite) if finite else 0.0
