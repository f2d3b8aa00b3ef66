# ruff: noqa: E501
"""What sqlglot finds in a condition is what Spark's own parser finds in it, or the condition is refused."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from firstday.expressions.builtins import FUNCTIONS, REFUSED
from firstday.expressions.nodes import ReadingError
from firstday.expressions.parse import parse
from firstday.spark import catalyst

Parts = tuple[Counter[str], set[str]]
# Functions that Spark's parser makes nodes of their own of, and how we name them.
NODES = {
    "Substring": "substring", "StringTrim": "trim", "StringTrimLeft": "trim", "StringTrimRight": "trim",
    "StringTrimBoth": "trim", "Overlay": "overlay", "StringLocate": "position",
}  # fmt: skip
NAMES = ("a", "b.c", "`a b`", "`x``y`", "`a.b`.c", "m['k']", "l[0]", "(s).f", "date", "list", "map", "array",
         "interval", "current_date", "day", "key", "`or`", "timestamp", "struct", "values", "a.b.c.d.e.f")  # fmt: skip
TEXTS = ("'x'", '"y"', r"'it\'s'", "'a' 'b'", "'a''b'", r"r'\d'", 'R"\\"', "'--'", "'/*'", '"`"', r"'\\'", "''",
         r"'\156ow'", "'f(x)'", '"\'"')  # fmt: skip
NUMBERS = ("1", "1L", "2S", "3Y", "1.5", ".5", "1.", "1e3", "1E-3", "1.5D", "2F", "1BD", "1.5e2BD")
OTHERS = ("true", "null", "date '2024-01-01'", "timestamp'2024-01-01 00:00:00'", "interval 1 day",
          "interval '1-2' year to month", "interval '1' hour", "X'1F'", "timestamp_ntz '2024-01-01'")  # fmt: skip
BINARY = ("+", "-", "*", "/", "%", "div", "=", "==", "<>", "!=", "<", "<=", ">", ">=", "<=>", "and", "or", "||",
          "&", "|", "^", "like", "not like", "rlike", "regexp", "ilike", "is distinct from",
          "is not distinct from")  # fmt: skip
TYPES = ("int", "bigint", "string", "decimal(10, 2)", "date", "timestamp", "double", "boolean")
GAPS = (" ", "\n", "\t", " /* a(b) ' */ ", " -- c('d')\n", "/**/")
FRAGMENTS = (*NAMES, *TEXTS, *NUMBERS, *OTHERS, *BINARY, *GAPS, "(", ")", ",", "[", "]", ".", ":", "::", "f(",
             "abs(", "array(", "in (", "case", "when", "then", "end", "cast(", "as", "not", "!", "~", "between",
             "\\", "'", '"', "`", "--", "/*", "*/", "/*+", ";", "$", "{", "}", "0x1F", "5a", "1e", "ſ", "ı", "\u00a0",
             "x -> x", "=>", "any", "all", "exists", "select", "from", "interval", "extract(", "trim(",
             "substring(", "overlay(", "position(", "escape", "is", "unknown", "if(", "struct(", "current_date",
             "date_add(day,", "filter (where", "over ()", "*", "?", "@", "#", "\r")  # fmt: skip

atoms = st.sampled_from((*NAMES, *TEXTS, *NUMBERS, *OTHERS))


def of(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Expressions of expressions."""
    gap, name = st.sampled_from(GAPS), st.sampled_from(sorted(FUNCTIONS))
    shapes = (
        "{0} is null", "{0} is not null", "{0} is unknown", "{0} is not true", "not {0}", "!{0}", "-{0}", "~{0}",
        "({0})", "({0}){g}[{1}]", "({0}).f", "{0} between {1} and {2}", "{0} not in ({1}, {2})", "({0}, {1}) in (({2}, 1))",
        "case when {0} then {1} else {2} end", "case {0} when {1} then {2} end", "if({0},{g}{1}, {2})",
        "cast({0}{g}as {t})", "try_cast({0} as {t})", "({0})::{t}", "extract(year from {0})",
        "trim(both {0} from {1})", "trim({0})", "trim(leading from {0})", "substring({0} from {1} for {2})", "substr({0}, {1})",
        "position({0} in {1})", "overlay({0} placing {1} from {2})", "timestampdiff(hour, {0}, {1})",
        "date_add(day, {0}, {1})", "date_add({0}, {1})", "{0} like any ('x', 'y')", "{0} not like all ('x')", "{0} like 'x' escape '/'",
        "array({0}, {1})[0]", "map({0}, {1})[{2}]", "struct({0}, {1}).col1", "named_struct('k', {0}).k", "`abs`({0})", "left({0}, 1)",
    )  # fmt: skip
    three = st.tuples(inner, inner, inner)
    shaped = st.builds(
        lambda shape, parts, g, t: shape.format(*parts, g=g, t=t),
        st.sampled_from(shapes), three, gap, st.sampled_from(TYPES),
    )  # fmt: skip
    joined = st.builds(
        lambda left, operator, right, g: f"{left}{g if g.strip() else ' '} {operator} {right}",
        inner, st.sampled_from(BINARY), inner, gap,
    )  # fmt: skip
    called = st.builds(
        lambda function, parts, g: f"{function}{g}({', '.join(parts)})",
        name, st.lists(inner, min_size=0, max_size=3), gap,
    )  # fmt: skip
    return shaped | joined | called


def parts_by_us(text: str) -> Parts:
    nodes = parse(text)
    if any(node["class"] in REFUSED for node in nodes):
        raise ReadingError("refused")
    return parts_of(nodes, "class")


def parts_by_spark(spark: SparkSession, text: str) -> Parts:
    return parts_of(
        [{**node, "class": catalyst.kind(node)} for node in catalyst.parsed(F.expr(text))], "class"
    )


def parts_of(nodes: Iterable[Mapping[str, Any]], kind: str) -> Parts:
    functions: Counter[str] = Counter()
    columns: set[str] = set()  # once each: of BETWEEN Spark 3.5 has the value twice
    for node in nodes:
        if node[kind] == "UnresolvedFunction":
            if node["nameParts"].lower() == "[between]":  # Spark 4 has the operator as a function
                continue
            functions[
                node["nameParts"][1:-1]
                .lower()
                .replace("substr", "substring")
                .replace("substringing", "substring")
            ] += 1
        elif node[kind] in NODES:
            functions[NODES[node[kind]]] += 1
        elif node[kind] == "UnresolvedAttribute":
            columns.add(node["nameParts"][1:-1])
    return functions, columns


def same_or_refused(spark: SparkSession, text: str) -> bool:
    """Whether both found the same; False where one of them refuses."""
    try:
        ours = parts_by_us(text)
        theirs = parts_by_spark(spark, text)
    except (ReadingError, PySparkException):
        return False
    assert ours == theirs, text
    return True


@settings(max_examples=400)
@given(expression=st.recursive(atoms, of, max_leaves=8))
@example("a + not a")  # Spark: the column `not`, called a
@example("- not a")
def test_what_is_found_is_what_spark_finds(spark: SparkSession, expression: str) -> None:
    same_or_refused(spark, expression)


@settings(max_examples=400)
@given(
    fragments=st.lists(st.sampled_from(FRAGMENTS), min_size=1, max_size=9), glue=st.sampled_from(("", " "))
)
def test_text_that_is_no_expression_is_not_read_as_another(
    spark: SparkSession, fragments: list[str], glue: str
) -> None:
    same_or_refused(spark, glue.join(fragments))


@settings(max_examples=300)
@given(body=st.text(alphabet="ab'\"\\01567nuU%_d\n `xé", max_size=8), quote=st.sampled_from("'\""))
def test_texts_have_the_values_that_spark_gives_them(spark: SparkSession, body: str, quote: str) -> None:
    text = f"{quote}{body}{quote}"
    try:
        [ours] = parse(text)
        [theirs] = catalyst.parsed(F.expr(text))
    except (ReadingError, PySparkException, ValueError):
        return
    assert ours["value"] == theirs["value"], text


def test_every_function_that_may_be_called_is_found(spark: SparkSession) -> None:
    """Some take other numbers of arguments, or are read by their own syntax only."""
    read = {
        name
        for name in FUNCTIONS
        for count in (1, 2, 3)
        if same_or_refused(spark, f"{name}({', '.join(['a', 'f(b.c)', 'd'][:count])}) = g")
    }
    assert FUNCTIONS - read <= {
        "and",
        "or",
        "in",
        "extract",
        "when",
        "div",
        "like",
        "ilike",
        "rlike",
        "regexp",
    }


def test_plain_conditions_are_read(spark: SparkSession) -> None:
    """Refusing all would pass the other tests."""
    texts = [f"{name} {operator} {value}" for name in ("a", "`a b`", "b.c", "m['k']", "list[0]", "date")
             for operator in ("=", "<>", "<=>", "<", "+", "like", "is distinct from") for value in ("1", "'x'", "c")]  # fmt: skip
    texts += ["array(f(a), 2)[0] = 1", "cast(a as decimal(3, 1)) > 1.5D /* b(c) */ -- d(e)", "!a or not b between 1 and c",
              "case a when 1 then b when c then d else e end", "trim(both 'x' from lower(a)) in ('b', upper(c))",
              "a > date '2024-01-01' - interval 1 day", "timestampdiff(hour, a, b) > 1L"]  # fmt: skip
    assert [text for text in texts if not same_or_refused(spark, text)] == []


@pytest.mark.parametrize("text", ["a;b", "select 1", "a, b", "a -- \\\n(b)", "a /* /* */ */", "0x1F = 1", "5a = 1",
                                  "ſum(a)", "a /*+ b */", "$a", "{a}", "a > all (select 1)", "a = 1 union select 2"])  # fmt: skip
def test_what_may_be_read_differently_is_refused(text: str) -> None:
    with pytest.raises(ReadingError):
        parts_by_us(text)
