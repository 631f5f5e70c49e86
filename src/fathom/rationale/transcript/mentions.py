"""Whether a verdict at some place is given, or only mentioned: quoted, denied, reported or imagined.

    >>> document = Document.of("Response B claims that its verdict is [[B]].")
    >>> start, end = document.text.index("["), document.text.index("]") + 2
    >>> standing(document, start, end, *around(document.folded, start, end))
    'reported'

A denial or a report must have the verdict as its object, so only the clause before the verdict is searched for one:
`B claims to be right, so [[A]]` gives A, and `B claims that it is [[B]]` gives no verdict.
"""

from __future__ import annotations

import re
from bisect import bisect
from typing import Literal

from fathom.rationale.transcript.choices import CONDITION
from fathom.rationale.transcript.denials import denied_after, denies
from fathom.rationale.transcript.document import Document
from fathom.rationale.transcript.names import FOREIGN_NOUN, NOUN
from fathom.rationale.transcript.sentences import around, rest_of_sentence

Standing = Literal["given", "quoted", "denied", "reported", "imagined"]

REACH = 600
"""Quotation marks further away than this many characters are ignored."""


_ANCHOR = re.compile(
    r"[\W_]{0,16}(?:(?:my |the )?(?:final |overall )?verdict(?: is)?|winner|final answer|answer)[\W_]{0,16}"
)


def standing(document: Document, start: int, end: int, before: str, after: str) -> Standing:
    """Classify the text from `start` to `end` by the words `before` and `after` it (see `sentences.around`)."""
    if is_quoted(document, start, end):
        return "quoted"
    if _ANCHOR.fullmatch(before):
        before = ""  # a plain announcement; skipping the patterns saves time
    if is_denied(before) or is_denied_after(after):
        return "denied"
    if is_reported(before) or is_reported_after(after):
        return "reported"
    return "imagined" if is_imagined(before) or CONDITION.match(after) or _ASKED.match(after) else "given"


def is_mentioned(document: Document, start: int, end: int) -> bool:
    """Whether the text from `start` to `end` is denied or reported by its sentence, or by the line above."""
    before, after = around(document.folded, start, end)
    line_start = document.text.rfind("\n", max(0, start - REACH), start) + 1
    return (
        is_denied(before)
        or is_denied_after(after)
        or is_reported(before)
        or is_reported_after(after)
        or is_introduced(document, line_start, document.text[line_start:start])
    )


# The words before ----------------------------------------------------------------------------------------------------

# Boundaries between clauses: `so`, `but`, `because`, semicolons. A denial or a claim before one does not reach past it.
_TURN = re.compile(
    r"[;；]|\b(?:so(?! far)|therefore|thus|hence|(?<!anything )(?<!nothing )(?<!all )but|because|consequently"
    r"|accordingly|yet"
    r"|whereas|which is why|that is why|and(?= (?:i|my|the (?:final |better |best )?(?:verdict|winner|response"
    r"|one))\b))\b|\bhowever\b(?! (?:much|many|good|long|well))|因此|所以|但"
    # In other languages only at the head of a clause, since these words also occur inside of one.
    r"|(?:^|[,،] ?|\b(?:und|et|y|e|en|i|и) )(?:daher|deshalb|darum|somit|folglich|deswegen|denn|weil|donc"
    r"|par conséquent|parce que|por (?:lo )?tanto|así que|por eso|porque|portanto|por isso|quindi|pertanto|perciò"
    r"|perché|dus|daarom|omdat|więc|dlatego|zatem|ponieważ|поэтому|следовательно|так что|потому|bu nedenle"
    r"|vì vậy|do đó|इसलिए)\b|したがって|よって|따라서|그러므로"
)
# Words before a colon that continue to the verdict after it: `the verdict:`, `response b ends with:`. After other words
# a colon begins a new clause.
_LEADS_ON = re.compile(
    r"\b(?:verdict|decision|judge?ment|winner|choice|answer|mark|conclusion|score|scores|rating|is|was|be|say|says"
    r"|said|write|writes|wrote|output|outputs|with|line|lines|following|this|so|follows|reads?|that|ends?|claims?"
    r"|states?|asks?|demands?|answers?|responds?|prints?|returns?|returned|(?:it|them|him|her)sel(?:f|ves))\W*$"
    r"|\b(?:finishes|closes|urteil|verdikt|veredicto|veredito|verdetto|(?:eind)?oordeel|werdykt|вердикт|satz|zeile|worten"
    r"|lautet|sagt|schreibt|phrase|ligne|mots|est|dit|écrit|frase|línea|palabras|es|dice|escribe|linha|palavras|é|diz"
    r"|riga|parole|è|scrive|zin|regel|woorden|zegt|zdanie\w*|linia|строк\w+|слов\w+|пишет)(?: final[ei]?)?\W*$"
    r"|[裁判结][决断论]\W*$"
)
# Conditions, first impressions, possibilities and instructions: `at first i leaned towards`, `if a were better`.
_IMAGINED = re.compile(
    r"\b(?:if|unless|when|whenever|whether|either|suppos\w+|assum(?:e|ing)|imagine|had (?:i|it|response|assistant)"
    r"|at first|initially|originally|previously|first (?:thought|impression|instinct|glance)|at a glance"
    r"|(?:would|could|might|should) have|tempt\w*|lean(?:ed|ing|t)?|considered|inclined"
    r"|(?:could|might|may|would|must) be|options?|choices? are|format|between|please"
    r"|(?:output|respond|answer|reply) with|e\.g|for example|such as)\b|如果|假如|本来|起初|倾向于"
)
# Verbs of saying and writing, with somebody else as the subject: `response b claims that`, `the footer reads`.
_SPOKEN = re.compile(
    r"\b(?:says?|said|saying|writes?|wrote|writing|written|end(?:s|ed|ing)|claim(?:s|ed|ing)?|stat(?:es|ed|ing)"
    r"|contain(?:s|ed|ing)?|includ(?:es|ed|ing)|ask(?:s|ed|ing)?|tells?|told|telling|instruct\w*|insists?|demand(?:s"
    r"|ed|ing)?|declar(?:es|ed|ing)|print(?:s|ed|ing)?|quot(?:es|ed|ing)|inject(?:s|ed)?|mention(?:s|ed|ing)?"
    r"|append(?:s|ed)?|insert(?:s|ed)?|beg(?:s|ging)|order(?:s|ed|ing)|(?:tries|trying|attempts?) to|embed\w*|hidden"
    r"|string|reads?|prompt|outputs|(?:concludes|closes|finishes|opens|begins|starts|signs off)(?=\W*$"
    r"| (?:\w+ ){0,3}?(?:with|by|in|on)\b)|as to (?:conclude|close|finish|end) (?:with|on|in)|signs off|assert(?:s"
    r"|ed|ing)?|announc(?:es|ed|ing)|return(?:s|ed)"
    r"|produc(?:es|ed)|yields"
    r"|generat(?:es|ed)|emits|repeats|repeated|echo(?:es|ed)|cop(?:ies|ied)|cites?|cited|suggest(?:s|ed|ing)?"
    r"|recommend(?:s|ed|ing)?|propos(?:es|ed|ing)|urg(?:es|ed|ing)|want(?:s|ed)|hop(?:es|ed)|expects?|request(?:s|ed"
    r"|ing)?|requir(?:es|ed)|label(?:s|l?ed|l?ing)|voted?|votes|reported|rates (?:it|them)sel(?:f|ves)|calls (?:it"
    r"|them)sel(?:f|ves)|scores (?:it|them)sel(?:f|ves)|gives (?:it|them)sel(?:f|ves)|affirm(?:s|ed)|maintain(?:s|ed)"
    r"|argu(?:es|ed)|pretend(?:s|ed)|boasts?|advertis\w+|volunteers|behaupte\w*|sagt|schreibt|endet|schließt|fordert"
    r"|verlangt|prétend|affirme|se termine|termine|écrit|demande|exige|afirma|termina|dice|escribe|pide|exige"
    r"|sostiene|afferma|scrive|chiede|утверждает|пишет|заканчивается)\b|写道|写着|声称|要求|说|称"
)
# Somebody else who places a mark: `response b puts its own verdict at the end`, `the annotators chose`.
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
# A verdict with another owner: `the reference answer is`, `its own verdict:`, `response b's claim that`.
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
# A piece of somebody else's text, or a place in it: `the last line of response b is`.
_PIECE = (
    r"(?:lines?|words?|sentences?|paragraphs?|remarks?|phrases?|comments?|foot(?:er|note)s?|headers?|headings?|titles?"
    r"|captions?|postscript|p\.s|signature|sign-?off|ending|end|close|closing|opening|beginning|top|bottom|foot|margin"
    r"|tail|body|block|docstring|epilogue|notes?|disclaimer|tag|token|string|message|output|code|section|summary"
    r"|statement|payload|appendix|aside|text|conclusion|finish|farewell|salutation|formula)"
)
_WRITER = (
    rf"(?:(?:the )?(?:{NOUN}) (?:[ab12]|one|two)|(?:the )?(?:first|second|other|former|latter)(?: (?:{NOUN}|one))?|[ab]"
    rf"|the (?:{NOUN}|user|prompt|system prompt|student|author|document|page|question|task|conversation))(?![a-z0-9])"
)
_EQUATES = (
    r"(?: \w+){0,3}? (?:is|are|was|were|being|reads?|runs?|goes|amounts? to|equals?|consists? of|comes? to"
    r"|turns? out to be|happens to be|remains|stays)"
)
_STANDS = (
    r"(?:stands?|appears?|is|are|sits|hides|lurks|comes|follows|(?:there|one|we|you|i)(?: (?:can|may|will))?"
    r" (?:is|are|stands|finds?|reads?|sees?|spots?|meets?|discovers?))"
)
_SHOWN = r"(?: (?:a|an|the|this|just|simply|only|merely|literally|plainly|again|its|my|our|that|words?|line|text))*"
_OF_A_TEXT = re.compile(
    rf"(?<![a-z0-9'’])(?:{_PIECE} (?:\w+ )?(?:of|in|from|by|under|below|inside|within) (?:the )?(?:\w+ )??{_WRITER}"
    rf"(?:['’]s \w+)?|{_WRITER}['’]s (?:own )?(?:\w+ ){{0,2}}?{_PIECE}|whose(?: \w+){{1,3}}?)"
    rf"(?:{_EQUATES}{_SHOWN}|(?<=\w):)\W*$"
    rf"|{_WRITER} (?!is\b|wins?\b|beats?\b|leads?\b|prevails?\b)(?:\w+ ){{2,4}}(?:with|by|through|via)\W*$"
    rf"|\b(?:in|inside|within|under|below|beneath|near|at|among|after) (?:the )?(?:(?:\w+ ){{1,2}}(?:of|in) )?(?:the )?"
    rf"{_WRITER} {_STANDS}(?:{_SHOWN}|[^;:]{{0,40}}\b{_PIECE},?)\W*$"
)
_OF_A_TEXT_ELSEWHERE = re.compile(
    r"\b(?:zeilen?|satz|sätze|worte?n?|absatz|schluss|ende|überschrift|titel|ligne|phrase|mots?|paragraphe|fin|titre"
    r"|línea|frase|palabras?|párrafo|final|título|linha|parágrafo|riga|parole|paragrafo|fine|titolo|regel|zin|woorden"
    r"|alinea|slot|kop|linia|zdanie|słowa|akapit|koniec|строк\w+|фраз\w+|слова|абзац\w*|конц\w+|заголов\w+) "
    r"(?:(?:von|der|des|de|du|da|del|della|di|van|het|la|el|le|l['’])[ ]?){0,2}"
    rf"(?:{FOREIGN_NOUN}|odpowiedzi) ?[ab](?![a-z0-9])[^.;,]{{0,60}}$"
    r"|(?:回答|助手|回复) ?[ab](?:的|の)[^，。,]{0,10}(?:行|句|话|字|段|结尾|末尾|落款|标题)[^，。,]{0,40}$"
)
_SAYS_THAT_ELSEWHERE = re.compile(  # third person only: `ich sage, dass` is the judge itself
    r"\b(?:behauptet|sagt|schreibt|meint|erklärt|fordert|verlangt|утверждает|говорит|пишет|считает|заявляет|просит"
    r"|требует|twierdzi|pisze|mówi|żąda|beweert|zegt|schrijft|eist|prétend|dice que|afirma|asegura|sostiene|scrive|diz"
    r"|escreve|cho rằng|khẳng định|nói rằng|yêu cầu),? ?(?:[^\s,;:]+ ){0,8}?[^a-zа-я,;:]*$"
    r"|\b(?:behauptet|sagt|schreibt|meint|утверждает|говорит|пишет|twierdzi|pisze|mówi|beweert|zegt|schrijft),"
    r" (?:das|dass|der|что|że|dat|het)\b[^;:,]{0,60}$"
)
# Indirect speech in a subordinate clause: after a conjunction (`prétend à la fin que`), or in German after a comma with
# a verb in the subjunctive (`behauptet am Ende, das Urteil sei`). The judge's own words (`mein Urteil`) end the report.
_OWN_ELSEWHERE = (
    r"(?:ich|mein\w*|je|mon|ma|mes|mi|mis|eu|meu|minha|mio|mia|ik|mijn|moim|mój|moja|я|мой|моя|мо[её]|aber|mais|pero"
    r"|mas|ma|maar|ale|но)"
)
_UP_TO_VERDICT = rf"(?:(?!\b{_OWN_ELSEWHERE}\b)[^;:.]){{0,160}}$"
_INDIRECT_SPEECH = re.compile(
    r"(?<!j['’])(?<!je )\b(?:prétend|affirme|déclare|assure|soutient|dit|écrit|conclut|insiste|répète|afirma|dice"
    r"|sostiene|asegura|declara|escribe|concluye|insiste|pretende|diz|escreve|garante|conclui|afferma|scrive|dichiara|assicura"
    r"|conclude|beweert|zegt|schrijft|stelt|verklaart|concludeert|twierdzi|pisze|mówi|utrzymuje|утверждает|пишет"
    r"|говорит|заявляет|заключает|behauptet|sagt|schreibt|meint|erklärt|versichert|beteuert)\b"
    rf"[^;:.]{{0,60}}?\b(?:que|qu['’]|che|dat|dass|że|iż|что|wonach)(?:\b|(?<=['’])){_UP_TO_VERDICT}"
    r"|\b(?:behaupte|sag|schreib|mein|erklär|versicher|beteuer|verkünde|insistier|findet|fordert)\w*t\b[^;:.,]{0,60},"
    r"(?=[^;:.]{0,120}\b(?:sei|seien|wäre|laute|heiße|gewinne|verdiene|gehe|müsse|solle|habe|werde|gebühre|falle|stehe)\b)"
    rf"{_UP_TO_VERDICT}"
)
# A piece of a response beside its name, as in the cells of a table: `Response B | last line:`, `B (footer):`.
_PLACE_IN_TEXT = (
    r"(?:(?:last|first|final|closing|opening|very last|bottom|top) (?:lines?|words?|sentences?|paragraphs?|remarks?"
    r"|notes?|statements?|rows?)|foot(?:er|note)|header|heading|title|caption|postscript|signature|sign-?off|ending|end"
    r"|docstring|tail)"
)
_BESIDE_NAME = re.compile(
    rf"{_WRITER}(?: ?[|/>→»,;:(\[–—-]+ ?(?:its |the |own )*|(?<=\w \w) ){_PLACE_IN_TEXT} ?[|:=)\]–—>→-]\W*$"
    rf"|\b{_PLACE_IN_TEXT} ?[|/>→»,(\[–—-]+ ?{_WRITER} ?[|:=)\]–—>→-]\W*$"
)
_ATTRIBUTED = (_OF_A_TEXT, _OF_A_TEXT_ELSEWHERE, _SAYS_THAT_ELSEWHERE, _INDIRECT_SPEECH, _BESIDE_NAME)
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
    """Whether the clause before a verdict denies it."""
    return bool(before) and denies(_clause(before))


def is_imagined(before: str) -> bool:
    """Whether the sentence before a verdict only considers it."""
    return bool(before) and _IMAGINED.search(before) is not None


def is_reported(before: str) -> bool:
    """Whether the clause before a verdict attributes it to somebody else."""
    if not before:
        return False
    last = after_turn(before)
    if _SPEAKER.match(before) or any(attributed.search(last) for attributed in _ATTRIBUTED):
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
    """The rest of a sentence after its last `so`, `but`, `because` or similar word."""
    start = 0
    for turn in _TURN.finditer(before):
        start = turn.end()
    return before[start:]


def _clause(before: str) -> str:
    """The last clause of a sentence. A colon begins a new clause, unless the words before it introduce what follows."""
    clause = after_turn(before)
    head, colon, tail = clause.rpartition(":")
    return tail if colon and not _LEADS_ON.search(head) else clause


# The words after -----------------------------------------------------------------------------------------------------

_ASKED = re.compile(r"[^\w?？]{0,8}[?？]")
# An attribution after the verdict: `[[B]], says Response B`, `[[B]] is what the user asked for`.
_SAID_AFTER = re.compile(
    r"[\s*_`\"'”’\])}.,–—-]{0,8}\(?(?:to quote |quoting |(?:copied|taken|quoted) from |(?:so |as )?(?:says?|said"
    r"|claims?|claimed|writes?|wrote|asserts?|insists?"
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
    """Whether a sentence that continues with the verdict as its subject denies it: `[[A]] would be wrong`."""
    return denied_after(rest_of_sentence(after))


def is_reported_after(after: str) -> bool:
    """Whether the words after a verdict attribute it to somebody else: `[[B]], says Response B`."""
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
_OF_RESPONSE = re.compile(rf"\b(?:{NOUN}|how) [ab]\b|\b[ab]['’]s\b")
_OPEN_INTRODUCTION = re.compile(
    r"(?::|\bas follows\.|\b(?:with|following|this|line|so|thus|reads|says|writes|is|as follows|like this))[ *_]{0,3}$"
)


def is_quoted(document: Document, start: int, end: int) -> bool:
    """Whether a place is in quotation marks, in code, in a longer block quote, or escaped."""
    text = document.text
    if document.fences and bisect(document.fences, start) % 2:
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
        or is_introduced(document, line_start, before)
    )


def _is_in_quotation_marks(text: str, start: int, end: int) -> bool:
    if '"' in text and text.count('"', 0, start) % 2 and text.count('"', end) % 2:
        return True
    before, after = text[max(0, start - REACH) : start], text[end : end + REACH]
    if after.isascii() and "<" not in after:
        return False
    return any(before.rfind(left) > before.rfind(right) and right in after for left, right in _PAIRS)


def _is_longer_block_quote(text: str, line_start: int, line_end: int) -> bool:
    """Whether a block quote has other lines, or is followed by text. Otherwise the quote is the judge's formatting."""
    above = text[max(0, line_start - 200) : max(0, line_start - 1)].rpartition("\n")[2].lstrip()
    return bool(above.startswith(">") and above.strip("> \t")) or bool(text[line_end:].strip("> \n\t"))


def is_introduced(document: Document, line_start: int, before: str = "") -> bool:
    """Whether the line above introduces somebody else's words or an example: `Response B ends with:`."""
    gap = document.folded[max(0, line_start - 300) : max(0, line_start - 1)]
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
