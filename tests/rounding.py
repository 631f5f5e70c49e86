"""Other processors, simulated: linear layers round their results as another order of summation would.

    FATHOM_ROUNDING=3 python -m pytest tests/test_train.py      # with seed 3; conftest.py imports this module then

Instruction sets, thread counts and batch shapes sum the products of a matrix multiplication in different orders, so
float32 results differ by a few units in the last place of a typical element. This adds noise of that size. The noise is
a function of seed, shape and position: equal calls still give equal results, as on one processor, and a batch of
another shape is rounded differently, as it may be there. A test that passes with many seeds does not depend on the
rounding of the processor on which it was written.

Not covered: attention, optimizers, half precision, and processes that a test starts.
"""

from __future__ import annotations

import functools
import os

import torch

UNITS = 4.0
"""Standard deviation of the noise, in units in the last place of the root mean square of a row."""

exact_linear = torch.nn.functional.linear


@functools.lru_cache(maxsize=256)
def noise(seed: int, shape: tuple[int, ...]) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(hash((seed, shape))))


def rounded_linear(
    seed: int, input: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None
) -> torch.Tensor:
    exact = exact_linear(input, weight, bias)
    if exact.dtype not in (torch.float32, torch.float64):
        return exact
    with torch.no_grad():
        unit = torch.finfo(exact.dtype).eps * exact.square().mean(-1, keepdim=True).sqrt()
        error = UNITS * unit * noise(seed, tuple(exact.shape))
    return exact + error


torch.nn.functional.linear = functools.partial(rounded_linear, int(os.environ["FATHOM_ROUNDING"]))
