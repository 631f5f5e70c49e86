"""Verdicts in structured data: JSON objects, tool calls and tables.

    >>> [each.outcome for each in structured(Document.of('{"scores": [7, 8], "preferred_response": "B"}')).given]
    ['B']

The key or the row must name the overall outcome. Keys of parts (`accuracy_winner`, `winner` in a list of criteria) and
rows of criteria are sub-verdicts. The spans of data are excluded from the parsing of prose.
"""

from __future__ import annotations

import json
import re
from bisect import bisect
from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple

from fathom.rationale.transcript.characters import fold
from fathom.rationale.transcript.choices import MARK, Outcome, VerdictMention, choice_alone, inside_mark, stated
from fathom.rationale.transcript.document import Document
from fathom.rationale.transcript.mentions import is_introduced, is_mentioned, is_quoted, standing
from fathom.rationale.transcript.rivals import Claim
from fathom.rationale.transcript.sentences import around
from fathom.rationale.transcript.tables import tables
from fathom.rationale.transcript.withdrawals import takes_back

MAX_OBJECTS = 16
MAX_DEPTH = 8


class Structured(NamedTuple):
    """Verdicts and answers in data, the spans of data, and whether the text ends inside of an object.

    An answer may be the judge's own solution of the task.
    """

    given: list[VerdictMention]
    answers: list[VerdictMention]
    spans: list[tuple[int, int]]
    breaks_off: bool


def structured(document: Document) -> Structured:
    """Find the verdicts in the data of a document. Quoted and reported data does not count."""
    found = Structured([], [], [], False)
    if document.loops:
        return found
    if "{" in document.text:
        found = _objects(document)
    for start, end, outcome in _calls(document):
        found.spans.append((start, end))
        if outcome and not is_quoted(document, start, start + 1) and not is_mentioned(document, start, end):
            found.given.append(VerdictMention(outcome, start, end))
    for row in tables(document):
        found.spans.append((row.start, row.end))
        if row.outcome and not is_quoted(document, row.start, row.end):
            found.given.append(VerdictMention(row.outcome, row.start, row.end))
    found.spans.sort()
    return found


# JSON ----------------------------------------------------------------------------------------------------------------

_DECODER = json.JSONDecoder(strict=False, object_pairs_hook=lambda pairs: _Object(pairs))
_OBJECT_START = re.compile(r"\{(?=\s{0,40}[\"}])")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_WRAPPED = re.compile(r"[ _-]+")
_OUTCOME = (
    r"(?:verdict|winner|winning|better|best|preferred|preference|prefer|choice|chosen|decision|judge?ment|selected"
    r"|selection|pick|picked|result|conclusion|ruling|outcome|superior|stronger|favou?red|vote)"
)
# Keys (folded, words joined by `_`): of the outcome (`final_verdict`, `preferred_response`), of an answer, of a wrapper
# whose members are read (`evaluation`, `arguments`); names of functions that report a verdict (`submit_judgment`).
_KEY = re.compile(
    rf"(?:(?:the|my|final|overall|ultimate|model|judge|pairwise)_)*{_OUTCOME}(?:_(?:response|answer|assistant|model"
    rf"|output|one|candidate|reply|label|letter|id|name|is|value|verdict|choice|decision|winner|overall))*"
    r"|(?:final|overall|最终|最終)_?(?:verdict|winner)?|更好(?:的?(?:回答|回复|答案))?|更优(?:回答)?|(?:最终)?胜者"
    r"|获胜者|(?:最终|最終)?(?:裁决|裁決|判决|判定|结论|結論|决定|选择|判断)|勝者|判定|승자|판정|결론"
    r"|(?:endgültiges_)?urteil|gewinner(?:in)?|sieger|bessere_antwort|gagnante?|meilleure_réponse|ganadora?"
    r"|veredicto(?:_final)?|mejor_respuesta|veredito(?:_final)?|vencedora?|verdetto|vincitore|победитель|вердикт"
)
_ANSWER_KEY = re.compile(r"(?:final_|my_|the_)?answer|答案")
_WRAPPER = re.compile(
    r"(?:(?:final|overall|pairwise|my|the)_)*(?:evaluation|assessment|comparison|analysis|judge?ment|verdict|result"
    r"|results|output|response|reply|summary|data|report|review|decision|conclusion|arguments|parameters|params|args"
    r"|input|function|tool|tool_call|call|json|content|answer|final|overall|ruling|outcome|评估|评价|结果|结论)"
)
_FUNCTION = re.compile(
    r"verdict|winner|judg|deci[ds]|prefer|choose|choice|select|pick|vote|better|best|rul(?:e|ing)|final"
)
_RIVAL: dict[Outcome, Outcome] = {"A": "B", "B": "A", "tie": "A"}


class _Object(list[tuple[str, Any]]):
    """The members of a JSON object in order, including duplicate keys."""


def _objects(document: Document) -> Structured:
    found = Structured([], [], [], False)
    end = 0
    for match in islice(_OBJECT_START.finditer(document.text), MAX_OBJECTS):
        start = match.start()
        if start < end:
            continue  # inside of the previous object
        try:
            value, end = _DECODER.raw_decode(document.text, start)
        except RecursionError:
            continue
        except json.JSONDecodeError as error:
            if error.msg.startswith("Unterminated") or not document.text[error.pos :].strip():
                found.spans.append((start, len(document.text)))
                return found._replace(breaks_off=True)
            continue
        found.spans.append((start, end))
        if not _is_mentioned(document, start, end):
            _read(value, start, end, found)
    return found


def _is_mentioned(document: Document, start: int, end: int) -> bool:
    """Whether an object is quoted or reported. An object in a code fence counts if no text follows the fence."""
    fence = bisect(document.fences, start)
    if fence % 2 == 0:
        line_start = document.text.rfind("\n", 0, start) + 1
        if document.text[line_start:start].strip():
            return standing(document, start, end, *around(document.folded, start, end)) != "given"
        return is_introduced(document, line_start)
    closing = document.fences[fence] if fence < len(document.fences) else len(document.text)
    return bool(document.text[closing:].strip(" \t\n`~")) or is_introduced(document, document.fences[fence - 1] + 1)


def _read(value: Any, start: int, end: int, found: Structured) -> None:
    """Add the verdicts of an object to `found`, and the opposite outcome if its later members take a verdict back."""
    outcomes: list[Outcome] = []
    for key, content, later in _members(value, MAX_DEPTH):
        if _KEY.fullmatch(key):
            named = _outcomes(content, strict=True)
            outcomes += named
            if len(named) == 1 and named[0] in _RIVAL and takes_back(later, Claim("pair", named[0])):
                outcomes.append(_RIVAL[named[0]])
        elif _ANSWER_KEY.fullmatch(key):
            found.answers.extend(VerdictMention(outcome, start, end) for outcome in _outcomes(content, strict=True))
    if not outcomes:
        outcomes = _of_call(value)
    found.given.extend(VerdictMention(outcome, start, end) for outcome in outcomes)


def _members(value: Any, depth: int) -> Iterator[tuple[str, Any, str]]:
    """Members that may name the overall outcome: folded key, value, and the prose in the members after it."""
    if not isinstance(value, _Object) or depth == 0:
        return
    for n, (key, content) in enumerate(value):
        name = _WRAPPED.sub("_", fold(_CAMEL.sub("_", key.strip())))
        if isinstance(content, str) and _WRAPPER.fullmatch(name) and content.lstrip().startswith("{"):
            content = _decoded(content)  # arguments as JSON text
        if isinstance(content, _Object):
            if _WRAPPER.fullmatch(name) or _KEY.fullmatch(name):
                yield from _members(content, depth - 1)
        else:
            yield (
                name,
                content,
                "\n".join(fold(text) for _, text in value[n + 1 :] if isinstance(text, str) and text.count(" ") > 1),
            )


def _decoded(text: str) -> Any:
    try:
        return _DECODER.decode(text)
    except (ValueError, RecursionError):
        return None


def _outcomes(content: Any, *, strict: bool) -> list[Outcome]:
    """The outcomes in the value of a key: a choice or a sentence; with `strict`, another short word is invalid."""
    if content is None or content == "" or isinstance(content, bool | list | float):
        return []
    folded = fold(str(content)).strip()
    if choice := choice_alone(folded):
        return [choice]
    if mark := MARK.fullmatch(folded):
        return [inside_mark(mark[1]) or "invalid"]
    if outcomes := stated(folded).outcomes:
        return list(outcomes)
    return ["invalid"] if strict and len(folded) <= 12 and " " not in folded and not _PENDING.fullmatch(folded) else []


_PENDING = re.compile(
    r"(?:none|null|n/a|na|unknown|undecided|pending|unclear|todo|tbd|-+|\?+|success|ok|done|valid|true|false"
    r"|complete[d]?)"
)


# Tool calls ----------------------------------------------------------------------------------------------------------


def _of_call(value: Any) -> list[Outcome]:
    """The only choice among the arguments of a function whose name is a word for verdicts."""
    table = dict(value) if isinstance(value, _Object) else {}
    if isinstance(inner := table.get("function"), _Object):
        table = dict(inner)
    name, arguments = table.get("name"), next((table[key] for key in _ARGUMENTS if key in table), None)
    if isinstance(arguments, str):
        arguments = _decoded(arguments) if arguments.lstrip().startswith("{") else [("value", arguments)]
    if not isinstance(name, str) or not _FUNCTION.search(fold(name)) or not isinstance(arguments, list):
        return []
    return _only_choice([text for _, text in arguments if isinstance(text, str)])


_ARGUMENTS = ("arguments", "parameters", "params", "args", "input")
_PARAMETER = re.compile(r"<parameter(?: name=\"|=)(?P<key>[\w -]{1,40})\"?>(?P<value>[^<]{0,400})</parameter>")
_CALL_TAG = re.compile(r"<(?:invoke name=\"|function=)(?P<name>[\w.-]{1,60})\"?>")
_PYTHON = re.compile(
    r"(?<![^\n])[ \t>`*]{0,6}(?:(?:call"
    r"|print)?:? ?)(?P<name>[a-z][\w.]{0,60})\((?P<arguments>[^()\n]{1,400})\)[ \t;`*]{0,6}(?![^\n])"
)
_ARGUMENT = re.compile(
    r"(?:(?P<key>\w{1,40})\s{0,2}=\s{0,2})?(?:\"(?P<double>[^\"\n]*)\"|'(?P<single>[^'\n]*)'|(?P<bare>[ab]"
    r"|tie)(?=\s*(?:,|$)))"
)


def _calls(document: Document) -> Iterator[tuple[int, int, Outcome | None]]:
    """Calls in tags and in Python notation: their spans and the outcomes that they name."""
    if "<invoke " in document.folded or "<function=" in document.folded:
        for tag in islice(_CALL_TAG.finditer(document.folded), MAX_OBJECTS):
            end = min(
                (at for close in ("</invoke>", "</function>") if (at := document.folded.find(close, tag.end())) >= 0),
                default=len(document.folded),
            )
            yield tag.start(), end, _named_by(tag["name"], _tagged(document.folded[tag.end() : end].strip()))
    if "(" in document.folded:
        for call in islice(_PYTHON.finditer(document.folded), MAX_OBJECTS):
            if _FUNCTION.search(call["name"]):
                arguments = [
                    (match["key"] or "value", match["double"] or match["single"] or match["bare"] or "")
                    for match in _ARGUMENT.finditer(call["arguments"])
                ]
                yield (*call.span(), _named_by(call["name"], arguments))


def _tagged(body: str) -> list[tuple[str, str]]:
    """The arguments between the tags of a call: a JSON object, or parameters in tags of their own."""
    if body.startswith("{"):
        return [(key, value) for key, value in _decoded(body) or () if isinstance(value, str)]
    return [(match["key"], match["value"]) for match in _PARAMETER.finditer(body)]


def _named_by(function: str, arguments: list[tuple[str, str]]) -> Outcome | None:
    """The outcome in the arguments of a call: under a key for it, or as the only choice of a function for verdicts."""
    named = [
        each
        for key, value in arguments
        if _KEY.fullmatch(_WRAPPED.sub("_", key))
        for each in _outcomes(value, strict=True)
    ]
    if not named and _FUNCTION.search(function):
        named = _only_choice([value for _, value in arguments])
    return named[0] if len(set(named)) == 1 else None


def _only_choice(values: list[str]) -> list[Outcome]:
    choices = [choice for value in values if (choice := choice_alone(fold(value).strip()))]
    return choices if len(choices) == 1 else []
