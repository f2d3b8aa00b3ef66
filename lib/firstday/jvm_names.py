"""Let PySpark ask Java once for the names that nearly every call of it needs.

It asks anew at each, by the short name or package by package, and Java then looks into all jars for a class
of that name. A column took a millisecond or two, and hundreds of them make a job's plans.
"""

from typing import Any

from py4j.java_gateway import JavaPackage

WITH_STATIC_METHODS = ("functions", "PythonUtils")
CLASSES = ("Column", "SparkSession", "SparkSession$", "PythonRDD", "SerDeUtil", "SimplePythonFunction")
PACKAGES = ("org", "io", "com")


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
