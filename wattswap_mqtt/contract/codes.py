"""Every `code` that an ack can carry, and what it means; the bridge's problem details use the same."""

from collections.abc import Mapping

CODES: Mapping[str, str] = {
    # The message cannot be read.
    "too_large": "the payload is larger than 64 KiB",
    "not_utf8": "the payload is not UTF-8 text",
    "invalid_json": "JSON was expected, and this is none (NaN and Infinity are no JSON)",
    "invalid_id": "`id` is neither text of up to 256 characters nor a number, true, false or null",
    "unknown_command": "there is no command on this topic",
    # Its content is wrong.
    "missing_field": "something that the command needs was left out",
    "unknown_field": "the command has no field of this name (or `stuck` no such snapshot field)",
    "wrong_type": "text where a number is needed, and the like",
    "out_of_range": "a number outside its range, or a word that is not in the list",
    "unknown_switch": "there is no switch of this name",
    "unknown_fault": "`fault_inject` has no such key",
    "conflicting_faults": "two names of the same fault were given",
    "too_long": "`fault_inject` is longer than 255 characters of compact JSON",
    "unknown_scenario": "there is no scenario of this name",
    "meter_mismatch": "the order names another meter than its topic",
    "side_mismatch": "`side` and `type` say different things",
    "price_not_allowed": "a market order with a price",
    # It could be read, and the device refuses it.
    "grid_disconnected": "an order while the home is off grid; it was kept as failed",
    "market_disabled": "an order that would have to wait while `market_enabled` is off; it was kept as failed",
    "min_fill": "the home cannot deliver the minimum fill; the order was kept as failed",
    "price_out_of_band": "the limit price is outside the band of this market; the order was kept as failed",
    "client_order_id_reused": "another order of this meter has this `client_order_id` and asks for something else",
    "too_many_orders": "the meter has as many open orders as it may have",
    "unknown_order": "this meter has no such order",
    "order_ended": "the order has ended and cannot be cancelled",
    "retained_command": "a command with the retain flag is ignored (told as an event, there is no answer)",
    "storage": "the simulator cannot save anything now, so nothing was changed",
    "internal_error": "a fault of the simulator; its log says more",
}
