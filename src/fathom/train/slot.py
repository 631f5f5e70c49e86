"""Trains the masked language model of the judge `slot`: to fill the slot of a cloze with the verdict.

    from fathom.train import slot
    from fathom.train.recipe import SlotRecipe
    slot.train(SlotRecipe(model="answerdotai/ModernBERT-base", data="explained.jsonl", output="runs/slot"))

The loss of a comparison is -log P(right word), where P is the softmax over the words of the slot alone. The method is
our reconstruction of ESFP-RM, whose paper (arXiv 2508.18212) was withdrawn.

Data are labelled comparisons, or results of `fathom judge --judge slot`, whose votes hold generated explanations. With
`gold`, the column of explanations by people, a share of the examples reads these (`gold_share`) and the others read
generated ones: a model that saw only the former would meet other text when it judges. Verdict words are stripped from
all of them, as the judge does.

With `eval_data`, history.jsonl has the accuracy on held-out comparisons, and on their explanations alone: how much of
the verdict these give away.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from fathom.data.records import Comparison
from fathom.engines import SlotRequest
from fathom.engines.loading import load_weights
from fathom.engines.masked import MASKED, EncodedSlot, check_mask, encode_slot, word_tokens
from fathom.errors import FathomError
from fathom.rationale import Status
from fathom.results import runs
from fathom.results.rows import Row, from_row
from fathom.rewards.slot import NAME, Cloze, explanation_in, strip_verdicts
from fathom.train import scalar, targets, trainers
from fathom.train.recipe import SlotRecipe

if TYPE_CHECKING:
    from torch import Tensor


class Explained(NamedTuple):
    """A labelled comparison and its explanations: by people, and generated ones."""

    comparison: Comparison
    gold: tuple[str, ...]
    """One per response, or (pairs) one; empty if there is none."""
    generated: tuple[tuple[str, ...], ...]
    """The explanations of each response, or (pairs) of the pair as it stands in the source."""


class Example(NamedTuple):
    """A filled cloze."""

    request: SlotRequest
    alone: SlotRequest
    """The explanation without what it explains."""
    label: int
    """The place of the right word."""
    explained: bool
    """Whether there is an explanation."""


def train(recipe: SlotRecipe, *, resume: bool = False) -> Path:
    """Train, and return the folder of the trained model. Raises FathomError for errors that the user can fix."""
    with trainers.begun(recipe, resume=resume, remove_unused_columns=False) as (config, tokenizer, last):
        from transformers import set_seed

        check_mask(tokenizer, recipe.model)
        words = word_tokens(tokenizer, recipe.cloze.words)
        explained = read(recipe)
        filled = list(examples(recipe, explained))
        rows, too_long = fitting(tokenizer, filled, config.max_length)
        check_not_empty("train on", rows, too_long, config.max_length)
        for line in described(recipe, explained, filled, too_long, config.max_length):
            trainers.log.warning(line)
        set_seed(recipe.seed)
        trainer = _trainer_class()(
            model=trainers.adapted(_model(recipe, config), recipe),
            args=config,
            train_dataset=trainers.dataset(rows),
            eval_dataset=_held_out(recipe, tokenizer, config.max_length),
            compute_metrics=_accuracy,
            data_collator=Collator(tokenizer.pad_token_id),
            processing_class=tokenizer,
        )
        trainer.words = words
        # Otherwise the trainer would not divide the loss, which is a mean, by gradient_accumulation_steps.
        trainer.model_accepts_loss_kwargs = False
        return trainers.run(trainer, recipe, last)


def _held_out(recipe: SlotRecipe, tokenizer: Any, most: int | None) -> Any:
    """The held-out examples, and the same with the explanation alone if there are explanations."""
    if not recipe.eval_data:
        return None
    explained = read(recipe, recipe.eval_data)
    filled = list(examples(recipe, explained))
    rows, too_long = fitting(tokenizer, filled, most)
    check_not_empty("evaluate on", rows, too_long, most)
    for line in described(recipe, explained, filled, too_long, most):
        trainers.log.warning("eval_data: %s", line)
    alone = [example._replace(request=example.alone) for example in filled if example.explained]
    sets = {"held_out": rows, "explanation_alone": fitting(tokenizer, alone, most)[0]}
    return {name: trainers.dataset(each) for name, each in sets.items() if each}


def _model(recipe: SlotRecipe, config: Any) -> Any:
    options = {"dtype": "float32", "trust_remote_code": config.trust_remote_code} | (config.model_init_kwargs or {})
    config.model_init_kwargs = None  # the trainer gets a loaded model
    try:
        return load_weights(trainers.base_to_adapt(recipe) or recipe.model, MASKED, **options)
    except (OSError, ValueError, RuntimeError) as error:
        raise FathomError(f"cannot load {recipe.model} as a masked language model: {error}") from error


# Data -----------------------------------------------------------------------------------------------------------------


def read(recipe: SlotRecipe, files: Sequence[Path] | None = None) -> list[Explained]:
    """The comparisons of files in any layout, and those of result files with the texts of their votes.

    By default of the training files, one of which must have the column `gold`. Raises FathomError if none has, and for
    results of another judge, or of other prompts than the recipe's.
    """
    found: list[Explained] = []
    for path in recipe.data if files is None else files:
        if _holds_votes(path):
            found += _of_results(recipe, path)
        else:
            found += [Explained(item, _gold(recipe, item), ()) for item in scalar.read(recipe, [path])]
    if files is None and recipe.gold is not None and not any(each.gold for each in found):
        columns = sorted({str(name) for each in found for name in each.comparison.metadata})
        raise FathomError(
            f"no comparison has an explanation in the column gold: {recipe.gold}; the columns are "
            + (", ".join(columns) or "none")
        )
    return found


def _holds_votes(path: Path) -> bool:
    """Whether a file is a result file of `fathom judge`."""
    if not path.is_file() or path.suffix != ".jsonl":
        return False
    with path.open(encoding="utf-8") as file:
        try:
            first = json.loads(file.readline())
        except ValueError:
            return False
    return isinstance(first, dict) and {"votes", "status"} <= first.keys()


def _of_results(recipe: SlotRecipe, path: Path) -> list[Explained]:
    run = runs.open(path)
    if (judge := runs.listed(run)["judge"]) not in (None, NAME):
        raise FathomError(f"{path}: the votes are of the judge {judge}, expected slot, whose votes hold explanations")
    return [_of_row(recipe, path, row) for row in run.rows()]


def _of_row(recipe: SlotRecipe, path: Path, row: Row) -> Explained:
    if "pairs" in row:
        raise FathomError(f"{path}: row {row['id']} is a ranking; expected verdicts written by fathom judge")
    comparison, verdict = from_row(row)
    count = 1 if recipe.cloze.pairs else len(comparison.responses)
    generated: list[list[str]] = [[] for _ in range(count)]
    for vote in verdict.votes:
        parts = vote.per_response or (vote,)
        for place, part in enumerate(parts):
            if part.status is not Status.OK:
                continue  # its text is cut off, declines to explain, or is empty
            if (len(part.order) == 2) != recipe.cloze.pairs:
                raise FathomError(
                    f"{path}: row {row['id']} explains {'a pair' if len(part.order) == 2 else 'single responses'}, and "
                    f"the recipe has pairs: {str(recipe.cloze.pairs).lower()}; change it, or judge with that option"
                )
            if part.order in ((0,), (0, 1)) and (text := explanation_in(part.text)):
                generated[place].append(text)  # in order (1, 0), "the first response" is the second one of the source
    return Explained(comparison, _gold(recipe, comparison), tuple(map(tuple, generated)))


def _gold(recipe: SlotRecipe, item: Comparison) -> tuple[str, ...]:
    """The explanations in the column `gold`, in the order of the comparison; empty if it is not filled in."""
    if recipe.gold is None:
        return ()
    value, count = item.metadata.get(recipe.gold), len(item.responses)
    if value in (None, "", []):
        return ()
    texts = [value] if isinstance(value, str) else value
    expected = 1 if recipe.cloze.pairs or count == 1 else count
    if (
        not isinstance(texts, list | tuple)
        or len(texts) != expected
        or not all(isinstance(each, str) for each in texts)
    ):
        raise FathomError(
            f"comparison {item.id!r}: the column {recipe.gold!r} is {value!r}; expected "
            + ("a text" if expected == 1 else "a list with one text per response")
        )
    order = item.source_order if item.source_order and expected == count > 1 else range(expected)
    return tuple(texts[place] for place in order)


def examples(recipe: SlotRecipe, explained: Iterable[Explained]) -> Iterator[Example]:
    """The filled clozes of all labelled comparisons; an explained pair is shown as its explanation saw it.

    Each example draws its explanation by the recipe's seed and the comparison's id: by people with the probability
    `gold_share`, else a generated one; if it has only one kind, of that kind.
    """
    for each in explained:
        labels = _labels(recipe.cloze, each.comparison)
        draws = random.Random(f"{recipe.seed}/{each.comparison.id}")
        for place, label in labels:
            text = _drawn(recipe, each, 0 if recipe.cloze.pairs else place, draws)
            shown = (
                each.comparison
                if recipe.cloze.pairs
                else each.comparison.model_copy(
                    update={"responses": (each.comparison.responses[place],), "label": None}
                )
            )
            yield Example(recipe.cloze.request(shown, text), recipe.cloze.alone(shown, text), label, bool(text))


def _drawn(recipe: SlotRecipe, each: Explained, place: int, draws: random.Random) -> str:
    """An explanation without verdict words; empty if nothing is left of any."""
    gold = each.gold[place : place + 1]
    generated = each.generated[place] if each.generated else ()
    by_people = draws.random() < recipe.gold_share
    kinds = (gold, generated) if by_people else (generated, gold)
    stripped = ([strip_verdicts(text, recipe.cloze.words)[0] for text in kind] for kind in kinds)
    texts = next((kept for kind in stripped if (kept := [text for text in kind if text])), [""])
    return draws.choice(texts)


def _labels(cloze: Cloze, item: Comparison) -> list[tuple[int, int]]:
    """The responses with a label, and the place of the right word of each.

    A score belongs to the nearest of the words' values. In a pair that only names the better response, that one gets
    the last word and the other the first.
    """
    if item.label is None:
        return []
    ordered = [(better, worse) for better, worse, gap in targets.pairs(item.label, len(item.responses)) if gap > 0]
    if cloze.pairs:
        return [(0, better) for better, _ in ordered] if len(item.responses) == 2 else []
    if (scores := item.label.response_scores) is not None:
        values = cloze.values
        gaps = [[abs(value - score) for value in values] for score in scores]
        return [(place, each.index(min(each))) for place, each in enumerate(gaps)]
    last = len(cloze.words) - 1
    return [pair for better, worse in ordered for pair in ((better, last), (worse, 0))] if len(ordered) == 1 else []


def fitting(tokenizer: Any, items: Iterable[Example], most: int | None) -> tuple[list[dict[str, Any]], int]:
    """The examples as rows of tokens, and how many are too long. Texts are never truncated."""
    rows, too_long = [], 0
    for item in items:
        slot: EncodedSlot = encode_slot(tokenizer, item.request.answer, item.request.after)
        if len(slot.tokens) > (most or len(slot.tokens)):
            too_long += 1
        else:
            rows.append({"input_ids": list(slot.tokens), "position": slot.position, "labels": item.label})
    return rows, too_long


def check_not_empty(purpose: str, rows: Sequence[Any], too_long: int, most: int | None) -> None:
    if not rows:
        raise FathomError(
            f"no example is left to {purpose}: {too_long} are longer than trainer.max_length={most}, and the other "
            "comparisons have no label for the words of the slot"
        )


def described(
    recipe: SlotRecipe, found: Sequence[Explained], filled: Sequence[Example], too_long: int, most: int | None
) -> list[str]:
    """One line per reason why comparisons or examples are left out, or are trained without an explanation."""
    counts = (
        (
            sum(not _labels(recipe.cloze, each.comparison) for each in found),
            "comparisons have no label for the words of the slot and are left out",
        ),
        (too_long, f"examples exceed trainer.max_length={most} tokens and are left out"),
        (sum(not each.explained for each in filled), "examples have no explanation and are used without one"),
    )
    return [f"{count} {words}" for count, words in counts if count]


class Collator:
    """Rows to a padded batch."""

    def __init__(self, pad: int | None) -> None:
        self.pad = pad or 0

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
        import torch

        lengths = [len(row["input_ids"]) for row in rows]
        longest = max(lengths)
        padded = [row["input_ids"] + [self.pad] * (longest - len(row["input_ids"])) for row in rows]
        return {
            "input_ids": torch.tensor(padded),
            "attention_mask": torch.tensor([[1] * length + [0] * (longest - length) for length in lengths]),
            "position": torch.tensor([row["position"] for row in rows]),
            "labels": torch.tensor([row["labels"] for row in rows]),
        }


# The loss -------------------------------------------------------------------------------------------------------------


def slot_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """The mean of -log P(right word), given the logits of the words (texts, words) and their labels (texts,)."""
    from torch.nn.functional import cross_entropy

    return cross_entropy(logits.float(), labels)


def _trainer_class() -> Any:
    """Defined in a function, because importing the base class takes seconds."""
    import torch
    from transformers import Trainer

    class SlotTrainer(Trainer):  # type: ignore[misc]
        words: tuple[int, ...]

        def compute_loss(
            self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
        ) -> Any:
            outputs = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"])
            rows = torch.arange(len(inputs["position"]), device=outputs.logits.device)
            logits = outputs.logits[rows, inputs["position"]][:, list(self.words)]
            loss = slot_loss(logits, inputs["labels"])
            return (loss, {"logits": logits.detach()}) if return_outputs else loss

    return SlotTrainer


def _accuracy(evaluated: Any) -> dict[str, float]:
    """The share of examples whose right word is the most likely of the words."""
    return {"accuracy": float((evaluated.predictions.argmax(-1) == evaluated.label_ids).mean())}
