"""No report takes names for markup: a parser of HTML finds our own scripts in it, and nothing else runs."""

import base64
import hashlib
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest

from firstday.labels.report import label_report
from firstday.moments.content import DiscoverContent
from firstday.moments.report import discover_report
from firstday.ranking.report import train_report
from firstday.recommendations.report import recommend_report
from tests.report import test_label, test_recommend_report, test_train_report

ATTACKS = (
    "<script>alert(1)</script>",
    "</script><script>alert(2)</script>",
    "\"><img src=x onerror='alert(3)'>",
    "<a href='javascript:alert(4)'>x</a>",
    "{{ 7 * 7 }}<style>body{display:none}</style>",
)
NAMED = {attack: attack for attack in ATTACKS}


def label(_: DiscoverContent) -> str:
    content = replace(
        test_label.CONTENT, comparison=test_label.COMPARISON, positive=ATTACKS[0], kind=ATTACKS[1]
    )
    return label_report(replace(content, run_id=ATTACKS[2], notes=ATTACKS, settings=NAMED, inputs=NAMED)).html


def train(_: DiscoverContent) -> str:
    content = replace(test_train_report.CONTENT, slots=test_train_report.SLOTS, comparisons=ATTACKS)
    return train_report(replace(content, run_id=ATTACKS[2], notes=ATTACKS, settings=NAMED, inputs=NAMED)).html


def recommend(_: DiscoverContent) -> str:
    frames = {"monitoring": test_recommend_report.MONITORING, "drift": test_recommend_report.DRIFT}
    content = replace(test_recommend_report.FIRST, off_policy=ATTACKS, window=ATTACKS[0], **frames)
    return recommend_report(
        replace(content, run_id=ATTACKS[2], notes=ATTACKS, settings=NAMED, inputs=NAMED)
    ).html


def discover(nasty: DiscoverContent) -> str:
    content = replace(nasty, run_id=ATTACKS[2], notes=ATTACKS, settings=NAMED, inputs=NAMED)
    return discover_report(content).html


class Running(HTMLParser):
    """The scripts of a page, its policy, and whatever else a browser would run or load."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.scripts: list[str] = []
        self.policy = ""
        self.others: list[str] = []
        self._inside = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told: dict[str, Any] = dict(attrs)
        runs = tag == "script" and told.get("type") in (None, "module", "text/javascript")
        self._inside = runs
        if runs:
            self.scripts.append("")
        if told.get("http-equiv") == "Content-Security-Policy":
            self.policy = told["content"]
        links = [str(told.get(name)) for name in ("href", "src", "action") if told.get(name)]
        if tag in ("img", "iframe", "object", "embed", "form", "base"):
            self.others.append(tag)
        self.others += [name for name in told if name.startswith("on")]
        self.others += [link for link in links if not link.startswith(("#", "data:"))]

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.scripts[-1] += data

    def handle_endtag(self, tag: str) -> None:
        self._inside = self._inside and tag != "script"


@pytest.mark.parametrize("report", [discover, label, train, recommend])
def test_only_our_own_scripts_run(report: Callable[[DiscoverContent], str], nasty: DiscoverContent) -> None:
    html = report(nasty)
    page = Running(html)
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in page.scripts]
    assert [
        text[:60] for text, told in zip(page.scripts, hashes, strict=True) if told not in page.policy
    ] == []
    assert "default-src 'none'" in page.policy
    assert page.others == []
    assert html.count("<style>") == 1
    assert "49&lt;style&gt;" not in html  # braces in a name are no template either
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html


def test_the_parser_sees_what_would_run() -> None:
    page = Running("".join(ATTACKS))
    assert page.scripts == ["alert(1)", "alert(2)"]
    assert page.others == ["img", "onerror", "x", "javascript:alert(4)"]
