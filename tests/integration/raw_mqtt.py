"""MQTT by hand, for what a well-behaved client or broker does not do."""

import contextlib
import socket
from typing import Self

from tests.running import PATIENCE_S
from wattswap_mqtt.config import BrokerAddress

CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK, UNSUBACK, PINGRESP, DISCONNECT = 1, 2, 3, 4, 8, 9, 11, 13, 14
PINGREQ = b"\xc0\x00"


def connect_packet(client_id: str, *, keepalive_s: int = 60, will: tuple[str, bytes] | None = None) -> bytes:
    flags, body = 0x02, _string(client_id.encode())
    if will is not None:
        flags |= 0x24  # with a Last Will, retained
        body += _string(will[0].encode()) + _string(will[1])
    body = b"\x00\x04MQTT\x04" + bytes((flags,)) + keepalive_s.to_bytes(2, "big") + body
    return b"\x10" + bytes((len(body),)) + body


def subscribe_packet(topic_filter: str, qos: int = 0) -> bytes:
    body = b"\x00\x01" + _string(topic_filter.encode()) + bytes((qos,))
    return b"\x82" + bytes((len(body),)) + body


def unsubscribe_packet(topic_filter: str) -> bytes:
    body = b"\x00\x01" + _string(topic_filter.encode())
    return b"\xa2" + bytes((len(body),)) + body


def _string(text: bytes) -> bytes:
    return len(text).to_bytes(2, "big") + text


class Raw:
    """One end of a connection."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.sock.settimeout(PATIENCE_S)

    def packet(self) -> tuple[int, bytes]:
        """Return the next packet's type and body; (0, b"") when the other end has hung up."""
        try:
            head = self._exactly(1)[0]
            length, shift = 0, 0
            while True:
                digit = self._exactly(1)[0]
                length |= (digit & 0x7F) << shift
                shift += 7
                if not digit & 0x80:
                    return head >> 4, self._exactly(length)
        except (EOFError, ConnectionError):
            return 0, b""

    def expect(self, kind: int) -> bytes:
        """Return the body of the next packet, which must be of this kind."""
        packet = self.packet()
        assert packet[0] == kind, packet
        return packet[1]

    def published(self) -> tuple[str, bytes]:
        """Return topic and payload of the next message (QoS 0), past other packets."""
        while (packet := self.packet())[0] != PUBLISH:
            assert packet[0] != 0, "the other end has hung up"
        return message_in(packet[1])

    def _exactly(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            if not (piece := self.sock.recv(size - len(data))):
                raise EOFError
            data += piece
        return bytes(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()


class RawClient(Raw):
    """A client that says `first` and expects to be let in, or says nothing."""

    def __init__(self, address: BrokerAddress, first: bytes | None = None) -> None:
        super().__init__(socket.create_connection((address.host, address.port)))
        if first is not None:
            self.sock.sendall(first)
            self.expect(CONNACK)

    def is_served(self) -> bool:
        """Whether the broker still answers this client."""
        with contextlib.suppress(ConnectionError):
            self.sock.sendall(PINGREQ)
        while (packet := self.packet())[0] not in (0, PINGRESP):
            pass
        return packet[0] == PINGRESP


class RawBroker:
    """A listener; `accept()` is a broker's end of the next connection."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)  # so that it can be filled
        self._listener.settimeout(PATIENCE_S)
        self.address = BrokerAddress("127.0.0.1", self._listener.getsockname()[1])

    def accept(self) -> Raw:
        """Return the next connection, at which nothing was said yet."""
        return Raw(self._listener.accept()[0])

    def welcome(self) -> Raw:
        """Return the next connection, after CONNECT and its CONNACK."""
        raw = self.accept()
        raw.expect(CONNECT)
        raw.sock.sendall(b"\x20\x02\x00\x00")
        return raw

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()


def message_in(body: bytes) -> tuple[str, bytes]:
    """Return topic and payload of a PUBLISH with QoS 0."""
    end = 2 + int.from_bytes(body[:2], "big")
    return body[2:end].decode(), body[end:]
