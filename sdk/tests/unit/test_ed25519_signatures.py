"""Signatures of key pairs: made and verified as OpenSSL does, and believed by whoever holds the public key."""

import base64
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from firmcast_sdk import PushMessageReceiver, Receiver, signatures
from firmcast_sdk.signatures import SignatureError, SignatureMismatchError, parse_public_key, sign, verify
from firmcast_sdk.testing import Platform

SECRET = "whsec_" + base64.b64encode(b"n" * 32).decode()

# Made with `openssl genpkey -algorithm ed25519` and `openssl pkeyutl -sign -rawin`, over "id.timestamp.body".
ID = "evt_2f0c6a"
NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
BODY = b'{"notifyType":"fwUpgradeStateChangeNotify","stepDesc":"downloading"}'
PUBLIC = "whpk_gIRHqQOj3Rm64RN+f5r7g4MW2BZ//7RL0cM/fVNBki4="
OTHER_PUBLIC = "whpk_DV858oHcsAVzNwZ06FJ/gnpu2Kj8GF+39D0aniF/o0A="
PRIVATE = "whsk_bVKWxhmcMVbDl4R4Ns3uUviqCQ2DaS6RMFaUSgviUwKAhEepA6PdGbrhE35/mvuDgxbYFn//tEvRwz99U0GSLg=="
SEED = "whsk_bVKWxhmcMVbDl4R4Ns3uUviqCQ2DaS6RMFaUSgviUwI="
OTHER_PRIVATE = "whsk_EKnBN4JC/yir+OCnVrNClNBWo9DIpSWkEtfHkTJRcRQ="
SIGNATURE = "v1a,tyCJqV/vo40XRbpvfM1PvpPorifseZ9C4B5fdVeA5OO1A8qRBFc2FkeB8vbJ++Q2fmOHfnyFZJbgWUMWzNb1Bw=="
OTHER_SIGNATURE = "v1a,NFXammPLoNFtHvc76KExEtiZcPYKxqblxnPDvMrUtkJA3HrBc18COwKeFE83davpmfEFrTgKpYRkHC/UR9c+Aw=="


def signed(*secrets, **changes):
    return sign(secrets, **({"message_id": ID, "attempted_at": NOW, "body": BODY} | changes))


@pytest.mark.parametrize("private", [PRIVATE, SEED])
@pytest.mark.parametrize("zone", [UTC, timezone(timedelta(hours=8))])
def test_it_signs_as_openssl_does(private, zone):
    assert signed(private, attempted_at=NOW.astimezone(zone))["webhook-signature"] == SIGNATURE


def test_it_verifies_what_openssl_signed():
    headers = signed(SECRET) | {"webhook-signature": f"{OTHER_SIGNATURE} {SIGNATURE}"}
    for public in (PUBLIC, OTHER_PUBLIC):
        assert verify([], headers, BODY, now=NOW, public_keys=[public]) == NOW


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
@pytest.mark.parametrize("body", [b"{}", b"", b"\x00\xff" * 300])
def test_it_verifies_what_openssl_signs_now(tmp_path, body):
    key = Ed25519PrivateKey.generate()
    (tmp_path / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (tmp_path / "signed").write_bytes(b"evt.%d.%b" % (NOW.timestamp(), body))
    command = "openssl pkeyutl -sign -inkey key.pem -rawin -in signed -out signature"
    subprocess.run(command.split(), cwd=tmp_path, check=True, capture_output=True)
    signature = base64.b64encode((tmp_path / "signature").read_bytes()).decode()
    headers = signed(SECRET) | {"webhook-id": "evt", "webhook-signature": f"v1a,{signature}"}
    public = "whpk_" + base64.b64encode(key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()
    assert verify([], headers, body, now=NOW, public_keys=[public]) == NOW
    with pytest.raises(SignatureMismatchError):
        verify([], headers, body + b" ", now=NOW, public_keys=[public])


@pytest.mark.parametrize(
    ("signing", "secrets", "public_keys", "believed"),
    [
        ([SECRET, SEED], [], [PUBLIC], True),
        ([SECRET, SEED], [SECRET], [], True),
        ([SECRET], [SECRET], [PUBLIC], True),
        ([SEED], [SECRET], [PUBLIC], True),
        ([OTHER_PRIVATE, SEED], [], [PUBLIC], True),
        ([SEED], [], [OTHER_PUBLIC, PUBLIC], True),
        ([SECRET], [], [PUBLIC], False),
        ([SEED], [SECRET], [], False),
        ([OTHER_PRIVATE], [], [PUBLIC], False),
        ([SEED], [], [], False),
    ],
)
def test_who_is_believed(signing, secrets, public_keys, believed):
    headers = signed(*signing)
    if believed:
        assert verify(secrets, headers, BODY, now=NOW, public_keys=public_keys) == NOW
        return
    with pytest.raises(SignatureMismatchError):
        verify(secrets, headers, BODY, now=NOW, public_keys=public_keys)


@pytest.mark.parametrize(
    "changes",
    [
        {"webhook-id": "evt_2f0c6b"},
        {"webhook-timestamp": str(int(NOW.timestamp()) + 1)},
        {"webhook-signature": SIGNATURE.replace("v1a", "v1")},
        {"webhook-signature": SIGNATURE.replace("v1a,t", "v1a,u")},
        {"webhook-signature": SIGNATURE[:-4]},
        {"webhook-signature": "v1a,"},
        {"webhook-signature": "v1a"},
        {"webhook-signature": "v1a,é"},
        {"webhook-signature": "v1a," + base64.b64encode(bytes(64)).decode()},
    ],
)
def test_what_was_changed_on_the_way_is_refused(changes):
    with pytest.raises(SignatureMismatchError):
        verify([], signed(SEED) | changes, BODY, now=NOW, public_keys=[PUBLIC])


def test_who_knows_the_public_key_alone_cannot_forge():
    """The public key taken for a secret of the other kind proves nothing."""
    forged = signed("whsec_" + PUBLIC.removeprefix("whpk_"))
    with pytest.raises(SignatureMismatchError):
        verify([], forged, BODY, now=NOW, public_keys=[PUBLIC])


def test_a_header_full_of_signatures_costs_little(monkeypatch):
    tried = []
    verifies = signatures._verifies
    monkeypatch.setattr(signatures, "_verifies", lambda *arguments: tried.append(arguments) or verifies(*arguments))
    headers = signed(SEED) | {"webhook-signature": " ".join([OTHER_SIGNATURE] * 500)}
    with pytest.raises(SignatureMismatchError):
        verify([], headers, BODY, now=NOW, public_keys=[PUBLIC])
    assert len(tried) == 8


@given(header=st.text(max_size=60) | st.from_regex(r"(v1a?,[A-Za-z0-9+/=]{0,90} ?){1,3}", fullmatch=True))
@settings(max_examples=200)
def test_any_header_verifies_or_raises_a_signature_error(header):
    with pytest.raises(SignatureError):
        verify([SECRET], signed(SEED) | {"webhook-signature": header}, BODY, now=NOW, public_keys=[PUBLIC])


@pytest.mark.parametrize("key", ["", "whpk_", "whpk_%%", "whpk_é", "whpk_QUFB", PUBLIC + "AAAA", SECRET, PRIVATE])
def test_a_public_key_that_is_none(key):
    with pytest.raises(ValueError):
        parse_public_key(key)
    for kind in (Receiver, PushMessageReceiver):
        with pytest.raises(ValueError):
            kind(public_keys=[key])


@pytest.mark.parametrize(
    "key", ["whsk_", "whsk_%%", "whsk_QUFB", SEED.replace("=", "AA=="), PRIVATE.replace("bVK", "bVL")]
)
def test_a_private_key_that_is_none(key):
    with pytest.raises(ValueError):
        signed(key)


def test_one_key_in_place_of_a_list_is_refused():
    with pytest.raises(TypeError):
        Receiver(public_keys=PUBLIC)


@pytest.mark.parametrize("kind", [Receiver, PushMessageReceiver])
@pytest.mark.parametrize("side", ["asgi", "wsgi"])
def test_a_receiver_verifies_with_the_public_key(kind, side):
    receiver = kind(public_keys=[PUBLIC])

    def platform(*secrets):
        return Platform(**{side: getattr(receiver, side)}, secrets=secrets)

    push = platform().device_deleted("d")
    assert platform().send(push).status == 401
    assert platform(SECRET).send(push).status == 401
    assert platform(OTHER_PRIVATE).send(push).status == 401
    assert platform(SECRET, PRIVATE).send(push.forged()).status == 401
    assert platform(SECRET, PRIVATE).send(push).status == 200


def test_without_the_library_all_but_key_pairs_works():
    program = f"""
import sys
sys.modules["cryptography"] = None
from firmcast_sdk import Ed25519MissingError, PushMessageReceiver, Receiver
from firmcast_sdk.signatures import sign, verify
from datetime import UTC, datetime
now = datetime.now(UTC)
headers = sign(["{SECRET}"], message_id="evt", attempted_at=now, body=b"{{}}")
headers["webhook-signature"] += " {SIGNATURE}"
verify(["{SECRET}"], headers, b"{{}}", now=now)
for make in (Receiver, PushMessageReceiver):
    try:
        make(public_keys=["{PUBLIC}"])
    except Ed25519MissingError as error:
        print(error)
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    told = "signatures of key pairs need firmcast-sdk[ed25519]\n"
    assert (ended.stdout, ended.stderr) == (told * 2, "")
