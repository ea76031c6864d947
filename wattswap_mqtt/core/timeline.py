"""The timed events of scenarios that are being played: what is due when, on which meter.

Times are simulated and exact, so a scenario plays the same at any time acceleration; `dump` and `load` carry what has
not happened yet over a restart.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from wattswap_mqtt.core.market.orders import OrderTerms
from wattswap_mqtt.core.scenarios import Action, Cancelling, Ordering, Scenario, Switching, TimedEvent

SOON_S = 1e-6
"""Clock readings nearer to each other than this are the same moment."""


class Due(NamedTuple):
    """An event whose time has come."""

    meter: int
    event: TimedEvent
    play: "Play"


@dataclass
class Play:
    """A scenario on one meter: when it began, what is still to come, and its orders by the scenario's names."""

    began_s: float
    pending: list[TimedEvent]
    order_ids: dict[str, str] = field(default_factory=dict)

    @property
    def next_s(self) -> float:
        """When something happens next."""
        return self.began_s + self.pending[0].after_s


class Timeline:
    """The scenarios under way that still have events to come."""

    def __init__(self) -> None:
        self._plays: dict[int, Play] = {}
        self.next_s = math.inf
        """When something happens next, on any meter."""

    def begin(self, meter: int, scenario: Scenario, now_s: float) -> None:
        """Begin a scenario, in place of the one that the meter was in."""
        self._keep(meter, Play(now_s, list(scenario.events)))

    def end(self, meter: int) -> None:
        """Forget what was still to come on a meter."""
        self._plays.pop(meter, None)
        self._look_ahead()

    def take_due(self, now_s: float) -> Due | None:
        """Return the earliest event whose time has come, and take it from what is to come."""
        if self.next_s > now_s + SOON_S:
            return None
        meter, play = min(self._plays.items(), key=lambda item: item[1].next_s)
        due = Due(meter, play.pending.pop(0), play)
        self._keep(meter, play)
        return due

    def dump(self, meter: int) -> dict[str, Any] | None:
        """Return what is still to come on a meter as plain values."""
        play = self._plays.get(meter)
        if play is None:
            return None
        events = [{"after_s": event.after_s} | _plain(event.action) for event in play.pending]
        return {"began_s": play.began_s, "events": events, "order_ids": play.order_ids}

    def load(self, meter: int, saved: Mapping[str, Any]) -> None:
        """Go on from what `dump` returned."""
        pending = [TimedEvent(row["after_s"], _action(row)) for row in saved["events"]]
        self._keep(meter, Play(saved["began_s"], pending, dict(saved["order_ids"])))

    def _keep(self, meter: int, play: Play) -> None:
        if play.pending:
            self._plays[meter] = play
        else:
            self._plays.pop(meter, None)
        self._look_ahead()

    def _look_ahead(self) -> None:
        self.next_s = min((play.next_s for play in self._plays.values()), default=math.inf)


def described(action: Action) -> dict[str, object]:
    """Return what an event tells of an action."""
    match action:
        case Switching(values=values):
            return {"switches": dict(values)}
        case Ordering(name=name):
            return {"order": name}
        case Cancelling(name=name):
            return {"cancel": name}


def _plain(action: Action) -> dict[str, Any]:
    terms = {"terms": asdict(action.terms)} if isinstance(action, Ordering) else {}
    return described(action) | terms


def _action(row: Mapping[str, Any]) -> Action:
    if "switches" in row:
        return Switching(row["switches"])
    return Ordering(row["order"], OrderTerms(**row["terms"])) if "order" in row else Cancelling(row["cancel"])
