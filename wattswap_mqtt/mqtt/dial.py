"""A socket to the broker."""

import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress

from wattswap_mqtt.config import BrokerAddress

TIMEOUT_S = 5.0
READ_BYTES = 64 * 1024
BLOCK_BYTES = 256 * 1024
"""Written in one go: an acknowledgement waits for at most so much telemetry."""
AHEAD_BYTES = 128 * 1024
"""So much the operating system holds of what was written (Linux: twice that, by itself up to 4 MiB).

An answer stands behind all of it: where a busy broker takes telemetry more slowly than it comes, that would be seconds.
"""


class Dial(threading.Thread):
    """One attempt to reach the broker.

    Name lookup, connect and TLS handshake block, so they have a thread of their own, which ends with them.
    """

    def __init__(self, address: BrokerAddress, done: Callable[[], None]) -> None:
        """Prepare; `start()` it, and once `done` was called (in the thread), look at `outcome`."""
        super().__init__(name="mqtt-dial", daemon=True)
        self.outcome: socket.socket | Exception | None = None
        self._address = address
        self._done = done
        self._abandoned = False

    def run(self) -> None:
        """Dial."""
        try:
            self.outcome = _connected(self._address)
        except (OSError, ValueError) as problem:  # a ValueError: a host name that cannot be one
            self.outcome = problem
        self._close_if_abandoned()
        self._done()

    def abandon(self) -> None:
        """Nobody wants the socket any more."""
        self._abandoned = True
        self._close_if_abandoned()

    def _close_if_abandoned(self) -> None:
        # Whichever thread comes second sees what the first has set.
        if self._abandoned and isinstance(self.outcome, socket.socket):
            self.outcome.close()


def _connected(address: BrokerAddress) -> socket.socket:
    """Return a connected socket that does not block (this itself blocks for seconds)."""
    sock = socket.create_connection((address.host, address.port), timeout=TIMEOUT_S)
    try:
        # Without it a round trip with QoS 1 takes 44-88 ms instead of 0.5 ms.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, AHEAD_BYTES)
        if address.tls:
            context = ssl.create_default_context(cafile=address.ca_file)
            sock = context.wrap_socket(sock, server_hostname=address.host)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock


class BufferedSocket:
    """A socket as paho wants it, read and written in large pieces where paho asks for single bytes and packets.

    What is sent together leaves together, with `flush`: each piece by itself would wake the broker once more.
    """

    def __init__(self, sock: socket.socket, closing: Callable[["BufferedSocket"], None]) -> None:
        """Take over a socket that does not block; `closing` is called just before it is closed."""
        self._sock = sock
        self._closing = closing
        self._buffer = b""
        self._position = 0
        self._unsent = bytearray()
        self._stuck = False

    @property
    def is_open(self) -> bool:
        """Whether nobody has closed it (paho does, when the connection is lost)."""
        return self._sock.fileno() >= 0

    @property
    def buffered(self) -> bool:
        """Whether there is something to read that no selector would tell of."""
        in_tls = self.is_open and isinstance(self._sock, ssl.SSLSocket) and self._sock.pending() > 0
        return in_tls or self._position < len(self._buffer)

    def recv(self, size: int) -> bytes:
        """Return at most `size` bytes, b"" at the end; raises as a socket that does not block."""
        if self._position == len(self._buffer):
            self._buffer, self._position = self._sock.recv(READ_BYTES), 0
        piece = self._buffer[self._position : self._position + size]
        self._position += len(piece)
        return piece

    @property
    def unsent(self) -> int:
        """How many bytes wait to be flushed."""
        return len(self._unsent)

    @property
    def takes_more(self) -> bool:
        """Whether more can be sent: not before the operating system has taken the whole of what was flushed."""
        return not self._stuck and len(self._unsent) < BLOCK_BYTES

    def send(self, data: bytes | bytearray) -> int:
        """Take in the whole of the data, to be flushed; raises BlockingIOError while it takes no more."""
        if not self.takes_more:
            raise BlockingIOError
        self._unsent += data
        return len(data)

    def flush(self) -> None:
        """Write what was sent, as far as it can be done without waiting; raises OSError for a lost connection."""
        if self._unsent:
            with suppress(BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
                del self._unsent[: self._sock.send(self._unsent)]
            self._stuck = bool(self._unsent)

    def close(self) -> None:
        """Close, after a last try to flush; a second time does nothing."""
        if self.is_open:
            with suppress(OSError):
                self.flush()
            self._closing(self)
            self._sock.close()

    def fileno(self) -> int:
        """Return what a selector needs."""
        return self._sock.fileno()

    def setblocking(self, flag: bool) -> None:
        """Do as a socket does."""
        self._sock.setblocking(flag)
