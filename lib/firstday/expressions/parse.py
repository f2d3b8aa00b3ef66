"""SQL expressions of users as sqlglot reads them, in the words of Spark's own parsed expressions.

Spark runs the text itself. What is checked must be what runs, so a text is refused wherever the two might
read it differently: characters that Spark's lexer would cut into other words than sqlglot's, a word of the
text that is nowhere in sqlglot's tree, and any kind of node that is not known here.
"""

import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

from sqlglot import exp
from sqlglot.dialects.spark import Spark
from sqlglot.errors import SqlglotError
from sqlglot.parsers.spark import SparkParser
from sqlglot.tokens import Token, TokenType

from firstday.expressions.builtins import words
from firstday.expressions.nodes import FIELDS, OTHERS, TYPES, Node, ReadingError, node, nodes_of

# Spark's lexer, without what another might read differently: comments in comments or with a backslash, words
# with other letters than ASCII's, words that begin with a digit.
LEXICON = re.compile(
    r"""
    (?P<nothing> [ \t\r\n]+
      | --[^\r\n\\]*(?=[\r\n]|\Z)
      | /\*(?!\+)(?:(?!/\*|\*/).)*\*/ )
  | (?P<text> [rR]'[^']*' | [rR]"[^"]*" | [xX]'[^']*' | '(?:[^'\\]|\\.)*' | "(?:[^"\\]|\\.)*" )
  | (?P<name> `(?:[^`]|``)+` )
  | (?P<number> (?<![\w.`\])'"]) (?:\d+(?:\.\d*)?|\.\d+) (?:[eE][+-]?\d+)?
      (?:[lLsSyYfFdD]|[bB][dD])? (?![\w.`'"]) )
  | (?P<word> [A-Za-z_][A-Za-z0-9_]* )
  | (?P<operator> <=> | <= | >= | <> | != | == | \|\| | :: | -> | => | [-+*/%~&|^()\[\],.:<>=!?] )
    """,
    re.VERBOSE | re.DOTALL,
)
# Words that are no names where they stand: sqlglot's tree has them as kinds of nodes.
SYNTAX = words("""
    AND OR NOT IN IS NULL TRUE FALSE UNKNOWN DISTINCT FROM BETWEEN LIKE ILIKE RLIKE REGEXP ANY SOME ALL ESCAPE
    CASE WHEN THEN ELSE END AS INTERVAL TO BOTH LEADING TRAILING FOR PLACING DIV FILTER WHERE OVER PARTITION
    ORDER BY ASC DESC SELECT
""")
# Functions that have a syntax of their own. Spark has them as kinds of nodes as well.
CALLS = {
    exp.Cast: {"CAST"},
    exp.TryCast: {"CAST", "TRY_CAST"},
    exp.If: {"IF"},
    exp.Extract: {"EXTRACT"},
    exp.Substring: {"SUBSTRING", "SUBSTR"},
    exp.Trim: {"TRIM"},
    exp.Overlay: {"OVERLAY"},
    exp.StrPosition: {"POSITION"},
}
CALL_WORDS = frozenset(word for names in CALLS.values() for word in names)


class _Conditions(Spark):
    """Spark's SQL with each function call as it is written: sqlglot's translations would hide its name."""

    class Parser(SparkParser):
        FUNCTIONS: ClassVar[dict[str, Callable[..., Any]]] = {}
        NO_PAREN_FUNCTIONS: ClassVar[dict[TokenType, Any]] = {}
        # `array(1, 2)[0]` and the column `list` in `list[0]` are none.
        ARRAY_CONSTRUCTORS: ClassVar[dict[str, Any]] = {}
        FUNCTION_PARSERS: ClassVar[dict[str, Callable[..., Any]]] = {
            name: parser for name, parser in SparkParser.FUNCTION_PARSERS.items() if name in CALL_WORDS
        }


def parse(text: str) -> tuple[Node, ...]:
    """The nodes of the expression, each before its children: `class` and `num-children`, `nameParts` of
    columns and functions, `dataType` and `value` of literals, `dataType` of casts.

    Raises ReadingError where the text is no single expression, or one that Spark might read differently.
    """
    found = list(_words(text))
    for word, following in itertools.pairwise(found):
        if word.group().upper() == "IDENTIFIER" and following.group() == "(":
            return tuple(node("ExpressionWithUnresolvedIdentifier"))
    try:
        tokens = _Conditions().tokenize(text)
        trees = [tree for tree in _Conditions().parser().parse(tokens, text) if tree is not None]
        if len(trees) != 1 or not isinstance(trees[0], exp.Expr) or isinstance(trees[0], exp.Query):
            raise ReadingError("it must be one expression, no more and no statement")
        nodes = tuple(nodes_of(trees[0]))
        if not any(each["class"] in OTHERS.values() for each in nodes):  # else it is refused by that
            _check_words(found, tokens, trees[0])
        return nodes
    except SqlglotError as error:
        errors = getattr(error, "errors", None)
        raise ReadingError(errors[0]["description"] if errors else str(error)) from error
    except RecursionError as error:
        raise ReadingError("it is nested too deeply") from error


def _words(text: str) -> Iterator[re.Match[str]]:
    """The text's words, names, numbers, literals and operators. Raises ReadingError where it has others."""
    at = 0
    while at < len(text):
        match = LEXICON.match(text, at)
        if match is None:
            raise ReadingError(f"it may not have {text[at]!r}, at the place {at + 1}")
        if match.lastgroup != "nothing":
            yield match
        at = match.end()


def _check_words(found: list[re.Match[str]], tokens: list[Token], tree: exp.Expr) -> None:
    """Raise ReadingError where sqlglot cuts the text differently, or has a name of it nowhere."""
    places = dict.fromkeys((token.start, token.end) for token in tokens)  # 1L is three tokens, of one place
    if list(places) != [(word.start(), word.end() - 1) for word in found]:
        raise ReadingError("its words, texts and comments must be plain ones")
    named = {
        each.meta["start"]
        for each in tree.walk()
        if isinstance(each, exp.Identifier | exp.Anonymous) and "start" in each.meta
    }
    calls: Counter[str] = Counter()
    for word, following in zip(found, [*found[1:], None], strict=True):
        if word.lastgroup not in ("word", "name") or word.start() in named:
            continue
        upper = word.group().upper()
        before_parenthesis = following is not None and following.group() == "("
        if before_parenthesis and upper in CALL_WORDS:
            calls[upper] += 1
        elif upper not in SYNTAX | FIELDS | {*TYPES} or (before_parenthesis and upper in FIELDS):
            raise ReadingError(f"{word.group()!r} may not stand where it does")
    for kind, names in CALLS.items():
        # A cast may be written as a literal or `::`, an IF is also each branch of a CASE.
        if kind not in (exp.Cast, exp.TryCast, exp.If):
            count = sum(type(each) is kind for each in tree.walk())
            if count != sum(calls[name] for name in names):
                raise ReadingError(f"{sorted(names)[0].lower()} must be written as a plain call")
    ifs = sum(type(each) is exp.If and not isinstance(each.parent, exp.Case) for each in tree.walk())
    casts = sum(isinstance(each, exp.Cast) for each in tree.walk())
    if ifs != calls["IF"] or casts < calls["CAST"] + calls["TRY_CAST"]:
        raise ReadingError("if and cast must be written as plain calls")
