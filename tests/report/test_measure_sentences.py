"""What the measure job's page and text say beside the figures: only what the rows bear out."""

import json
import re
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pandas as pd

from firstday.experiments.content import MeasureContent
from firstday.experiments.report import measure_report, measure_text
from firstday.experiments.sections import clear_since
from tests.report.test_measure_report import START, Decision, answer, content, html, specs

__all__ = ["content", "html"]  # fixtures


def test_what_becomes_of_an_effect_is_told_with_the_first_day_and_the_later_ones(html: str) -> None:
    part = " ".join(html.split('id="by-age"')[1].split("</section>")[0].split())
    assert re.search(
        r"retention_7: no change is shown: \S+ points \([^)]*\) on the first day, \+0.900 points \([^)]*\) "
        r"a day on days 1 to 13, \S+ points \([^)]*\) from one of these days to the next\.",
        part,
    )


def test_no_band_where_no_look_has_an_interval(content: MeasureContent) -> None:
    results = content.results.copy()
    held = results["method"] == "always_valid"
    results.loc[held, ["low", "high"]] = np.nan
    html = measure_report(replace(content, results=results)).html
    part = html.split('id="to-date"')[1].split("</section>")[0]
    assert "there is no band" in part
    assert "holds at all looks together" not in part
    assert "The band holds" not in part


def test_a_metric_that_is_no_share_has_its_unit_everywhere(content: MeasureContent) -> None:
    html = measure_report(
        replace(content, shares=("retention_1",), units={"categories": "EUR per user"})
    ).html
    told = answer(html)
    assert re.search(r"categories \+0\.0\d+ EUR per user Better: a rise of .* EUR per user\.", told)
    assert "against 2.31 EUR per user" in re.sub(r"2\.3\d*", "2.31", told)
    assert any("EUR per user" in json.dumps(spec) for spec in specs(html, "effects"))


def test_the_result_as_aligned_text(content: MeasureContent) -> None:
    text = measure_text(content)
    first, *_, last = text.splitlines()
    assert first == "Ship push: it is better on retention_7."
    header = next(line for line in text.splitlines() if line.startswith("metric"))
    assert header.split() == ["metric", "treatment", "control", "effect", "95%", "interval", "p", "verdict"]
    at = header.index("verdict")
    assert last[:at].split()[0] == "crashed"
    assert last[at:] == "not harmed"
    withheld = replace(content, decision=Decision("withheld", "No verdict.", ship="Don't decide."))
    assert "points" not in measure_text(withheld)


def test_since_when_the_band_is_clear() -> None:
    def since(lows: list[float | None], high: float = 1.0) -> str:
        dates = [START + timedelta(day) for day in range(len(lows))]
        highs = [None if low is None else high for low in lows]
        rows = {"method": "always_valid", "date": dates, "low": lows, "high": highs, "note": "too few units"}
        return clear_since(pd.DataFrame(rows))

    assert since([None, -0.1, 0.1, 0.2]) == "the band has been clear of 0 since 2026-05-06"
    assert since([-0.3, -0.2], high=-0.1) == "the band has been clear of 0 since 2026-05-04"
    assert since([-0.1, 0.1, -0.1]) == "the band left 0 on 2026-05-05 and has come back"
    assert since([-0.2, -0.1]) == "the band has 0 in it on every date"
    assert since([None, -0.1]) == "the band, which begins on 2026-05-05, has 0 in it on every date"
    assert since([None, None]) == "there is no band (too few units), so do not stop by this"
    assert since([]) == "there is no band, so do not stop by this"
