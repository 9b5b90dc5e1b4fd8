"""Devices that do nothing but register and update: so many that each cannot have a process, a task or a socket.

One socket stands for all of them. Each device has an address of its own in 127.0.0.0/8, from which its datagrams leave
and to which the answers come, so the gateway sees as many peers as there are devices. What is not answered in time is
sent again, as devices would.

Usage: python -m bench.fleet_load HOST PORT DEVICES. It then obeys the words on its standard input, one a line, and
answers each with a line: `register` and `update` have every device do that, and tell the seconds it took and how many
datagrams had to be repeated.
"""

import contextlib
import select
import socket
import struct
import sys
import time
from collections.abc import Callable

from bench.fleet_stage import endpoint_name
from firmcast.coap.codes import Code, MessageType, code_text
from firmcast.coap.message import decode
from firmcast.coap.options import encode_options, options

_WINDOW = 256
_ANSWER_SECONDS = 2.0
_PATIENCE_SECONDS = 300.0
_LIFETIME = 86_400
_RECEIVE_BUFFER = 8 << 20
_PKTINFO = 8  # IP_PKTINFO of Linux, which Python 3.11 does not name
_OBJECTS = b'</>;rt="oma.lwm2m";ct=11542,</1/0>,</3/0>,</4/0>,</5/0>'


def _address(number: int) -> bytes:
    """Return the source address of a device, 127.1.0.1 and up, in network order."""
    return struct.pack("!I", (127 << 24) + (1 << 16) + number)


class Load:
    """All devices, by number from 1 on."""

    def __init__(self, server: tuple[str, int], devices: int) -> None:
        self._server = server
        self._devices = devices
        self._message_ids = [number & 0xFFFF for number in range(devices + 1)]
        self._locations: list[tuple[str, ...]] = [()] * (devices + 1)
        # Of many addresses at once a socket can only speak that is bound to none; the port is of this process alone.
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        self._socket.bind(("", 0))
        self._socket.setblocking(False)

    def register(self) -> tuple[float, int]:
        """Register every device; return the seconds that took, and how many datagrams were repeated."""
        return self._each(self._registration)

    def update(self) -> tuple[float, int]:
        """Update every registration, likewise."""
        return self._each(self._refresh)

    def _registration(self, number: int) -> bytes:
        wording = options(
            uri_path=("rd",),
            uri_query=(f"ep={endpoint_name(number)}", f"lt={_LIFETIME}", "lwm2m=1.1", "b=U"),
            content_format=40,
        )
        return encode_options(wording) + b"\xff" + _OBJECTS

    def _refresh(self, number: int) -> bytes:
        return encode_options(options(uri_path=self._locations[number]))

    def _each(self, ask: Callable[[int], bytes]) -> tuple[float, int]:
        """Have every device send one request, a window of them at a time, until each is answered."""
        began = time.monotonic()
        waiting: dict[int, tuple[float, bytes]] = {}
        next_number, repeated = 1, 0
        while next_number <= self._devices or waiting:
            while next_number <= self._devices and len(waiting) < _WINDOW:
                datagram = self._request(next_number, ask(next_number))
                waiting[next_number] = time.monotonic(), datagram
                self._send(next_number, datagram)
                next_number += 1
            select.select([self._socket], [], [], _ANSWER_SECONDS)
            self._take(waiting)
            now = time.monotonic()
            if now - began > _PATIENCE_SECONDS:
                raise SystemExit(f"{len(waiting)} devices were not answered")
            for number, (sent_at, datagram) in list(waiting.items()):
                if now - sent_at < _ANSWER_SECONDS:
                    break  # the rest were sent later
                del waiting[number]
                waiting[number] = now, datagram
                self._send(number, datagram)
                repeated += 1
        return time.monotonic() - began, repeated

    def _request(self, number: int, rest: bytes) -> bytes:
        """Return a confirmable POST, whose token is the number of the device."""
        self._message_ids[number] = message_id = (self._message_ids[number] + 1) & 0xFFFF
        return struct.pack("!BBHI", 0x44, Code.POST, message_id, number) + rest

    def _send(self, number: int, datagram: bytes) -> None:
        source = struct.pack("=I4s4x", 0, _address(number))
        with contextlib.suppress(BlockingIOError):  # then it is lost, as on a network, and is sent again
            self._socket.sendmsg([datagram], [(socket.IPPROTO_IP, _PKTINFO, source)], 0, self._server)

    def _take(self, waiting: dict[int, tuple[float, bytes]]) -> None:
        """Take all answers that are there; an empty acknowledgement is none."""
        with contextlib.suppress(BlockingIOError):
            while True:
                answer = decode(self._socket.recv(2048))
                if not answer.token:
                    continue
                number = int.from_bytes(answer.token, "big")
                if answer.code == Code.CREATED:
                    self._locations[number] = answer.location_path
                elif answer.code != Code.CHANGED:
                    raise SystemExit(f"device {number} was answered {code_text(answer.code)}")
                waiting.pop(number, None)
                if answer.type is MessageType.CON:
                    self._send(number, struct.pack("!BBH", 0x60, 0, answer.message_id))


def main() -> None:
    """Obey the words on the standard input."""
    host, port, devices = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    load = Load((host, port), devices)
    for line in sys.stdin:
        seconds, repeated = {"register": load.register, "update": load.update}[line.strip()]()
        print(seconds, repeated, flush=True)


if __name__ == "__main__":
    main()
