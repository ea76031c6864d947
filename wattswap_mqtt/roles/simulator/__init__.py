"""The device side of MQTT: one community of virtual meters."""

from wattswap_mqtt.roles.simulator.simulator import Simulator

__all__ = ["Simulator"]
