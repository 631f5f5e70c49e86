"""Verdicts in words: a sentence that states a relation between the two responses.

>>> related("response b outperforms response a"), related("a and b are equally good"), related("a has more words")
(('B',), ('tie',), ())
"""

from __future__ import annotations

import re
from typing import Literal

from fathom.rationale.transcript.names import FOREIGN_NOUN, named
from fathom.rationale.transcript.sentences import plain
from fathom.rationale.transcript.winners import calls_equal, is_conditional, is_reported, names_winner

Winner = Literal["A", "B", "tie"]

_NAMES: tuple[tuple[Literal["A", "B"], str], ...] = (("A", named(0)), ("B", named(1)))
_HEDGED = re.compile(
    r"\b(?:might|could|may|perhaps|probably|arguably|possibly|likely|maybe|presumably|depending|depends|seems?"
    r"|seemingly|appears?|somehow|vielleicht|möglicherweise|könnte|peut-être|pourrait|quizás?|tal vez|podría|talvez"
    r"|forse|возможно)\b|可能|也许|或许|大概|かもしれ|아마"
)
_PAST = re.compile(
    r"\b(?:was|were|had|seemed|looked|appeared|at first|initially|originally|earlier|previously|used to)\b"
)
_DENIED = re.compile(
    r"\b(?:not|never|neither|nor|cannot|no|nobody|without|doubt\w*)\b|n['’]t\b|不能|并非|没有|\b(?:nicht|kein\w*|pas"
    r"|não|non|niet|не)\b"
)
_CONCLUDES = re.compile(
    r"(?:and |so,? )?(?:overall|therefore|so|thus|hence|consequently|accordingly|ultimately|in (?:conclusion|summary"
    r"|sum|short|the end|total|all)|to (?:conclude|sum up|summari[sz]e)|all (?:things considered|in all|told)"
    r"|on (?:balance|the whole|these grounds)|for (?:these|this|that|those) reasons?|given (?:this|that|these|all)"
    r"|considering|taken together|as a result|because of (?:this|that|these)|based on (?:this|that|these|the)"
    r"|insgesamt|daher|deshalb|somit|also|alles in allem|zusammenfassend|aus diesen gründen|en conclusion|donc"
    r"|au total|globalement|en résumé|dans l['’]ensemble|en resumen|por (?:lo )?tanto|en conclusión|en general"
    r"|en conjunto|portanto|em resumo|em conclusão|no geral|quindi|pertanto|in conclusione|nel complesso|in sintesi"
    r"|al met al|daarom|kortom|podsumowując|w sumie|итак|таким образом|в целом|в итоге|sonuç olarak|genel olarak"
    r"|tóm lại|nhìn chung)\b|综上|因此|所以|总的来说|总之|总体(?:而言|来看|上)?|综合(?:来看|考虑|而言)?|結論として"
    r"|総合的に|したがって|よって|결론적으로|따라서|종합"
)
_RESPONSE_NOUN = rf"(?:response|assistant|answer|reply|candidate|chatbot|completion|{FOREIGN_NOUN})"
_PLACES = {
    "A": r"first|former|erste|première|primera|primeira|prima|eerste|перв\w{2}",
    "B": r"second|latter|zweite|deuxième|seconde|segunda|seconda|tweede|втор\w{2}",
}
_LETTERS: tuple[tuple[Literal["A", "B"], int], ...] = (("A", 1), ("B", 2))
_BY_NAME = {
    letter: re.compile(
        rf"(?:\b{_RESPONSE_NOUN} ?(?:{letter.lower()}|{number})(?![a-z0-9])"
        rf"|{FOREIGN_NOUN} ?{letter.lower()}(?![a-z0-9])|\b(?:{_PLACES[letter]}) {_RESPONSE_NOUN}(?![a-z]))"
    )
    for letter, number in _LETTERS
}
_GENITIVE = {  # a part of a response is not the response: `the second half of response a`
    letter: re.compile(rf"\b(?!favou?r\b)\w+ (?:of|in|from) (?:the )?{name.pattern}")
    for letter, name in _BY_NAME.items()
}
_IN_PAIR = re.compile(
    rf"(?:\bthe|\bla|\bdie|\bde|\ba) (?:{_PLACES['A']}|{_PLACES['B']})(?: one)?(?=$|[,;:]| (?:in|by|for|because"
    rf"|since|as|and"
    r"|overall)\b)"
)
# Letters without a noun name responses only in pairs: `overall, a is better than b`, but not `plan a is better`.
_BARE_PAIR = re.compile(
    r"(?:^|, |: |\b(?:that|so|thus|therefore|hence|overall|and|conclude|in conclusion"
    r"|in summary) )(?P<winner>[ab]) (?:is (?:\w+ )?(?:better|superior|stronger|preferable)|wins|beats|outperforms)"
    r"(?: than| to| over| against)? (?P<loser>[ab])(?![a-z0-9])(?! (?:in|at|on|for|regarding|when)\b)"
)
MAX_CLOSING_LENGTH = 800
"""Characters at the end of a text that are searched for a closing comparison and the sentence before it."""
_COMPARING = (
    *(
        "better",
        "best",
        "superior",
        "strong",
        "prefer",
        "choos",
        "chose",
        "win",
        "outperform",
        "beat",
        "surpass",
        "go with",
        "pick",
    ),
    *(
        "select",
        "优",
        "更",
        "胜",
        "选",
        "besser",
        "beste",
        "vorzu",
        "meilleur",
        "préf",
        "choisi",
        "mejor",
        "prefi",
        "elijo",
        "melhor",
    ),
    *(
        "escolho",
        "miglior",
        "scelgo",
        "beter",
        "kies",
        "lepsz",
        "лучш",
        "daha iyi",
        "tốt hơn",
        "बेहतर",
        "أفضل",
        "より",
        "方が",
        "더 ",
    ),
)
"""Substrings, one of which occurs in every closing comparison. Checking them first is cheaper."""
_PRAISES_TOO = re.compile(
    r"\b(?:but|although|though|however|while|whereas|yet|even if|except|aber|jedoch|mais|pero|mas)\b"
    r"|但|不过|然而"
)
_LAST = re.compile(r"[.!。！]+[\s\"'”’)*_]*$")
_SENTENCE_END = re.compile(r"[.!?。！？](?=[\s*_]|$)|[。！？]|\n")


_OF_BOTH = re.compile(
    r"\b(?:both|two|they|these|neither|responses|answers|assistants|replies|a and b|b and a|antworten|réponses"
    r"|respuestas|risposte)\b|两|回答a|二つ|두"
)


def related(line: str) -> tuple[Winner, ...]:
    """The outcomes that the first sentence of a folded line states as a relation. Two of them contradict each other."""
    ended = _SENTENCE_END.search(line)
    sentence = plain(line[: ended.start()] if ended else line)
    if ended and ended[0] in "?？":
        return ()
    if is_conditional(sentence) or is_reported(sentence) or _HEDGED.search(sentence) or line.strip().endswith("?"):
        return ()
    winners: tuple[Winner, ...] = tuple(letter for letter, names in _NAMES if names_winner(sentence, names))
    if winners:
        return winners
    return ("tie",) if _OF_BOTH.search(sentence) and calls_equal(sentence) else ()


def closing_comparison(folded: str) -> Literal["A", "B"] | None:
    """The winner named by the last sentence of a folded text.

    None unless the sentence compares the responses overall, without hedging, and as the judge's own opinion, and the
    sentence before it does not praise the loser.
    """
    text = folded.rstrip(" \t\n*_")
    if text.endswith(("?", "？", ":", "…", "...")):
        return None
    ended = _LAST.sub("", text[-MAX_CLOSING_LENGTH:])
    start = _sentence_start(ended)
    if not start and len(text) > MAX_CLOSING_LENGTH:
        return None
    if not any(word in text[-MAX_CLOSING_LENGTH:] for word in _COMPARING):
        return None
    sentence = plain(ended[start:])
    winner = _named_winner(sentence)
    if winner is None or not _is_firm(sentence):
        return None
    loser = dict(_NAMES)["B" if winner == "A" else "A"]
    if _PRAISES_TOO.search(sentence) and re.search(loser, sentence):
        return None
    before = _LAST.sub("", ended[:start].rstrip())
    before = plain(before[_sentence_start(before) :])
    return None if names_winner(before, loser, partial=True) else winner


def _sentence_start(text: str) -> int:
    return max(
        text.rfind(end) + len(end) if end in text else 0 for end in (". ", "! ", "? ", ".\n", "\n", "。", "！", "？")
    )


def _named_winner(sentence: str) -> Literal["A", "B"] | None:
    """The only response that a closing sentence calls better.

    The sentence has to name both responses or begin with a conclusion; otherwise it may be about a single criterion.
    """
    if (pair := _BARE_PAIR.search(sentence)) and pair["winner"] != pair["loser"]:
        return "A" if pair["winner"] == "a" else "B"
    named_there = [letter for letter, _ in _NAMES if _BY_NAME[letter].search(sentence)]
    both = len(named_there) == 2 or _IN_PAIR.search(sentence)
    if not named_there or not (both or _CONCLUDES.match(sentence)):
        return None
    winners = [
        letter
        for letter in named_there
        if names_winner(
            _GENITIVE[letter].sub("part", sentence),
            rf"(?:(?:the|die|la|le|el|o|il"
            rf"|de) )?{_BY_NAME[letter].pattern}",
        )
    ]
    return winners[0] if len(winners) == 1 else None


def _is_firm(sentence: str) -> bool:
    return not (
        is_conditional(sentence)
        or is_reported(sentence)
        or _HEDGED.search(sentence)
        or _PAST.search(sentence)
        or _DENIED.search(sentence)
    )
