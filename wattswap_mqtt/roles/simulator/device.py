"""The device's incoming half: what a command leads to, and in which order.

journal -> effect -> retained state and telemetry -> events -> answers.  So who has an answer has seen the effect, and a
crash at any moment loses nothing that was answered.
"""

import logging
from collections.abc import Sequence
from itertools import islice

from wattswap_mqtt.contract.answers import Ack, accepted, rejected
from wattswap_mqtt.contract.commands import (
    CancelOrder,
    Command,
    GetMarket,
    GetOrders,
    OrderFilters,
    PlaceOrder,
    RejectedCommand,
    SetDiscovery,
    SetScenario,
    SetSwitches,
)
from wattswap_mqtt.contract.messages import parse_command
from wattswap_mqtt.contract.scenario_files import Catalogue, read_document
from wattswap_mqtt.contract.topics import Topics
from wattswap_mqtt.core.community import Community
from wattswap_mqtt.core.errors import CommandError, StorageError
from wattswap_mqtt.core.market.entry import answer_again
from wattswap_mqtt.core.market.orders import Order, OrderTerms, Row
from wattswap_mqtt.core.market.rows import read_order, wire_form
from wattswap_mqtt.core.scenarios import NO_SCENARIO, Scenario, scenario_named
from wattswap_mqtt.mqtt import Message
from wattswap_mqtt.roles.simulator.inquiries import told
from wattswap_mqtt.roles.simulator.persistence import Persistence
from wattswap_mqtt.roles.simulator.publisher import Publisher
from wattswap_mqtt.store.community_store import JournalRow

logger = logging.getLogger(__name__)

QUESTIONS = GetOrders | GetMarket
"""Commands that change nothing."""

AT_A_TIME = 100
"""Meters whose switches are told at once when the clock of all has changed."""

Job = tuple[int, Command | RejectedCommand, JournalRow]
"""The meter's row in the community, the command as it was read, and as it came."""


class Device:
    """Carries out commands on a community and sees to it that what they changed is saved and told."""

    def __init__(
        self, topics: Topics, community: Community, persistence: Persistence, publisher: Publisher, catalogue: Catalogue
    ) -> None:
        self._topics = topics
        self._community = community
        self._persistence = persistence
        self._publisher = publisher
        self._catalogue = catalogue
        self._changed: dict[str, Row] = {}
        self._to_tell: dict[int, None] = {}  # meters whose switches changed with those of everybody

    def obey(self, messages: Sequence[Message]) -> None:
        """Carry out what arrived."""
        jobs = self._write_down([job for message in messages if (job := self._read(message)) is not None])
        acceleration = self._community.time_acceleration
        answers = [(meter, self._answer(meter, command)) for meter, command, _ in jobs]
        self._collect_changes()
        if self._changed:
            self._publish_orders()
            self._publisher.market()
        touched = dict.fromkeys(meter for meter, command, _ in jobs if not isinstance(command, QUESTIONS))
        everyone = self._community.time_acceleration != acceleration
        orders = PlaceOrder | CancelOrder | GetOrders | SetDiscovery  # they leave the switches as they are
        switched: dict[int, bool] = {}  # whether the scenario is to be told again, too
        for (_, command, _), (meter, ack) in zip(jobs, answers, strict=True):
            if meter in touched and (ack.status == "error" or not isinstance(command, orders)):
                again = ack.status == "error" or not isinstance(command, SetSwitches)
                switched[meter] = again or switched.get(meter, False)
        for meter, again in switched.items():
            self._publisher.switches(meter, again=again)
        if everyone:
            self._to_tell |= dict.fromkeys(meter for meter in range(len(self._community.ids)) if meter not in switched)
            self.tell_more()
        for meter in touched:
            self._publisher.availability(meter)
        if touched:
            self._publisher.readings(touched)
        self._publisher.events()
        for meter, ack in answers:
            self._publisher.answer(meter, ack)

    def tell_more(self, *, everything: bool = False) -> bool:
        """Publish switches that everybody's clock has changed, a few at a time; tell whether there are more.

        A thousand of them must not keep the answer, or the next ones, waiting.
        """
        while self._to_tell and (everything or self._publisher.unacknowledged < AT_A_TIME):
            for meter in list(islice(self._to_tell, AT_A_TIME)):
                self._publisher.switches(meter, again=False)
                del self._to_tell[meter]
        return bool(self._to_tell)

    def replay(self, journal: Sequence[JournalRow]) -> None:
        """Carry out commands again that a crash took from the checkpoint; their events will be told (again)."""
        for meter_id, below, payload in journal:
            meter = self._community.index.get(meter_id)
            if meter is None:
                logger.warning("a command for %s, which is gone, was not carried out: %s", meter_id, below)
            else:
                self._answer(meter, _parse(meter_id, below, payload))

    def report(self) -> None:
        """Publish a tick; what was counted is saved before it is told."""
        readings, truth = self._community.read()
        self.save()
        for meter in sorted(self._community.take_played()):
            self._publisher.switches(meter)
            self._publisher.availability(meter)
        self._publisher.states(readings, truth, at_once=False)
        self._publish_orders()
        self._publisher.events()
        self._publisher.clear_ended_orders()
        self._publisher.community()

    def save(self, *, last: bool = False) -> None:
        """Save everything; `last`: nothing will be told after it."""
        self._collect_changes()
        self._persistence.checkpoint(last=last)

    def _collect_changes(self) -> None:
        """Hand the orders that changed to the next checkpoint, and note that they are to be published."""
        changes = self._community.exchange.take_changes()
        self._persistence.add(changes)
        # bots have orders, but no meter to publish them on
        self._changed |= {row["order_id"]: row for row in changes.orders if row["meter_id"] in self._community.index}

    def _publish_orders(self) -> None:
        self._publisher.orders(self._changed.values())
        self._changed.clear()

    def _read(self, message: Message) -> Job | None:
        """Return the command in a message; None if there is none to be carried out."""
        if message.topic == self._topics.birth:
            if message.payload == b"online":
                self._publisher.announcer.announce_again()
            return None
        split = self._topics.parse(message.topic)
        meter = self._community.index.get(split[0]) if split else None
        if split is None or meter is None:
            return None  # another community's
        meter_id, below = split
        if message.retain:
            logger.warning("ignored a retained command on %s: an old one must not act at each reconnect", message.topic)
            why = "a retained command is ignored: send it without the retain flag"
            self._community.note("command_rejected", meter, command=below, code="retained_command", message=why)
            return None
        return meter, _parse(meter_id, below, message.payload), (meter_id, below, message.payload)

    def _write_down(self, jobs: list[Job]) -> list[Job]:
        """Write the commands that may change something to the journal; return the jobs, refused if that failed."""
        rows = [row for _, command, row in jobs if not isinstance(command, RejectedCommand | QUESTIONS)]
        if not rows:
            return jobs
        try:
            self._persistence.journal(rows)
        except StorageError as error:
            return [(meter, _refused(command, error), row) for meter, command, row in jobs]
        return jobs

    def _answer(self, meter: int, command: Command | RejectedCommand) -> Ack:
        """Carry out one command; whatever happens, there is one answer."""
        if isinstance(command, RejectedCommand):
            return self._reject(meter, command, command)
        try:
            return accepted(command, self._carry_out(meter, command))
        except CommandError as error:
            return self._reject(meter, command, error)
        except StorageError as error:
            return self._reject(meter, command, _not_saved(error))
        except Exception:
            logger.exception("%s failed", command.command)
            why = "this should not happen: the simulator's log says more"
            return self._reject(meter, command, CommandError("internal_error", why))

    def _reject(self, meter: int, command: Command | RejectedCommand, error: CommandError) -> Ack:
        said = {"command": command.command, "code": error.code, "message": error.message}
        self._community.note("command_rejected", meter, **said)
        return rejected(command, error)

    def _carry_out(self, meter: int, command: Command) -> object:
        community = self._community
        match command:
            case SetSwitches(values=values):
                community.set_switches(meter, values)
                mine = community.switch_values[meter]
                result = {name: mine[name] for name in values}
                return result if command.command == "switches/set" else next(iter(result.values()))
            case SetScenario():
                community.set_scenario(meter, self._scenario(command))
                return community.scenarios[meter]
            case SetDiscovery(announced=announced):
                self._publisher.announcer.wish(meter, announced=announced)
                return announced
            case PlaceOrder(terms=terms):
                return (self._placed_long_ago(meter, terms) or community.place(meter, terms)).to_dict()
            case CancelOrder(order_id=order_id):
                return community.cancel(meter, order_id).to_dict()
            case GetOrders() | GetMarket():
                return self._tell(meter, command)

    def _tell(self, meter: int, asked: GetOrders | GetMarket) -> object:
        if isinstance(asked, GetOrders):
            return self._orders(meter, asked)
        self._collect_changes()
        return told(self._community, self._persistence, meter, asked)

    def _scenario(self, wanted: SetScenario) -> Scenario | None:
        if wanted.document is not None:
            return read_document(wanted.document)
        return None if wanted.name == NO_SCENARIO else scenario_named(wanted.name, self._catalogue.scenarios)

    def _placed_long_ago(self, meter: int, terms: OrderTerms) -> Order | None:
        """Return the order that has this client's id, if the exchange has forgotten it.

        Raises:
            CommandError: it asks for something else, or was refused.

        """
        if terms.client_order_id is None:
            return None
        filters = OrderFilters(client_order_id=terms.client_order_id, limit=1)
        for row in self._persistence.orders(self._community.ids[meter], filters):
            if self._remembered(row["order_id"]) is None:
                return answer_again(read_order(row, meter), terms)
        return None

    def _orders(self, meter: int, asked: GetOrders) -> Row | list[Row]:
        if asked.order_id is None:
            self._collect_changes()
            rows = self._persistence.orders(self._community.ids[meter], asked.filters)
            return [self._remembered(row["order_id"]) or wire_form(row) for row in rows]
        if (remembered := self._remembered(asked.order_id)) is not None:
            return remembered
        if (row := self._persistence.order(asked.order_id)) is not None:
            return wire_form(row)
        raise CommandError("unknown_order", f"there is no order {asked.order_id}")

    def _remembered(self, order_id: str) -> Row | None:
        """Return an order as it is at this moment, if the exchange remembers it; what is stored may be older."""
        try:
            return self._community.exchange.get(order_id).to_dict()
        except CommandError:
            return None


def _parse(meter_id: str, below: str, payload: bytes) -> Command | RejectedCommand:
    try:
        return parse_command(meter_id, below, payload)
    except RejectedCommand as error:
        return error


def _refused(command: Command | RejectedCommand, error: StorageError) -> Command | RejectedCommand:
    if isinstance(command, RejectedCommand | QUESTIONS):
        return command
    return RejectedCommand(_not_saved(error), command.command, command.id)


def _not_saved(error: StorageError) -> CommandError:
    return CommandError("storage", f"the simulator cannot use its data now, so nothing was changed: {error}")
