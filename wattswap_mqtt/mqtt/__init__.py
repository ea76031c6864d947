"""MQTT 3.1.1 connections that mend themselves.

dial.py         a socket to the broker: name lookup, TCP, TLS
frames.py       messages with QoS 0, written many at once
messages.py     a message; those with QoS 1 that wait for their turn
link.py         the protocol and its repair, without a way to wait; the one module that imports paho
connections.py  the two ways to wait: a thread of one's own, or an asyncio loop
"""

from wattswap_mqtt.mqtt.connections import AsyncConnection, Connection
from wattswap_mqtt.mqtt.frames import publish_frame
from wattswap_mqtt.mqtt.messages import Message

__all__ = ["AsyncConnection", "Connection", "Message", "publish_frame"]
