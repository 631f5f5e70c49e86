"""Whether the text after a verdict takes it back.

    >>> document = Document.of("Final verdict: [[A]]\\n\\nSorry, I misread B.")
    >>> taken_back(document, 21, Claim("pair", "A"))
    True

A list of withdrawal phrases would never be complete, so sentences are classified by their subject instead. A sentence
about a response (`B mixes up two laws`) does not affect the verdict, unless it names another winner. A sentence in
which the judge speaks about itself or its verdict counts against the verdict, unless its verb is known to be harmless
(`I stand by this`, `I checked the dates`).

Each sentence is classified as one of four kinds. `replaces` (another winner) is final. `doubts` holds until a later
sentence `confirms` the verdict. Everything else says `nothing`.

Phrases by which a text turns back are in `turns`; rival winners, words and scores are in `rivals`.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import islice
from typing import Literal

from fathom.rationale.transcript.document import Document
from fathom.rationale.transcript.names import named
from fathom.rationale.transcript.rivals import Claim, confirms, equates, names_same, replaces
from fathom.rationale.transcript.sentences import sentences
from fathom.rationale.transcript.turns import (
    admits_slip,
    is_slip_of_hand,
    is_typed_by_stranger,
    turns_back,
    without_courtesy,
)

MAX_SENTENCES = 256
"""A verdict that is followed by more distinct sentences is not a final one and counts as taken back."""

Effect = Literal["doubts", "replaces", "confirms", "nothing"]
"""The effect of a later sentence on the verdict."""


def taken_back(
    document: Document, end: int, claim: Claim, *, repeated: tuple[int, int] | None = None, reasons: bool = True
) -> bool:
    """Whether the document after `end`, or a reasoning block in it, takes the verdict back.

    `repeated` is the span between the first and the last statement of the verdict. There, only another winner counts,
    because the last statement settles any doubt. `reasons=False` is for formats in which a reason always follows the
    verdict: then only sentences about the verdict itself count.
    """
    between = document.folded[slice(*repeated)] if repeated else ""
    if any(_effect(each, claim, reasons, False) == "replaces" for each in islice(sentences(between), MAX_SENTENCES)):
        return True
    thoughts = [thought for place, thought in document.second_thoughts if place >= end]
    return takes_back(document.folded[end:], claim, reasons) or any(takes_back(thought, claim) for thought in thoughts)


def takes_back(rest: str, claim: Claim, reasons: bool = True) -> bool:
    """Whether a folded text that follows a verdict takes it back."""
    doubted = False
    seen: set[str] = set()
    for sentence in sentences(rest):
        if sentence in seen:  # repetition is cheap, and keeps the count of distinct sentences low
            continue
        effect = _effect(sentence, claim, reasons, not seen)
        seen.add(sentence)
        if len(seen) > MAX_SENTENCES:
            return True
        if effect == "replaces":
            return True
        doubted = effect == "doubts" or (doubted and effect != "confirms")
    return doubted


_LABEL = re.compile(
    r"^(?:reason|explanation|note|comment|remark|feedback|(?:error )?analysis|justification|rationale)s?: ?"
)


@lru_cache(maxsize=4096)
def _effect(sentence: str, claim: Claim, reasons: bool, first: bool) -> Effect:
    """The effect of a sentence on the verdict before it. `first` means that it follows the verdict directly."""
    sentence = without_courtesy(_LABEL.sub("", sentence))
    turns = turns_back(sentence)
    if replaces(sentence, claim) and (reasons or turns):
        return "replaces"
    upheld = (
        _CONFIRMS.search(sentence)
        or _BEARS_OUT.match(sentence)
        or (_SAME.search(sentence) and not _ABOUT_RESPONSE.match(sentence))
    )
    if confirms(sentence, claim) or (upheld and not _CONFIRMS_NOT.search(sentence)):
        return "confirms"
    if turns or admits_slip(sentence) or _speaks_of_own_error(sentence, claim, reasons):
        return "doubts"
    return "doubts" if _is_withdrawal(sentence, claim, first, reasons) else "nothing"


# Confirmations -------------------------------------------------------------------------------------------------------

_VERDICT = r"(?:verdict|decision|judge?ment|ruling|outcome|result|scores?|rating|conclusion|choice|winner|ranking|mark)"
# The verdict stands, or a finding does not change it: `I stand by this`, `this changes nothing`.
_CONFIRMS = re.compile(
    r"\b(?:stands?|stood|holds?|held|sticks?|sticking|standing) (?:by|with|to|up|firm|true|anyway|regardless"
    r"|nonetheless)\b"
    rf"|\b{_VERDICT} (?:\w+ ){{0,3}}?(?:stands?|holds?|remains?|unchanged|unaffected|confirmed|stays?)\b"
    r"|\b(?:it|this|that) (?:still |all )?(?:stands|stays|remains)(?: as it (?:is|was)| unchanged| so|$)"
    rf"|\b(?:unchanged|unaffected|remains? the same|stays? the same)\b"
    r"|(?:not|n['’]t|never) (?:\w+ )?(?:change|alter|affect|matter|influence|touch|move|sway|overturn|depend|shift"
    r"|tip|reverse)\b|\b(?:changes?|alters?|affects?) (?:nothing|little|neither)|\bnothing (?:\w+ ){0,3}changes"
    r"|\bwithout (?:chang|affect|alter)ing|\bno (?:effect|bearing|influence|impact|consequences?|difference|change"
    r"|reason to (?:change|doubt|revise))\b|\bi (?:\w+ )?(?:confirm|reaffirm|uphold|maintain|keep) "
    r"|ändert (?:\w+ ){0,4}nichts|nichts geändert|bleib(?:e|t) (?:\w+ )?(?:dabei|bei|es|bestehen|gleich)"
    r"|ne change(?:nt)? (?:rien|pas)|reste (?:inchangé|valable|le même|la même)|no (?:cambia|altera|afecta)"
    r"|se mantiene|não (?:muda|altera|afeta)|mantém|non cambia|resta (?:valido|lo stesso|invariato)"
    r"|verandert (?:\w+ ){0,3}niet|blijft|не (?:меняет|влияет)|оста[её]тся|không (?:thay đổi|ảnh hưởng)|değiş(?:mez"
    r"|mi)|不影响|不改变|没有改变|维持(?:原)?|不变|仍然成立|依然成立|変わりません|変わらない|바뀌지 않|변함없|그대로"
)
_SAME = re.compile(rf"\b(?:the same {_VERDICT})\b")
# A check by the judge: `running both again`. If a response or a source confirms something, it is not the verdict.
_CHECK = (
    r"(?:(?:yes|and|but|so|well|ok|okay|actually|again|still|indeed),? )*(?:re-?\w+ing|double-?\w+ing|running|checking"
    r"|testing|executing|compiling|looking|reading|computing|counting|trying|going (?:over|through|back)|weighing"
    r"|comparing|(?:up)?on (?:re\w+|a (?:second|closer)|second|closer|further)|after|having|an? (?:second|closer"
    r"|fresh|quick"
    r"|new|last|further|final) \w+|(?:the|my|another|one more) (?:tests?|check|computation|recount|numbers|analysis|run"
    r"|re-?\w+|second \w+|notes)|everything|all of this)\b"
)
_BEARS_OUT = re.compile(
    rf"{_CHECK}.*(?:\b(?:confirm|corroborat|validat|verif|back|support|underlin|underscor|reinforc|strengthen|affirm"
    rf"|vindicat)(?:y|ie|e)?[sd]? (?:it|this|that|the same|(?:the|my|this|that) (?:\w+ )?{_VERDICT}"
    r"|my (?:analysis|reading|view|findings?|impression))(?: up)?(?=$|[,;:)]| (?:too|again|as well|and|since|because"
    r"|in|by)\b)"
    r"|\bbears? (?:it|this|that|me) out\b|\b(?:agrees?|accords?|consistent|in line) with "
    rf"(?:it|this|that|the|my) (?:\w+ )?{_VERDICT}"
    r"|\b(?:same|identical) (?:conclusion|outcome|result|verdict|picture|winner|ranking)\b(?! as (?:b"
    r"|the other))(?!.*\b(?:so|but)\b))"
)
# A negation, or an exception that brings in the judge or an error, cancels a confirmation: `I no longer stand by this`.
_CONFIRMS_NOT = re.compile(
    r"(?:n['’]t|\b(?:no longer|not|cannot|never|nor|hardly|neither|nicht mehr|ne (?:\w+ )?plus|ya no|já não|non più"
    r"|niet meer|больше не))"
    r" (?:\w+ ){0,3}?(?:stand|stick|hold|keep|maintain|confirm|uphold|remain|sustain|bestehen|dabei|support|back|bear"
    r"|corroborat|validat|verif|agree|accord|consistent|the same|in line)"
    r"|\b(?:nothing|nobody|none|fails? to|failed to|hard to|cannot)\b.{0,40}\b(?:confirm|support|back|bear"
    r"|corroborat|validat|verif|agree)|\bno(?: \w+){1,2} (?:confirm|support|back|bear|corroborat|validat|verif|agree)"
    r"|\b(?:but|except|only|until|unless|if)\b.{0,80}\b(?:i|my|wrong|mistake|should be|instead)\b"
)


# The judge about itself ----------------------------------------------------------------------------------------------

# `I`, its auxiliaries and adverbs, the main verb, and up to 80 characters after it: `I should really have read b`. The
# look-around excludes the numeral (`option I`, `I and II`).
_FIRST_PERSON = re.compile(
    r"(?<!option )(?<!options )\bi(?:['’](?:m|ve|d|ll))?(?= )(?! (?:is|are|has|does|as|and|or|in|of|to|with) )"
    r"(?P<helpers>(?: (?:am|was|were|be|been|being|have|had|do|did|will|would|shall|should|can|could|may|might|must"
    r"|cannot|not|\w+n['’]t|never|also|still|just|really|only|simply|now|therefore|thus|hence|so|then|here|both|to"
    r"|want|need|like|honestly|personally|clearly|certainly|definitely|strongly|fully|truly|merely|further|already"
    r"|first|at first|however|too|very|quite|particularly|especially|fairly|pretty|reasonably|rather|completely"
    r"|entirely|absolutely|mostly|largely))*) (?P<verb>[a-z'’-]+)(?=(?P<rest>.{0,80}))"
)
_DETERMINER = re.compile(r"(?:an?|the|no|any|some|my|this|that|these|those|much|little|many|few)")
_REPORTING = re.compile(
    r"(?:find|found|feel|think|believe|say|said|note|mention|admit|concede|grant|acknowledge|agree|know"
    r"|explain(?:ed)?|add|hope|understand|see|stress|emphasi[sz]e|highlight|repeat|remark|conclude|argue|hold|maintain)"
)
_CHOOSING = re.compile(
    r"(?:prefer(?:red)?|choose|chose|pick(?:ed)?|go|went|voted?|sided?|favou?r(?:ed)?|select(?:ed)?|rank(?:ed)?|rated?)"
)
_WEIGHING = re.compile(  # verbs of ordinary judging, which do not affect the verdict
    r"(?:lik(?:e|ed)|lov(?:e|ed)|appreciated?|enjoy(?:ed)?|admired?|listed|described|outlined|summari[sz]ed|discussed"
    r"|noted|mentioned|weigh(?:ed|ted)?|valued?|pay|paid|(?:double-|cross-|spot-)?check(?:ed)?|verif(?:y|ied)"
    r"|test(?:ed)?|run|ran|look(?:ed)?|read|compared?|consider(?:ed)?|focus(?:s?ed)?|based?|recommend(?:ed)?"
    r"|suggest(?:ed)?|advised?|encourage|invite|wish|thank|stand|stick|stuck|confirm(?:ed)?|keep|kept|maintained"
    r"|uphold|remain|trust|expect(?:ed)?|want(?:ed)?|used?|follow(?:ed)?|cite|quoted|applied|counted|penali[sz]ed?"
    r"|reward(?:ed)?|credit(?:ed)?|judged?|assess(?:ed)?|evaluated?|provided?|offer(?:ed)?|solved?|answer(?:ed)?"
    r"|obtain(?:ed)?|arrived?|reached?|prepared?|work(?:ed)?|calculated?|computed?|derived?|happy|unhappy|glad"
    r"|fine|confident|sure|certain|aware|content|comfortable|convinced|satisfied|impressed|pleased|grateful|open)"
)
_REGRETS = re.compile(r"\b(?:should|ought|must)\b.* (?:have|be|been)\b|\bno longer\b")
# Verbs that take a verdict back if they are negated: `I cannot stand behind this`.
_SURE = re.compile(
    r"(?:sure|certain|confident|convinced|comfortable|satisfied|stand|stick|trust|keep|maintain(?:ed)?|uphold|confirm"
    r"|recommend)"
)
_TAKES_ACCOUNT = re.compile(
    r"(?:ignor|disregard|discount|exclud|let|count|reward|penali[sz]|consider|weigh|look)\w* (?:\w+ ){0,2}?(?:style"
    r"|length|order|position|format\w*|verbosity|typos|spelling|names?|tone|wording|layout|presentation)\b|(?:g[ai]ven?|took|take"
    r"|taken|put) (?:(?!a credit|b )\w+ ){0,3}?(?:weight|account|consideration|care|credit|priority|emphasis|value"
    r"|preference to)\b|(?:took|take|taken) (?:\S+ ){1,6}?into (?:account|consideration)\b|rule out\b"
)
_NEGATED = re.compile(r"\bnot\b|n['’]t|never|cannot")
_UNSEEN = (
    r"(?:notice\w*|noticing|see|seen|reali[sz]\w+|spot\w*|account\w*|consider\w*|read|taken?|looked?|apply|count\w*"
    r"|what)"
)
# Words for an error of the judge: misreading, confusion, haste, omission. `mis\w{3,}` covers `misread`, `misjudged`;
# the look-ahead excludes `missing`, `misleading`, `misspelled` and the like, which are said of responses.
_ERROR = re.compile(
    r"\b(?:mis(?!s\b|sing\b|ter\b|leading\b|sion|spell)\w{3,}|wrong\w*|mistake\w*|errors?|erred|incorrect\w*"
    r"|overlook\w*|forg[eo]t\w*|fail(?:ed)? to|neglect\w*|without (?:see|look|read|check|notic|open|runn|the|its)\w*"
    r"|accident\w*|instead|too (?:quick|hast|generous|harsh|kind|severe|strict|lenient|easily|fast|soon|much|little"
    r"|high|low)\w*|hasty|hastily|confus\w+|swapp?\w*|mix(?:ed)? (?:\w+ ){0,4}up|mix\w*-up|revers\w+|invert\w+"
    r"|should have|ought to have|no longer|only (?:\w+ ){0,2}?(?:half|part|beginning|start|opening|title|few)"
    r"|part way|halfway"
    rf"|another (?:item|task|pair|question|response|answer|prompt|text|model|conversation)|not (?:\w+ )?{_UNSEEN}"
    rf"|opposite|off|flawed|unfair\w*|backwards|upside)\b|n['’]t (?:\w+ )?{_UNSEEN}\b"
)
_MY_ERROR = re.compile(
    r"\b(?:my|our)(?: own)? (?:\w+ )?(?:mistakes?|errors?|fault|bad|slip|apolog\w+|misreading|oversight|confusion"
    r"|misunderstanding|misjudge?ment|typo|blunder|second thoughts?)\b"
)
_MY_WORK = re.compile(
    r"\b(?:my|our)(?: own)? (?:\w+ ){0,2}?\w+ (?:was|were|is|are|has|had|contains?|contained|relie[sd]|used|assumed"
    r"|went|got|did)\b"
)
_BY_ME = re.compile(
    r"\b(?:is|are|was|were|been|being|got) (?:\w+ ){0,3}?(?P<verb>[a-z-]+) (?:\w+ )?by (?:me|us|myself|this judge)\b"
)
# One response was credited with what the other did: `a was credited with b's table`, `i put b's errors down to a`.
_CREDITED = (
    r"(?:credited|attributed|ascribed|assigned|rewarded|praised|penali[sz]ed|blamed|faulted|charged|marked(?: down)?"
    r"|counted|awarded)"
)


def _credits_to(to: str, of: str, letter: str) -> str:
    of = rf"(?:{of}|(?<![a-z0-9'’.]){letter})"  # a lone letter with `'s` is not among the names
    passive = rf"(?:was|were|is|are|got|has been|had been) (?:\w+ )?{_CREDITED}"
    return (
        rf"(?:{to} {passive}|\b(?:i|we)(?: \w+)? {_CREDITED} {to})(?: \w+){{0,3}}? (?:with|for) {of}['’]s\b"
        rf"|{of}['’]s (?:\w+ ){{1,3}}{passive}(?: by me)? to {to}"
        rf"|\b(?:i|we)(?: \w+)? {_CREDITED} {of}['’]s (?:\w+ ){{1,3}}to {to}"
    )


_CREDITS_WRONG = re.compile(rf"{_credits_to(named(0), named(1), 'b')}|{_credits_to(named(1), named(0), 'a')}")
_I_ELSEWHERE = re.compile(r"\b(?:ich|je|j['’]\w+|yo|eu|io|ik|ja|я|jag|jeg|tôi)\b|我|私|제가|저는|मैं|أنا")
_HARMLESS_ELSEWHERE = re.compile(
    r"\b(?:hoffe|mag|mochte|gefällt|finde|dabei|stehe zu|denke|meine|reste|maintiens|espère|j['’]aime|j['’]ai aimé"
    r"|trouve|pense|espero|gust\w+|mantengo|creo|mantenho|acho|confermo|spero|trovo|penso|blijf|hoop|vind|uważam"
    r"|остаюсь|надеюсь|думаю|считаю)\b|希望|喜欢|欣赏|维持|坚持|仍|认为|觉得|思います|考え|생각"
)


def _speaks_of_own_error(sentence: str, claim: Claim, reasons: bool) -> bool:
    """Whether the judge speaks about its actions or thoughts in a way that is not known to be harmless.

    In formats in which reasons follow the verdict (`reasons=False`), it has to call its action an error.
    """
    if _MY_ERROR.search(sentence) or _CREDITS_WRONG.search(sentence) or _erred_in_passive(sentence):
        return True
    if (own := _MY_WORK.search(sentence)) and _PROBLEM.search(sentence, own.start()):
        return True
    if reasons and _I_ELSEWHERE.search(sentence) and not _HARMLESS_ELSEWHERE.search(sentence):
        return True
    spoken = _FIRST_PERSON.finditer(sentence)
    if not reasons:
        return any(_ERROR.search(match["verb"] + match["rest"][:40]) for match in spoken)
    return any(not _is_harmless(match, claim) for match in spoken)


def _erred_in_passive(sentence: str) -> bool:
    """Whether the judge is the agent of a passive that is not known to be harmless: `b was misread by me`."""
    match = _BY_ME.search(sentence)
    if match is None:
        return False
    known = any(verbs.fullmatch(match["verb"]) for verbs in (_WEIGHING, _REPORTING, _CHOOSING))
    return not known or _ERROR.search(sentence) is not None


def _is_harmless(match: re.Match[str], claim: Claim) -> bool:
    """Whether a first-person statement does not affect the verdict."""
    helpers, verb, rest = match["helpers"], match["verb"], match["rest"]
    negated = _NEGATED.search(helpers) is not None
    if _REGRETS.search(helpers) or (verb == "no" and rest.startswith(" longer")):
        return False
    if _REPORTING.fullmatch(verb):
        return True
    if _TAKES_ACCOUNT.match(f"{verb}{rest}") and not _ERROR.search(rest):
        return not negated or not verb.startswith(("g", "t", "put"))
    if _DETERMINER.fullmatch(verb):  # the auxiliary was the verb: `I had the labels swapped`, `I have no preference`
        return not (_ERROR.search(rest) or _EXCHANGED.search(rest) or " again" in rest)
    if _CHOOSING.fullmatch(verb):
        return names_same(rest, claim) and not negated
    if verb in ("unsure", "uncertain"):
        return "until" in rest or "at first" in helpers
    if verb in ("get", "got"):  # `I get 42` is a result, `I got carried away` is not
        return re.match(r" (?:the (?:same|\w+ (?:answer|result|value))|=? ?[\d$\\-])", rest) is not None
    if not _WEIGHING.fullmatch(verb) or (negated and _SURE.fullmatch(verb)):
        return False
    return not _ERROR.search(rest) and not (negated and _ERROR.search(f"not {verb}"))


# The judge about its verdict -----------------------------------------------------------------------------------------

# A sentence whose subject is a response, the task or its author. The look-ahead excludes `a closer look`, `a typo` and
# the like, in which `a` is the article.
_ABOUT_RESPONSE = re.compile(
    r"(?:(?:and|but|while|whereas|although|though|because|since|as|that|here|also|what|how|where|then|there),? )*"
    rf"(?:(?:in|of|as for|for|with|both) )?(?!a (?:closer|second|fresh|new|careful|quick|re\w+|check|look|count"
    rf"|correction|note|slip|mistake|different|typo|misprint|stray|finger|key|keyboard|pen|typing|clerical|mistyped|letra|second)\b)(?:{named(0)}"
    rf"|{named(1)}|{named(2)}|{named(3)}|both(?: \w+)?"
    rf"|neither(?: \w+)?"
    r"|the (?:student|solution|response|author|user|prompt|question|task)\b)(?:['’]s)?"
    r"(?! ?(?:and|or|vs|versus|&|with|for|und|et|y|e|en|oder|ou|o|和|与|or) )"
)
# What may be wrong with a verdict, after a noun for it: `the verdict above is premature`, `my score should be lower`.
_PROBLEM = re.compile(
    r"\b(?:wrong\w*|mistake\w*|errors?|erroneous|incorrect\w*|typo|slip|void|invalid\w*|withdrawn|retract\w*|rescind\w*"
    r"|revers\w+|revis\w+|chang(?:ed?|ing)|correct(?:ed|ion)|premature|hasty|hastily|unfair|mis(?:read|understood"
    r"|understand|count|calculat|judg|attribut|tak)\w*|mix-?up|confusion|no longer|overturn\w*|overrul\w*"
    r"|flip\w*|left ?over|opposite|backwards|invert\w*|swapp?\w*|moot|misplaced|accident\w*|meant|flawed|off|cannot"
    r"|instead|(?:should|ought to|must|has to|needs? to|would|might|may) (?:\w+ )?(?:be|have|read|say|go)|too \w+"
    r"|ignored?|(?:not|n['’]t) (?:\w+ )?(?:stand|hold|count|reflect|valid|right|final|mine|what|correct|fair|so)"
    r"|for the wrong|(?:for|about) another|other way|disregard\w*|superseded|questionable|doubtful|in doubt"
    r"|unreliable|untenable|indefensible|unsound)\b|n['’]t (?:\w+ )?(?:stand|hold|count|reflect|valid|right|final"
    r"|mine|what|correct|fair)\b"
)
# Nouns for the judge's verdict: some by themselves (`the verdict`), others only with a place (`the letter above`) or an
# owner (`my letter`).
_PLACED_NOUN = (
    r"(?:mark|grade|letter|choice|pick|winner|label|line|box|number|vote|answer|tag|conclusion|assessment|evaluation"
    r"|comparison|table|order|row|field|word|statement|result|figure)s?"
)
_JUDGE_NOUN = re.compile(
    r"\b(?:the|this|that|my|our|your)(?: (?:final|above|previous|earlier|original|given|first|last|stated|current"
    r"|overall|preceding)){0,2}"
    r" (?:(?:verdict|judge?ment|ruling|decision|outcome|scores?|rating|ranking)s?\b(?! (?:of|in|by|from|that|response"
    r"|assistant|output) )"
    rf"|{_PLACED_NOUN} (?:above|given above|i (?:gave|wrote|said|put|chose|named|typed|entered)|before this)\b)"
    r"|\b(?:the|this|that) (?:last|bottom|final|overall|total|winner|verdict) (?:row|cell|entry|column)\b"
    r"(?! (?:of|in|by|from) (?!my|the table))"
    rf"|\bthe above\b|\b(?:above|previous|earlier|preceding) {_PLACED_NOUN}\b|\bmy (?:\w+ )?{_PLACED_NOUN}\b"
)
# An imperative to discard or change the verdict, after polite words: `please ignore that`, `make it B`, `read B for A`.
_COMMANDS = re.compile(
    r"(?:(?:please|kindly|so|and|but|then|instead|now|just|sorry|no|ok|okay|therefore|rather|better|or|also|let us"
    r"|let['’]s|let me|to be safe|(?:we|i|you|it|this|that|one) (?:should|must|can|may|has to|have to|needs? to"
    r"|had better|ought to|want to|would like to)|note to (?:\w+ ){1,4}\w+:?),? )*(?:ignore|disregard|forget|overlook"
    r"|scrap|scratch|strike|cancel|delete|remove|discard|drop|void|withdraw|retract|discount|replace|change|swap|flip"
    r"|reverse|invert|overwrite|amend|revise|invalidate|exchange|switch|undo|revert|redo|substitute|backtrack"
    r"|rephrase|(?:do not|don['’]t|never) (?:\w+ )?(?:count|use|record|take|trust|rely|read|believe|accept|score|log"
    r"|submit)|for [a-z] read [a-z]|read (?:that|this|it|[a-z1-9]\b|the (?:letter|verdict|line|mark|score|label)s?|my"
    r"|as|instead|the other)|make (?:that|it|this)|take (?:that|this|it) (?:back|out|off)|take (?:[a-z1-9]\b"
    r"|the other) (?:instead|as)|treat (?:that|this|it|the|my|[a-z1-9]\b)|count (?:that|this|it|[a-z1-9]\b)"
    r"|correct(?:ing)?|set (?:that|this|it) aside|throw|cross (?:that|this|it|out)|start over|re-?(?:count|check"
    r"|consider|think|read|examine|evaluate|assess|do|compute|calculate|visit|open)|double[- ]?check"
    r"|look (?:at (?:that|this|it) )?again|try (?:that|this) again)\b"
)
_OF_THE_VERDICT = re.compile(
    r"\b(?:above|verdict|line|letter|this|that|it|number|mark|answer|score|the other|[ab12])\b"
)
# The labels or the responses were exchanged: `I mixed up the two`, `the other way round`.
_EXCHANGED = re.compile(
    r"\b(?:mix(?:ed|ing)?[- ]up|mix(?:ed|ing) (?:\w+ ){1,5}up|swapp?(?:ed|ing)?|switched|interchang\w+|exchanged"
    r"|transposed|reversed|inverted|flipped|backwards?|back to front|wrong way|other way (?:a?round|about)|vice versa"
    r"|upside down|the reverse|the opposite|mislabel\w*|muddled|jumbled|mistaken for|what i (?:call|label|name"
    r"|refer)\w*|crossed over|got (?:\w+ ){0,4}confused)\b|vertausch|verwechsel|umgekehrt|interverti|inversé|confondu"
    r"|échangé|intercambi|al revés|trocad|scambiat|omgewisseld|verwisseld|перепута|наоборот|местами|弄反|颠倒|搞反"
    r"|搞混|弄混|互换|对调|逆です|逆でし|入れ替え|뒤바|바뀌었"
)
_OPPOSITE = re.compile(
    r"\bnot (?:the (?:one|letter|mark|word|answer|verdict|choice)|what|how) (?:that )?(?:i|we) (?:\w+ )?(?:wanted"
    r"|meant|mean"
    r"|intend\w*|typed|chose|decided|had in mind|would have)\b|\bthe (?:letter|mark|verdict|choice|box|line) (?:\w+ )?"
    r"(?:is|was)(?: not|n['’]t) (?:\w+ )?(?:mine|ours|my own)\b"
    r"|\bwhere (?:it|i|the (?:line|verdict|mark)) (?:says?|said"
    r"|reads?|wrote|put|gave) .{1,16}\b(?:should|read|must|ought|put|write|take)\b|\b(?:opposite|reverse|contrary"
    r"|converse) (?:is|was|holds|applies|of what)\b|^(?:just "
    r"|quite )?(?:the )?(?:opposite|reverse|contrary|other way a?round)$"
)
_ALONE = 24
"""Maximum length of a sentence that counts as an exchange without naming the labels: `the other way round`."""
# A finding that reverses the result, or an error or a contradiction in the judge's own text.
_OVERTURNS = re.compile(
    r"\b(?:turns?|turned|flips?|flipped|reverses?|reversed|changes?|changed|upends?|overturns?|tips?"
    r"|inverts?) (?:\w+ )?(?:(?:the|my|our) (?:result|ranking|verdict|outcome|picture|balance|scales?|comparison"
    r"|conclusion"
    r"|judge?ment|decision|preference)|everything|things) ?(?:around|round|over|upside|completely|entirely|for me|to"
    r"|in favou?r|$|[,;:])|\b(?:the (?:result|ranking|verdict|outcome|order|picture|balance|comparison|conclusion"
    r"|preference)) (?:\w+ )?(?:flips|reverses|changes|turns)\b|\b(?:there (?:is|was|['’]s)|contains?|found"
    r"|has) (?:an? )?(?:\w+ )?(?:mistake|error|slip|typo|mix-up)s? (?:in (?:the|my) (?:\w+ )?(?:line|verdict|mark"
    r"|letter|analysis|judge?ment|box|label|score)\b|above)|\b(?:contradicts?|conflicts? with|is (?:inconsistent"
    r"|at odds) with|does not (?:match|fit|follow from)) (?:\w+ ){0,2}(?:my|the|our) (?:\w+ )?(?:analysis|reasoning"
    r"|findings?|comparison|assessment|evaluation|notes|thinking)\b"
)
# A check by the judge that refutes the verdict: `running both again does not confirm it`.
_REFUTES = re.compile(
    rf"{_CHECK}.* (?:(?:not|n['’]t|never|hardly) (?:confirm|bear|support|agree|back|justify|warrant)"
    r"|(?:refute|disprove|contradict|undermine|overturn)s? (?:it|this|that|the (?:above|verdict|line|letter)|my)"
    r"|(?:says|shows|tells|suggests|proves) (?:otherwise|another|a different|the opposite))\b"
)
# The verdict was a placeholder, cannot be given, or belongs to another item.
_WITHHOLDS = re.compile(
    r"\b(?:placeholder|boilerplate|(?:the|a|an|from the) template|(?:example|sample|illustration) (?:of the|of how"
    r"|of what|output|verdict|only)|(?:only|just|merely) (?:an?|the) (?:example|sample|illustration|template|draft"
    r"|test)|withheld|no (?:verdict|decision|winner|preference|judge?ment) (?:can|could|is"
    r"|was) (?:be )?(?:\w+ )?(?:given|made|reached|drawn|possible|named|declared|intended|meant)|(?:impossible|hard"
    r"|not possible|too early) to (?:say|tell|decide|judge|call)|inconclusive|undecided|undecidable"
    r"|cannot be (?:decided|determined|judged|compared|settled))\b|\b(?:belongs?|refers?|applies|apply|meant|is|was"
    r"|were|comes?|came|taken|about) (?:\w+ )?(?:to |for |from |of |about )?(?:another|(?:a|the) (?:different|wrong"
    r"|other|unrelated|previous|next)) (?:item|task|pair|prompt|conversation|entry|dialogue|example|record|row|case"
    r"|comparison|evaluation)\b"
)
_LABELS = re.compile(
    r"\b(?:these|those|they|labels?|names?|letters?|responses|answers|assistants|outputs|order|positions?|the two"
    r"|them|both|a and b|a with b|b with a|a for b|b for a|outcome|verdict|winner|scale|scores?|numbers?|columns?"
    r"|sides|first and (?:the )?second|one for the other|which is which|what i)\b|antworten|réponses|respuestas"
    r"|risposte|respostas|antwoorden|ответы|buchstaben|bezeichnungen|lettres|letras|lettere|etiquetas|étiquettes"
    r"|буквы|两|回答a和|名|ラベル|순서|이름"
)
_PRONOUN = re.compile(
    r"(?:that|this|it|which|the above|what i \w+)(?: (?:one|line|mark|letter))? (?:\w+ )?"
    r"(?:is|was|were|should|must|ought|needs?|has|cannot|can|isn['’]t|wasn['’]t|looks|seems|does|did|came|got"
    r"|stands for)\b"
)
_SHOULD = re.compile(r"\bshould (?:be|have been|read|say)\b")
_SHOULD_BE_OTHER = re.compile(
    r"(?:this|that|it|the \w+(?: above)?) should (?:be|have been|read|say) (?:\w+ )?(?:[ab12]|tie)"
)
_SURELY_OWN = re.compile(
    r"\b(?:meant|too (?:generous|harsh|kind|severe|strict|lenient|high|low|quick|hasty|soft|hard)"
    r"|left ?over|(?:wrong|other) (?:letter|way|one|label|word|number|line|box|score|item)|not (?:mine|what i|my)"
    r"|a (?:slip|typo)|premature|hasty|unfair|withdrawn|backwards|the opposite|the reverse)\b"
)
_VERDICT_ELSEWHERE = re.compile(
    r"\b(?:urteil|verdikt|entscheidung|décision|jugement|veredicto|decisión|veredito|decisão|verdetto|decisione|oordeel"
    r"|verdict|werdykt|вердикт\w*|решение|karar|phán quyết)\b|裁决|裁決|结论|結論|判定|判断|评判|上述|以上|판정|결론"
)
_PROBLEM_ELSEWHERE = re.compile(
    r"\b(?:falsch\w*|irrtüm\w*|fehlerhaft|ungültig|hinfällig|zurück\w*|lauten|müsste|sollte|faux|fausse|erroné\w*"
    r"|annul\w*|devrait|aurait|incorrect\w*|equivocad\w*|errón\w*|debería|errad\w*|deveria|sbagliat\w*|dovrebbe|fout"
    r"|onjuist|zou|błędn\w*|неверн\w*|неправильн\w*|ошибочн\w*|должен|yanlış|sai)\b|错|有误|应该|应为|改为|作废|反了"
    r"|無効|間違|誤|べき|잘못|틀렸|무효"
)


def _is_withdrawal(sentence: str, claim: Claim, first: bool, reasons: bool) -> bool:
    """Whether a sentence rejects the verdict, or says that names were exchanged, without the first person."""
    if _COMMANDS.match(sentence) and (reasons or _OF_THE_VERDICT.search(sentence)):
        return True
    if equates(sentence, claim):
        return True
    if reasons and is_typed_by_stranger(sentence):
        return True
    if _ABOUT_RESPONSE.match(sentence):
        return False
    exchanged = _EXCHANGED.search(sentence) and (len(sentence) <= _ALONE or _LABELS.search(sentence))
    if exchanged or _OPPOSITE.search(sentence) or _WITHHOLDS.search(sentence):
        return True
    if reasons and (_OVERTURNS.search(sentence) or _REFUTES.match(sentence) or is_slip_of_hand(sentence)):
        return True
    if (noun := _JUDGE_NOUN.search(sentence)) and _PROBLEM.search(sentence, noun.start()):
        return True
    if _VERDICT_ELSEWHERE.search(sentence) and _PROBLEM_ELSEWHERE.search(sentence):
        return True
    # After a word verdict or a score, and in formats with a reason, `it is wrong` refers to the response.
    names = claim.kind in ("pair", "place", "other")
    if not reasons or not _PRONOUN.match(sentence):
        return names and _SHOULD_BE_OTHER.fullmatch(sentence) is not None
    if names and _SHOULD.search(sentence):
        return True
    return (_PROBLEM if first and names else _SURELY_OWN).search(sentence) is not None
