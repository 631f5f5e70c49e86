"""Renders a problem and its steps as tokens, by the convention of a family of process reward models.

    rendered = render(tokenizer, problem, ("2 + 2 = 4", "4 + 1 = 6"), convention)
    rendered.tokens                 # separators are inserted as token ids
    rendered.positions              # one per step: where its score is read

Scores are read at positions that are recorded while rendering; the tokens are never searched for separators. So there
is one position per step, even if a step contains the separator's text.

Training, evaluation and serving use the same tokens. They end at the last separator, because a causal model's scores do
not depend on later tokens.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from fathom.engines import ChatMessage, StepConvention, control
from fathom.engines.chat import Tokens, without_control
from fathom.errors import FathomError


@dataclass(frozen=True, slots=True)
class Rendered:
    """The tokens of a problem and its steps."""

    tokens: Tokens
    positions: tuple[int, ...]
    """For each step, the position of the state from which its score is read."""

    def seen(self, context: int) -> int:
        """How many steps fit into `context` tokens."""
        return sum(position < context for position in self.positions)


def render(tokenizer: Any, problem: str, steps: Sequence[str], convention: StepConvention) -> Rendered:
    """Render the steps. Control tokens in the texts are broken, so that no step can add a separator.

    Raises FathomError for an empty list of steps, and for a separator that the tokenizer cannot encode.
    """
    if not steps:
        raise FathomError("there are no steps to score; expected at least one")
    problem, *steps = _defused(tokenizer, [problem, *steps], convention)
    first = _first_piece(tokenizer, problem, steps[0], convention)
    return _joined([first, *_later_pieces(tokenizer, problem, steps, convention)], tokenizer, convention)


def render_next(tokenizer: Any, problem: str, known: Sequence[str], step: str, convention: StepConvention) -> Rendered:
    """What one more step adds to the tokens of the `known` ones; its position counts from there.

    `render` gives the same tokens, but encodes the known steps again. Raises FathomError as `render` does.
    """
    if not known:
        return render(tokenizer, problem, [step], convention)
    if convention.layout == "turns":  # a template may render a turn by those before it
        problem, *known = _defused(tokenizer, [problem, *known], convention)
    (step,) = _defused(tokenizer, [step], convention)
    pieces = _later_pieces(tokenizer, problem, [*known, step], convention, known=len(known))
    return _joined(pieces, tokenizer, convention)


def _joined(pieces: Iterable[list[int]], tokenizer: Any, convention: StepConvention) -> Rendered:
    separator = separator_tokens(tokenizer, convention)
    tokens: list[int] = []
    positions = []
    for piece in pieces:
        tokens += [*piece, *separator]
        positions.append(len(tokens) - 1 - (len(separator) if convention.read == "before" else 0))
    return Rendered(tuple(tokens), tuple(positions))


def separator_tokens(tokenizer: Any, convention: StepConvention) -> Tokens:
    """The tokens of the separator. Raises FathomError if the family's single token is not in the vocabulary."""
    if convention.last_token:
        return (_last_token(tokenizer, convention.separator, "separator"),)
    tokens = _encode(tokenizer, convention.separator)
    if not tokens:
        raise FathomError(f"the tokenizer encodes the separator {convention.separator!r} as no token")
    return tuple(tokens)


def candidate_tokens(tokenizer: Any, convention: StepConvention) -> tuple[int, int]:
    """The tokens that mean good and bad. Raises FathomError if one is not in the vocabulary."""
    return (
        _last_token(tokenizer, convention.good, "answer"),
        _last_token(tokenizer, convention.bad, "answer"),
    )


def _last_token(tokenizer: Any, text: str, what: str) -> int:
    """The token of a text. Tokenizers may merge a space before the text into the token, or encode it separately."""
    tokens = _encode(tokenizer, text)
    if not tokens or tokenizer.decode(tokens[-1:]).lstrip(" ") != text.lstrip(" "):
        raise FathomError(
            f"the tokenizer has no single token for the {what} {text!r}, it encodes it as {len(tokens)}; expected the "
            "tokenizer of the family's models, or another family"
        )
    return tokens[-1]


def _encode(tokenizer: Any, text: str) -> list[int]:
    tokens: list[int] = tokenizer.encode(text, add_special_tokens=False)
    return tokens


def _begin(tokenizer: Any) -> list[int]:
    return [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]


def _defused(tokenizer: Any, texts: Sequence[str], convention: StepConvention) -> list[str]:
    """The stripped texts, with their control tokens broken, also the separator if it is an added token."""
    messages = without_control(tokenizer, [{"role": "user", "content": text.strip()} for text in texts])
    added = [convention.separator] if convention.separator in tokenizer.get_added_vocab() else []
    return [control.defuse(message["content"], control.pattern(added)) for message in messages]


# The pieces between separators ----------------------------------------------------------------------------------------


def _first_piece(tokenizer: Any, problem: str, step: str, convention: StepConvention) -> list[int]:
    """The tokens of the problem and the first step, without its separator."""
    if convention.layout == "turns":
        messages = _messages(f"{problem}{convention.joint}{step}", convention)
        return _encode(tokenizer, _before_answer(tokenizer, messages))
    if convention.layout == "answer":
        return _encode(tokenizer, _before_answer(tokenizer, _messages(problem, convention)) + step)
    if convention.apart:
        return [*_begin(tokenizer), *_encode(tokenizer, f"{problem}{convention.joint}"), *_encode(tokenizer, step)]
    return [*_begin(tokenizer), *_encode(tokenizer, f"{problem}{convention.joint}{step}")]


def _later_pieces(
    tokenizer: Any, problem: str, steps: Sequence[str], convention: StepConvention, known: int = 1
) -> Iterator[list[int]]:
    """The tokens of each step after the first `known` ones, without its separator."""
    if convention.layout == "turns":
        yield from _turns(tokenizer, problem, steps, convention, known)
        return
    for step in steps[known:]:
        text = f"{convention.between}{step}"
        yield _encode(tokenizer, text) if convention.apart else _after_separator(tokenizer, text, convention)


def _after_separator(tokenizer: Any, text: str, convention: StepConvention) -> list[int]:
    """The tokens of a text that follows a separator in the same string.

    SentencePiece tokenizers add a space before a text that is encoded on its own, but not before one that follows other
    text.
    """
    before = _encode(tokenizer, convention.separator)
    together = _encode(tokenizer, f"{convention.separator}{text}")
    return together[len(before) :] if together[: len(before)] == before else _encode(tokenizer, text)


# Chat templates -------------------------------------------------------------------------------------------------------

_ANSWER = "(the answer begins here)"


def _messages(content: str, convention: StepConvention) -> list[ChatMessage]:
    system: list[ChatMessage] = [] if convention.system is None else [{"role": "system", "content": convention.system}]
    return [*system, {"role": "user", "content": content}]


def _before_answer(tokenizer: Any, messages: Sequence[ChatMessage]) -> str:
    """The rendered conversation up to the start of the assistant's next answer."""
    if tokenizer.chat_template is None:
        raise FathomError("the tokenizer has no chat template; choose a family whose layout is text")
    answer: ChatMessage = {"role": "assistant", "content": _ANSWER}
    text: str = tokenizer.apply_chat_template([*messages, answer], tokenize=False)
    return text[: text.rindex(_ANSWER)]


def _turns(
    tokenizer: Any, problem: str, steps: Sequence[str], convention: StepConvention, known: int
) -> Iterator[list[int]]:
    """The tokens between two answers: the template's end of the assistant turn, the user turn, the next header."""
    messages = _messages(f"{problem}{convention.joint}{steps[0]}", convention)
    for step in steps[1:known]:
        messages += _turn(step, convention)
    before = f"{_before_answer(tokenizer, messages)}{convention.separator}"
    for step in steps[known:]:
        messages += _turn(step, convention)
        text = _before_answer(tokenizer, messages)
        if not text.startswith(before):
            raise FathomError("the chat template changes earlier turns, so steps cannot be scored in one pass")
        yield _encode(tokenizer, text[len(before) :])
        before = f"{text}{convention.separator}"


def _turn(step: str, convention: StepConvention) -> list[ChatMessage]:
    return [
        {"role": "assistant", "content": convention.separator},
        {"role": "user", "content": f"{convention.between}{step}"},
    ]
