"""What experiments have said of actions that an earlier run told to test."""

from dataclasses import dataclass

PROVED, DISPROVED, OPEN = "proved", "disproved", "open"


@dataclass(frozen=True)
class Tested:
    """Of one action. status: PROVED (the interval lies above 0), DISPROVED (its upper limit is below half of
    the lift that was expected) or OPEN. sentence: the figures.
    """

    action: str
    status: str
    sentence: str

    @property
    def is_settled(self) -> bool:
        return self.status != OPEN
