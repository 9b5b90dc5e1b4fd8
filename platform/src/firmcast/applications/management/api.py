"""`/v1/applications`: what the vendor's portal did with applications. Every change is written to the audit with it."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Final, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from firmcast.applications import logins, use_cases
from firmcast.applications.management import bodies
from firmcast.applications.model import Application, Credentials
from firmcast.audit import use_cases as audit
from firmcast.audit.model import Actor, administrator
from firmcast.clock import Clock
from firmcast.db.port import Database, Transaction
from firmcast.ids import ApplicationId
from firmcast.rest.answers import no_content, plain_answer, shown_once
from firmcast.rest.authentication import AuthoriseAdministrator, Scope
from firmcast.rest.endpoints import Answer, Endpoint, Interface, Proof
from firmcast.rest.errors import CONFLICT, INVALID_REQUEST, INVALID_VALUE, NOT_FOUND
from firmcast.rest.requests import decode_known_body, path_identifier, read_body
from firmcast.sealing import Sealer

DeleteApplication = Callable[[ApplicationId, Actor, datetime], Awaitable[None]]
"""Deletes an application and all that is its own, with the audit entry; raises NotFoundError or ConflictError."""

Change = Callable[[Transaction], Awaitable[Application]]
Body = TypeVar("Body", bound=msgspec.Struct)

# Two PEM texts of the longest kind; JSON spells each end of a line with two characters.
_BODY_LIMIT: Final = 4 * bodies.PEM_LIMIT
_BAD: Final = (INVALID_REQUEST, INVALID_VALUE)


def endpoints(
    *,
    database: Database,
    clock: Clock,
    sealer: Sealer,
    authorise_administrator: AuthoriseAdministrator,
    delete_application: DeleteApplication,
) -> list[Endpoint]:
    """Return the calls of `/v1/applications`."""
    calls = _Calls(database, clock, authorise_administrator)
    secrets = _SecretCalls(calls, sealer)
    trust = _TrustCalls(calls, sealer)
    life = _LifeCalls(calls, sealer, delete_application)
    return [*_life_endpoints(life), *_secret_endpoints(secrets), *_trust_endpoints(trust)]


_MANAGED: Final = partial(Endpoint, tag="applications", interface=Interface.MANAGEMENT, proof=Proof.ADMINISTRATOR)
_READ: Final = partial(_MANAGED, method="GET", scope=Scope.APPLICATIONS_READ)
_CHANGE: Final = partial(_MANAGED, scope=Scope.APPLICATIONS_WRITE)
_ALL: Final = "/v1/applications"
_ONE: Final = "/v1/applications/{application_id}"
_SHOWN: Final = (Answer(body=bodies.ApplicationAnswer),)


def _life_endpoints(calls: "_LifeCalls") -> list[Endpoint]:
    return [
        _CHANGE(
            method="POST",
            path=_ALL,
            handler=calls.create,
            summary="Create an application; its secrets are shown this once",
            body=bodies.NewApplicationRequest,
            answers=(Answer(status=201, body=bodies.CredentialsAnswer),),
            errors=_BAD,
        ),
        _READ(
            path=_ALL,
            handler=calls.listed,
            summary="List the applications, the oldest first",
            answers=(Answer(body=bodies.ApplicationList),),
        ),
        _READ(path=_ONE, handler=calls.find, summary="Show an application", answers=_SHOWN, errors=(NOT_FOUND,)),
        _CHANGE(
            method="PATCH",
            path=_ONE,
            handler=calls.rename,
            summary="Rename an application",
            body=bodies.RenameRequest,
            answers=_SHOWN,
            errors=(*_BAD, NOT_FOUND),
        ),
        _CHANGE(
            method="DELETE",
            path=_ONE,
            handler=calls.delete,
            summary="Delete an application with its subscriptions, devices, groups and packages",
            description="Refused while one of its upgrade tasks is open. An answer comes when all is gone.",
            answers=(Answer(status=204),),
            errors=(NOT_FOUND, CONFLICT),
        ),
        _CHANGE(
            method="POST",
            path=f"{_ONE}/freeze",
            handler=calls.freeze,
            summary="Refuse every call of an application from now on",
            description="Its tokens end at once. What it has subscribed to is still pushed to it.",
            answers=_SHOWN,
            errors=(NOT_FOUND,),
        ),
        _CHANGE(
            method="POST",
            path=f"{_ONE}/unfreeze",
            handler=calls.unfreeze,
            summary="Let an application log in again",
            answers=_SHOWN,
            errors=(NOT_FOUND, CONFLICT),
        ),
    ]


def _secret_endpoints(calls: "_SecretCalls") -> list[Endpoint]:
    return [
        _CHANGE(
            method="POST",
            path=f"{_ONE}/secret",
            handler=calls.rotate_secret,
            summary="Give an application a new secret, shown this once",
            description="Until the overlap ends both secrets log in; what the former one gave ends with it.",
            body=bodies.RotationRequest,
            answers=(Answer(body=bodies.SecretAnswer),),
            errors=(*_BAD, NOT_FOUND),
        ),
        _CHANGE(
            method="POST",
            path=f"{_ONE}/signing-secret",
            handler=calls.rotate_signing_secret,
            summary="Give an application a new signing secret, shown this once",
            description="Until the overlap ends pushes carry a signature of each.",
            body=bodies.RotationRequest,
            answers=(Answer(body=bodies.SigningSecretAnswer),),
            errors=(*_BAD, NOT_FOUND),
        ),
        _CHANGE(
            method="POST",
            path=f"{_ONE}/signing-key",
            handler=calls.rotate_signing_key,
            summary="Sign pushes to an application with a new Ed25519 key too, and show its public key",
            description="Until the overlap ends pushes carry a signature of the key before it, if there was one.",
            body=bodies.RotationRequest,
            answers=(Answer(body=bodies.SigningKeyAnswer),),
            errors=(*_BAD, NOT_FOUND),
        ),
        _CHANGE(
            method="DELETE",
            path=f"{_ONE}/signing-key",
            handler=calls.remove_signing_key,
            summary="Sign pushes to an application with its secret alone",
            answers=_SHOWN,
            errors=(NOT_FOUND,),
        ),
    ]


def _trust_endpoints(calls: "_TrustCalls") -> list[Endpoint]:
    put = partial(_CHANGE, method="PUT", answers=_SHOWN, errors=(*_BAD, NOT_FOUND))
    delete = partial(_CHANGE, method="DELETE", answers=_SHOWN, errors=(NOT_FOUND,))
    return [
        put(
            path=f"{_ONE}/callback-ca",
            handler=calls.set_callback_ca,
            summary="Check an application's callbacks against these authorities",
            body=bodies.CallbackAuthorityRequest,
        ),
        delete(
            path=f"{_ONE}/callback-ca",
            handler=calls.remove_callback_ca,
            summary="Check an application's callbacks against the system's authorities",
        ),
        put(
            path=f"{_ONE}/client-certificate",
            handler=calls.set_client_certificate,
            summary="Present this certificate in pushes to an application",
            body=bodies.ClientCertificateRequest,
        ),
        delete(
            path=f"{_ONE}/client-certificate",
            handler=calls.remove_client_certificate,
            summary="Present no certificate in pushes to an application",
        ),
        put(
            path=f"{_ONE}/callback-headers",
            handler=calls.set_callback_headers,
            summary="Send these headers too in pushes to an application",
            body=bodies.CallbackHeadersRequest,
        ),
        delete(
            path=f"{_ONE}/callback-headers",
            handler=calls.remove_callback_headers,
            summary="Send no headers but those of every push",
        ),
        put(
            path=f"{_ONE}/verification-key",
            handler=calls.set_verification_key,
            summary="Check the signatures of an application's packages with this public key",
            body=bodies.VerificationKeyRequest,
        ),
        delete(
            path=f"{_ONE}/verification-key",
            handler=calls.remove_verification_key,
            summary="Check no signatures of an application's packages",
        ),
    ]


class _Calls:
    """What all of these have in common."""

    def __init__(self, database: Database, clock: Clock, authorise_administrator: AuthoriseAdministrator) -> None:
        self.database = database
        self.clock = clock
        self.authorise = authorise_administrator

    async def admit(self, request: Request) -> Actor:
        """Return who makes a change."""
        return administrator((await self.authorise(request, Scope.APPLICATIONS_WRITE)).name)

    async def change(
        self, actor: Actor, action: str, application_id: ApplicationId, change: Change, **details: str
    ) -> Response:
        """Make a change, write it to the audit, and show the application as it is then."""
        now = self.clock.now()

        async def recorded(tx: Transaction) -> Application:
            changed = await change(tx)
            await audit.record(tx, actor, action, application_id, now, details)
            return changed

        return plain_answer(bodies.shown(await self.database.write(recorded), now))


class _LifeCalls:
    def __init__(self, calls: _Calls, sealer: Sealer, delete_application: DeleteApplication) -> None:
        self._calls = calls
        self._sealer = sealer
        self._delete_application = delete_application

    async def create(self, request: Request) -> Response:
        actor = await self._calls.admit(request)
        said = await _said(bodies.NewApplicationRequest, request)
        now = self._calls.clock.now()

        async def change(tx: Transaction) -> Credentials:
            made = await use_cases.create(tx, said.name, self._sealer, now, callback_ca=said.callback_ca)
            await audit.record(tx, actor, "application.create", made.application_id, now, {"name": said.name})
            return made

        made = await self._calls.database.write(change)
        return shown_once(
            bodies.CredentialsAnswer(
                application_id=made.application_id,
                name=said.name,
                secret=made.secret,
                signing_secret=made.signing_secret,
            ),
            201,
        )

    async def listed(self, request: Request) -> Response:
        await self._calls.authorise(request, Scope.APPLICATIONS_READ)
        now = self._calls.clock.now()
        found = await self._calls.database.read(use_cases.listed)
        return plain_answer(bodies.ApplicationList(applications=tuple(bodies.shown(each, now) for each in found)))

    async def find(self, request: Request) -> Response:
        await self._calls.authorise(request, Scope.APPLICATIONS_READ)
        found = await self._calls.database.read(use_cases.find, _identifier(request))
        return plain_answer(bodies.shown(found, self._calls.clock.now()))

    async def rename(self, request: Request) -> Response:
        actor = await self._calls.admit(request)
        said, application_id = await _said(bodies.RenameRequest, request), _identifier(request)
        change: Change = partial(use_cases.rename, application_id=application_id, name=said.name)
        return await self._calls.change(actor, "application.rename", application_id, change, name=said.name)

    async def delete(self, request: Request) -> Response:
        actor = await self._calls.admit(request)
        await self._delete_application(_identifier(request), actor, self._calls.clock.now())
        return no_content()

    async def freeze(self, request: Request) -> Response:
        return await self._switch(request, "application.freeze", use_cases.freeze)

    async def unfreeze(self, request: Request) -> Response:
        return await self._switch(request, "application.unfreeze", use_cases.unfreeze)

    async def _switch(
        self, request: Request, action: str, switch: Callable[[Transaction, ApplicationId], Awaitable[bool]]
    ) -> Response:
        """Freeze or unfreeze; what was so already is no change, and is not written to the audit."""
        actor = await self._calls.admit(request)
        application_id, now = _identifier(request), self._calls.clock.now()

        async def change(tx: Transaction) -> Application:
            if await switch(tx, application_id):
                await audit.record(tx, actor, action, application_id, now)
            return await use_cases.find(tx, application_id)

        return plain_answer(bodies.shown(await self._calls.database.write(change), now))


class _SecretCalls:
    def __init__(self, calls: _Calls, sealer: Sealer) -> None:
        self._calls = calls
        self._sealer = sealer

    async def rotate_secret(self, request: Request) -> Response:
        actor = await self._calls.admit(request)
        application_id, now, overlap = await self._asked(request)

        async def change(tx: Transaction) -> tuple[str, datetime | None]:
            rotated = await logins.rotate_secret(tx, application_id, now, overlap)
            await audit.record(tx, actor, "application.rotate_secret", application_id, now, _told(rotated[1]))
            return rotated

        secret, ends_at = await self._calls.database.write(change)
        return shown_once(bodies.SecretAnswer(application_id=application_id, secret=secret, overlap_ends_at=ends_at))

    async def rotate_signing_secret(self, request: Request) -> Response:
        actor = await self._calls.admit(request)
        application_id, now, overlap = await self._asked(request)

        async def change(tx: Transaction) -> tuple[str, datetime | None]:
            rotated = await use_cases.rotate_signing_secret(tx, application_id, self._sealer, now, overlap)
            await audit.record(tx, actor, "application.rotate_signing_secret", application_id, now, _told(rotated[1]))
            return rotated

        secret, ends_at = await self._calls.database.write(change)
        return shown_once(
            bodies.SigningSecretAnswer(application_id=application_id, signing_secret=secret, overlap_ends_at=ends_at)
        )

    async def rotate_signing_key(self, request: Request) -> Response:
        actor = await self._calls.admit(request)
        application_id, now, overlap = await self._asked(request)

        async def change(tx: Transaction) -> tuple[str, datetime | None]:
            rotated = await use_cases.rotate_signing_key(tx, application_id, self._sealer, now, overlap)
            told = {"signing_public_key": rotated[0], **_told(rotated[1])}
            await audit.record(tx, actor, "application.rotate_signing_key", application_id, now, told)
            return rotated

        public_key, ends_at = await self._calls.database.write(change)
        return plain_answer(
            bodies.SigningKeyAnswer(
                application_id=application_id, signing_public_key=public_key, overlap_ends_at=ends_at
            )
        )

    async def remove_signing_key(self, request: Request) -> Response:
        actor, one = await self._calls.admit(request), _identifier(request)
        change: Change = partial(use_cases.remove_signing_key, application_id=one)
        return await self._calls.change(actor, "application.remove_signing_key", one, change)

    async def _asked(self, request: Request) -> tuple[ApplicationId, datetime, timedelta]:
        body = await read_body(request, _BODY_LIMIT)
        said = decode_known_body(bodies.RotationRequest, body) if body.strip() else bodies.RotationRequest()
        return _identifier(request), self._calls.clock.now(), timedelta(seconds=said.overlap_seconds)


class _TrustCalls:
    def __init__(self, calls: _Calls, sealer: Sealer) -> None:
        self._calls = calls
        self._sealer = sealer

    async def set_callback_ca(self, request: Request) -> Response:
        actor = await self._calls.admit(request)
        said, one = await _said(bodies.CallbackAuthorityRequest, request), _identifier(request)
        change: Change = partial(use_cases.set_callback_ca, application_id=one, pem=said.callback_ca)
        return await self._calls.change(actor, "application.set_callback_ca", one, change)

    async def remove_callback_ca(self, request: Request) -> Response:
        actor, one = await self._calls.admit(request), _identifier(request)
        change: Change = partial(use_cases.set_callback_ca, application_id=one, pem="")
        return await self._calls.change(actor, "application.remove_callback_ca", one, change)

    async def set_client_certificate(self, request: Request) -> Response:
        actor = await self._calls.admit(request)
        said, one = await _said(bodies.ClientCertificateRequest, request), _identifier(request)
        change: Change = partial(
            use_cases.set_client_certificate,
            application_id=one,
            certificate=said.certificate,
            key=said.key,
            sealer=self._sealer,
            now=self._calls.clock.now(),
        )
        return await self._calls.change(actor, "application.set_client_certificate", one, change)

    async def remove_client_certificate(self, request: Request) -> Response:
        actor, one = await self._calls.admit(request), _identifier(request)
        change: Change = partial(use_cases.remove_client_certificate, application_id=one)
        return await self._calls.change(actor, "application.remove_client_certificate", one, change)

    async def set_callback_headers(self, request: Request) -> Response:
        actor = await self._calls.admit(request)
        said, one = await _said(bodies.CallbackHeadersRequest, request), _identifier(request)
        change: Change = partial(
            use_cases.set_callback_headers, application_id=one, headers=said.headers, sealer=self._sealer
        )
        return await self._calls.change(actor, "application.set_callback_headers", one, change)

    async def remove_callback_headers(self, request: Request) -> Response:
        actor, one = await self._calls.admit(request), _identifier(request)
        change: Change = partial(use_cases.remove_callback_headers, application_id=one)
        return await self._calls.change(actor, "application.remove_callback_headers", one, change)

    async def set_verification_key(self, request: Request) -> Response:
        actor = await self._calls.admit(request)
        said, one = await _said(bodies.VerificationKeyRequest, request), _identifier(request)
        change: Change = partial(use_cases.set_verification_key, application_id=one, pem=said.verification_key)
        return await self._calls.change(actor, "application.set_verification_key", one, change)

    async def remove_verification_key(self, request: Request) -> Response:
        actor, one = await self._calls.admit(request), _identifier(request)
        change: Change = partial(use_cases.set_verification_key, application_id=one, pem="")
        return await self._calls.change(actor, "application.remove_verification_key", one, change)


async def _said(struct: type[Body], request: Request) -> Body:
    return decode_known_body(struct, await read_body(request, _BODY_LIMIT))


def _identifier(request: Request) -> ApplicationId:
    return ApplicationId(path_identifier(request, "application_id"))


def _told(overlap_ends_at: datetime | None) -> Mapping[str, str]:
    return {} if overlap_ends_at is None else {"overlap_ends_at": overlap_ends_at.isoformat()}
