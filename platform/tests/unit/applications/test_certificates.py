"""PEM that an operator gives is taken when it will work, and refused with a reason when it will not."""

import contextlib
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from firmcast.applications.certificates import check_authorities, client_identity, describe, verification_key
from firmcast.errors import InvalidValueError

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def certify(key, signer=None, ends=NOW + timedelta(days=1)):
    name = x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, "platform"), x509.NameAttribute(NameOID.COUNTRY_NAME, "DE")]
    )
    signer = signer or key
    hashed = None if isinstance(signer, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey) else hashes.SHA256()
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(ends)
        .sign(signer, hashed)
        .public_bytes(serialization.Encoding.PEM)
        .decode()
    )


def private(key, password=None, form=serialization.PrivateFormat.PKCS8):
    protection = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, form, protection).decode()


def public(key):
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, form).decode()


P256 = ec.generate_private_key(ec.SECP256R1())
OTHER = ec.generate_private_key(ec.SECP256R1())
RSA = rsa.generate_private_key(65537, 2048)
SMALL_RSA = rsa.generate_private_key(65537, 1024)
ED25519 = ed25519.Ed25519PrivateKey.generate()
FORMER = serialization.PrivateFormat.TraditionalOpenSSL


@pytest.mark.parametrize("key", [P256, RSA, ED25519, ed448.Ed448PrivateKey.generate()])
def test_a_chain_and_its_key_are_taken_without_what_stands_around_them(key):
    leaf, above = certify(key, OTHER), certify(OTHER)
    chain, spelt = client_identity(f"# ours\n{leaf}\n# theirs\n{above}", f"\n{private(key)}", NOW)
    assert (chain, spelt) == (leaf + above, private(key))


@pytest.mark.parametrize("key", [P256, RSA])
def test_an_older_spelling_of_a_key_is_taken(key):
    assert client_identity(certify(key), private(key, form=FORMER), NOW)[1] == private(key)


@pytest.mark.parametrize(
    ("certificate", "key", "reason"),
    [
        (certify(P256), private(OTHER), "key: is not the key of the first certificate"),
        (certify(OTHER) + certify(P256), private(P256), "key: is not the key of the first certificate"),
        (certify(P256), private(P256, b"secret"), "key: is protected by a passphrase; give it without"),
        (certify(RSA), private(RSA, b"secret", FORMER), "key: is protected by a passphrase; give it without"),
        (certify(P256), public(P256), "key: is not a private key in PEM"),
        (certify(P256), "nonsense", "key: is not a private key in PEM"),
        (certify(P256), "", "key: is not a private key in PEM"),
        (certify(P256), private(P256)[:60], "key: is not a private key in PEM"),
        (certify(SMALL_RSA), private(SMALL_RSA), "key: has 1024 bits; an RSA key needs 2048"),
        (certify(P256), private(dsa.generate_private_key(1024)), "key: must be RSA, ECDSA, Ed25519 or Ed448"),
        (certify(P256) + private(P256), private(P256), "certificate: holds a private key"),
        (certify(P256, ends=NOW), private(P256), "certificate: ended at 2026-01-01T00:00:00+00:00"),
        ("", private(P256), "certificate: holds no certificate"),
        (public(P256), private(P256), "certificate: holds no certificate"),
        (
            certify(P256) + "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            private(P256),
            "certificate:",
        ),
    ],
)
def test_what_would_not_work_is_refused_with_the_reason(certificate, key, reason):
    with pytest.raises(InvalidValueError) as refused:
        client_identity(certificate, key, NOW)
    assert str(refused.value).startswith(reason)


def test_what_is_shown_of_a_certificate():
    pem = certify(P256, OTHER)
    shown = describe(pem + certify(OTHER))
    certificate = x509.load_pem_x509_certificate(pem.encode())
    assert (shown.subject, shown.not_after) == ("C=DE,CN=platform", NOW + timedelta(days=1))
    assert shown.fingerprint == certificate.fingerprint(hashes.SHA256()).hex()


@pytest.mark.parametrize("key", [ED25519, P256, ec.generate_private_key(ec.SECP256K1())])
def test_keys_that_packages_are_signed_with_are_taken(key):
    assert verification_key(f"about it\n{public(key)}") == public(key)


@pytest.mark.parametrize("key", [RSA, ec.generate_private_key(ec.SECP384R1()), ed448.Ed448PrivateKey.generate()])
def test_other_kinds_of_keys_are_not(key):
    with pytest.raises(InvalidValueError, match="must be Ed25519"):
        verification_key(public(key))


def test_a_private_key_is_taken_nowhere_else():
    for check in (verification_key, check_authorities):
        with pytest.raises(InvalidValueError, match="holds a private key"):
            check(certify(P256) + private(P256))


def test_a_certificate_is_no_key():
    with pytest.raises(InvalidValueError, match="not a public key"):
        verification_key(certify(P256))


WORDS = st.sampled_from(["CERTIFICATE", "PUBLIC KEY", "PRIVATE KEY", "EC PRIVATE KEY", "X"])
ANYTHING = st.text(max_size=200) | st.builds(
    lambda word, text: f"-----BEGIN {word}-----\n{text}\n-----END {word}-----\n", WORDS, st.text(max_size=200)
)
DAMAGED = st.builds(
    lambda pem, place, sign: pem[: place % len(pem)] + sign + pem[place % len(pem) + 1 :],
    st.sampled_from([certify(P256), private(P256), public(P256), certify(ED25519), public(ED25519)]),
    st.integers(0, 2000),
    st.sampled_from(["A", "/", "=", "\n", "é", "\ud800", "-"]),
)


@given(ANYTHING | DAMAGED, ANYTHING | DAMAGED)
def test_any_text_is_taken_or_refused(text, other):
    for check in (
        lambda: check_authorities(text),
        lambda: client_identity(text, other, NOW),
        lambda: client_identity(certify(P256), text, NOW),
        lambda: verification_key(text),
    ):
        with contextlib.suppress(InvalidValueError):
            check()
