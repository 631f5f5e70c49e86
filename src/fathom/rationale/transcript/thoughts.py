"""Reasoning blocks: splits a text into the reasoning in it and the text outside.

    >>> split_reasoning("<think>[[B]]?</think>Final verdict: [[A]]")
    ('[[B]]?', 'Final verdict: [[A]]')
    >>> split_reasoning("analysisPerhaps [[B]].assistantfinalFinal verdict: [[A]]")
    ('Perhaps [[B]].', 'Final verdict: [[A]]')

Model families mark reasoning in many ways: tags, special tokens, channels, fences, fixed phrases. Every mark becomes a
`_Tag` that opens or closes a block of a family, and one loop over the tags splits the text. To support another mark,
add a pattern here.
"""

from __future__ import annotations

import re
from bisect import bisect
from collections.abc import Iterator
from itertools import islice, repeat
from typing import NamedTuple

from fathom.rationale.transcript.characters import fold
from fathom.rationale.transcript.fences import fences, unwrapped

MAX_TAGS = 512
MAX_TAG_CANDIDATES = 2048
"""Above either limit the text is treated as degenerate repetition, and nothing in it counts."""

SECOND_THOUGHT = "\ue000"
"""Placeholder for a reasoning block, which may take back a verdict before it."""

# Names of reasoning blocks: `think`, `seed:think`, `antThinking`, `START_THINKING`, `begin_of_thought`. A name is one
# of these words, alone or joined to others by `_`, `:` and similar separators.
_STEMS = {
    **dict.fromkeys(("think", "thought", "思考", "思维"), "think"),
    **{
        stem: stem
        for stem in (
            *("reason", "reflect", "scratch", "monologue", "deliberat", "cot", "brainstorm", "introspect", "ruminat"),
            *("contemplat", "ponder", "musing", "planning", "draft"),
        )
    },
}
"""Stems of names, and their families. The first stem that occurs in a name decides."""
_WORDS = (
    r"(?:think(?:ing)?|thoughts?|reason(?:s|ing)?|reflect(?:ions?|ing)?|scratch[_-]?pad|monologue"
    r"|deliberat(?:e|ing|ions?)|cot|brainstorm(?:ing)?|introspect(?:ion|ing)?|ruminat(?:e|ing|ions?)"
    r"|contemplat(?:e|ing|ion|or)|ponder(?:ing)?|musings?|planning|draft|思考|思维)"
)
_END = r"(?:end|stop|close|finish)"
_NAME = (
    rf"(?:[a-z0-9]{{1,16}}[:_.▁-]){{0,4}}(?:ant|inner|self|startof|endof)?{_WORDS}(?:[:_.▁-][a-z0-9]{{1,16}}){{0,3}}"
)
_SPACED = rf"(?:[a-z0-9]{{1,16}}[:_.▁ -]){{0,4}}(?:startof|endof)?{_WORDS}(?:[:_.▁ -][a-z0-9]{{1,16}}){{0,3}}"
_TAG = re.compile(
    rf"<(?P<slash1>/?)(?P<name1>{_NAME})(?:\s+[a-z_-]{{1,20}}=[^<>\n]{{0,80}})?\s?>"
    rf"|<\|(?P<slash2>/?)(?P<name2>{_SPACED})\|>|\[(?P<slash3>/?)(?P<name3>{_SPACED})\]"
    rf"|[◁【](?P<slash4>/?)(?P<name4>{_NAME})[▷】]"
)
_ENDING_NAME = re.compile(rf"{_END}(?:of)?(?=[:_.▁ -]|{_WORDS}|$)|.*[:_.▁ -]{_END}$")
# A stem in a tag follows a bracket or a separator, or is joined to `ant`, `inner` or `self`. The look-behind follows
# the literal, because patterns with a literal prefix are searched many times faster.
_PLACES = {stem: re.compile(rf"{stem}(?<=[</\[|:_.▁ ◁【tfr-]{stem})") for stem in _STEMS}
_BRACKETS = "<[◁【"
_FEW = 64
_FAR = 80
"""Maximum number of characters from the start of a tag to its stem."""

# gpt-oss: `<|channel|>analysis<|message|>...<|end|><|start|>assistant<|channel|>final<|message|>...`. A decoder that
# drops special tokens leaves only the names, joined to the text: `analysisWe need ...assistantfinalThe verdict`.
_CHANNEL = re.compile(
    r"<\|?channel\|?> ?(?P<name>[a-z]{0,16})(?:[^<\n]{0,60}(?:<\|constrain\|>[^<\n]{0,20})?<\|message\|>)?"
)
_DROPPED = re.compile(r"assistant\s{0,2}(?P<name>analysis|commentary|final)(?:\s{0,2}json(?=\s{0,2}\{))?")
_DROPPED_FIRST = re.compile(
    r"\s{0,8}(?:assistant\s{0,2})?(?:(?P<name>analysis|commentary)(?=[^\s:：=.,;!?*_#|`\"')\]}>-]|\n|$)"
    r"|(?P<final>final)(?=[A-Z{\[]))"
)
_BARE = re.compile(r"(?<![\w|<])(?P<marker>START|BEGIN|END)_(?:OF_)?(?:THINKING|THOUGHT|REASONING)(?![a-z_|>])")

_FORMULAS = tuple(  # phrases that begin the text, and those that end the reasoning
    (re.compile(rf"[\s*_#]{{0,8}}{start}"), re.compile(end))
    for start, end in (
        (r"here(?:['’]s| is) my thought process:", r"here(?:['’]s| is) my response:"),  # Granite
        (r"here are my reasoning steps:", r"\[begin final response\]"),  # Apriel
        (r"thinking ?(?:\.\.\.|…)[*_]{0,3}\n", r"(?:\.\.\.|…) ?done thinking\.?"),  # Ollama
    )
)
_UNUSED = re.compile(r"[<\[]unused(?:94|16|(?P<closes>95|17))[>\]]")  # MedGemma, Pangu
_COMMENT = re.compile(rf"(?P<opens><!--\s{{0,4}}{_WORDS}\b)|-->")
_DETAILS = re.compile(
    r"(?P<opens><details(?:\s+type=[\"']?reasoning[^>\n]{0,80}>"
    rf"|[^>\n]{{0,40}}>\s{{0,4}}<summary>[^<\n]{{0,20}}{_WORDS}\b))|</details>"
)
_FENCED = re.compile(rf"(?<![^\n])[ \t]{{0,3}}(?P<fence>`{{3,8}}|~{{3,8}})[ \t]*{_WORDS}[ \t]*(?=\n)")
_SIGNS = "<[◁【`~"
_MENTIONED = "`\"'“‘「『«"


class _Tag(NamedTuple):
    """A mark that opens or closes a reasoning block of a family, and its position."""

    start: int
    end: int
    closes: bool
    family: str


def split_reasoning(text: str) -> tuple[str, str | None]:
    """Split a text into its reasoning and the rest. The rest is None if a reasoning block is never closed."""
    thoughts, spoken = divided(text)
    rest = None if spoken is None else spoken.replace(SECOND_THOUGHT, "\n").lstrip("\n" if thoughts else "")
    return "\n\n".join(thought for thought in thoughts if thought), rest


def divided(text: str) -> tuple[list[str], str | None]:
    """The reasoning blocks in order, and the text outside with a `SECOND_THOUGHT` in place of each.

    A block ends at the first closing tag of its family; tags of other families inside are part of it. The text before a
    closing tag without an opening one is a block too, because the opening tag may have been in the prompt. If a block
    is never closed, the text outside is None.
    """
    if text.lstrip()[:3] in ("```", "~~~") and not _FENCED.match(fold(text.lstrip())):
        text = unwrapped(text.strip())
    tags = sorted(islice(_tags(text), MAX_TAGS + 1))
    if not tags:
        return [], text
    if len(tags) > MAX_TAGS:
        return [text], None
    text = text.replace(SECOND_THOUGHT, " ")
    thoughts: list[str] = []
    spoken: list[str] = []
    start, family = 0, ""
    for tag in tags:
        if tag.start < start:
            continue  # inside of the previous tag
        if tag.closes and not family:
            thoughts = [*thoughts, "".join([*spoken, text[start : tag.start]]).replace(SECOND_THOUGHT, "\n").strip()]
            spoken, start = [SECOND_THOUGHT], tag.end
        elif tag.closes and tag.family == family:
            thoughts.append(text[start : tag.start].strip())
            start, family = tag.end, ""
        elif not tag.closes and not family:
            spoken += [text[start : tag.start], "\n" + SECOND_THOUGHT]
            start, family = tag.end, tag.family
    (thoughts if family else spoken).append(text[start:])
    return thoughts, None if family else "".join(spoken)


def _tags(text: str) -> Iterator[_Tag]:
    """All marks, unordered. Substring checks skip the patterns of families that cannot occur."""
    start = text[:60].lstrip(" \t\n*_#").lower()
    if start.startswith(("here", "thinking")):
        yield from _formulas(fold(text))
    if "assistant" in text or start.startswith(("assistant", "analysis", "commentary", "final")):
        yield from _dropped_channels(text)
    if "_TH" in text or "_REASONING" in text:
        for match in _BARE.finditer(text):
            yield _Tag(*match.span(), match["marker"] == "END", "think")
    if not any(sign in text for sign in _SIGNS):
        return
    folded = fold(text)
    fenced: list[int] = []
    if "`" in text or "~" in text:
        yield from _fenced(folded)
        fenced = fences("\n" + text)
    for tag in _marked(text, folded):
        if not _is_mentioned(folded, tag) and not (len(fenced) > 1 and bisect(fenced, tag.start) % 2):
            yield tag


def _marked(text: str, folded: str) -> Iterator[_Tag]:
    """Marks that are tags, special tokens or channels. Too many candidates give more tags than `MAX_TAGS`."""
    for n, start in enumerate(_starts(folded)):
        if n > MAX_TAG_CANDIDATES:
            yield from repeat(_Tag(start, start, False, "loop"), MAX_TAGS + 1)
            return
        if tag := _tag(text, folded, start):
            yield tag
    if "<" not in folded:
        return
    if "channel" in folded:
        for match in _CHANNEL.finditer(folded):
            yield _Tag(*match.span(), match["name"] in ("final", ""), "channel")
    # The ends of these may end other elements, so they count only if a block of this kind begins in the text.
    for pattern, mark in ((_DETAILS, "<details"), (_COMMENT, "<!--")):
        found = list(pattern.finditer(folded)) if mark in folded else []
        if any(match["opens"] for match in found):
            for match in found:
                yield _Tag(*match.span(), match["opens"] is None, mark)


def _starts(folded: str) -> Iterator[int]:
    """Positions at which a tag may start.

    With few brackets, these are all brackets. In texts with many (code, XML), only brackets before a stem are tried.
    """
    if sum(map(folded.count, _BRACKETS)) <= _FEW:
        for bracket in _BRACKETS:
            at = folded.find(bracket)
            while at >= 0:
                yield at
                at = folded.find(bracket, at + 1)
        return
    seen = {-1}
    for stem, places in _PLACES.items():
        for place in places.finditer(folded) if stem in folded else ():
            start = max(folded.rfind(bracket, max(0, place.start() - _FAR), place.start()) for bracket in _BRACKETS)
            if start not in seen:
                seen.add(start)
                yield start


def _tag(text: str, folded: str, start: int) -> _Tag | None:
    if unused := _UNUSED.match(folded, start):
        return _Tag(*unused.span(), unused["closes"] is not None, "unused")
    match = _TAG.match(folded, start)
    if match is None:
        return None
    n = next(n for n in "1234" if match["name" + n])
    name = match["name" + n]
    closes = bool(match["slash" + n]) or _ENDING_NAME.match(name) is not None
    if n == "3" and not closes and text[start : match.end()].islower() and f"[/{name}]" not in folded:
        return None  # `[reasoning]` is a placeholder
    family = next(family for stem, family in _STEMS.items() if stem in name)
    return _Tag(start, match.end(), closes, family)


def _dropped_channels(text: str) -> Iterator[_Tag]:
    first = _DROPPED_FIRST.match(text)
    if first:
        yield _Tag(*first.span(), first["final"] is not None, "channel")
    for match in _DROPPED.finditer(text, first.end() if first else 0):
        glued = match[0].startswith(("assistantfinal", "assistantanalysis", "assistantcommentary"))
        if glued or (match[0][9:].isspace() and text[: match.start()].endswith("\n")):
            yield _Tag(*match.span(), match["name"] == "final", "channel")


def _formulas(folded: str) -> Iterator[_Tag]:
    """A phrase that begins the text as reasoning, and the first phrase that ends it."""
    for starts, ends in _FORMULAS:
        if opening := starts.match(folded):
            yield _Tag(*opening.span(), False, "formula")
            if closing := ends.search(folded, opening.end()):
                yield _Tag(*closing.span(), True, "formula")


def _fenced(folded: str) -> Iterator[_Tag]:
    """Code fences that are named like reasoning, with their ends."""
    for opening in _FENCED.finditer(folded):
        yield _Tag(*opening.span(), False, "fence")
        if (end := folded.find("\n" + opening["fence"], opening.end())) >= 0:
            yield _Tag(end, end + 1 + len(opening["fence"]), True, "fence")


def _is_mentioned(folded: str, tag: _Tag) -> bool:
    """Whether a tag is in quotation marks or in inline code: `the literal `<think>` in Response B`."""
    if tag.start and folded[tag.start - 1] in _MENTIONED:
        return True
    line = folded[folded.rfind("\n", max(0, tag.start - 300), tag.start) + 1 : tag.start]
    return line.count("`") % 2 == 1 and "`" in folded[tag.end : tag.end + 300].partition("\n")[0]
