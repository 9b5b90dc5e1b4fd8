"""What an operator does with an application, and what others learn of it; its logins are in `logins.py`.

What must be read back in clear is sealed: the signing secrets and keys, the key of the client certificate, and the
values of headers.
"""

import base64
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from firmcast.applications import callback_headers, certificates, signing_keys, store
from firmcast.applications.logins import hash_of
from firmcast.applications.model import (
    Application,
    Credentials,
    SigningIdentity,
    SigningSecret,
)
from firmcast.applications.sealed import CLIENT_KEY, SIGNING_SECRET
from firmcast.db.port import Channel, Transaction
from firmcast.errors import ConflictError, InvalidValueError, NotFoundError
from firmcast.ids import ApplicationId, new_hex, new_secret
from firmcast.sealing import Sealer

APPLICATIONS_CHANGED = Channel("applications")
"""Announced with the ids of applications whose signing identity may have changed."""

_NAME_LIMIT = 256


async def create(tx: Transaction, name: str, sealer: Sealer, now: datetime, *, callback_ca: str = "") -> Credentials:
    """Create an application and return what it proves itself with; shown this once.

    Raises:
        InvalidValueError: the name is empty, over 256 characters or unprintable, or the CA is not PEM.
    """
    _check_name(name)
    if callback_ca:
        certificates.check_authorities(callback_ca)
    application = Application(
        application_id=ApplicationId(new_hex()), name=name, created_at=now, callback_ca=callback_ca
    )
    credentials = Credentials(
        application_id=application.application_id, secret=new_secret(), signing_secret=_new_signing_secret()
    )
    await store.insert(
        tx,
        application,
        secret_hash=hash_of(credentials.secret),
        signing_secret_sealed=sealer.seal(credentials.signing_secret.encode(), SIGNING_SECRET),
    )
    tx.announce(APPLICATIONS_CHANGED, [application.application_id])
    return credentials


async def find(tx: Transaction, application_id: ApplicationId) -> Application:
    """Return the application.

    Raises:
        NotFoundError: there is no such application.
    """
    application = await store.find(tx, application_id)
    if application is None:
        raise NotFoundError("application", application_id)
    return application


async def listed(tx: Transaction) -> list[Application]:
    """Return every application, the oldest first."""
    return await store.all_applications(tx)


async def rename(tx: Transaction, application_id: ApplicationId, name: str) -> Application:
    """Call an application something else, and return it.

    Raises:
        InvalidValueError: the name is empty, over 256 characters or unprintable.
        NotFoundError: there is no such application.
    """
    _check_name(name)
    await find(tx, application_id)
    await store.set_name(tx, application_id, name)
    return await find(tx, application_id)


async def freeze(tx: Transaction, application_id: ApplicationId) -> bool:
    """Refuse every call of an application from now on; False when that was so already.

    Its tokens end with it, but are forgotten only by `unfreeze`: until then whoever holds one is told why.

    Raises:
        NotFoundError: there is no such application.
    """
    frozen = (await find(tx, application_id)).frozen
    await store.set_frozen(tx, application_id, frozen=True)
    return not frozen


async def unfreeze(tx: Transaction, application_id: ApplicationId) -> bool:
    """Let an application log in again; False when it was not frozen. Tokens of before are worth nothing.

    Raises:
        NotFoundError: there is no such application.
        ConflictError: it is being deleted.
    """
    application = await find(tx, application_id)
    if application.deleting:
        message = "the application is being deleted"
        raise ConflictError(message)
    if application.frozen:
        await store.delete_tokens(tx, application_id)
        await store.set_frozen(tx, application_id, frozen=False)
    return application.frozen


async def begin_deletion(tx: Transaction, application_id: ApplicationId) -> bool:
    """Freeze an application for good, and mark it so that its deletion is carried on after a crash.

    Returns:
        False when it had begun before.

    Raises:
        NotFoundError: there is no such application.
    """
    application = await find(tx, application_id)
    await store.set_deleting(tx, application_id)
    await store.delete_tokens(tx, application_id)
    return not application.deleting


async def complete_deletion(tx: Transaction, application_id: ApplicationId) -> None:
    """Forget an application of which nothing else is left."""
    await store.delete_tokens(tx, application_id)
    await store.delete(tx, application_id)
    tx.announce(APPLICATIONS_CHANGED, [application_id])


async def rotate_signing_secret(
    tx: Transaction, application_id: ApplicationId, sealer: Sealer, now: datetime, overlap: timedelta
) -> tuple[str, datetime | None]:
    """Return a new signing secret, and until when pushes are signed with the one before it too; None for not at all.

    Raises:
        NotFoundError: there is no such application.
    """
    secret = _new_signing_secret()
    ends_at = now + overlap if overlap > timedelta(0) else None
    sealed = sealer.seal(secret.encode(), SIGNING_SECRET)
    if not await store.rotate_signing_secret(tx, application_id, sealed, ends_at):
        raise NotFoundError("application", application_id)
    tx.announce(APPLICATIONS_CHANGED, [application_id])
    return secret, ends_at


async def rotate_signing_key(
    tx: Transaction, application_id: ApplicationId, sealer: Sealer, now: datetime, overlap: timedelta
) -> tuple[str, datetime | None]:
    """Return a new public key, and until when pushes are signed with the key before it too.

    None stands for not at all, and for the first key.

    Raises:
        NotFoundError: there is no such application.
    """
    former = (await find(tx, application_id)).signing_public_key
    ends_at = now + overlap if former and overlap > timedelta(0) else None
    sealed, public_key = signing_keys.new_pair(sealer)
    await store.rotate_signing_key(tx, application_id, sealed, public_key, ends_at)
    tx.announce(APPLICATIONS_CHANGED, [application_id])
    return public_key, ends_at


async def remove_signing_key(tx: Transaction, application_id: ApplicationId) -> Application:
    """Have pushes to the application signed with its secret alone.

    Raises:
        NotFoundError: there is no such application.
    """
    await store.remove_signing_key(tx, application_id)
    tx.announce(APPLICATIONS_CHANGED, [application_id])
    return await find(tx, application_id)


async def set_callback_ca(tx: Transaction, application_id: ApplicationId, pem: str) -> Application:
    """Have the application's callbacks checked against the authorities in `pem`; empty for the system's.

    Raises:
        InvalidValueError: `pem` holds no certificate, or what is not one.
        NotFoundError: there is no such application.
    """
    if pem:
        certificates.check_authorities(pem)
    await find(tx, application_id)
    await store.set_callback_ca(tx, application_id, pem)
    tx.announce(APPLICATIONS_CHANGED, [application_id])
    return await find(tx, application_id)


async def set_client_certificate(
    tx: Transaction, application_id: ApplicationId, certificate: str, key: str, sealer: Sealer, now: datetime
) -> Application:
    """Have pushes to the application present this certificate, a PEM chain with its own first.

    Raises:
        InvalidValueError: one of them is not PEM, the key is protected or another's, or the certificate has ended.
        NotFoundError: there is no such application.
    """
    chain, clear_key = certificates.client_identity(certificate, key, now)
    await find(tx, application_id)
    await store.set_client_certificate(tx, application_id, chain, sealer.seal(clear_key.encode(), CLIENT_KEY))
    tx.announce(APPLICATIONS_CHANGED, [application_id])
    return await find(tx, application_id)


async def remove_client_certificate(tx: Transaction, application_id: ApplicationId) -> Application:
    """Have pushes to the application present no certificate.

    Raises:
        NotFoundError: there is no such application.
    """
    await find(tx, application_id)
    await store.set_client_certificate(tx, application_id, "", b"")
    tx.announce(APPLICATIONS_CHANGED, [application_id])
    return await find(tx, application_id)


async def set_callback_headers(
    tx: Transaction, application_id: ApplicationId, headers: Mapping[str, str], sealer: Sealer
) -> Application:
    """Have pushes to the application carry these headers too, in place of any before them.

    Raises:
        InvalidValueError: one of them cannot be sent, or is not the operator's to set.
        NotFoundError: there is no such application.
    """
    checked = callback_headers.checked(headers)
    await store.set_callback_headers(tx, application_id, list(checked), callback_headers.sealed(checked, sealer))
    tx.announce(APPLICATIONS_CHANGED, [application_id])
    return await find(tx, application_id)


async def remove_callback_headers(tx: Transaction, application_id: ApplicationId) -> Application:
    """Have pushes to the application carry the headers of every push alone.

    Raises:
        NotFoundError: there is no such application.
    """
    await store.set_callback_headers(tx, application_id, (), b"")
    tx.announce(APPLICATIONS_CHANGED, [application_id])
    return await find(tx, application_id)


async def set_verification_key(tx: Transaction, application_id: ApplicationId, pem: str) -> Application:
    """Have the signatures of the application's packages checked with this public key; empty for not at all.

    Raises:
        InvalidValueError: it is none, or of a kind that is not supported.
        NotFoundError: there is no such application.
    """
    key = certificates.verification_key(pem) if pem else ""
    await find(tx, application_id)
    await store.set_verification_key(tx, application_id, key)
    return await find(tx, application_id)


async def verification_key(tx: Transaction, application_id: ApplicationId) -> str:
    """Return the PEM public key that the application's packages are signed for; empty for none.

    Raises:
        NotFoundError: there is no such application.
    """
    return (await find(tx, application_id)).verification_key


async def signing_secrets(
    tx: Transaction, application_ids: Sequence[ApplicationId], sealer: Sealer
) -> dict[ApplicationId, SigningIdentity]:
    """Return what pushes to these applications are signed with; unknown ids are absent.

    Raises:
        StartError: the key file is not the one that sealed the secrets.
    """
    return {row.application_id: _identity(row, sealer) for row in await store.signing(tx, application_ids)}


def _identity(row: store.SigningRow, sealer: Sealer) -> SigningIdentity:
    present = SigningSecret(secret=sealer.open(row.sealed, SIGNING_SECRET).decode(), ends_at=None)
    former = (
        (SigningSecret(secret=sealer.open(row.former_sealed, SIGNING_SECRET).decode(), ends_at=row.former_ends_at),)
        if row.former_sealed and row.former_ends_at is not None
        else ()
    )
    return SigningIdentity(
        secrets=(present, *former),
        keys=tuple(signing_keys.opened(row, sealer)),
        callback_ca=row.callback_ca,
        client_certificate=row.client_certificate,
        client_key=sealer.open(row.client_key_sealed, CLIENT_KEY).decode() if row.client_key_sealed else "",
        headers=callback_headers.opened(row.headers_sealed, sealer),
    )


def _new_signing_secret() -> str:
    return f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"


def _check_name(name: str) -> None:
    # It stands in the audit and on terminals: no character of it may do anything there.
    if not name.strip() or len(name) > _NAME_LIMIT or not name.isprintable():
        raise InvalidValueError("name", f"1 to {_NAME_LIMIT} printable characters")
