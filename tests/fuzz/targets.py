"""A target takes any bytes as one of our readers of foreign bytes would, and fails only where that reader is at fault.

What a reader documents to raise is no fault. Beyond not failing, each target holds what a reader promises: that what it
understood can be written and read again, that nothing is held of what was refused, that no answer to a stranger is
larger than three times what it sent.
"""

import random
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESCCM

from firmcast.coap.codes import Code
from firmcast.coap.dtls.parameters import DtlsParameters
from firmcast.coap.dtls.protection import SessionKeys
from firmcast.coap.dtls.server import DtlsServer
from firmcast.coap.dtls.sessions import SecureSession
from firmcast.coap.endpoint import Endpoint, RequestReceived, StaticBody
from firmcast.coap.events import NotificationUnmatched
from firmcast.coap.message import MessageFormatError, decode, encode
from firmcast.coap.options import options
from firmcast.coap.parameters import TransmissionParameters
from firmcast.lwm2m.content import ContentFormat, decode_content, decode_sent, encode_content
from firmcast.lwm2m.errors import ContentFormatError, LinkFormatError, RegistrationFormatError
from firmcast.lwm2m.link_format import format_links, parse_links
from firmcast.lwm2m.paths import Path
from firmcast.lwm2m.registration import parse_register, parse_update

Target = Callable[[bytes], None]

_STRANGER: Final = ("192.0.2.66", 4711)
_KNOWN: Final = ("192.0.2.1", 5683)
_BASES: Final = (Path.of(5, 0), Path.of(5, 0, 3), Path.of(3), Path.of(5))
_LARGEST_MESSAGE: Final = 1400
_EXPLANATION: Final = b"the endpoint name is not known here, or its device speaks through secure sessions only"
_PACKAGE: Final = StaticBody(bytes(2000), etag=b"etag")


def message(data: bytes) -> None:
    """Read one message; what was understood means the same when it is written and read again."""
    with suppress(MessageFormatError):
        understood = decode(data)
        assert decode(encode(understood)) == understood
        understood.describe()


def engine(data: bytes) -> None:
    """Give a row of datagrams, each behind its length in two bytes, to an engine in the middle of exchanges."""
    endpoint = Endpoint(random=random.Random(1))
    body = StaticBody(bytes(5000), etag=b"e")
    endpoint.fast_route(lambda request, _peer: body if request.uri_path == ("fw",) else None)
    endpoint.observe(_KNOWN, options(uri_path=("5", "0", "3")), 0.0, b"o")
    endpoint.request(_KNOWN, Code.PUT, options=options(uri_path=("p",)), payload=bytes(5000), now=0.0, token=b"p")
    endpoint.take_datagrams()
    now, at = 0.0, 0
    while at < len(data):
        length = int.from_bytes(data[at : at + 2], "big") % _LARGEST_MESSAGE
        datagram = data[at + 2 : at + 2 + length]
        at += 2 + length
        peer = _KNOWN if length & 1 else _STRANGER
        endpoint.receive(datagram, peer, now)
        now += 0.3
        endpoint.handle_timer(now)
        for event in endpoint.take_events():
            if isinstance(event, RequestReceived):
                endpoint.respond(event, Code.CONTENT, payload=event.payload, now=now)
            elif isinstance(event, NotificationUnmatched):
                endpoint.adopt_observation(event.peer, event.token)
        endpoint.take_datagrams()
    for peer in (_KNOWN, _STRANGER):
        endpoint.forget(peer, now)
    endpoint.handle_timer(now + 1_000.0)
    assert endpoint.peer_count == 0, "something is held of a peer that is forgotten"
    assert endpoint.next_timer() is None


def stranger(data: bytes) -> None:
    """Give one datagram of a stranger to an engine, which explains its refusal and asks him something, again and again.

    Packages are his who names them.

    Whoever's address that was is sent little.
    """
    endpoint = Endpoint(random=random.Random(1), parameters=TransmissionParameters(amplification=3))
    endpoint.fast_route(lambda request, _peer: _PACKAGE if request.uri_path[:1] == ("fw",) else None)
    endpoint.receive(data, _STRANGER, 0.0)
    answered = 0
    for event in endpoint.take_events():
        if isinstance(event, RequestReceived):
            is_known = event.message.uri_path[:1] == ("fw",)
            code, payload = (Code.CONTENT, _PACKAGE.read(0, 2000)) if is_known else (Code.FORBIDDEN, _EXPLANATION)
            endpoint.respond(event, code, payload=payload, now=0.0)
            endpoint.request(_STRANGER, Code.GET, options=options(uri_path=("5", "0", "3")), now=0.0)
    while (due := endpoint.next_timer()) is not None:
        answered += sum(len(datagram) for datagram, _peer in endpoint.take_datagrams())
        endpoint.handle_timer(due)
    answered += sum(len(datagram) for datagram, _peer in endpoint.take_datagrams())
    assert answered <= 3 * len(data), "a stranger is answered more than three times of what it sent"


def _content(content_format: ContentFormat) -> Target:
    def target(data: bytes) -> None:
        for base in _BASES:
            with suppress(ContentFormatError):
                values = decode_content(content_format, data, base)
                assert all(base.segments == path.segments[: len(base.segments)] for path in values)
                if content_format in (ContentFormat.TLV, ContentFormat.SENML_CBOR) and values:
                    with suppress(ContentFormatError):  # not all that can be read can be written
                        written = encode_content(content_format, values, base)
                        assert set(decode_content(content_format, written, base)) == set(values)

    target.__doc__ = f"Read {content_format.name} about several places; what was read is of the place asked about."
    return target


def sent(data: bytes) -> None:
    """Read what a Send brings, in each format."""
    for content_format in (ContentFormat.SENML_CBOR, ContentFormat.SENML_JSON, ContentFormat.LWM2M_CBOR):
        with suppress(ContentFormatError):
            decode_sent(content_format, data)


def links(data: bytes) -> None:
    """Read links; those understood are the same when they are written and read again."""
    with suppress(LinkFormatError):
        found = parse_links(data)
        assert parse_links(format_links(found)) == found


def registration(data: bytes) -> None:
    """Read a registration and an update: lines of the query, an empty line, and the objects."""
    head, _, payload = data.partition(b"\n\n")
    query = head.decode("utf-8", "replace").split("\n")
    with suppress(RegistrationFormatError):
        parse_register(query, payload)
    with suppress(RegistrationFormatError):
        parse_update(query, payload)


def handshake(data: bytes) -> None:
    """Give one datagram of a stranger to a server of secure sessions: nothing is held of it, and little is answered."""
    answered: list[bytes] = []
    server = DtlsServer(
        deliver=lambda _message, _peer, _now: None,
        transmit=lambda datagram, _address: answered.append(datagram),
        ended=lambda _peer, _now: None,
        look_up=lambda _identity: None,
        count=lambda _outcome: None,
        parameters=DtlsParameters(),
    )
    server.receive(data, _STRANGER, 0.0)
    assert server.half_open_count == 0, "a handshake is held of an address that was not shown to be real"
    assert sum(map(len, answered)) <= 3 * len(data)


_KEYS: Final = SessionKeys(
    suite="PSK-AES128-CCM8", own_key=b"S" * 16, own_salt=b"s" * 4, peer_key=b"C" * 16, peer_salt=b"c" * 4
)
_CHANGE: Final = b"\x14\xfe\xfd" + bytes(8) + b"\x00\x01\x01"
_NUMBER: Final = b"\x00\x01" + bytes(6)
_FINISHED: Final = (
    b"\x16\xfe\xfd"
    + _NUMBER
    + b"\x00\x28"
    + _NUMBER
    + AESCCM(_KEYS.own_key, 8).encrypt(_KEYS.own_salt + _NUMBER, bytes(24), _NUMBER + b"\x16\xfe\xfd\x00\x18")
)


def session(data: bytes) -> None:
    """Give one datagram to an open session, and again: what it holds counts once, and little is answered."""
    opened = SecureSession(_KEYS, _CHANGE + _FINISHED, _STRANGER, _STRANGER, 0.0)
    taken = opened.take(data)
    assert sum(map(len, taken.messages)) <= len(data)
    assert len(taken.answers) <= 3 * len(data)
    assert opened.take(data) == ([], b"", False, False), "a copy counts"


TARGETS: Final[dict[str, Target]] = {
    "message": message,
    "engine": engine,
    "stranger": stranger,
    "tlv": _content(ContentFormat.TLV),
    "senml_cbor": _content(ContentFormat.SENML_CBOR),
    "senml_json": _content(ContentFormat.SENML_JSON),
    "lwm2m_json": _content(ContentFormat.LWM2M_JSON),
    "lwm2m_cbor": _content(ContentFormat.LWM2M_CBOR),
    "text": _content(ContentFormat.TEXT),
    "sent": sent,
    "links": links,
    "registration": registration,
    "handshake": handshake,
    "session": session,
}
"""Every target by the name of its folder in the corpus."""
