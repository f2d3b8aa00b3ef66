"""Let PySpark ask Java once for what nearly every call of it needs.

It asks anew at each for names, by the short one or package by package, and Java then looks into all jars for
a class of that name. A column took a millisecond or two, and hundreds of them make a job's plans. A column of
some name, or a literal, is made anew each time, though no call changes one; and a list is handed over element
by element.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from py4j.java_gateway import JavaObject, JavaPackage

WITH_STATIC_METHODS = ("functions", "PythonUtils", "PythonSQLUtils")
CLASSES = ("Column", "SparkSession", "SparkSession$", "PythonRDD", "SerDeUtil", "SimplePythonFunction")
PACKAGES = ("org", "io", "com", "py4j")
KEPT_COLUMNS = 2_000  # of names, and of literals
KEPT_KINDS = (str, int, bool)  # of which equal ones are the same
AT_ONCE = 10  # elements that Java's List.of takes as arguments


def remember(jvm: Any) -> None:
    """Keep in PySpark's view of the JVM what it looks up; again it changes nothing."""
    if isinstance(jvm.functions, _RememberedClass):
        return
    for name in WITH_STATIC_METHODS:
        setattr(jvm, name, _RememberedClass(getattr(jvm, name)))
    for name in CLASSES:
        setattr(jvm, name, getattr(jvm, name))
    for name in PACKAGES:
        setattr(jvm, name, _RememberedPackage.of(getattr(jvm, name)))
    jvm.functions.col = _made_once(jvm.functions.col)
    jvm.functions.lit = _made_once(jvm.functions.lit)
    jvm.PythonUtils.toSeq = _handed_over_at_once(jvm.PythonUtils.toSeq, jvm.java.util)


class _RememberedClass:
    """A Java class whose static methods are looked up once each."""

    def __init__(self, java_class: Any) -> None:
        self._java_class = java_class

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._java_class, name)
        setattr(self, name, found)
        return found


class _RememberedPackage(JavaPackage):
    """A Java package whose packages and classes are looked up once each."""

    @classmethod
    def of(cls, package: Any) -> "_RememberedPackage":
        return cls(package._fqn, package._gateway_client, package._jvm_id)

    def __getattr__(self, name: str) -> Any:
        found = super().__getattr__(name)
        if isinstance(found, JavaPackage):
            if not name.islower():  # a class that is in no jar, or not yet
                return found
            found = self.of(found)
        setattr(self, name, found)
        return found


def _made_once(make: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A Java method that makes a column of one value: the same column for the same value."""

    @lru_cache(KEPT_COLUMNS, typed=True)  # 1 and True are equal
    def kept(value: Any) -> Any:
        return make(value)

    return lambda value: (kept if type(value) in KEPT_KINDS else make)(value)


def _handed_over_at_once(to_seq: Callable[[Any], Any], util: Any) -> Callable[[Any], Any]:
    """PythonUtils.toSeq, to which columns and texts are handed some at a time."""
    of, array_list = util.List.of, util.ArrayList

    def sequence(elements: Any) -> Any:
        # List.of takes no null, and of an array its elements.
        if not isinstance(elements, list) or not all(type(each) in (JavaObject, str) for each in elements):
            return to_seq(elements)
        if len(elements) <= AT_ONCE:
            return to_seq(of(*elements))
        parts = [of(*elements[at : at + AT_ONCE]) for at in range(0, len(elements), AT_ONCE)]
        whole = array_list(parts[0])
        for part in parts[1:]:
            whole.addAll(part)
        return to_seq(whole)

    return sequence
