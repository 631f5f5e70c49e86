"""Whether a verdict at some place is given, or only mentioned: quoted, denied, reported, imagined.

    >>> page = Page.of("Response B claims that its verdict is [[B]].")
    >>> start, end = page.text.index("["), page.text.index("]") + 2
    >>> standing(page, start, end, *around(page.folded, start, end))
    'reported'

A denial or a report must have the verdict as its object. So only the clause that leads up to the verdict is searched
for one: `B claims to be right, so [[A]]` gives A, and `B claims that it is [[B]]` gives nothing.
"""

from __future__ import annotations

import re
from bisect import bisect
from typing import Literal

from fathom.transcript.choices import CONDITION
from fathom.transcript.names import NOUN
from fathom.transcript.page import Page
from fathom.transcript.sentences import around, rest_of_sentence

Standing = Literal["given", "quoted", "denied", "reported", "imagined"]

REACH = 600
"""Quotation marks further away than this many characters belong to something else."""


_ANCHOR = re.compile(
    r"[\W_]{0,16}(?:(?:my |the )?(?:final |overall )?verdict(?: is)?|winner|final answer|answer)[\W_]{0,16}"
)


def standing(page: Page, start: int, end: int, before: str, after: str) -> Standing:
    """How what stands from `start` to `end` is said, by the words `around` it."""
    if is_quoted(page, start, end):
        return "quoted"
    if _ANCHOR.fullmatch(before):
        before = ""  # the usual words, which are known to say nothing else
    if is_denied(before) or is_denied_after(after):
        return "denied"
    if is_reported(before) or is_reported_after(after):
        return "reported"
    return "imagined" if is_imagined(before) or CONDITION.match(after) or _ASKED.match(after) else "given"


def is_mentioned(page: Page, start: int, end: int) -> bool:
    """Whether what stands there is denied or reported by its sentence, or by the line above."""
    before, after = around(page.folded, start, end)
    line_start = page.text.rfind("\n", max(0, start - REACH), start) + 1
    return (
        is_denied(before)
        or is_denied_after(after)
        or is_reported(before)
        or is_reported_after(after)
        or is_introduced(page, line_start, page.text[line_start:start])
    )


# The words before ----------------------------------------------------------------------------------------------------

# Where one thought ends and the next begins: what is denied or claimed before it is not the verdict after it.
_TURN = re.compile(
    r"[;；]|\b(?:so|therefore|thus|hence|(?<!anything )(?<!nothing )(?<!all )but|because|consequently|accordingly|yet"
    r"|whereas|which is why|that is why|and(?= (?:i|my|the (?:final |better |best )?(?:verdict|winner|response"
    r"|one))\b))\b|\bhowever\b(?! (?:much|many|good|long|well))|因此|所以|但"
)
_LEADS_ON = re.compile(
    r"\b(?:verdict|decision|judge?ment|winner|choice|answer|mark|conclusion|score|scores|rating|is|was|be|say|says"
    r"|said|write|writes|wrote|output|outputs|with|line|lines|following|this|so|follows|reads?|that|ends?|claims?"
    r"|states?|asks?|demands?|answers?|responds?|prints?|returns?|returned|(?:it|them|him|her)sel(?:f|ves))\W*$"
    r"|[裁判结][决断论]\W*$"
)
_IDIOMS = re.compile(
    r"\b(?:no (?:doubt|question|hesitation|surprise|matter|wonder)|not (?:only|just|merely|simply|surprisingly|least"
    r"|in doubt)|(?:with|beyond|without)(?: an?)?(?: \w+)? (?:doubt|hesitation|question)"
    r"|(?:not|n['’]t) hesitate|cannot but|can(?:not|['’]t) help but|nothing (?:else|other) than|none other than"
    r"|no other (?:verdict|choice|answer|conclusion) (?:than|but)|cannot be denied|can(?:not|['’]t) be denied"
    r"|undeniabl\w+|nothing but|over(?:all| the whole)|why not)\b|毫无疑问|无疑|不得不|不仅"
)
_NO = (
    r"(?:not|never|nor|neither|cannot|nobody|no one|none|hardly|scarcely|without|refuse\w*|declin\w+|unable|impossible"
    r"|reluctant|unwilling|doubt(?:ful)?|oppos\w+|disagree|by no means|in no way|under no \w+|nothing)"
)
_BAD = (
    r"(?:wrong|mistake|error|false|untrue|unfair|dishonest|absurd|misleading|foolish|irresponsible|inaccurate|incorrect"
    r"|premature|unjust|ridiculous|nonsense|lie|myth|hard|difficult)"
)
_SAY = (
    r"(?:say|saying|said|write|writing|written|output|give|giving|given|put|answer|choose|chosen|pick|call|called"
    r"|declare|conclude|enter|select|print|return|assign|award|vote|go|settle|end|close"
    r"|accept|endorse|recommend|justify|support|defend|sign|mark|label|report|state|claim|be|is|was|name|crown|deem"
    r"|rule|rate|judge|consider|pass|pronounce|reward|arrive|that|sustain|sustained|reach)"
)
_DENIED = re.compile(
    r"(?:\b(?:not|never|nor|neither|cannot|without|rather than|instead of|over|against|hardly|scarcely|barely)\b"
    r"|n['’]t\b)"
    r"(?: (?!i\b|we\b|my\b|that\b|which\b|it\b)[a-z]{1,12}){0,3}[^a-z,;，；]*$"
    rf"|(?:\b{_NO}\b|n['’]t\b|\b{_BAD}(?: \w+){{0,2}}? to\b)[^,;:]{{0,100}}\b{_SAY}\b[^,;:]{{0,40}}:?[^a-z]*$"
    rf"|\b{_BAD}(?: \w+){{0,2}}? (?:that|if)\b[^,;:]{{0,60}}:?[^a-z]*$"
    rf"|\b(?:i|we|one|you|nobody|no one)\b[^;:]{{0,30}}(?:\b{_NO}\b|n['’]t\b)[^;:]{{0,120}}\b(?:say|write|output|give"
    rf"|put|answer|choose|pick|call|declare|conclude|enter|select)\W{{1,3}}$"
    r"|\b(?:far from|anything but|(?:the )?opposite of|contrary to|short of|nowhere near|reject\w*|rul(?:e|es|ed"
    r"|ing) out|exclud\w+|dismiss\w*|discard\w*|(?:no|little) (?:case|reason|grounds?|basis|argument|justification"
    r"|support|way|room) (?:for|to))[^,;:]{0,40}:?[^a-z]*$|\b(?:the )?(?:wrong|losing|worse|worst|weaker|inferior"
    r"|loser|rejected|unfair) ?(?:verdict|one|answer|choice|mark|response|reply|call)?(?: (?:is|was|would be"
    r"|here))?[^a-z]{1,6}$|(?:不是|并非|而不是|不选|不)[^，。,]{0,4}$|(?:不能|不可|不应|不会|不该|无法|并不|不宜"
    r"|难以)(?:说|认为|给出|判定|判为|选|写|输出|得出|断定|称)[^，。,;]{0,14}$|\b(?:nicht|kein\w*|niemals|jamais"
    r"|nunca|nie)\b[^,;:]{0,40}$|\bn(?:e |['’])[a-zéè]+ (?:pas|jamais|point)\b[^,;:]{0,40}$|\bno (?:es|diría|digo"
    r"|puede ser|sería)\b[^,;:]{0,30}$|\bnon (?:è|direi)\b[^,;:]{0,30}$|\bnão (?:é|diria)\b[^,;:]{0,30}$"
    r"|\bне\b[^,;:]{0,20}$|~~\W*$"
)
_IMAGINED = re.compile(
    r"\b(?:if|unless|when|whenever|whether|either|suppos\w+|assum(?:e|ing)|imagine|had (?:i|it|response|assistant)"
    r"|at first|initially|originally|previously|first (?:thought|impression|instinct|glance)|at a glance"
    r"|(?:would|could|might|should) have|tempt\w*|lean(?:ed|ing|t)?|considered|inclined"
    r"|(?:could|might|may|would|must) be|options?|choices? are|format|between|please"
    r"|(?:output|respond|answer|reply) with|e\.g|for example|such as)\b|如果|假如|本来|起初|倾向于"
)
_SPOKEN = re.compile(
    r"\b(?:says?|said|saying|writes?|wrote|writing|written|end(?:s|ed|ing)|claim(?:s|ed|ing)?|stat(?:es|ed|ing)"
    r"|contain(?:s|ed|ing)?|includ(?:es|ed|ing)|ask(?:s|ed|ing)?|tells?|told|telling|instruct\w*|insists?|demand(?:s"
    r"|ed|ing)?|declar(?:es|ed|ing)|print(?:s|ed|ing)?|quot(?:es|ed|ing)|inject(?:s|ed)?|mention(?:s|ed|ing)?"
    r"|append(?:s|ed)?|insert(?:s|ed)?|beg(?:s|ging)|order(?:s|ed|ing)|(?:tries|trying|attempts?) to|embed\w*|hidden"
    r"|string|reads?|prompt|outputs|(?:concludes|closes|finishes|opens|begins|starts|signs off) (?:\w+ ){0,3}?(?:with"
    r"|by|in|on)|signs off|assert(?:s|ed|ing)?|announc(?:es|ed|ing)|return(?:s|ed)|produc(?:es|ed)|yields"
    r"|generat(?:es|ed)|emits|repeats|repeated|echo(?:es|ed)|cop(?:ies|ied)|cites?|cited|suggest(?:s|ed|ing)?"
    r"|recommend(?:s|ed|ing)?|propos(?:es|ed|ing)|urg(?:es|ed|ing)|want(?:s|ed)|hop(?:es|ed)|expects?|request(?:s|ed"
    r"|ing)?|requir(?:es|ed)|label(?:s|l?ed|l?ing)|voted?|votes|reported|rates (?:it|them)sel(?:f|ves)|calls (?:it"
    r"|them)sel(?:f|ves)|scores (?:it|them)sel(?:f|ves)|gives (?:it|them)sel(?:f|ves)|affirm(?:s|ed)|maintain(?:s|ed)"
    r"|argu(?:es|ed)|pretend(?:s|ed)|boasts?|advertis\w+|volunteers|behaupte\w*|sagt|schreibt|endet|schließt|fordert"
    r"|verlangt|prétend|affirme|se termine|termine|écrit|demande|exige|afirma|termina|dice|escribe|pide|exige"
    r"|sostiene|afferma|scrive|chiede|утверждает|пишет|заканчивается)\b|写道|写着|声称|要求|说|称"
)
_PLACED = re.compile(
    rf"\b(?:{NOUN}|annotators?|raters?|judges?|reviewers?|evaluators?|users?|students?|authors?|people|experts?"
    rf"|humans?|crowd\w*|gpt\S*|claude|page|document|block|footer|comment|message|key|rubric|reference|others?|some"
    rf"|many|most|it|they|he|she|[ab])\b"
    r"[^,;:]{0,60}\b(?:has|have|had|gives?|gave|shows?|displays?|puts?|places?|adds?|uses?|carries|bears|features"
    r"|holds|leaves?|left|marked|rated|chose|picked|named|called|awarded|preferred|selected|judged|tagged|scored"
    r"|chooses|picks|selects|boxes|boxed|obtains|offers?|plants?|slips?|sneaks?|smuggles?|hides?|tacks?|pastes?)\b"
    r"(?:\W+(?:a|an|the|its|their|own|itself|only|verdict|mark|label|tag|score|answer|line|words?|final|closing|last"
    r"|this|pair|in|on|at|end|bottom|top|of|for|with|itself|themselves)\b){0,7}\W*$"
)
_WHOSE = re.compile(
    rf"\b(?:reference|gold(?: standard)?|ground[- ]truth|expected|official|human|majority|consensus|annotat\w+"
    rf"|user['’]s|previous|earlier|another judge['’]s|other judge['’]s|their|its|his|her|(?:student|solution|author"
    rf"|writer|model|text|page|document)['’]s|[ab]['’]s|(?:{NOUN})(?: [ab])?['’]s|proposed|suggested|requested"
    rf"|claimed|alleged|demanded|desired|quoted|fake|injected|hidden|so-called|self-declared)"
    r" (?:own )?(?:\w+ ){0,2}?(?:verdict|judge?ment|label|mark|answer|choice|decision|winner|preference|rating|line"
    r"|claim|score|ruling|conclusion|box|tag)s?\b(?![^,;:]*\b(?:better|best|superior|stronger|wins|preferable|more"
    r"|ahead)\b)[^,;:]{0,50}:?[^a-z]*$"
)
_BY_OTHERS = re.compile(
    rf"\b(?:according to|in the (?:words|opinion|eyes|view) of|as (?:the )?(?:{NOUN}(?: [ab])?|[ab]|it|they"
    rf"|the (?:first|second)(?: \w+)?|some|many|others|users?|annotators?) (?:\w+ )?(?:puts?|says?|claims?|writes?"
    rf"|has it|states?|asserts?|would have it|sees?)|per (?:the )?(?:{NOUN}|reference|rubric|user)|in the (?:footer"
    rf"|title|header|last line|text) of)\b"
    r"|\blaut\b|\bselon\b|\bsegún\b|\bsecondo\b|\bvolgens\b|\bсогласно\b|根据(?:回答|参考)|按照(?:回答|参考)"
)
_SPEAKER = re.compile(rf"\W*(?:{NOUN}) [ab]\W{{0,6}}:\W*$")
_OWN = re.compile(r"\b(?:i|we|my|our)\b|我")
_OWN_WORD = re.compile(r"\b(?:i|we)\b(?:['’]\w+)?(?: \w+){0,4}\W*$|\b(?:my|our) (?:\w+ ){0,2}$|我[^,，。]{0,4}$")
_OWN_CHOICE = re.compile(
    r"\b(?:(?:i|we)(?:['’](?:ll|d|ve|m))? (?!should\b|must\b|ought\b|have to\b|had to\b|am to\b|need to\b)\w+"
    r"|my (?:\w+ ){0,2}(?:verdict|choice|decision|answer|judge?ment|vote|pick|conclusion))"
)
_COMMA = re.compile(r"[,，]")
_GOES_ON = re.compile(r"\W*(?:with|and|in|as|to|by|at|after|before|for|on)\b")


def is_denied(before: str) -> bool:
    """Whether the clause that leads up to a verdict denies it."""
    return bool(before) and _DENIED.search(_IDIOMS.sub(" ", _clause(before))) is not None


def is_imagined(before: str) -> bool:
    """Whether the sentence that leads up to a verdict only considers it."""
    return bool(before) and _IMAGINED.search(before) is not None


def is_reported(before: str) -> bool:
    """Whether the clause that leads up to a verdict has somebody else say it."""
    if not before:
        return False
    if _SPEAKER.match(before):
        return True
    clause = _clause(before)
    if _BY_OTHERS.search(clause) or _WHOSE.search(clause):
        return True
    last = _COMMA.split(clause)[-1]
    if _GOES_ON.match(last) and not _OWN.search(last):
        last = clause
    if spoken := list(_SPOKEN.finditer(last)):
        verb = spoken[-1]
        return not (_OWN_WORD.search(last[: verb.start()]) or _OWN_CHOICE.search(last, verb.end()))
    return _PLACED.search(last) is not None and not _OWN.search(last)


def after_turn(before: str) -> str:
    """What follows the last `so`, `but`, `because` and the like of a sentence."""
    start = 0
    for turn in _TURN.finditer(before):
        start = turn.end()
    return before[start:]


def _clause(before: str) -> str:
    """The last clause of a sentence. A colon begins another, unless the words before it lead on to what follows."""
    clause = after_turn(before)
    head, colon, tail = clause.rpartition(":")
    return tail if colon and not _LEADS_ON.search(head) else clause


# The words after -----------------------------------------------------------------------------------------------------

_ASKED = re.compile(r"[^\w?？]{0,8}[?？]")
_PREDICATE = re.compile(
    r"[\s*_`\"'”’\])}.-]{0,8}(?:\([^()\n]{0,40}\) ?)?(?P<verb>(?:is|was|were|would|could|can|cannot|should|shall|must"
    r"|may|might|will|does|did|do|has|had|seems|looks|appears|ought|needs|sounds|feels|won['’]t|can['’]t|\w+n['’]t"
    r"|goes|falls|fails|follows|hardly|never)\b|不(?:能|可|应|是|对|妥)|[^,。]{0,4}不可取)"
)
_PRAISED = re.compile(
    r"(?:is|was|would be|will be|remains|seems|has to be|must be|should be|does|looks|appears)(?: (?!not\b"
    r"|never\b)\w+){0,3}? (?:better|best|superior|stronger|preferable|preferred|correct|right|winner|ahead"
    r"|clear(?:ly)?|my|our|mine|the (?:final |better |best |right |correct |clear |clearly )*(?:verdict|choice|answer"
    r"|winner|one|call|judge?ment|decision|response|mark|better|best))\b|(?:would|will|should|does|must"
    r"|has to) (?:\w+ )?(?:win|be chosen|be preferred)\b"
)
_DENYING = re.compile(
    r"\b(?:not|never|no|wrong|mistake|unfair|false|out of|hard to|difficult to|unjust\w*|misleading|absurd)\b"
    r"|n['’]t\b|\bwhat\b|\bthat (?:response|assistant|the)"
)
_SAID_AFTER = re.compile(
    r"[\s*_`\"'”’\])}.,–—-]{0,8}\(?(?:(?:so |as )?(?:says?|said|claims?|claimed|writes?|wrote|asserts?|insists?"
    r"|according to|per )(?! (?:i|we)\b)|as (?!i\b|we\b)(?:\w+ ){0,5}?(?:says?|said|claims?|claimed|puts?|wants?"
    r"|wanted|demands?|demanded|asks?|asked|writes?|wrote|suggests?|suggested|states?|has it|requests?|requested"
    r"|asserts?)\b|in (?:the )?(?:words|opinion|view|eyes) of|in (?:its|their|his|(?:\w+ )?[ab]['’]s|the (?:response"
    r"|user|author)['’]s) (?:own )?(?:words|opinion|view|eyes)|by (?:its|their) own|on (?:its|their"
    r"|the response['’]s) (?:own )?|or so |at least (?:according|if)|if (?:one|you|we) (?:believe|ask|trust|follow)s?"
    r"|(?:is|was|were) (?:\w+ ){0,4}?(?:what|how|written|printed|quoted|claimed|demanded|asked|requested|inserted"
    r"|copied|the (?:words?|claim|line|demand|request|reference|label|mark) (?:of|in|by|from))\b|(?:stands|appears"
    r"|is found|occurs|is written|is hidden) (?:in|at|on|under)\b)|[\s*_\])}]{0,6}(?:这是|是)回答[ab]"
    r"|[，,]?(?:回答[ab]|用户)(?:如是|这样|是这么)?(?:说|写|称)"
)


def is_denied_after(after: str) -> bool:
    """Whether a sentence that goes on with the verdict as its subject denies it: `[[A]] would be wrong`."""
    if after.startswith("~~"):
        return True
    rest = rest_of_sentence(after)
    match = _PREDICATE.match(rest)
    if match is None:
        return False
    return (
        not _PRAISED.match(rest, match.start("verb"))
        or _DENYING.search(rest, match.start("verb"), match.start("verb") + 60) is not None
    )


def is_reported_after(after: str) -> bool:
    """Whether the words behind a verdict say that it is somebody else's: `[[B]], says Response B`."""
    return _SAID_AFTER.match(rest_of_sentence(after)) is not None


# Quotation -----------------------------------------------------------------------------------------------------------

_ESCAPED_LINE = re.compile(r"\s*\\+[A-Z]")
_PAIRS = (("“", "”"), ("「", "」"), ("『", "』"), ("«", "»"), ("‘", "’"), ("<quote", "</quote"))
_SINGLE_QUOTED = re.compile(r"(?:^|[\s(\[])'(?=\S)(?:(?!\s'|'[\s.,;)])[^\n]){0,400}$")
_NO_WORDS = re.compile(r"[\W_]*")
_HERE = re.compile(
    r"\W*(?:so |now )?(?:here(?:['’]s| is| are| comes)|below (?:is|are)|this is|the following is|final|my"
    r"|in conclusion|therefore)\b"
)
_SOURCE = re.compile(
    rf"\W*(?:from|quoting|quote from|excerpt|(?:at )?the (?:end|last lines?|closing|text|footer|bottom) (?:of|in)"
    rf"|in) (?:the )?(?:(?:{NOUN})(?: [ab])?|student|user|author|page|document)\b"
    rf"|\W*(?:the )?(?:{NOUN}) [ab]\b[^.]{{0,40}}:$"
)
_EXAMPLE = re.compile(
    r"\b(?:format|template|example|sample|schema|should look like|of the form|placeholder|instructions?)\b"
)
_BREAKS_OFF = re.compile(
    r"\b(?:that|the|a|an|say|says|write|writes|give|gives|put|itself|themselves|claims?|asserts?|states?|output"
    r"|answer|to|as|is|be|conclude|concludes)$"
)
_OF_RESPONSE = re.compile(rf"\b{NOUN} [ab]\b")
_OPEN_INTRODUCTION = re.compile(
    r"(?::|\b(?:with|following|this|line|so|thus|reads|says|writes|is|as follows|like this))[ *_]{0,3}$"
)


def is_quoted(page: Page, start: int, end: int) -> bool:
    """Whether a place stands in quotation marks, in code, in a longer block quote, or is escaped."""
    text = page.text
    if page.fences and bisect(page.fences, start) % 2:
        return True
    line_start = text.rfind("\n", max(0, start - REACH), start) + 1 or max(0, start - REACH)
    line_end = text.find("\n", end, end + REACH)
    if line_end < 0:
        line_end = min(len(text), end + REACH)
    before, after = text[line_start:start], text[end:line_end]
    if "`" in after and before.count("`") % 2:
        return True
    if "'" in after and _SINGLE_QUOTED.search(before):
        return True
    return (
        _ESCAPED_LINE.match(before) is not None
        or (before.lstrip(" \t-*").startswith(">") and _is_longer_block_quote(text, line_start, line_end))
        or _is_in_quotation_marks(text, start, end)
        or is_introduced(page, line_start, before)
    )


def _is_in_quotation_marks(text: str, start: int, end: int) -> bool:
    if '"' in text and text.count('"', 0, start) % 2 and text.count('"', end) % 2:
        return True
    before, after = text[max(0, start - REACH) : start], text[end : end + REACH]
    if after.isascii() and "<" not in after:
        return False
    return any(before.rfind(left) > before.rfind(right) and right in after for left, right in _PAIRS)


def _is_longer_block_quote(text: str, line_start: int, line_end: int) -> bool:
    """Whether a block quote holds, or is followed by, anything else."""
    above = text[max(0, line_start - 200) : max(0, line_start - 1)].rpartition("\n")[2].lstrip()
    return bool(above.startswith(">") and above.strip("> \t")) or bool(text[line_end:].strip("> \n\t"))


def is_introduced(page: Page, line_start: int, before: str = "") -> bool:
    """Whether the line above says that somebody else speaks, or that this is an example: `Response B ends with:`."""
    gap = page.folded[max(0, line_start - 300) : max(0, line_start - 1)]
    above = gap.rstrip().rpartition("\n")[2].rstrip("*_ ")
    if not (_NO_WORDS.fullmatch(before) or ":" in before):
        return False
    breaks_off = not gap.endswith("\n") and _BREAKS_OFF.search(above) is not None
    if not breaks_off and not _OPEN_INTRODUCTION.search(above):
        return False
    if breaks_off and is_denied(f"{above} "):
        return True
    if _OWN.search(above) or (_HERE.match(above) and not _OF_RESPONSE.search(above)):
        return False
    if above.endswith(":") and _EXAMPLE.search(above):
        return True
    return _SPOKEN.search(above) is not None or _SOURCE.match(above) is not None
