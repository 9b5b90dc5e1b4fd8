"""The signature is what the Standard Webhooks library makes and accepts, and for Ed25519 what OpenSSL does."""

import base64
import shutil
import subprocess
from datetime import UTC, datetime, timedelta, timezone

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
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


# Made with `openssl genpkey -algorithm ed25519` and `openssl pkeyutl -sign -rawin`, over "id.timestamp.body".
GOLDEN_ID = "evt_2f0c6a"
GOLDEN_TIME = datetime(2026, 11, 26, 12, 0, 0, 500_000, tzinfo=UTC)
GOLDEN_BODY = b'{"notifyType":"fwUpgradeStateChangeNotify","stepDesc":"downloading"}'
GOLDEN = {
    "bVKWxhmcMVbDl4R4Ns3uUviqCQ2DaS6RMFaUSgviUwI=": (
        "v1a,tyCJqV/vo40XRbpvfM1PvpPorifseZ9C4B5fdVeA5OO1A8qRBFc2FkeB8vbJ++Q2fmOHfnyFZJbgWUMWzNb1Bw=="
    ),
    "EKnBN4JC/yir+OCnVrNClNBWo9DIpSWkEtfHkTJRcRQ=": (
        "v1a,NFXammPLoNFtHvc76KExEtiZcPYKxqblxnPDvMrUtkJA3HrBc18COwKeFE83davpmfEFrTgKpYRkHC/UR9c+Aw=="
    ),
}


@pytest.mark.parametrize("zone", [UTC, timezone(timedelta(hours=8))])
def test_ed25519_signatures_are_those_of_openssl(zone) -> None:
    private = [SigningKey(key=base64.b64decode(seed)) for seed in GOLDEN]
    signature = Signer([b"k" * 24], private).sign(GOLDEN_ID, GOLDEN_TIME.astimezone(zone), GOLDEN_BODY)
    first, *others = signature.value.split(" ")
    assert first == Signer([b"k" * 24]).sign(GOLDEN_ID, GOLDEN_TIME, GOLDEN_BODY).value
    assert others == list(GOLDEN.values())


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_openssl_verifies_ours(tmp_path) -> None:
    key = Ed25519PrivateKey.generate()
    private = SigningKey(key=key.private_bytes_raw())
    signature = Signer([b"k" * 24], [private]).sign("evt_1", WHEN, b"{}")
    version, _, value = signature.value.split(" ")[1].partition(",")
    assert version == "v1a"
    (tmp_path / "key.pem").write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    (tmp_path / "signature").write_bytes(base64.b64decode(value))
    (tmp_path / "signed").write_bytes(b"evt_1.%b.{}" % signature.timestamp.encode())
    command = "openssl pkeyutl -verify -pubin -inkey key.pem -rawin -in signed -sigfile signature"
    verified = subprocess.run(command.split(), cwd=tmp_path, capture_output=True, text=True, check=False)
    assert verified.returncode == 0, verified.stderr


def test_a_private_key_that_ends_is_signed_with_until_then() -> None:
    new, old = (SigningKey(key=bytes([number]) * 32, ends_at=ends) for number, ends in ((1, None), (2, WHEN)))
    signer = Signer([b"k" * 24], [new, old])
    before = signer.sign("evt_1", WHEN - timedelta(microseconds=1), b"{}")
    assert [part.partition(",")[0] for part in before.value.split(" ")] == ["v1", "v1a", "v1a"]
    assert signer.sign("evt_1", WHEN, b"{}") == Signer([b"k" * 24], [new]).sign("evt_1", WHEN, b"{}")


def test_a_private_key_alone_signs_nothing() -> None:
    with pytest.raises(ValueError, match="needs a key"):
        Signer([], [SigningKey(key=b"k" * 32)])
