r"""Where a text states its final answer: in the last box, else after the last "the answer is", else in all of it.

    >>> final_answer(r"First \boxed{3}. I forgot one, so it is \boxed{4}.").text
    '4'
    >>> choice("The answer is (B), not C.")
    frozenset({'B'})

Only text is looked at here: what an answer means is the work of `_equality`. Where these rules find nothing, the whole
text is left to math-verify, which takes the last expression that it can read.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from fathom.rationale.transcript.thoughts import split_reasoning

Where = Literal["box", "statement", "whole", "nowhere"]

_BOX = re.compile(r"\\f?box(?:ed)?\s*(?:\{|(?P<bare>[^\s{}\\$.,;]+))")
_BETWEEN_BOXES = re.compile(r"(?:[\s$,;]|\\[()\[\],; ]|\\q?quad|\band\b|\bor\b|\\text\s*\{\s*,?\s*(?:and|or)\s*\})*")
"""What may stand between boxes that are one answer, as in "$\boxed{1}$ and $\boxed{2}$"."""
_STATEMENT = re.compile(
    r"\b(?:answer|option|choice|result|solution)s?\b[\"'*_]*"
    r"(?:\s+(?:to|for|of|here)\b[^.\n:]{0,80}?)?"
    r"\s*(?:\b(?:is|are|would be|must be|should be)\b|[:=])"
    r"(?:\s*:)?(?:\s*\b(?:thus|therefore|clearly|definitely|simply|indeed|then)\b,?)*\s*",
    re.IGNORECASE,
)
_DISPLAY = re.compile(r"\s*(\$\$.+?\$\$|\\\[.+?\\\]|\$[^$\n]+\$|\\\(.+?\\\))", re.DOTALL)
_SENTENCE = re.compile(r"(?:[^\n.]|\.(?=\S))*")
"""Up to the end of the sentence or the line. A point before more text, as in 0.5, does not end a sentence."""
_MARKUP = re.compile(
    r"(?<![\w)])(?:\*\*|__)(?=\S)|(?<=\S)(?:\*\*|__)(?![\w(])|`|</?(?:answer|strong|em|b)>", re.IGNORECASE
)
"""Bold print, code and tags; but 2**3 is a power, and a<b and c>d holds no tag."""
_TAGGED = re.compile(r"<(?P<tag>(?:final_)?answer)>(.*?)</(?P=tag)>", re.IGNORECASE | re.DOTALL)
_DENIED = re.compile(
    r"(?:definitely |certainly |probably )?not\b(?!.*\bbut\b)|(?:neither|between|either|one of|unknown)\b",
    re.IGNORECASE,
)
"""How a statement begins that names no one answer."""
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
"""A longer text is a solution, also where it has no words."""


class Final(NamedTuple):
    text: str
    where: Where


def final_answer(text: str) -> Final:
    """What the text gives as its answer, without the words around it, and how that was found.

    What a model thinks is no answer: a thought that is never closed leaves nothing.
    """
    text = split_reasoning(text)[1] or ""
    if box := last_boxes(text):
        return Final(box, "box")
    if tagged := _TAGGED.findall(text):
        return final_answer(tagged[-1][1])
    stated = [found for found in _statements(text) if found]
    if stated:
        held = [found for found in stated if not _DENIED.match(found)]
        return Final(held[-1] if held else "", "statement")
    bare = _MARKUP.sub("", text).strip()
    return Final(bare, "whole") if is_mathematics(bare) or is_worded(bare) else Final(text, "nowhere")


def last_boxes(text: str) -> str:
    """The content of the last box; of boxes that only "and", "or" or a comma separate, all of them; "" without any.

    A box that corrects an earlier one replaces it. A box that is never closed is none.
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
    """Start, end and content of the outermost boxes. Braces inside them are counted, escaped ones are not."""
    found = []
    end = 0
    for match in _BOX.finditer(text):
        if match.start() < end:
            continue
        if match["bare"] is not None:
            end = match.end()
            found.append((match.start(), end, match["bare"]))
        elif (closed := _closing(text, match.end())) is not None:
            end = closed + 1
            found.append((match.start(), end, text[match.end() : closed]))
    return found


def _closing(text: str, start: int) -> int | None:
    """Where the brace that was opened before `start` is closed."""
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
    """What follows each "the answer is"."""
    plain = _MARKUP.sub("", text)
    found = []
    for match in _STATEMENT.finditer(plain):
        displayed = _DISPLAY.match(plain, match.end())
        sentence = _SENTENCE.match(plain, match.end())
        assert sentence is not None
        rest = sentence[0].strip(" \t\"'")
        # "The answer is $5$ dollars": the sentence; "the answer is\n$$5$$": the display alone.
        found.append(rest if rest or displayed is None else displayed[1])
    return found


def is_mathematics(text: str) -> bool:
    """Whether a text is an expression and nothing else, marked as LaTeX or not."""
    bare = _FUNCTIONS.sub("", _COMMAND.sub("", separated(text)))
    return bool(text) and len(text) <= MAX_ANSWER and not _WORD.search(bare)


def separated(text: str) -> str:
    """With commas in place of "and" and "or", so that several answers are several."""
    return _SEPARATOR.sub(", ", text)


def is_worded(text: str) -> bool:
    """Whether a text is a few words on one line, such as a name, and nothing that can be calculated."""
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
"""What may follow "A" and "I" where they are a choice and no word."""
_OPERATOR = re.compile(r"\s*[=<>≤≥+*/^_]|-\S|\s*-\s*[A-Z]\b|\s*\\(?:cdot|times|le|ge|neq|cap|cup)")
"""What makes a variable of a letter."""
_CHOSEN = re.compile(r"\b(?:choose|pick|select|go with)\s+(?:option\s+|choice\s+)?", re.IGNORECASE)


def referred_choice(reference: str) -> str | None:
    """The letter that a reference is, as in "B", "(B)" and "\\text{B}."; None for any other reference."""
    match = _CHOICE.fullmatch(unwrapped(reference))
    return (match[1] or match[2]).upper() if match else None


def labelled(text: str) -> tuple[str | None, str]:
    """The letter before an answer, as in "(B) 42", and the answer without it. The letter alone has no answer."""
    match = _LABELLED.fullmatch(unwrapped(text))
    return (match[1] or match[2], match[3]) if match else (None, text)


def unwrapped(text: str) -> str:
    """A short text without marks of mathematics, fonts and spaces of LaTeX, and markup."""
    plain = _MARKUP.sub("", text)
    plain = re.sub(r"\\[()\[\]]|\$", "", plain)
    while (inner := _WRAPPED.sub(r" \1 ", plain)) != plain:
        plain = inner
    return _SPACES.sub(" ", plain).strip()


def choice(text: str) -> frozenset[str]:
    """The letters that a text chooses in the end: usually one; none where no letter can be told to be its choice."""
    text = split_reasoning(text)[1] or ""
    if tagged := _TAGGED.findall(text):
        text = tagged[-1][1]
    box = last_boxes(text)
    if box:
        return _head(unwrapped(box))
    places = [_head(unwrapped(found)) for found in [*_statements(text), *_picked(text)]]
    if named := [letters for letters in places if letters]:
        return named[-1]
    lines = [line for line in _MARKUP.sub("", text).strip().splitlines() if line.strip()]
    last = unwrapped(lines[-1]) if lines else ""
    last = re.sub(r"(?i)^(?:(?:option|choice|letter|answer)\s+)+", "", last)
    alone = _CHOICE.fullmatch(last) or (_LABELLED.match(last) if len(lines) == 1 else None)
    return frozenset(letter.upper() for letter in alone.groups()[:2] if letter) if alone else frozenset()


def _picked(text: str) -> list[str]:
    plain = _MARKUP.sub("", text)
    return [sentence[0] for match in _CHOSEN.finditer(plain) if (sentence := _SENTENCE.match(plain, match.end()))]


def _head(text: str) -> frozenset[str]:
    """The letters at the beginning: "B, not C" is B, "B or C" is both, "a cat" and "A cat" are none."""
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
