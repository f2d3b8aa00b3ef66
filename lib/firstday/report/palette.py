"""One colour and one shape an action, so that a chart can also be read in grey.

The colours are dark enough to stand out on white (contrast above 4:1), in an order that keeps neighbours
apart for colour-blind eyes. The shapes are SVG paths in the box from -1 to 1: Vega and the legend of the page
draw the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from firstday.report import words

INK = "#1a1a1a"
MUTED = "#595959"
FAINT = "#e4e4e4"
BLUE = "#1558a6"
RED = "#bf4010"
GREY = "#8a8a8a"

CIRCLE = "M-0.9,0A0.9,0.9,0,1,1,0.9,0A0.9,0.9,0,1,1,-0.9,0Z"
TRIANGLE = "M0,-1L1,0.8L-1,0.8Z"
SQUARE = "M-0.8,-0.8H0.8V0.8H-0.8Z"
DIAMOND = "M0,-1.1L0.85,0L0,1.1L-0.85,0Z"
TRIANGLE_DOWN = "M0,1L1,-0.8L-1,-0.8Z"
PLUS = "M-0.35,-1H0.35V-0.35H1V0.35H0.35V1H-0.35V0.35H-1V-0.35H-0.35Z"
CROSS = (
    "M-0.95,-0.5L-0.5,-0.95L0,-0.45L0.5,-0.95L0.95,-0.5L0.45,0"
    "L0.95,0.5L0.5,0.95L0,0.45L-0.5,0.95L-0.95,0.5L-0.45,0Z"
)
STAR = (
    "M0,-1.1L0.26,-0.36L1.05,-0.34L0.42,0.14L0.65,0.89L0,0.44L-0.65,0.89L-0.42,0.14L-1.05,-0.34L-0.26,-0.36Z"
)
BAR = "M-1.1,-0.42H1.1V0.42H-1.1Z"
RING = "M-1.2,0A1.2,1.2,0,1,1,1.2,0A1.2,1.2,0,1,1,-1.2,0Z"
HOURGLASS = "M-0.85,-0.95H0.85L0.15,0L0.85,0.95H-0.85L-0.15,0Z"

COLOURS = (
    *(BLUE, RED, "#14785a", "#7a3b9e", "#8a6100"),
    *("#b8256e", "#0b7285", "#3d3d3d", "#5f6b00", "#8c1c2b"),
)
SHAPES = (CIRCLE, TRIANGLE, SQUARE, DIAMOND, TRIANGLE_DOWN, PLUS, CROSS, STAR, BAR, HOURGLASS)
DASHES = ((1, 0), (6, 3), (2, 2), (8, 3, 2, 3), (12, 4))
LEADING = len(SHAPES)


@dataclass(frozen=True)
class Style:
    """How one action is drawn. `label` is its name, cleaned, shortened, and unlike every other label."""

    label: str
    colour: str
    shape: str


@dataclass(frozen=True)
class Key:
    """One entry of a figure's legend: a mark (`shape`), a line (`dash`) or both.

    `pick` is the label of the action that a press on the entry brings out in the charts.
    """

    label: str
    colour: str = INK
    shape: str | None = None
    filled: bool = True
    dash: tuple[int, ...] | None = None
    pick: str | None = None

    @property
    def dash_text(self) -> str:
        """The dash for SVG's stroke-dasharray."""
        return " ".join(str(length) for length in self.dash or ())


class Styles:
    """The styles of the leading actions; all others share one grey style.

    `actions` lists every action, the leading ones first. When all fit, none is called other.
    """

    def __init__(self, actions: Sequence[str], leading: int = LEADING) -> None:
        distinct = list(dict.fromkeys(actions))
        self.leading: dict[str, Style] = {}
        used: set[str] = set()
        for rank, action in enumerate(distinct[:leading]):
            label = distinct_label(words.name(action, 32), used)
            self.leading[action] = Style(label, COLOURS[rank % len(COLOURS)], SHAPES[rank % len(SHAPES)])
        others = len(distinct) - len(self.leading)
        plural = "action" if others == 1 else "actions"
        self.other: Style | None = None
        if others:
            self.other = Style(distinct_label(f"{others:,} other {plural}", used), GREY, CIRCLE)

    def __getitem__(self, action: str) -> Style:
        style = self.leading.get(action, self.other)
        if style is None:
            raise KeyError(action)
        return style

    @property
    def all(self) -> list[Style]:
        """In the order of the legend."""
        return [*self.leading.values(), *([self.other] if self.other else [])]

    def keys(self) -> tuple[Key, ...]:
        """Legend entries that can be pressed."""
        return tuple(Key(style.label, style.colour, style.shape, pick=style.label) for style in self.all)


def distinct_label(label: str, used: set[str]) -> str:
    """`label`, with a number when it is taken: two names may look the same once cleaned and cut."""
    unused, copy = label, 2
    while unused in used:
        unused, copy = f"{label} ({copy})", copy + 1
    used.add(unused)
    return unused
