"""What happened, for the event topic, the log and the dashboard."""

from dataclasses import dataclass

EVENT_TYPES = (
    "started", "switch_changed", "scenario_set", "command_rejected", "order_accepted", "order_partially_filled",
    "order_executed", "order_failed", "order_expired", "order_cancelled", "trade", "grid_disconnect", "grid_reconnect",
    "alarm_raised", "alarm_cleared", "scenario_event",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Event:
    """One event of one meter (`meter` is its row in the community) at simulated time; `data` is JSON-able."""

    event_type: str
    timestamp_s: float
    meter: int
    data: dict[str, object]
