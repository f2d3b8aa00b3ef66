import pickle

import pytest

from firstday.errors import (
    ConflictError,
    DataError,
    FirstdayError,
    LimitError,
    OutputError,
    SettingsError,
    UserError,
    reason,
)


def test_message_names_rule_value_and_next_step() -> None:
    error = UserError("user_id must not be null", value=["a\nb", 3], next_step="look into the quarantine")
    assert str(error) == ("User_id must not be null. Got: 'a\\nb', 3. Next: Look into the quarantine.")
    assert (error.rule, error.value, error.next_step) == (
        "user_id must not be null",
        ["a\nb", 3],
        "look into the quarantine",
    )


def test_value_and_next_step_may_be_absent() -> None:
    assert str(FirstdayError("nothing is left")) == "Nothing is left."
    assert str(FirstdayError("rows must be few", value=0)) == "Rows must be few. Got: 0."
    assert str(DataError("columns must be there", value=[])) == "Columns must be there. Got: nothing."


def test_long_values_are_cut() -> None:
    assert len(str(UserError("short", value="x" * 10_000))) < 400


@pytest.mark.parametrize("kind", [SettingsError, DataError, OutputError, LimitError])
def test_users_mistakes_have_status_2(kind: type[FirstdayError]) -> None:
    assert issubclass(kind, UserError)
    assert kind.exit_status == 2


def test_other_ends_have_status_1() -> None:
    assert FirstdayError.exit_status == ConflictError.exit_status == 1


def test_errors_survive_pickling() -> None:
    error = DataError("the rule", value={"a": 1}, next_step="do")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is DataError
    assert (str(copy), copy.rule, copy.value, copy.next_step) == (str(error), "the rule", {"a": 1}, "do")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (DataError("the rule"), "The rule."),
        (ValueError("first\nsecond"), "ValueError: first"),
        (ValueError(), "ValueError"),
        (
            RuntimeError("calling o1.count.\n: Job aborted\n\tat x\nCaused by: a.B: corrupt\n\tat y"),
            "RuntimeError: a.B: corrupt",
        ),
        (
            RuntimeError("An error occurred while calling o1.save.\n: a.B: cannot create\n\tat x"),
            "RuntimeError: a.B: cannot create",
        ),
        (
            RuntimeError("worker failed\nTraceback (most recent call last):\n  File x\nValueError: boom\n"),
            "RuntimeError: ValueError: boom",
        ),
    ],
)
def test_reason_is_one_line_with_the_cause(error: Exception, told: str) -> None:
    assert reason(error) == told
