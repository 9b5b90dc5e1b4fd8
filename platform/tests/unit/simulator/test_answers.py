import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmcast.coap.codes import Code
from firmcast.lwm2m.paths import (
    CANCEL,
    FIRMWARE_INSTANCE,
    FIRMWARE_STATE,
    FIRMWARE_VERSION,
    PACKAGE,
    PACKAGE_URI,
    PROTOCOL_SUPPORT,
    REBOOT,
    UPDATE,
    Path,
)
from firmcast.simulator.answers import Reply, input_of_execute, input_of_write, reply_of, reply_to_read
from firmcast.simulator.firmware_object import start
from firmcast.simulator.firmware_steps import (
    Answer,
    CancelExecuted,
    PackageWritten,
    ResetWritten,
    UpdateExecuted,
    UriWritten,
)
from firmcast.simulator.profile import DeviceProfile
from firmcast.simulator.profiles import profile_named
from firmcast.simulator.resources import all_values
from firmcast.simulator.timing import PATIENT, QUICK, DeviceTiming

PROFILE = DeviceProfile()
VALUES = all_values("node-1", PROFILE, start(PROFILE))
LINK_FORMAT = 40


def read(path: Path, accept: int | None = None) -> Reply:
    return reply_to_read(VALUES, path, accept, PROFILE)


def test_a_resource_in_every_format() -> None:
    assert read(FIRMWARE_VERSION) == Reply(code=Code.CONTENT, payload=b"\xc5\x031.0.0", content_format=11542)
    assert read(FIRMWARE_VERSION, 0) == Reply(code=Code.CONTENT, payload=b"1.0.0", content_format=0)
    assert read(FIRMWARE_STATE, 112) == Reply(
        code=Code.CONTENT, payload=bytes.fromhex("81a221662f352f302f330200"), content_format=112
    )


@pytest.mark.parametrize(
    ("path", "accept", "code"),
    [
        (Path.of(9), None, Code.NOT_FOUND),
        (Path.of(5, 1), None, Code.NOT_FOUND),
        (Path.of(5, 0, 99), 0, Code.NOT_FOUND),
        (PACKAGE, None, Code.METHOD_NOT_ALLOWED),
        (UPDATE, 0, Code.METHOD_NOT_ALLOWED),
        (FIRMWARE_INSTANCE, 0, Code.NOT_ACCEPTABLE),
        (PROTOCOL_SUPPORT, 0, Code.NOT_ACCEPTABLE),
        (FIRMWARE_STATE, 42, Code.NOT_ACCEPTABLE),
        (FIRMWARE_STATE, 65000, Code.NOT_ACCEPTABLE),
    ],
)
def test_reads_that_are_refused(path: Path, accept: int | None, code: Code) -> None:
    assert read(path, accept) == Reply(code=code)


def test_discovery_lists_what_can_be_written_and_executed_too() -> None:
    reply = read(FIRMWARE_INSTANCE, LINK_FORMAT)
    assert reply.content_format == LINK_FORMAT
    assert reply.payload == (b"</5/0>,</5/0/0>,</5/0/1>,</5/0/2>,</5/0/3>,</5/0/5>,</5/0/8>,</5/0/9>")


def test_what_writes_mean() -> None:
    def write(path: Path, content_format: int | None, payload: bytes, size: int | None = None) -> object:
        return input_of_write(path, content_format, payload, len(payload) if size is None else size, intact=True)

    assert write(PACKAGE_URI, 0, b"coap://a/b") == UriWritten(uri="coap://a/b")
    assert write(PACKAGE_URI, 11542, b"\xc8\x01\x0acoap://a/b") == UriWritten(uri="coap://a/b")
    assert write(PACKAGE_URI, None, b"") == UriWritten(uri="")
    assert write(PACKAGE_URI, 0, b"\xff") == Reply(code=Code.BAD_REQUEST)
    assert write(PACKAGE_URI, 11542, b"") == Reply(code=Code.BAD_REQUEST)
    assert write(PACKAGE, 42, b"\x00") == ResetWritten()
    assert write(PACKAGE, None, b"") == ResetWritten()
    assert write(PACKAGE, 42, b"\x00\x01") == PackageWritten(intact=True)
    assert write(PACKAGE, 42, b"", 300_000) == PackageWritten(intact=True)
    assert write(PACKAGE, 11542, b"\x00") == Reply(code=Code.UNSUPPORTED_CONTENT_FORMAT)
    assert write(FIRMWARE_STATE, 0, b"1") == Reply(code=Code.METHOD_NOT_ALLOWED)


def test_what_executes_mean() -> None:
    assert input_of_execute(UPDATE, PROFILE) == UpdateExecuted()
    assert input_of_execute(REBOOT, PROFILE) == Reply(code=Code.METHOD_NOT_ALLOWED)
    assert input_of_execute(CANCEL, PROFILE) == Reply(code=Code.NOT_FOUND)
    assert input_of_execute(CANCEL, profile_named("anjay")) == CancelExecuted()


def test_every_answer_has_a_code() -> None:
    replies = [reply_of(answer) for answer in Answer]
    codes = [None if reply is None else reply.code for reply in replies]
    assert codes == [Code.CHANGED, Code.BAD_REQUEST, Code.METHOD_NOT_ALLOWED, None]


@given(st.integers(1, 10_000), st.floats(0, 1), st.sampled_from([PATIENT, QUICK]))
def test_waits_between_registrations_grow_up_to_their_limit(failures: int, jitter: float, kind: DeviceTiming) -> None:
    delay = kind.registration_delay(failures, jitter)
    assert kind.registration_retry_first / 2 <= delay <= kind.registration_retry_limit
    assert delay <= kind.registration_retry_first * 2.0 ** min(failures - 1, 30)
