"""The bodies of `/v1/applications`, as they are asked for and answered; the keys are ours, times are RFC 3339."""

from datetime import datetime
from typing import Annotated, Final

import msgspec

from firmcast.applications.certificates import describe
from firmcast.applications.model import Application
from firmcast_sdk.wire.decoding import Hints

PEM_LIMIT: Final = 1 << 16
DEFAULT_OVERLAP_SECONDS: Final = 24 * 3600
LONGEST_OVERLAP_SECONDS: Final = 30 * 24 * 3600

Pem = Annotated[str, Hints(limit=PEM_LIMIT)]
FilledPem = Annotated[str, Hints(limit=PEM_LIMIT, filled=True)]


class NewApplicationRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The body that creates an application."""

    name: Annotated[str, Hints(limit=256, filled=True)]
    callback_ca: Pem = ""


class RenameRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The body that calls an application something else."""

    name: Annotated[str, Hints(limit=256, filled=True)]


class RotationRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The body that rotates a secret; it may be left out."""

    overlap_seconds: Annotated[int, Hints(least=0, most=LONGEST_OVERLAP_SECONDS)] = DEFAULT_OVERLAP_SECONDS
    """How long the secret before the new one is good beside it; 0 ends it at once."""


class CallbackAuthorityRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The body that says which authorities callbacks are checked against: PEM, or empty for the system's."""

    callback_ca: Pem


class ClientCertificateRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The body that says what pushes present: a PEM chain with its own certificate first, and its key."""

    certificate: FilledPem
    key: FilledPem
    """PEM without a passphrase; kept sealed, and never shown again."""


class VerificationKeyRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The body that says what packages are signed for: a public key in PEM, Ed25519, P-256 or secp256k1."""

    verification_key: FilledPem


class CallbackHeadersRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The body that says which headers pushes carry beside those of every push: values by name, 1 to 8 of them.

    Names are tokens of up to 64 characters; those of the connection, of the body and of pushes are refused. Values are
    up to 2048 visible ASCII characters, with blanks inside; they are kept sealed, and never shown again.
    """

    headers: dict[str, str]


class CertificateAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What is shown of a client certificate."""

    subject: str
    not_after: datetime
    fingerprint: str
    """SHA-256, 64 hexadecimal digits."""


class ApplicationAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """An application, without what is secret of it."""

    application_id: str
    name: str
    created_at: datetime
    frozen: bool
    deleting: bool
    callback_ca: str
    client_certificate: CertificateAnswer | None
    verification_key: str
    callback_headers: tuple[str, ...]
    """The names of the headers that pushes carry beside those of every push; their values are not shown."""
    signing_public_key: str
    """`whpk_` and base64: pushes carry a signature of this key too; empty for none."""
    secret_overlap_ends_at: datetime | None
    """Until then the secret before the present one logs in too."""
    signing_overlap_ends_at: datetime | None
    """Until then pushes are signed with the secret before the present one too."""
    signing_key_overlap_ends_at: datetime | None
    """The same of the key."""


class ApplicationList(msgspec.Struct, frozen=True, kw_only=True):
    """Every application, the oldest first."""

    applications: tuple[ApplicationAnswer, ...]


class CredentialsAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What an application proves itself and is signed to with; shown this once."""

    application_id: str
    name: str
    secret: str
    signing_secret: str


class SecretAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A new secret, shown this once."""

    application_id: str
    secret: str
    overlap_ends_at: datetime | None
    """When the one before it ends; None for at once."""


class SigningSecretAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A new signing secret, shown this once."""

    application_id: str
    signing_secret: str
    overlap_ends_at: datetime | None
    """Until then pushes are signed with the one before it too; None for not at all."""


class SigningKeyAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The public key of a new key pair; the private one is shown to nobody."""

    application_id: str
    signing_public_key: str
    """`whpk_` and base64, as Standard Webhooks spells it."""
    overlap_ends_at: datetime | None
    """Until then pushes are signed with the key before it too; None for not at all."""


def shown(application: Application, now: datetime) -> ApplicationAnswer:
    """Return what is shown of an application; an overlap that is over is not."""
    certificate = application.client_certificate
    described = describe(certificate) if certificate else None
    return ApplicationAnswer(
        application_id=application.application_id,
        name=application.name,
        created_at=application.created_at,
        frozen=application.frozen,
        deleting=application.deleting,
        callback_ca=application.callback_ca,
        client_certificate=None
        if described is None
        else CertificateAnswer(
            subject=described.subject, not_after=described.not_after, fingerprint=described.fingerprint
        ),
        verification_key=application.verification_key,
        callback_headers=application.callback_headers,
        signing_public_key=application.signing_public_key,
        secret_overlap_ends_at=_ahead(application.secret_overlap_ends_at, now),
        signing_overlap_ends_at=_ahead(application.signing_overlap_ends_at, now),
        signing_key_overlap_ends_at=_ahead(application.signing_key_overlap_ends_at, now),
    )


def _ahead(moment: datetime | None, now: datetime) -> datetime | None:
    return moment if moment is not None and moment > now else None
