"""`fathom train sft`, `rlvr`, `meta`, `reward`, ...: trains a judge or a reward model."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

import typer

from fathom.cli._figures import Json, claim_json
from fathom.cli._options import File, with_settings
from fathom.cli._verb import Force, claim, file_outputs
from fathom.results.outputs import Outputs
from fathom.settings import EngineSettings, SourceSettings

if TYPE_CHECKING:
    from fathom.train.recipe import Recipe as Resolved

command = typer.Typer(
    no_args_is_help=True,
    help="Train a judge (sft, then rlvr) or a reward model (the other commands), from a recipe or a few pairs.",
)

Recipe = Annotated[str, typer.Argument(help="A recipe file, or the name of a shipped recipe: mini_sft, ...")]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="[KEY=VALUE]...", help="Override keys of the recipe: trainer.learning_rate=1e-5"),
]
ResolvedT = TypeVar("ResolvedT", bound="Resolved")
Resume = Annotated[bool, typer.Option("--resume", help="Continue from the last checkpoint in the output folder.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check everything, show ten examples, train nothing.")]


@command.command("sft")
def sft(recipe: Recipe, overrides: Overrides = None, resume: Resume = False, dry_run: DryRun = False) -> None:
    """Fine-tune a model on rationales that `fathom synth` wrote.

        fathom train sft mini_sft data=synthesised/mix.jsonl output=runs/sft

    The command prints the folder of the trained model.
    """
    from fathom.train import preview
    from fathom.train.recipe import SFTRecipe
    from fathom.train.sft import train

    resolved = _resolved(recipe, SFTRecipe, overrides or (), resume, dry_run)
    _log_steps()
    _print(preview.sft(resolved) if dry_run else train(resolved, resume=resume))


@command.command("rlvr")
def rlvr(recipe: Recipe, overrides: Overrides = None, resume: Resume = False, dry_run: DryRun = False) -> None:
    """Train a fine-tuned model by RLVR on labelled comparisons, with the judge's reward (usually +1 or -1).

        fathom train rlvr mini_rlvr model=runs/sft data=comparisons.jsonl output=runs/rlvr

    The command prints the folder of the trained model.
    """
    from fathom.train import preview
    from fathom.train.recipe import RLVRRecipe
    from fathom.train.rlvr import train

    resolved = _resolved(recipe, RLVRRecipe, overrides or (), resume, dry_run)
    _log_steps()
    _print(preview.rlvr(resolved) if dry_run else train(resolved, resume=resume))


@command.command("meta")
def meta(recipe: Recipe, overrides: Overrides = None, resume: Resume = False, dry_run: DryRun = False) -> None:
    """Train a meta reward model: a classifier that separates a judge's correct votes from wrong ones.

        fathom judge pairs.jsonl --judge spct --model runs/rft --votes 3 --temperature 0.5 --out votes.jsonl
        fathom train meta spct_27b_meta model=runs/rft data=votes.jsonl output=runs/meta
        fathom judge test.jsonl --model runs/rft --votes 32 --temperature 0.5 --meta runs/meta --out verdicts.jsonl

    The data are results of `fathom judge` on labelled comparisons. The command prints the folder of the trained model.
    """
    from fathom.train import preview
    from fathom.train.meta import train
    from fathom.train.recipe import MetaRecipe

    resolved = _resolved(recipe, MetaRecipe, overrides or (), resume, dry_run)
    _log_steps()
    _print(preview.meta(resolved) if dry_run else train(resolved, resume=resume))


@command.command("reward")
def reward(recipe: Recipe, overrides: Overrides = None, resume: Resume = False, dry_run: DryRun = False) -> None:
    """Train a scalar reward model, which writes no text: one number per response.

        fathom train reward mini_reward data=comparisons.jsonl eval_data=held_out.jsonl output=runs/reward
        fathom judge test.jsonl --judge scalar --model runs/reward --out verdicts.jsonl

    Heads and losses are keys of the recipe: head=bnrm (factors) or gaussian (distributions, AVA-p), members=5 (an
    ensemble), members=2 noise=0.3 (against wrong labels, CRM), objectives=[A,B] (a head for each).

    The data are labelled comparisons. The command prints the folder of the trained model.
    """
    from fathom.train import preview
    from fathom.train.recipe import RewardRecipe
    from fathom.train.scalar import train

    resolved = _resolved(recipe, RewardRecipe, overrides or (), resume, dry_run)
    _log_steps()
    _print(preview.reward(resolved) if dry_run else train(resolved, resume=resume))


@command.command("genarm")
def genarm(recipe: Recipe, overrides: Overrides = None, resume: Resume = False, dry_run: DryRun = False) -> None:
    """Train an autoregressive reward model: a language model whose log-probabilities are rewards of tokens.

        fathom train genarm mini_genarm data=comparisons.jsonl output=runs/genarm
        fathom judge test.jsonl --judge genarm --model runs/genarm --out verdicts.jsonl

    The data are labelled comparisons. The command prints the folder of the trained model.
    """
    from fathom.train import preview
    from fathom.train.genarm import train
    from fathom.train.recipe import GenARMRecipe

    resolved = _resolved(recipe, GenARMRecipe, overrides or (), resume, dry_run)
    _log_steps()
    _print(preview.genarm(resolved) if dry_run else train(resolved, resume=resume))


@command.command("implicit")
def implicit(recipe: Recipe, overrides: Overrides = None, resume: Resume = False, dry_run: DryRun = False) -> None:
    """Train an implicit process reward model, which scores steps, from labels of whole solutions.

        fathom train implicit mini_implicit data=solutions.jsonl eval_data=held_out.jsonl output=runs/implicit
        fathom judge test.jsonl --model runs/implicit --out verdicts.jsonl

    The data are solutions that are right or wrong (loss=cross_entropy), or pairs of a better and a worse one
    (loss=dpo). The reference is the recipe's model, which the trained folder names. The command prints that folder.
    """
    from fathom.train import preview
    from fathom.train.implicit import train
    from fathom.train.recipe import ImplicitRecipe

    resolved = _resolved(recipe, ImplicitRecipe, overrides or (), resume, dry_run)
    _log_steps()
    _print(preview.implicit(resolved) if dry_run else train(resolved, resume=resume))


@command.command("process")
def process(recipe: Recipe, overrides: Overrides = None, resume: Resume = False, dry_run: DryRun = False) -> None:
    """Train a process reward model, which scores every step of a solution.

        fathom train process mini_process data=stepwise.jsonl eval_data=held_out.jsonl output=runs/prm
        fathom judge solutions.jsonl --model runs/prm --out verdicts.jsonl

    The data are solutions with labelled steps, such as TRL's columns prompt, completions and labels. The command prints
    the folder of the trained model.
    """
    from fathom.train import preview
    from fathom.train.process import train
    from fathom.train.recipe import ProcessRecipe

    resolved = _resolved(recipe, ProcessRecipe, overrides or (), resume, dry_run)
    _log_steps()
    _print(preview.process(resolved) if dry_run else train(resolved, resume=resume))


@command.command("slot")
def slot(recipe: Recipe, overrides: Overrides = None, resume: Resume = False, dry_run: DryRun = False) -> None:
    """Train the masked language model of the judge slot, which reads an explanation and fills in the verdict.

        fathom judge train.jsonl --judge slot --judge-option slot=BASE --model explainer --out explained.jsonl
        fathom train slot modernbert_slot model=BASE data=explained.jsonl output=runs/slot
        fathom judge test.jsonl --judge slot --judge-option slot=runs/slot --model explainer --out verdicts.jsonl

    The data are labelled comparisons, or results of the judge, whose votes hold generated explanations. The command
    prints the folder of the trained model.
    """
    from fathom.train import preview
    from fathom.train.recipe import SlotRecipe
    from fathom.train.slot import train

    resolved = _resolved(recipe, SlotRecipe, overrides or (), resume, dry_run)
    _log_steps()
    _print(preview.slot(resolved) if dry_run else train(resolved, resume=resume))


@command.command("activation")
@with_settings
def activation(
    file: File,
    engine: EngineSettings,
    source: SourceSettings,
    out: Annotated[Path, typer.Option(help="Write the direction to this file: NAME.json.")],
    method: Annotated[
        Literal["difference", "logistic", "annotators"],
        typer.Option(
            help="Difference of means, a logistic probe (Bradley-Terry) on differences, or such a probe with a "
            "rationality for each annotator (arXiv 2512.03208)."
        ),
    ] = "difference",
    annotator: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="The column that names the annotator (--method annotators).")
    ] = None,
    pool: Annotated[
        Literal["last", "mean"],
        typer.Option(help="The state of the response's last token, or the mean over its tokens."),
    ] = "mean",
    layers: Annotated[
        str | None, typer.Option(help="The layers to choose from: 15,21,27. Default: ten at equal distances.")
    ] = None,
    test: Annotated[Path | None, typer.Option(help="Show the accuracy on the labelled pairs of this file.")] = None,
    curve: Annotated[
        str | None, typer.Option(help="With --test, also fit to fewer pairs, such as 16,32,64, and show each accuracy.")
    ] = None,
    draws: Annotated[int, typer.Option(min=2, max=1000, help="How many draws of pairs per number of --curve.")] = 20,
    seed: Annotated[int, typer.Option(help="The seed of folds and draws.")] = 0,
    json: Json = None,
    force: Force = False,
) -> None:
    """Fit a direction in a frozen model's hidden states to a few labelled pairs; 16 to 80 are usual.

        fathom train activation pairs.jsonl --model smollm2 --out direction.json
        fathom train activation pairs.jsonl --model smollm2 --out direction.json --test held_out.jsonl --curve 16,32,64
        fathom judge test.jsonl --judge activation --judge-option direction=direction.json --model smollm2

    The model is not trained. Its layer is chosen by cross-validation on the pairs of FILE, never on those of --test.
    """
    from fathom.cli._activation import fit

    claim(file_outputs("--out", out))
    claim_json(json)
    chosen = method, pool, layers, annotator
    fit(file, engine, source, out, *chosen, test, curve, draws=draws, seed=seed, json=json)


def _resolved(recipe: str, kind: type[ResolvedT], overrides: Sequence[str], resume: bool, dry_run: bool) -> ResolvedT:
    """Check the recipe and claim its output folder. All checks that do not need TRL run before it is imported."""
    from fathom.errors import FathomError
    from fathom.train import recipes
    from fathom.train.early import mistakes
    from fathom.train.recipe import load
    from fathom.train.recipe_files import read_values

    path = recipes.path(recipe)
    found = mistakes(read_values(path, overrides), resume=resume, dry_run=dry_run)
    if found:
        raise FathomError("\n".join(f"{path}: {mistake}" for mistake in found))
    resolved = load(path, kind, overrides)
    _claim(resolved, resume)
    return resolved


def _claim(recipe: Resolved, resume: bool) -> None:
    """Claim the output folder for this run, before anything large is loaded. Training must not replace files in it."""
    from fathom.train import trainers

    if _is_first():
        files = {"data=": recipe.data, "eval_data=": recipe.eval_data, "model=": (Path(recipe.model),)}
        read = {path: what for what, paths in files.items() for path in paths}
        record = recipe.output / "provenance.json"
        claim(
            Outputs("output=", recipe.output, (), record, is_folder=True, marked=True),
            reads={path: what for path, what in read.items() if path.exists()},
        )
        trainers.start(recipe, resume=resume)


def _is_first() -> bool:
    """Whether a launcher started several processes."""
    return os.environ.get("RANK", "0") == "0"


def _print(result: object) -> None:
    if _is_first():
        typer.echo(result)


def _log_steps() -> None:
    """Log plain lines to stderr; in a terminal only warnings, because the progress bar shows the steps."""
    level = logging.WARNING if sys.stderr.isatty() else logging.INFO
    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("fathom.train").setLevel(level)
