"""The numbers behind the discover job's figures, as text."""

from collections.abc import Mapping, Sequence

import pandas as pd

from firstday.report import words
from firstday.report.page import Cell, Table, table

ELSEWHERE = "All of them are in the table moments."


def funnel(steps: pd.DataFrame, whom: str) -> Table:
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


def candidates(everyone: pd.DataFrame, whom: str) -> Table:
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


def chosen_by_segment(chosen: pd.DataFrame, whom: str) -> Table:
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


def segment_frontiers(inside: pd.DataFrame, segments: Sequence[str], whom: str) -> Table:
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


def conjunctions(tried: pd.DataFrame, whom: str) -> Table:
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


def adjusted(candidates: pd.DataFrame, whom: str) -> Table:
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


def actions(ranked: pd.DataFrame, whom: str) -> Table:
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


def links(rows: pd.DataFrame, whom: str) -> Table:
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


def trends(dates: pd.DataFrame, whom: str) -> Table:
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


def consistency(dates: pd.DataFrame, days: Mapping[int, str]) -> Table:
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


def day_effects(effects: pd.DataFrame, days: Mapping[int, str], whom: str) -> Table:
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
