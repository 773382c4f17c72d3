"""A broker with faults that mosquitto lacks: it hangs up on every message, or acknowledges none."""

import socket
import threading
from contextlib import contextmanager, suppress
from typing import NamedTuple

CONNECT, PUBLISH, PINGREQ = 1, 3, 12
CONNACK, PUBACK, PINGRESP = b"\x20\x02\x00\x00", b"\x40\x02", b"\xd0\x00"


class Published(NamedTuple):
    """A received message; ``number`` is 0 with QoS 0."""

    topic: str
    number: int
    payload: str


class OddBroker:
    """Accepts one client at a time, and answers messages with QoS 1 as ``answer`` says."""

    def __init__(self, answer):
        self.answer = answer
        self.published: list[Published] = []
        self._connection: socket.socket | None = None
        self._place = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._place.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def received(self, topic):
        """Return the messages of a topic."""
        return [message for message in self.published if message.topic == topic]

    def _serve(self):
        with suppress(OSError):  # closed
            while True:
                connection, _ = self._place.accept()
                self._connection = connection
                with connection, suppress(OSError), connection.makefile("rb") as stream:
                    self._talk(connection, stream)

    def _talk(self, connection, stream):
        while head := stream.read(1):
            body = stream.read(_length(stream))
            kind = head[0] >> 4
            if kind == CONNECT:
                connection.sendall(CONNACK)
            elif kind == PINGREQ:
                connection.sendall(PINGRESP)
            elif kind == PUBLISH:
                end = 2 + int.from_bytes(body[:2], "big")
                has_qos = bool(head[0] & 0b110)
                number = body[end : end + 2] if has_qos else b""
                text = body[end + len(number) :].decode()
                self.published.append(Published(body[2:end].decode(), int.from_bytes(number, "big"), text))
                if has_qos and self.answer == "hang up":
                    return
                if has_qos and self.answer == "acknowledge":
                    connection.sendall(PUBACK + number)

    def close(self):
        for place in (self._place, self._connection):
            if place is not None:
                with suppress(OSError):
                    place.shutdown(socket.SHUT_RDWR)
        self._place.close()
        self._thread.join(10)


def _length(stream):
    length, shift = 0, 0
    while True:
        byte = stream.read(1)[0]
        length |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return length


@contextmanager
def odd_broker(answer):
    """Run a broker."""
    broker = OddBroker(answer)
    try:
        yield broker
    finally:
        broker.close()
