"""Whom the sender trusts, and as whom it presents itself."""

import ssl
from datetime import timedelta
from ipaddress import ip_network

import pytest

from firmcast.push import http_sender
from firmcast.push.answer import FailureKind
from firmcast.push.destination import DestinationRules
from firmcast.push.http_sender import HttpSender, OutgoingRequest, SenderLimits
from firmcast.push.trust import Trust

LOOPBACK = DestinationRules(allowed_networks=(ip_network("127.0.0.0/8"),))


def request(url: str, trust: Trust) -> OutgoingRequest:
    return OutgoingRequest(url=url, body=b"{}", trust=trust)


async def test_an_authority_of_the_application_is_trusted(sender: HttpSender, tls_callback, authority) -> None:
    trust = Trust(authorities=authority.certificate)
    assert (await sender.send(request(tls_callback.url(), trust))).status == 200
    tls_callback.host = "localhost"
    assert (await sender.send(request(tls_callback.url(), trust))).status == 200


async def test_nobody_else_is(sender: HttpSender, tls_callback, authority) -> None:
    answer = await sender.send(request(tls_callback.url(), Trust()))
    assert (answer.status, answer.failure) == (None, FailureKind.TLS)
    assert (await sender.send(request(tls_callback.url(), Trust(authorities=authority.certificate)))).status == 200
    answer = await sender.send(request(tls_callback.url(), Trust()))
    assert answer.failure is FailureKind.TLS, "a connection of other trust must not be shared"
    assert len(tls_callback.requests) == 1


async def test_the_host_name_must_be_in_the_certificate(sender: HttpSender, authority, new_callback) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.stranger)
    callback = await new_callback(context)
    answer = await sender.send(request(callback.url(), Trust(authorities=authority.certificate)))
    assert (answer.failure, callback.requests) == (FailureKind.TLS, [])


async def test_authorities_that_are_no_pem_make_a_failed_attempt(sender: HttpSender, tls_callback) -> None:
    answer = await sender.send(request(tls_callback.url(), Trust(authorities=b"not a certificate")))
    assert answer.failure is FailureKind.TLS


async def test_a_client_certificate_is_shown_where_it_is_asked_for(
    sender: HttpSender, tls_context: ssl.SSLContext, authority, new_callback
) -> None:
    tls_context.verify_mode = ssl.CERT_REQUIRED
    tls_context.load_verify_locations(cadata=authority.certificate.decode())
    callback = await new_callback(tls_context)
    known = Trust(
        authorities=authority.certificate,
        client_certificate=authority.client_certificate,
        client_key=authority.client_key,
    )
    anonymous = await sender.send(request(callback.url(), Trust(authorities=authority.certificate)))
    recognised = await sender.send(request(callback.url(), known))
    assert anonymous.status is None
    assert recognised.status == 200


async def test_a_peer_that_never_shakes_hands_fails_within_the_connect_timeout(callback) -> None:
    limits = SenderLimits(connect_timeout=timedelta(milliseconds=200))
    sender = HttpSender(rules=LOOPBACK, limits=limits)
    try:
        answer = await sender.send(request(callback.url().replace("http:", "https:"), Trust()))
    finally:
        sender.close()
    assert (answer.status, answer.failure) == (None, FailureKind.CONNECT_TIMEOUT)


async def test_http2_is_offered_where_wanted(tls_context: ssl.SSLContext, authority, new_callback) -> None:
    tls_context.set_alpn_protocols(["h2"])
    for wanted in (True, False):
        callback = await new_callback(tls_context)
        limits = SenderLimits(http2=wanted, attempt_timeout=timedelta(seconds=1))
        sender = HttpSender(rules=LOOPBACK, limits=limits)
        try:
            await sender.send(request(callback.url(), Trust(authorities=authority.certificate)))
        finally:
            sender.close()
        assert set(callback.protocols) == {"h2" if wanted else None}


@pytest.mark.parametrize("http2", [False, True])
async def test_nobody_is_called_as_somebody_else(tls_context: ssl.SSLContext, authority, new_callback, http2) -> None:
    """One URL, three identities in turn: neither a connection nor a TLS session of one serves another."""
    tls_context.verify_mode = ssl.CERT_OPTIONAL
    tls_context.load_verify_locations(cadata=authority.certificate.decode())
    callback = await new_callback(tls_context)
    identities = {
        name: Trust(authorities=authority.certificate, client_certificate=certificate, client_key=key)
        for name, (certificate, key) in {
            "": (b"", b""),
            "platform": (authority.client_certificate, authority.client_key),
            "second": authority.issue("second"),
        }.items()
    }
    sender = HttpSender(rules=LOOPBACK, limits=SenderLimits(http2=http2))
    expected = []
    try:
        for name in ["platform", "", "second", "platform", "second", "", "platform"]:
            expected.append(name)
            assert (await sender.send(request(callback.url(), identities[name]))).status == 200
    finally:
        sender.close()
    assert [received.client for received in callback.requests] == expected


async def test_an_intermediate_certificate_is_presented_too(
    sender: HttpSender, tls_context: ssl.SSLContext, authority, new_callback
) -> None:
    tls_context.verify_mode = ssl.CERT_REQUIRED
    tls_context.load_verify_locations(cadata=authority.certificate.decode())
    callback = await new_callback(tls_context)
    chain, key = authority.issue("below", through_intermediate=True)
    known = Trust(authorities=authority.certificate, client_certificate=chain, client_key=key)
    assert (await sender.send(request(callback.url(), known))).status == 200
    assert [received.client for received in callback.requests] == ["below"]


async def test_what_was_made_for_former_certificates_goes(
    sender: HttpSender, callback, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_sender, "_MOST_IDLE_SLOTS_IN_ALL", 2)
    for number in range(5):
        trust = Trust(authorities=b"%d" % number)
        assert (await sender.send(request(callback.url(), trust))).status == 200
        assert (await sender.send(request(callback.url(), trust))).status == 200
    assert [trust.authorities for trust in sender._idle] == [b"3", b"4"]
