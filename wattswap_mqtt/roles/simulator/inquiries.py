"""What the market can be asked for over MQTT, besides orders: prices, trades, candles, statements, the ledger.

Statement and ledger are made from the journal of the store, where what was metered and settled is booked when its
quarter hour, or its delivery, is over.  Tokens and energies are whole micro-tokens and milliwatt-hours until they are
told, in apt and kWh.
"""

from wattswap_mqtt.contract.commands import GetMarket
from wattswap_mqtt.core.community import Community
from wattswap_mqtt.core.market.orders import Row
from wattswap_mqtt.core.market.pricing import from_millionths
from wattswap_mqtt.core.market.rows import Totals
from wattswap_mqtt.core.moments import DAY_S, QUARTER_S, iso_utc
from wattswap_mqtt.core.registers import CO2_KG_PER_KWH
from wattswap_mqtt.roles.simulator.persistence import Persistence
from wattswap_mqtt.roles.simulator.summary import market_of


def told(community: Community, persistence: Persistence, meter: int, asked: GetMarket) -> Row | list[Row]:
    """Return what is asked for.

    Raises:
        StorageError: the journal cannot be read.

    """
    match asked.what:
        case "market":
            return market_of(community)
        case "trades":
            return community.exchange.tape.trades(asked.limit)
        case "candles":
            return community.exchange.tape.candles(asked.limit)
        case "statement":
            return _statement(community, persistence, meter, asked)
        case "ledger":
            return _ledger(community, persistence, asked)


def _period(community: Community, asked: GetMarket) -> tuple[float, float]:
    """Return start and end; what is not given is a day, until now and everything that is booked by now."""
    end_s = community.clock_s + QUARTER_S if asked.end_s is None else asked.end_s
    return (end_s - DAY_S if asked.start_s is None else asked.start_s), end_s


def _statement(community: Community, persistence: Persistence, meter: int, asked: GetMarket) -> Row:
    start_s, end_s = _period(community, asked)
    meter_id, exchange = community.ids[meter], community.exchange
    entries = persistence.entries(meter_id, start_s, end_s, asked.limit)
    totals = persistence.totals(meter_id, start_s, end_s)
    opening_utok = persistence.balance_utok(meter_id, start_s)
    closing_utok = opening_utok + totals.amount_utok
    balance_utok, lines = closing_utok - sum(entry["amount_utok"] for entry in entries), []
    for entry in entries:
        balance_utok += entry["amount_utok"]
        lines.append(_line(entry) | {"balance_apt": from_millionths(balance_utok)})
    return {
        "meter_id": meter_id,
        "start": iso_utc(start_s),
        "end": iso_utc(end_s),
        "opening_balance_apt": from_millionths(opening_utok),
        "closing_balance_apt": from_millionths(closing_utok),
        "balance_apt": from_millionths(int(exchange.earnings_utok[meter] - exchange.spending_utok[meter])),
        **_energy(totals),
        "co2_kg": round(from_millionths(totals.bought_mwh - totals.sold_mwh) * CO2_KG_PER_KWH, 9),
        "total": totals.rows,
        "entries": lines,
    }


def _line(entry: Row) -> Row:
    metered_kwh = from_millionths(entry["energy_mwh"]) if entry["kind"] != "imbalance" else 0.0
    return {
        "entry_id": entry["entry_id"],
        "kind": entry["kind"],
        "timestamp": iso_utc(entry["time_s"]),
        "order_id": entry["order_id"],
        "counterparty": entry["counterparty"],
        "energy_kwh": from_millionths(entry["energy_mwh"]),
        "price": from_millionths(entry["price_utok_per_kwh"]),
        "amount_apt": from_millionths(entry["amount_utok"]),
        "co2_kg": round(-metered_kwh * CO2_KG_PER_KWH, 9),
    }


def _energy(totals: Totals) -> dict[str, float]:
    return {
        "sold_kwh": from_millionths(totals.sold_mwh),
        "bought_kwh": from_millionths(totals.bought_mwh),
        "not_delivered_kwh": from_millionths(totals.not_delivered_mwh),
        "not_taken_kwh": from_millionths(totals.not_taken_mwh),
    }


def _ledger(community: Community, persistence: Persistence, asked: GetMarket) -> Row:
    start_s, end_s = _period(community, asked)
    exchange = community.exchange
    quarters = persistence.quarters(start_s, end_s, asked.limit)
    accounts = exchange.accounts()
    return {
        "timestamp": iso_utc(community.clock_s),
        "ledger_sum_utok": exchange.ledger_sum_utok,
        "accounts": [
            {
                "account": name,
                "earned_apt": from_millionths(earned),
                "spent_apt": from_millionths(spent),
                "balance_apt": from_millionths(earned - spent),
            }
            for name, earned, spent in accounts[: asked.limit]
        ],
        "quarter_hours": [_quarter(quarter_s, totals) for quarter_s, totals in quarters.items()],
    }


def _quarter(start_s: float, totals: Totals) -> Row:
    """Return what was metered in a quarter hour: bought = sold + imbalance, which the utility has delivered."""
    return {
        "start": iso_utc(start_s),
        **_energy(totals),
        "imbalance_kwh": from_millionths(totals.bought_mwh - totals.sold_mwh),
        "utility_apt": from_millionths(-totals.amount_utok),
    }
