"""Discover's report: the answer, the text for the terminal, and the page with what to do next."""

import re
from collections.abc import Mapping
from typing import Any

import pandas as pd

from firstday.answer import Answer, Fact
from firstday.moments import charts, sections
from firstday.moments.content import DiscoverContent
from firstday.report import words
from firstday.report.figures import unchecked
from firstday.report.page import Page, Report, Tile, figures_of, render
from firstday.report.palette import Styles
from firstday.report.terminal import aligned
from firstday.rounding import per_day

# What discover says of its candidate: the figure, its unit, and what it is.
CANDIDATE = (
    ("p_cause", "probability", "that the action is a cause"),
    ("p_works", "probability", "that pushing it works"),
    ("precision", "share", "of those who did it, came back"),
    ("recall", "share", "of those who came back, did it"),
    ("adjusted", "points", "difference in retention among equally active users"),
)
WORDS = (
    ("action, threshold", "The name of an event, and 'at least so many times'."),
    ("candidate", "One action at one threshold."),
    ("sign-up", "The instant a user's clock starts: sign-up, or another one that the users table gives."),
    ("precision", "Of the users that did it, the share that came back."),
    ("recall", "Of the users that came back, the share that did it."),
    ("lift", "Precision divided by everyone's retention: 1 means no difference."),
    ("F1", "One figure for precision and recall, high only when both are."),
    ("phi", "The correlation of doing it with coming back: 0 none, 1 complete."),
    ("interval", "Where the true value lies in 19 of 20 such studies, going by chance alone."),
    ("points", "A difference of two percentages: from 40% to 45% is +5 points."),
    (
        "choosing dates, later dates",
        "What is chosen is chosen on the earlier dates alone; the later ones show whether it holds.",
    ),
    ("adjusted", "Compared among users of the same segment that did about as much of everything else."),
    (
        "not estimable",
        "There is too little to go by: an interval would hold every effect that there can be.",
    ),
    ("covariance", "Of coming back with log(1 + times done), inside dates and segments."),
    ("family", "Actions that follow from one another, as a reply follows a message."),
    (
        "Bayes factor",
        "How much likelier a cause than a sign of engagement, by the data alone: 10 is ten times as likely, "
        "1/10 a tenth; 1 means that the data cannot tell.",
    ),
    (
        "P(cause), P(works)",
        "How likely the action is a cause; and that pushing it works, itself or by what it leads to.",
    ),
    ("expected gain", "P(works) times what a test of it would add to retention if it works."),
    (
        "E-value",
        "How strong a hidden cause would have to be to explain the difference away; 1: any would do.",
    ),
    ("q-value", "The share of false findings to expect among all candidates at least as clear as this one."),
    (
        "trend effect",
        "How much more those who do it come back than the others, by how retention moves with their share "
        "from date to date, what moves all actions taken out.",
    ),
    (
        "slope over dates",
        "The same for the action as such: retention against the mean of log(1 + times done).",
    ),
)
GRAPHED = 3  # candidates whose family, evidence and test stand in the head


def discover_answer(content: DiscoverContent) -> Answer:
    """The candidate that is named or listed first, and what is known of it."""
    found = content.hypothesis
    facts = []
    if not words.absent(found.get("action")):
        facts = [Fact("action", str(found["action"])), Fact("threshold", found["threshold"], "times")]
    for name, unit, meaning in CANDIDATE:
        if not words.absent(found.get(name)):
            facts.append(
                Fact(name, found[name], unit, found.get(f"{name}_low"), found.get(f"{name}_high"), meaning)
            )
    return Answer(found["verdict"], _headline(content), tuple(facts), tuple(content.notes))


def _headline(content: DiscoverContent) -> str:
    if content.hypothesis["verdict"] == "none":
        return "No moment found: there is nothing to test yet."
    if content.hypothesis["verdict"] == "shortlist":
        return "No single moment stands out, but these are worth a test, in this order."
    return f"A moment to test: {words.stopped(content.hypothesis.get('sentence'))}"


def discover_text(content: DiscoverContent) -> str:
    """The answer, the users and dates it rests on, and what to test in which order, or what is too little."""
    found = content.hypothesis
    lines = [discover_answer(content).headline, words.sentence(found.get("reason") or "")]
    lines.append(discover_parts(content))
    lines += [words.text(found["help"])] if found.get("help") else []
    lines += [f"{words.name(name)}: {words.name(said)}" for name, _, said in content.settled]
    lines = [line for line in lines if line]
    if content.shortlist.empty:
        return "\n".join(lines)
    columns = ("rank", "action", "at least", "P(works)", "P(cause)", "expected gain", "users an arm", "days")
    rows = [
        (
            str(row.rank),
            words.name(row.action),
            f"{row.threshold} times",
            words.decimal(row.p_works, 2),
            words.decimal(row.p_cause, 2),
            words.points(row.expected_gain),
            words.number(row.users_per_arm),
            words.number(row.days_needed),
        )
        for row in content.shortlist.itertuples(index=False)
    ]
    numeric = (columns[0], *columns[3:])
    return "\n".join([*lines, "", aligned(columns, rows, numeric)])


def _words(content: DiscoverContent) -> tuple[tuple[str, str], ...]:
    days = {
        "on": ("D1, D7, …", "Came back on day 1, 7, … after sign-up."),
        "within": (
            "D1, D1–7, …",
            "Came back on any of the days 1 to 7, … after sign-up, once the action window was over.",
        ),
        "on_or_after": (
            "D1+, D7+, …",
            "Came back on day 1, 7, … after sign-up or later, up to the end of the log: the earlier users "
            "signed up, the longer they had.",
        ),
    }
    name, meaning = days[content.kind]
    return (*WORDS[:3], (name, f"{meaning} Users whose last day of it is not over are left out."), *WORDS[3:])


@unchecked
def discover_report(content: DiscoverContent) -> Report:
    """The page as one HTML text that loads nothing, and its figures.

    The same content gives the same page to the last byte.
    """
    found = content.hypothesis
    candidate = (found.get("action"), found.get("threshold"))
    moments = content.moments[content.moments["day"] == _day(content)].reset_index(drop=True)
    is_chosen = (moments["action"] == candidate[0]) & (moments["threshold"] == candidate[1])
    moments = moments.assign(chosen=is_chosen & (found["verdict"] != "none"))
    everyone = moments[moments["segment"] == "all"]
    moments["verdict"] = _verdicts(moments, everyone)
    styles = _styles(content, everyone)
    made = f"{content.generated_at:%Y-%m-%d %H:%M %Z}".strip()
    page = Page(
        title=f"What, done in the first {_window(content)}, makes new users stay?",
        about=f"firstday discover · run {words.name(content.run_id)} · {made}",
        sections=(
            sections.funnel(content),
            sections.candidates(content, everyone, styles),
            sections.segments(content, moments, styles),
            sections.conjunctions(content),
            sections.adjusted(content, everyone),
            sections.stands_out(content),
            sections.trends(content, everyone),
            sections.later_days(content),
            sections.day_effects(content),
            *([] if content.labels is None else [sections.what_labels_changed(content.labels)]),
        ),
        words=_words(content),
    )
    is_found = found["verdict"] != "none"
    html = render(
        "discover.html.j2",
        page,
        found=is_found,
        verdict=discover_answer(content).headline,
        parts=discover_parts(content),
        later=content.whom("later"),
        reason=words.sentence(found.get("reason") or ""),
        facts=_how_sure(content) if is_found else _what_came_closest(content),
        listed=_listed(content),
        settled=[Tile(*each) for each in content.settled],
        help=words.text(content.hypothesis.get("help") or ""),
        test=_planned_test(content) if is_found else [],
        sql=found.get("sql") or "",
        notes=[words.sentence(note) for note in content.notes],
        run=_run(content),
    )
    return Report(html, figures_of(page))


def _verdicts(moments: pd.DataFrame, everyone: pd.DataFrame) -> pd.Series:
    """The choice is made for everyone: a candidate that it dropped counts as dropped in each segment."""
    overall = everyone.set_index(["action", "threshold"])["verdict"].to_dict()
    pairs = zip(moments["action"], moments["threshold"], strict=True)
    return pd.Series([overall.get(pair) for pair in pairs], index=moments.index, dtype=object)


def discover_parts(content: DiscoverContent) -> str:
    """The users and dates of both parts; '' where they are not known."""
    found = content.hypothesis
    if words.absent(found.get("choosing_users")) or words.absent(found.get("choosing_first")):
        return ""

    def part(name: str) -> str:
        users = words.some(found[f"{name}_users"], "user", "users")
        dates = words.some(found[f"{name}_dates"], "date", "dates")
        ends = (words.iso_date(found[f"{name}_{end}"]) for end in ("first", "last"))
        return f"{users} of {dates} ({' to '.join(ends)})"

    later = part("later") if found.get("later_users") else "no later dates"
    return f"Chosen on {part('choosing')}; checked on {later}."


def _how_sure(content: DiscoverContent) -> list[Tile]:
    found = content.hypothesis

    def interval(figure: str) -> str:
        form = words.points_interval if figure == "adjusted" else words.share_interval
        between = form(found.get(f"{figure}_low"), found.get(f"{figure}_high"))
        return "" if between == words.NOTHING else f" ({between})"

    day, base = content.day(found.get("day")), found.get("baseline")
    everyone = "" if words.absent(base) else f"; of everyone {words.share(base)}"
    returned = {"on": f"on {day}", "within": f"within {day}", "on_or_after": f"on {day}"}[content.kind]
    facts = (
        Tile(
            "Precision",
            words.share(found.get("precision")),
            f"of those who did it came back {returned}{interval('precision')}{everyone}.",
        ),
        Tile(
            "Recall",
            words.share(found.get("recall")),
            f"of those who came back had done it{interval('recall')}.",
        ),
        Tile(
            "Adjusted difference",
            words.points(found.get("adjusted")),
            f"in retention, against equally active users of the same segment{interval('adjusted')}.",
        ),
        Tile(
            "P(cause)",
            words.decimal(found.get("p_cause"), 2),
            f"that the action matters itself{_prior(content)}.",
        ),
    )
    return [fact for fact in facts if fact.value != words.NOTHING]


def _what_came_closest(content: DiscoverContent) -> list[Tile]:
    """The three actions with the strongest evidence and why each fell."""
    known = content.actions[content.actions["p_works"].notna()]
    actions = known.sort_values("p_works", ascending=False, kind="stable").head(3)
    return [
        Tile(
            words.name(row.action, 40),
            words.decimal(row.p_works, 2),
            words.sentence(words.text(row.reason)),
        )
        for row in actions.itertuples(index=False, name="Row")
    ]


def _prior(content: DiscoverContent) -> str:
    share, others = content.hypothesis.get("cause_share"), content.hypothesis.get("others")
    if words.absent(share):
        return ""
    return f", if {words.share(share, 0)} of such apps have a cause{f'; {others}' if others else ''}"


def _listed(content: DiscoverContent) -> list[dict[str, object]]:
    """What the head says of each action to test, in the order of the list."""
    evidence = content.actions.set_index("action")
    shown: list[dict[str, object]] = []
    for row in content.shortlist.sort_values("rank").itertuples(index=False, name="Row"):
        first = int(row.rank) <= GRAPHED
        facts = [
            Tile("P(works)", words.decimal(row.p_works, 2), f"P(cause) {words.decimal(row.p_cause, 2)}."),
            Tile(
                "Effect of reaching it",
                words.points(row.effect),
                f"in retention, if it works ({words.points_interval(row.effect_low, row.effect_high)}, 90%).",
            ),
            Tile("Expected gain", words.points(row.expected_gain), "of a test, all in all."),
            Tile(
                "The test",
                f"{words.number(row.days_needed)} days",
                f"{words.number(row.users_per_arm)} new users an arm. Watch {_watched(content, row)}.",
            ),
        ]
        if first and row.action in evidence.index:
            known = evidence.loc[row.action]
            facts.append(
                Tile(
                    "Evidence",
                    f"{words.factor(known['within_factor'])} and {words.factor(known['trend_factor'])}",
                    "Bayes factors of a cause, from users of the same date and from the dates.",
                )
            )
        shown.append(
            {
                "title": words.candidate(row.action, row.threshold),
                "status": "" if row.status == "not tested" else words.text(row.status),
                "facts": facts,
                "why": words.sentence(words.text(row.why)),
                "against": words.sentence(words.text(row.against)),
                "graph": charts.family_graph(content.links, str(row.action)) if first else None,
            }
        )
    return shown


def _watched(content: DiscoverContent, row: Any) -> str:
    day = [] if words.absent(row.guardrail_day) else [f"{content.day(row.guardrail_day)} retention"]
    return words.listed([*day, *(words.name(name) for name in row.guardrails)])


def _planned_test(content: DiscoverContent) -> list[Tile]:
    """Of the first of the list."""
    found = content.hypothesis
    base, effect = found.get("baseline"), found.get("detectable_effect")
    target = words.NOTHING if base is None or effect is None else words.share(base + effect)
    facts = (
        Tile(
            "Users in each of the two groups",
            words.number(found.get("users_per_arm")),
            "new users, drawn at random.",
        ),
        Tile(
            "Days needed",
            words.number(found.get("days_needed")),
            f"for them to sign up ({_traffic(found)}) and to reach {content.day(found.get('day'))}.",
        ),
        Tile(
            "Smallest change it can see",
            words.points(effect),
            f"in {content.day(found.get('day'))} retention: from {words.share(base)} to {target}.",
        ),
        Tile(
            "Chance to see it, if it is there",
            words.share(found.get("power"), 0),
            f"and {words.share(found.get('alpha'), 0)} to see one that is not there.",
        ),
    )
    return [fact for fact in facts if fact.value != words.NOTHING]


def _traffic(found: Mapping[str, Any]) -> str:
    if words.absent(found.get("users_a_day")):
        return "at the present rate"
    if words.absent(found.get("users_a_day_first")):
        return per_day(found["users_a_day"])
    first, last = (words.iso_date(found[f"users_a_day_{end}"]) for end in ("first", "last"))
    return f"{per_day(found['users_a_day'])}, as from {first} to {last}"


def _run(content: DiscoverContent) -> list[tuple[str, list[tuple[str, str]]]]:
    counted = {label: words.number(count) for label, count in content.tallies.items()}
    groups = (("Counted", counted), ("Inputs", content.inputs), ("Settings", content.settings))
    return [
        (caption, [(words.name(key), words.name(value)) for key, value in pairs.items()])
        for caption, pairs in groups
        if pairs
    ]


def _day(content: DiscoverContent) -> int | None:
    """The day the choice was made on; where none was made, the first."""
    day = content.hypothesis.get("day")
    if day is not None and not words.absent(day):
        return int(day)
    return None if content.moments.empty else int(content.moments["day"].min())


def _styles(content: DiscoverContent, everyone: pd.DataFrame) -> Styles:
    """The chosen action leads, then those with the highest phi."""
    phi = everyone["phi"].astype(float).fillna(-1).groupby(everyone["action"]).max()
    ranked = phi.sort_values(ascending=False, kind="stable").index.tolist()
    chosen = content.hypothesis.get("action")
    rest = sorted(set(content.moments["action"]) - set(ranked))
    return Styles([*([] if chosen is None else [chosen]), *ranked, *rest])


def _window(content: DiscoverContent) -> str:
    """'24h' → '24 hours'"""
    window = words.name(content.settings.get("window", "24h"))
    match = re.fullmatch(r"(\d+)([dhms])", window)
    if match is None:
        return window
    unit = {"d": "day", "h": "hour", "m": "minute", "s": "second"}[match[2]]
    return unit if match[1] == "1" else f"{match[1]} {unit}s"
