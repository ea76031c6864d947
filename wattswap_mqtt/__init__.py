"""WattSwap MQTT: a virtual prosumer smart meter that lives on MQTT."""

from importlib.metadata import version

__version__ = version("wattswap-mqtt")
