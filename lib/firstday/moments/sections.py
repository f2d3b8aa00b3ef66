"""The sections of discover's page: each a finding, how to read it, the figure and its numbers."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from firstday.moments import charts
from firstday.moments.content import DiscoverContent
from firstday.report import words
from firstday.report.page import Cell, Section, Table, table
from firstday.report.palette import Styles

SEGMENTS_SHOWN = 8
SEGMENT_ROWS = 300
DRAWN_FROM = 30  # users that did it: with fewer the interval of precision is wider than ±18 points
DATE_FROM = 20  # users that signed up on a date: shares of fewer jump up and down and hide the others
CANDIDATES_SHOWN = 12
ACTIONS_SHOWN = 15
TRENDS_SHOWN = 6
CLEARLY = 10.0  # a Bayes factor from which evidence is clear
TREND_WORDS = {"similar": "alike", "differs": "differently", "not enough data": "too little data to say"}
MOST_MOVED = 15
CANDIDATE_KEYS = ["action", "threshold"]
COMPARED = ("experienced", "precision", "recall", "phi", "verdict")
ELSEWHERE = "All of them are in the table moments."


def funnel(content: DiscoverContent) -> Section:
    """How many candidates each step left, and why the best-known losers fell."""
    title = "How the candidates were narrowed down"
    steps = content.funnel.sort_values("step", kind="stable")
    if steps.empty:
        return Section("funnel", title, nothing="the run kept no steps.")
    first, last = steps.iloc[0], steps.iloc[-1]
    start = int(first["candidates"]) + words.count(first["dropped"])
    left = words.some(last["candidates"], "is", "are") if last["candidates"] else "none is"
    finding = (
        f"{words.some(start, 'candidate', 'candidates')} went in ({content.whom('choosing')}); {left} left "
        f"after {words.some(int((steps['step'] > 0).sum()), 'step', 'steps')}."
    )
    how = (
        "Each step asks one more question. The dashed part of a bar is what it dropped; the list below names "
        "the best-known candidate that each step dropped, and why."
    )
    return Section(
        *("funnel", title, (finding,), how),
        charts.funnel(title, steps),
        (_funnel_table(steps, content.whom("choosing")),),
    )


def candidates(content: DiscoverContent, everyone: pd.DataFrame, styles: Styles) -> Section:
    """Precision against recall of every candidate."""
    title = "All candidates: who comes back, and how many of them"
    shown = _drawable(everyone)
    if shown.empty:
        return Section(
            "candidates", title, nothing="no candidate has users that did it and users that came back."
        )
    drawn = _enough(shown)
    best = drawn.sort_values("phi", ascending=False, na_position="last", kind="stable").iloc[0]
    finding = (
        f"{words.some(len(shown), 'candidate', 'candidates')} shown for {content.day(best['day'])} "
        f"({content.whom('all')}). {_named(best)} goes with coming back most closely (phi "
        f"{words.decimal(best['phi'], 2)}): "
        f"{words.share(best['precision'])} of those who did it came back, and "
        f"{words.share(best['recall'])} of those who came back had done it."
    )
    for _, row in shown[shown["chosen"]].iterrows():
        if _named(row) == _named(best):
            finding += " It is also the one chosen."
        else:
            finding += (
                f" The one chosen is {_named(row)} (phi {words.decimal(row['phi'], 2)}): "
                "what goes with coming back most closely need not be a cause, as the next sections show."
            )
    how = (
        "One mark a candidate, one colour and shape an action; a thin line joins an action's thresholds. "
        "Higher: more of those who did it came back. Further right: it covers more of those who came back. "
        "Upper right is best. Press an action in the legend to bring it out; point at a mark for its figures."
    )
    if len(drawn) < len(shown):
        few = words.some(len(shown) - len(drawn), "candidate is", "candidates are")
        how += f" {few} not drawn: fewer than {DRAWN_FROM} users did it."
    figure = charts.scatter(title, drawn, styles)
    return Section(
        "candidates", title, (finding,), how, figure, (_candidates_table(shown, content.whom("all")),)
    )


def segments(content: DiscoverContent, moments: pd.DataFrame, styles: Styles) -> Section:
    """Precision against recall inside the largest segments."""
    title = "The same inside segments"
    inside = moments[moments["segment"] != "all"]
    drawn = _drawable(inside)
    if drawn.empty:
        asked = "segments" in content.settings
        why = (
            "no segment has enough users (--min-users)"
            if asked
            else "no segments were asked for (--segments)"
        )
        return Section("segments", title, nothing=f"{why}.")
    sizes = drawn.groupby("segment")["users"].max().reset_index()
    ranked = sizes.sort_values(["users", "segment"], ascending=[False, True])["segment"].tolist()
    parts = {segment: _enough(drawn[drawn["segment"] == segment]) for segment in ranked}
    largest = [segment for segment, rows in parts.items() if len(rows) > 2][:SEGMENTS_SHOWN] or ranked[:1]
    chosen = inside[inside["chosen"]]
    compared = chosen[chosen["difference"].notna()]
    if compared.empty:
        finding = (
            f"{words.some(len(ranked), 'segment was', 'segments were')} looked at ({content.whom('all')})."
        )
        listed = _segment_frontiers_table(drawn, largest, content.whom("all"))
    else:
        ahead = int((compared["difference"] > 0).sum())
        finding = (
            f"Those who did {_named(compared.iloc[0])} came back more often than the others "
            f"in {words.number(ahead)} of {words.some(len(compared), 'segment', 'segments')} "
            f"({content.whom('all')})."
        )
        listed = _chosen_by_segment_table(chosen, content.whom("all"))
    if len(ranked) > len(largest):
        finding += f" Drawn: the {len(largest)} largest." if len(largest) > 1 else " Drawn: the largest."
    how = (
        "All on the same axes. If a candidate were only a sign of who the users are, its place would change "
        "from segment to segment."
    )
    shown = drawn.loc[[place for segment in largest for place in _thinned(parts[segment]).index]]
    figure = charts.segment_scatter(title, shown, largest, styles)
    return Section("segments", title, (finding,), how, figure, (listed,))


def conjunctions(content: DiscoverContent) -> Section:
    """Two actions together beside the best single one."""
    title = "Two actions together: whom they find better than any one does"
    tried = content.conjunctions
    if tried.empty:
        nothing = "no two of the leading actions promised more than one of them on the choosing dates."
        return Section("conjunctions", title, nothing=nothing)
    better = tried[tried["beats"].astype(bool)]
    finding = (
        f"Of {words.some(len(tried), 'pair', 'pairs')} that promised more on the choosing dates, "
        f"{words.some(len(better), 'finds', 'find')} users who come back more often than those of any "
        f"single candidate of at least the pair's recall ({content.whom('later')}; corrected for the number "
        "tried, Holm)."
    )
    findings = [finding]
    if len(better):
        top = better.iloc[0]
        findings.append(
            f"The largest gain: {words.candidate(top['action'], top['threshold'])} and "
            f"{words.candidate(top['other_action'], top['other_threshold'])}, of whom "
            f"{words.share(top['precision'])} came back, against {words.share(top['single_precision'])} of "
            f"{words.candidate(top['single_action'], top['single_threshold'])}."
        )
    how = (
        "A product may call users active who did both. This says whom such a rule finds, not that doing both "
        "makes anybody stay: what is worth a test stands on the list above. A pair is compared with the most "
        "precise of the single candidates whose recall on the same dates is no lower."
    )
    listed = _conjunctions_table(tried, content.whom("later"))
    return Section("conjunctions", title, tuple(findings), how, tables=(listed,))


def adjusted(content: DiscoverContent, everyone: pd.DataFrame) -> Section:
    """Crude against adjusted differences."""
    title = "How much is left when equally active users are compared"
    known = everyone[everyone["difference"].notna()]
    if known.empty:
        return Section("adjusted", title, nothing="no candidate has users on both sides to compare.")
    best = best_per_action(_enough(known))
    top = best.head(CANDIDATES_SHOWN)
    shrunk = int((top["adjusted"].astype(float).abs() < top["difference"].astype(float).abs() / 2).sum())
    finding = (
        f"Of {words.some(len(top), 'action', 'actions')}, each at the threshold with the highest phi, "
        f"{words.some(shrunk, 'loses', 'lose')} more than half of the difference once users are compared "
        f"with others of the same segment and as much other activity ({content.whom('all')})."
    )
    turned = sum(words.true(flag) for flag in everyone["simpson"])
    if turned:
        finding += (
            f" {words.some(turned, 'candidate turns', 'candidates turn')} round among equally active users: "
            "ahead overall, behind among them, or the other way (Simpson's paradox)."
        )
    how = (
        "Busy users do more of everything and come back more. The upper mark of each row is the plain "
        "difference in retention between those who did it and the others; the marks below compare like with "
        "like. Bars are 95% intervals. Other activity may itself follow from the action: then the lowest "
        "mark says too little."
    )
    listed = _adjusted_table(best, content.whom("all"))
    return Section("adjusted", title, (finding,), how, charts.adjusted(title, top), (listed,))


def stands_out(content: DiscoverContent) -> Section:
    """Each action's covariance with retention against what engagement alone would give it."""
    title = "Which action goes with retention more than engagement explains"
    actions = content.actions
    if actions.empty:
        return Section("stands-out", title, nothing="there are too few actions to compare with one another.")
    ranked = actions.sort_values("p_cause", ascending=False, na_position="last", kind="stable")
    known = actions[actions["expected"].notna() & actions["observed"].notna()]
    if known.empty:
        finding = (
            "How closely each action would go with retention if it only measured engagement is not known."
        )
        return Section(
            "stands-out", title, (finding,), tables=(_actions_table(ranked, content.whom("choosing")),)
        )
    known = known.sort_values("p_cause", ascending=False, na_position="last", kind="stable")
    top = known.iloc[0]
    finding = (
        f"The likeliest cause is {words.name(top['action'])}: {_link(top)} (covariance "
        f"{words.decimal(top['observed'], 4)}, engagement explains {words.decimal(top['expected'], 4)}; "
        f"Bayes factor {words.factor(top['within_factor'])}). With the dates' evidence (Bayes factor "
        f"{words.factor(top['trend_factor'])}) and all other explanations weighed, P(cause) is "
        f"{words.decimal(top['p_cause'], 2)} ({content.whom('choosing')})."
    )
    how = (
        "Every action measures hidden engagement to some degree, and goes with retention in proportion. The "
        "hollow mark is where that proportion puts it, the filled one where it is. An action whose filled "
        "mark lies far to the right of the hollow one matters itself, or a taste behind its family does."
    )
    figure = charts.stands_out(title, known.head(ACTIONS_SHOWN), content.hypothesis.get("action"))
    whom = content.whom("choosing")
    followed = [] if content.links.empty else [_links_table(content.links, whom)]
    listed = (_actions_table(ranked, whom), *followed)
    return Section("stands-out", title, (finding,), how, figure, listed)


def trends(content: DiscoverContent, everyone: pd.DataFrame) -> Section:
    """The share that did it and retention, by date, for the chosen candidate and the strongest losers."""
    title = "Do the dates agree"
    counts = everyone["trend"].value_counts()
    said = [f"{words.number(counts[kind])} {word}" for kind, word in TREND_WORDS.items() if kind in counts]
    findings = (
        (f"Of the candidates, from date to date against retention: {words.listed(said)}.",) if said else ()
    )
    dates = content.trends[content.trends["segment"] == "all"]
    dates = dates.sort_values("anchor_date", kind="stable", ignore_index=True)
    if dates.empty:
        return Section("trends", title, findings, nothing="no candidate has enough dates to draw.")
    keyed = everyone.set_index(["action", "threshold"])
    chosen = (content.hypothesis.get("action"), content.hypothesis.get("threshold"))
    drawn: list[tuple[str, str, pd.DataFrame]] = []
    for (action, threshold), rows in dates.groupby(["action", "threshold"], sort=False):
        known = (action, threshold) in keyed.index
        caption = _trend_caption(keyed.loc[(action, threshold)]) if known else ""
        panel = (words.candidate(action, threshold, 30), caption, rows)
        drawn.insert(0 if (action, threshold) == chosen else len(drawn), panel)
    how = (
        "If doing it makes users stay, dates on which more did it are dates on which more stayed. Each line "
        "is scaled to its own average and standard deviation. Some dates lift everything at once (weekends, "
        "campaigns), which makes any two lines look alike; the trend effect takes that out, so trust it more "
        "than the lines."
    )
    how += _not_drawn(dates)
    figure = charts.trends(
        title, [(name, said, _populated(rows)) for name, said, rows in drawn[:TRENDS_SHOWN]]
    )
    listed = dates.loc[[place for _, _, rows in drawn for place in rows.index]]
    return Section("trends", title, findings, how, figure, (_trends_table(listed, content.whom("all")),))


def later_days(content: DiscoverContent) -> Section:
    """Retention by date for each day, and the later days against the first."""
    dates = content.consistency.sort_values("anchor_date", kind="stable")
    named = [re.fullmatch(r"d(\d+)", str(column)) for column in dates.columns]
    days = sorted(int(match[1]) for match in named if match and dates[match[0]].notna().any())
    named_days = {day: content.day(day) for day in days}
    title = f"Does {named_days[days[0]] if days else 'the first day'} speak for later days"
    if not days:
        return Section("days", title, nothing="no date's users have had time to come back yet.")
    finding = " ".join(_together(dates, days[0], day, named_days) for day in days[1:])
    how = (
        f"A test may be read after {named_days[days[0]]} only if later days move with it." if days[1:] else ""
    )
    how += _not_drawn(dates)
    figure = charts.consistency(title, _populated(dates), named_days)
    findings = (finding or f"Only {named_days[days[0]]} was looked at, or is over.",)
    return Section("days", title, findings, how, figure, (_consistency_table(dates, named_days),))


def day_effects(content: DiscoverContent) -> Section:
    """The candidate's adjusted difference on each day."""
    effects = content.day_effects.sort_values("day", kind="stable")
    title = f"Does it hold on later days: {_followed(content)}"
    if effects.empty:
        return Section("day-effects", title, nothing="there is no candidate to follow, or no day is over.")
    low, known = effects["low"].astype(float), effects["adjusted"].notna()
    said = [
        f"{kind} for {words.listed([content.day(day) for day in effects.loc[rows, 'day']])}"
        for kind, rows in (
            ("clearly above zero", known & (low > 0)),
            ("not clearly above zero", known & ~(low > 0)),
            ("not known (too few users to compare)", ~known),
        )
        if rows.any()
    ]
    finding = f"The adjusted difference is {words.listed(said)} ({content.whom('later')})."
    how = "The same comparison of like with like for each day, on dates that had no part in the choice."
    days = {day: content.day(day) for day in effects["day"]}
    figure = charts.day_effects(title, effects[known], days) if known.any() else None
    listed = _day_effects_table(effects, days, content.whom("later"))
    return Section("day-effects", title, (finding,), how, figure, (listed,))


def _followed(content: DiscoverContent) -> str:
    """The candidate that `day_effects` follows: the chosen one, or the one its own columns name."""
    found, effects = content.hypothesis, content.day_effects
    if found["verdict"] == "moment":
        return words.candidate(found.get("action"), found.get("threshold"), 40)
    if len(effects) and {"action", "threshold"} <= set(effects.columns):
        return words.candidate(effects["action"].iloc[0], effects["threshold"].iloc[0], 40)
    return "the best-known candidate"


def _link(row: pd.Series) -> str:
    """Whether an action goes with retention more than engagement explains, in words."""
    if row["observed"] <= row["expected"] or row["within_factor"] < 1 / CLEARLY:
        return "linked with retention no more than engagement explains"
    much = "clearly" if row["within_factor"] >= CLEARLY else "slightly"
    return f"linked with retention {much} more than engagement explains"


def _named(row: Any) -> str:
    return words.candidate(row["action"], row["threshold"])


def _drawable(moments: pd.DataFrame) -> pd.DataFrame:
    return moments[moments["precision"].notna() & moments["recall"].notna()]


def _populated(dates: pd.DataFrame) -> pd.DataFrame:
    """Dates with enough users to be drawn; all of them where there are too few of these for a line."""
    populated = dates[dates["users"] >= DATE_FROM]
    return populated if populated["anchor_date"].nunique() > 2 else dates


def _not_drawn(dates: pd.DataFrame) -> str:
    left_out = dates["anchor_date"].nunique() - _populated(dates)["anchor_date"].nunique()
    if not left_out:
        return ""
    return f" {words.some(left_out, 'date is', 'dates are')} not drawn: fewer than {DATE_FROM} users each."


def _enough(rows: pd.DataFrame) -> pd.DataFrame:
    """Candidates that enough users did to say something of; all of them where none is."""
    enough = rows[(rows["experienced"] >= DRAWN_FROM) | rows["chosen"]]
    return rows if enough.empty else enough


def _thinned(rows: pd.DataFrame) -> pd.DataFrame:
    """At most `SEGMENT_ROWS` rows: the frontier and the chosen candidate, then the highest phi."""
    kept = rows["chosen"] | rows["on_frontier"].map(words.true)
    ranked = rows.assign(kept=kept, tie=rows["phi"].astype(float)).sort_values(
        ["kept", "tie"], ascending=False, na_position="last", kind="stable"
    )
    return rows.loc[ranked.index[:SEGMENT_ROWS]]


def _trend_caption(figures: pd.Series) -> str:
    effect = words.points_with(
        figures["trend_effect"], figures["trend_effect_low"], figures["trend_effect_high"]
    )
    trend = "" if words.absent(figures["trend"]) else f"Trend: {words.text(figures['trend'])}. "
    return f"{trend}Effect {words.estimable(effect)}"


def _together(dates: pd.DataFrame, first: int, day: int, named: Mapping[int, str]) -> str:
    """Whether the retention of two days moves together by date, in a sentence."""
    both = dates[dates[f"d{first}"].notna() & dates[f"d{day}"].notna()]
    pair = f"{named[first]} and {named[day]}"
    x, y = both[f"d{first}"].astype(float), both[f"d{day}"].astype(float)
    if len(both) < 3 or x.std() == 0 or y.std() == 0:
        return f"{pair}: too few dates, or too little movement, to compare."
    covariance = np.cov(x, y, aweights=both["users"].astype(float))
    correlation = float(covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1]))
    verb = (
        "move together"
        if correlation > 0.5
        else "hardly move together"
        if correlation > 0.2
        else "do not move together"
    )
    return (
        f"{pair} {verb} over {words.number(len(both))} dates (correlation {words.decimal(correlation, 2)})."
    )


def what_labels_changed(labels: Mapping[str, Any]) -> Section:
    """The answer and the candidates, with and without the users left out; see DiscoverContent.labels."""
    kept, everyone = labels["kept"], labels["everyone"]
    left_out = everyone["users"] - kept["users"]
    findings = [
        f"{words.some(left_out, 'user', 'users')} of {words.number(everyone['users'])} "
        f"({_share(left_out, everyone['users'])}) were left out: by their labels they probably are what "
        f"nobody should learn from. Of them {_share(everyone['retained'] - kept['retained'], left_out)} came "
        f"back; of the others {_share(kept['retained'], kept['users'])}.",
        _answer_without_labels(kept["hypothesis"], everyone["hypothesis"]),
    ]
    how = (
        "All other sections are without them. Where a candidate's figures fall when they are left out, "
        "it went with retention because of users that are not what it is for."
    )
    return Section("labels", "What the labels changed", tuple(findings), how, tables=(_moved(labels),))


def _answer_without_labels(kept: Mapping[str, Any], everyone: Mapping[str, Any]) -> str:
    rule = words.NOTHING
    if everyone["verdict"] != "none":
        rule = words.candidate(everyone["action"], everyone["threshold"])
    if all(kept.get(key) == everyone.get(key) for key in ("verdict", "action", "threshold")):
        return "With them the answer would have been the same."
    if everyone["verdict"] == "none":
        return "With them no moment would have been found."
    return f"With them the answer would have been another one: {rule}."


def _moved(labels: Mapping[str, Any]) -> Table:
    """The candidates whose correlation with retention moved most."""
    candidates: pd.DataFrame = labels["candidates"]
    one, other = (
        candidates[candidates["population"] == population].set_index(CANDIDATE_KEYS)[list(COMPARED)]
        for population in ("everyone", "kept")
    )
    rows = one.join(other, how="outer", lsuffix="_with", rsuffix="_without")
    change = (rows["phi_without"].astype(float) - rows["phi_with"].astype(float)).abs().fillna(-1)
    rows = rows.assign(change=change).reset_index()
    rows = rows.sort_values(["change", *CANDIDATE_KEYS], ascending=[False, True, True])

    def pair(name: str, form: Any) -> Any:
        return lambda row: f"{form(getattr(row, f'{name}_with'))} → {form(getattr(row, f'{name}_without'))}"

    cells = {
        "Candidate": lambda row: words.candidate(row.action, row.threshold),
        "Did it": pair("experienced", words.number),
        "Precision": pair("precision", words.share),
        "Recall": pair("recall", words.share),
        "Phi": pair("phi", words.decimal),
        "Verdict": pair("verdict", words.text),
    }
    return table(
        "The candidates that moved most (all dates): with everyone → without the users left out",
        rows,
        cells,
        numeric=("Did it", "Precision", "Recall", "Phi"),
        limit=MOST_MOVED,
        of_most=" by the change of phi",
        rest="The table label_changes has all.",
        opened=True,
    )


def _share(part: int, whole: int) -> str:
    return words.share(part / whole if whole else None)


def _funnel_table(steps: pd.DataFrame, whom: str) -> Table:
    """The losers and their figures: the part of the funnel that explains."""
    return table(
        f"The steps, the best-known candidate that each dropped and why ({whom})",
        steps,
        {
            "Step": lambda row: words.step(row.step, row.name),
            "Left": lambda row: words.number(row.candidates),
            "Dropped": lambda row: words.number(row.dropped),
            "Best known that it dropped": lambda row: words.text(row.loser),
            "Why": lambda row: words.text(row.figure),
        },
        numeric=("Left", "Dropped"),
        cards=True,
        opened=True,
    )


def _candidates_table(everyone: pd.DataFrame, whom: str) -> Table:
    """The candidates of everyone with the highest phi."""
    ranked = everyone.sort_values("phi", ascending=False, na_position="last", kind="stable")
    return table(
        f"The candidates as a table ({whom}; decided on the choosing dates)",
        ranked,
        {
            "Candidate": lambda row: words.candidate(row.action, row.threshold),
            "Verdict": lambda row: words.text(row.verdict),
            "Did it": lambda row: words.number(row.experienced),
            "and came back": lambda row: words.number(row.both),
            "Precision (interval)": lambda row: words.share_with(
                row.precision, row.precision_low, row.precision_high
            ),
            "Recall (interval)": lambda row: words.share_with(row.recall, row.recall_low, row.recall_high),
            "Phi": lambda row: words.decimal(row.phi),
            "F1": lambda row: words.decimal(row.f1),
            "Lift": lambda row: words.decimal(row.lift, 2),
            "On the frontier": lambda row: words.yes(row.on_frontier),
            "in resamples": lambda row: words.share(row.frontier_share, 0),
            "Decided by": lambda row: words.text(row.reason),
        },
        numeric=(
            *("Did it", "and came back", "Precision (interval)", "Recall (interval)"),
            *("Phi", "F1", "Lift", "On the frontier", "in resamples"),
        ),
        limit=100,
        of_most=" by phi",
        rest=ELSEWHERE,
    )


def _chosen_by_segment_table(chosen: pd.DataFrame, whom: str) -> Table:
    """One candidate in each segment."""
    ranked = chosen.sort_values(["users", "segment"], ascending=[False, True], kind="stable")
    return table(
        f"The candidate in each segment as a table ({whom})",
        ranked,
        {
            "Segment": lambda row: words.segment(row.segment),
            "Users": lambda row: words.number(row.users),
            "Did it": lambda row: words.number(row.experienced),
            "Precision": lambda row: words.share(row.precision),
            "Recall": lambda row: words.share(row.recall),
            "Difference": lambda row: words.points(row.difference),
            "Adjusted (interval)": lambda row: words.points_with(
                row.adjusted, row.adjusted_low, row.adjusted_high
            ),
            "Trend": lambda row: words.text(row.trend),
            "Trend effect (interval)": lambda row: words.estimable(
                words.points_with(row.trend_effect, row.trend_effect_low, row.trend_effect_high)
            ),
        },
        numeric=(
            *("Users", "Did it", "Precision", "Recall", "Difference", "Adjusted (interval)"),
            "Trend effect (interval)",
        ),
        of_most=" by users",
        rest=ELSEWHERE,
    )


def _segment_frontiers_table(inside: pd.DataFrame, segments: Sequence[str], whom: str) -> Table:
    """The frontiers of the segments drawn."""
    shown = inside[inside["segment"].isin(segments) & inside["on_frontier"].fillna(False).astype(bool)]
    order = {segment: place for place, segment in enumerate(segments)}
    ranked = shown.assign(place=shown["segment"].map(order)).sort_values(["place", "recall"], kind="stable")
    return table(
        f"The frontier in each of these segments as a table ({whom})",
        ranked,
        {
            "Segment": lambda row: words.segment(row.segment),
            "Candidate": lambda row: words.candidate(row.action, row.threshold),
            "Did it": lambda row: words.number(row.experienced),
            "Precision": lambda row: words.share(row.precision),
            "Recall": lambda row: words.share(row.recall),
            "Verdict": lambda row: words.text(row.verdict),
        },
        numeric=("Did it", "Precision", "Recall"),
        rest=ELSEWHERE,
    )


def _conjunctions_table(tried: pd.DataFrame, whom: str) -> Table:
    """Pairs of actions, those that beat every single one first."""
    return table(
        f"The pairs tried, beside the best single candidate ({whom})",
        tried,
        {
            "Pair": lambda row: (
                f"{words.candidate(row.action, row.threshold)} and "
                f"{words.candidate(row.other_action, row.other_threshold)}"
            ),
            "Did both": lambda row: words.number(row.experienced),
            "Precision (interval)": lambda row: words.share_with(
                row.precision, row.precision_low, row.precision_high
            ),
            "Recall": lambda row: words.share(row.recall),
            "Best single candidate": lambda row: words.candidate(row.single_action, row.single_threshold),
            "Its precision": lambda row: words.share(row.single_precision),
            "Its recall": lambda row: words.share(row.single_recall),
            "Gain in precision": lambda row: words.points(row.gain),
            "p, corrected": lambda row: words.probability(row.p_adjusted),
            "Better": lambda row: words.yes(row.beats),
        },
        numeric=(
            *("Did both", "Precision (interval)", "Recall", "Its precision", "Its recall"),
            *("Gain in precision", "p, corrected", "Better"),
        ),
    )


def best_per_action(known: pd.DataFrame) -> pd.DataFrame:
    """The chosen candidate, then for each action the one with the highest phi, highest first."""
    ranked = known.assign(tie=known["phi"].astype(float)).sort_values(
        ["chosen", "tie"], ascending=False, na_position="last", kind="stable"
    )
    return ranked.drop_duplicates("action").drop(columns="tie")


def _adjusted_table(candidates: pd.DataFrame, whom: str) -> Table:
    """Each action's candidate with the highest phi, crude and adjusted."""
    return table(
        f"These differences as a table, each action at the threshold with the highest phi ({whom})",
        candidates,
        {
            "Candidate": lambda row: words.candidate(row.action, row.threshold),
            "As counted": lambda row: words.points_with(
                row.difference, row.difference_low, row.difference_high
            ),
            "Same segment": lambda row: words.points_with(
                row.segment_adjusted, row.segment_adjusted_low, row.segment_adjusted_high
            ),
            "Same activity too": lambda row: words.points_with(
                row.adjusted, row.adjusted_low, row.adjusted_high
            ),
            "E-value": lambda row: words.decimal(row.e_value, 2),
            "q-value": lambda row: words.probability(row.q_value),
            "Turns round": lambda row: words.yes(row.simpson),
        },
        numeric=("As counted", "Same segment", "Same activity too", "E-value", "q-value", "Turns round"),
    )


def _actions_table(ranked: pd.DataFrame, whom: str) -> Table:
    """All actions, the likeliest causes first."""
    return table(
        f"The actions as a table ({whom})",
        ranked,
        {
            "Action": lambda row: words.name(row.action),
            "Verdict": lambda row: words.text(row.verdict),
            "Users that did it": lambda row: words.share(row.share_experienced_once),
            "Family": lambda row: words.text(row.family),
            "Expected covariance": lambda row: words.decimal(row.expected),
            "Observed covariance": lambda row: words.decimal(row.observed),
            "Bayes factor within dates": lambda row: words.factor(row.within_factor),
            "Slope over dates (interval)": lambda row: words.estimable(
                words.decimal_with(row.trend_effect, row.trend_low, row.trend_high)
            ),
            "Bayes factor of the dates": lambda row: words.factor(row.trend_factor),
            "P(cause)": lambda row: words.decimal(row.p_cause, 2),
            "P(works)": lambda row: words.decimal(row.p_works, 2),
            "Decided by": lambda row: words.text(row.reason),
        },
        numeric=(
            *(
                "Users that did it",
                "Expected covariance",
                "Observed covariance",
                "Bayes factor within dates",
            ),
            *("Slope over dates (interval)", "Bayes factor of the dates", "P(cause)", "P(works)"),
        ),
    )


def _links_table(rows: pd.DataFrame, whom: str) -> Table:
    """Who leads whom."""
    return table(
        f"Which actions follow from which (a sample of the users; {whom})",
        rows.sort_values(["leader", "follower"]),
        {
            "First": lambda row: words.name(row.leader),
            "Then": lambda row: words.name(row.follower),
            "Share of the second, within 30 minutes": lambda row: words.share(row.lead),
        },
        numeric=("Share of the second, within 30 minutes",),
    )


def _trends_table(dates: pd.DataFrame, whom: str) -> Table:
    """The dates drawn."""
    return table(
        f"These dates as a table ({whom})",
        dates,
        {
            "Candidate": lambda row: words.candidate(row.action, row.threshold),
            "Date": lambda row: words.iso_date(row.anchor_date),
            "Users": lambda row: words.number(row.users),
            "Did it": lambda row: words.share(row.share),
            "Came back": lambda row: words.share(row.retention),
        },
        numeric=("Date", "Users", "Did it", "Came back"),
        limit=400,
    )


def _consistency_table(dates: pd.DataFrame, days: Mapping[int, str]) -> Table:
    """Retention by date."""

    def of_day(day: int) -> Cell:
        return lambda row: words.share(getattr(row, f"d{day}"))

    return table(
        "Retention by date as a table (all dates; of each day the users who have reached it)",
        dates,
        {
            "Date": lambda row: words.iso_date(row.anchor_date),
            "Users": lambda row: words.number(row.users),
            **{name: of_day(day) for day, name in days.items()},
        },
        numeric=("Users", *days.values()),
        limit=400,
    )


def _day_effects_table(effects: pd.DataFrame, days: Mapping[int, str], whom: str) -> Table:
    """The candidate on each day."""
    return table(
        f"These days as a table ({whom}; of each day the users who have reached it)",
        effects,
        {
            "Day": lambda row: days[row.day],
            "Precision": lambda row: words.share(row.precision),
            "Recall": lambda row: words.share(row.recall),
            "Adjusted difference (interval)": lambda row: words.estimable(
                words.points_with(row.adjusted, row.low, row.high)
            ),
        },
        numeric=("Precision", "Recall", "Adjusted difference (interval)"),
    )
