"""The leanest clients there can be, so that what is measured is the other side: MQTT and HTTP on bare sockets."""

import socket
from types import TracebackType
from typing import Self

CONNACK, PUBLISH, SUBACK = 2, 3, 9
PATIENCE_S = 20.0


class _Client:
    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), PATIENCE_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self._buffer = b""
        self._position = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def send(self, data: bytes) -> None:
        """Write bytes as they are."""
        self._socket.sendall(data)

    def _receive(self) -> None:
        piece = self._socket.recv(1 << 18)
        if not piece:
            raise ConnectionError("the other side has hung up")
        self._buffer, self._position = self._buffer[self._position :] + piece, 0

    def _take(self, size: int) -> bytes:
        while len(self._buffer) - self._position < size:
            self._receive()
        self._position += size
        return self._buffer[self._position - size : self._position]


class RawMqtt(_Client):
    """An MQTT 3.1.1 client; messages with QoS 1 are acknowledged as they are read."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        name = f"bench-{self._socket.getsockname()[1]}".encode()
        self.send(_packet(0x10, b"\x00\x04MQTT\x04\x02\x00\x00" + _text(name)))
        self._expect(CONNACK)

    def subscribe(self, topic_filter: str, qos: int = 0) -> None:
        """Subscribe, and wait for the broker to say so."""
        self.send(_packet(0x82, b"\x00\x01" + _text(topic_filter.encode()) + bytes([qos])))
        self._expect(SUBACK)

    def publish(self, topic: str, payload: bytes, qos: int = 0) -> None:
        """Publish; an acknowledgement is not waited for."""
        self.send(publish_packet(topic, payload, qos))

    def message(self) -> tuple[str, bytes]:
        """Return topic and payload of the next message."""
        while True:
            head, body = self._packet()
            if head >> 4 == PUBLISH:
                return self._message(head, body)

    def message_on(self, topic: str) -> bytes:
        """Return the payload of the next message on a topic."""
        while (message := self.message())[0] != topic:
            pass
        return message[1]

    def _message(self, head: int, body: bytes) -> tuple[str, bytes]:
        end = 2 + int.from_bytes(body[:2], "big")
        topic = body[2:end].decode()
        if head & 0x06:
            self.send(b"\x40\x02" + body[end : end + 2])
            end += 2
        return topic, body[end:]

    def _expect(self, kind: int) -> None:
        while self._packet()[0] >> 4 != kind:
            pass

    def _packet(self) -> tuple[int, bytes]:
        head, length, shift = self._take(1)[0], 0, 0
        while True:
            digit = self._take(1)[0]
            length |= (digit & 0x7F) << shift
            shift += 7
            if not digit & 0x80:
                return head, self._take(length)


def publish_packet(topic: str, payload: bytes, qos: int = 0, *, retain: bool = False) -> bytes:
    """Return a whole PUBLISH; with QoS 1 its packet id is 1."""
    number = b"\x00\x01" if qos else b""
    return _packet(0x30 | qos << 1 | retain, _text(topic.encode()) + number + payload)


def _packet(head: int, body: bytes) -> bytes:
    header, length = bytearray([head]), len(body)
    while length > 0x7F:
        header.append(length & 0x7F | 0x80)
        length >>= 7
    header.append(length)
    return bytes(header) + body


def _text(text: bytes) -> bytes:
    return len(text).to_bytes(2, "big") + text


class RawHttp(_Client):
    """An HTTP/1.1 client that keeps its connection."""

    def ask(self, request: bytes) -> bytes:
        """Send a whole request and return the body of its answer."""
        self.send(request)
        return self.answer()

    def answer(self) -> bytes:
        """Return the body of the next answer, which must be a 200 and say its length."""
        while (end := self._buffer.find(b"\r\n\r\n", self._position)) < 0:
            self._receive()
        head = self._take(end + 4 - self._position)
        if not head.startswith(b"HTTP/1.1 200 "):
            raise RuntimeError(f"{head.decode()}{self._buffer[self._position :].decode()}")
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r")[0]
        return self._take(int(length))


def get_request(path: str) -> bytes:
    """Return a whole GET request."""
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


def post_request(path: str, body: bytes) -> bytes:
    """Return a whole POST request with a body of JSON."""
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
