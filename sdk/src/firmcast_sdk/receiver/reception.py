"""Pure: what arrived and `now` go in, a push to handle or a finished answer comes out; nothing is read or run here."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from firmcast_sdk.events import DeliveryFacts, Event, make_event, read_delivery_facts
from firmcast_sdk.receiver import answers
from firmcast_sdk.receiver.answers import Answer
from firmcast_sdk.signatures import DEFAULT_TOLERANCE, SignatureError, verify
from firmcast_sdk.wire.decoding import UnknownNotifyTypeError, WireError
from firmcast_sdk.wire.headers import TEST
from firmcast_sdk.wire.notifications import Notification, decode

DEFAULT_PATH = "/v1.0.0/messageReceiver"
COMMAND_SUFFIX = "/cmd"  # where the vendor's SDK is told of commands
DEFAULT_SIZE_LIMIT = 64 * 1024
_TEST_ID_PREFIX = "test_"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceptionRules:
    """What a receiver insists on."""

    path: str | None = DEFAULT_PATH
    """Where it listens, with `COMMAND_SUFFIX` or without; None takes every path. A slash at the end is nothing."""

    secrets: tuple[str, ...] = ()
    """Any of them may have signed; several while one is being replaced."""

    public_keys: tuple[str, ...] = ()
    """The same. Without a secret and without a key, signatures are not looked at."""

    tolerance: timedelta = DEFAULT_TOLERANCE
    """How far a signature's time may be from now."""

    size_limit: int = DEFAULT_SIZE_LIMIT
    """Largest body, bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Push:
    """A push that follows the contract: what it says and what its headers say of it."""

    notification: Notification
    facts: DeliveryFacts
    body: bytes

    def event(self) -> Event:
        """The typed event that it tells of."""
        return make_event(self.notification, self.facts)


def check_head(
    rules: ReceptionRules, *, method: str, path: str, mounted: bool, headers: Mapping[str, str]
) -> Answer | None:
    """The answer that is due before the body is read, or None.

    `path` begins where the application that holds the receiver ends; `mounted` says that there is one, and then the
    mount's own root is a place of the receiver too. `headers` have names in lower case.
    """
    if rules.path is not None:
        roots = {rules.path.rstrip("/"), ""} if mounted else {rules.path.rstrip("/")}
        # What a push is about is in its body: both places take every kind.
        if path.rstrip("/") not in roots | {root + COMMAND_SUFFIX for root in roots}:
            return answers.NOT_FOUND
    if method != "POST":
        return answers.METHOD_NOT_ALLOWED
    length = headers.get("content-length", "").strip()
    if length.isascii() and length.isdigit() and (len(length) > 18 or int(length) > rules.size_limit):
        return answers.too_large(rules.size_limit)
    return None


def receive(rules: ReceptionRules, *, headers: Mapping[str, str], body: bytes, now: datetime) -> Push | Answer:
    """The push in `body`, or the answer that refuses it. The content type is not looked at.

    The order is: size, signature, emptiness, contract; so an unsigned sender learns nothing about the contract.
    """
    if len(body) > rules.size_limit:
        return answers.too_large(rules.size_limit)
    if rules.secrets or rules.public_keys:
        try:
            verify(rules.secrets, headers, body, now=now, tolerance=rules.tolerance, public_keys=rules.public_keys)
        except SignatureError as error:
            return answers.refused_signature(error)
    if not body.strip():
        return answers.EMPTY_BODY
    try:
        notification = decode(body)
    except UnknownNotifyTypeError:
        return answers.UNKNOWN_TYPE
    except WireError as error:
        return answers.refused_body(error)
    facts = read_delivery_facts(headers)
    if _is_callback_test(headers, facts):
        return answers.CALLBACK_TEST
    return Push(notification=notification, facts=facts, body=body)


def _is_callback_test(headers: Mapping[str, str], facts: DeliveryFacts) -> bool:
    """Whether an operator only tries the callback.

    The header alone is not believed: it is not signed, and the id, which tells the same, is.
    """
    said = headers.get(TEST, "").strip().casefold() == "true"
    return said and facts.event_id is not None and facts.event_id.startswith(_TEST_ID_PREFIX)
