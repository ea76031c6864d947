"""Figures that stand beside a reference, each with its bound: what the tests assert and docs/validation.md tells."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

PAGE = Path(__file__).parents[2] / "docs" / "validation.md"


class Figure(NamedTuple):
    what: str
    unit: str
    ours: float
    reference: float | None
    low: float
    high: float
    bound: str

    @property
    def holds(self) -> bool:
        return self.low <= self.ours <= self.high


def near(what: str, ours: float, reference: float, share: float, unit: str = "") -> Figure:
    """Return a figure that may differ from its reference by so much of it."""
    low, high = reference * (1.0 - share), reference * (1.0 + share)
    return Figure(what, unit, float(ours), float(reference), low, high, f"± {share:.0%}".replace("%", " %"))


def at_least(what: str, ours: float, low: float) -> Figure:
    return Figure(what, "", float(ours), None, low, float("inf"), f"≥ {low:g}")


def at_most(what: str, ours: float, high: float, unit: str = "") -> Figure:
    return Figure(what, unit, float(ours), None, 0.0, high, f"≤ {high:g} {unit}".strip())


def between(what: str, ours: float, low: float, high: float, unit: str = "") -> Figure:
    return Figure(what, unit, float(ours), None, low, high, f"{low:g} … {high:g} {unit}".strip())


def assert_told(figures: Sequence[Figure]) -> None:
    """Assert that all figures are within their bounds, and that the page tells of these."""
    assert not [figure for figure in figures if not figure.holds]
    assert table(figures) in PAGE.read_text("utf-8"), "run docs/make_validation.py"


def table(figures: Iterable[Figure]) -> str:
    """Return the figures as a table in Markdown."""
    lines = ["| | ours | reference | difference | bound |", "| --- | --- | --- | --- | --- |"]
    for what, unit, ours, reference, _, _, bound in figures:
        if reference is None:
            theirs = difference = ""
        else:
            theirs, difference = (
                f"{_written(reference)} {unit}".strip(),
                f"{ours / reference - 1.0:+.1%}".replace("%", " %"),
            )
        lines.append(f"| {what} | {_written(ours)} {unit} | {theirs} | {difference} | {bound} |".replace("  ", " "))
    return "\n".join(lines) + "\n"


def _written(value: float) -> str:
    if value < 1.0:
        return f"{value:.4f}"
    return f"{value:#.4g}" if value < 1000.0 else f"{value:.0f}"
