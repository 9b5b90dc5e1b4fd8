"""Our signatures against the reference package, and what a changed push comes to."""

import base64
from datetime import UTC, datetime, timedelta, timezone

import pytest
import standardwebhooks
from hypothesis import given
from hypothesis import strategies as st

from firmcast_sdk.signatures import (
    MalformedTimestampError,
    MissingSignatureError,
    SignatureError,
    SignatureMismatchError,
    TimestampOutsideToleranceError,
    parse_secret,
    sign,
    verify,
)

OLD = "whsec_" + base64.b64encode(b"o" * 24).decode()
NEW = "whsec_" + base64.b64encode(b"n" * 32).decode()
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
BODY = b'{"notifyType":"fwUpgradeStateChangeNotify"}'


def signed(secrets=(NEW,), **changes):
    return sign(secrets, **({"message_id": "evt-1", "attempted_at": NOW, "body": BODY} | changes))


@given(body=st.text(max_size=200), message_id=st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=40))
def test_signature_equals_the_reference(body, message_id):
    ours = sign([NEW], message_id=message_id, attempted_at=NOW, body=body.encode())
    theirs = standardwebhooks.Webhook(NEW).sign(message_id, NOW, body)
    assert ours["webhook-signature"] == theirs


@given(hours=st.integers(-12, 14))
def test_the_zone_of_a_time_makes_no_difference(hours):
    elsewhere = NOW.astimezone(timezone(timedelta(hours=hours)))
    assert signed(attempted_at=elsewhere) == signed()
    assert verify([NEW], signed(), BODY, now=elsewhere) == NOW


@pytest.mark.parametrize(
    ("signing", "accepted"), [([NEW], [OLD, NEW]), ([OLD, NEW], [NEW]), ([OLD, NEW], [OLD]), ([NEW], [NEW])]
)
def test_while_a_secret_is_replaced_either_side_may_have_both(signing, accepted):
    assert verify(accepted, signed(signing), BODY, now=NOW) == NOW


@pytest.mark.parametrize("secrets", [[OLD], []])
def test_a_foreign_secret_does_not_fit(secrets):
    with pytest.raises(SignatureMismatchError):
        verify(secrets, signed(), BODY, now=NOW)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"webhook-signature": "v1,AAAA"}, SignatureMismatchError),
        ({"webhook-signature": "v2," + "A" * 44}, SignatureMismatchError),
        ({"webhook-signature": "v1"}, SignatureMismatchError),
        ({"webhook-signature": ",,, v1,é"}, SignatureMismatchError),
        ({"webhook-id": "evt-2"}, SignatureMismatchError),
        ({"webhook-timestamp": str(int(NOW.timestamp()) + 1)}, SignatureMismatchError),
        ({"webhook-timestamp": "soon"}, MalformedTimestampError),
        ({"webhook-timestamp": "-1"}, MalformedTimestampError),
        ({"webhook-timestamp": "1e9"}, MalformedTimestampError),
        ({"webhook-timestamp": "9" * 12}, MalformedTimestampError),
        ({"webhook-timestamp": "9" * 100}, MalformedTimestampError),
        ({"webhook-signature": ""}, MissingSignatureError),
        ({"webhook-id": " "}, MissingSignatureError),
    ],
)
def test_what_was_changed_on_the_way_is_refused(changes, error):
    with pytest.raises(error):
        verify([NEW], signed() | changes, BODY, now=NOW)


def test_a_changed_body_is_refused():
    with pytest.raises(SignatureMismatchError):
        verify([NEW], signed(), BODY + b" ", now=NOW)


@pytest.mark.parametrize("seconds", [300, -300])
def test_the_tolerance_holds_on_both_sides(seconds):
    assert verify([NEW], signed(), BODY, now=NOW + timedelta(seconds=seconds)) == NOW
    with pytest.raises(TimestampOutsideToleranceError):
        verify([NEW], signed(), BODY, now=NOW + timedelta(seconds=seconds + (seconds > 0) - (seconds < 0)))


def test_versions_that_are_not_known_are_passed_over():
    headers = signed()
    headers["webhook-signature"] = "v1a,abc " + headers["webhook-signature"]
    assert verify([NEW], headers, BODY, now=NOW) == NOW


@given(headers=st.dictionaries(st.sampled_from(sorted(signed())), st.text(max_size=60)))
def test_any_headers_verify_or_raise_a_signature_error(headers):
    with pytest.raises(SignatureError):
        verify([NEW], headers, BODY, now=NOW)


@pytest.mark.parametrize("secret", ["whsec_", "", "whsec_not base64", "whsec_é"])
def test_a_secret_that_is_none(secret):
    with pytest.raises(ValueError):
        parse_secret(secret)


def test_signing_needs_a_secret_and_an_instant():
    with pytest.raises(ValueError, match="secret"):
        signed(secrets=())
    with pytest.raises(ValueError, match="time zone"):
        signed(attempted_at=NOW.replace(tzinfo=None))
