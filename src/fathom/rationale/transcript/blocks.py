"""The units of a transcript: blocks that begin with a principle and contain a judgment.

>>> [block.principle for block in find_blocks(Document.of("**Clarity**\\nJudgment: A is plain.\\nVerdict: A"), 64)]
['Clarity']
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from fathom.rationale.transcript.document import Document, Label

# A line that may be a heading: a bullet, hashes, bold print or a number before a name of at most 200 characters.
# `_heading` requires at least one of hashes, bold print and number.
_HEADING = re.compile(
    r"[ \t>]{0,4}(?:[-*+•] )?(?P<hashes>#{1,6})?[ \t]{0,4}(?P<bold>\*\*|__)?[ \t]{0,4}"
    r"(?P<number>\(?\d{1,3}[.):][ \t]{0,4})?(?P<bold2>\*\*|__)?(?P<name>[^\s#*].{0,200})"
)
_NOT_A_PRINCIPLE = re.compile(
    r"\W*(?:response|assistant|answer|model|output|analysis|comparison|evaluation|assessment|summary|overall"
    r"|strengths?|weaknesses|reasoning|conclusion|final|verdict|winner|judge?ment|solution|step|instructions?"
    r"|question|task)\b[^:]{0,20}$",
    re.IGNORECASE,
)
_NAME_END = re.compile(r"\*\*|__|: |：| [-–—] ")
_RULE = re.compile(r"\n\s*[-*_=]{3,}\s*$")


@dataclass(slots=True)
class Block:
    """A unit as positions in the text. `fields` lists the fields: kind, start of the value, start of the line.

    `labelled` blocks begin with a label such as `Principle 1:`, others with a heading above a field.
    """

    principle: str
    definition: str
    start: int
    labelled: bool
    fields: list[tuple[str, int, int]] = field(default_factory=list)
    end: int = 0

    def has(self, kind: str) -> bool:
        return any(name == kind for name, _, _ in self.fields)

    def text(self, document: Document, kind: str, stop: int) -> str:
        """The text of the fields of this kind, up to `stop`; empty if there are none."""
        ends = [line for _, _, line in self.fields[1:]] + [self.end]
        return "\n\n".join(
            _unmarked(document.text[start : min(end, stop)])
            for (name, start, _), end in zip(self.fields, ends, strict=False)
            if name == kind
        )


def find_blocks(document: Document, max_blocks: int) -> list[Block]:
    """The blocks in order, incomplete ones too. A solution before the first principle is a separate block.

    If there are more than `max_blocks` blocks, one more without fields covers the rest of the text.

    One pass over the labels: a principle opens a block, a field belongs to the open block (or opens one, if a heading
    is above it), and a final verdict closes the block.
    """
    found: list[Block] = []
    labels = document.labels
    closed = True
    for k, label in enumerate(labels):
        if len(found) > max_blocks:
            found[-1].fields.clear()
            _close(found, max(document.line_end(label.end) for label in labels if label.kind != "final"), closed)
            return found
        if label.kind == "final" and not (
            found and not closed and _is_part_of_solution(document, found[-1], labels, k)
        ):
            closed = _close(found, label.start, closed)
        elif label.kind == "principle" and (heading := _explicit(document, label)):
            closed = _close(found, label.start, closed)
            found.append(heading)
            closed = False
        elif label.value is not None and label.kind not in ("final", "principle"):
            closed = _take_field(document, found, label, label.value, closed)
    _close(found, len(document.text), closed)
    return found


def _close(found: list[Block], end: int, closed: bool) -> bool:
    if found and not closed:
        found[-1].end = end
    return True


def _take_field(document: Document, found: list[Block], label: Label, value: int, closed: bool) -> bool:
    """Add a field to the open block, or to a new block if a heading is above the field.

    A block is full if it has a verdict or a field of the same kind, or if a definition would follow its judgment.
    """
    kind = label.kind.removeprefix("sub-")
    current = None if closed else found[-1]
    full = (
        current is None
        or current.has("verdict")
        or current.has(kind)
        or (kind == "definition" and current.has("judgment"))
    )
    if full or (current and not current.labelled and not current.fields):
        floor = current.fields[-1][1] if current and current.fields else 0
        heading = None if kind == "verdict" else _heading_above(document, floor, label.start)
        if heading is not None:
            _close(found, heading.start, closed)
            found.append(heading)
        elif current is None and kind == "solution":
            found.append(Block("", "", label.start, False))
        elif full:
            return closed
    found[-1].fields.append((kind, value, label.start))
    return False


def _is_part_of_solution(document: Document, block: Block, labels: list[Label], k: int) -> bool:
    """Whether a final answer is the end of the solution (`Final answer: 42`), because the judgment follows it."""
    solving = bool(block.fields) and block.fields[-1][0] == "solution"
    judging = ("judgment", "verdict", "sub-verdict", "final")
    return (
        solving
        and "answer" in document.folded[labels[k].start : labels[k].end]
        and any(label.kind in judging and label.value for label in labels[k + 1 :])
    )


def _explicit(document: Document, label: Label) -> Block | None:
    """The block that begins with a line such as `Principle 3: Clarity`; None if the line is not a principle."""
    end = document.line_end(label.end)
    value = label.value
    if value is None or value > end:
        rest = document.text[label.end : end].lstrip(" *_.)")
        if rest and document.text[label.end] not in ".)" and "#" not in document.text[label.start : label.words]:
            return None
        value = end - len(rest)
    line = document.text[value:end].strip(" \t")
    if not line.strip("*_# "):
        return Block(_line_below(document, end), "", label.start, True)
    name, definition = _split_name(line.lstrip("*_ "), colons=False)
    return Block(name, definition, label.start, True)


def _line_below(document: Document, end: int) -> str:
    """The principle on the line below its heading."""
    following = next((label.start for label in document.labels if label.start >= end), len(document.text))
    return document.text[end : min(following, end + 200)].strip().partition("\n")[0].strip(" *_#")


def _heading_above(document: Document, floor: int, line_start: int) -> Block | None:
    """The block whose heading is one of the two lines above `line_start`."""
    end = line_start
    for _ in range(2):
        while end > floor and document.text[end - 1].isspace():
            end -= 1
        start = document.text.rfind("\n", max(floor, end - 300), end)
        if start < floor or end <= floor:
            return None
        heading = _heading(document.text[start + 1 : end], start)
        if heading is not None:
            return heading
        end = start
    return None


def _heading(line: str, start: int) -> Block | None:
    match = _HEADING.fullmatch(line.rstrip())
    if match is None or not (match["hashes"] or match["bold"] or match["bold2"] or match["number"]):
        return None
    name, definition = _split_name(match["name"], colons=True)
    if not name or len(name) > 100 or _NOT_A_PRINCIPLE.match(name):
        return None
    return Block(name, definition, start, False)


def _split_name(line: str, *, colons: bool) -> tuple[str, str]:
    """Split a heading into the name and the definition after bold print, a colon or a dash."""
    cut = _NAME_END.search(line)
    if cut is None or (not colons and cut[0] not in ("**", "__")):
        return line.strip(" *_#:："), ""
    return line[: cut.start()].strip(" *_#:："), line[cut.end() :].strip(" \t*_:：-–—")


def _unmarked(text: str) -> str:
    """Remove unbalanced bold marks and a horizontal rule at the end."""
    text = _RULE.sub("", text.strip())
    for mark in ("**", "__"):
        if text.count(mark) % 2:
            text = text.removeprefix(mark) if text.startswith(mark) else text.removesuffix(mark)
    return text.strip()


def find_unit_spans(document: Document, blocks: list[Block]) -> list[tuple[int, int]]:
    """The spans of text that belong to units, in order. Verdicts inside of them are not final."""
    spans = [(block.start, _own_end(document, block, block is blocks[-1])) for block in blocks]
    return sorted(
        spans
        + [(label.start, document.line_end(label.end)) for label in document.labels if _is_headed(document, label)]
    )


def _own_end(document: Document, block: Block, last: bool) -> int:
    """The certain end of a block: its sub-verdict, else the next block, else the end of its last paragraph.

    The last block has to end early: the text after it may state the final verdict.
    """
    if block.has("verdict"):
        return document.line_end(next(start for kind, start, _ in block.fields if kind == "verdict"))
    if last and block.has("judgment"):
        paragraph = document.text.find("\n\n", block.fields[-1][1], block.end)
        return paragraph if paragraph >= 0 else block.end
    return block.end


def _is_headed(document: Document, label: Label) -> bool:
    """Whether a verdict line ends a paragraph below a heading; it is a sub-verdict even without a judgment label."""
    if label.kind != "verdict":
        return False
    blank = document.text.rfind("\n\n", max(0, label.start - 2000), label.start)
    start = blank + 2 if blank >= 0 else 1
    first = document.text[start : document.line_end(start)]
    if start > label.start or label.start - start > 2000 or _heading(first, 0) is None:
        return False
    return not any(_heading(line, 0) for line in document.text[start + len(first) + 1 : label.start].split("\n"))
