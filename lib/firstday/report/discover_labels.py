"""The section of the discover job's page on users that labels left out: what that changed."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from firstday.report import words
from firstday.report.page import Section, Table, table

SHOWN = 15
KEYS = ["action", "threshold"]
FIGURES = ("experienced", "precision", "recall", "phi", "verdict")


def what_labels_changed(labels: Mapping[str, Any]) -> Section:
    """The answer and the candidates, with and without the users left out; see DiscoverContent.labels."""
    kept, everyone = labels["kept"], labels["everyone"]
    left_out = everyone["users"] - kept["users"]
    findings = [
        f"{words.some(left_out, 'user', 'users')} of {words.number(everyone['users'])} "
        f"({_share(left_out, everyone['users'])}) were left out: by their labels they probably are what "
        f"nobody should learn from. Of them {_share(everyone['retained'] - kept['retained'], left_out)} came "
        f"back; of the others {_share(kept['retained'], kept['users'])}.",
        _answer(kept["hypothesis"], everyone["hypothesis"]),
    ]
    how = (
        "All other sections are without them. Where a candidate's figures fall when they are left out, "
        "it went with retention because of users that are not what it is for."
    )
    return Section("labels", "What the labels changed", tuple(findings), how, tables=(_moved(labels),))


def _answer(kept: Mapping[str, Any], everyone: Mapping[str, Any]) -> str:
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
        candidates[candidates["population"] == population].set_index(KEYS)[list(FIGURES)]
        for population in ("everyone", "kept")
    )
    rows = one.join(other, how="outer", lsuffix="_with", rsuffix="_without")
    change = (rows["phi_without"].astype(float) - rows["phi_with"].astype(float)).abs().fillna(-1)
    rows = rows.assign(change=change).reset_index()
    rows = rows.sort_values(["change", *KEYS], ascending=[False, True, True])

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
        limit=SHOWN,
        of_most=" by the change of phi",
        rest="The table label_changes has all.",
        opened=True,
    )


def _share(part: int, whole: int) -> str:
    return words.share(part / whole if whole else None)
