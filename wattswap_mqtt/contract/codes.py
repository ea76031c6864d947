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
}
