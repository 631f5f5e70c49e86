r"""Extracts the final answer of a text: the last box, or the text after the last "the answer is", or the whole text.

    >>> final_answer(r"First \boxed{3}. I forgot one, so it is \boxed{4}.").text
    '4'
    >>> choice("The answer is (B), not C.")
    frozenset({'B'})

These rules process text only; `_equality` interprets answers. If no rule matches, math-verify searches the whole text
for the last expression that it can parse.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from fathom.rationale.transcript.thoughts import split_reasoning

Where = Literal["box", "statement", "whole", "nowhere"]

_BOX = re.compile(r"\\f?box(?:ed)?\s*(?:\{|(?P<bare>[^\s{}\\$.,;]+))")
_BETWEEN_BOXES = re.compile(r"(?:[\s$,;]|\\[()\[\],; ]|\\q?quad|\band\b|\bor\b|\\text\s*\{\s*,?\s*(?:and|or)\s*\})*")
"""Text between boxes that form one answer, as in "$\boxed{1}$ and $\boxed{2}$"."""
_STATEMENT = re.compile(
    r"\b(?:answer|option|choice|result|solution)s?\b[\"'*_]*"
    r"(?:\s+(?:to|for|of|here)\b[^.\n:]{0,80}?)?"
    r"\s*(?:\b(?:is|are|would be|must be|should be)\b|[:=])"
    r"(?:\s*:)?(?:\s*\b(?:thus|therefore|clearly|definitely|simply|indeed|then)\b,?)*\s*",
    re.IGNORECASE,
)
_DISPLAY = re.compile(r"\s*(\$\$.+?\$\$|\\\[.+?\\\]|\$[^$\n]+\$|\\\(.+?\\\))", re.DOTALL)
_SENTENCE = re.compile(r"(?:[^\n.]|\.(?=\S))*")
"""Text up to the end of the sentence or line. A point directly before more text, as in 0.5, does not end a sentence."""
_MARKUP = re.compile(
    r"(?<![\w)])(?:\*\*|__)(?=\S)|(?<=\S)(?:\*\*|__)(?![\w(])|`|</?(?:answer|strong|em|b)>", re.IGNORECASE
)
"""Bold type, code and tags; but 2**3 is a power, and "a<b and c>d" has no tag."""
_TAGGED = re.compile(r"<(?P<tag>(?:final_)?answer)>(.*?)</(?P=tag)>", re.IGNORECASE | re.DOTALL)
_DENIED = re.compile(
    r"(?:definitely |certainly |probably )?not\b(?!.*\bbut\b)|(?:neither|between|either|one of|unknown)\b",
    re.IGNORECASE,
)
"""The beginning of a statement that does not name one answer."""
_WORD = re.compile(
    r"[^\W\d_]{3,}|\b(?:am|an|as|at|be|by|do|he|if|in|is|it|me|my|no|of|on|so|to|up|us|we)\b", re.IGNORECASE
)
_SEPARATOR = re.compile(r"\s*,?\s*\b(?:and|or)\b\s*", re.IGNORECASE)
_COMMAND = re.compile(
    r"\\(?:begin|end)\s*\{\w+\*?\}|\\(?:text|mathrm|textbf|textit|mathbf|operatorname|mbox)\s*\{[^{}]*\}|\\[a-zA-Z]+"
)
_FUNCTIONS = re.compile(r"\b(?:sin|cos|tan|cot|sec|csc|arcsin|arccos|arctan|log|exp|sqrt|max|min|gcd|lcm|mod|inf)\b")
_WORDS = re.compile(r"[^\W\d_](?:[^\W\d_]|[ '’-])+")
MAX_ANSWER = 400
"""Maximum length of an answer in characters. A longer text is a solution, even without words."""


class Final(NamedTuple):
    text: str
    where: Where


def final_answer(text: str) -> Final:
    """The answer of a text, without the words around it, and the rule that found it.

    Reasoning is not an answer: a text whose thinking block is not closed has an empty answer.
    """
    text = split_reasoning(text)[1] or ""
    if box := last_boxes(text):
        return Final(box, "box")
    if tagged := _TAGGED.findall(text):
        return final_answer(tagged[-1][1])
    statements = [statement for statement in _statements(text) if statement]
    if statements:
        definite = [statement for statement in statements if not _DENIED.match(statement)]
        return Final(definite[-1] if definite else "", "statement")
    bare = _MARKUP.sub("", text).strip()
    return Final(bare, "whole") if is_mathematics(bare) or is_worded(bare) else Final(text, "nowhere")


def last_boxes(text: str) -> str:
    """The content of the last box, or of the last boxes if only "and", "or" or a comma separates them; else "".

    A later box with other text before it is a correction, and replaces earlier ones. A box that is not closed is
    ignored.
    """
    boxes = list(_boxes(text))
    run: list[str] = []
    for place in range(len(boxes) - 1, -1, -1):
        _, end, content = boxes[place]
        if run and not _BETWEEN_BOXES.fullmatch(text[end : boxes[place + 1][0]]):
            break
        run.insert(0, content.strip())
    return ", ".join(run)


def _boxes(text: str) -> list[tuple[int, int, str]]:
    """Start, end and content of the outermost boxes. Escaped braces do not count as braces."""
    boxes = []
    end = 0
    for match in _BOX.finditer(text):
        if match.start() < end:
            continue
        if match["bare"] is not None:
            end = match.end()
            boxes.append((match.start(), end, match["bare"]))
        elif (closed := _closing(text, match.end())) is not None:
            end = closed + 1
            boxes.append((match.start(), end, text[match.end() : closed]))
    return boxes


def _closing(text: str, start: int) -> int | None:
    """The position of the brace that closes the one before `start`; None if it is not closed."""
    depth, place = 1, start
    while place < len(text):
        if text[place] == "\\":
            place += 1
        elif text[place] in "{}":
            depth += 1 if text[place] == "{" else -1
            if depth == 0:
                return place
        place += 1
    return None


def _statements(text: str) -> list[str]:
    """The text after each "the answer is"."""
    plain = _MARKUP.sub("", text)
    statements = []
    for match in _STATEMENT.finditer(plain):
        displayed = _DISPLAY.match(plain, match.end())
        sentence = _SENTENCE.match(plain, match.end())
        assert sentence is not None
        rest = sentence[0].strip(" \t\"'")
        # "The answer is $5$ dollars": the sentence. "the answer is\n$$5$$": only the displayed formula.
        statements.append(rest if rest or displayed is None else displayed[1])
    return statements


def is_mathematics(text: str) -> bool:
    """Whether a text consists only of an expression, with or without LaTeX delimiters."""
    bare = _FUNCTIONS.sub("", _COMMAND.sub("", separated(text)))
    return bool(text) and len(text) <= MAX_ANSWER and not _WORD.search(bare)


def separated(text: str) -> str:
    """The text with commas for "and" and "or", so that math-verify parses several answers as such."""
    return _SEPARATOR.sub(", ", text)


def is_worded(text: str) -> bool:
    """Whether a text consists of a few words on one line, such as a name, without numbers or operators."""
    return len(text) <= MAX_ANSWER and _WORDS.fullmatch(text) is not None


# Choices --------------------------------------------------------------------------------------------------------------

_WRAPPED = re.compile(r"\\(?:text|mathrm|textbf|textit|mathbf|bf|rm|mbox)\s*\{([^{}]*)\}")
_SPACES = re.compile(r"\\[,;:! ]|~|\\q?quad\b")
_CHOICE = re.compile(r"(?:[(\[{]\s*([A-Za-z])\s*[)\]}]|([A-Z]))\s*[.:]?")
_LABELLED = re.compile(r"\s*(?:[(\[]\s*([A-Z])\s*[)\]]|([A-Z])[).:])\s*(.*)", re.DOTALL)
_HEAD = re.compile(
    r"(?:(?:the|option|choice|letter|answer)\s+)*(?:not\b.*?\bbut\s+(?:rather\s+)?)?(?:(?:option|choice|letter)\s+)*"
    r"(?:[(\[]\s*([A-Za-z])\s*[)\]]|([A-Z])(?![\w'’]))(?P<rest>.*)",
    re.IGNORECASE | re.DOTALL,
)
_MORE = re.compile(r"\s*(?:,\s*(?:and|or)?|and|or|/|&)\s*(?!not\b)(?:[(\[]\s*([A-Za-z])\s*[)\]]|([A-Z])(?![\w'’]))")
_AFTER_ARTICLE = re.compile(r"\s*(?:$|[^\w\s]|(?:because|since|as|which|and|or|but|not|with)\b)")
"""Text after "A" or "I" if these are choices rather than words."""
_OPERATOR = re.compile(r"\s*[=<>≤≥+*/^_]|-\S|\s*-\s*[A-Z]\b|\s*\\(?:cdot|times|le|ge|neq|cap|cup)")
"""Text after a letter that is a variable."""
_CHOSEN = re.compile(r"\b(?:choose|pick|select|go with)\s+(?:option\s+|choice\s+)?", re.IGNORECASE)


def referred_choice(reference: str) -> str | None:
    """The letter of a reference such as "B", "(B)" and "\\text{B}."; None for any other reference."""
    match = _CHOICE.fullmatch(unwrapped(reference))
    return (match[1] or match[2]).upper() if match else None


def labelled(text: str) -> tuple[str | None, str]:
    """The letter before an answer, as in "(B) 42", and the answer without it; the letter is None without one."""
    match = _LABELLED.fullmatch(unwrapped(text))
    return (match[1] or match[2], match[3]) if match else (None, text)


def unwrapped(text: str) -> str:
    """A short text without math delimiters, LaTeX fonts and spaces, and markup."""
    plain = _MARKUP.sub("", text)
    plain = re.sub(r"\\[()\[\]]|\$", "", plain)
    while (inner := _WRAPPED.sub(r" \1 ", plain)) != plain:
        plain = inner
    return _SPACES.sub(" ", plain).strip()


def choice(text: str) -> frozenset[str]:
    """The letters that a text finally chooses: usually one; empty if its choice cannot be determined."""
    text = split_reasoning(text)[1] or ""
    if tagged := _TAGGED.findall(text):
        text = tagged[-1][1]
    box = last_boxes(text)
    if box:
        return _head(unwrapped(box))
    choices = [_head(unwrapped(stated)) for stated in [*_statements(text), *_picked(text)]]
    if chosen := [letters for letters in choices if letters]:
        return chosen[-1]
    lines = [line for line in _MARKUP.sub("", text).strip().splitlines() if line.strip()]
    last = unwrapped(lines[-1]) if lines else ""
    last = re.sub(r"(?i)^(?:(?:option|choice|letter|answer)\s+)+", "", last)
    match = _CHOICE.fullmatch(last) or (_LABELLED.match(last) if len(lines) == 1 else None)
    return frozenset(letter.upper() for letter in match.groups()[:2] if letter) if match else frozenset()


def _picked(text: str) -> list[str]:
    plain = _MARKUP.sub("", text)
    return [sentence[0] for match in _CHOSEN.finditer(plain) if (sentence := _SENTENCE.match(plain, match.end()))]


def _head(text: str) -> frozenset[str]:
    """The letters at the beginning: B of "B, not C", both of "B or C", none of "a cat" and "A cat"."""
    if _DENIED.match(text):
        return frozenset()
    match = _HEAD.match(text)
    if match is None:
        return frozenset()
    letter, rest = match[1] or match[2], match["rest"]
    is_bare = match[2] is not None
    is_word = letter in "AIai" and not _AFTER_ARTICLE.match(rest)
    if is_bare and (is_word or letter.islower() or _OPERATOR.match(rest)):
        return frozenset()
    letters = {letter.upper()}
    while more := _MORE.match(rest):
        letters.add((more[1] or more[2]).upper())
        rest = rest[more.end() :]
    return frozenset(letters)
