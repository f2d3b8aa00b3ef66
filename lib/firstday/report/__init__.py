"""Figures and one self-contained HTML page a run. Loads Altair: import it where a report is made."""

from firstday.report.content import DiscoverContent, MeasureContent
from firstday.report.discover import discover_report, discover_verdict
from firstday.report.label import label_report
from firstday.report.label_content import LabelContent
from firstday.report.measure import measure_report
from firstday.report.page import Report
from firstday.report.recommend import RecommendContent, recommend_report
from firstday.report.terminal import aligned, discover_text, measure_text, recommend_text, train_text
from firstday.report.train import SlotContent, TrainContent, train_report

__all__ = [
    "DiscoverContent",
    "LabelContent",
    "MeasureContent",
    "RecommendContent",
    "Report",
    "SlotContent",
    "TrainContent",
    "aligned",
    "discover_report",
    "discover_text",
    "discover_verdict",
    "label_report",
    "measure_report",
    "measure_text",
    "recommend_report",
    "recommend_text",
    "train_report",
    "train_text",
]
