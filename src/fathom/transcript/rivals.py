"""What a verdict says, and whether a sentence says the opposite: another winner, the other word, another score.

    >>> replaces("the second one deserves it", Claim("pair", "A")), replaces("b is better in tone", Claim("pair", "A"))
    (True, False)

Sentences are folded and without markup, as `withdrawals` makes them. A sentence on a part, under a condition or in
somebody else's mouth says nothing of the kind.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal, NamedTuple

from fathom.transcript.names import NOUN, OTHER, named


class Claim(NamedTuple):
    """What a verdict says.

    `pair`: "A", "B" or "tie". `place`: of `count` responses, the place of the best, or None for several. `word`: 1.0 for
    yes or correct, 0.0 for the opposite. `score`: a number. `other`: nothing of which the opposite could be recognised.
    """

    kind: Literal["pair", "place", "word", "score", "other"]
    value: str | float | None = None
    count: int = 2


def replaces(sentence: str, claim: Claim) -> bool:
    """Whether a sentence names another outcome than the claim."""
    if is_reported(sentence) or is_conditional(sentence):
        return False
    if claim.kind == "word":
        return _says_the_other_word(sentence, claim.value == 1.0)
    if claim.kind == "score":
        return _gives_another_score(sentence, float(claim.value or 0))
    if claim.kind in ("pair", "place"):
        same, other = _names(claim)
        return (
            names_winner(sentence, other)
            or _amends(sentence, other)
            or (same is not None and _is_not_the_winner(sentence, same))
            or (same is not None and calls_equal(sentence))
        )
    return False


def confirms(sentence: str, claim: Claim) -> bool:
    """Whether a sentence names the outcome of the claim once more."""
    if claim.kind not in ("pair", "place") or is_conditional(sentence):
        return False
    same, _ = _names(claim)
    return same is not None and names_winner(sentence, same)


def equates(sentence: str, claim: Claim) -> bool:
    """Whether a sentence says that the winner's name stands for another response: `what i call a is b`."""
    if claim.kind not in ("pair", "place"):
        return False
    same, other = _names(claim)
    return same is not None and re.search(
        rf"(?<![a-z0-9'’]){same},? (?:is|was|stands for|means?|refers to|denotes|meant|is meant as|=|as|is true of|are true of|applies to|apply to) (?:actually |really |in fact |for |to |the )*{other}(?=$|[,;)]|,? and\b| here\b| in (?:the|my)\b)",
        sentence,
    ) is not None


def names_same(words: str, claim: Claim) -> bool:
    """Whether the first response that some words name is the winner; also where the claim names none."""
    if claim.kind not in ("pair", "place"):
        return True
    same, other = _names(claim)
    ours = same and re.search(same, words)
    theirs = re.search(other, words)
    return bool(ours and (theirs is None or ours.start() < theirs.start()))


def _names(claim: Claim) -> tuple[str | None, str]:
    """The patterns of the winner's names and of the others'; a tie has no winner, and any name is another."""
    places = range(claim.count)
    winner = {"A": 0, "B": 1, "tie": None}[claim.value] if isinstance(claim.value, str) else claim.value
    others = [named(place) for place in places if place != winner] + (
        [OTHER] if winner is not None and claim.count == 2 else []
    )
    return None if winner is None else named(int(winner)), rf"(?:{'|'.join(others)})"


# Winners -------------------------------------------------------------------------------------------------------------

_ADVERBS = (
    r"(?:,? ?(?:actually|in fact|after all|indeed|really|clearly|therefore|thus|then|however|now|still|by far|far|much|definitely|overall|simply|also|just|even"
    r"|slightly|marginally|somewhat|significantly|obviously|surely|perhaps|probably|likely|arguably|plainly|evidently|rather|though|on balance|to me|in my view|in my opinion|as well|allerdings|doch|eigentlich|klar|deutlich)\\b,?){0,3}"
).replace("\\\\b", "\\b")
_IS = (
    r"(?:(?:is|was|are|were|['’]s|would be|will be|should be|must be|has to be|ought to be|might be|may be|could be|seems?(?: to be)?|looks?|appears?(?: to be)?|turns out(?: to be)?|proves?(?: to be)?"
    r"|remains?|comes out(?: as)?|should have been|would have been|has been|feels?)(?:n['’]t| not)?)"
)
_BEST = r"(?:better|best|superior|stronger|strongest|preferable|preferred|ahead)"
_AFTER_BETTER = rf"(?=$|[,:;)]| (?:because|since|as|and|so|here|now|after all|overall|too|than|by|on balance|of (?:the )?(?:two|both)|{NOUN}\b|ones?\b|choice|pick|option|in|at|on|for|with|even|although|though|but|when|if|to)\b)"
_WINS = (
    rf"(?:{_IS}{_ADVERBS} (?:the |a )?(?:(?:clear |clearly |only )?{_BEST}{_AFTER_BETTER}|(?:{_BEST}|right|correct|winning|more deserving) [a-z-]+|winner|victor|(?:right|correct)(?=$|[;:)]|, (?!but|though|although)| (?:and|because|since|here|after all|all along)\b)|(?:right|correct) (?:one|choice|pick)"
    r"|one (?:to (?:choose|pick|prefer|go with)|(?:that|which|who|i)\b)|more deserving|worthier|my (?:choice|pick|winner|preference))"
    rf"|(?:{_ADVERBS} )?(?:wins?|won|prevails?|prevailed|outperforms?|outperformed|beats?|surpasses|outclasses|trumps|edges? out|comes? out (?:ahead|on top)|gets? (?:my vote|it|the win|the nod|the point)"
    r"|deserves? (?:it|to win|the win|the verdict|the prize|first|better|more|the (?:higher|highest|top|better))|takes? (?:it|the win|the prize)|has (?:the edge|my vote|earned it)|carries the day"
    r"|should (?:have |be |get |receive |really |now )?(?:won|win|wins|preferred|chosen|picked|selected|the (?:winner|better|higher|highest|verdict|win|top)|get|rank(?:ed)? (?:first|higher|above)|scored? higher|higher|ahead)"
    r"|should have (?:the )?(?:higher|highest|better|top|won|been|got)|(?:must|has to|ought to|would have to) (?:win|be (?:preferred|chosen))|does better|did better|performs better|is to be preferred|ist vorzuziehen)\b)"
)
_WINS_FOREIGN = (
    r"(?: (?:ist|sei|wäre|war|est|serait|es|sería|fue|é|seria|è|sarebbe|is|zou|jest|był\w*)(?: \w+){0,2}? (?:die |der |das |la |le |el |a |o |il |de |lepsz\w )?(?:bessere?|besser|beste|überlegen|meilleure?|mejor|melhor|migliore|beter|lepsz\w|richtige?|vorzuziehen|préférable|preferible)\b"
    r"(?! (?:in|bei|im|en|dans|em|nel|op|w|für|pour|para|per|voor) (?!allen|allem|tout|todo|tutto))"
    r"|(?: (?:gewinnt|verdient es|gagne|l['’]emporte|gana|merece|vence|ganha|vince|wint|wygrywa|побеждает|выигрывает|лучше|kazanır|daha iyi|tốt hơn|बेहतर)\b)"
    r"| ?(?:明显|显然|其实|才|确实|反而|应该)?(?:更好|更优|更佳|更胜一筹|胜出|获胜|优于|较好|更合适|是更好的|才是|のほうが(?:良い|優れ)|の方が(?:良い|優れ|よい)|이 더 (?:낫|좋)|가 더 (?:낫|좋)))"
)
_BEFORE_WINNER = (
    r"(?:(?:prefer|choose|pick|select|take|going with|go with|went with|favou?r|vote for|opt for|settle (?:on|for)|side with|switch(?:ing)? to|(?:chang|revis|correct)(?:e|ed|ing)? (?:it |that |this |(?:my|the) (?:\w+ ){1,2})?to"
    r"|goes? to|go to|belongs? to|make (?:that|it)|should (?:be|have been|read|say|go to)|has to be|must be|would be|ought to be|meant(?: to (?:say|write|put|give|type))?|mean|rule for|decide for|award(?:ed)? (?:it |this )?to|in favou?r of"
    r"|(?:winner|verdict|decision|choice|pick|preference|better (?:one|response|answer|of the two)|ruling|outcome|answer|correct (?:one|verdict|answer|choice)|right (?:one|answer|choice|verdict)) (?:above )?(?:is|was|should be|would be|becomes|must be|has to be|ought to be|remains)"
    r"|instead|rather|it['’]?s|it is|hand (?:\w+ ){1,4}it|or rather|lean(?:ing)? (?:to|towards?)|nod to|edge to|win to|point to)(?: (?:therefore|now|thus|then|actually|instead|really|clearly|in fact|indeed))?:?,? (?:the winner |the )?)"
)
_AFTER_WINNER = r"(?!['’]s)(?=$|[,:;)]| (?:instead|after all|now|too|rather|over|and not|not|as the|as winner|then|because|since|here|overall|by|on balance|with|for|who|which|that|even|although|though|despite|in the end|anyway|qui|que|die|der)\b)"
_BEFORE_FOREIGN = (
    r"(?:\b(?:ich (?:wähle|bevorzuge|nehme|ziehe)|gewinner(?:in)? ist|sieger ist|sondern|es ist|sollte|muss|lauten|je (?:choisis|préfère|préférerais)|c['’]est|plutôt|prefiero|elijo|es la|es|sería|gana|la ganadora es|prefiro|escolho|é a|preferisco|scelgo|vince|è la|ik kies|wybieram|выбираю|это)(?: (?:die|la|le|el|a|o|il|de|doch|plutôt|bien))?"
    r"|(?:应该?是|应为|改为|改成|选择?|选|胜者是|胜者为|还是|其实是|而是|勝者は|正解は|승자는)) ?"
)
_EQUAL = re.compile(
    r"\b(?:equally (?:good|strong|helpful|valid|well|correct|right|capable|useful|matched|deserving)|(?:are|were|is|come out|rate|judge|call) (?:\w+ ){0,3}?(?:equal|even|the same|tied|level|on a par|indistinguishable|a (?:tie|draw))"
    r"|(?:it|this|that|there|verdict|result|outcome|match|which) (?:\w+ ){0,3}?(?:is|was|be|makes?) (?:\w+ ){0,2}?(?:a )?(?:tie|tied|draw|even)\b|call (?:it|this|that) (?:a )?(?:tie|draw|even)|no (?:real |clear )?(?:winner|difference between)"
    r"|(?:just )?as good as|neither (?:\w+ ){0,3}is (?:\w+ )?better|dead heat|toss-?up|(?:said|say|been|be|chosen|called?|as) (?:a )?(?:tie|draw)$|a tie$|a draw$)"
    r"|gleich ?gut|gleichwertig|unentschieden|aussi bonnes|se valent|égalité|igual de buen|empate|igualmente bo|ugualmente|pari(?:merito| merito)|even goed|одинаково хорош|ничья|一样好|不相上下|平局|难分高下|同等|引き分け|동점|비슷하게"
)
_PART = (
    r"(?:in|at|on|for|regarding|concerning|with (?:regard|respect) to|when it comes to|as far as|as regards|stylistically|under)"
    r" (?!balance|the whole|every|all\b|each|my |the end|fact|general|any|both|reflection|second|them\b|these|this\b|that\b|the user|me\b|which|him|her|us\b|short|sum|conclusion|total|summary|hindsight|retrospect|last|least|once|further|closer|everyone|everybody|reasons|the reasons|a second|re-?read|re-?think|close)"
)
_PART_BEHIND = re.compile(
    rf"(?: (?:{NOUN}|ones?|choice|pick|of (?:the )?(?:two|both)|overall))? ?(?:than (?:\S+ ){{0,2}}?\S+)? ?,? ?{_PART}"
)
_PART_BEFORE = re.compile(
    rf"(?:^|, |and |while |but |though |although )(?:{_PART}|in terms of |as for |as to |on the (?:matter|question|point|subject|count) of )[^,]{{1,60}}?,? ?$"
)
_NEGATED = re.compile(
    r"\b(?:not|never|no|neither|nor|hardly|cannot|nobody|without|nothing|far from|nicht|kein\w*|ne|pas|no es|não|non|niet|nie|не)\b|n['’]t\b|不|没|並非|并非|ない"
)
_CONDITIONS = re.compile(
    r"\b(?:if (?!i (?:had|were|have|must)|anything|not\b|so\b)|unless|whether|in case|provided|assuming|suppose|(?:some|others|other (?:readers|users|judges|people)|those who|many|people|you|readers|users|one|anyone who|a \w+ (?:reader|user|judge)) (?:\w+ )?(?:may|might|would|could|can|will|should|prefer)"
    r"|for (?:users|readers|people|those|someone|anyone|beginners|experts|children|students|professionals|a (?:reader|user|beginner|child))|would be (?:\w+ )?(?:better|stronger|best|as good) (?:still )?(?:with|if|had|without|were)|would still|would have had to|could have been|falls|wenn|falls|hätte|si |если|gdyby)\b"
    r"|^(?:had|were|should|with|without|to win) (?!i\b|read\b|be\b|say\b)|, had |如果|假如|若|要是|もし|만약|만일"
)
_REPORTED = re.compile(
    rf"\b(?:{NOUN}(?: [a-e1-9])?|[ab]|the user|it|some|many|others|he|she|they|the (?:first|second|other)(?: \w+)?)(?: \w+)?"
    r" (?:claim|say|said|state|assert|argue|insist|write|wrote|maintain|conclude|suggest|declare|announce|pretend|think|believe)\w*\b"
    r"|声称|认为自己|宣称|according to|laut |selon |según |secondo |volgens |согласно "
)


def is_conditional(sentence: str) -> bool:
    """Whether what a sentence says holds under a condition, or for some readers."""
    return _CONDITIONS.search(sentence) is not None


def is_reported(sentence: str) -> bool:
    """Whether somebody else says it."""
    return _REPORTED.search(sentence) is not None


@lru_cache(maxsize=64)
def _patterns(names: str) -> tuple[re.Pattern[str], re.Pattern[str], re.Pattern[str], re.Pattern[str]]:
    wins = re.compile(
        rf"(?<![a-z0-9'’])(?<!option )(?<!choice )(?<!statement )(?<!plan )(?<!step )(?<!part )(?<!type )(?<!answer choice ){names}(?:, (?:however|though|in fact|actually|after all),)?(?:{_ADVERBS}(?: (?:reply|one|response|answer))?,? ?{_WINS}|{_WINS_FOREIGN})"
        rf"|\b(?:ist|wäre|war|is|zou) {names}(?: \w+){{0,2}}? (?:die |der |das |de |het )?(?:besser[en]?|bessere|beste|überlegen|vorzuziehen|beter)\b"
    )
    chosen = re.compile(rf"(?:\b{_BEFORE_WINNER}|{_BEFORE_FOREIGN}){names}{_AFTER_WINNER}")
    alone = re.compile(
        rf"(?:(?:so|then|hence|thus|therefore|rather|instead|or|and|ok|okay|yes|no|but|make that|it['’]?s|it is|it must be|should be|actually|wait),? ){{0,3}}{names}(?:,? (?:it is|then|instead|after all|wins|now|over [a-z]|actually|rather|sorry|of course|obviously|definitely|surely|please|i mean(?:t)?|not [a-z]|on reflection|on second thought),?){{0,3}}"
    )
    # A short sentence that ends in the name and in which nothing is said about it: `should read b`, `sorry, b`.
    last = re.compile(rf"^(?!.*\b(?:than|if|when|while|although|though|both|only|see|like[ds]?|thank\w*|also|compar\w+|about|read(?:ing)?|same|similar\w*|just)\b)(?:[^ ]+ ){{0,7}}?(?<!and )(?<!in )(?<!of )(?<!with )(?<!from )(?<!by )(?<!as )(?<!at )(?<!on )(?<!about )(?<!for )(?<!plus )(?<!unlike )(?<!over )(?<!beat )(?<!beats )(?<!outperforms )(?<!against )(?<!vs )(?<!versus )(?<!or ){names}$")
    return wins, chosen, alone, last


_SHORT = 60
"""Characters of a sentence that may be nothing but a correction."""
_HEADING = re.compile(rf"(?:the )?(?:a|one|{NOUN} [a-z1-9]|(?:first|second) {NOUN})")


def names_winner(sentence: str, names: str, *, partial: bool = False, alone: bool = True) -> bool:
    """Whether a sentence calls what has one of these names the better one overall; with `partial` in part, too."""
    wins, chosen, just, _ = _patterns(names)
    if alone and just.fullmatch(sentence) and not _HEADING.fullmatch(sentence):
        return True
    for match in wins.finditer(sentence):
        negated = _NEGATED.search(sentence, max(0, match.start() - 40), match.end())
        if not negated and (partial or not _is_partial(sentence, *match.span())):
            return True
    return any(
        not _NEGATED.search(sentence, max(0, match.start() - 40), match.start())
        and (partial or not _is_partial(sentence, *match.span()))
        for match in chosen.finditer(sentence)
    )


def _is_partial(sentence: str, start: int, end: int) -> bool:
    """Whether what is said from `start` to `end` is limited to a part: `in tone b is better`, `b is better at rhymes`."""
    return _PART_BEHIND.match(sentence, end) is not None or _PART_BEFORE.search(sentence[:start]) is not None


def _is_not_the_winner(sentence: str, same: str) -> bool:
    pattern = re.compile(
        rf"(?<![a-z0-9'’]){same} (?:{_IS}{_ADVERBS} (?:the )?(?:worse|worst|weaker|inferior|wrong (?:one|choice|pick)|lesser|loser|losing \w+)|(?:is|was)(?: not|n['’]t) (?:the )?(?:better|best|right|winner|winning|preferable|stronger)"
        r"|(?:loses|should lose|should have lost|lost|should not (?:have won|win|be preferred)|shouldn['’]t (?:have won|win)|does(?: not|n['’]t) deserve|cannot (?:win|be (?:the|preferred))|can['’]t (?:win|be the)))\b"
    )
    return any(not _is_partial(sentence, *match.span()) for match in pattern.finditer(sentence))


def _amends(sentence: str, other: str) -> bool:
    """Whether a short sentence is nothing but a correction that ends in the name of another response."""
    *_, last = _patterns(other)
    return len(sentence) <= _SHORT and last.match(sentence) is not None and not _NEGATED.search(sentence)


def calls_equal(sentence: str) -> bool:
    """Whether a sentence calls the responses equal overall."""
    return any(
        not _NEGATED.search(sentence, max(0, match.start() - 25), match.start())
        and not _PART_BEHIND.match(sentence, match.end())
        and not _PART_BEFORE.search(sentence[: match.start()])
        for match in _EQUAL.finditer(sentence)
    )


# Words and scores ----------------------------------------------------------------------------------------------------

_JUDGED = r"(?:it|this|that|they|both(?: \w+)?|these|the two(?: \w+)?|the (?:\w+ )?(?:response|answer|solution|result|value|number|conclusion|claim|proof|derivation|statement|final \w+|step|student)s?|(?:step|line|equation|paragraph) \w+)"
_WRONG = re.compile(
    r"\b(?:wrong|incorrect|false|fails?|failed|invalid|fatal|errors?|mistakes?|mistaken|flaw(?:ed)?|mismatch\w*|differs? from|(?:values|numbers|results|answers|they) differ|different (?:value|answer|number|result|sum)|contradicts?|gaps?|hole|unjustified|unproven|off by|forgets?|forgot|omits|omitted|overlooks|neglects|miss(?:es|ed)|miscalculates?|miscounts?|divides by zero|drops|dropped|should (?:have been|be)(?! (?:noted|mentioned|clear|clearer|shorter|fine|said|added|enough|easy|possible|more))|does(?: not|n['’]t) (?:match|equal|follow|hold|agree|arrive|work|answer|give|reach|satisfy)"
    r"|do(?: not|n['’]t) (?:match|agree|hold)|is(?: not|n['’]t) (?:\w+ )?(?:correct|right|valid|true|equal|the same|equivalent|what|so|the case)|are(?: not|n['’]t) (?:\w+ )?(?:correct|right|valid|equal|the same|equivalent))\b"
    r"|(?:is|was|be|answer|verdict)(?: then)?:? (?:no|incorrect|wrong|false)$|falsch|faux|incorrect[ao]|sbagliat|错误|不正确|不对|неверн"
)
_RIGHT = re.compile(
    rf"\b{_JUDGED} (?:\w+ ){{0,4}}?(?:(?:is|are|was|were|comes? out|turns? out|be)(?: \w+){{0,2}}? (?:correct|right|valid|true|fine|the same|equal|equivalent|identical)|match(?:es)?|agrees?|(?:do|does) (?:\w+ )?(?:match|agree|equal|coincide|hold)|holds|comes out|works out|coincides?)\b"
    r"|\bthe same (?:\w+ )?(?:number|value|answer|result|thing|as)\b|(?:is|was|be|verdict)(?: then)?:? (?:yes|correct|right)$|richtig|stimmt|juste|correct[ao]|corretto|正确|верн"
)
_MILD = re.compile(
    r"\b(?:minor|small|slight|tiny|typo\w*|cosmetic|wording|notation|style|stylistic|format\w*|spelling|grammar|grammatical|would|could have|typographical|punctuation|presentation)\b"
)
_UNSAID = re.compile(
    r"\b(?:not|no|never|nor|neither|without|free of|cannot|hardly|nothing|any|none|nobody|lack\w*)\b|n['’]t\b|不|没|kein\w*|nicht|pas|sin|sem|senza|не"
)
_ATTRIBUTIVE = re.compile(
    r"\b(?:correct|right) (?:answer|value|result|solution|number|sum|one|way|approach|formula|method|step|reading)\b"
)
_CONTRAST = re.compile(
    r"\b(?:but|although|though|however|while|except|only|up to|part(?:ly|ial\w*)?|approach|method|idea|setup|beginning|first|format|tone|style)\b"
)


def _says_the_other_word(sentence: str, positive: bool) -> bool:
    """Whether a sentence finds fault with what was called right, or calls right what was called wrong."""
    if positive:
        found = next(
            (
                match
                for match in _WRONG.finditer(sentence)
                if not _UNSAID.search(sentence, max(0, match.start() - 40), match.start())
            ),
            None,
        )
        return found is not None and not _MILD.search(sentence)
    plain = _ATTRIBUTIVE.sub(" ", sentence)
    return bool(_RIGHT.search(plain)) and not (_UNSAID.search(plain) or _CONTRAST.search(plain) or _WRONG.search(plain))


_NUMBER = re.compile(r"(?<![\w.,/-])(\d{1,3}(?:\.\d+)?)(?![\w]|[.,]\d)")
_SCORING = re.compile(
    r"\b(?:scores?|scored|scoring|rating|rated?|deserv\w+|worth|should|fair(?:er|est)?|rather|instead|make|give|given|closer to|more like|merits?|earns?|lower(?:ed)?|rais(?:e|ed)|higher|drop|chang\w+|revis\w+|correct\w*|downgrad\w+|upgrad\w+|settle|mean[t]?"
    r"|would be (?:\w+ ){0,2}(?:better|right|fairer|appropriate|apt|more)|say|appropriate|points?|down to|up to|actually|grade|mark)\b|应该|改为|分"
)
_OFF = re.compile(
    r"\b(?:too|overly|unduly|rather|a (?:bit|little|tad|touch)|somewhat|far too|much too) (?:generous|harsh|kind|severe|strict|lenient|high|low|soft|hard|tough|charitable|forgiving|optimistic|pessimistic)\b|\b(?:is|was|seems|looks|feels) (?:\w+ )?(?:generous|harsh|severe|strict|lenient)\b|\b(?:inflated|overrated|underrated|overscored|underscored)\b|\b(?:lower|higher) (?:score|rating|mark|grade|number|one) (?:\w+ )?(?:is|would|seems|fits|was)\b|\bdeserves? (?:less|more|better|worse|a (?:lower|higher|better|worse))\b"
)
_UNREAL = re.compile(
    r"\b(?:would have|could have|might have|would(?:n['’]t| not)? (?:\w+ )?(?:make|made|earn|get|reach|raise|bring|lift)|if|had|with(?:out)? (?:a|an|more|better|its|the|some)\b|to (?:get|reach|earn) (?:a|an|the)|for a (?:\d|full|perfect)|why not|not a|no \d|short of|away from)\b"
)


def _gives_another_score(sentence: str, score: float) -> bool:
    """Whether a sentence gives a score that is not this one, or calls this one too high or too low."""
    if _OFF.search(sentence):
        return True
    if not _SCORING.search(sentence) or _UNREAL.search(sentence):
        return False
    numbers = [float(number) for number in _NUMBER.findall(re.sub(r"(?:/|out of) ?\d+\b", "", sentence))]
    return bool(numbers) and score not in numbers
