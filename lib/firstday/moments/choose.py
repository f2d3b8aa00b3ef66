"""From all candidates to what to test next: a moment, a shortlist, or neither.

The funnel runs on the earlier anchor dates. Each step drops candidates for a stated reason, with the figure.
What counts is one probability, that pushing an action works; the other steps only ask whether a candidate can
be judged and tested at all.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from firstday.moments import trends
from firstday.moments.evidence import FEWEST_ACTIONS, ActionEvidence
from firstday.rounding import points

MOMENT, SHORTLIST, NONE = "moment", "shortlist", "none"
VERDICTS = (MOMENT, SHORTLIST, NONE)
CHOSEN, LISTED, KEPT, DROPPED = "chosen", "listed", "kept", "dropped"
# Limits set on invented apps: see docs/method.md.
LEAST_P_CAUSE = 0.8  # of a moment: of actions above it, about nine in ten are the cause
LEAST_P_WORKS = 0.2  # of a place on the shortlist
LONGEST_LIST = 4
ENDS = ("sides", "data", "settled", "trends", "works", "later", "test")
SIDES, DATA, SETTLED, TRENDS, WORKS, LATER, TEST = ENDS


@dataclass(frozen=True)
class Choice:
    """verdict: MOMENT, SHORTLIST or NONE, with the reason. candidates: of the choosing half, with verdict and
    reason. funnel: step, name, candidates, dropped, loser, figure. listed: one row an action, to be tested in
    this order. chosen: the first of these, or the best of the candidates that came furthest (None where there
    is none at all). ended_at: the step that left none, one of ENDS; None where something is listed.
    """

    verdict: str
    reason: str
    candidates: pd.DataFrame
    funnel: pd.DataFrame
    listed: pd.DataFrame
    chosen: pd.Series | None
    ended_at: str | None = None


@dataclass(frozen=True)
class _Step:
    """key: one of ENDS. nothing: what it means for a product where the step leaves no candidate."""

    key: str
    name: str
    nothing: str
    keep: Callable[[pd.DataFrame], pd.Series]
    figure: Callable[[pd.Series], str]


def choose(
    candidates: pd.DataFrame,
    evidence: ActionEvidence | None,
    *,
    min_users: int,
    dates: int,
    min_dates: int,
    later: pd.DataFrame,
    days_needed: Callable[[pd.DataFrame], pd.Series] | None = None,
    most_test_days: int = 90,
    tested: Mapping[str, str] | None = None,
) -> Choice:
    """candidates, later: segment `all` and one day, on the choosing and on the reporting dates, as `analyse`
    returns them; evidence: from the choosing dates, None where it could not be had. days_needed: of the test
    of each of some candidates, NaN where none can be planned. tested: actions that an experiment has proved
    or disproved, and what it said.
    """
    left = _with_evidence(candidates, evidence)
    funnel = [_row(0, "all candidates", left, left.iloc[:0], None)]
    dropped: list[pd.DataFrame] = []
    steps = _steps(min_users, dates, min_dates, evidence, later, days_needed, most_test_days, tested or {})
    for number, step in enumerate(steps, start=1):
        keep = step.keep(left).astype(bool)
        out = left[~keep]
        out = out.assign(
            verdict=DROPPED,
            reason=[f"dropped at '{step.name}': {step.figure(row)}" for _, row in out.iterrows()],
        )
        funnel.append(_row(number, step.name, left[keep], out, step.figure))
        dropped.append(out)
        if not keep.any():
            return Choice(
                *(NONE, _nothing(step, out), pd.concat(dropped), pd.DataFrame(funnel), left.iloc[:0]),
                *(_best(out), step.key),
            )
        left = left[keep]
    return _listed(left, dropped, funnel)


def _listed(left: pd.DataFrame, dropped: list[pd.DataFrame], funnel: list[dict[str, object]]) -> Choice:
    """The likeliest actions, each at the threshold that correlates most with retention."""
    left = left.sort_values(
        ["p_works", "p_cause", "adjusted_phi", "action", "threshold"],
        ascending=[False, False, False, True, True],
    )
    listed = left.drop_duplicates("action")
    is_moment = listed["p_cause"] >= LEAST_P_CAUSE
    # One that stands out is tested first, also where something that leads to it is as likely to work.
    listed = pd.concat([listed[is_moment], listed[~is_moment]]).head(LONGEST_LIST)
    verdict = MOMENT if is_moment.any() else SHORTLIST
    best = listed.iloc[0]
    others = left.drop(index=listed.index)
    others = others.assign(
        verdict=KEPT,
        reason=[
            "another threshold of the action is closer to retention"
            if row["action"] in set(listed["action"])
            else f"the list has {LONGEST_LIST} likelier actions"
            for _, row in others.iterrows()
        ],
    )
    kinds = [CHOSEN if verdict == MOMENT and place == 0 else LISTED for place in range(len(listed))]
    listed = listed.assign(
        verdict=kinds,
        reason=[
            f"P(cause) {row['p_cause']:.2f}, P(pushing it works) {row['p_works']:.2f}; correlation with "
            f"retention, other activity adjusted for: {row['adjusted_phi']:.3f}"
            for _, row in listed.iterrows()
        ],
    )
    funnel.append(
        _row(len(funnel), "likeliest actions at their closest thresholds", listed, others,
             lambda r: f"P(works) {r['p_works']:.2f}")
    )  # fmt: skip
    if verdict == MOMENT:
        reason = (
            f"{best['action']} is a cause of retention with probability {best['p_cause']:.2f}: users of one "
            f"date make it {_times(best['within_factor'])} likely, the dates {_times(best['trend_factor'])}"
        )
    else:
        reason = (
            f"no action stands out alone (P(cause) at least {LEAST_P_CAUSE:g}); pushing {best['action']} "
            f"works with probability {best['p_works']:.2f}"
        )
    return Choice(
        verdict, reason, pd.concat([*dropped, others, listed]), pd.DataFrame(funnel), listed, listed.iloc[0]
    )


def _times(factor: float) -> str:
    """A Bayes factor in words."""
    if factor >= 1:
        return f"{min(factor, 1e6):,.3g} times as"
    return f"{min(1 / max(factor, 1e-12), 1e6):,.3g} times less"


def _steps(
    min_users: int,
    dates: int,
    min_dates: int,
    evidence: ActionEvidence | None,
    later: pd.DataFrame,
    days_needed: Callable[[pd.DataFrame], pd.Series] | None,
    most_test_days: int,
    tested: Mapping[str, str],
) -> list[_Step]:
    later = later.set_index(["action", "threshold"])

    def holds_later(left: pd.DataFrame) -> pd.Series:
        known = later.reindex(pd.MultiIndex.from_frame(left[["action", "threshold"]]))
        return pd.Series((known["adjusted"] > 0).to_numpy(), index=left.index)

    needed: dict[object, float] = {}

    def can_be_tested(left: pd.DataFrame) -> pd.Series:
        if days_needed is None:
            return pd.Series(True, index=left.index)
        days = days_needed(left)
        needed.update(days.to_dict())
        # A moment is reported also where its test takes longer: it stands out by itself.
        return (days <= most_test_days) | (days.notna() & (left["p_cause"] >= LEAST_P_CAUSE))

    def too_long(row: pd.Series) -> str:
        days = needed.get(row.name, np.nan)
        if np.isnan(days):
            return "no test can be planned: no positive effect is to be expected of it"
        return f"a test takes {days:,.0f} days, at most {most_test_days} are given (--most-test-days)"

    enough = f"needs {min_dates} anchor dates and {FEWEST_ACTIONS} actions"
    return [
        _Step(
            SIDES,
            "enough users on both sides",
            f"no action was done by {min_users} users and left undone by {min_users}",
            lambda c: (c["experienced"] >= min_users) & (c["users"] - c["experienced"] >= min_users),
            lambda r: f"{r['experienced']:,.0f} of {r['users']:,.0f} users did it",
        ),
        _Step(
            DATA,
            "enough dates and actions to compare",
            "the dates or the actions are too few to compare",
            lambda c: pd.Series(dates >= min_dates and evidence is not None, index=c.index),
            lambda _: f"not enough data: {dates} dates; {enough}",
        ),
        _Step(
            SETTLED,
            "not settled by an experiment",
            "experiments have settled every action that could be judged",
            lambda c: ~c["action"].isin(list(tested)),
            lambda r: tested[str(r["action"])],
        ),
        _Step(
            TRENDS,
            "its trends do not differ from those of retention",
            "on dates when more users did an action, no more came back than on others",
            lambda c: c["trend"] != trends.DIFFERS,
            lambda r: (
                f"by the dates an effect of {points(r['trend_effect'])} (at most "
                f"{points(r['trend_effect_high'])}), among equally active users {points(r['adjusted'])}"
            ),
        ),
        _Step(
            WORKS,
            "pushing it probably works",
            "no action is likely enough to keep users when it is pushed",
            lambda c: c["p_works"] >= LEAST_P_WORKS,
            lambda r: (
                "too rare to be judged"
                if np.isnan(r["p_works"])
                else f"P(works) {r['p_works']:.2f}, at least {LEAST_P_WORKS:g} is needed"
            ),
        ),
        _Step(
            LATER,
            "holds on the later dates",
            "every action's advantage vanished on the later dates, when equally active users were compared",
            holds_later,
            lambda _: "no positive adjusted difference there",
        ),
        _Step(
            TEST,
            "a test of it fits",
            f"no test of what may work is over within {most_test_days} days",
            can_be_tested,
            too_long,
        ),
    ]


def _with_evidence(candidates: pd.DataFrame, evidence: ActionEvidence | None) -> pd.DataFrame:
    names = ("p_cause", "p_works", "within_factor", "trend_factor")
    if evidence is None:
        return candidates.assign(**dict.fromkeys(names, np.nan))
    table = pd.DataFrame({name: getattr(evidence, name) for name in names}, index=list(evidence.actions))
    return candidates.join(table, on="action")


def _best(rows: pd.DataFrame) -> pd.Series | None:
    """The likeliest to work; of these, or where that is unknown, the one with the highest phi."""
    if rows.empty:
        return None
    order = pd.DataFrame({"works": rows["p_works"].fillna(-1), "phi": phi(rows).fillna(-2)})
    return rows.loc[order.sort_values(["works", "phi"], ascending=False, kind="stable").index[0]]


def phi(rows: pd.DataFrame) -> pd.Series:
    """Correlation of experienced and retained, from the four counts."""
    users, experienced, retained = (rows[name].astype(float) for name in ("users", "experienced", "retained"))
    variance = experienced * (users - experienced) * retained * (users - retained)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (rows["both"] * users - experienced * retained) / np.sqrt(variance.where(variance > 0))


def _row(
    number: int, name: str, left: pd.DataFrame, out: pd.DataFrame, figure: Callable[[pd.Series], str] | None
) -> dict[str, object]:
    loser = _best(out)
    return {
        "step": number,
        "name": name,
        "candidates": len(left),
        "dropped": len(out),
        "loser": None if loser is None else f"{loser['action']} ≥ {loser['threshold']}",
        "figure": None if loser is None or figure is None else figure(loser),
    }


def _nothing(step: _Step, out: pd.DataFrame) -> str:
    best = _best(out)
    if best is None:
        return "there is no candidate, as nobody whose day is known did anything in the window"
    return (
        f"{step.nothing}. The likeliest of the last ones was {best['action']} ≥ {best['threshold']}: "
        f"{step.figure(best)}"
    )
