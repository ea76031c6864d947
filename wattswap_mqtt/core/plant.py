"""Sampling the homes of a community, the seed's demo home and others around it, and what they begin with."""

import numpy as np

from wattswap_mqtt.core import draws
from wattswap_mqtt.core.arrays import Floats
from wattswap_mqtt.core.load import DUTY
from wattswap_mqtt.core.records import Appliance, Flow, Plant, Register, State

DEMO_METER = "demo_meter"
DEMO_BASE_LOAD_KW = 2.0
START_SOC = 0.6
EV_START_SOC = 0.5
MOST_DEVIATION_KW = 0.5
"""How far the swings of a load deviate from its mean within a quarter hour, at most (standard deviation, noise 1)."""

_STREAM = 32
# heating and cooling, fridge, cooking and washing, lighting, other: see records.Appliance
_DEMO_SHARES = np.array([[0.40], [0.05], [0.15], [0.15], [0.25]])
_HOME_SHARES = np.array([[0.27], [0.08], [0.30], [0.12], [0.23]])
_DEMO_DEPTH = np.array([[0.4], [1.0], [0.4]])
_HOME_DEPTH = np.array([[0.8], [1.0], [1.0]])


def meter_ids(community: str, meters: int) -> tuple[str, ...]:
    """Return the ids of a community's meters: `demo_meter, meter_00002, …`, or `{community}_00001, …`."""
    if community == "main":
        return (DEMO_METER, *(f"meter_{number:05d}" for number in range(2, meters + 1)))
    return tuple(f"{community}_{number:05d}" for number in range(1, meters + 1))


def sample_plant(ids: tuple[str, ...], seed: int) -> Plant:
    """Return the nameplates of the meters `ids`, each a function of the seed and its own id only."""
    key = draws.meter_keys(seed, ids)
    n = len(ids)

    def spread(stream: int, low: float, high: float, demo: float) -> Floats:
        values = low + (high - low) * draws.uniform(key, _STREAM + stream, 0)
        return np.where(demo_row, demo, values)

    demo_row = np.array([name == DEMO_METER for name in ids])
    pv_dc = np.round(spread(0, 2.5, 11.0, 5.7), 1)
    tilt, azimuth = np.radians(spread(1, 15, 50, 35)), np.radians(spread(2, 110, 250, 180))
    battery_kwh = np.round(spread(3, 5.0, 15.0, 10.0), 1)
    ev_kwh = np.round(spread(4, 35.0, 82.0, 50.0))
    share = np.where(demo_row, _DEMO_SHARES, _HOME_SHARES)
    share = share * np.stack([spread(5 + row, 0.6, 1.4, 1.0) for row in range(len(share))])
    share = share / share.sum(axis=0)
    swing = share[: len(DUTY)] * np.where(demo_row, _DEMO_DEPTH, _HOME_DEPTH)
    covariance = 1.0 / np.maximum(DUTY, DUTY.T) - 1.0  # of the waves on / duty, at worst: when all begin together
    deviation = np.sqrt((swing * (covariance @ swing)).sum(axis=0))
    return Plant(
        key=key,
        pv_dc_kw=pv_dc,
        pv_ac_kw=np.where(demo_row, 4.0, np.round(pv_dc * 0.85, 1)),
        panel_normal=np.stack([np.sin(tilt) * np.sin(azimuth), np.sin(tilt) * np.cos(azimuth), np.cos(tilt)]),
        battery_kwh=battery_kwh,
        battery_kw=np.where(demo_row, 3.0, np.round(battery_kwh * 0.4, 1)),
        self_consumption_kw=np.where(demo_row, 2.0, np.round(battery_kwh * 0.4, 1)),
        one_way_efficiency=np.sqrt(np.round(spread(10, 0.88, 0.94, 0.92), 3)),
        grid_limit_kw=np.full(n, 10.0),
        ev_kwh=ev_kwh,
        ev_kw=np.where(demo_row, 3.0, np.where(draws.uniform(key, _STREAM + 11, 0) < 0.5, 3.7, 7.4)),
        annual_load_kwh=np.round(spread(12, 1800, 6500, 17520)),
        profile_shift_quarters=np.where(demo_row, 0, np.round(spread(13, -5.5, 5.5, 0)).astype(np.int64)),
        appliance_share=share,
        appliance_swing=swing,
        heavy_kw=np.stack([spread(14, 2.0, 3.0, 2.5), spread(15, 1.6, 3.0, 2.0)]),
        swing_limit_kw=MOST_DEVIATION_KW / deviation,
    )


def start_state(plant: Plant) -> State:
    """Return what the homes of `plant` begin with, their powers not yet computed."""
    n = len(plant.key)
    registers = np.zeros((len(Register), n))
    return State(
        sun_level=np.zeros(n),
        base_load_kw=np.full(n, DEMO_BASE_LOAD_KW),
        stored_kwh=plant.battery_kwh * START_SOC,
        ev_stored_kwh=plant.ev_kwh * EV_START_SOC,
        ev_session_kwh=np.zeros(n),
        irradiance_wpm2=np.zeros(n),
        pv_potential_kw=np.zeros(n),
        max_charge_kw=np.zeros(n),
        max_discharge_kw=np.zeros(n),
        appliances=np.zeros((len(Appliance), n)),
        ev_demand_kw=np.zeros(n),
        flows=np.zeros((len(Flow), n)),
        mean_flows=np.zeros((len(Flow), n)),
        registers=registers,
        metered=registers,
    )
