"""Detection of the columns that form the prompt: the question, system prompt, history and context.

A column that could change the meaning of the prompt is never ignored silently. It is read if its name and type say how.
Otherwise the source is refused, and the message shows the mappings that read the column or ignore it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fathom.data.conversations import PROMPT_KEYS, TURN_KEYS
from fathom.data.layouts import _names as names
from fathom.data.layouts._mapping import Mapped, Path, places
from fathom.data.layouts._responses import Responses
from fathom.data.layouts._schema import Schema, Shape
from fathom.errors import FathomError, map_option

FIELDS = ("prompt", "input", "system", "history", "context")


def find_prompt(schema: Schema, mapped: Mapped, responses: Responses) -> dict[str, tuple[Path, ...]]:
    """The paths of `FIELDS`. Raises FathomError if columns can be read in more than one way."""
    taken = {path.column for paths in (*responses.paths.values(), *mapped.paths.values()) for path in paths}
    free = schema.without(taken)
    found = {name: mapped.paths[name] for name in FIELDS if name in mapped.paths}
    if "prompt" not in found and "prompt" not in mapped.empty and responses.kind != "conversation":
        found |= _question(free, schema, mapped, responses)
    free = free.without({path.column for paths in found.values() for path in paths})
    return found | _before(free, mapped, found)


def _question(schema: Schema, whole: Schema, mapped: Mapped, responses: Responses) -> dict[str, tuple[Path, ...]]:
    candidates = _candidates(schema)
    if "history" in mapped.empty | mapped.paths.keys():
        candidates = [column for column in candidates if names.plain(column) != "history"]
    if [names.plain(column) for column in candidates] == ["instruction", "input"]:  # Alpaca, PandaLM
        instruction, input = candidates
        more = {} if {"input"} & (mapped.empty | mapped.paths.keys()) else {"input": (Path(input),)}
        return {"prompt": (Path(instruction),), **more}
    if len(candidates) > 1:
        raise FathomError(f"columns: {_several(candidates)}")
    if candidates:
        return {"prompt": (names.text_inside(schema, candidates[0], PROMPT_KEYS),)}
    empty = [column for column in names.named(schema, names.PROMPTS) if not schema.filled(column)]
    if not empty and not _has_its_own(responses, whole):
        raise FathomError(f"columns: found no prompt; name its column with {_suggested(schema)}")
    return {"prompt": (Path(empty[0]),)} if empty else {}


def _candidates(schema: Schema) -> list[str]:
    """Columns that could each be the prompt. `messages` next to another one is a copy (UltraFeedback), not a prompt."""
    found = names.filled(schema, names.PROMPTS)
    others = [column for column in found if names.plain(column) not in {"messages", "history"}]
    if not others:
        return [
            column
            for column in found
            if names.holds_messages(schema.columns[column]) or not _is_turns(schema.columns[column])
        ][:1]
    history = [column for column in found if names.plain(column) == "history" and not _is_turns(schema.columns[column])]
    return others + history


def _several(candidates: Sequence[str]) -> str:
    """The error message for several possible prompts, with the mappings that choose between them."""
    first = candidates[0]
    ways = []
    for column in candidates[1:]:
        name = "input" if names.plain(column) == "input" else "context"
        ways.append(f"{map_option('prompt', first)} {map_option(name, column)} puts both into the prompt")
    return (
        f"{names.listing(candidates)} could each be the prompt or a part of it: {'; '.join(ways)}; "
        f"--map prompt=COLUMN takes only one"
    )


def _has_its_own(responses: Responses, schema: Schema) -> bool:
    """Whether the responses may be conversations that include the prompt, in some rows at least."""
    columns = [path.column for paths in responses.paths.values() for path in paths]
    shapes = [schema.columns[column] for column in columns]
    return responses.kind in {"chosen", "pair"} and any(
        shape.kinds - {"text", "number"} or shape.dialogues or shape.lists_in_text for shape in shapes
    )


def _suggested(schema: Schema) -> str:
    inside = {place: place.rpartition(".")[2] for place in places(schema) if "." in place and "[]" not in place}
    likely = [place for place, key in inside.items() if key in {"post", "full_text", *names.PROMPTS}]
    known = names.LABEL_WORDS | {*names.IDS, "model", "source"}
    texts = [column for column, shape in schema.columns.items() if "text" in shape.kinds]
    texts = sorted(texts, key=lambda column: -schema.columns[column].longest)
    choices = likely or [column for column in texts if not names.words(column) & known][:1] or ["COLUMN"]
    return " or ".join(map_option("prompt", choice) for choice in choices[:3])


# What stands before the prompt ----------------------------------------------------------------------------------------


def _before(schema: Schema, mapped: Mapped, found: Mapping[str, tuple[Path, ...]]) -> dict[str, tuple[Path, ...]]:
    """The paths of system prompt and history. Raises FathomError for passages that no mapping assigns."""
    more: dict[str, tuple[Path, ...]] = {}
    settled = mapped.empty | found.keys()
    systems = names.filled(schema, names.SYSTEMS)
    if systems and "system" not in settled:
        if len(systems) > 1:
            raise FathomError(
                f"columns: {names.listing(systems)} could each be the system prompt; {_choose('system', systems)}"
            )
        if _are_names(schema.columns[systems[0]]):
            reason = f"{systems[0]} contains single words, which may be model names instead of system prompts"
            raise FathomError(f"columns: {reason}; {_choose('system', systems)}")
        more["system"] = (Path(systems[0]),)
    histories = names.histories(schema) if "history" not in settled else []
    if histories:
        turns = [column for column in histories if _is_turns(schema.columns[column])]
        if len(histories) > 1 or not turns:
            reason = f"{names.listing(histories)} may be earlier turns, which belong to the prompt"
            raise FathomError(f"columns: {reason}; {_choose('history' if turns else 'context', turns or histories)}")
        more["history"] = (Path(histories[0]),)
    if "context" not in settled:
        _refuse_contexts(schema, mapped, found)
    return more


def _are_names(shape: Shape) -> bool:
    """Whether all texts are single words, since a column `system` may hold model names."""
    return shape.spellings is not None and all(" " not in str(value) for _, value in shape.spellings)


def _choose(name: str, columns: Sequence[str]) -> str:
    ways = " or ".join(map_option(name, column) for column in columns)
    return f"{ways} reads it, {map_option('ignore', *columns)} leaves it out"


def _is_turns(shape: Shape) -> bool:
    """Whether the values are earlier turns: messages, or pairs of a user turn and its answer."""
    inside = names.items(shape)
    pairs = inside is not None and "list" in inside.kinds and inside.lengths == {2}
    objects = inside is not None and any(set(keys) <= inside.keys.keys() for keys in TURN_KEYS)
    return names.holds_messages(shape) or pairs or objects


def _refuse_contexts(schema: Schema, mapped: Mapped, found: Mapping[str, tuple[Path, ...]]) -> None:
    contexts = names.contexts(schema)
    if "prompt" in mapped.paths and names.plain(mapped.paths["prompt"][0].column) in names.PROMPTS:
        # A mapping that chooses one of several possible prompts has decided about the others too.
        contexts = [column for column in contexts if names.plain(column) not in names.PROMPTS]
    if not contexts or "prompt" not in found:
        return
    name = "input" if names.plain(contexts[0]) == "input" else "context"
    raise FathomError(f"columns: {names.listing(contexts)} may belong to the prompt; {_choose(name, contexts[:1])}")


def refuse_images(schema: Schema) -> None:
    """Raise FathomError for columns with images, audio or video, which judges would not see."""
    for column, shape in schema.columns.items():
        words = names.words(column)
        called = words & names.IMAGE_WORDS and not words & names.NO_IMAGE_WORDS
        if (called and shape.kinds & {"text", "list", "object", "other"}) or _is_image(shape):
            raise FathomError(
                f"columns: {column} contains images, audio or video, which Fathom cannot show to a judge yet; "
                f"{map_option('ignore', column)} judges the text alone"
            )


def _is_image(shape: Shape) -> bool:
    """Whether the values are PIL images, or files as `datasets` stores them: objects with `bytes` and `path`."""
    inside = names.items(shape) or shape
    if "image" in inside.kinds:
        return True
    return {"bytes", "path"} <= inside.keys.keys() and bool(inside.keys["bytes"].kinds | inside.keys["path"].kinds)
