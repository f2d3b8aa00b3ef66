"""From all candidates to one hypothesis, or to the answer that the evidence is not there.

The funnel runs on the earlier anchor dates. Each step drops candidates for a stated reason, with the figure.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from firstday.moments import trends
from firstday.moments.evidence import FEWEST_ACTIONS, ActionEvidence

MOMENT, NONE = "moment", "none"
CHOSEN, KEPT, DROPPED = "chosen", "kept", "dropped"
# An action stands out if a mere companion would do so by chance in less than this share of apps, and both
# kinds of evidence together make it a cause by these odds. Set on simulated apps: see docs/method.md.
MOST_P = 0.1
LEAST_ODDS = 10.0
CLEAR_ODDS = 2.0  # below which the dates are not said to bear an action out


@dataclass(frozen=True)
class Choice:
    """verdict: MOMENT or NONE, with the reason. candidates: of the choosing half, with verdict and reason.

    funnel: step, name, candidates, dropped, loser, figure. chosen: the row of `candidates`, or of the best of
    those that came furthest (None where there is none at all).
    """

    verdict: str
    reason: str
    candidates: pd.DataFrame
    funnel: pd.DataFrame
    chosen: pd.Series | None


@dataclass(frozen=True)
class _Step:
    name: str
    keep: Callable[[pd.DataFrame], pd.Series]
    figure: Callable[[pd.Series], str]


def choose(
    candidates: pd.DataFrame,
    evidence: ActionEvidence | None,
    *,
    min_users: int,
    dates: int,
    min_dates: int,
    false_discovery_rate: float,
    later: pd.DataFrame,
) -> Choice:
    """candidates, later: segment `all` and one day, on the choosing and on the reporting dates, as `analyse`
    returns them; evidence: from the choosing dates, None where it could not be had.
    """
    left = _with_evidence(candidates, evidence)
    funnel = [_row(0, "all candidates", left, left.iloc[:0], None)]
    dropped: list[pd.DataFrame] = []
    steps = _steps(min_users, dates, min_dates, false_discovery_rate, evidence, later)
    for number, step in enumerate(steps, start=1):
        keep = step.keep(left)
        out = left[~keep]
        out = out.assign(
            verdict=DROPPED,
            reason=[f"fell at '{step.name}': {step.figure(row)}" for _, row in out.iterrows()],
        )
        funnel.append(_row(number, step.name, left[keep], out, step.figure))
        dropped.append(out)
        if not keep.any():
            return Choice(NONE, _no_moment(step, out), pd.concat(dropped), pd.DataFrame(funnel), _best(out))
        left = left[keep]
    return _chosen(left, dropped, funnel)


def _chosen(left: pd.DataFrame, dropped: list[pd.DataFrame], funnel: list[dict[str, object]]) -> Choice:
    """The action with the best odds, at the threshold where its tie with retention is closest."""
    order = left.sort_values(
        ["odds", "proportion_t", "adjusted_phi", "action", "threshold"],
        ascending=[False, False, False, True, True],
    )
    action = order["action"].iloc[0]
    best = order[order["action"] == action].index[0]
    row = left.loc[best]
    others = left.drop(index=best)
    text = f"closest tie with retention, other activity held: {row['adjusted_phi']:.3f}"
    others = others.assign(
        verdict=KEPT, reason=f"another threshold or action is closer to retention ({action})"
    )
    left = left.loc[[best]].assign(verdict=CHOSEN, reason=text)
    funnel.append(
        _row(len(funnel), "the closest threshold", left, others, lambda r: f"{r['adjusted_phi']:.3f}")
    )
    follows = "retention follows its daily ups and downs"
    if row["trend_odds"] < CLEAR_ODDS:
        follows = "its daily ups and downs say little for or against it"
    reason = (
        f"{action} stands out from what engagement explains (chance {row['proportion_p']:.2g}), {follows} "
        f"(odds {row['trend_odds']:.2g}); odds of a cause together {row['odds']:.0f} to 1"
    )
    return Choice(MOMENT, reason, pd.concat([*dropped, others, left]), pd.DataFrame(funnel), left.iloc[0])


def _steps(
    min_users: int,
    dates: int,
    min_dates: int,
    rate: float,
    evidence: ActionEvidence | None,
    later: pd.DataFrame,
) -> list[_Step]:
    later = later.set_index(["action", "threshold"])

    def holds_later(left: pd.DataFrame) -> pd.Series:
        known = later.reindex(pd.MultiIndex.from_frame(left[["action", "threshold"]]))
        return pd.Series((known["adjusted"] > 0).to_numpy(), index=left.index)

    enough = f"needs {min_dates} anchor dates and {FEWEST_ACTIONS} actions"
    return [
        _Step(
            "enough users on both sides",
            lambda c: (c["experienced"] >= min_users) & (c["users"] - c["experienced"] >= min_users),
            lambda r: f"{r['experienced']:,.0f} of {r['users']:,.0f} users did it",
        ),
        _Step(
            "goes with retention",
            lambda c: c["both"] * c["users"] > c["experienced"] * c["retained"],
            lambda r: (
                f"precision {r['both'] / r['experienced']:.3f}, of all {r['retained'] / r['users']:.3f}"
            ),
        ),
        _Step(
            "still does with segments and other activity held",
            lambda c: (c["adjusted"] > 0) & (c["q_value"] <= rate) & ~c["simpson"].eq(True),
            _adjusted_figure,
        ),
        _Step(
            "enough dates and actions to compare",
            lambda c: pd.Series(dates >= min_dates and evidence is not None, index=c.index),
            lambda _: f"not enough data: {dates} dates; {enough}",
        ),
        _Step(
            "its trends do not differ from those of retention",
            lambda c: c["trend"] != trends.DIFFERS,
            lambda r: (
                f"effect over dates {r['trend_effect']:+.3f} (up to {r['trend_effect_high']:+.3f}), "
                f"adjusted difference {r['adjusted']:+.3f}"
            ),
        ),
        _Step(
            "stands out from what engagement explains",
            lambda c: c["proportion_p"] <= MOST_P,
            lambda r: (
                "too rare to be judged"
                if np.isnan(r["proportion_p"])
                else f"t {r['proportion_t']:.1f}, chance {r['proportion_p']:.2g}"
            ),
        ),
        _Step(
            "is borne out by its daily ups and downs",
            lambda c: c["odds"] >= LEAST_ODDS,
            lambda r: f"odds of a cause {r['odds']:.2g} to 1, at least {LEAST_ODDS:g} are needed",
        ),
        _Step("holds on the later dates", holds_later, lambda _: "no positive adjusted difference there"),
    ]


def _adjusted_figure(row: pd.Series) -> str:
    if np.isnan(row["adjusted"]):
        return "no adjusted difference: no stratum holds both kinds of users, or a neighbour stands for it"
    return f"adjusted difference {row['adjusted']:+.3f}, false discovery rate {row['q_value']:.2g}"


def _with_evidence(candidates: pd.DataFrame, evidence: ActionEvidence | None) -> pd.DataFrame:
    names = ("proportion_t", "proportion_p", "trend_odds", "odds")
    if evidence is None:
        return candidates.assign(**dict.fromkeys(names, np.nan))
    table = pd.DataFrame({name: getattr(evidence, name) for name in names}, index=list(evidence.actions))
    return candidates.join(table, on="action")


def _best(rows: pd.DataFrame) -> pd.Series | None:
    """The best-known one: the highest phi."""
    if rows.empty:
        return None
    return rows.loc[phi(rows).fillna(-2).idxmax()]


def phi(rows: pd.DataFrame) -> pd.Series:
    """Correlation of experienced and retained, from the four counts."""
    users, experienced, retained = (rows[name].astype(float) for name in ("users", "experienced", "retained"))
    spread = experienced * (users - experienced) * retained * (users - retained)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (rows["both"] * users - experienced * retained) / np.sqrt(spread.where(spread > 0))


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


def _no_moment(step: _Step, out: pd.DataFrame) -> str:
    best = _best(out)
    if best is None:
        return (
            "no moment found: there is no candidate, as nobody whose day is known did anything in the window"
        )
    return (
        f"no moment found: no candidate is left after '{step.name}'; the best known of the last ones, "
        f"{best['action']} at least {best['threshold']} times, fell with {step.figure(best)}"
    )
