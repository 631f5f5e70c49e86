"""Words by which a text turns back on an earlier statement, in the languages that judges write in.

    >>> turns_back("wait, b has a source"), turns_back("b has to wait"), admits_slip("confundí las dos respuestas")
    (True, False, True)

Sentences are folded and without markup, as `sentences` returns them. Each family of patterns has one part per group of
languages: `_ENGLISH` and `_EUROPEAN` only at the start of a sentence, `_..._PHRASES` anywhere in it.
"""

from __future__ import annotations

import re

from fathom.rationale.transcript.names import named

_ENGLISH = (
    r"wait|hold on|hang on|hm+|oops\w*|whoops|ugh|argh|ach\b|ah(?=[ ,])|oh(?=[ ,])|er+m?\b|uh+\b|um+\b"
    r"|no(?=,|:|$| wait| no\b)|nope|nah\b|sorry|apolog\w+|my apologies|pardon|excuse me|(?:(?:a|an|one|another|small"
    r"|quick|minor|important|self) )*-?correction\b(?! is)|corrected"
    r"|corrigend|errat|edit(?:ed)?(?=:| )|p\.? ?s\b|postscript|post scriptum|update(?=:)|addendum|afterthought|actually"
    r"|(?:up)?on (?:second|further|closer|more careful|re\w+|another|a (?:second|closer|fresh))\b|come to think"
    r"|(?:in|with) (?:retrospect|hindsight)|think(?:ing)? (?:about it|of it|it over|again|twice|more)"
    r"|look(?:ing)? (?:[a-z]+ ){0,4}?(?:again|back|closer|more closely)"
    r"|after (?:re-?\w+ing|another|a (?:second|closer|fresh)|further|all\b|thinking|looking|checking|double|more)"
    r"|(?:a|one) (?:second|closer|fresh|further) (?:look|reading|glance|check|thought)|the (?:longer|more) i (?:think"
    r"|look|read|consider|weigh)|(?:am|was|did|do) i\b|s/\S+/|re-?(?:read|check|consider|examin|think|count|evaluat"
    r"|assess|comput|calculat)ing|having (?:re-?\w+|looked|checked|thought|read)|now that|scratch|rather(?=,)"
    r"|or rather|then again|second thoughts?|not so fast|stop(?=$|,)|damn|dang|typo(?!s)|slip\b|mistake\b|error(?=$|:)"
    r"|wrong (?:\w+ )?(?:letter|one|label|box|number|way|answer|response|line|score|word)|amend|revis(?:ed|ion|ing)"
    r"|(?:switch|chang|revers|amend|correct|withdraw)ing\b|sry\b|soz\b|updated?\b(?! (?:version|source|data|info))"
    r"|(?:not (?:really|quite)|just (?:kidding|joking)|kidding|joking|jk|null and void|void)(?=$|,)|retract|withdraw"
    r"|never ?mind|so much for|check(?:ing|ed) (?:\w+ ){0,3}again|re-?(?:check|read|count|consider"
    r"|examin|evaluat)ed(?=:|,)"
)
_EUROPEAN = (
    r"moment\b|halt\b|warte|stopp|entschuldig|verzeih|korrektur|nein(?=[ ,:])|nachtrag|bei (?:näherem|genauerem"
    r"|nochmalig\w+)|auf den zweiten|irrtum|ups\b|hoppla|berichtigung|attend(?:ez|s)\b|désolée?|excusez|non(?=,|:|$)"
    r"|oups|en fait|(?:à la )?réflexion|après (?:réflexion|relecture)|en y (?:re|réfl)|rectific|mea culpa|finalement"
    r"|espera|un momento|perd[oó]n|disculp|lo siento|correcci[oó]n|fe de erratas|no(?=,)|pens[aá]ndolo|mir[aá]ndolo"
    r"|en realidad|espere|desculp|perdão|correção|não(?=,)|pensando (?:bem|melhor)|na verdade|aspett|scus"
    r"|chiedo scusa|correzione|ripens|in realtà|anzi|rettific|wacht|nee(?=,)|bij nader inzien|excuses|oeps|czekaj"
    r"|chwil|przeprasz|korekt|sprostow|po namyśle|стоп|подожди|извин|прошу прощен|исправлен|поправк|нет(?=,)|ой\b"
    r"|если подумать|опечатк|dur\b|bekle|özür|düzeltme|hayır(?=,)|xin lỗi|khoan|đính chính"
)
_OTHERS = r"不对|不,|不是,|いや|아니|माफ़|रुकिए|क्षमा|सुधार|عذر|تصحيح|انتظر|لحظة"
_TURNS = re.compile(rf"(?:(?:and|but|so|well|now|then|oh|ah|ok|okay|yet|also),? )*(?:{_ENGLISH}|{_EUROPEAN}|{_OTHERS})")
# Phrases that count anywhere in a sentence: unambiguous ones, and those of scripts without spaces between words.
_PHRASES = (
    r"\b(?:scratch that|strike that|there goes|so much for|i (?:only )?(?:now|do now) (?:\w+ )?(?:see|notice"
    r"|reali[sz]e|find|feel|think|believe|know|understand)|on second thou?ght|come to think of it|i mean(?:t)?\b"
    r"|stand corrected|changed? my mind|hold on|wrong letter|the wrong (?:letter|label|way round))"
)
_EUROPEAN_PHRASES = (
    r"\bbitte .{0,40}\bignorieren|\b(?:ignorieren|streichen|vergessen) sie"
    r"|\b(?:ignorez|oubliez|veuillez (?:ignorer|lire))\b|\b(?:ignor[ae]n?|olvid[ae]n?) (?:la|el|lo|esto|eso|a|o)\b"
    r"|\b(?:desconsidere|ignorate|ignori|negeer|игнорируйте)\b"
)
_CHINESE_PHRASES = (
    r"等等|等一下|不好意思|抱歉|对不起|更正|纠正一下|勘误|仔细一想|仔细想|转念|再想|想了想|重新考虑|收回|作废|写反|说反"
    r"|弄反|搞反|笔误|打错|请忽略|忽略(?:上面|以上|前面|此前)"
)
_JAPANESE_KOREAN_PHRASES = (
    r"待って|やはり|すみません|失礼しました|訂正|取り消|やっぱり|よく考え|撤回|無視して"
    r"|잠깐|잠시만|죄송|정정|다시 생각|취소|철회"
)
_ANYWHERE = re.compile(rf"{_PHRASES}|{_EUROPEAN_PHRASES}|{_CHINESE_PHRASES}|{_JAPANESE_KOREAN_PHRASES}")

# First-person verbs of languages that drop the pronoun.
_EUROPEAN_SLIPS = (
    r"\b(?:me equivoqu\w+|me he equivocado|confundí|leí mal|olvidé|pasé por alto|calculé mal|invertí|quise decir"
    r"|corrijo|retiro|rectifico|confundi|enganei|errei|li mal|esqueci|troquei|quis dizer|mi sono sbagliat\w|intendevo"
    r"|correggo|ritiro|ho (?:confuso|sbagliato|letto male|invertito|scambiato|dimenticato|trascurato)|pomyli\w+"
    r"|wycofuję|cofam|chodziło mi|перепута\w+|ошиб(?:ся|лась)|yanılmış\w*|karıştırd\w+|geri al\w+|nhầm|rút lại|गलती"
    r"|أخطأت)"
)
_CHINESE_SLIPS = (
    r"(?:我|刚才|前面|上面)[^,。]{0,12}(?:看错|看漏|忽略|算错|误判|弄混|搞混|写错|漏掉|误读|理解错|记错|搞错|弄错|混淆"
    r"|颠倒|反了)"
)
_JAPANESE_KOREAN_SLIPS = r"見落と|読み間違|勘違い|間違えました|놓쳤|잘못 (?:읽|봤|계산)|실수"
_LETTER_SLIPS = (  # the letter itself as subject: `that a slipped in`
    r"^(?:that|the|this) (?:[ab12]|letter|mark) (?:\w+ )?(?:slipped|crept|sneaked|came from|got (?:in|there)|is what)\b"
)
_SLIPS = re.compile(rf"{_LETTER_SLIPS}|{_EUROPEAN_SLIPS}|{_CHINESE_SLIPS}|{_JAPANESE_KOREAN_SLIPS}")


# Typing errors. The strong patterns alone say that a wrong letter was typed. The weak ones must refer to the verdict,
# because the judged texts may have typos too.
_DEVICE = (
    r"(?:keyboards?|keys?|keystrokes?|fingers?|pen|hand|tongue|mouse|thumbs?|cursor|wrist|clipboard|muscle memory)"
)
# Somebody or something else at the judge's keyboard: `my cat walked over the keyboard`, `someone typed that for me`.
_TYPED_BY_OTHERS = (
    r"^(?:(?:and|but|so|well|oh|sorry|wait|also|note|then|just now|meanwhile|actually|unfortunately),? )*"
    r"(?:(?:my|our|the|a|an|this) (?:\w+ ){1,2}|(?:someone|somebody|something)(?: else)? )(?:just |has |had |have "
    r"|must have |may have |might have |was |is |accidentally |then )*(?:(?:walk|step|jump|sat|sit|lean"
    r"|run|ran|roll|brush|fell|fall|land|trampl|climb|lying|lay|danc|play|bang|press|tap|tapp|stomp|sleep|slept|hit|bump|touch|grabb?|t[oa]ke?|took"
    r"|push|mash|got hold of|jostl|knock|using|used|spill)\w*(?: \w+){0,3}? (?:the|my|our|this|a|an)"
    r" (?:\w+ )?(?:keyboard|keys?|keypad|laptop|trackpad|touchpad|mouse|space ?bar|computer)"
    r"|(?:typed|wrote|entered|pressed|hit|put) (?:that|this|it|the (?:letter|verdict|line|mark|above))\b)"
)
# The same by somebody with the indefinite article: `a visitor leaned on the keyboard`. The sentences are in lower case,
# so `a` may also be the response, as in `a then hit the right key`. It is the article if a noun follows it, that is, no
# adverb and no verb, before one of these verbs; and what is touched ends the clause, unlike `the key point`.
_NO_NOUN = (
    r"(?!(?:\w+ly|\w+ed|\w*[^s\W]s|also|then|never|not|just|still|even|first|only|once|again|now|here|there|thus|so"
    r"|instead|twice|both|all|had|did|will|would|can|could|may|might|must|should|cannot|made|took|gave|got|put|let"
    r"|went|wrote|said|and|or|to|than|that|which|who|one|two|better|best|good|great|nice|fine)\b)"
)
_TYPED_BY_A_STRANGER = re.compile(
    r"(?:(?:and|but|so|well|oh|sorry|wait|also|note|then|just now|meanwhile|actually|unfortunately),? )*"
    rf"a (?:{_NO_NOUN}\w+ ){{1,2}}(?:of (?:mine|ours) )?(?:just |has |had |must have |may have |might have |was "
    r"|accidentally |then )*(?:"
    r"(?:(?:walk|step|jump|lean|roll|brush|land|trampl|climb|danc|bang|press|tapp|stomp|bump|touch|grabb|push|mash"
    r"|jostl|knock|us|play)(?:ed|ing)|s[ai]t|sitting|r[ua]n|running|fell|falling|la?y|lying|slept|sleeping|hit|took"
    r"|got hold of|spilled)(?: \w+){0,3}? (?:the|my|our|this|a|an) (?:\w+ )?"
    r"(?:keyboard|keys?|keypad|laptop|trackpad|touchpad|mouse|space ?bar|computer)"
    r"(?=$|[,;:)]| (?:and|while|when|as|by|just|again|before|after|during|now|earlier|here)\b)"
    r"|(?:typed|entered|pressed|hit|wrote) (?:this|it|that(?=$|[,;:)]| (?:for|line|letter|verdict|mark)\b)"
    r"|the (?:letter|verdict|line|mark|above))\b)"
)
_STRONG_SLIP = (
    rf"\bslips? of (?:the |my |a )?(?:\w+ )?{_DEVICE}\b|\b{_DEVICE} (?:\w+ )?slip(?:s|ped)?\b|\bslipped (?:out of"
    rf"|from|off)"
    rf" (?:the|my) \w+|{_TYPED_BY_OTHERS}|\bfat[- ]?finger\w*|\b(?:wrong|stray|neighbou?ring|adjacent) {_DEVICE}\b"
    r"|\bauto-?correct\w*"
    r"|falsche taste|mauvaise touche|tecla (?:equivocada|errada)|tasto sbagliato|verkeerde toets|не та клавиша|按错"
    r"|打ち間違"
)
_WEAK_SLIP = (
    r"\b(?:mis-?typ\w+|mis-?print\w*|mis-?key\w+|mis-?click\w*|typo|lapsus|slip of \w+"
    r"|(?:typing|keying|keyboard|clerical|transcription|typographical|printing|input|data[- ]entry"
    r"|copy(?:ing|[- ](?:and[- ])?paste)?) (?:errors?|mistakes?|slips?|glitch|accidents?)"
    r"|lapsus \w+|versehen\w*|tippfehler|schreibfehler|vertipp\w*|fautes? de frappe|coquille"
    r"|error(?:es)? de (?:tecleo|dedo|escritura)|errata"
    r"|gazapo|erros? de digitação|error[ei] di (?:battitura|digitazione)|refuso|tik-?fout\w*|typefout\w*|tikfout"
    r"|literówk\w+|опечатк\w*|описк\w*|yazım hatası|lỗi (?:đánh máy|gõ))\b|手误|手滑|输入错误|按错|タイプミス|誤字|誤記"
    r"|打ち間違|오타|오기"
)
_OF_VERDICT = (
    r"\b(?:letter|mark|verdict|box|brackets?|above|score|digit|(?:last|final|previous|preceding|verdict) line"
    r"|(?:number|word|line) (?:above|in the (?:\w+ )?(?:line|box|brackets?))|buchstabe|urteil|lettre|letra|veredicto"
    r"|veredito|lettera|verdetto|oordeel|litera|werdykt\w*|буква|вердикт\w*|harf|karar|chữ|phán quyết)\b"
    r"|\b(?:that|this|das|dies|c['’]est|questo|dat|это)\b(?: \w+){0,3}$|上|字母|裁决|判定|文字|글자|판정"
)
_SLIP_OF_HAND = re.compile(rf"{_STRONG_SLIP}|^(?:an? |one )?(?:\w+ )?(?:{_WEAK_SLIP})$")
_WEAK = re.compile(_WEAK_SLIP)
_BY_DEVICE = re.compile(r"\b(?:keyboard|keystroke|finger|thumb|cursor|clipboard|muscle memory)\b")
_WRONG_LETTER = re.compile(
    r"\b(?:letter|mark|digit|bracket|box)\b.{0,40}\b(?:wrong|accident\w*|by mistake|stray|unintend\w+|inadvertent\w*"
    r"|not belong|slipped|misplaced|left ?over|errone\w+|erratum)\b|^wrong (?:bracket|box|letter|mark|digit)$"
)
_VERDICT_NEAR = re.compile(_OF_VERDICT)
_IN_RESPONSE = re.compile(
    rf"\b(?:in|of|by|within|has|have|had|makes?|made|with|contains?) (?:the )?(?:\w+ )?(?:{named(0)}|{named(1)}"
    r"|responses?\b|solution\b|student\b|its\b|their\b|both\b)|\b[ab]['’]s\b"
)

# Courtesies: an apology for the manner of the review (`sorry for the length`) does not concern the verdict.
_SORRY = (
    r"(?:(?:i|we|am|are|i['’]m|do|must|my|please|with|many|once|again|and|also) )*(?:sorry"
    r"|apolog\w+|pardon|forgive"
    r"|excuse|excusez|entschuldig\w+|verzeih\w+|désolée?|perd[oó]n\w*|disculp\w+|lo siento|desculp\w+|scus\w+|excuses"
    r"|przeprasz\w+|извин\w+|прошу прощения|抱歉|すみません|죄송\w*)"
)
_FILLER = (
    r"(?: (?:me|sie|bitte|vous|to|be|any|for|about|if|that|this|these|the|my|all|it|its|being|is|was|got|became|came"
    r"|out|so|too|such|a|an|any"
    r"|rather|very|somewhat|bit|little|bulk|of|in|on|to|reply|answer|review|response|writing|keep|für|über|die|das|der"
    r"|den|meine|pour|la|le|mon|ma|por|el|mi|per|per la|voor|de|het|za|за|a|o|pela|tão|tan|si|così|zo|langatmige))*"
)
_MANNER = (
    r"(?:long\w*|length\w*|wordy|wordiness|verbos\w+|rambl\w+|detail\w*|more detail|brief|brevity|short\w*|terse\w*"
    r"|delay"
    r"|late|wait|wall of text|format\w*|bullets?|layout|digress\w*|tangents?|repe(?:ti|at)\w+|pedant\w+|nitpick\w*"
    r"|blunt\w*|markdown|english|inconvenience|wording|clumsy|dense|numbering|läng\w*|lang\w*|ausführlich\w*|umfang|longueur|longue?s?"
    r"|extensi[oó]n|larg[oa]|extens[aã]o|demora|long[ao]|lunghezz\w|lung[ao]|lengte|lange|dług\w+|длин\w+|объём)"
)
_COURTESY = re.compile(
    rf"{_SORRY}{_FILLER} {_MANNER}\b"
    r"(?: (?!which|that|where|and|but|because|since|wrong|mis|error|confus|mix|swap|instead|incorrect|i\b|is\b|was\b)"
    r"[\w'’-]+){0,8}(?:$|[,;:](?= (?!which|that|it rests))|(?= (?:and|but|because|since) ))"
)


def without_courtesy(sentence: str) -> str:
    """Remove an apology for the manner of the review from the start: `sorry for the long review, i ...`."""
    match = _COURTESY.match(sentence)
    return sentence[match.end() :].strip() if match else sentence


def is_slip_of_hand(sentence: str) -> bool:
    """Whether a sentence says that the verdict was mistyped: `a slip of the keyboard`, `the letter is a typo`."""
    if _IN_RESPONSE.search(sentence):
        return False
    if _SLIP_OF_HAND.search(sentence) or _WRONG_LETTER.search(sentence):
        return True
    if _BY_DEVICE.search(sentence) and _VERDICT_NEAR.search(sentence):
        return True
    return _WEAK.search(sentence) is not None and _VERDICT_NEAR.search(_WEAK.sub("", sentence).strip()) is not None


def is_typed_by_stranger(sentence: str) -> bool:
    """Whether a sentence that begins with the article `a` says that somebody else was at the judge's keyboard."""
    return _TYPED_BY_A_STRANGER.match(sentence) is not None and _IN_RESPONSE.search(sentence) is None


def turns_back(sentence: str) -> bool:
    """Whether a sentence turns back on an earlier statement: `wait`, `sorry`, `correction`, `on second thought`."""
    return _TURNS.match(sentence) is not None or _ANYWHERE.search(sentence) is not None


def admits_slip(sentence: str) -> bool:
    """Whether a verb without a pronoun says that the judge erred: `confundí`, `mi sono sbagliato`, `我看错了`."""
    return _SLIPS.search(sentence) is not None
