"""From command to answer: publish with an id of our own, wait for the ack that echoes it."""

import asyncio
import secrets
from dataclasses import replace

from wattswap_mqtt.contract.answers import Ack, decode_ack
from wattswap_mqtt.contract.commands import Command
from wattswap_mqtt.contract.messages import encode_command
from wattswap_mqtt.contract.topics import Topics
from wattswap_mqtt.mqtt import AsyncConnection
from wattswap_mqtt.roles.bridge.problems import Problem, unavailable

TIMEOUT_S = 5.0
AT_ONCE = 1000
"""Commands that may wait for their answers."""


class Asker:
    """Puts commands to meters over one connection."""

    def __init__(self, connection: AsyncConnection, topics: Topics, timeout_s: float = TIMEOUT_S) -> None:
        self._connection = connection
        self._topics = topics
        self._timeout_s = timeout_s
        self._waiting: dict[str, tuple[str, asyncio.Future[Ack]]] = {}

    @property
    def waiting(self) -> int:
        """Commands without an answer yet."""
        return len(self._waiting)

    async def ask(self, meter_id: str, command: Command) -> Ack:
        """Send a command to a meter and return its answer, whatever that is.

        Raises:
            Problem: 503 `broker_away` or `busy`, 504 `timeout`.

        """
        if len(self._waiting) >= AT_ONCE:
            raise unavailable("busy", f"{AT_ONCE} commands wait for their answers already")
        command_id = secrets.token_hex(8)
        topic = self._topics.command(meter_id, command.command)
        answer: asyncio.Future[Ack] = asyncio.get_running_loop().create_future()
        self._waiting[command_id] = (meter_id, answer)
        try:
            payload = encode_command(replace(command, id=command_id))
            if not (self._connection.connected and self._connection.publish(topic, payload, qos=1)):
                raise unavailable("broker_away", "the bridge waits for the MQTT broker")
            async with asyncio.timeout(self._timeout_s):
                return await answer
        except TimeoutError:
            raise Problem(
                504, "timeout", f"{meter_id} did not answer within {self._timeout_s:g} s; it may still obey"
            ) from None
        finally:
            del self._waiting[command_id]

    async def obeyed(self, meter_id: str, command: Command) -> object:
        """Send a command to a meter and return the result of the answer.

        Raises:
            Problem: as `ask`, and 409 with the device's code (404 for `unknown_order`).

        """
        ack = await self.ask(meter_id, command)
        if ack.status == "ok":
            return ack.result
        code = ack.code or "refused"
        order = ack.result if isinstance(ack.result, dict) else {}
        more = {"order_id": order["order_id"], "order_status": order.get("status")} if "order_id" in order else {}
        raise Problem(404 if code == "unknown_order" else 409, code, ack.message or f"{meter_id} refused", **more)

    def on_ack(self, meter_id: str, payload: bytes) -> None:
        """Take in what came on a meter's ack topic, be it ours or not."""
        if not self._waiting:
            return
        ack = decode_ack(payload)
        if ack is None or not isinstance(ack.id, str):
            return
        asked, answer = self._waiting.get(ack.id, ("", None))
        if answer is not None and asked == meter_id and not answer.done():
            answer.set_result(ack)
