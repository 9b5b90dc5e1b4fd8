"""A platform as a process of its own, and what a case finds there: an application, devices, packages, tasks.

Everything is made through the platform's own interfaces, when a case names it, and for that case alone.
"""

import json
import os
import re
import secrets
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from conformance_clients import Answer, Connection, request_bytes

COMMAND = Path(sys.executable).with_name("firmcast")
CALLBACK = "https://192.0.2.7:8099/v1.0.0/messageReceiver"
ALLOWED = {"FIRMCAST_PUSH__ALLOWED_NETWORKS": '["192.0.2.0/24"]'}
"""Addresses of documentation (RFC 5737): nobody is there, and nothing is pushed to them."""
UNITS = {"s": "seconds", "m": "minutes", "h": "hours"}


class PlatformProcess:
    """`firmcast serve`, from its start to its end."""

    def __init__(self, data: Path, settings: Mapping[str, str]) -> None:
        self.data = data
        self.said: list[bytes] = []
        """What it wrote after its start."""
        environment = {**os.environ, "FIRMCAST_REST__THROTTLE_CALLS": "0", **ALLOWED, **settings}
        words = ("serve", "--data", str(data), "--port", "0", "--coap-port", "0", "--log-format", "json")
        self._process = subprocess.Popen([COMMAND, *words], env=environment, stderr=subprocess.PIPE)
        assert self._process.stderr is not None
        for line in self._process.stderr:
            if b"platform.started" in line:
                break
        else:
            message = f"firmcast serve ended with {self._process.wait()}"
            raise RuntimeError(message)
        self._listener = threading.Thread(target=lambda: self.said.extend(self._process.stderr or ()))
        self._listener.start()
        running = json.loads((data / "running.json").read_text())
        self.address = _address(running["url"])
        self.coap_address = _address(running["coap"])
        self.admin_token = (data / "admin-token").read_text().strip()
        self.connection = Connection(address=self.address)
        """What cases are prepared over."""

    def stop(self) -> int:
        """Ask it to end, and return its status."""
        self.connection.close()
        self._process.terminate()
        self._listener.join()
        assert self._process.stderr is not None
        self._process.stderr.close()
        return self._process.wait()


def _address(url: str) -> tuple[str, int]:
    host, _, port = url.rpartition("/")[2].rpartition(":")
    return host, int(port)


class CaseWorld:
    """An application of its own, and the things that a case names, made when it names them."""

    def __init__(self, platform: PlatformProcess) -> None:
        self.platform = platform
        self._connection = platform.connection
        self._known: dict[str, str] = {}
        made = self.manage("POST", "/v1/applications", {"name": "conformance"})
        self._known |= {"app": made["application_id"], "secret": made["secret"], "callback": CALLBACK}

    def manage(self, method: str, path: str, body: Any = None) -> Any:
        """Call the management API; bytes go as they are."""
        sent = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else None
        headers = (f"Authorization: Bearer {self.platform.admin_token}", "Content-Type: application/octet-stream")
        answer = self._connection.exchange(
            request_bytes(method, path, headers if isinstance(body, bytes) else headers[:1], sent)
        )
        assert answer.status < 300, answer
        return json.loads(answer.body) if answer.body else None

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Call the northbound API, plainly, to make what a case needs; it must go well."""
        answer = self.ask(method, path, body)
        assert answer.status < 300, answer
        assert b"error_code" not in answer.body, answer
        return json.loads(answer.body) if answer.body else None

    def ask(self, method: str, path: str, body: Any = None) -> Answer:
        """Call the northbound API, plainly, with this application's token."""
        headers = (f"app_key: {self['app']}", f"Authorization: Bearer {self['token']}")
        sent = json.dumps(body).encode() if body is not None else None
        return self._connection.exchange(request_bytes(method, path, headers, sent))

    def __getitem__(self, name: str) -> str:
        """Return what is called so, made now if it is not there."""
        if name not in self._known:
            self._make(re.sub(r"\d", "", name), name)
        return self._known[name]

    def fill(self, text: str) -> str:
        """Return a text with the things that it names in the place of their names."""
        return re.sub(r"\$\{([^}]+)\}", lambda found: self._word(found[1]), text)

    def _word(self, name: str) -> str:
        if moment := re.fullmatch(r"time([+-]\d+)([smh])", name):
            shift = timedelta(**{UNITS[moment[2]]: int(moment[1])})
            return (datetime.now(UTC) + shift).strftime("%Y%m%dT%H%M%SZ")
        if several := re.fullmatch(r"(\d+) texts", name):
            return json.dumps([f"d{number}" for number in range(int(several[1]))])
        if blanks := re.fullmatch(r"(\d+) blanks", name):
            return " " * int(blanks[1])
        if letters := re.fullmatch(r"(\d+) letters", name):
            return "a" * int(letters[1])
        return self[name]

    def _make(self, kind: str, name: str) -> None:
        getattr(self, f"_make_{kind}")(name)

    def _make_token(self, _name: str) -> None:
        form = f"appId={self['app']}&secret={self['secret']}".encode()
        answer = self._connection.exchange(request_bytes("POST", "/iocm/app/sec/v1.1.0/login", (), form))
        said = json.loads(answer.body)
        self._known |= {"token": said["accessToken"], "refresh": said["refreshToken"]}

    _make_refresh = _make_token

    def _make_node(self, name: str) -> None:
        self._known[name] = secrets.token_hex(8)

    def _make_device(self, name: str) -> None:
        node = secrets.token_hex(8)
        body = {"nodeId": node, "verifyCode": node, "timeout": 0}
        device = self.call("POST", "/iocm/app/reg/v1.1.0/deviceCredentials", body)["deviceId"]
        described = {"manufacturerName": "Acme", "deviceType": "WaterMeter", "model": "WM1"}
        self.call("PUT", f"/iocm/app/dm/v1.4.0/devices/{device}", described)
        self._known[name] = device
        self._known[f"{name}_node"] = node

    def _make_online(self, name: str) -> None:
        """Make a device that is there."""
        self._make_device(name)
        register(self.platform.coap_address, self._known[f"{name}_node"])

    def _make_gone(self, name: str) -> None:
        """Make a device that was there and left."""
        self._make_device(name)
        deregister(self.platform.coap_address, register(self.platform.coap_address, self._known[f"{name}_node"]))

    def _make_online_node(self, name: str) -> None:
        self._make_online(name.removesuffix("_node"))

    def _make_device_node(self, name: str) -> None:
        self._make_device(name.removesuffix("_node"))

    def _make_group(self, name: str) -> None:
        body = {"name": f"g-{secrets.token_hex(4)}", "deviceIds": [self["device"]]}
        made = self.call("POST", "/iocm/app/devgroup/v1.3.0/devGroups", body)
        self._known[name], self._known[f"{name}_name"] = made["id"], made["name"]

    def _make_group_name(self, name: str) -> None:
        self._make_group(name.removesuffix("_name"))

    def _make_package(self, name: str) -> None:
        described = "name=wm1.bin&version=1.6&device_type=WaterMeter&manufacturer_name=Acme&model=WM1"
        query = f"application_id={self['app']}&{described}"
        self._known[name] = self.manage("POST", f"/v1/firmware?{query}", secrets.token_bytes(64))["package_id"]

    def _make_task(self, name: str) -> None:
        body = {"fileId": self["package"], "targets": {"devices": [self["device"]]}}
        self._known[name] = self.call("POST", "/iodm/northbound/v1.5.0/operations/firmwareUpgrade", body)["operationId"]

    def _make_subscription(self, name: str) -> None:
        body = {"notifyType": "deviceAdded", "callbackUrl": CALLBACK}
        self._known[name] = self.call("POST", "/iocm/app/sub/v1.2.0/subscriptions", body)["subscriptionId"]

    def _make_stranger(self, name: str) -> None:
        """Make another application, and keep its id."""
        self._known[name] = self.manage("POST", "/v1/applications", {"name": "stranger"})["application_id"]

    def _make_frozen(self, name: str) -> None:
        """Freeze this application, after its login."""
        self._known[name] = self["token"] and ""
        self.manage("POST", f"/v1/applications/{self['app']}/freeze")


def register(address: tuple[str, int], node: str) -> bytes:
    """Register a device over CoAP (OMA LwM2M 1.1, 6.2.1), and return the last part of where its registration is."""
    options = _options([(11, b"rd"), (12, b"\x28"), (15, b"ep=" + node.encode()), (15, b"lt=300"), (15, b"lwm2m=1.0")])
    code, found = _coap(address, 2, options, b"</5/0>")
    assert code == 0x41, hex(code)
    return found[-1]


def deregister(address: tuple[str, int], place: bytes) -> None:
    """End a registration."""
    code, _ = _coap(address, 4, _options([(11, b"rd"), (11, place)]), b"")
    assert code == 0x42, hex(code)


def _options(wanted: list[tuple[int, bytes]]) -> bytes:
    """Encode options (RFC 7252, 3.1)."""
    written, last = b"", 0
    for number, value in wanted:
        long = len(value) >= 13
        written += bytes([(number - last) << 4 | (13 if long else len(value))])
        written += (bytes([len(value) - 13]) if long else b"") + value
        last = number
    return written


def _coap(address: tuple[str, int], code: int, options: bytes, payload: bytes) -> tuple[int, list[bytes]]:
    """Send a request, and return the code of its answer and the segments of its Location-Path."""
    number = secrets.token_bytes(2)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.settimeout(10)
        peer.connect(address)
        peer.send(b"\x41" + bytes([code]) + number + b"t" + options + (b"\xff" + payload if payload else b""))
        while True:
            answer = peer.recv(2048)
            if answer[2:4] == number and answer[1] >= 0x40:
                return answer[1], _segments(answer[4 + (answer[0] & 15) :])


def _segments(encoded: bytes) -> list[bytes]:
    found, number = [], 0
    while encoded and encoded[0] != 0xFF:
        number += encoded[0] >> 4
        length, encoded = encoded[0] & 15, encoded[1:]
        if length == 13:
            length, encoded = encoded[0] + 13, encoded[1:]
        if number == 8:
            found.append(encoded[:length])
        encoded = encoded[length:]
    return found
