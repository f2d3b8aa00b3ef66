"""What a source of recall is."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame

from firstday.recommendations.recall.affinity import Attributed
from firstday.recommendations.recall.catalog import Catalog
from firstday.recommendations.recall.relevance import CoOccurrence

Floats = NDArray[np.float64]
Views = Mapping[str, Floats]


@dataclass(frozen=True)
class Asked:
    """What a source is asked with, at the instant `until`. facts: as `recall` has them; met: the `interests`
    that follow from them. segments: user_id and segment. profile: columns of customers.
    """

    customers: DataFrame
    attributes: Attributed
    facts: DataFrame
    met: DataFrame
    catalog: Catalog
    until: datetime
    segments: DataFrame
    profile: tuple[str, ...]
    seed: int


@dataclass(frozen=True)
class Source:
    """One source.

    views: its scores by the names that `merge` and the ranker give them, each with the column of its array.
    arrays: runs what jobs it needs; returns a function from the categories' co-occurrence to the frames with
    user_id, these columns and those of `passed`, with an entry each category, in the order of the catalog.
    score: of the views (customers × categories, NaN where a view says nothing or a category may not be
    recommended) and of the ties, to what it goes by. reason: why a pick is there, of a column with the pick's
    place and the views' scores, as text. passed: further columns that the reason is made of, with their
    types. part: one in so many candidates is its own at least.
    """

    name: str
    views: Mapping[str, str]
    arrays: Callable[[Asked], Callable[[CoOccurrence], Sequence[DataFrame]]]
    score: Callable[[Views, NDArray[np.uint64]], Floats]
    reason: Callable[[Column, Catalog, CoOccurrence], Column]
    passed: Mapping[str, str] = field(default_factory=dict)
    part: int = 6
