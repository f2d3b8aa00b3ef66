"""The small graph of a family: which actions follow from which, and how often."""

from dataclasses import dataclass

import pandas as pd

from firstday.report import words

WIDTH, HEIGHT, GAP_X, GAP_Y = 150, 30, 90, 16


@dataclass(frozen=True)
class Node:
    """A box: its corner, its text, and whether it is the action that the graph is of."""

    x: int
    y: int
    text: str
    marked: bool


@dataclass(frozen=True)
class Arrow:
    """From box to box, with what is said at its middle."""

    x1: int
    y1: int
    x2: int
    y2: int
    text: str


@dataclass(frozen=True)
class Graph:
    """Boxes and arrows in units of pixels."""

    width: int
    height: int
    nodes: tuple[Node, ...]
    arrows: tuple[Arrow, ...]
    text: str


def family_graph(links: pd.DataFrame, action: str) -> Graph | None:
    """Of the actions that lead to `action` or follow from it, from left to right; None where there are none.

    links: leader, follower, lead.
    """
    pairs = {
        (row.leader, row.follower): float(row.lead)
        for row in links.sort_values(["leader", "follower"]).itertuples(index=False, name="Row")
    }
    # Where two lead each other, the larger lead counts.
    pairs = {pair: lead for pair, lead in pairs.items() if lead >= pairs.get(pair[::-1], 0.0)}
    names = {action}
    while True:
        reached = names | {name for pair in pairs if names & set(pair) for name in pair}
        if reached == names:
            break
        names = reached
    if len(names) == 1:
        return None
    own = {pair: lead for pair, lead in pairs.items() if set(pair) <= names}
    column = dict.fromkeys(names, 0)
    for _ in names:  # the longest way to each; a circle ends it
        for leader, follower in own:
            column[follower] = max(column[follower], min(column[leader] + 1, len(names) - 1))
    place: dict[str, tuple[int, int]] = {}
    rows: dict[int, int] = {}
    used = {number: at for at, number in enumerate(sorted(set(column.values())))}
    for name in sorted(names, key=lambda one: (column[one], one)):
        at = used[column[name]]
        place[name] = (at * (WIDTH + GAP_X), rows.get(at, 0) * (HEIGHT + GAP_Y))
        rows[at] = rows.get(at, 0) + 1
    nodes = tuple(Node(*place[name], words.name(name, 20), name == action) for name in sorted(names))
    arrows = tuple(
        Arrow(
            place[leader][0] + WIDTH,
            place[leader][1] + HEIGHT // 2,
            place[follower][0],
            place[follower][1] + HEIGHT // 2,
            words.share(lead, 0),
        )
        for (leader, follower), lead in own.items()
    )
    said = "; ".join(
        f"{words.name(leader)} comes before {words.share(lead, 0)} of {words.name(follower)}, in 30 minutes"
        for (leader, follower), lead in own.items()
    )
    width = len(used) * (WIDTH + GAP_X) - GAP_X
    return Graph(width, max(rows.values()) * (HEIGHT + GAP_Y) - GAP_Y, nodes, arrows, said)
