"""Signatures of packages, made here with the keys themselves and with openssl."""

import base64
import hashlib
import shutil
import subprocess

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from firmcast.errors import ConflictError, InvalidValueError
from firmcast.firmware.signatures import check_signature, decode_signature

CONTENT = b"firmware" * 1000
DIGEST = hashlib.sha256(CONTENT).hexdigest()
KEYS = {
    "Ed25519": Ed25519PrivateKey.generate(),
    "P-256": ec.generate_private_key(ec.SECP256R1()),
    "secp256k1": ec.generate_private_key(ec.SECP256K1()),
}


def sign(key, content=CONTENT):
    if isinstance(key, Ed25519PrivateKey):
        return base64.b64encode(key.sign(hashlib.sha256(content).digest())).decode()
    return base64.b64encode(key.sign(content, ec.ECDSA(SHA256()))).decode()


def pem(key):
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


@pytest.mark.parametrize("kind", KEYS)
def test_a_signature_of_these_bytes_is_told_by_its_key(kind):
    key = KEYS[kind]
    der = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert check_signature(pem(key), DIGEST, sign(key)) == hashlib.sha256(der).hexdigest()


@pytest.mark.parametrize("kind", KEYS)
def test_other_bytes_or_another_key_are_refused(kind):
    key = KEYS[kind]
    with pytest.raises(InvalidValueError, match="not of these bytes"):
        check_signature(pem(key), hashlib.sha256(CONTENT + b"!").hexdigest(), sign(key))
    for other, another_key in KEYS.items():
        if other != kind:
            with pytest.raises(InvalidValueError, match="not of these bytes"):
                check_signature(pem(another_key), DIGEST, sign(key))


def test_an_ed25519_signature_of_the_bytes_themselves_is_not_one_of_their_digest():
    key = KEYS["Ed25519"]
    with pytest.raises(InvalidValueError):
        check_signature(pem(key), DIGEST, base64.b64encode(key.sign(CONTENT)).decode())


def test_a_key_of_another_kind_is_not_used():
    for key in (rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP384R1())):
        with pytest.raises(ConflictError, match="signs no packages"):
            check_signature(pem(key), DIGEST, "AAAA")
    with pytest.raises(ConflictError, match="signs no packages"):
        check_signature("nonsense", DIGEST, "AAAA")


@settings(max_examples=200)
@given(st.binary(max_size=80))
def test_base64_is_read_however_it_was_carried(raw):
    plain = base64.b64encode(raw).decode()
    lines = "\n".join(plain[at : at + 8] for at in range(0, len(plain), 8))
    url = base64.urlsafe_b64encode(raw).decode().rstrip("=")
    for spelling in (plain, lines + "\n", url, plain.replace("+", " ")):
        assert decode_signature(spelling) == raw


@settings(max_examples=200)
@given(st.text(max_size=120))
def test_whatever_is_given_is_checked_or_refused(text):
    with pytest.raises(InvalidValueError):
        check_signature(pem(KEYS["P-256"]), DIGEST, text)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
@pytest.mark.parametrize("kind", KEYS)
def test_what_openssl_signs_as_the_page_says_is_taken(kind, tmp_path):
    """The commands are those of docs/how-to/sign-a-package.md."""
    algorithm = {
        "Ed25519": "-algorithm ed25519",
        "P-256": "-algorithm ec -pkeyopt ec_paramgen_curve:P-256",
        "secp256k1": "-algorithm ec -pkeyopt ec_paramgen_curve:secp256k1",
    }[kind]
    signing = {
        "Ed25519": "openssl dgst -sha256 -binary -out image.digest image.bin\n"
        "openssl pkeyutl -sign -inkey signing-key.pem -rawin -in image.digest -out image.sig",
    }.get(kind, "openssl dgst -sha256 -sign signing-key.pem -out image.sig image.bin")
    commands = (
        f"openssl genpkey {algorithm} -out signing-key.pem\n"
        f"openssl pkey -in signing-key.pem -pubout -out verification-key.pem\n{signing}"
    )
    (tmp_path / "image.bin").write_bytes(CONTENT)
    for line in commands.splitlines():
        subprocess.run(line.split(), cwd=tmp_path, check=True, capture_output=True)
    signature = base64.b64encode((tmp_path / "image.sig").read_bytes()).decode()
    assert check_signature((tmp_path / "verification-key.pem").read_text(), DIGEST, signature)
