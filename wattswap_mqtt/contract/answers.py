"""What the device says about commands: the one answer to each, and events."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from wattswap_mqtt.contract.commands import Command, CorrelationId, RejectedCommand
from wattswap_mqtt.core.errors import CommandError


@dataclass(frozen=True)
class Ack:
    """The one answer to a command."""

    id: CorrelationId
    command: str
    status: Literal["ok", "error"]
    code: str | None = None
    message: str | None = None
    result: Any = None


def encode_ack(ack: Ack) -> bytes:
    """Return the payload of an answer."""
    return orjson.dumps(ack, option=orjson.OPT_SERIALIZE_NUMPY)


def accepted(command: Command, result: object) -> Ack:
    """Return the answer to a command that took effect; `result` is the new value, order or list."""
    return Ack(command.id, command.command, "ok", result=result)


def rejected(command: Command | RejectedCommand, error: CommandError) -> Ack:
    """Return the answer to a command that was refused, on reading it (then it is the error itself) or later."""
    failed = None if error.order_id is None else {"order_id": error.order_id, "status": "failed"}
    return Ack(command.id, command.command, "error", error.code, error.message, failed)


def decode_ack(payload: bytes) -> Ack | None:
    """Return the answer in `payload`, None if there is none in it."""
    try:
        fields = orjson.loads(payload)
        return Ack(**{name: fields[name] for name in ("id", "command", "status", "code", "message", "result")})
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None


def encode_event(event_type: str, timestamp: str, meter_id: str, data: Mapping[str, object]) -> bytes:
    """Return the payload of an event; `timestamp` is ISO 8601 with an offset."""
    event = {"event_type": event_type, "timestamp": timestamp, "meter_id": meter_id, **data}
    return orjson.dumps(event, option=orjson.OPT_SERIALIZE_NUMPY)
