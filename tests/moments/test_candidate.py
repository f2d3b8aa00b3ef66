"""The candidate that a ranker is trained for, by its name on the shortlist."""

import pytest

from firstday.errors import SettingsError
from firstday.ranking.inputs import named_candidate
from firstday.settings import TrainSettings

LISTED = [("message", 3), ("look.at (it)", 1), ("a>=2", 4)]


@pytest.mark.parametrize(
    ("name", "chosen"),
    [
        *(("message>=3", 0), ("message ≥ 3", 0), ("message", 0), ("look.at (it)>=1", 1)),
        *(("a>=2", 2), ("a>=2>=4", 2)),
    ],
)
def test_a_candidate_is_found_by_its_name(name: str, chosen: int) -> None:
    found = named_candidate(name, LISTED)
    assert (found.action, found.threshold) == LISTED[chosen]


@pytest.mark.parametrize("name", ["message>=2", "message>=33", "lookxat (it)", "none"])
def test_what_is_not_listed_is_refused_with_the_list(name: str) -> None:
    with pytest.raises(SettingsError, match=r"message>=3, look\.at \(it\)>=1"):
        named_candidate(name, LISTED)


def test_a_candidate_goes_with_hypotheses() -> None:
    with pytest.raises(ValueError, match="give both"):
        TrainSettings.model_validate({"tables": "t", "out": "o", "candidate": "message>=3"})
