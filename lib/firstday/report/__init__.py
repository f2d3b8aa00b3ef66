"""Figures and one self-contained HTML page a run. Loads Altair: import it where a report is made."""

from firstday.report.answers import (
    discover_answer,
    label_answer,
    measure_answer,
    recommend_answer,
    train_answer,
)
from firstday.report.content import (
    DiscoverContent,
    MeasureContent,
    RecommendContent,
    SlotContent,
    TrainContent,
)
from firstday.report.discover import discover_report
from firstday.report.label import label_report
from firstday.report.label_content import LabelContent
from firstday.report.measure import measure_report
from firstday.report.page import Report
from firstday.report.recommend import recommend_report
from firstday.report.terminal import (
    aligned,
    discover_text,
    label_text,
    measure_text,
    recommend_text,
    train_text,
)
from firstday.report.train import train_report

__all__ = [
    "DiscoverContent",
    "LabelContent",
    "MeasureContent",
    "RecommendContent",
    "Report",
    "SlotContent",
    "TrainContent",
    "aligned",
    "discover_answer",
    "discover_report",
    "discover_text",
    "label_answer",
    "label_report",
    "label_text",
    "measure_answer",
    "measure_report",
    "measure_text",
    "recommend_answer",
    "recommend_report",
    "recommend_text",
    "train_answer",
    "train_report",
    "train_text",
]
