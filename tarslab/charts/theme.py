"""How every chart looks: colours, dashes, formats, the Altair theme."""

import altair as alt

# Okabe and Ito: Color Universal Design (2008); black goes last, yellow is too faint for a line.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#7F7F7F", "#000000")
DASHES = ((1, 0), (6, 3), (2, 2), (8, 3, 2, 3), (12, 4))
WIDTH, HEIGHT = 680, 320
INK, QUIET = "#222222", "#666666"
HOVER_LAYER = "hover"
FONT = "Liberation Sans, Arial, Helvetica, sans-serif"

TITLES = {
    "reward": "episode return",
    "eval_reward": "evaluation return",
    "episode_length": "episode length (steps)",
    "entropy": "policy entropy (nats)",
    "nash_gap": "Nash gap (NashConv)",
    "noise_std": "action noise (std)",
    "fps": "steps per second",
    "step": "step",
    "episode": "episode",
    "wall_time": "time (UTC)",
    "relative": "seconds since the first point",
}


def title_of(name: str) -> str:
    """The axis title of a metric or of an x-axis; a name outside the table reads as it is."""
    return TITLES.get(name, name.replace("_", " "))


def colours(names: list[str]) -> alt.Scale:
    """A fixed colour for each name, the palette repeated where there are more names."""
    return alt.Scale(domain=names, range=[PALETTE[i % len(PALETTE)] for i in range(len(names))])


def dashes(names: list[str]) -> alt.Scale:
    """A dash for each name, such that no two names share both colour and dash (40 names)."""
    patterns = [list(DASHES[(i + i // len(PALETTE)) % len(DASHES)]) for i in range(len(names))]
    return alt.Scale(domain=names, range=patterns)


@alt.theme.register("tarslab", enable=False)
def theme() -> alt.theme.ThemeConfig:
    """The Altair theme ``tarslab``."""
    return {
        "config": {
            "font": FONT,
            "background": "white",
            "view": {"continuousWidth": WIDTH, "continuousHeight": HEIGHT, "stroke": None},
            "axis": {
                "labelColor": QUIET,
                "titleColor": INK,
                "labelFontSize": 11,
                "titleFontSize": 12,
                "titleFontWeight": "normal",
                "gridColor": "#E6E6E6",
                "domainColor": "#999999",
                "tickColor": "#999999",
                "labelOverlap": True,
                "labelSeparation": 6,
            },
            "legend": {
                "orient": "top",
                "title": None,
                "labelFontSize": 12,
                "labelLimit": 320,
                "symbolType": "stroke",
                "symbolSize": 250,
                "symbolStrokeWidth": 2.5,
                "columns": 4,
                "unselectedOpacity": 0.2,
            },
            "title": {"anchor": "start", "fontSize": 14, "subtitleColor": QUIET},
            "range": {"category": list(PALETTE)},
        }
    }
