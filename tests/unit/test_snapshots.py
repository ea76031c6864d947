"""The snapshot on the wire."""

import json
import re
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from homes import NOON_S, community, encoded, home, set_home

from wattswap_mqtt.contract.snapshots import SnapshotEncoder
from wattswap_mqtt.core.metering import Readings
from wattswap_mqtt.core.moments import iso_local, iso_utc
from wattswap_mqtt.core.quantities import QUANTITIES, ROW
from wattswap_mqtt.core.status import ALARMS

TOP = ["meter_id", "timestamp", "tz", "hardware", "seq", "published_at"]
SECTIONS = ["measurements", "pv", "battery", "loads", "ev", "grid", "derived", "market", "alarms"]
ENCODER = SnapshotEncoder(("a", "b", "c"), "Europe/Berlin", "1.2.3")


def strictly(message: bytes) -> dict:
    """Read JSON that has no NaN or Infinity in it."""
    return json.loads(message, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))


def readings(value: float = 1.0, *, meters=(0,), time_s: float = NOON_S, alarms: int = 0) -> Readings:
    values = np.full((len(QUANTITIES), len(meters)), value)
    for row, path in enumerate(QUANTITIES):
        if path.quantity.options:
            values[row] = 0
    return Readings(np.array(meters), time_s, 7, values, np.full(len(meters), alarms))


def told(value: float = 1.0, **more) -> dict:
    (message,) = ENCODER.encode(readings(value, **more), 1e9, {})
    return strictly(message)


def leaves(body, path=()):
    for name, value in body.items():
        if isinstance(value, dict):
            yield from leaves(value, (*path, name))
        else:
            yield ".".join((*path, name)), value


def test_a_snapshot_has_the_contracts_sections_in_order():
    body = told()
    assert list(body) == TOP + SECTIONS
    assert body["hardware"].keys() >= {"firmware_version", "meter_location"}
    assert body["hardware"]["firmware_version"] == "1.2.3"


def test_every_quantity_is_on_the_wire_under_its_name():
    body = dict(leaves({section: told()[section] for section in SECTIONS[:-1]}))
    assert body.keys() == {path.dotted for path in QUANTITIES} | {"market.last_trade"}


def test_kinds_are_those_of_json():
    for name, value in leaves({section: told()[section] for section in SECTIONS[:-1]}):
        if name == "market.last_trade":
            continue
        quantity = QUANTITIES[ROW[name]].quantity
        wanted = {"number": float, "integer": int, "bool": bool, "enum": str}[quantity.kind]
        assert type(value) is wanted, name
        assert not quantity.options or value == quantity.options[0]


def test_what_is_not_defined_is_null():
    read = readings()
    nullable = [path.dotted for path in QUANTITIES if path.quantity.nullable]
    for name in nullable:
        read.values[ROW[name]] = np.nan
    (message,) = ENCODER.encode(read, 0.0, {})
    body = strictly(message)
    assert nullable
    assert [body["derived"][name.removeprefix("derived.")] for name in nullable] == [None] * len(nullable)


@pytest.mark.parametrize("value", [-1e-9, -0.0, -0.00000049, 0.0])
def test_zero_has_no_sign(value):
    (message,) = ENCODER.encode(readings(value), 0.0, {})
    assert b"-0.0" not in message
    assert strictly(message)["derived"]["net_power_kw"] == 0.0


@pytest.mark.parametrize("value", [1.23456789, 2 / 3, 1e5 / 3, 0.1 + 0.2, 8.7])
def test_numbers_keep_the_decimals_of_their_declaration(value):
    (message,) = ENCODER.encode(readings(value), 0.0, {})
    for path in QUANTITIES:
        if path.quantity.kind == "number":
            digits = re.search(rb'"%s":(-?\d+)\.(\d+)[,}]' % path.names[-1].encode(), message)
            assert digits is not None, path.dotted
            assert len(digits[2]) <= max(path.quantity.decimals, 1), path.dotted


def test_powers_are_to_the_watt_energies_to_the_milliwatt_hour_and_the_soc_to_a_thousandth():
    body = told(1.23456789)
    assert body["derived"]["net_power_kw"] == 1.235
    assert body["derived"]["energy_imported_kwh"] == 1.234568
    assert body["battery"]["soc_pct"] == 1.235


@pytest.mark.parametrize(
    ("utc", "timestamp"),
    [
        ("2026-06-17T10:00:00", "2026-06-17T12:00:00.000+02:00"),
        ("2026-01-17T10:00:00.250", "2026-01-17T11:00:00.250+01:00"),
        ("2026-03-29T00:59:59.999", "2026-03-29T01:59:59.999+01:00"),
        ("2026-03-29T01:00:00", "2026-03-29T03:00:00.000+02:00"),
        ("2026-10-25T00:30:00", "2026-10-25T02:30:00.000+02:00"),
        ("2026-10-25T01:30:00", "2026-10-25T02:30:00.000+01:00"),
        ("1971-01-01T00:00:00", "1971-01-01T01:00:00.000+01:00"),
        ("2199-12-31T23:00:00", "2200-01-01T00:00:00.000+01:00"),
    ],
)
def test_the_timestamp_is_local_with_its_offset(utc, timestamp):
    time_s = datetime.fromisoformat(f"{utc}+00:00").timestamp()
    body = told(time_s=time_s)
    assert (body["timestamp"], body["tz"]) == (timestamp, "Europe/Berlin")
    assert datetime.fromisoformat(body["timestamp"]).timestamp() == pytest.approx(time_s, abs=1e-3)


@pytest.mark.parametrize(
    ("tz", "offset"),
    [("UTC", "+00:00"), ("Asia/Kathmandu", "+05:45"), ("America/St_Johns", "-02:30"), ("Pacific/Kiritimati", "+14:00")],
)
def test_any_zone(tz, offset):
    assert iso_local(NOON_S, ZoneInfo(tz)).endswith(offset)


def test_published_at_is_wall_time_in_utc():
    assert told()["published_at"] == iso_utc(1e9) == "2001-09-09T01:46:40.000+00:00"


def test_a_skewed_clock_is_that_meters_only():
    bodies = [strictly(m) for m in ENCODER.encode(readings(meters=(0, 2)), 0.0, {}, {2: 3600.0})]
    assert [body["timestamp"][11:19] for body in bodies] == ["12:00:00", "13:00:00"]


def test_meters_are_named_by_their_row():
    bodies = [strictly(m) for m in ENCODER.encode(readings(meters=(2, 0)), 0.0, {2: {"price": 0.08}})]
    assert [body["meter_id"] for body in bodies] == ["c", "a"]
    assert [body["market"]["last_trade"] for body in bodies] == [{"price": 0.08}, None]


def test_alarms_are_a_list():
    assert told()["alarms"] == []
    body = told(alarms=0b101)
    assert [alarm["code"] for alarm in body["alarms"]] == [ALARMS[0].code, ALARMS[2].code]
    assert all(alarm.keys() == {"code", "level", "msg"} for alarm in body["alarms"])


def test_encoding_leaves_the_readings_alone():
    read = readings(1.23456789)
    before = read.values.copy()
    ENCODER.encode(read, 0.0, {})
    assert (read.values == before).all()


def test_what_homes_say_is_always_json():
    street = community(*(f"home_{number}" for number in range(8)), noise=1.0)
    for meter in range(8):
        set_home(street, meter, soc=[0, 10, 60, 100][meter % 4], grid_connected=meter % 2 == 0, daytime=meter % 3 == 0)
    street.set_switches(7, {"fault_inject": {"bias_pct": -90, "ct_reversed": True}})
    for _ in range(10):
        street.advance(1)
        for message in encoded(street):
            body = strictly(message)
            assert list(body) == TOP + SECTIONS
            assert not re.search(rb"-0\.0[,}]", message)


@pytest.mark.parametrize("bias", [-100, -99.99, 0.001])
def test_a_fault_leaves_no_minus_zero_on_the_wire(bias):
    for message in encoded(home(soc=10, load=2.0, fault_inject={"bias_pct": bias})):
        assert not re.search(rb"-0\.0[,}]", message)
