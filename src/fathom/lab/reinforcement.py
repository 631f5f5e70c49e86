"""RLVR on comparisons of a small world, which are drawn as the recipe needs them.

train(recipe, lambda count: [item.comparison for item in world.items(count, seed=0, verbs=verbs)])
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from fathom.data.reading import write_jsonl
from fathom.data.records import Comparison
from fathom.train import rlvr
from fathom.train.recipe import RLVRRecipe


def train(recipe: RLVRRecipe, draw: Callable[[int], Iterable[Comparison]]) -> Path:
    """Train on `draw(count)`, where `count` is the number of prompts in all steps, so that none occurs twice.

    Writes them beside the output folder, whatever data the recipe names. Returns the folder of the model.
    """
    batch, rollouts = recipe.trainer["per_device_train_batch_size"], recipe.trainer["num_generations"]
    data = recipe.output.with_name(f"{recipe.output.name}-comparisons.jsonl")
    write_jsonl(data, draw(recipe.trainer["max_steps"] * batch // rollouts))
    return rlvr.train(recipe.model_copy(update={"data": (data,)}))
