"""The signature is what the Standard Webhooks library makes and accepts."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from standardwebhooks import Webhook

from firmcast.errors import InvalidValueError
from firmcast.push.signing import Signer, SigningKey, parse_secret, spell_secret

KEYS = st.binary(min_size=24, max_size=64)
WHEN = datetime(2026, 11, 24, 12, 0, 0, 999_999, tzinfo=UTC)


@given(key=KEYS, message_id=st.from_regex(r"evt_[0-9a-f]{32}", fullmatch=True), body=st.text(max_size=300))
@settings(max_examples=100)
def test_it_agrees_with_the_reference_library(key: bytes, message_id: str, body: str) -> None:
    signature = Signer([key]).sign(message_id, WHEN, body.encode())
    assert signature.value == Webhook(spell_secret(key)).sign(message_id, WHEN, body)
    assert signature.timestamp == str(int(WHEN.timestamp()))


def test_while_a_secret_is_rotated_either_key_verifies() -> None:
    old, new = b"o" * 24, b"n" * 32
    now = datetime.now(UTC)
    body = b'{"notifyType":"fwUpgradeStateChangeNotify"}'
    signature = Signer([new, old]).sign("evt_1", now, body)
    headers = {
        "webhook-id": "evt_1",
        "webhook-timestamp": signature.timestamp,
        "webhook-signature": signature.value,
    }
    for key in (old, new):
        assert Webhook(spell_secret(key)).verify(body, headers) is not None


def test_a_key_that_ends_is_signed_with_until_then_and_no_longer() -> None:
    new = b"n" * 24
    signer = Signer([new, SigningKey(key=b"o" * 24, ends_at=WHEN)])
    before = signer.sign("evt_1", WHEN - timedelta(microseconds=1), b"{}")
    assert len(before.value.split(" ")) == 2
    for now in (WHEN, WHEN + timedelta(days=1)):
        assert signer.sign("evt_1", now, b"{}") == Signer([new]).sign("evt_1", now, b"{}")


def test_a_time_in_another_zone_gives_the_same_signature() -> None:
    signer = Signer([b"k" * 24])
    shanghai = WHEN.astimezone(timezone(timedelta(hours=8)))
    assert signer.sign("evt_1", shanghai, b"{}") == signer.sign("evt_1", WHEN, b"{}")


def test_a_naive_time_is_refused() -> None:
    with pytest.raises(ValueError, match="aware"):
        Signer([b"k" * 24]).sign("evt_1", WHEN.replace(tzinfo=None), b"{}")


def test_a_signer_without_a_key_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a key"):
        Signer([])
    with pytest.raises(ValueError, match="needs a key"):
        Signer([SigningKey(key=b"k" * 24, ends_at=WHEN)])


@given(KEYS)
@settings(max_examples=50)
def test_a_secret_survives_its_spelling(key: bytes) -> None:
    assert parse_secret(spell_secret(key)) == key
    assert parse_secret(spell_secret(key).removeprefix("whsec_")) == key


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_%%%%", "whsec_" + "QUFB", "whsec_" + "QUFB" * 30, "clé"])
def test_a_secret_that_is_none_is_refused(secret: str) -> None:
    with pytest.raises(InvalidValueError):
        parse_secret(secret)
