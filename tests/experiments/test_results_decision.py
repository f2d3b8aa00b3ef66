"""What was found, in a sentence."""

import pandas as pd

from firstday.experiments.results import Question
from firstday.experiments.results_decision import _Messages
from firstday.settings.metrics import Metric


def test_the_headline_tells_treatments_apart() -> None:
    shown = {
        "method": "welch",
        "standard_error": None,
        "p_value": 0.001,
        "segment": "all",
        "population": "all",
        "control": "control",
    }
    rows = [
        ("d1", "push", 0.04, "better"),
        ("d1", "nudge", -0.012, "worse"),
        ("d7", "push", 0.03, "better"),
        ("d7", "nudge", 0.001, "no effect shown"),
    ]
    names = ("metric", "treatment", "estimate", "verdict")
    told = [dict(zip(names, each, strict=True)) | shown for each in rows]
    metrics = tuple(Metric(name=name, kind="retention", day=day) for name, day in (("d1", 1), ("d7", 7)))
    question = Question("push", "control", ("push", "nudge"), metrics)
    several = _Messages(question, pd.DataFrame(told), {"d1", "d7"})
    assert several.headline("mixed", told, []) == (
        "push is better than control on d1 (+4.00 points), d7 (+3.00 points). "
        "nudge is worse than control on d1 (\u22121.20 points); no effect shown on d7."
    )
    quiet = [each | {"verdict": "no effect shown"} for each in told]
    assert several.headline("no effect shown", quiet, []) == (
        "push: no effect shown on d1, d7. nudge: no effect shown on d1, d7."
    )
    assert several.headline("no effect shown", quiet[:1], []) == "No effect shown on d1."
