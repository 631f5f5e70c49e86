"""How a transcript without a verdict ends: truncated inside a structure, or with a refusal to judge."""

from __future__ import annotations

import re

from fathom.rationale.transcript.document import Document

_OPEN_MARK = re.compile(r"\[ ?\[[^\[\]\n]{0,20}\]?$|\\boxed\{[^{}\n]{0,20}$")
_OPEN_TAG = re.compile(r"<(verdict|answer|final_verdict|final_answer|winner|decision|choice)>(?!.*</\1>)", re.DOTALL)
_REACH = 600
"""Characters at the start and at the end that are searched for a refusal; a refusal in the middle is about the task."""
# Cheap substrings that are checked first: every refusal contains one of them.
_DECLINING = (
    *("n't", "n’t", "not", "decline", "refuse", "unable", "nicht", "ne p", "no p", "não", "non ", "не "),
    *("无法", "不能", "拒绝", "できません", "いたしかねます"),
)
_REGRET = (
    r"(?:(?:i['’]?m |i am )?(?:very |so |truly )?(?:sorry|afraid)[,.]? ?(?:but |that )?"
    r"|unfortunately,? |as an ai[^,.\n]{0,40}, ?|i apologi[sz]e,? ?(?:but )?)"
)
_DECLINES = (
    r"(?:can ?not|can['’]?t|won['’]?t|will not|(?:must |have to )?decline|refuse|(?:am|['’]m) (?:unable|not able)"
    r"|do(?: not|n['’]t) feel comfortable|would rather not|prefer not)"
)
_TO_JUDGE = (
    r"(?:judg|compar|evaluat|assess|choos|decid|pick|rank|rat|determin|provid|assist|help|complet|comply|continu"
    r"|do (?:this|that)|offer|giv|say which|engag|fulfil|participat|declar|mak|select|tak)"
)
# A first person that declines an act of judging, after optional regret, at the start of a sentence: `I'm sorry, but I
# cannot compare these`; then the same in other languages. The object is required: `I cannot find a flaw` is no refusal.
_REFUSAL = re.compile(
    rf"(?:^|[.!?\n]\s{{0,4}})[\W_]{{0,4}}{_REGRET}{{0,3}}(?:i|we)(?: really| simply| just|) ?{_DECLINES}"
    rf"(?:(?: to| with)?(?: \w+){{0,3}}? ?{_TO_JUDGE}|(?<=decline|.refuse) (?:this|the|your) (?:request|task))"
    r"|(?:我|抱歉)[^。\n]{0,12}(?:无法|不能|拒绝)[^。\n]{0,12}(?:评判|判断|比较|评价|评估|选择|裁决|提供|协助|帮助)"
    r"|(?:評価|比較|判断|判定|選択)[^。\n]{0,8}(?:できません|いたしかねます)"
    r"|ich (?:kann|darf|werde|möchte)(?: \w+){0,6} nicht (?:bewerten|beurteilen|vergleichen|entscheiden|helfen)"
    r"|je ne (?:peux|puis|veux|souhaite)(?: pas)?(?: \w+){0,2} (?:comparer|évaluer|juger|choisir|trancher|aider)"
    r"|no (?:puedo|podré)(?: \w+){0,2} (?:evaluar|comparar|juzgar|elegir|decidir|ayudar)"
    r"|não (?:posso|vou)(?: \w+){0,2} (?:avaliar|comparar|julgar|escolher|decidir|ajudar)"
    r"|non (?:posso|intendo)(?: \w+){0,2} (?:valutare|confrontare|giudicare|scegliere|decidere|aiutare)"
    r"|я не (?:могу|буду|стану)(?: \w+){0,2} (?:оценивать|оценить|сравнивать|сравнить|судить|выбирать|выбрать|помочь)"
)


def ends_unfinished(document: Document) -> bool:
    """Whether the text ends inside a code fence, a mark, a tag or a JSON object, or right after the name of a field."""
    text = document.text.rstrip()
    last = document.labels[-1] if document.labels else None
    if last is not None and last.value is not None and not document.text[last.value :].strip(" \t\n*_"):
        return True
    if len(document.fences) % 2 or _OPEN_MARK.search(text, max(0, len(text) - 40)):
        return True
    if text.startswith("\n{") and not text.endswith("}"):
        return True
    tail = document.folded[-2000:]
    return bool(_OPEN_TAG.search(tail))


def refuses(document: Document) -> bool:
    """Whether the model declines to judge, in the first person, at the start or the end of the text."""
    folded = document.folded
    ends = (folded,) if len(folded) <= 2 * _REACH else (folded[:_REACH], folded[-_REACH:])
    return any(any(word in end for word in _DECLINING) and _REFUSAL.search(end) for end in ends)
