"""The SQL of label functions: what is let through means what Spark means, and what is refused is told why."""

import pytest
from pyspark.sql import DataFrame, SparkSession

from firstday.errors import SettingsError
from firstday.expressions.builtins import FUNCTIONS
from firstday.labels.functions import LabelFunction, LabelFunctions, resolve

ODD = 'a "b"\n`c`; DROP TABLE users;-- 😀'


def quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def rows(spark: SparkSession) -> DataFrame:
    return spark.sql(
        "select 7 as reports, 2 as sessions, 'Bot9' as name, null as nothing, true as flag, "
        "date '2024-01-31' as day, timestamp '2024-01-31 12:00:00' as at, array(1, 2) as list, "
        "map('k', 1) as map, named_struct('x', 1, 'sessions', 3) as s, "
        f"5 as `a.b`, 5 as `c.d`, 6 as `a, b`, 8 as {quoted(ODD)}, 1 as current_user, 2.5D as score"
    )


def functions(conditions: dict[str, str]) -> LabelFunctions:
    made = (LabelFunction(name, when, 1, 0) for name, when in conditions.items())
    return LabelFunctions(("honest", "fraud"), tuple(made))


def test_conditions_mean_what_spark_means(spark: SparkSession) -> None:
    met = {  # condition -> columns that it reads
        "reports >= 5 and Reports > 0.5 * sessions": {"reports", "sessions"},
        "reports * 0 = 0 or false": {"reports"},
        "`a.b` = 5": {"a.b"},
        "`a, b` = 6": {"a, b"},
        f"{quoted(ODD)} = 8": {ODD},
        "s.x = 1": {"s"},
        "s.sessions = 3 and `s`.`x` = 1": {"s"},
        "current_user = 1": {"current_user"},
        "list[0] = 1 and size(list) = 2 and array_contains(list, 2) and element_at(list, -1) = 2": {"list"},
        "map['k'] = 1 and map.k = 1": {"map"},
        "name like 'Bot%' and name ilike 'bot%' and name rlike '^[A-Z]' and name not like 'x'": {"name"},
        "name like any ('x', 'Bo%') and regexp_extract(name, '([0-9]+)', 1) = '9'": {"name"},
        "lower(trim(name)) in ('bot9', 'x;y--z') and name <> \"it's\"": {"name"},
        "trim(both 'B' from name) = 'ot9' and substring(name from 1 for 1) = 'B'": {"name"},
        "name || '!' = concat(name, '!') and position('o' in name) = 2": {"name"},
        "nothing is null and coalesce(nothing, 1) = 1 and (nothing > 1) is unknown": {"nothing"},
        "flag": {"flag"},
        "flag is true and not (flag <> true) and flag is not unknown": {"flag"},
        "case when reports > 5 then flag else false end": {"reports", "flag"},
        "case reports when 7 then true end": {"reports"},
        "if(reports > 5, true, false) and nvl(nothing, 1) between 0 and 2": {"reports", "nothing"},
        "cast(name as string) = name and try_cast(name as int) is null": {"name"},
        "day > date '2024-01-01' and datediff(day, date '2024-01-30') = 1": {"day"},
        "day + interval 1 day = '2024-02-01' and add_months(day, 1) = '2024-02-29'": {"day"},
        "extract(year from at) = 2024 and hour(at) = 12 and date_trunc('day', at) <= at": {"at"},
        "timestampdiff(hour, at, timestamp '2024-01-31 14:00:00') = 2 and to_date('2024-01-31') = day": {
            "at",
            "day",
        },
        "unix_timestamp(at) > 0 and name <> 'now'": {"at", "name"},
        "(reports, sessions) in ((7, 2))": {"reports", "sessions"},
        "reports & 1 = 1 and reports div 2 = 3 and reports % 2 = 1 and -reports < +1": {"reports"},
        "abs(reports) = 7 and greatest(reports, sessions) = 7 and hash(reports) is not null": {
            "reports",
            "sessions",
        },
        "reports <=> 7 /* a comment */ -- another": {"reports"},
        "isnan(score) = false and score > 1.5e0": {"score"},
        "array_sort(list)[0] = 1": {"list"},
    }
    nested = "flag"
    for depth in range(25):  # each would double the tree's JSON
        nested = f"case when reports = {depth + 10} then false else {nested} end"
    met[nested] = {"reports", "flag"}
    met[" or ".join(f"reports = {number}" for number in range(200))] = {"reports"}
    unmet = [
        "nothing > 1",
        "cast(null as boolean)",
        "false",
        "flag and nothing = 1",
        "map['other'] = 1",
        "name = 'bot9'",
    ]
    made = functions({f"f{number}": text for number, text in enumerate([*met, *unmet])})
    frame = rows(spark)
    resolved = resolve(made, frame)
    row = resolved.votes(frame).first()
    assert row is not None
    voted = {each.body: row[each.name] for each in made.functions}
    assert {text for text, vote in voted.items() if vote != 1} == set(unmet)
    read = resolved.reads
    assert {str(each.body): read[each.name] for each in made.functions if each.body in met} == met


def test_conditions_that_are_refused(spark: SparkSession) -> None:
    frame = rows(spark)
    frame.createOrReplaceTempView("other")
    cases = {
        "": "one SQL expression",
        "reports >": "one SQL expression",
        "reports > 1; drop table x": "one SQL expression.*';'",
        "reports > 1) or (1 = 1": "one SQL expression",
        "select 1": "one SQL expression",
        "report > 1": "columns of the rows only.*Got: 'report'. Next: Did you mean 'reports'",
        "c.d > 1": "Got: 'c'. Next: Put the name in backticks: `c.d`",
        "other.reports > 1": "columns of the rows only.*'other'",
        "a.b > 1": "Got: 'a'. Next: Put the name in backticks: `a.b`",  # there is a column `a, b` too
        "zzz = 1": "Next: The rows have 'reports', 'sessions'",
        "s.y = 1": "Spark must be able to resolve it.*y",
        "g": "columns of the rows only.*'g'",  # the vote of another function
        "current_date > day": "columns of the rows only.*'current_date'",
        "current_timestamp > at": "columns of the rows only.*'current_timestamp'",
        "_metadata.file_path = ''": "columns of the rows only.*'_metadata'",
        "count(*) > 1": "count, an aggregate",
        "max(reports) > 1": "max, an aggregate",
        "first(reports) > 1": "Got: 'an aggregate'",
        "any(flag)": "any, an aggregate",
        "count(reports) filter (where flag) > 1": "count, an aggregate",
        "sum(reports) over () > 1": "Got: 'a window'",
        "row_number() over (order by reports) = 1": "Got: 'a window'",
        "row_number() = 1": "row_number, a window function",
        "explode(list) = 1": "explode, a generator",
        "exists(select 1 from other)": "Got: 'a subquery'",
        "reports in (select reports from other)": "Got: 'a subquery'",
        "(select max(reports) from other) = 1": "Got: 'a subquery'",
        "exists(list, x -> x > 1)": "Got: 'a lambda'",
        "size(filter(list, x -> x > 1)) > 0": "Got: 'a lambda'",
        "array_sort(list, (a, b) -> a - b)[0] = 1": "Got: 'a lambda'",
        "*": "Got: 'a star'",
        "other.* = 1": "Got: 'a star'",
        "reports > :p": "Got: 'a parameter'",
        "reports > ?": "Got: 'a parameter'",
        "${spark.app.name} = 1": "no variables",
        "name = '${env:HOME}'": "no variables",
        "identifier('abs')(reports) = 1": "Got: 'IDENTIFIER'",
        "reports > 1 as x": r"Got: 'an alias \(AS\)'",
        "reflect('java.lang.System', 'exit', 1) is null": "Got: 'reflect'",
        "java_method('java.lang.System', 'getenv', 'A') is null": "Got: 'java_method'",
        "`reflect`('a') is null": "Got: 'reflect'",
        "default.abs(reports) = 1": "Got: 'default, abs'",
        "raise_error('x') is null": "Got: 'raise_error'",
        "assert_true(flag) is null": "Got: 'assert_true'",
        "rand() > 0.5": "Got: 'rand'",
        "uuid() = name": "Got: 'uuid'",
        "input_file_name() = name": "Got: 'input_file_name'",
        "monotonically_increasing_id() > 1": "Got: 'monotonically_increasing_id'",
        "shuffle(list)[0] = 1": "Got: 'shuffle'",
        "now() > at": "Got: 'now'",
        "current_date() > day": "Got: 'current_date'",
        "current_user() = name": "Got: 'current_user'",
        "aes_encrypt(name, 'k') is null": "Got: 'aes_encrypt'",
        "repeat(name, 1000000000) = ''": "Got: 'repeat'",
        "lowr(name) = 'x'": "Got: 'lowr'. Next: Did you mean lower",
        "unix_timestamp() > 1": "may not read the clock",
        "date 'today' > day": "may not read the clock",
        "timestamp /* x */ ' Now' > at": "may not read the clock",
        "day < 'today'": "may not read the clock.*'today'",
        "cast('now' as timestamp) > at": "may not read the clock",
        "to_date('yesterday') > day": "may not read the clock",
        "to_timestamp('now UTC') > at": "may not read the clock",
        "date_add('tomorrow', 1) > day": "may not read the clock",
        "reports": "'f': a condition must be boolean. Got: 'int'",
        "name": "must be boolean. Got: 'string'",
        "nothing": "must be boolean. Got: 'void'",
        "list": "must be boolean. Got: 'array<int>'",
        "abs(reports, 2) = 1": "Spark must be able to resolve it",
        "reports + list > 1": "Spark must be able to resolve it",
        "abs(distinct reports) = 1": "Spark must be able to resolve it",
        "name rlike '('": r"must be a regular expression. Got: '\('",
        "regexp_replace(lower(name), '[', '') = ''": r"must be a regular expression. Got: '\['",
    }
    told = {}
    for text in cases:
        made = LabelFunctions(
            ("honest", "fraud"), (LabelFunction("g", "flag", 1), LabelFunction("f", text, 1))
        )
        with pytest.raises(SettingsError) as raised:
            resolve(made, frame)
        told[text] = str(raised.value)
    with_name = {text for text, message in told.items() if message.startswith("Label function 'f': ")}
    assert with_name == set(cases)
    for text, message in cases.items():
        with pytest.raises(SettingsError, match=f"(?s){message}"):
            raise SettingsError(told[text])


def test_a_function_of_the_session_does_not_take_the_place_of_a_builtin(spark: SparkSession) -> None:
    session = spark.newSession()  # what hides a builtin cannot be dropped again
    frame = rows(session)
    session.udf.register("soundex", lambda value: value)
    session.udf.register("ours", lambda value: value)
    for text in ("soundex(name) = 'x'", "SOUNDEX(name) = 'x'"):
        with pytest.raises(SettingsError, match=r"'f': the session has a function of its own.*'soundex'"):
            resolve(functions({"f": text}), frame)
    with pytest.raises(SettingsError, match=r"'f': a condition may call built-in functions.*'ours'"):
        resolve(functions({"f": "ours(name) = 'x'"}), frame)
    assert resolve(functions({"f": "soundex(name) = 'x'"}), rows(spark)).reads == {"f": {"name"}}


def test_columns_are_found_by_sparks_rule_for_case(spark: SparkSession) -> None:
    frame = spark.createDataFrame([(1, 2)], "a int, A int")
    with pytest.raises(SettingsError, match=r"'f': Spark must be able to resolve it.*(?i:ambiguous)"):
        resolve(functions({"f": "a = 1"}), frame)
    spark.conf.set("spark.sql.caseSensitive", "true")
    try:
        assert resolve(functions({"f": "a = 1", "g": "A = 1"}), frame).reads == {"f": {"a"}, "g": {"A"}}
        with pytest.raises(SettingsError, match=r"'f'.*Got: 'Reports'. Next: Did you mean 'reports'"):
            resolve(functions({"f": "Reports = 1"}), rows(spark))
    finally:
        spark.conf.unset("spark.sql.caseSensitive")


def test_a_frame_with_another_name_or_many_steps_is_read_alike(spark: SparkSession) -> None:
    # With the frame called s, s.sessions is both a field of the column s and a column of the frame s.
    frame = rows(spark).where("reports > 1").alias("s")
    assert resolve(functions({"f": "s.sessions = 2"}), frame).reads == {"f": {"sessions"}}
    joined = rows(spark).join(rows(spark).select("reports", "score"), "reports")
    with pytest.raises(SettingsError, match=r"'f'.*(?i:ambiguous)"):
        resolve(functions({"f": "score > 1"}), joined)
    row = resolve(functions({"f": "reports = 7"}), joined).votes(joined).first()
    assert row is not None
    assert row["f"] == 1


def test_all_functions_that_may_be_called_are_sparks_plain_ones(spark: SparkSession) -> None:
    assert spark._jvm is not None
    catalyst = spark._jvm.org.apache.spark.sql.catalyst
    registry = catalyst.analysis.FunctionRegistry.builtin()
    groups = {}
    for name in FUNCTIONS:
        found = registry.lookupFunction(catalyst.FunctionIdentifier(name))
        groups[name] = found.get().getGroup() if found.isDefined() else None
    wrong = {"agg_funcs", "window_funcs", "generator_funcs", None}
    assert {name for name, group in groups.items() if group in wrong} == set()
    assert {name for name, group in groups.items() if group == "lambda_funcs"} == {"array_sort"}
