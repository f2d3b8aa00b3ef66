"""Label functions: rules that vote on rows, from a YAML file of conditions or from a Python file.

A YAML file is data: its conditions are SQL, checked before anything runs. A Python file is code: whoever
loads it trusts it as much as any program that they start. Either way a vote is an expression that Spark
evaluates; no Python runs on the rows.
"""

import inspect
import itertools
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import ByteType, IntegerType, LongType, ShortType

from firstday.errors import SettingsError, reason
from firstday.expressions.builtins import SUBQUERIES, refused
from firstday.expressions.conditions import (
    Columns,
    Condition,
    Conditions,
    analyse,
    check_conditions,
    refuse_python,
)
from firstday.expressions.uses import Uses
from firstday.labels.patterns import ABSTAIN
from firstday.settings.rules import check_classes, check_names, class_number, read_rules
from firstday.spark import catalyst
from firstday.tables.schemas import column

NAME = "firstday_label_function"  # the attribute that marks a decorated function, and holds its name
Body = Callable[..., Column]
_modules = itertools.count()
_decorated: list[Body] = []


@dataclass(frozen=True)
class LabelFunction:
    """One rule. A condition (SQL) votes `vote` where it is met, else `otherwise`; a Python function returns
    the Column of votes.
    """

    name: str
    body: str | Body
    vote: int = ABSTAIN
    otherwise: int = ABSTAIN


@dataclass(frozen=True)
class LabelFunctions:
    """The rules of one file, and the names of the classes 0, 1, ..."""

    classes: tuple[str, ...]
    functions: tuple[LabelFunction, ...]

    def __post_init__(self) -> None:
        check_classes(self.classes)
        check_names([function.name for function in self.functions])
        for function in self.functions:
            for vote in (function.vote, function.otherwise):
                class_number(function.name, vote, self.classes)


def label_function(function: Any = None, *, name: str | None = None) -> Any:
    """Mark a Python function as a label function, called `name` or as it is.

    Its parameters are columns, found by their names; one with a default value is none and keeps the default.
    It returns the Column of votes: a class number, or -1 or null to abstain.
    """

    def mark(function: Any) -> Any:
        setattr(function, NAME, function.__name__ if name is None else name)
        _decorated.append(function)
        return function

    return mark if function is None else mark(function)


def load(path: str) -> LabelFunctions:
    """The label functions of a file, by its ending: .yml or .yaml, or .py, which is run.

    Raises SettingsError that names what is wrong with it.
    """
    loaders = {".yml": _load_yaml, ".yaml": _load_yaml, ".py": _load_python}
    file = Path(path)
    if file.suffix.lower() not in loaders:
        raise SettingsError("label functions are in a .yml, .yaml or .py file", value=path)
    if not file.is_file():
        raise SettingsError("the file of label functions must exist", value=path, next_step="check its path")
    return loaders[file.suffix.lower()](file)


def gathered(functions: Sequence[Body], classes: Sequence[str]) -> LabelFunctions:
    """Decorated functions as those of a file; classes: the names of 0, 1, ...

    Raises SettingsError where one is not decorated, or a name stands there twice.
    """
    for each in functions:
        if not hasattr(each, NAME):
            raise SettingsError(
                "label functions must be marked by @label_function", value=getattr(each, "__name__", each)
            )
    return LabelFunctions(
        tuple(classes), tuple(LabelFunction(getattr(each, NAME), each) for each in functions)
    )


@dataclass(frozen=True)
class Resolved:
    """Label functions that were checked against the columns of a frame.

    expressions: by function, the condition or the votes; reads: by function, the columns that it reads; uses:
    as what, where that shows.
    """

    functions: LabelFunctions
    expressions: Mapping[str, Column]
    reads: Mapping[str, frozenset[str]]
    uses: Mapping[str, Uses]

    def votes(self, frame: DataFrame) -> DataFrame:
        """The frame with one int column of votes for each function, in one projection.

        frame: the one that was checked against, or some of its columns with all that are read. Whether the
        votes of Python functions are classes shows in the data.
        """
        classes = len(self.functions.classes)
        votes = (
            _votes(each, self.expressions[each.name], classes).alias(each.name)
            for each in self.functions.functions
        )
        return frame.select("*", *votes)


def _load_yaml(file: Path) -> LabelFunctions:
    found = read_rules(file)
    rules = (LabelFunction(each.name, each.when, each.vote, each.otherwise) for each in found.rules)
    return LabelFunctions(found.classes, tuple(rules))


def resolve(functions: LabelFunctions, frame: DataFrame) -> Resolved:
    """Check the functions against the frame's schema; nothing runs. Of hundreds it takes a second.

    Raises SettingsError that names the function and what is wrong with it.
    """
    conditions = Conditions(frame)
    columns = conditions.columns
    taken = {name.lower() for name in frame.columns}
    written: dict[str, Condition] = {}
    returned: dict[str, tuple[Column, frozenset[str]]] = {}
    for function in functions.functions:
        name, body = function.name, function.body
        if name.lower() in taken:
            raise refused(
                _described(name), "the rows have a column of this name", next_step="rename the function"
            )
        if isinstance(body, str):
            written[name] = conditions.condition(_described(name), body)
        else:
            returned[name] = _called(_described(name), body, columns)
    check_conditions(frame, {_described(name): condition for name, condition in written.items()})
    expressions = {name: condition.column for name, condition in written.items()}
    reads = {name: condition.reads for name, condition in written.items()}
    used = {name: condition.uses for name, condition in written.items()}
    found = analyse(frame, {_described(name): expression for name, (expression, _) in returned.items()})
    for name, (expression, parameters) in returned.items():
        analysed = found[_described(name)]
        _check_votes(_described(name), analysed)
        expressions[name] = expression
        reads[name] = parameters | {columns.find(each) or each for each in analysed.reads}
        used[name] = columns.uses(catalyst.parsed(expression))
    return Resolved(functions, expressions, reads, used)


def refuse_overlap(
    reads: Mapping[str, Iterable[str]], features: Iterable[str], old_label_columns: Iterable[str]
) -> None:
    """Raise SettingsError where a function reads a feature or a column of the old label's rule: what is
    learned from its votes would be the rule itself.
    """
    roles = {name.lower(): "a column that the old label's rule reads" for name in old_label_columns}
    roles |= {name.lower(): "a feature that the classifier learns from" for name in features}
    found = [
        f"{function} reads {name!r}, {roles[name.lower()]}"
        for function, names in reads.items()
        for name in sorted(names)
        if name.lower() in roles
    ]
    if found:
        more = [f"and {len(found) - 10} more"] if len(found) > 10 else []
        raise SettingsError(
            "label functions may not read features or columns of the old label's rule: "
            + "; ".join(found[:10] + more),
            next_step="leave the column out on one side, or allow it with --allow-overlap",
        )


def _described(name: str) -> str:
    """A label function in an error."""
    return f"label function {name!r}"


def _called(name: str, body: Callable[..., Column], columns: Columns) -> tuple[Column, frozenset[str]]:
    """What a Python function returns for the columns that its parameters name, and these columns."""
    positional, named = [], {}
    for parameter in inspect.signature(body).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise refused(name, "its parameters must be names of columns", f"*{parameter.name}")
        if parameter.default is not parameter.empty:
            continue
        found = columns.find(parameter.name)
        if found is None:
            raise columns.unknown(name, parameter.name)
        if parameter.kind is parameter.POSITIONAL_ONLY:
            positional.append(found)
        else:
            named[parameter.name] = found
    try:
        returned = body(*map(column, positional), **{key: column(found) for key, found in named.items()})
    except Exception as error:
        raise refused(name, "the function must return its votes", next_step=reason(error)) from error
    if not isinstance(returned, Column):
        raise refused(
            name, "the function must return a Column", returned, "return e.g. F.when(reports >= 5, 1)"
        )
    return returned, frozenset([*positional, *named.values()])


def _check_votes(name: str, analysed: catalyst.Analysed) -> None:
    """Raise SettingsError where the expression of a Python function is no votes."""
    refuse_python(name, analysed)
    if analysed.kinds & SUBQUERIES:
        raise refused(name, "a vote must be made from one row of the frame", "a subquery")
    if not analysed.deterministic:
        raise refused(name, "the same row must get the same vote each time", "chance or a row's place")
    if not isinstance(analysed.type, ByteType | ShortType | IntegerType | LongType):
        raise refused(
            name,
            "votes must be whole numbers",
            analysed.type.simpleString(),
            "return e.g. F.when(reports >= 5, 1).otherwise(-1)",
        )


def _load_python(file: Path) -> LabelFunctions:
    loader = SourceFileLoader(f"firstday_label_functions_{next(_modules)}", str(file))
    module = ModuleType(loader.name)
    _decorated.clear()
    sys.modules[loader.name] = module  # dataclasses in the file look their module up
    try:
        loader.exec_module(module)
    except Exception as error:
        rule = f"the label functions {str(file)!r} must load"
        raise SettingsError(rule, next_step=reason(error)) from error
    finally:
        del sys.modules[loader.name]
    classes = getattr(module, "CLASSES", None)
    if not isinstance(classes, Sequence) or isinstance(classes, str):
        raise SettingsError(
            f"the label functions {str(file)!r} must name their classes",
            value=classes,
            next_step='write CLASSES = ("honest", "fraud")',
        )
    functions = (LabelFunction(getattr(each, NAME), each) for each in _functions_in(module))
    return LabelFunctions(tuple(classes), tuple(functions))


def _functions_in(module: ModuleType) -> list[Body]:
    """Decorated functions in order: the file's own, also those that a loop made; then what it imported."""
    own = [each for each in _decorated if each.__module__ == module.__name__]
    marked = [each for each in vars(module).values() if isinstance(getattr(each, NAME, None), str)]
    return own + [each for each in marked if not any(each is one for one in own)]


def _votes(function: LabelFunction, resolved: Column, classes: int) -> Column:
    if isinstance(function.body, str):
        votes = F.when(resolved, F.lit(function.vote)).otherwise(F.lit(function.otherwise))
    else:
        # Held to a range, so that no large number wraps round into a class; what is no class stays none.
        given = F.coalesce(resolved, F.lit(ABSTAIN))
        votes = F.least(F.greatest(given, F.lit(ABSTAIN - 1)), F.lit(classes))
    return votes.cast("int")
