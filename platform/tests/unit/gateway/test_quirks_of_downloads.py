"""What real clients do when they fetch a package, by the number of the quirk."""

from datetime import UTC, datetime
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest

from firmcast.coap.block import Block
from firmcast.coap.codes import Code, MessageType
from firmcast.coap.dtls.peers import secure_peer
from firmcast.coap.message import Message
from firmcast.coap.options import options
from firmcast.coap.static_bodies import StaticBody
from firmcast.gateway.addresses import PackageAddresses
from firmcast.gateway.downloads import Downloads
from firmcast.gateway.transfers import Transfer, Transfers
from firmcast.ids import DeviceId, DeviceUpgradeId, PackageId, new_secret
from firmcast.lwm2m.firmware_update import LONGEST_PACKAGE_URI
from firmcast.upgrades.model import DeviceReport, TransferProgressed, TransferTarget

TOKEN = "token"
PEER = ("192.0.2.1", 40000)
PACKAGE = bytes(4096)


@pytest.fixture
def served():
    """A package that is being fetched, and what is reported of it."""
    reports: list[DeviceReport] = []
    now = datetime(2026, 1, 1, tzinfo=UTC)
    transfers = Transfers(None, None, report=reports.append, heard=lambda _: None, now=lambda: now)
    target = TransferTarget(
        device_upgrade_id=DeviceUpgradeId("u"),
        device_id=DeviceId("d"),
        endpoint_name="endpoint",
        package_id=PackageId("p"),
        digest="0" * 64,
        size=len(PACKAGE),
    )
    transfer = transfers._keep(TOKEN, Transfer(target, StaticBody(PACKAGE, etag=b"etag")))
    downloads = Downloads(transfers, lambda _: 6, device_of=lambda _: None)

    def fetch(number: int) -> None:
        downloads.block_served(PEER, ("fw", TOKEN), number * 1024, 1024, len(PACKAGE))

    return SimpleNamespace(fetch=fetch, transfer=transfer, transfers=transfers, downloads=downloads, reports=reports)


@pytest.mark.parametrize("peer", [PEER, secure_peer(PEER, "endpoint")])
def test_quirk_13_a_query_is_dropped_so_the_token_is_in_the_path(peer) -> None:
    addresses = PackageAddresses(public_host="upgrades.example.org", bound_host="::", port=5683, secure_port=5684)
    token = new_secret(16)
    uri = addresses.uri(token, peer)
    assert (urlsplit(uri).path, urlsplit(uri).query) == (f"/fw/{token}", "")
    assert uri.isascii()
    assert len(uri) <= LONGEST_PACKAGE_URI


def test_quirk_14_a_client_that_cannot_resume_begins_again_at_block_0(served) -> None:
    for number in (0, 1, 2):
        served.fetch(number)
    assert served.transfers.progress(DeviceUpgradeId("u")) == (3072, 4096)
    served.fetch(0)
    assert served.transfers.progress(DeviceUpgradeId("u")) == (1024, 4096)
    assert [report.input for report in served.reports] == [TransferProgressed(finished=False)]


def test_quirk_14_a_client_that_resumes_begins_anywhere(served) -> None:
    served.fetch(2)
    assert served.transfers.progress(DeviceUpgradeId("u")) == (3072, 4096)
    assert [report.input for report in served.reports] == [TransferProgressed(finished=False)]


def test_quirk_11_a_client_that_nothing_stops_is_served_no_longer_without_the_stores_word(served) -> None:
    request = SimpleNamespace(uri_path=("fw", TOKEN))
    assert served.downloads.route(request, PEER) is served.transfer.body
    served.transfers.forget(TOKEN)
    assert served.downloads.route(request, PEER) is None


@pytest.mark.parametrize("asked", [None, Block(0, more=False, szx=6)])
def test_a_client_that_takes_short_fragments_is_sent_blocks_that_fit(served, asked) -> None:
    downloads = Downloads(served.transfers, lambda _: 4, device_of=lambda _: None)
    message = Message(MessageType.CON, Code.GET, 1, b"t", options(uri_path=("fw", TOKEN), block2=asked))
    assert downloads.route(message, PEER) is None, "what is kept of its blocks is of any size"
    answered = []
    udp = SimpleNamespace(
        respond=lambda _request, code, **told: answered.append((code, told)),
        endpoint=SimpleNamespace(takes_bodies=lambda _peer: True),
    )
    downloads.answer(SimpleNamespace(message=message, peer=PEER), udp)
    ((code, told),) = answered
    assert code == Code.CONTENT
    assert told["payload"] == PACKAGE[:256]
    assert Message(MessageType.ACK, code, 1, b"t", told["options"]).block2 == Block(0, more=True, szx=4)


@pytest.mark.parametrize(("takes", "came"), [(True, 1024), (False, 0)])
def test_what_is_held_back_is_asked_for_and_has_not_gone(served, takes, came) -> None:
    message = Message(MessageType.CON, Code.GET, 1, b"t", options(uri_path=("fw", TOKEN)))
    udp = SimpleNamespace(respond=lambda *_, **__: True, endpoint=SimpleNamespace(takes_bodies=lambda _peer: takes))
    served.downloads.answer(SimpleNamespace(message=message, peer=PEER), udp)
    assert served.transfers.progress(DeviceUpgradeId("u")) == (came, 4096)
    assert [report.input for report in served.reports] == [TransferProgressed(finished=False)]
