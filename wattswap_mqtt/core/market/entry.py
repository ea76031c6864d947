"""The rules an order has to meet before it is accepted."""

from typing import NamedTuple

from wattswap_mqtt.core.errors import CommandError
from wattswap_mqtt.core.market.orders import REASONS, Order, OrderTerms
from wattswap_mqtt.core.market.pricing import MILLION, Quotes, from_millionths, to_millionths
from wattswap_mqtt.core.market.roster import MOST_OPEN


class Rules(NamedTuple):
    """What the market asks of every order: limit prices within a band (utok per kWh), and not too many of them open."""

    floor_utok: int = -1000 * MILLION
    cap_utok: int = 1000 * MILLION
    most_open: int = MOST_OPEN


class Home(NamedTuple):
    """What the exchange has to know of a home that places an order.

    `surplus_kw` is PV less load, EV included; below its reserve the battery takes what it can of that
    before anything is sold.
    """

    grid_connected: bool
    market_enabled: bool
    available_discharge_kwh: float
    p_max_discharge_kw: float
    surplus_kw: float
    p_max_charge_kw: float = 0.0
    hours_to_reserve: float = 0.0  # 0 above it

    def deliverable_kwh(self, duration_s: float) -> float:
        """Return the most it could ever sell: the battery above its reserve, and the present surplus all the time."""
        hours = duration_s / 3600
        from_battery_kwh = min(self.available_discharge_kwh, self.p_max_discharge_kw * hours)
        surplus_kw = max(self.surplus_kw, 0)
        stored_kwh = min(surplus_kw, self.p_max_charge_kw) * min(hours, self.hours_to_reserve)
        return from_battery_kwh + surplus_kw * hours - stored_kwh


def refusal(terms: OrderTerms, quotes: Quotes, home: Home, rules: Rules) -> CommandError | None:
    """Return why the home cannot place this order, if it cannot.

    Only what is hopeless is refused for its `min_fill`: the promises of other orders and the house's own needs may
    change until the window is over.
    """
    price_utok = quotes.price(terms.side)
    if not home.grid_connected:
        return CommandError("grid_disconnected", REASONS["grid_disconnected"])
    limit = terms.price_utok_per_kwh
    if limit is not None and not rules.floor_utok <= limit <= rules.cap_utok:
        floor, cap = from_millionths(rules.floor_utok), from_millionths(rules.cap_utok)
        return CommandError("price_out_of_band", f"price takes {floor:g} to {cap:g} apt/kWh in this market")
    if terms.waits and not terms.accepts(price_utok) and not home.market_enabled:
        return CommandError(
            "market_disabled",
            f"the utility's price is {from_millionths(price_utok):g} apt/kWh; an order can wait for a better one only"
            " while market_enabled is on",
        )
    least_mwh = min(terms.min_fill_mwh, terms.quantity_mwh)
    most_mwh = to_millionths(home.deliverable_kwh(terms.duration_s))
    if terms.side == "sell" and most_mwh < least_mwh:
        return CommandError(
            "min_fill",
            f"the home can deliver at most {from_millionths(most_mwh):g} kWh in {terms.duration_s:g} s, and the minimum"
            f" fill is {from_millionths(least_mwh):g} kWh",
        )
    return None


def answer_again(known: Order, terms: OrderTerms) -> Order:
    """Answer an order whose client's id is known as it was answered the first time.

    Raises:
        CommandError: `client_order_id_reused` if it is another order, or what the first one was refused for.

    """
    if known.terms != terms:
        raise CommandError(
            "client_order_id_reused",
            f"client_order_id {terms.client_order_id!r} is that of {known.order_id}, which asks for something else:"
            " give this order an id of its own",
        )
    if known.refused and known.reason and known.message:
        raise CommandError(known.reason, known.message, order_id=known.order_id)
    return known
