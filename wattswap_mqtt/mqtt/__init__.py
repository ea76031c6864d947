"""MQTT 3.1.1 connections that mend themselves.

dial.py         a socket to the broker: name lookup, TCP, TLS
frames.py       messages with QoS 0, written many at once
messages.py     a message; those with QoS 1 that wait for their turn
session.py      one connection as long as it lasts; the one module that imports paho
link.py         connections one after the other, and what waits between them, without a way to wait
connections.py  the two ways to wait: a thread of one's own, or an asyncio loop
"""

from wattswap_mqtt.mqtt.connections import AsyncConnection, Connection
from wattswap_mqtt.mqtt.frames import publish_frame
from wattswap_mqtt.mqtt.messages import Message

__all__ = ["AsyncConnection", "Connection", "Message", "publish_frame"]
