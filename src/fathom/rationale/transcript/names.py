"""Patterns for the names of responses: by letter, ordinal or number, in several languages.

>>> import re
>>> re.compile(named(1)).search("so the second one wins")[0], re.compile(named(0)).search("antwort a ist besser")[0]
('the second one', 'antwort a')
"""

from __future__ import annotations

from functools import lru_cache

NOUN = (
    r"(?:responses?|assistants?|answers?|models?|outputs?|candidates?|repl(?:y|ies)|chatbots?|completions?|versions?"
    r"|texts?|drafts?|solutions?|systems?|agents?|bots?|submissions?)"
)
"""Nouns for a response, before its letter."""
FOREIGN_NOUN = (
    r"(?:antwort(?:en)?|réponse|reponse|respuesta|resposta|risposta|antwoord|odpowiedź|ответ\w{0,2}|yanıt|cevap"
    r"|câu trả lời|phản hồi|उत्तर|الإجابة|응답|답변|回答|回复|回覆|答案|助手|応答)"
)
_ORDINALS = (
    (
        r"first|1st|former|erste[nrms]?|première|premier|primera|primeira|prima|primo|eerste|pierwsza|перв\w{2}|ilk"
        r"|birinci",
        r"第一(?:个|個|份|篇|则|条)?|前者|최초|첫 ?번째|1番目|一つ目|最初の",
    ),
    (
        r"second|2nd|latter|zweite[nrms]?|deuxième|seconde?|segunda|seconda|secondo|tweede|druga|втор\w{2}|ikinci",
        r"第二(?:个|個|份|篇|则|条)?|后者|後者|두 ?번째|2番目|二つ目",
    ),
    (r"third|3rd|dritte[nrms]?|troisième|tercera|terceira|terza", r"第三(?:个|份|篇)?"),
    (r"fourth|4th", r"第四(?:个|份|篇)?"),
    (r"fifth|5th", r"第五(?:个|份|篇)?"),
)
_NUMBERS = ("one", "two", "three", "four", "five")
# A letter after a noun is part of that name, as in `assistant a`; alone it must not match a second time.
_ALONE = "".join(
    f"(?<!{noun} )"
    for noun in (
        "response",
        "responses",
        "assistant",
        "answer",
        "model",
        "output",
        "candidate",
        "reply",
        "chatbot",
        "text",
    )
)
_ARTICLE = r"(?:(?:the|die|der|das|la|le|el|a|o|il|de|den|dem) )?"
OTHER = (
    r"(?:(?:the|its) (?:other|opposite|rival|opponent|counterpart)(?: (?:one|NOUN))?(?! (?:hand|way|words?|way round"
    r"|side))|(?:die|der) andere(?: antwort)?|l['’ ]autre(?: réponse)?|la otra(?: respuesta)?|a outra(?: resposta)?"
    r"|l['’ ]altra(?: risposta)?|de(?: |t )andere?(?: antwoord)?|друг\w{2}(?: ответ)?|另一(?:个|份|篇)?|다른|もう一方)"
).replace("NOUN", NOUN)
"""Expressions for the other of two responses, whichever was named before."""


@lru_cache(maxsize=32)
def named(place: int) -> str:
    """The pattern of names of the response with this index (from 0), for folded text without markup.

    It also matches a lone `a`. The surrounding pattern has to exclude the article.
    """
    letter, number = chr(ord("a") + place), place + 1
    latin, other = _ORDINALS[place] if place < len(_ORDINALS) else (rf"{number}th", rf"第{number}(?:个|份)")
    word = f"|{_NUMBERS[place]}" if place < len(_NUMBERS) else ""
    return (
        rf"(?:(?:{NOUN}|{FOREIGN_NOUN}) ?(?:{letter}|#?{number}{word})(?![a-z0-9])"
        rf"|{_ARTICLE}(?:{latin})(?: (?:{NOUN}|{FOREIGN_NOUN}|ones?|of (?:the )?(?:two|them)))?(?![a-z])"
        rf"|(?:{other})(?:回答|回复|答案|응답|답변)?|(?:the |die |la |le |el |a |il "
        rf"|de )?(?<![a-z0-9'’.]){_ALONE}{letter}(?![a-z0-9'’+]))"
    )
