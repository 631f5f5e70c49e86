"""Whether a sentence calls one of several responses the better one, overall and as the judge's own opinion.

    >>> from fathom.rationale.transcript.names import named
    >>> names_winner("the second one deserves it", named(1)), names_winner("b is better in tone", named(1))
    (True, False)

Sentences are folded and without markup, as `sentences` returns them; names are patterns, as `named` returns them. A
statement that is limited to a part (`in tone`), negated, conditional or attributed to somebody else names no winner.

The patterns combine a name with a predicate (`_IS_WINNER`, `_WINS`, `_LEANS`: `b is better`, `b wins`) or with a verb
that has it as object (`_CHOOSES`: `i prefer b`). They are compiled once per set of names.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from fathom.rationale.transcript.names import NOUN

# Predicates after a name. At most three adverbs may stand in between.
_ADVERBS = (
    r"(?:,? ?\b(?:actually|in fact|after all|indeed|really|clearly|therefore|thus|then|however|now|still|by far|far"
    r"|much|definitely|overall|simply|also|just|even|slightly|marginally|somewhat|significantly|obviously|surely"
    r"|perhaps|probably|likely|arguably|plainly|evidently|rather|though|on balance|to me|in my view|in my opinion"
    r"|as well|allerdings|doch|eigentlich|klar|deutlich)\b,?){0,3}"
)
_IS = (
    r"(?:(?:is|was|are|were|['’]s|would be|will be|should be|must be|has to be|ought to be|might be|may be|could be"
    r"|seems?(?: to be)?|looks?|appears?(?: to be)?|turns out(?: to be)?|proves?(?: to be)?|remains?|comes out(?: as)?"
    r"|should have been|would have been|has been|feels?)(?:n['’]t| not)?)"
)
_BETTER = r"(?:better|best|superior|stronger|strongest|preferable|preferred|ahead)"
# `Better` alone is an overall statement. Before another word it is not (`better structured`), except before a noun for
# a response.
_AFTER_BETTER = (
    r"(?=$|[,:;)]| (?:because|since|as|and|so|here|now|after all|overall|too|than|by|on balance|of (?:the )?(?:two"
    r"|both)"
    rf"|{NOUN}\b|ones?\b|choice|pick|option|in|at|on|for|with|even|although|though|but|when|if|to)\b)"
)
# Weaker praise, which counts only after a verdict (`loosely`): without one, both responses may be right.
_IS_RIGHT = (
    rf"{_IS}{_ADVERBS} (?:the )?(?:right|correct)(?=$|[;:)]|, (?!but|though|although|just|only)"
    r"| (?:and|because|since|here|after all|all along)\b)"
)
_LEANS = (
    rf"(?:{_IS_RIGHT}|{_IS}{_ADVERBS} the more (?:useful|helpful|accurate|correct|convincing|reliable|trustworthy"
    rf"|valuable|satisfying) (?:{NOUN}|one|of the (?:two|pair))|{_IS}{_ADVERBS} the one (?:to trust|(?:that|which"
    rf"|who) (?:\w+ )?(?:matches|follows|answers|works"
    rf"|gets|got|is|has|does|deserves|meets))|{_IS}{_ADVERBS} (?:intended|meant)(?=$|,)"
    r"|(?:stays|stands|holds)(?=$|,)"
    rf"|(?:{_ADVERBS} )?(?:gets?|got|has|had|gives?|gave) the (?:right|correct) (?:\w+ )?(?:answer|result|value"
    rf"|number|one)|(?:{_ADVERBS} )?(?:has|had|gives?|gave|did|does|is|was|made|wrote) the better (?:job|answer"
    rf"|response|reply|work"
    r"|case|one)\b(?! (?:in|at|on|for)\b))"
)
_IS_WINNER = (
    rf"{_IS}{_ADVERBS} (?:the |a )?(?:(?:clear |clearly |only )?{_BETTER}{_AFTER_BETTER}"
    r"|winner|victor|(?:right|correct|fair|fairer|proper|sound|natural|obvious) (?:one|choice|pick|call|verdict|ruling"
    r"|decision)|one (?:to (?:choose|pick|prefer|go with)|(?:that|which|who|i)\b)|more deserving|worthier"
    r"|my (?:choice|pick|winner|preference))"
    rf"|{_IS}{_ADVERBS} (?:the|a) (?:{_BETTER}|right|correct|winning|more deserving) (?![a-z-]+(?:ed|ly|en)\b)[a-z-]+"
)
_WINS = (
    rf"(?:{_ADVERBS} )?(?:wins?|won|prevails?|prevailed|outperforms?|outperformed|beats?|surpasses|outclasses|trumps"
    r"|edges? (?:out|it|ahead)|comes? out (?:ahead|on top)|gets? (?:my vote|it|the win|the nod|the point)"
    r"|deserve[sd]? (?:it|to win|the nod|the win|the verdict|the prize|first|better|more|the (?:higher|highest|top"
    r"|better))|takes? (?:it|the win|the prize)|has (?:the edge|my vote|earned it)|carries the day|convinces me"
    r"|earn(?:s|ed) (?:it|the (?:win|verdict))"
    r"|persuades me|should (?:have |be |get |receive |really |now )?(?:won|win|wins|preferred|chosen|picked|selected"
    r"|get|ahead|higher|the (?:winner|better|higher|highest|verdict|win|top)|rank(?:ed)? (?:first|higher|above)"
    r"|scored? higher)|should have (?:the )?(?:higher|highest|better|top|won|been|got)|(?:must|has to|ought to"
    r"|would have to) (?:win|be (?:preferred|chosen))|(?:does|did|has done|performs|performed) better(?! (?:in|at|on"
    r"|for|with|job)\b)|is to be preferred|ist vorzuziehen)\b"
)
_IS_ELSEWHERE = (
    r"(?: (?:ist|sei|wäre|war|est|serait|es|sería|fue|é|seria|è|sarebbe|is|zou|jest|był\w*)"
    r"(?: (?:auch|doch|klar|deutlich|eindeutig|insgesamt|eigentlich|sogar|viel|wesentlich|schlicht|einfach|aber|donc"
    r"|bien|clairement|nettement|globalement|claramente|mucho|muito|molto|chiaramente|veel|duidelijk|zdecydowanie"
    r"|гораздо|явно)){0,2} (?:die |der |das |la |le |el |a |o |il |de |lepsz\w )?(?:bessere?|besser|beste|überlegen"
    r"|meilleure?|mejor|melhor|migliore|beter|lepsz\w|richtige?|vorzuziehen|préférable|preferible)\b(?! (?:in|bei|im"
    r"|en|dans|em|nel|op|w|für|pour|para|per|voor) (?!allen|allem|tout|todo|tutto))|(?: (?:gewinnt|verdient es|gagne"
    r"|l['’]emporte|gana|merece|vence|ganha|vince|wint|wygrywa|побеждает|выигрывает|лучше|kazanır|daha iyi|tốt hơn"
    r"|बेहतर)\b)| ?(?:明显|显然|其实|才|确实|反而|应该)?(?:更好|更优|更佳|更胜一筹|胜出|获胜|优于|较好|更合适"
    r"|是更好的|才是|のほうが(?:良い|優れ)|の方が(?:良い|優れ|よい)|이 더 (?:낫|좋)|가 더 (?:낫|좋)))"
)
# Verbs and phrases before a name, as their object.
_CHOOSES = (
    r"(?:prefer|choose|pick|select|take|confirms?|vindicates?|going with|go with|went with|favou?r|vote for|opt for"
    r"|settle (?:on|for)"
    r"|side with|switch(?:ing)? to|(?:chang|revis|correct)(?:e|ed|ing)? (?:it |that |this |(?:my"
    r"|the) (?:\w+ ){1,2})?to|goes? to|go to|belongs? to|make (?:that|it)|(?:should|ought to|must|has to|needs? to"
    r"|(?:was|is) (?:supposed|meant|intended) to) (?:be|have (?:been|read|said|named|shown)|read|say|name|show|state"
    r"|list|point to|go to)"
    r"|has to be|must be|would be|ought to be|meant(?: to (?:say|write|put|give|type))?|mean|rule for|decide for"
    r"|award(?:ed)? (?:it |this )?to|(?:winner|verdict|decision|choice|pick|preference|ruling|outcome"
    r"|answer|better (?:one|response|answer|of the two)|(?:correct|right) (?:one|verdict|answer"
    r"|choice)) (?:above )?(?:is|was|should be|would be|becomes|must be|has to be|ought to be|remains)|instead|rather"
    r"|it['’]?s|it is|hand (?:\w+ ){1,4}it|or rather|lean(?:ing)? (?:to|towards?)|nod to|edge to|win to"
    r"|point(?:s|ed)? to|better (?:\w+ )?of the two is|better served by|(?:remain|stay|stick|stuck)(?:ed|ing)? with"
    r"|(?:vote|verdict|decision|judge?ment|preference) (?:\w+ )?(?:is|was|goes|went|would be) (?:for|to)"
    r"|(?:settles?|decides?|tips?) (?:it|this|that|the (?:matter|balance|scales?)) (?:for|to|towards?|in favou?r of)"
    r"|(?:analysis|reasoning|evidence|comparison|notes|findings|arguments?|points|everything)(?: \w+){0,2}?"
    r" (?:supports?|favou?rs?|speaks? for|suggests?|calls? for|argues? for|leads? to)"
    r"|(?:rul|decid|verdict|vote|judg|find|found)\w* (?:\w+ )?in favou?r of|(?:hand|give|gave"
    r"|award) (?:\w+ ){0,2}(?:prize|win|nod|vote|point|verdict|decision) to|enter|record|note down|put down"
    r"|write down|letter to (?:record|write|note|enter|put) is)(?: (?:therefore|now|thus|then|actually|instead|really"
    r"|clearly|in fact|indeed))?:?,? (?:the winner |the )?"
)
_CHOOSES_ELSEWHERE = (
    r"\b(?:ich (?:wähle|bevorzuge|nehme|ziehe)|gewinner(?:in)? ist|sieger ist|sondern|es ist|sollte|muss|lauten"
    r"|je (?:choisis|préfère|préférerais)|c['’]est|plutôt|prefiero|elijo|es la|es|sería|gana|la ganadora es|prefiro"
    r"|escolho|é a|preferisco|scelgo|vince|è la|ik kies|wybieram|выбираю|это)"
    r"(?: (?:die|la|le|el|a|o|il|de|doch|plutôt|bien))? ?|(?:应该?是|应为|改为|改成|选择?|选|胜者是|胜者为|还是"
    r"|其实是|而是|勝者は|正解は|승자는) ?"
)
_AFTER_CHOICE = (
    r"(?!['’]s)(?=$|[,:;)]| (?:instead|after all|now|too|rather|over|and not|not|as the|as winner|then|because|since"
    r"|here|overall|by|on balance|with|for|who|which|that|even|although|though|despite|in the end|anyway|qui|que|die"
    r"|der)\b)"
)
# After one of these nouns a letter names something other than a response.
_OF_OTHER_THINGS = "".join(
    f"(?<!{noun} )" for noun in ("option", "choice", "statement", "plan", "method", "step", "part", "type")
)
_BEFORE_ALONE = (
    r"(?:(?:so|then|hence|thus|therefore|rather|instead|though|still|on balance|overall|in the end|all in all|or|and"
    r"|ok|okay|yes|no|but|right|fine|well|make that|it['’]?s"
    r"|it is|it must be|should be|actually|wait),? ){0,3}"
)
_AFTER_ALONE = (
    r"(?:,? (?:it is|then|by an? (?:\w+ )?(?:hair|nose|whisker|margin|point|little|lot|mile)|instead|after all|wins"
    r"|now|over [a-z]|actually|rather|sorry|of course|obviously|definitely|surely|please|i mean(?:t)?|not [a-z]"
    r"|on reflection|on second thought),?){0,3}"
)
# A name as the conclusion of a sentence: `b has better code, so b`.
_HENCE = (
    r"(?:[,;:)] ?| and | [-–—]+ ?)(?:and )?(?:so|hence|thus|therefore|ergo|consequently|accordingly|that makes it"
    r"|(?:which|this) (?:makes it|means|leaves)|daher|deshalb|darum|somit|also|donc|por (?:lo )?tanto|así que|luego"
    r"|portanto|por isso|logo|quindi|perciò|dus|więc|поэтому|значит)"
    r"(?: again| now| then| rather| really| clearly)?:?,? "
)
_AFTER_HENCE = r"(?:,? (?:it is|then|after all|instead|in the end|overall|on balance|not [a-z1-9]|really))?$"
_HEADING = re.compile(rf"(?:the )?(?:a|one|{NOUN} [a-z1-9]|(?:first|second) {NOUN})")


class _Patterns(NamedTuple):
    wins: re.Pattern[str]
    leans: re.Pattern[str]
    chosen: re.Pattern[str]
    alone: re.Pattern[str]
    concluded: re.Pattern[str]
    loses: re.Pattern[str]


@lru_cache(maxsize=64)
def _patterns(names: str) -> _Patterns:
    """The patterns for a name: as winner, with weaker praise, as the object of a choice, alone, and as loser."""
    aside = r"(?:, (?:however|though|in fact|actually|after all),)?"
    return _Patterns(
        re.compile(
            rf"(?<![a-z0-9'’]){_OF_OTHER_THINGS}{names}{aside}"
            rf"(?:{_ADVERBS}(?: (?:reply|one|response|answer))?,? ?(?:{_IS_WINNER}|{_WINS})|{_IS_ELSEWHERE})"
            rf"|\b(?:ist|wäre|war|is|zou) {names}(?: \w+){{0,2}}? (?:die |der |das |de |het )?"
            r"(?:besser[en]?|bessere|beste|überlegen|vorzuziehen|beter)\b"
        ),
        re.compile(rf"(?<![a-z0-9'’]){_OF_OTHER_THINGS}{names}{aside}(?: (?:reply|one|response|answer))?,? ?{_LEANS}"),
        re.compile(
            rf"(?:\b{_CHOOSES}|{_CHOOSES_ELSEWHERE}){names}{_AFTER_CHOICE}"
            rf"|\b(?:consider|deem|call|declare|judge|name|make|rate|find) {names} (?:to be )?(?:the |a )?"
            rf"(?:\w+ )?(?:winner|victor|better|best|superior|preferable|stronger){_AFTER_BETTER}"
            rf"|\blet {names} (?:win|be (?:recorded|chosen|the|preferred))\b"
        ),
        re.compile(rf"{_BEFORE_ALONE}{names}{_AFTER_ALONE}"),
        re.compile(rf"{_HENCE}{names}{_AFTER_HENCE}"),
        re.compile(
            rf"(?<![a-z0-9'’]){names} (?:(?:is|was|gets|got) disqualified|{_IS}{_ADVERBS} (?:the )?(?:worse|worst"
            rf"|weaker|inferior|lesser|loser|losing \w+"
            r"|wrong (?:one|choice|pick)|(?:wrong|incorrect)(?=$|[;:)]|, (?!but|though|although)| (?:and|because"
            r"|since|here|after all)\b))|(?:is|was)(?: not|n['’]t) (?:the )?(?:better|best|right|winner|winning"
            r"|preferable|stronger)|(?:loses|should lose|should have lost|lost|does(?: not|n['’]t) deserve"
            r"|cannot (?:win|be (?:the|preferred))|should(?: not|n['’]t) (?:have won|win|be preferred)"
            r"|can['’]t (?:win|be the)))\b"
        ),
    )


# Statements that the responses are equal, or that neither is better.
_EQUAL = re.compile(
    r"\b(?:equally (?:good|strong|helpful|valid|well|correct|right|capable|useful|matched|deserving)"
    r"|(?:are|were|is|come out|rate|judge|call) (?:\w+ ){0,3}?(?:equal|even|the same|tied|level|on a par"
    r"|indistinguishable|a (?:tie|draw))|(?:it|this|that|there|verdict|result|outcome|match|which) (?:\w+ ){0,3}?"
    r"(?:is|was|be|makes?) (?:\w+ ){0,2}?(?:a )?(?:tie|tied|draw|even)\b|call (?:it|this|that) (?:a )?(?:tie|draw|even)"
    r"|no (?:real |clear )?(?:winner|difference between)|(?:just )?as good as|neither (?:\w+ ){0,3}is (?:\w+ )?better"
    r"|dead heat|toss-?up|(?:said|say|been|be|chosen|called?|as) (?:a )?(?:tie|draw)$|a tie$|a draw$)"
    r"|gleich ?gut|gleichwertig|unentschieden|aussi bonnes|se valent|égalité|igual de buen|empate|igualmente bo"
    r"|ugualmente|pari(?:merito| merito)|even goed|одинаково хорош|ничья|一样好|不相上下|平局|难分高下|同等|引き分け"
    r"|동점|비슷하게"
)

# Prepositions that limit a comparison to a part (`in tone`). The look-ahead lists phrases that look the same and do not
# limit anything (`in fact`, `on balance`).
_PART = (
    r"(?:in|at|on|for|regarding|concerning|with (?:regard|respect) to|when it comes to|as far as|as regards"
    r"|stylistically|under) (?!balance|other words|the whole|every|all\b|each|my |the end|fact|general|any|both"
    r"|reflection|second"
    r"|them\b|these|this\b|that\b|the user|me\b|which|him|her|us\b|short|sum|conclusion|total|summary|hindsight"
    r"|retrospect|last|least|once|further|closer|everyone|everybody|reasons|the reasons|a second|re-?read|re-?think"
    r"|close|the sake|the record|truth|reality|effect|essence|clarity:|the (?:right|correct|proper) )"
)
_PART_BEHIND = re.compile(
    rf"(?: (?:{NOUN}|ones?|choice|pick|of (?:the )?(?:two|both)|overall))? ?(?:than (?:\S+ ){{0,2}}?\S+)? ?,? ?{_PART}"
)
_PART_BEFORE = re.compile(
    rf"(?:^|, |and |while |but |though |although )(?:{_PART}|in terms of |as for |as to "
    r"|on the (?:matter|question|point|subject|count) of )[^,]{1,60}?,? ?$"
)
_NEGATED = re.compile(
    r"\b(?:not|never|no|neither|nor|hardly|cannot|nobody|without|nothing|far from|nicht|kein\w*|ne|pas|não|non|niet"
    r"|nie|не)"
    r"\b|n['’]t\b|不|没|並非|并非|ない"
)
# Conditions (`if`, `had b cited`), and statements about some readers (`some users may prefer b`).
_CONDITIONS = re.compile(
    r"\b(?:if (?!i (?:had|were|have|must)|anything|not\b|so\b)|unless|whether|in case|provided|assuming|suppose"
    r"|(?:some|others|other (?:readers|users|judges|people)|those who|many|people|you|readers|users|one|anyone who"
    r"|(?:someone|somebody|anyone|anybody) (?:\w+ ){1,6}?|a \w+ (?:reader|user|judge)) ?(?:\w+ )?(?:may|might|would"
    r"|could|can|will|should|prefer)|for (?:users|readers|people|those|someone|anyone|beginners|experts|children"
    r"|students|professionals|a (?:reader|user|beginner|child))|would be (?:\w+ )?(?:better|stronger|best"
    r"|as good) (?:still )?(?:with|if|had|without|were)|would still|would have had to|could have been|wenn|falls"
    r"|hätte|si |если|gdyby)\b|^(?:had|were|should|to win|with(?:out)?(?=.* (?:would|could|might|may"
    r"|will)\b)) (?!i\b|read\b|be\b|say\b)|, had |如果|假如|若"
    r"|要是|もし|만약|만일"
)
_REPORTED = re.compile(
    rf"\b(?:{NOUN}(?: [a-e1-9])?|[ab]|the user|it|some|many|others|he|she|they|the (?:first|second|other)(?: \w+)?)"
    r"(?: \w+)? (?:claim|say|said|state|assert|argue|insist|write|wrote|maintain|conclude|suggest|declare|announce"
    r"|pretend|think|believe)\w*\b|声称|认为自己|宣称|according to|laut |selon |según |secondo |volgens |согласно "
)


def is_conditional(sentence: str) -> bool:
    """Whether a sentence holds only under a condition, or only for some readers."""
    return _CONDITIONS.search(sentence) is not None


def is_reported(sentence: str) -> bool:
    """Whether a sentence is attributed to somebody else."""
    return _REPORTED.search(sentence) is not None


def concludes(sentence: str, names: str) -> bool:
    """Whether a sentence ends by concluding for one of these names, whatever comes before: `a does not run, so b`."""
    return _patterns(names).concluded.search(sentence) is not None


def names_winner(sentence: str, names: str, *, partial: bool = False, loosely: bool = False) -> bool:
    """Whether a sentence calls the response with one of these names the better one.

    With `partial`, a comparison of a part counts too. With `loosely`, so do statements that mean a winner only after a
    verdict: praise that both responses may deserve (`b is right`), and a name alone (`so, b`).
    """
    patterns = _patterns(names)
    if loosely and patterns.alone.fullmatch(sentence) and not _HEADING.fullmatch(sentence):
        return True
    if loosely and concludes(sentence, names):
        return True
    # For `chosen`, a negation counts up to the start of the match (`not prefer b`). For the others it also counts
    # inside of the predicate (`b is not better`).
    found = [(match, match.end()) for match in patterns.wins.finditer(sentence)]
    found += [(match, match.end()) for match in patterns.leans.finditer(sentence)] if loosely else []
    found += [(match, match.start()) for match in patterns.chosen.finditer(sentence)]
    return any(
        not _NEGATED.search(sentence, _clause_start(sentence, match.start()), reach)
        and (partial or not _is_partial(sentence, match))
        for match, reach in found
    )


def _clause_start(sentence: str, place: int) -> int:
    """Where a negation of the predicate at `place` may begin: not before a comma that ends a clause of its own."""
    start = max(0, place - 40)
    clause = sentence[:place]
    comma = max(clause.rfind(", "), clause.rfind("; "), clause.rfind(": "))
    if comma < 0 or clause[comma + 2 :] not in ("", "and ", "so ", "but ", "then "):
        return start
    previous = max(clause.rfind(mark, 0, comma) for mark in ",;:")
    is_aside = previous >= 0 and clause.count(" ", previous + 2, comma) < 3  # `not, in my view, b is better`
    return start if is_aside else max(start, comma + 2)


def names_loser(sentence: str, names: str) -> bool:
    """Whether a sentence calls the response with one of these names the worse one overall."""
    return any(not _is_partial(sentence, match) for match in _patterns(names).loses.finditer(sentence))


def calls_equal(sentence: str) -> bool:
    """Whether a sentence calls the responses equal overall."""
    return any(
        not _NEGATED.search(sentence, max(0, match.start() - 25), match.start())
        and not _is_partial(sentence, match)
        and not _ASPECT_AS_SUBJECT.match(sentence[: match.start()].strip())
        for match in _EQUAL.finditer(sentence)
    )


def _is_partial(sentence: str, match: re.Match[str]) -> bool:
    """Whether a statement is limited to a part: `in tone b is better`, `b is better at rhymes`."""
    return (
        _PART_BEHIND.match(sentence, match.end()) is not None
        or _PART_BEFORE.search(sentence[: match.start()]) is not None
    )


# Corrections ---------------------------------------------------------------------------------------------------------

_SHORT = 60
"""Maximum length of a sentence that counts as a correction without a verb."""
_SAYS_MORE = re.compile(
    r"\b(?:than|if|when|while|although|though|both|only|see|like[ds]?|thank\w*|also|compar\w+|about|read(?:ing)?"
    r"|enjoy|prefer|value|same|similar\w*|just)\b"
)
_JOINED = "".join(  # a name after one of these words is not the object of the correction
    f"(?<!{word} )"
    for word in (
        *("and", "or", "in", "of", "with", "from", "by", "as", "at", "on", "about", "for", "plus", "unlike", "over"),
        *("beat", "beats", "outperforms", "against", "vs", "versus"),
    )
)


_ASPECT = (
    r"(?:accuracy|correctness|style|tone|clarity|depth|detail|structure|format\w*|length|brevity|concision"
    r"|conciseness|coverage|completeness|helpfulness|harmlessness|safety|honesty|relevance|creativity|originality"
    r"|grammar|fluency|language|readability|coherence|complexity|verbosity|instructions?|factuality|facts|reasoning"
    r"|logic|code|efficiency|tests?|sources|examples?|humou?r|rhymes?|politeness|empathy|usefulness"
    r"|harder|easier|longer|shorter|winner (?:in|on) \w+|word counts?|lengths|tones|prices?|costs?|speed"
    r"|runtimes?|vocabulary|spelling|layouts?)"
)
_LABELLED = re.compile(rf"(?:\w+ )?{_ASPECT}: ")  # `style: b` is a statement about a part
_ASPECT_AS_SUBJECT = re.compile(rf"(?:(?:(?:the|their|in|both) )*(?:\w+ )?{_ASPECT}(?: and |, |$))+ ?$")


@lru_cache(maxsize=64)
def _ending_in(names: str) -> re.Pattern[str]:
    return re.compile(rf"(?:[^ ]+ ){{0,7}}?{_JOINED}{names}$")


def amends(sentence: str, names: str) -> bool:
    """Whether a short sentence ends with one of these names, as a correction does: `should read b`, `sorry, b`."""
    return (
        len(sentence) <= _SHORT
        and not _HEADING.fullmatch(sentence)
        and not (_SAYS_MORE.search(sentence) or _NEGATED.search(sentence) or _LABELLED.match(sentence))
        and _ending_in(names).match(sentence) is not None
    )
