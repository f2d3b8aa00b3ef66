"""The index page of a loop: answers with links and, in a world, the truth; whatever names hold."""

from dataclasses import replace
from html.parser import HTMLParser

import pytest

from firstday.loop.report import Effect, IndexContent, Stage, index_report
from firstday.report.page import Tile
from tests.report.test_escaping import ATTACKS, Running

LABEL = Stage(
    "label",
    "label",
    "Which users can we believe?",
    "490 of 10,000 rows are probably fraud",
    (Tile("voters", "12", "weighed by the label model precision"),),
    "label/report.html",
    "522 of the 10,000 accounts are bots: 470 of them were found.",
    "ran in 21 s: not done yet",
)
MEASURE = Stage("measure", "measure", "Did it work?", "Better: d1 +3.1 points", (), "measure/report.html")
CONTENT = IndexContent(
    run_id="run-1",
    title="From raw logs to a proved decision",
    verdict="Better: d1 +3.1 points",
    stages=(LABEL, MEASURE),
    effects=(
        Effect("new_users: d1", 0.031, 0.012, 0.05, 0.036),
        Effect("existing: d1", -0.002, -0.01, 0.006, 0.011),
        Effect("existing: clicks", 0.002, None, None, None),
    ),
    seconds=(("label", 21.4, "not done yet"), ("measure", None, "nothing has changed")),
)


class Read(HTMLParser):
    """Links and texts of a page in order, and the figures' descriptions."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.described: list[str] = []
        self.texts: list[str] = []
        self.ids: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        if tag == "a":
            self.links.append(str(told["href"]))
        if told.get("role") == "img":
            self.described.append(str(told["aria-label"]))
        if "id" in told:
            self.ids.append(str(told["id"]))

    def handle_data(self, data: str) -> None:
        self.texts += [" ".join(data.split())] if data.strip() else []


@pytest.fixture(scope="module")
def page() -> Read:
    return Read(index_report(CONTENT).html)


def test_each_step_has_its_question_answer_and_link(page: Read) -> None:
    for stage in CONTENT.stages:
        assert stage.question in page.texts
        assert stage.answer + "." in page.texts
        assert stage.report in page.links
    assert "ran in 21 s: not done yet" in " ".join(page.texts)


def test_a_keyboard_gets_everywhere(page: Read) -> None:
    assert page.links[0] == "#evidence"
    assert {link[1:] for link in page.links if link.startswith("#")} <= {*page.ids}
    assert len(page.ids) == len({*page.ids})


def test_the_truth_stands_beside_the_answer(page: Read) -> None:
    told = page.texts
    assert told.count("The truth:") == 1  # of one step something is known
    assert told[told.index("The truth:") + 1] == LABEL.truth
    assert told.index(LABEL.answer + ".") < told.index("The truth:")


def test_the_chart_is_told_in_words_and_numbers(page: Read) -> None:
    [described] = page.described
    assert "new_users: d1: measured +3.1 points (+1.2 to +5.0), true +3.6 points." in described
    rows = [page.texts.index(effect.label) for effect in CONTENT.effects]
    holds = [page.texts[row + 3] for row in rows]
    assert holds == ["yes", "no", "–"]


def test_without_a_world_there_is_no_truth() -> None:
    plain = replace(
        CONTENT,
        stages=(replace(LABEL, truth=None),),
        effects=tuple(replace(effect, true=None) for effect in CONTENT.effects),
    )
    texts = Read(index_report(plain).html).texts
    assert "The truth:" not in texts
    assert "interval holds the truth" not in texts
    assert "simulation" not in " ".join(texts)


def test_without_experiments_there_is_no_chart() -> None:
    html = index_report(replace(CONTENT, effects=())).html
    assert Read(html).described == []
    assert Running(html).scripts == []


def test_names_never_become_markup() -> None:
    nasty = Stage(*ATTACKS[:4], (Tile(*ATTACKS[:3]),), "label/report.html", ATTACKS[4], ATTACKS[0])
    content = IndexContent(
        run_id=ATTACKS[0],
        title=ATTACKS[1],
        verdict=ATTACKS[2],
        stages=(nasty,),
        effects=(Effect(ATTACKS[3], 0.1, 0.0, 0.2, 0.1),),
        notes=ATTACKS,
        seconds=((ATTACKS[4], 1.0, ATTACKS[0]),),
    )
    found = Running(index_report(content).html)
    assert found.others == ["label/report.html"]
    assert all("alert(" not in script for script in found.scripts if "vegaEmbed" not in script)
