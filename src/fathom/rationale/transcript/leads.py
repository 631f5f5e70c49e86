"""Whether the words before a mark introduce the judge's own verdict.

    >>> leads("therefore my verdict is "), leads("response b signs its text with "), leads("")
    (True, False, True)

There are more ways to mention a mark than to give it, so mentions cannot be listed. A mark that ends a sentence
therefore counts only after words that give a verdict: a conclusion, a noun for the verdict, a first person that
chooses, a comparison, or a colon after one of these or after a statement. In languages other than English, a mark
counts unless `mentions` recognises it as a mere mention.
"""

from __future__ import annotations

import re

from fathom.rationale.transcript.mentions import after_turn
from fathom.rationale.transcript.names import NOUN

_FOREIGN = re.compile(
    r"\b(?:der|die|das|ist|und|ich|daher|darum|deshalb|somit|urteil|gewinnt|antwort|le|la|les|est|donc|je|el|los|es"
    r"|por|lo|tanto|gana|il|quindi|vince|portanto|het|dus|de|oordeel|jest|wygrywa|kazanan|karar|o|os|as respostas"
    r"|a resposta)\b"
)
_OTHER_SCRIPT = re.compile(r"[^\x00-\x7f‘’“”–—…→⇒✓✔✅👉]")
_VERDICT = (
    r"(?:verdict|winner|decision|choice|judge?ment|ruling|conclusion|vote|pick|preference|selection|answer|outcome"
    r"|result|mark|call)"
)
_NOUNS = (
    rf"(?:{_VERDICT}|winning (?:response|answer|one)|better|best|(?:better|best|stronger|superior|preferred|preferable"
    rf"|right|correct) (?:(?:{NOUN})|one|choice|call|verdict|mark|of (?:the )?(?:two|both)))"
)
_OTHERS = (  # adjectives of a verdict that is somebody else's, an earlier or a hypothetical one
    r"(?:previous|initial|first|earlier|original|possible|alternative|so-called|alleged\w*|supposed\w*|claimed|user"
    r"|task|key|gold|reference|expected|official|human|"
    r"annotat\w+|rater\w*|another|other|their|its|his|her|hidden|fake|injected|requested|desired|draft|tempting|naive"
    r"|lazy|easy|default|opposite|wrong|losing|worse|own|example|sample|correct option|option)"
)
# Nothing but words of conclusion: `so, all things considered: `.
_CONNECTIVES = re.compile(
    r"[\W_]*(?:(?:so|then|and|thus|therefore|hence|overall|ultimately|finally|clearly|consequently|accordingly"
    r"|in (?:conclusion|summary|sum|short|the end|total|all)|all in all|on balance|on the whole|to conclude|to sum up"
    r"|as a result|for (?:these|this|that) reasons?|all things considered|no doubt(?: about it)?|without (?:a "
    r"|any )?(?:doubt|hesitation|question)|there is no doubt|beyond doubt|of course|easily|obviously|definitely"
    r"|certainly|simply|it(?:['’]s| is)|that(?:['’]s| is)|this is|it (?:must|has to|can only) be"
    r"|verdict|answer|final|winner|better|result|decision|a|an|the|is|clear|yes|ok|okay)[\W_]*)*"
)
# A noun for the verdict as subject: `the overall winner is`, `my final verdict must therefore be`.
_VERDICT_IS = re.compile(
    rf"\b(?:the|my|our|this|clear|overall|final"
    rf"|and)(?: (?!{_OTHERS}\b)[a-z-]+){{0,3}} {_NOUNS}(?: (?!{_OTHERS}\b)[a-z,]+){{0,6}}?,? (?:is|goes to|go to"
    rf"|must be|has to be|can only be|should be|will be|remains|falls on|stays)(?: (?:therefore|thus|hence|then"
    rf"|clearly|simply|the|a|an|for me|without (?:a|any) doubt|with no doubt|,))*[\W_]*$|(?:^|[,;:] ?)[\W_]*(?:final "
    rf"|overall )?(?:verdict|winner|decision|judge?ment|better (?:response|one|answer)|preferred (?:response"
    rf"|answer))(?: is)?[\W_]*$"
)
# A first person that chooses: `i would go with`, `we give the win to`. Up to five words may follow the verb.
_I_CHOOSE = re.compile(
    r"\b(?:i|we)(?:['’](?:d|ll|m))?(?: (?:would|will|shall|must|have to|can only|can|now|therefore|thus|hence|then"
    r"|clearly|still|do|am|also|finally))*"
    r" (?:choose|choosing|pick|picking|say|select|selecting|go(?:ing)? (?:with|for)|giv(?:e|ing) (?:it|this"
    r"|the (?:win|point|verdict|nod)) to|vot(?:e|ing)(?: for)?|prefer|award(?: it| this)?(?: to)?|decid(?:e"
    r"|ing) (?:for|on|in favou?r of)|settl(?:e|ing) (?:on|for)|conclud(?:e|ing)(?: that (?:it is|the (?:verdict"
    r"|winner|better one) is))?|judge|judging|rul(?:e|ing)(?: for| in favou?r of)?|opt(?:ing)? for|declar(?:e|ing)"
    r"|favou?r|call(?:ing)? (?:it|this)|answer|output|side with|find for|rate|end with|close with|stand by|land on"
    r"|come down on|mark it|writ(?:e|ing))"
    r"(?: (?!not\b|never\b)[a-z-]+){0,5}[\W_]*$"
)
# Words that turn such a choice into a thought: `i almost chose`, `i was tempted to write`.
_NEARLY = re.compile(
    r"\b(?:almost|nearly|about to|used to|tempted|wanted|first|initially|at first|once|might|could|may|had|was|were"
    r"|refuse|decline|hesitate|never|not|cannot|neither)\b|n['’]t\b"
)
# A comparison of the responses: `response b is clearly better`, `the first one prevails`.
_COMPARES = re.compile(
    rf"(?:\b(?:{NOUN}) [ab]|\b(?:the )?(?:first|second|former|latter)(?: (?:{NOUN}|one))?"
    rf"|(?<![a-z])[ab])(?:['’]s \w+)? (?:(?:is|was|has|does) (?!not\b|n['’]t)(?:[a-z-]+ ){{0,4}}?(?:better|best"
    rf"|superior|stronger|preferable|winner|correct|right|ahead|clearer|preferred)|wins|prevails|outperforms"
    rf"|is (?!not\b)[a-z-]+er\b)"
    r"|\b(?:better|superior|stronger|preferable|wins|prevails|outperforms|prefer|preferred)\b|\bgoes further\b"
    r"|\bno other \w+ (?:than|but)\b"
)
_HEARSAY = re.compile(r"\b(?:allegedly|supposedly|reportedly|apparently|presumably|so-called|rumou?red)\b")
_INTRODUCES = re.compile(r"(?P<head>.*?)[\s*_]*(?::|[-–—]{1,2}|→|=>|->|⇒)[\s*_`\"'“‘(\[]*$", re.DOTALL)
# An adverbial clause before the mark: `after weighing both, `, `given the errors in b, `.
_AFTER_ALL = re.compile(
    r"[\W_]*(?:after|given|considering|in (?:view|light) of|taking|weighing|overall|having|based on|despite"
    r"|in spite of|although|though|while|since|as|because|on|all|with|for|by|judging|both)\b[^:]*,[\s*_`\"'(]*$"
)
# Words that only mention a mark: as rejected, as an example, as part of a text, as somebody else's verdict.
_MENTIONS = re.compile(
    r"^[\W_]*(?:rejected|not (?!only|just|merely)|loser|worse|worst|runner|discarded|excluded|for the sake|expected"
    r"|example|sample|output|input|from|quote|quoting|quoted|format|template|form|syntax|possible|alternative"
    r"|alternatively|draft|initially|first|option|e\.?g|for instance|hypothetical\w*|suppos\w+|assum\w+|say|imagine"
    r"|compare|or|either|if|note|instruction|prompt|system|user|allegedly|supposedly|apparently|reportedly)\b"
    r"|\b(?:lines?|strings?|footer|text|words|message|sentence|note|comment|instruction|token|postscript|signature"
    r"|quotation|quote|tag|footnote|caption|header|title|payload|injection|itself|themselves|himself|herself)\b"
    rf"|(?:['’]s|its|their|his|her) (?:own )?(?:\w+ ){{0,3}}{_VERDICT}(?: (?:on \w+|is|was|reads|says|itself))?[\W_]*$"
    rf"|\b(?:of|from|by|in|at|inside|within|under) (?:the )?(?:(?:{NOUN}) [ab]|first|second|other)(?: \w+)?[\W_]*$"
)


def leads(before: str) -> bool:
    """Whether the sentence before a mark introduces a verdict. It is known not to deny or report the mark."""
    if _CONNECTIVES.fullmatch(before) or _OTHER_SCRIPT.search(before) or _FOREIGN.search(before):
        return True
    last = after_turn(before)
    if len(last) < len(before) and _CONNECTIVES.fullmatch(last):
        return True
    if _gives(last):
        return True
    if introduction := _INTRODUCES.match(last):
        return _gives(introduction["head"]) or not _MENTIONS.search(introduction["head"])
    return _AFTER_ALL.match(last) is not None and not _MENTIONS.search(last)


def _gives(words: str) -> bool:
    """Whether words end by giving a verdict: by a noun for it, a first person that chooses, or a comparison."""
    if _VERDICT_IS.search(words):
        return _HEARSAY.search(words) is None
    if _I_CHOOSE.search(words) and not _NEARLY.search(words):
        return True
    return _COMPARES.search(words) is not None and not _MENTIONS.search(words) and not _NEARLY.search(words)
