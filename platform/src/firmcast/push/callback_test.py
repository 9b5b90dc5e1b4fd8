"""A callback is tried with one push that is signed and sent as every other, and that nothing in the store knows of.

It goes to the same addresses, trusts and presents the same certificates, and carries the same headers, with one that
says that it is a test. It is sent once, whatever comes of it.
"""

from dataclasses import dataclass, field
from datetime import datetime

from firmcast.applications import use_cases as applications
from firmcast.db.port import Transaction
from firmcast.errors import NotFoundError
from firmcast.events.model import EventType
from firmcast.ids import ApplicationId, MessageId
from firmcast.push.callbacks import prepare
from firmcast.push.envelope import callback_test_headers, encode_callback_test
from firmcast.push.http_sender import OutgoingRequest
from firmcast.push.signing import Signer
from firmcast.push.trust import Trust
from firmcast.sealing import Sealer
from firmcast.subscriptions import use_cases as subscriptions


@dataclass(frozen=True, slots=True, kw_only=True)
class TestedCallback:
    """Where a test goes, and what it is sent with."""

    application_id: ApplicationId
    url: str
    trust: Trust
    signer: Signer
    headers: tuple[str, ...] = field(repr=False)


async def look_up(
    tx: Transaction, application_id: ApplicationId, target: str | EventType, sealer: Sealer
) -> TestedCallback:
    """Return how an application is called: at `target`, or at the URL of its subscription for that type of event.

    Raises:
        NotFoundError: there is no such application, or no such subscription of it.
        StartError: the key file does not open its secrets.
    """
    await applications.find(tx, application_id)
    if isinstance(target, EventType):
        found, _ = await subscriptions.listed(tx, application_id, event_type=target)
        if not found:
            raise NotFoundError("subscription", f"of {application_id} for {target.value}")
        url = found[0].callback_url
    else:
        url = target
    identity = (await applications.signing_secrets(tx, [application_id], sealer))[application_id]
    trust, signer, headers = prepare(identity)
    return TestedCallback(application_id=application_id, url=url, trust=trust, signer=signer, headers=headers)


def request(tested: TestedCallback, message_id: MessageId, now: datetime) -> OutgoingRequest:
    """Return the push that tries a callback."""
    body = encode_callback_test(tested.application_id)
    signature = tested.signer.sign(message_id, now, body)
    headers = [*callback_test_headers(message_id, now, signature), *tested.headers]
    return OutgoingRequest(url=tested.url, headers=headers, body=body, trust=tested.trust)
