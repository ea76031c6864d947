"""One meter as a client of the broker sees it: commands with their answers, and what it tells."""

import time
import uuid
from collections.abc import Callable, Mapping
from datetime import datetime
from threading import Event
from types import TracebackType
from typing import Any, Self

import orjson

from wattswap_mqtt.config import Settings
from wattswap_mqtt.contract import topics as channels
from wattswap_mqtt.contract.answers import Ack, decode_ack
from wattswap_mqtt.contract.topics import Topics
from wattswap_mqtt.core.errors import BrokerError, WattSwapError
from wattswap_mqtt.core.scenarios import NO_SCENARIO
from wattswap_mqtt.core.trace import Trace
from wattswap_mqtt.mqtt import Connection, Message

PATIENCE_S = 5.0

Json = Mapping[str, Any]


class CutShortError(WattSwapError):
    """Somebody does not want to wait any longer."""


class RemoteMeter:
    """A connection to the broker of `settings`, and what came in on the topics of one meter.

    `patience_s` is how long it is waited for a state, or an answer.  When another thread has set `cut_short`, whatever
    waits raises `CutShortError` once something comes in.
    """

    def __init__(
        self, settings: Settings, meter_id: str, *, patience_s: float | None = None, cut_short: Event | None = None
    ) -> None:
        self.meter_id = meter_id
        self._cut_short = cut_short or Event()
        self._patience_s = PATIENCE_S if patience_s is None else patience_s
        self._topics = topics = Topics(settings.base_topic, settings.discovery_prefix)
        self._kinds = {
            topics.state(meter_id): "state",
            topics.truth(meter_id): "truth",
            topics.switches(meter_id): "switches",
            topics.event(meter_id): "event",
        }
        self._ack = topics.ack(meter_id)
        self._status = topics.community_status(settings.community)
        self._latest_status: Json | None = None
        self._acks: dict[str, Ack] = {}
        self._switches: Json = {}
        self._state: Json | None = None
        self._log: list[tuple[str, Json]] = []
        self._trace: Trace | None = None
        self._where = str(settings.broker_address)
        orders = topics.order(meter_id, "+")
        self._orders = orders.removesuffix("+")
        self._connection = Connection(
            settings.broker_address,
            f"wattswap-client-{uuid.uuid4().hex[:8]}",
            subscriptions=[(self._ack, 1), (self._status, 0), (orders, 1), *((name, 1) for name in self._kinds)],
            on_message=self._on_message,
        )

    def __enter__(self) -> Self:
        """Connect.

        Raises:
            BrokerError: nobody is there in time.

        """
        try:
            self._wait_for(
                lambda: self._connection.connected,
                lambda: BrokerError(f"no broker answers at {self._where}"),
                min(self._patience_s, PATIENCE_S),
            )
        except BaseException:
            self._connection.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Say goodbye."""
        self._connection.close()

    def community_status(self) -> Json:
        """Return the latest status of the meter's community."""
        self._wait_for(
            lambda: self._latest_status is not None, lambda: WattSwapError(f"no simulator publishes {self._status}")
        )
        return self._latest_status or {}

    def command(self, below: str, value: object) -> object:
        """Send a command that takes a `value`, and return the result in its answer.

        Raises:
            WattSwapError: it was refused, or nobody answered.

        """
        return self._ask(below, {"value": value})

    def switches(self) -> Json:
        """Return every switch and its value."""
        self._wait_for(lambda: self._switches, lambda: WattSwapError(f"{self.meter_id} tells no switches"))
        return self._switches

    def end_scenario(self, switches: Json) -> None:
        """End what a scenario has set and what is still to come of it, and set these switches."""
        self.command(channels.SET_SCENARIO.below, NO_SCENARIO)
        self._ask(channels.SET_SWITCHES.below, switches)

    def _ask(self, below: str, body: Json) -> object:
        number = uuid.uuid4().hex
        payload = orjson.dumps({**body, "id": number})
        self._connection.publish(self._topics.command(self.meter_id, below), payload, qos=1)
        self._wait_for(
            lambda: number in self._acks, lambda: WattSwapError(f"no answer to {below} from {self.meter_id}")
        )
        ack = self._acks.pop(number)
        if ack.status != "ok":
            raise WattSwapError(f"{self.meter_id} refused {below}: {ack.message}")
        return ack.result

    def begin(self, scenario: object) -> Trace:
        """Set a scenario, by name or as a whole, and return the trace of what the meter tells from then on.

        The state that shows its effect comes first: it is the last one before the event that tells of it.
        """
        self._trace = None
        self._log.clear()
        self.command(channels.SET_SCENARIO.below, scenario)
        is_set = [n for n, (kind, told) in enumerate(self._log) if told.get("event_type") == "scenario_set"]
        if not is_set:
            raise WattSwapError(f"{self.meter_id} has not told that the scenario was set")
        began_s = datetime.fromisoformat(self._log[is_set[-1]][1]["timestamp"]).timestamp()
        states = [n for n, (kind, _) in enumerate(self._log[: is_set[-1]]) if kind == "state"]
        return self._replay(Trace(began_s), states[-1] if states else is_set[-1])

    def watch(self) -> Trace:
        """Return the trace of what the meter tells from its next state on; nothing is sent to it."""
        self._wait_for(lambda: any(kind == "state" for kind, _ in self._log), self._silent)
        first = next(n for n, (kind, _) in enumerate(self._log) if kind == "state")
        began_s = datetime.fromisoformat(self._log[first][1]["timestamp"]).timestamp()
        return self._replay(Trace(began_s), first)

    def follow(self, trace: Trace, until_s: float, progress: Callable[[float], None]) -> None:
        """Wait until a trace reaches beyond a time after its start, and tell how far it is on the way."""
        while trace.after_s <= until_s:
            seen = len(trace.samples)
            progress(max(trace.after_s, 0.0))
            self._wait_for(lambda seen=seen: len(trace.samples) > seen, self._silent)  # type: ignore[misc] # a default

    def _replay(self, trace: Trace, first: int) -> Trace:
        log, self._log, self._trace = self._log[first:], [], trace
        trace.switches(self._switches)
        self._state = None
        for kind, told in log:
            self._hand_on(trace, kind, told)
        return trace

    def _silent(self) -> WattSwapError:
        return WattSwapError(f"{self.meter_id} publishes no states at {self._where}")

    def _take(self, kind: str, told: Json) -> None:
        """Hand what came to the trace; without one, keep it for the next."""
        if kind == "switches":
            self._switches = told
        if self._trace is not None:
            self._hand_on(self._trace, kind, told)
        elif kind != "switches":
            self._log.append((kind, told))

    def _hand_on(self, trace: Trace, kind: str, told: Json) -> None:
        match kind:
            case "switches":
                trace.switches(told)
            case "order":
                trace.order(told)
            case "event":
                trace.event(told)
            case "state":
                self._end_state(trace)
                self._state = told
                if not self._switches.get("fault_inject"):
                    self._end_state(trace)
            case "truth" if self._state is not None and told["seq"] == self._state["seq"]:
                self._end_state(trace, told)

    def _end_state(self, trace: Trace, truth: Json | None = None) -> None:
        """Hand the state that came last to the trace: one of a faulty meter has waited for its truth."""
        state, self._state = self._state, None
        if state is not None:
            trace.state(state, truth)

    def _on_message(self, message: Message) -> None:
        if message.topic == self._ack:
            if (ack := decode_ack(message.payload)) is not None:
                self._acks[str(ack.id)] = ack
            return
        if not message.payload:  # clears what was retained
            return
        told = orjson.loads(message.payload)
        if message.topic == self._status:
            self._latest_status = told
        elif message.topic.startswith(self._orders):
            self._take("order", told)
        elif (kind := self._kinds.get(message.topic)) is not None:
            self._take(kind, told)

    def _wait_for(
        self, happened: Callable[[], object], otherwise: Callable[[], WattSwapError], patience_s: float | None = None
    ) -> None:
        until_s = time.monotonic() + (self._patience_s if patience_s is None else patience_s)
        while not happened():
            rest_s = until_s - time.monotonic()
            if rest_s <= 0:
                raise otherwise()
            if self._cut_short.is_set():
                raise CutShortError
            self._connection.wait(rest_s)
