"""What real clients do when they fetch a package, by the number of the quirk."""

from datetime import UTC, datetime
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest

from firmcast.coap.dtls.peers import secure_peer
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
        package_id=PackageId("p"),
        digest="0" * 64,
        size=len(PACKAGE),
    )
    transfer = transfers._keep(TOKEN, Transfer(target, StaticBody(PACKAGE, etag=b"etag")))
    downloads = Downloads(transfers)

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
