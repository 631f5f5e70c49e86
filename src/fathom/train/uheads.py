"""Fits an uncertainty head to labelled steps: a logistic regression on readings of a frozen language model.

    head = await fit(read("train.jsonl"), LocalEngine("smollm2"), layer=20)
    Path("head.json").write_text(head.model_dump_json())          # --judge uheads --judge-option head=head.json

Right and wrong steps have the same total weight, as wrong ones are rare. Features are standardized, and the loss is

    mean over classes of mean log(1 + exp(-y <w, x>)) + decay/2 |w|^2

Steps after the first wrong one are kept if they have labels. A solution that the model cannot read is an error: a head
that was fitted to the others would know short solutions only. Not guaranteed: that the head reads more than lengths and
log-probabilities; `states=False` fits to these alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from fathom.data.records import Comparison
from fathom.data.steps import parts_of
from fathom.engines import Answer, AnyRequest, Engine, EngineError, answer
from fathom.errors import FathomError
from fathom.judges import bounded_gather
from fathom.rewards.uheads import STATISTICS, Head, step_features, step_requests
from fathom.settings import Splitter

Array = NDArray[np.float64]


async def fit(
    solutions: Iterable[Comparison],
    engine: Engine,
    *,
    layer: int,
    decay: float = 0.1,
    states: bool = True,
    splitter: Splitter = "paragraphs",
) -> Head:
    """Fit a head to the labelled steps of solutions. With `states=False`, hidden states get no weight.

    Comparisons without labels of steps, and with several responses, are not used. Raises FathomError if there are no
    right or no wrong steps, and if a solution cannot be read, because a call failed or it exceeds the model's context.
    """
    labelled = [each for each in solutions if each.label and each.label.steps and len(each.responses) == 1]
    found = await bounded_gather(lambda each: _labelled_features(each, engine, layer, splitter), labelled)
    _check_all_read(labelled, found)
    rows = [row for each in found if not isinstance(each, Exception) for row in each]
    return fit_features(rows, model=engine.identity, layer=layer, decay=decay, states=states)


def fit_features(
    rows: Sequence[tuple[Sequence[float], bool]], *, model: str, layer: int, decay: float = 0.1, states: bool = True
) -> Head:
    """Fit a head to the features (`fathom.rewards.uheads.step_features`) of steps, each with whether it is right.

    `model`: the identity of the engine that they were read from. Raises FathomError without right or wrong steps.
    """
    labels = np.array([label for _, label in rows], dtype=bool)
    if labels.all() or not labels.any():
        raise FathomError(
            f"a head needs right and wrong steps; got {len(labels)} labelled steps, of which {labels.sum()} are right "
            "(label at least 0.5)"
        )
    features = np.array([values for values, _ in rows])
    means, scales = features.mean(0), features.std(0)
    scales[scales == 0] = 1.0
    inputs = (features - means) / scales
    if not states:
        inputs[:, :-STATISTICS] = 0.0
    weights, bias = _logistic(inputs, labels, decay)
    return Head(
        model=model,
        layer=layer,
        weights=tuple(weights.tolist()),
        means=tuple(means.tolist()),
        scales=tuple(scales.tolist()),
        bias=bias,
        steps=len(labels),
    )


async def _labelled_features(
    solution: Comparison, engine: Engine, layer: int, splitter: Splitter
) -> list[tuple[list[float], bool]] | Exception:
    """The features and labels of the labelled steps of a solution, or why it cannot be read."""
    assert solution.label is not None
    assert solution.label.steps is not None
    steps = parts_of(solution, splitter)

    async def read(request: AnyRequest) -> Answer:
        return await answer(engine, request)

    try:
        features = step_features(await bounded_gather(read, step_requests(solution, steps, layer)), steps)
    except (EngineError, ValueError) as error:
        return error
    labelled = zip(features, solution.label.steps[0], strict=True)
    return [(values, label >= 0.5) for values, label in labelled if label is not None]


def _check_all_read(solutions: Sequence[Comparison], found: Sequence[object]) -> None:
    failed = [(each.id, error) for each, error in zip(solutions, found, strict=True) if isinstance(error, Exception)]
    if failed:
        names = ", ".join(repr(name) for name, _ in failed[:10]) + (", ..." if len(failed) > 10 else "")
        raise FathomError(
            f"{len(failed)} of {len(solutions)} solutions could not be read: {names}; the first: {failed[0][1]}. Run "
            "again if calls failed (a CachedEngine repeats only those), and leave out solutions beyond the context"
        )


def _logistic(inputs: Array, labels: NDArray[np.bool_], decay: float) -> tuple[Array, float]:
    """The weights and the bias of least loss."""
    from scipy.optimize import minimize

    signs = np.where(labels, 1.0, -1.0)
    shares = np.where(labels, 0.5 / labels.sum(), 0.5 / (~labels).sum())

    def loss(parameters: Array) -> tuple[float, Array]:
        weights, bias = parameters[:-1], parameters[-1]
        margins = signs * (inputs @ weights + bias)
        slopes = -shares * signs / (1 + np.exp(np.clip(margins, -500, 500)))
        value = shares @ np.logaddexp(0, -margins) + decay / 2 * weights @ weights
        return float(value), np.append(inputs.T @ slopes + decay * weights, slopes.sum())

    fitted = minimize(loss, np.zeros(inputs.shape[1] + 1), jac=True, method="L-BFGS-B")
    return np.asarray(fitted.x[:-1]), float(fitted.x[-1])
