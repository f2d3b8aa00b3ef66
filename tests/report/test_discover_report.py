"""The page of the discover job, as a reader, a browser and an attacker would take it."""

import html.parser
import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from functools import cache

import altair as alt
import pandas as pd
import pytest

from firstday.moments.content import COLUMNS, DiscoverContent
from firstday.moments.report import discover_report, discover_text
from firstday.report.page import Report

pytestmark = pytest.mark.filterwarnings("error")

FIGURES = {
    *("funnel.png", "precision_recall.png", "precision_recall_segments.png", "adjusted.png"),
    *("stands_out.png", "trends.png", "retention_by_day.png", "day_effects.png"),
}
LOADING = {"src", "href", "srcset", "data", "action", "formaction", "poster", "background"}


class Outline(html.parser.HTMLParser):
    """What a browser would make of a page: its text, scripts, links and ids."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text: list[str] = []
        self.scripts: list[tuple[str | None, str]] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self.within: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value) for name, value in attributes]
        if tag == "script":
            self.scripts.append((dict(attributes).get("type"), ""))
        self.within.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value) for name, value in attributes]

    def handle_endtag(self, tag: str) -> None:
        while self.within and self.within.pop() != tag:  # elements without an end, such as meta
            pass

    def handle_data(self, text: str) -> None:
        if self.within and self.within[-1] == "script":
            kind, before = self.scripts[-1]
            self.scripts[-1] = (kind, before + text)
        elif "style" not in self.within[-1:]:
            self.text.append(text)

    @property
    def specs(self) -> list[dict]:
        return [json.loads(text) for kind, text in self.scripts if kind == "application/json"]

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())


Pages = Callable[[str], Outline]


@pytest.fixture(scope="module")
def found(moment: DiscoverContent) -> Report:
    return discover_report(moment)


@pytest.fixture(scope="module")
def small(moment: DiscoverContent) -> DiscoverContent:
    """Fewer charts, for the tests that draw anew."""
    everyone = moment.moments[(moment.moments["segment"] == "all") & (moment.moments["day"] == 1)]
    return replace(moment, moments=everyone, trends=moment.trends[moment.trends["action"] == "friend"])


@pytest.fixture(scope="module")
def page(request: pytest.FixtureRequest, found: Report) -> Pages:
    """The page of a content, by the name of its fixture; each is made once."""
    made = {"moment": Outline(found.html)}
    return cache(lambda name: made.get(name) or outline(request.getfixturevalue(name)))


def outline(content: DiscoverContent) -> Outline:
    return Outline(discover_report(content).html)


def test_the_top_answers_question_verdict_certainty_and_next_step(found: Report) -> None:
    top = Outline(found.html.split("<nav")[0]).words
    assert "What, done in the first 24 hours, makes new users stay?" in top
    assert "A moment to test: within 24 h of sign-up, did friend at least 3 times." in top
    assert "61.2% of those who did it came back on D1 (58.0 to 64.0%); of everyone 36.4%." in top
    assert "+14.2 points in retention" in top
    assert "Test these, in this order" in top
    assert "message ≥ 3" in top
    assert "77 days" in top
    assert "message comes before 41% of friend" in found.html
    assert "if 50% of such apps have a cause; 0.81 if 25% have" in top
    assert "5,480 new users, drawn at random." in top
    assert "from 36.4% to 38.9%" in top
    assert "not a proof" in top


def test_none_says_so_and_why(page: Pages) -> None:
    none = page("none")
    assert "No moment found: there is nothing to test yet" in none.words
    assert "No candidate stands out." in none.words
    assert "Stands out: t 0.4." in none.words
    assert "A moment to test" not in none.words
    assert "none is left after 2 steps" in none.words
    assert len(none.specs) > 8


def test_every_table_says_which_users_and_dates_it_is_of(found: Report) -> None:
    numbers = re.findall(r"<details class=\"numbers\".*?</details>", found.html, re.DOTALL)
    tables = [caption for each in numbers for caption in re.findall(r"<summary>(.*?)</summary>", each)]
    assert len(tables) == 10
    whom = {
        "choosing dates, 3,200 users, 2026-09-01 to 2026-09-24",
        "later dates, 800 users, 2026-09-25 to 2026-09-30",
        "all dates, 4,000 users, 2026-09-01 to 2026-09-30",
    }
    of_days = "of each day the users who have reached it"
    assert all(any(each in caption for each in whom) or of_days in caption for caption in tables)
    assert all(any(each in caption for caption in tables) for each in whom)
    top = Outline(found.html.split("<nav")[0]).words
    assert "Chosen on 3,200 users of 24 dates (2026-09-01 to 2026-09-24)" in top
    assert "checked on 800 users of 6 dates (2026-09-25 to 2026-09-30)" in top


def test_what_is_not_estimable_says_so(small: DiscoverContent) -> None:
    bare = small.actions.assign(trend_effect=None, trend_low=None, trend_high=None)
    assert "not estimable" in outline(replace(small, actions=bare)).words


@pytest.mark.parametrize(("kind", "name"), [("within", "D1–7"), ("on_or_after", "D7+")])
def test_days_go_by_the_kind_of_return(small: DiscoverContent, kind: str, name: str) -> None:
    hypothesis = {**small.hypothesis, "day": 7, "retention_kind": kind}
    moments = small.moments.assign(day=7)
    page = outline(replace(small, hypothesis=hypothesis, moments=moments)).words
    assert f"{name} retention" in page
    assert "D7 " not in page.replace("D1, D7", "")


def test_the_terminal_has_the_answer_its_dates_and_what_to_do(
    moment: DiscoverContent, none: DiscoverContent
) -> None:
    text = discover_text(moment)
    assert "A moment to test: within 24 h of sign-up, did friend at least 3 times." in text
    assert "3,200 users" in text
    assert [line.split()[:2] for line in text.splitlines()[-2:]] == [["1", "friend"], ["2", "message"]]
    missing = {"help": "Users are too few: 1,182 more users would do.", "too_little": "users"}
    nothing = discover_text(replace(none, hypothesis={**none.hypothesis, **missing}))
    assert nothing.count("No moment found") == 1
    assert "1,182 more users" in nothing
    assert "1,182 more users" in outline(replace(none, hypothesis={**none.hypothesis, **missing})).words


def test_each_section_has_text_beside_its_charts(found: Report) -> None:
    sections = re.findall(r"<section id=\"(?!run|words).*?</section>", found.html, re.DOTALL)
    assert len(sections) == len(FIGURES) + 1  # pairs of actions are a table alone
    for section in sections:
        assert re.search(r"<h2.*?</h2>\s*<p>\S", section), "a finding in a sentence"
        assert "<table>" in section
        if 'id="conjunctions"' not in section:
            assert re.search(r'role="img" aria-label="[^"]{20,}"', section)


def test_empty_tables_say_why_nothing_is_shown(page: Pages) -> None:
    assert page("empty").words.count("Nothing to show:") == 9
    assert page("empty").scripts == []


@pytest.mark.parametrize("table", COLUMNS)
def test_one_empty_table_leaves_the_others(small: DiscoverContent, table: str) -> None:
    content = replace(small, **{table: pd.DataFrame(columns=list(COLUMNS[table]))})
    assert "Nothing to show:" in outline(content).words


def test_missing_figures_are_dashes_or_left_out(small: DiscoverContent) -> None:
    keys = {"verdict", "action", "threshold", "day"}
    bare = {key: value for key, value in small.hypothesis.items() if key in keys}
    unknown = {
        column: None
        for column in COLUMNS["moments"]
        if column.startswith(("segment_adjusted", "adjusted", "trend", "e_", "q_", "simpson", "frontier_"))
    }
    content = replace(
        small,
        hypothesis=bare,
        moments=small.moments.assign(**unknown),
        actions=small.actions.assign(
            expected=None, observed=None, p_cause=None, p_works=None, trend_effect=None
        ),
        settings={},
    )
    words = outline(content).words
    assert "How sure is that?" not in words
    assert "nan" not in words.lower().split()
    assert "None" not in words.split()


def test_a_row_of_one_user_does_not_break_the_page(small: DiscoverContent) -> None:
    lone = small.moments.head(1).assign(users=1, experienced=1, retained=0, both=0, recall=None)
    content = replace(small, moments=lone, trends=small.trends.head(1), consistency=small.consistency.head(1))
    assert "no candidate has users that did it and users that came back" in outline(content).words


def test_dates_of_few_users_are_told_not_drawn(small: DiscoverContent) -> None:
    few = small.consistency["users"].where(small.consistency.index > 4, 2)
    words = outline(replace(small, consistency=small.consistency.assign(users=few))).words
    assert "5 dates are not drawn: fewer than 20 users each." in words


def test_names_are_text_and_never_code(page: Pages) -> None:
    odd = page("nasty")
    kinds = [kind for kind, _ in odd.scripts]
    assert kinds.count(None) == 2, "the Vega bundle and the page's own script, nothing else"
    assert "</script><script>alert(1)</script> at least 3 times" in odd.words
    assert "'; DROP TABLE users; -- {{ 7*7 }} ≥ 3" in odd.words
    assert "line↵break�� ≥ 3" in odd.words
    assert "🎉 party" in odd.words
    assert not [name for _, name, _ in odd.attributes if name.startswith("on")]
    labels = {
        row["group"]
        for spec in odd.specs
        for rows in spec["datasets"].values()
        for row in rows
        if "group" in row
    }
    assert len(labels) == 11, "ten leading actions and the others"


def test_names_are_not_field_names(page: Pages) -> None:
    """A field name with dots or brackets is a path to Vega; ours are plain identifiers."""
    for spec in page("nasty").specs:
        for rows in spec["datasets"].values():
            assert all(re.fullmatch(r"[a-z_0-9]+", field) for row in rows for field in row)


@pytest.mark.parametrize("name", ["moment", "none", "nasty", "empty"])
def test_the_page_loads_nothing(name: str, page: Pages) -> None:
    attributes = page(name).attributes
    loads = [value for _, attribute, value in attributes if attribute in LOADING]
    assert [value for value in loads if not (value or "").startswith("#")] == []
    policy = next(value or "" for _, name, value in attributes if name == "content")
    assert policy.startswith("default-src 'none'; ")
    assert "http" not in policy
    assert not re.search(r"https?:|@import|url\(", json.dumps(page(name).specs))


def test_anchors_lead_somewhere(found: Report) -> None:
    page = Outline(found.html)
    ids = [value for _, name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    assert {value.lstrip("#") for _, name, value in page.attributes if name == "href" and value} <= set(ids)


def test_charts_are_valid_vega_lite(found: Report) -> None:
    specs = Outline(found.html).specs
    assert len(specs) > 10
    for spec in specs:
        kind = alt.LayerChart if "layer" in spec else alt.Chart
        kind.from_dict(spec | {"datasets": {}})  # raises what the schema of Vega-Lite does not allow


def test_the_same_content_gives_the_same_page(moment: DiscoverContent, found: Report) -> None:
    assert discover_report(moment).html == found.html


def test_figures_are_pngs_also_with_odd_names(nasty: DiscoverContent) -> None:
    figures = discover_report(nasty).figures
    assert set(figures) == FIGURES
    for image in figures.values():
        assert image.startswith(b"\x89PNG\r\n")
        assert int.from_bytes(image[16:20]) > 1000, "pixels across"


def test_content_names_the_columns_it_lacks(small: DiscoverContent) -> None:
    with pytest.raises(ValueError, match=r"'funnel' lacks the columns \['loser'\]"):
        replace(small, funnel=small.funnel.drop(columns="loser"))


def test_content_refuses_another_verdict(small: DiscoverContent) -> None:
    with pytest.raises(ValueError, match="not 'perhaps'"):
        replace(small, hypothesis={"verdict": "perhaps"})


def test_a_time_without_zone_is_shown_as_it_is(small: DiscoverContent) -> None:
    words = outline(replace(small, generated_at=datetime(2026, 1, 2, 3, 4))).words
    assert "2026-01-02 03:04" in words
