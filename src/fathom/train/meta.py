"""Trains a meta reward model: a classifier that separates correct votes from wrong ones.

    from fathom.train import meta
    from fathom.train.recipe import MetaRecipe
    meta.train(MetaRecipe(model="runs/rft", data="verdicts.jsonl", output="runs/meta", judge={"name": "spct"}))

Method: arXiv 2504.02495, section 4.2: binary cross-entropy on whether a vote is correct (Equation 10), as decided by
`Judge.vote_reward`. The data are result files of `fathom judge --votes 3`. Each vote is an example: its prompt, in the
vote's order of the responses, and its text. Use votes of the teacher and of the judge that the model will filter, as
the paper does. `fathom judge --meta` uses the trained model.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from fathom.data.records import Comparison
from fathom.engines import ChatMessage
from fathom.engines.chat import encode_turn
from fathom.engines.loading import CLASSIFIER, load_weights
from fathom.errors import FathomError
from fathom.judges import Judge, Vote
from fathom.judging.choice import described
from fathom.metrics.answers import checking
from fathom.rationale import Status
from fathom.results import runs
from fathom.results.rows import Row, from_row
from fathom.train import trainers
from fathom.train.recipe import MetaRecipe
from fathom.voting.meta import check


class Example(NamedTuple):
    """A vote as a training example: its prompt, its text, and whether it is correct."""

    prompt: list[ChatMessage]
    text: str
    right: bool


def train(recipe: MetaRecipe, *, resume: bool = False) -> Path:
    """Train, and return the folder of the trained model. Raises FathomError for errors that the user can fix."""
    with trainers.begun(recipe, resume=resume) as (config, tokenizer, last):
        from transformers import DataCollatorWithPadding, Trainer, set_seed

        rows = _fitting(tokenizer, read(recipe), config.max_length)
        held_out = _fitting(tokenizer, read(recipe, recipe.eval_data), config.max_length) if recipe.eval_data else []
        set_seed(recipe.seed)  # before the classification layer is initialized
        classifier = _classifier(trainers.base_to_adapt(recipe) or recipe.model, config, tokenizer)
        trainer = Trainer(
            model=trainers.adapted(classifier, recipe),
            args=config,
            train_dataset=trainers.dataset(rows),
            eval_dataset=trainers.dataset(held_out),
            compute_metrics=_accuracy,
            data_collator=DataCollatorWithPadding(tokenizer),
            processing_class=tokenizer,
        )
        # Otherwise the trainer would not divide the loss, which is a mean, by gradient_accumulation_steps.
        trainer.model_accepts_loss_kwargs = False
        return trainers.run(trainer, recipe, last)


def _fitting(tokenizer: Any, votes: Iterable[Example], most: int | None) -> list[dict[str, Any]]:
    rows, too_long = fitting(tokenizer, list(votes), most)
    if too_long:
        trainers.log.warning("%d votes exceed max_length=%s and are left out", too_long, most)
    return rows


def _accuracy(evaluated: Any) -> dict[str, float]:
    """The share of correctly classified votes: a logit above 0, a probability above 0.5, predicts a correct vote."""
    predicted, right = evaluated.predictions.reshape(-1) > 0, evaluated.label_ids.reshape(-1) > 0.5
    return {"accuracy": float((predicted == right).mean())}


def _classifier(model: str, config: Any, tokenizer: Any) -> Any:
    try:
        # With this problem type, transformers' loss is the binary cross-entropy of the single output.
        kind = {"num_labels": 1, "problem_type": "multi_label_classification", "pad_token_id": tokenizer.pad_token_id}
        remote = config.trust_remote_code
        return load_weights(
            model, CLASSIFIER, trust_remote_code=remote, **{"dtype": "float32"} | config.model_init_kwargs | kind
        )
    except (OSError, ValueError) as error:
        raise FathomError(f"cannot load {model} as a sequence classifier: {error}") from error


def read(recipe: MetaRecipe, files: Sequence[Path] | None = None) -> Iterator[Example]:
    """The votes of `files`, by default the training files.

    Raises FathomError if no vote has a label, if all are correct or all wrong, and for votes of another judge than the
    recipe's, according to the metadata that `fathom judge --out` writes.
    """
    right = count = 0
    files = recipe.data if files is None else files
    with checking(recipe.judge.build()) as judge:
        for path in files:
            run = runs.open(path)
            _same_judge(judge, recipe.judge.name, run)
            for example in examples(judge, run.rows(), str(path)):
                right += example.right
                count += 1
                yield example
    if not 0 < right < count:
        raise FathomError(
            f"{right} of {count} votes in {', '.join(map(str, files))} are correct; expected correct "
            "and wrong votes on labelled comparisons"
        )


def _same_judge(judge: Judge, name: str, run: runs.Run) -> None:
    cast_by, known = runs.listed(run)["judge"], (described(judge, name)["name"], type(judge).__name__)
    expected = known[1] if cast_by and cast_by.endswith("Judge") else known[0]  # earlier versions recorded the class
    if cast_by is not None and cast_by not in known:
        raise FathomError(
            f"{run.path}: the votes are of the judge {cast_by} (from {run.path.name}.meta.json), expected "
            f"{expected}, the recipe's judge; give votes of that judge, or change `judge`"
        )


def examples(judge: Judge, rows: Iterable[Row], where: str) -> Iterator[Example]:
    """The votes of labelled rows. An unparsed vote is an example of a wrong one; failed calls are skipped."""
    for row in rows:
        if "pairs" in row:
            raise FathomError(f"{where}: row {row['id']} is a ranking; expected verdicts written by fathom judge")
        comparison, verdict = from_row(row)
        if comparison.label is None:
            continue
        check(judge, comparison)
        judge.check(comparison)
        yield from (example(judge, comparison, vote) for vote in verdict.votes if vote.status is not Status.FAILED)


def example(judge: Judge, comparison: Comparison, vote: Vote) -> Example:
    """A vote as an example. Raises FathomError if the label does not decide whether it is correct."""
    try:
        right = judge.vote_reward(vote, comparison) > 0
    except ValueError as error:
        raise FathomError(f"comparison {comparison.id!r}: {error}") from error
    return Example(judge.prompt(comparison.permuted(vote.order)), vote.text, right)


def fitting(tokenizer: Any, votes: Sequence[Example], most: int | None) -> tuple[list[dict[str, Any]], int]:
    """Tokens and labels of the votes with at most `most` tokens, and the number of longer votes.

    Raises FathomError if all are longer.
    """
    encoded = [(encode_turn(tokenizer, vote.prompt, vote.text), vote.right) for vote in votes]
    rows = [
        {"input_ids": tokens, "labels": [float(right)]}
        for tokens, right in encoded
        if most is None or len(tokens) <= most
    ]
    if not rows:
        raise FathomError(f"every vote is longer than trainer.max_length={most} tokens; raise it")
    return rows, len(votes) - len(rows)
