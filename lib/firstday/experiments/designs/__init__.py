"""The designs of experiments. To add one: a file here, a line in DESIGNS."""

from firstday.errors import DataError
from firstday.experiments.designs.base import Design, Measured, Tables
from firstday.experiments.designs.cluster import CLUSTER
from firstday.experiments.designs.crossover import CROSSOVER
from firstday.experiments.designs.encouragement import ENCOURAGEMENT
from firstday.experiments.designs.plain import PLAIN
from firstday.experiments.designs.ramp import RAMP
from firstday.experiments.results import Question

__all__ = ["DESIGNS", "Design", "Measured", "Tables", "also_asked", "design_of", "method_words"]

DESIGNS = {each.name: each for each in (CROSSOVER, RAMP, CLUSTER, PLAIN, ENCOURAGEMENT)}


def design_of(question: Question) -> Design:
    """The one that decides."""
    for design in DESIGNS.values():
        if not design.beside and design.applies(question):
            return design
    raise DataError(
        f"a design is one of {', '.join(DESIGNS)}", value=question.design, next_step="correct the plan"
    )


def also_asked(question: Question) -> list[Design]:
    """Those that are answered beside it."""
    return [design for design in DESIGNS.values() if design.beside and design.applies(question)]


def method_words() -> dict[str, str]:
    """By the methods of all designs, what a report calls them."""
    return {method: words for design in DESIGNS.values() for method, words in design.words.items()}
