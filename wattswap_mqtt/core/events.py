"""What happened, for the event topic, the log and the dashboard."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Event:
    """One event of one meter (`meter` is its row in the community) at simulated time; `data` is JSON-able."""

    event_type: str
    timestamp_s: float
    meter: int
    data: dict[str, object]
