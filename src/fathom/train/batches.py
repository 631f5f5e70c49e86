"""The order of training examples: batches of similar length, as a pure function of the seed and the epoch.

    order = by_length(lengths, batch_size=64, pool=50, seed=0, epoch=0)

Texts of one batch are padded to the longest, so batches of similar length waste less computation. `transformers` groups
by length too, but by the batch of one process, and in an order drawn from the global random state. Here an optimizer
step sees the same examples however it is divided into processes and accumulated batches, also after a resumed run.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence


def by_length(lengths: Sequence[int], *, batch_size: int, pool: int, seed: int, epoch: int) -> list[int]:
    """Indices in the order of training: consecutive batches of `batch_size`, the examples of each sorted by length.

    Examples are shuffled, cut into pools of `pool` batches, and sorted within each pool; then the batches are shuffled.
    `pool=1` is a random order. Only full batches count, as a mean over fewer examples would weigh each of them more;
    the up to `batch_size` - 1 examples left out differ between epochs.
    """
    draw = random.Random(f"{seed} {epoch}")
    shuffled = draw.sample(range(len(lengths)), len(lengths))
    kept = shuffled[: len(shuffled) // batch_size * batch_size] or shuffled
    pools = [kept[start : start + pool * batch_size] for start in range(0, len(kept), pool * batch_size)]
    ordered = [place for group in pools for place in sorted(group, key=lengths.__getitem__)]
    batches = [ordered[start : start + batch_size] for start in range(0, len(ordered), batch_size)]
    draw.shuffle(batches)
    return [place for batch in batches for place in batch]


class LengthSampler:
    """`by_length` as a sampler for a data loader, which calls `set_epoch` before each epoch."""

    def __init__(self, lengths: Sequence[int], *, batch_size: int, pool: int, seed: int) -> None:
        self.lengths, self.batch_size, self.pool, self.seed = lengths, batch_size, pool, seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        return iter(
            by_length(self.lengths, batch_size=self.batch_size, pool=self.pool, seed=self.seed, epoch=self.epoch)
        )

    def __len__(self) -> int:
        count = len(self.lengths)
        return count // self.batch_size * self.batch_size or count
