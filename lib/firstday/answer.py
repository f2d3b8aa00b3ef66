"""A stage's answer, as people, programs, `runs` and the loop's page read it."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self


@dataclass(frozen=True)
class Fact:
    """One figure of an answer. unit: 'share' (0 to 1), 'points' (a difference of shares, 0 to 1),
    'probability', 'rows', ...; low, high: of its interval, where it has one. meaning: for people. about: what
    it is of, by name (metric, treatment, ...), for programs. NaN and NumPy's numbers become Python's.
    """

    name: str
    value: float | int | str | None
    unit: str = ""
    low: float | None = None
    high: float | None = None
    meaning: str = ""
    about: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for end in ("value", "low", "high"):
            object.__setattr__(self, end, _plain(getattr(self, end)))


@dataclass(frozen=True)
class Answer:
    """A stage's answer. verdict: one of a few words, for programs. headline: the answer in a sentence or two.
    warnings: sentences on what to mind.
    """

    verdict: str
    headline: str
    facts: tuple[Fact, ...] = ()
    warnings: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """As `runs` keeps it, in JSON's types."""
        return {**asdict(self), "facts": [asdict(fact) for fact in self.facts], "warnings": [*self.warnings]}

    @classmethod
    def of(cls, kept: Mapping[str, Any]) -> Self:
        """The answer that `as_dict` made this of."""
        facts = tuple(Fact(**fact) for fact in kept["facts"])
        return cls(kept["verdict"], kept["headline"], facts, tuple(kept["warnings"]))


def _plain(value: Any) -> Any:
    """Python's own number or text; None where it is missing or no JSON number."""
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not math.isfinite(value) else value
