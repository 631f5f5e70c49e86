"""Column names: normalisation, and tables of the recognised ones.

Case, spaces and hyphens do not matter: `Response A`, `response-a` and `responseA` are the same name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from fathom.data.conversations import CONTENT_KEYS, ROLE_KEYS
from fathom.data.labels import NOUNS
from fathom.data.layouts._mapping import Path
from fathom.data.layouts._schema import Schema, Shape

PROMPTS = (
    "prompt", "question", "instruction", "input", "query", "context", "problem", "user_prompt", "user_input",
    "user_query", "user_message", "question_body", "prompt_text", "prompt_messages", "conversation_input",
    "conversations", "conversation", "dialogue", "dialog", "messages", "history",
)  # fmt: skip
"""Each of these alone is the prompt. If a source has two of them, a mapping must choose."""
SYSTEMS = (
    "system", "system_prompt", "system_message", "system_msg", "system_text", "system_content", "system_instruction",
    "system_instructions", "sys_prompt",
)  # fmt: skip
HISTORY_WORDS = frozenset(("history", "histories"))
EARLIER_WORDS = (frozenset(("previous", "prior", "past", "earlier", "preceding")),
                 frozenset(("turn", "turns", "messages", "conversation", "dialogue", "dialog", "chat")))  # fmt: skip
"""A name with a word of each set means earlier turns, such as `previous_messages`."""
CONTEXT_WORDS = frozenset((
    "context", "contexts", "passage", "passages", "document", "documents", "article", "articles", "background", "ctx",
    "paragraph", "paragraphs", "story", "evidence", "knowledge", "facts", "excerpt", "excerpts", "snippet", "snippets",
    "transcript", "abstract",
))  # fmt: skip
"""Words for a passage that the prompt may refer to."""
ABOUT_WORDS = frozenset(("id", "ids", "url", "urls", "type", "name", "title", "length", "len", "count", "index", "hash",
                         "source", "lang", "language"))  # fmt: skip
"""Words for properties of a passage; such a column does not hold the passage itself."""

CHOSEN = (
    ("chosen", "rejected"), ("chosen", "reject"), ("preferred", "rejected"), ("preferred", "dispreferred"),
    ("preferred", "non_preferred"), ("preferred", "nonpreferred"), ("preferred", "unpreferred"),
    ("accepted", "rejected"), ("better", "worse"), ("winning", "losing"), ("winner", "loser"), ("best", "worst"),
)  # fmt: skip
"""Names of the better and the worse response, alone or combined with one of `RESPONSE_WORDS`."""
RESPONSE_WORDS = (*NOUNS.split("|"), "text", "message", "messages", "content", "responses", "answers", "completions")
CONVERSATIONS = ("messages", "conversations", "conversation")
LISTS = ("completions", "candidates", "generations", "outputs", "summaries", "answers", "solutions", "replies")
"""Lists of responses, besides `responses`."""
OF_OBJECTS = {"answers", "solutions"}
"""Lists that count as responses only if their elements have scores or models. They may be reference answers."""
SINGLE = ("response", "completion", "output", "generation", "model_response", "model_answer", "model_output",
          "generated_text", "prediction", "assistant_response", "reply")  # fmt: skip
"""One response per row. `answer` and `solution` are missing, because they are often reference answers."""

LABELS = (
    "label", "labels", "winner", "preferred", "preference", "choice", "better", "better_response", "preferred_response",
    "better_response_id", "safer_response_id", "best", "best_response", "winning_response", "human_choice",
    "human_preference", "human_label", "gold", "gold_label", "verdict",
)  # fmt: skip
SIGNED = ("overall_preference", "preference_strength")
"""Signed labels: below 0 the first response is better, above 0 the second (HelpSteer)."""
SCORES = ("score", "scores", "rating", "ratings", "reward", "rewards")
RANKS = ("rank", "ranks")
FLAGS = ("correct", "is_correct", "passed", "desirable", "kto_tag", "label")
"""Flags of a single response: true if it is correct or desirable."""
IDS = ("id", "pair_id", "uid", "uuid", "idx")
REFERENCES = ("reference", "reference_answer")

SCORE_WORDS = frozenset((*SCORES, "grade", "grades", "correct", "correctness", "helpfulness", "quality", "points",
                         "harmlessness", "honesty", "truthfulness", "coherence"))  # fmt: skip
LABEL_WORDS = SCORE_WORDS | frozenset((
    "label", "labels", "winner", "wins", "win", "preferred", "preference", "preferences", "choice", "chosen", "better",
    "best", "rank", "ranks", "ranking", "verdict", "verdicts", "vote", "votes", "judgement", "judgment", "gold",
    "selected", "safer", "desirable", "accepted", "passed", "pref", "prefer", "kto", "thumbs",
))  # fmt: skip
IMAGE_WORDS = frozenset(("image", "images", "img", "imgs", "picture", "pictures", "photo", "photos", "video", "videos",
                         "audio", "media", "pixel", "screenshot", "screenshots"))  # fmt: skip
NO_IMAGE_WORDS = frozenset(("caption", "captions", "description", "id", "ids", "count", "text", "prompt", "size"))


@lru_cache(maxsize=4096)
def plain(name: str) -> str:
    """Normalise a name to lower-case words joined by `_`."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z][a-z])|(?<=[a-z])(?=[A-Z0-9]$)", "_", name)
    return re.sub(r"[^0-9a-z]+", "_", words.lower()).strip("_")


def words(name: str) -> frozenset[str]:
    return frozenset(plain(name).split("_"))


def named(schema: Schema, names: Sequence[str]) -> list[str]:
    """The columns with these names, in the order of `names`."""
    there: dict[str, list[str]] = {}
    for column in schema.columns:
        there.setdefault(plain(column), []).append(column)
    return [column for name in names for column in sorted(there.get(name, ()))]


def filled(schema: Schema, names: Sequence[str]) -> list[str]:
    """Like `named`, restricted to columns that have a value in some row."""
    return [column for column in named(schema, names) if schema.filled(column)]


def histories(schema: Schema) -> list[str]:
    """Columns that are named like earlier turns and have values."""
    return [column for column in schema.columns if _is_history(words(column)) and schema.filled(column)]


def _is_history(words: frozenset[str]) -> bool:
    earlier = all(words & some for some in EARLIER_WORDS)
    return bool(words & HISTORY_WORDS or earlier) and not words & ABOUT_WORDS


def contexts(schema: Schema) -> list[str]:
    """Columns that are named like a passage, or like an input that continues the prompt, and hold text."""
    return [
        column
        for column, shape in schema.columns.items()
        if (words(column) & CONTEXT_WORDS or plain(column) == "input")
        and not words(column) & ABOUT_WORDS
        and shape.kinds & {"text", "list", "object"}
    ]


def listing(names: Iterable[str], word: str = "and") -> str:
    """a, b and c"""
    *rest, last = names
    return f"{', '.join(rest)} {word} {last}" if rest else last


def text_inside(schema: Schema, column: str, keys: Sequence[str]) -> Path:
    """The place of the text in a column: the column itself or, for objects that are not messages, one of `keys`.

    If several of the keys occur, it is the column itself. Its rows are then refused, and the message shows the paths.
    """
    shape = schema.columns[column]
    inside = items(shape) or shape
    found = [key for key in keys if key in inside.keys and inside.keys[key].kinds & {"text", "list", "object"}]
    if inside.kinds != {"object"} or holds_messages(shape) or len(found) != 1:
        return Path(column)
    steps = (None, found[0]) if items(shape) else (found[0],)
    return Path(column, steps, f"{column}[].{found[0]}" if items(shape) else f"{column}.{found[0]}")


def items(shape: Shape) -> Shape | None:
    """The shape of list elements, including lists that a table holds as JSON text."""
    if shape.items is not None:
        return shape.items
    return shape.decoded.items if shape.decoded is not None and shape.lists_in_text else None


def holds_messages(shape: Shape) -> bool:
    """Whether a column holds conversations or single messages."""
    inside = items(shape) or shape
    return any(key in inside.keys for key in ROLE_KEYS) and any(key in inside.keys for key in _MESSAGE_KEYS)


_MESSAGE_KEYS = (*CONTENT_KEYS, "tool_calls")
