"""Whether the words around a verdict deny it, in the languages that judges write in.

    >>> denies("man kann keineswegs sagen, das urteil sei "), denies("response a cites nothing, so ")
    (True, False)
    >>> denied_after(" would be wrong"), denied_after("ではありません")
    (True, True)

The words are folded. A denial must have the verdict as its object, so a comma or a colon ends its scope, unless a verb
of saying extends it: `I cannot say that it is`. The windows in the patterns (`[^,;:]{0,100}`) express this scope: they
stop at punctuation, and their bound keeps the search linear.
"""

from __future__ import annotations

import re

# Negations that deny nothing: `no doubt`, `not only`, `cannot help but`. They are removed first.
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
# Alternatives, in order: a negation up to three words before the verdict (`not really `); a negation and a verb of
# saying (`i would never write`, `it is wrong to say`); a condemnation (`it would be unfair that`); an impossibility
# (`there is no way`); a first person with a negation that reaches a final verb (`i cannot, after all this, write`);
# verbs of rejection (`i rule out`); an adjective of the losing side (`the wrong answer is`); strikethrough.
_DENIED = re.compile(
    r"(?:\b(?:not|never|nor|neither|cannot|without|rather than|instead of|over|against|hardly|scarcely|barely)\b"
    r"|n['’]t\b)"
    r"(?: (?!i\b|we\b|my\b|that\b|which\b|it\b)[a-z]{1,12}){0,3}[^a-z,;，；]*$"
    rf"|(?:\b{_NO}\b|n['’]t\b|\b{_BAD}(?: \w+){{0,2}}? to\b)[^,;:]{{0,100}}\b{_SAY}\b[^,;:]{{0,40}}:?[^a-z]*$"
    rf"|\b{_BAD}(?: \w+){{0,2}}? (?:that|if)\b[^,;:]{{0,60}}:?[^a-z]*$"
    r"|\bno (?:way(?! a?round)|chance|world|scenario|path|reason(?! not))\b[^,;:]{0,60}[^a-z]*$"
    rf"|\b(?:i|we|one|you|nobody|no one)\b[^;:]{{0,30}}(?:\b{_NO}\b|n['’]t\b)[^;:]{{0,120}}\b(?:say|write|output|give"
    rf"|put|answer|choose|pick|call|declare|conclude|enter|select)\W{{1,3}}$"
    r"|\b(?:far from|anything but|(?:the )?opposite of|contrary to|short of|nowhere near|reject\w*|rul(?:e|es|ed"
    r"|ing) out|exclud\w+|dismiss\w*|discard\w*|(?:no|little) (?:case|reason|grounds?|basis|argument|justification"
    r"|support|way|room) (?:for|to))[^,;:]{0,40}:?[^a-z]*$|\b(?:the )?(?:wrong|losing|worse|worst|weaker|inferior"
    r"|loser|rejected|unfair) ?(?:verdict|one|answer|choice|mark|response|reply|call)?(?: (?:is|was|would be"
    r"|here))?[^a-z]{1,6}$|~~\W*$"
)
# Other languages: the scope of a denying adverb or verb ends at the next comma; a verb of saying extends it.
_NOT = (
    r"(?:nicht|nichts|niemand|rien ne|personne ne|nada|nadie|nulla|niente|nessun\w*|ninguém|niets|nic|nikt|ничто"
    r"|ничего|никто|kein\w*|nie|niemals|keineswegs|keinesfalls|mitnichten|unmöglich|schwerlich|kaum|auf keinen fall"
    r"|weit entfernt|(?:an)?statt|jamais|nullement|aucunement|en aucun(?:e)? (?:cas|façon|manière)|loin d(?:e|['’])"
    r"|au lieu d(?:e|['’])|plutôt que|n(?:e |['’])[a-zéè]+ (?:\w+ )?(?:pas|jamais|point|guère|rien)"
    r"|ne (?:saurait|peut|peuvent|doit|pourrait)|nunca|jamás|tampoco|ni|en absoluto|en ningún caso"
    r"|de ning(?:ún|una) (?:modo|manera|forma)|en (?:vez|lugar) de"
    r"|no (?:es|diría|digo|puede|puedo|podemos|se puede|sería|cabe|hay (?:razón|motivo|base))"
    r"|nem|tampouco|em caso algum|de jeito nenhum|de (?:modo|forma|maneira) (?:nenhuma?|alguma?)|em vez de"
    r"|não (?:é|diria|pode|posso|podemos|se pode|seria|há)|mai|neppure|neanche|nemmeno|affatto|tutt['’]altro che"
    r"|in nessun (?:modo|caso)|invece di|non (?:è|direi|può|posso|possiamo|si può|sarebbe|c['’]è)|niet|geen|nooit"
    r"|geenszins|allerminst|in geen geval|in plaats van|żad\w+|nigdy|bynajmniej|zamiast|не|нет|никак|никогда|отнюдь"
    r"|нельзя|вряд ли|вместо|asla|hiçbir|không|chẳng|chưa|đừng|thay vì|न|ليس|ليست|لا|لن|لم)"
)
_SAY_ELSEWHERE = (
    r"(?:sag\w+|behaupt\w+|schließ\w+|folger\w+|urteil\w+|geben|schreib\w+|nenn\w+|fäll\w+|vertret\w+|wähl\w+"
    r"|entscheid\w+|heißt|bedeutet|dire|conclure|affirmer|répondre|donner|prononcer|choisir|signifie|decir|concluir"
    r"|afirmar|responder|dar|elegir|significa|dizer|escolher|concludere|affermare|rispondere|dare|scegliere|zeggen"
    r"|stellen|concluderen|geven|kiezen|betekent|powiedzieć|twierdzić|stwierdzić|uznać|oznacza|сказать|утверждать"
    r"|заключить|считать|назвать|значит|söyle\w+|nói|kết luận)"
)
_FALSE_TO_SAY = (
    r"(?:es (?:wäre|ist)|wäre es|il (?:serait|est)|ce serait|sería|seria|sarebbe|het (?:zou|is)|było(?:by)?|byłoby"
    r"|błędem|было бы|неверно|es (?=imposible|falso que))\b[^,.;:]{0,20}?(?:\b(?:falsch|verfehlt|unfair|ungerecht"
    r"|irreführend|(?:ein )?(?:fehler|irrtum)|faux|exclu|injuste|impossible|(?:une )?erreur|(?:un )?error|erróneo|falso"
    r"|injusto|imposible|(?:um )?erro|errado|sbagliato|ingiusto|(?:un )?errore|fout|onjuist|błędem|byłoby|ошибкой"
    r"|неверно|нечестно|что|сказать)\b)[^;:]{0,100}$"
)
_DENIED_ELSEWHERE = re.compile(
    rf"(?<!\w){_NOT}(?!\w)[^,;:،]{{0,40}}$|(?<!\w){_NOT}(?!\w)[^,;:]{{0,40}}\b{_SAY_ELSEWHERE}\b[^;:]{{0,60}}$"
    rf"|\b{_FALSE_TO_SAY}"
    r"|(?:不是|并非|而不是|不选|不)[^，。,]{0,4}$|(?:绝非|绝不|决非|决不|未必|谈不上|岂能|不等于|不代表|不见得|远非|而非"
    r"|断不|不足以|没有理由)[^，。,;]{0,20}$"
    r"|(?:不能|不可|不应|不会|不该|无法|并不|不宜|难以)(?:说|认为|给出|判定|判为|选|写|输出|得出|断定|称)[^，。,;]{0,14}$"
)
# A predicate after a verdict denies it unless it is known to praise it: `[[A]] would be wrong`, but `[[A]] is my final
# answer`. Listing praise instead of denials is safe, because an unknown predicate then only withholds a verdict.
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
_DENIED_AFTER_ELSEWHERE = re.compile(
    r"[\s*_`\"'”’\])}.-]{0,8}(?:"
    r"(?:ist|wäre|war|sei|kann|darf|sollte|lässt|est|serait|était|es|sería|estaría|queda|é|seria|è|sarebbe|is|zou|jest"
    r"|byłby|byłoby|был\w*|будет)\b(?: (?!weil|car|porque|perché|omdat|bo)[^\s,;]+){0,2}? (?:nicht|kein\w*|nie"
    r"|keineswegs|falsch|verfehlt|unfair|unhaltbar|ungerecht|ausgeschlossen|unmöglich|pas|faux|fausse|erroné\w*|exclu\w*|injuste"
    r"|intenable|impossible|(?:une )?erreur|erróneo|errónea|falso|falsa|injusto|incorrecto|descartad\w+|(?:un )?error"
    r"|errad\w|(?:um )?erro|sbagliat\w|ingiust\w|(?:un )?errore|fout|onjuist|niet|błęd\w+|неверн\w+|ошиб\w+"
    r"|исключ\w+)\b"
    r"|(?:scheidet|fällt|verbietet sich|kommt nicht|ne \w+ pas|n['’]est|no (?:es|sería|puede)|não (?:é|seria|pode)"
    r"|non (?:è|sarebbe|può)|nie (?:jest|może|byłby)|не (?:\w+ )?(?:может|верн|подход|годит)|не$)"
    r"|değil|olamaz|denemez|diyemeyiz|söylenemez|không (?:phải|đúng|thể)|là sai|नहीं|ग़?लत|غير صحيح|خطأ"
    r"|(?:だ|である)?(?:と(?:は|も|まで)?(?:言え|いえ|言い|結論|判断|限|思え)|では(?:な|あり)|じゃな|でな)[^,。、]{0,8}"
    r"|は(?:誤|間違|不適|あり得|ありえ|妥当でな|正しくな)"
    r"|[^,.。]{0,10}(?:아니|아닙|아닌|없|않|틀리|틀렸|못))"
)


def denies(clause: str) -> bool:
    """Whether the clause before a verdict denies it."""
    plain = _IDIOMS.sub(" ", clause)
    return _DENIED.search(plain) is not None or _DENIED_ELSEWHERE.search(plain) is not None


def denied_after(rest: str) -> bool:
    """Whether a sentence that continues with the verdict as its subject denies it: `[[A]] would be wrong`."""
    if rest.startswith("~~") or _DENIED_AFTER_ELSEWHERE.match(rest):
        return True
    match = _PREDICATE.match(rest)
    return match is not None and (
        not _PRAISED.match(rest, match.start("verb"))
        or _DENYING.search(rest, match.start("verb"), match.start("verb") + 60) is not None
    )
