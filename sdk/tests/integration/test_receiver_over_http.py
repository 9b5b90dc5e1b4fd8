"""A receiver behind a real server, pushed at over real connections."""

import http.client
from urllib.parse import urlsplit

import pytest

from firmcast_sdk import FirmwareState, PushMessageReceiver, Receiver
from firmcast_sdk.receiver.reception import DEFAULT_PATH
from firmcast_sdk.testing import Platform


def request(base_url, method, path, body=None, headers=None):
    """One request; gives status and body."""
    connection = http.client.HTTPConnection(urlsplit(base_url).netloc, timeout=20)
    try:
        connection.request(method, path, body=body, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_an_upgrade_arrives_in_order_and_once(serve):
    receiver, seen = Receiver(), []
    receiver.on_firmware_state(seen.append)

    @receiver.on_firmware_result
    async def ended(event):
        seen.append(event)

    with serve(receiver) as base_url:
        platform = Platform(url=base_url + DEFAULT_PATH)
        pushes = platform.firmware_upgrade("device-1")
        answers = platform.send_all([*pushes, pushes[0].again()])
    assert [answer.json()["result"] for answer in answers] == ["accepted"] * 5 + ["duplicate"]
    assert [event.sequence for event in seen] == [1, 2, 3, 4, 5]
    assert seen[0].state is FirmwareState.DOWNLOADING
    assert seen[0].occurred_at is not None


def test_the_vendors_surface(serve, golden):
    class Recorder(PushMessageReceiver):
        def __init__(self):
            self.steps = []

        async def handleFwUpgradeStateChanged(self, body):
            self.steps.append((body.step, body.stepDesc))

    recorder = Recorder()
    with serve(recorder) as base_url:
        for name in ("fw_upgrade_state_change", "fw_upgrade_state_change_pretty", "fw_upgrade_state_change_spaced"):
            for content_type in ("application/json", "application/json; charset=UTF-8", "text/plain"):
                status, _ = request(
                    base_url, "POST", DEFAULT_PATH, golden(f"{name}.json"), {"content-type": content_type}
                )
                assert status == 200
    assert recorder.steps == [("1", "downloading")] * 9


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", DEFAULT_PATH, 405),
        ("HEAD", DEFAULT_PATH, 405),
        ("PUT", DEFAULT_PATH, 405),
        ("POST", "/", 404),
        ("GET", "/v1.0.0/messageReceiver/cmd", 405),
        ("POST", "/v1.0.0/messageReceiver/cmd/more", 404),
    ],
)
def test_wrong_doors(serve, method, path, status):
    with serve(Receiver()) as base_url:
        assert request(base_url, method, path)[0] == status


def test_ten_megabytes_are_refused_and_the_server_lives_on(serve, golden):
    with serve(Receiver()) as base_url:
        status, body = request(base_url, "POST", DEFAULT_PATH, b"x" * 10_000_000)
        assert (status, b"body_too_large" in body) == (413, True)
        assert request(base_url, "POST", DEFAULT_PATH, golden("fw_upgrade_result.json"))[0] == 200


def test_a_chunked_body_is_limited_too(serve_asgi):
    with serve_asgi(Receiver().asgi) as base_url:
        status, body = request(base_url, "POST", DEFAULT_PATH, (b"x" * 10_000 for _ in range(20)))
    assert (status, b"body_too_large" in body) == (413, True)


@pytest.mark.parametrize("body", [b"", b"\x00\xff", b"{", b"[" * 60_000])
def test_bad_bodies_get_a_reason_and_no_traceback(serve, body):
    with serve(Receiver()) as base_url:
        status, answer = request(base_url, "POST", DEFAULT_PATH, body)
    assert status == 400
    assert b"Traceback" not in answer
