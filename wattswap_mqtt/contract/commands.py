"""Commands as records: what can be asked of a meter, over MQTT and REST alike; messages.py reads and writes them."""

from dataclasses import dataclass, field
from typing import Literal

from wattswap_mqtt.contract import topics
from wattswap_mqtt.core.errors import CommandError
from wattswap_mqtt.core.market.orders import OrderTerms, Status
from wattswap_mqtt.core.switches import SwitchValue

CorrelationId = str | int | float | bool | None
Wanted = Status | Literal["open"]
"""`open` is accepted or partially filled."""
What = Literal["market", "trades", "candles", "statement", "ledger"]


@dataclass(frozen=True)
class SetSwitches:
    """Set one switch or several, all or nothing."""

    values: dict[str, SwitchValue]
    id: CorrelationId = None
    command: str = topics.SET_SWITCHES.below


@dataclass(frozen=True)
class SetScenario:
    """Put the meter into a scenario: one with a name, which is not checked yet, or one of the sender's own."""

    name: str
    id: CorrelationId = None
    document: dict[str, object] | None = None
    command: str = field(default=topics.SET_SCENARIO.below, init=False)


@dataclass(frozen=True)
class SetDiscovery:
    """Announce the meter to hubs, or do not; it stays so over restarts."""

    announced: bool
    id: CorrelationId = None
    command: str = field(default=topics.SET_DISCOVERY.below, init=False)


@dataclass(frozen=True)
class PlaceOrder:
    """Place an order."""

    terms: OrderTerms
    id: CorrelationId = None
    command: str = field(default=topics.PLACE_ORDER.below, init=False)


@dataclass(frozen=True)
class CancelOrder:
    """End an order."""

    order_id: str
    id: CorrelationId = None
    command: str = field(default=topics.CANCEL_ORDER.below, init=False)


@dataclass(frozen=True)
class OrderFilters:
    """Which orders are asked for; the newest come first."""

    status: Wanted | None = None
    client_order_id: str | None = None
    limit: int = 100


@dataclass(frozen=True)
class GetOrders:
    """Ask for one order (`order_id`) or for those that pass the filters."""

    order_id: str | None = None
    filters: OrderFilters = OrderFilters()
    id: CorrelationId = None
    command: str = field(default=topics.GET_ORDERS.below, init=False)


@dataclass(frozen=True)
class GetMarket:
    """Ask for what the market knows: of all, or (statement) of the meter; times are unix seconds."""

    what: What
    start_s: float | None = None
    end_s: float | None = None
    limit: int = 100
    id: CorrelationId = None
    command: str = field(default=topics.GET_ORDERS.below, init=False)


Command = SetSwitches | SetScenario | SetDiscovery | PlaceOrder | CancelOrder | GetOrders | GetMarket


class RejectedCommand(CommandError):  # noqa: N818 (it is the command that was rejected)
    """A command that cannot be read; carries what its answer needs: the topic below `M/` and the id, where readable."""

    def __init__(self, error: CommandError, command: str, correlation_id: CorrelationId) -> None:
        super().__init__(error.code, error.message)
        self.command = command
        self.id = correlation_id
