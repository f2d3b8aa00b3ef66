"""Label functions: what a file of them may hold, and that their votes are what they say."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from firstday.errors import SettingsError
from firstday.labels.functions import (
    LabelFunction,
    LabelFunctions,
    label_function,
    load,
    refuse_overlap,
    resolve,
)

REPOSITORY = Path(__file__).parents[2]
HEAD = "classes: [honest, fraud]\nfunctions:\n"
PYTHON = """
from dataclasses import dataclass
from pyspark.sql import functions as F
from firstday.labels.functions import label_function

CLASSES = ("honest", "fraud")

@dataclass
class Cut:
    at: int

@label_function
def many_reports(reports, sessions):
    return F.when(reports >= 5, 1).otherwise(-1)

@label_function(name="long name, with (signs)")
def named(Sessions, *, cut=Cut(3)):
    return F.when(F.col("`a.b`") > cut.at, F.lit(0).cast("bigint"))

for least in (1, 2):
    @label_function(name=f"at_least_{least}")
    def at_least(reports, least=least):
        return F.when(reports >= least, 2**32 + 1).otherwise(-7)

def helper(reports):
    return reports
"""


def rows(spark: SparkSession) -> DataFrame:
    return spark.createDataFrame(
        [("r1", 7, 2, 4), ("r2", 1, 9, 0), ("r3", None, None, None)],
        "row_id string, Reports int, sessions int, `a.b` int",
    )


def voted(frame: DataFrame) -> list[tuple]:
    return [tuple(row)[4:] for row in frame.orderBy("row_id").collect()]


def loaded(tmp_path: Path, text: str, name: str = "functions.yml") -> LabelFunctions:
    (tmp_path / name).write_text(text, encoding="utf-8")
    return load(str(tmp_path / name))


def one(name: str, body: str | object) -> LabelFunctions:
    return LabelFunctions(("honest", "fraud"), (LabelFunction(name, body, 1),))  # type: ignore[arg-type]


def test_yaml_votes(spark: SparkSession, tmp_path: Path) -> None:
    functions = loaded(
        tmp_path,
        "classes: [honest, fraud, 'no']\nfunctions:\n"
        "- {name: many, vote: fraud, when: REPORTS >= 5 and reports > 0.5 * sessions}\n"
        "- {name: either, vote: 0, when: '`a.b` > 1', else: 'no'}\n"
        "- {name: 'odd `name`. 😀', vote: 2, when: sessions is null, else: abstain}\n"
        "- {name: last, vote: honest, when: 'true', else: -1}\n",
    )
    assert functions.classes == ("honest", "fraud", "no")
    resolved = resolve(functions, rows(spark))
    votes = resolved.votes(rows(spark))
    assert votes.columns[4:] == ["many", "either", "odd `name`. 😀", "last"]
    assert {kind for _, kind in votes.dtypes[4:]} == {"int"}
    assert voted(votes) == [(1, 0, -1, 0), (-1, 2, -1, 0), (-1, 2, 2, 0)]
    assert resolved.reads == {
        "many": {"Reports", "sessions"},
        "either": {"a.b"},
        "odd `name`. 😀": {"sessions"},
        "last": frozenset(),
    }


def test_what_is_checked_against_all_columns_votes_on_those_that_are_read(spark: SparkSession) -> None:
    resolved = resolve(one("many", "reports >= 5"), rows(spark))
    fewer = rows(spark).select("row_id", "Reports")
    assert [tuple(row) for row in resolved.votes(fewer).orderBy("row_id").collect()] == [
        ("r1", 7, 1), ("r2", 1, -1), ("r3", None, -1),
    ]  # fmt: skip


def test_the_example_of_conf_works(spark: SparkSession) -> None:
    functions = load(str(REPOSITORY / "conf" / "label_functions.yml"))
    frame = spark.createDataFrame(
        [(9, 9, True, 99, 7, "Gold77", ["shop: gold"], 41, 2, 100_001, "2024-01-02", "2024-01-01")] * 2,
        "reports int, sessions int, phone_verified boolean, account_age_days int, guild_months int, "
        "name string, tags array<string>, `trades.given` int, `trades.received` int, gold int, "
        "seen_at string, signed_up_at string",
    )
    votes = resolve(functions, frame).votes(frame).select([each.name for each in functions.functions]).first()
    assert votes == (1, 0, 0, 1, 1, 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "valid dictionary"),
        ("- a", "valid dictionary"),
        ("classes: [a, b", "must be YAML"),
        ("classes: [honest, fraud]", "functions: must be given"),
        (HEAD + "more: 1\n" + "- 1", "must be YAML"),
        ("more: 1\n" + HEAD + "- {name: a, vote: 1, when: x}", "more: there is no such key"),
        (HEAD, "functions: Input should be a valid tuple, got None"),
        ("classes: [honest, fraud]\nfunctions: []", "at least one label function"),
        (HEAD + "- {name: a, when: x}", "vote of function 'a': must be given"),
        (HEAD + "- {name: a, vote: 1}", "when of function 'a': must be given"),
        (HEAD + "- {vote: 1, when: x}", "name of function 1: must be given"),
        (HEAD + "- {name: a, vote: 1, when: x, els: 0}", "els of function 'a': there is no such key"),
        (HEAD + "- {name: a, vote: 1, when: x, otherwise: 0}", "otherwise of function 'a': there is no"),
        (HEAD + "- text", "function 1: .*got 'text'"),
        (HEAD + "- {name: a, vote: Frauds, when: x}", "function 'a'.*Got: 'Frauds'.*Did you mean fraud"),
        (HEAD + "- {name: a, vote: 2, when: x}", r"'a'.*Got: 2.*honest \(0\), fraud \(1\)"),
        (HEAD + "- {name: a, vote: -1, when: x}", "'a'.*Got: -1"),
        (HEAD + "- {name: a, vote: abstain, when: x}", "'a'.*one of the classes. Got: 'abstain'"),
        (HEAD + "- {name: a, vote: yes, when: x}", "'a'.*Got: 'yes'"),
        (HEAD + "- {name: a, vote: 1.0, when: x}", "'a'.*Got: '1.0'"),
        (HEAD + "- {name: a, vote: [1], when: x}", "'a'"),
        (HEAD + "- {name: a, vote: 1, when: x, else: 3}", "'a'.*or abstain. Got: 3"),
        (HEAD + "- {name: a, vote: 1, when: x}\n- {name: A, vote: 1, when: x}", "different names.*'a', 'A'"),
        (HEAD + "- {name: Row_ID, vote: 1, when: x}", "row_id or firstday_.*'Row_ID'"),
        (HEAD + "- {name: Firstday_x, vote: 1, when: x}", "row_id or firstday_.*'Firstday_x'"),
        (HEAD + "- {name: ' ', vote: 1, when: x}", "must have a name"),
        (HEAD + "- {name: null, vote: 1, when: x}", "name of function 1"),
        (
            "classes: [1, 0]\nfunctions: [{name: a, vote: 1, when: x}]",
            "class's name and another one's number",
        ),
        ("classes: [a]\nfunctions: [{name: a, vote: 0, when: x}]", "2 to 100 classes"),
        ("classes: [a, b, a]\nfunctions: [{name: a, vote: 0, when: x}]", "different names.*'a'"),
        ("classes: [a, abstain]\nfunctions: [{name: a, vote: 0, when: x}]", "none of them 'abstain'"),
        ("classes: [a, '']\nfunctions: [{name: a, vote: 0, when: x}]", "2 to 100 classes"),
        ("classes: [null, no]\nfunctions: [{name: a, vote: 0, when: x}]", "classes 1: .*in quotes"),
        ("classes: 2\nfunctions: [{name: a, vote: 0, when: x}]", "classes: "),
        ("!!python/object/apply:os.system ['true']", "must be YAML"),
    ],
)
def test_yaml_that_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SettingsError, match=f"(?s){message}"):
        loaded(tmp_path, text)


def test_names_in_yaml_are_as_they_are_written(tmp_path: Path) -> None:
    for quote in ("", "'"):
        names = [f"{quote}{name}{quote}" for name in ("no", "1.10", "007", "2024-03-01", "on")]
        text = f"classes: [{names[0]}, {names[1]}]\nfunctions:\n"
        text += "".join(
            f"- {{name: {name}, vote: {names[1]}, when: x, else: {names[0]}}}\n" for name in names[2:]
        )
        found = loaded(tmp_path, text)
        assert found.classes == ("no", "1.10")
        assert [each.name for each in found.functions] == ["007", "2024-03-01", "on"]
        assert {(each.vote, each.otherwise) for each in found.functions} == {(1, 0)}
    numbers = loaded(tmp_path, "classes: ['1', '0']\nfunctions: [{name: a, vote: '1', when: x}]")
    assert numbers.functions[0].vote == 0
    tens = loaded(tmp_path, "classes: [10, 20]\nfunctions: [{name: a, vote: 20, when: x, else: -1}]")
    assert (tens.functions[0].vote, tens.functions[0].otherwise) == (1, -1)


def test_python_votes(spark: SparkSession, tmp_path: Path) -> None:
    functions = loaded(tmp_path, PYTHON, "functions.py")
    resolved = resolve(functions, rows(spark))
    votes = resolved.votes(rows(spark))
    assert votes.columns[4:] == ["many_reports", "long name, with (signs)", "at_least_1", "at_least_2"]
    assert {kind for _, kind in votes.dtypes[4:]} == {"int"}
    # 2**32 + 1 and -7 are no classes, and stay none: 2 and -2.
    assert voted(votes) == [(1, 0, 2, 2), (-1, -1, 2, -2), (-1, -1, -2, -2)]
    assert resolved.reads == {
        "many_reports": {"Reports", "sessions"},
        "long name, with (signs)": {"sessions", "a.b"},
        "at_least_1": {"Reports"},
        "at_least_2": {"Reports"},
    }
    assert loaded(tmp_path, PYTHON, "functions.py").functions[0].name == "many_reports"


def test_python_files_that_are_refused(tmp_path: Path) -> None:
    start = "from firstday.labels.functions import label_function\n"
    decorated = "@label_function\ndef f(x): return x\n"
    for text, message in [
        ("1 / 0", "must load. Next: ZeroDivisionError"),
        ("def", "must load. Next: SyntaxError"),
        (start + decorated, "must name their classes"),
        ("CLASSES = 'ab'\n" + start + decorated, "must name their classes"),
        ("CLASSES = ('a',)\n" + start + decorated, "2 to 100 classes"),
        ("CLASSES = ('a', 1)\n" + start + decorated, "2 to 100 classes"),
        ("CLASSES = ('a', 'b')\n", "at least one label function"),
        ("CLASSES = ('a', 'b')\n" + start + decorated + decorated, "different names.*'f', 'f'"),
        ("CLASSES = ('a', 'b')\n" + start + decorated.replace("on\n", "on(name='row_id')\n"), "row_id"),
    ]:
        file = tmp_path / f"{abs(hash(text))}.py"
        with pytest.raises(SettingsError, match=message):
            loaded(tmp_path, text, file.name)
    for path, message in [("a.txt", ".yml, .yaml or .py"), ("none.py", "must exist"), (".", ".yml, .yaml")]:
        with pytest.raises(SettingsError, match=message):
            load(str(tmp_path / path))


def test_python_functions_that_are_refused(spark: SparkSession) -> None:
    def broken(reports: Column) -> Column:
        raise KeyError("why")

    @F.udf("int")
    def python(value: int) -> int:
        return value

    spark.udf.register("ours", python)
    cases: list[tuple[Callable, str]] = [
        (broken, "function 'f': the function must return its votes.*KeyError: 'why'"),
        (lambda reports: 1, "'f': the function must return a Column. Got: 1"),
        (lambda reports: None, "'f': the function must return a Column"),
        (lambda report: report, "'f'.*Got: 'report'. Next: Did you mean 'Reports'"),
        (lambda a: a, "'f'.*Got: 'a'. Next: Put the name in backticks: `a.b`"),
        (lambda *reports: reports[0], r"names of columns. Got: '\*reports'"),
        (lambda reports: F.col("nowhere"), "'f'.*nowhere"),
        (lambda reports: F.col("g"), "'f'.*`g`"),  # the vote of another function
        (lambda reports: reports > 1, "'f': votes must be whole numbers. Got: 'boolean'"),
        (lambda reports: F.lit("1"), "whole numbers. Got: 'string'"),
        (lambda reports: F.lit(None), "whole numbers. Got: 'void'"),
        (lambda reports: reports * 1.0, "whole numbers. Got: 'double'"),
        (lambda reports: F.max(reports) + 0, "'f': .*must be made from one row"),
        (lambda reports: F.count("*"), "'f': .*must be made from one row"),
        (lambda reports: F.explode(F.array(reports)), "'f'"),
        (lambda reports: F.row_number().over(Window.orderBy(reports)), "from one row"),
        (lambda reports: F.expr("(select 1)"), "'f': .*must be made from one row.*subquery"),
        (lambda reports: python(reports) + 0, "'f': no Python runs on the rows"),
        (lambda reports: F.expr("ours(reports)"), "'f': no Python runs on the rows"),
        (lambda reports: F.when(F.rand() > 0.5, 1), "'f': the same row must get the same vote"),
        (lambda: F.monotonically_increasing_id() + 0, "'f': the same row must get the same vote"),
    ]
    for body, message in cases:
        functions = LabelFunctions(
            ("honest", "fraud"), (LabelFunction("g", "reports > 1", 1), LabelFunction("f", body))
        )
        with pytest.raises(SettingsError, match=f"(?s){message}"):
            resolve(functions, rows(spark))
    with pytest.raises(SettingsError, match="function 'REPORTS': the rows have a column of this name"):
        resolve(one("REPORTS", "sessions > 1"), rows(spark))


def test_a_decorated_function_stays_a_function() -> None:
    @label_function
    def f(x: int) -> int:
        return x + 1

    assert f(1) == 2


def test_what_is_built_by_hand_is_checked_too() -> None:
    with pytest.raises(SettingsError, match=r"'f'.*Got: 5"):
        LabelFunctions(("honest", "fraud"), (LabelFunction("f", "x", 5),))


def test_overlap_is_refused_with_the_column_and_its_role() -> None:
    reads = {"many": frozenset({"Reports", "sessions"}), "none": frozenset[str]()}
    refuse_overlap(reads, ["friends"], ["sanctions"])
    with pytest.raises(SettingsError, match="many reads 'Reports', a feature that the classifier learns"):
        refuse_overlap(reads, ["reports"], [])
    with pytest.raises(SettingsError, match="many reads 'sessions', a column that the old label's rule"):
        refuse_overlap(reads, [], ["sessions"])
    many = {f"f{number}": frozenset({"x"}) for number in range(25)}
    with pytest.raises(SettingsError, match=r"f9 reads 'x'.*; and 15 more"):
        refuse_overlap(many, ["x"], [])


def test_two_hundred_functions_are_one_projection_planned_quickly(
    spark: SparkSession, tmp_path: Path
) -> None:
    names = [f"f{number}" for number in range(200)]
    functions = LabelFunctions(
        ("honest", "fraud"),
        tuple(
            LabelFunction(name, f"reports >= {number} and reports > 0.5 * sessions", 1)
            for number, name in enumerate(names)
        ),
    )
    rows(spark).write.parquet(str(tmp_path / "rows"))
    read = spark.read.parquet(str(tmp_path / "rows"))
    started = time.monotonic()
    votes = resolve(functions, read).votes(read)
    plan = votes._jdf.queryExecution().executedPlan().toString()
    assert time.monotonic() - started < 20
    assert plan.count("Project") == 1
    assert "Exchange" not in plan
    assert "Python" not in plan
    first = votes.where("row_id = 'r1'").select(names).first()
    assert first is not None
    assert sum(vote == 1 for vote in first) == 8
