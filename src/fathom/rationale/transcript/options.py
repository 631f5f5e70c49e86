"""Whether letters in a text are options of a multiple-choice task instead of names of responses.

    >>> has_options(Document.of("Response A picks C. Final answer: B"))
    True
    >>> has_options(Document.of("A is brief. Answer: A"))
    False

A judge may solve a multiple-choice question itself, and its solution ends in `Answer: B`. Signs of such a task: a list
of options, words for options, a letter that no response has, a statement of which letter a response chose, or two
things of the task that are named by letters (`plan A` and `plan B`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

from fathom.rationale.transcript.document import Document
from fathom.rationale.transcript.names import FOREIGN_NOUN, NOUN

# Words for options in several languages, and statements such as `A means ... and B means ...`, `the formula gives B`.
_SPEAKS_OF_OPTIONS = re.compile(
    r"\b(?:(?:question|task|prompt|quiz|exam|exercise|problem|puzzle)\b[^.\n]{0,40}\b(?:two|three|four|five|six|several|lettered)"
    r" (?:possible |given )?(?:answers|choices|letters|possibilities)|(?:pick|choos|want|nam|giv|tick|mark"
    r"|ask)\w*(?: \w+){0,2}? letter"
    r"|a (?:means|stands for|denotes|is for) (?:\w+ ){1,4}?(?:and|while) b (?:means|stands for|denotes|is for)"
    r"|(?:solving|(?:my|by my)(?: own)? (?:solution|calculation|working|computation)|the (?:calculation|computation"
    r"|equation|formula))\b"
    r"[^.\n]{0,80}\b(?:gives?|is|yields?|means?|leads? to|points? to|matches|makes)(?: \w+){0,2} \(?[ab]\)?(?=[.;,\n])"
    r"|options?|alternatives|multiple[- ]choice|mcq|answer choices?|which of the (?:following|statements|above)"
    r"|true statement|(?:the|these|those|two|three|four|five|six|given|listed|following|possible|remaining) choices"
    r"|choices (?:are|were|given)|(?:correct|right|true|wrong|incorrect) (?:choice|alternative|statement)"
    r"|choice \(?[a-e]\b|statements? (?:is|are) true|opciones|opción|opções|opzioni|opzione|antwortmöglichkeit\w*"
    r"|zur auswahl|auswahlmöglichkeit\w*|choix proposés|qcm|вариант\w*|keuzes|seçenek\w*|lựa chọn)\b|选项|单选"
    r"|(?:方案|计划|路线|产品|公司|情景|场景|策略|套餐|プラン|계획|방안) ?[ab](?![a-z])"
    r"|单项选择|多选|选择题|下列|選択肢|보기|정답|선택지|विकल्प"
)
_IS_OPTION = re.compile(
    r"(?:\b(?:options?|alternatives?|answer choice)\b(?: \w+){0,3}|\b(?:correct|right|true|best) (?:choice"
    r"|alternative|statement)\b"
    r"(?: (?:is|was|would be|therefore|thus|then|must be|here|for the (?:question|task)))*|(?:正确|正解)(?:选项"
    r"|答案)[^,，。]{0,3})\W*$"
)
_WORDS = (
    *(
        "option",
        "alternativ",
        "multiple",
        "mcq",
        "choice",
        "which of",
        "true",
        "statement",
        "answers",
        "letter",
        "possibilit",
        "solving",
        "solution",
        "calculation",
        "working",
        "comput",
        "equation",
        "formula",
        "means",
        "stands for",
        "denotes",
        "is for",
        "opci",
        "opç",
        "opzion",
    ),
    *(
        "antwortmög",
        "auswahl",
        "choix",
        "qcm",
        "вариант",
        "keuze",
        "seçenek",
        "lựa",
        "选",
        "下列",
        "選択",
        "보기",
        "정답",
    ),
    *("विकल्प", "方案", "计划", "路线", "产品", "公司", "情景", "场景", "策略", "套餐", "プラン", "계획", "방안"),
)
"""Substrings, one of which occurs in every match of `_SPEAKS_OF_OPTIONS`. Checking them first is cheaper."""
_RESPONSE = rf"(?:(?:{NOUN}) [ab12]|(?:the )?(?:first|second)(?: \w+)?|both(?: \w+)?|neither(?: \w+)?|回答 ?[ab])"
_PICKED = (
    r"(?:picks?|picked|chose|chooses|chosen|selects?|selected|answers?|answered|says?|said|gets?|got|gives?|gave"
    r"|goes for|went for|opts? for|opted for|ticks?|ticked|marks?|marked|writes?|wrote|has|had|lands on|arrives? at"
    r"|arrived at|settles? on|concludes?|names?|named|reache[sd]|ends? (?:up )?(?:in|with|on|at)|claims?|claimed"
    r"|took|takes|guesse[sd]|nennt|wählt"
    r"|choisit|elige|eligió|выбирает|选了|选择了|选)"
)
_ANSWERED = re.compile(
    rf"{_RESPONSE}(?: (?:also|rightly|wrongly|correctly|incorrectly|simply|just|then|too))?(?: {_PICKED} |{_PICKED}"
    rf"|: ?)[\"“'(\[*]{{0,4}}$"
)
# Single letters, such as `C` in `picks C.`. Each pattern starts with the letter and checks what precedes it by a
# look-behind, which is much faster than the reverse.
_LETTER = re.compile(r"[A-E](?<![\w°'’.+#/\[-].)(?![\w°'’+#/\]-])(?!\.[A-Za-z])")
_NO_OPTION = re.compile(r"(?:vitamins?|grade|in|language|type|class|level|section|appendix|figure) $")
_LISTED = re.compile(r"([a-e])(?<![\w].)\) ?\S|([a-e])(?<=[\s,;:(，：；、?？.*>-].)[.、．](?= ?[^\s.])")
_LISTS = re.compile(r"(?:^|[\n,;:，：；、?？.]) {0,4}[(>*-]{0,2} ?$")
_BRACKETED = re.compile(r"\(([a-e])\)")
_OF_RESPONSE = re.compile(rf"{NOUN} ?\(?$")
# Things of the task that are named by letters: `plan A and plan B`, `cars A and B`. `_NO_THING` excludes nouns for a
# text, which may mean the responses, and words that precede a letter in ordinary prose.
_THING = re.compile(r"(?<![^\W_])([^\W\d_]{3,})[ -]\(?$")
_AND_ANOTHER = re.compile(r"\)?(?:,? (?:and|or|und|oder|et|ou|y|o|e|en|of|i|и|или) | ?[&/,] ?)\(?[A-E](?![\w'’+])")
_NO_THING = re.compile(
    rf"{NOUN}|{FOREIGN_NOUN}|\w+(?:ing|ed|ly|[^aiou]s)|(?:essay|poem|story|summary|translation|explanation|snippet|program"
    r"|code|implementation|proof|argument|email|recipe|paragraph|speech|participant|writer|author|contestant|entry|side"
    r"|person|candidate|critique|review|report|script|function|letter|article|dialogue|comment|post|contender|label|mark"
    r"|verdict|winner|text|judge|grade|vitamin|type|class|level|section|appendix|figure|language"
    r"|the|and|but|for|nor|yet|off|per|via|with|from|into|onto|over|under|than|then|that|this|what|which|while|when|where"
    r"|whether|why|how|who|since|because|although|though|unless|until|after|before|about|above|below|between|against"
    r"|among|beyond|within|without|through|unlike|like|both|either|neither|only|even|just|also|not|never|more|less|most"
    r"|least|better|best|worse|worst|however|therefore|hence|overall|here|there|now|still|once|again|instead|rather"
    r"|can|could|may|might|must|shall|should|will|would|does|did|has|had|have|was|were|are|been|let|make|made|give|gave"
    r"|given|take|took|find|found|think|call|put|place|see|saw|rate|rank|score|read|say|said|select|choose|chose|chosen"
    r"|pick|prefer|favor|favour|beat|won|win|get|got|keep|kept|compare|consider|show|know|mean|meant|want|where|whose"
    r"|und|oder|von|als|ist|hat|dass|mit|bei|für|wie|auch|bei|aber|weil|wenn|nur|que|est|les|une|pour|avec|dans|mais|donc"
    r"|con|por|para|pero|porque|son|como|mas|non|per|che|ma|het|een|dat|van|voor|maar|jest|ale|dla|что|как|для|при|или"
    r"|если|чем)"
)
MAX_LETTERS = 256


def has_options(document: Document) -> bool:
    """Whether the text shows signs of a multiple-choice task."""
    folded = document.folded
    if any(word in folded for word in _WORDS) and _SPEAKS_OF_OPTIONS.search(folded):
        return True
    things: set[tuple[str, str]] = set()
    for letter in islice(_LETTER.finditer(document.text), MAX_LETTERS):
        before = folded[max(0, letter.start() - 60) : letter.start()]
        if (letter[0] in "CDE" and not _NO_OPTION.search(before)) or _ANSWERED.search(before):
            return True
        things.update((thing, each) for thing, each in _things(document.text, letter, before))
    if any((thing, "A") in things and (thing, "B") in things for thing, _ in things):
        return True
    return {"a", "b"} <= set(_listed(folded))


def _things(text: str, letter: re.Match[str], before: str) -> Iterator[tuple[str, str]]:
    """The thing that a letter names, and the letter. After a plural, both letters: `cars A and B`."""
    thing = _THING.search(before)
    if thing is None:
        return
    another = _AND_ANOTHER.match(text, letter.end()) if thing[1].endswith("s") else None
    word = thing[1][:-1] if another else thing[1]
    if not _NO_THING.fullmatch(word):
        yield from ((word, each) for each in ("AB" if another else letter[0]))


def _listed(folded: str) -> Iterator[str]:
    """The letters of list items, in brackets or followed by a full stop."""
    for match in islice(_BRACKETED.finditer(folded), MAX_LETTERS):
        if not _OF_RESPONSE.search(folded, max(0, match.start() - 20), match.start()):
            yield match[1]
    for match in islice(_LISTED.finditer(folded), MAX_LETTERS):
        before = folded[max(0, match.start() - 20) : match.start()]
        if _LISTS.search(before) if match[2] else not _OF_RESPONSE.search(before):
            yield match[1] or match[2]


def is_option(before: str) -> bool:
    """Whether the words that lead up to a letter call it an option: `the correct option is`."""
    return _IS_OPTION.search(before) is not None
