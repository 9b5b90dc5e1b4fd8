"""Packages as administrators see them: `/v1/firmware`.

The vendor took packages through a portal; here the bytes are streamed, with what is said of them in the query, so
that nothing has to be taken apart on the way to the disk. An upload that may break off is in `uploads.py`.
"""

from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import Response

from firmcast.audit import use_cases as audit
from firmcast.audit.model import administrator
from firmcast.clock import Clock
from firmcast.db.page import Page
from firmcast.db.port import Database, Transaction
from firmcast.errors import InvalidValueError
from firmcast.firmware import use_cases
from firmcast.firmware.api.records import (
    REFUSALS,
    TOO_LARGE,
    FirmwareQuery,
    PackageAnswer,
    PackagePage,
    UploadQuery,
    shown_package,
)
from firmcast.firmware.model import FirmwarePackage, PackageFilter, PackageMetadata, Promise, Unneeded
from firmcast.firmware.package_files import PackageFiles, TooLargeError
from firmcast.ids import ApplicationId, PackageId
from firmcast.rest.answers import no_content, plain_answer
from firmcast.rest.authentication import AuthoriseAdministrator, Scope
from firmcast.rest.endpoints import OCTETS, Answer, Endpoint, Interface, Proof
from firmcast.rest.errors import CONFLICT, INVALID_REQUEST, MANAGEMENT_STORE_FULL, NOT_FOUND, ApiError, ManagementError
from firmcast.rest.paging import requested_page
from firmcast.rest.requests import decode_parameters, limited, path_identifier
from firmcast_sdk.wire import errors as wire

_TAG = "firmware"
_PACKAGE_ID = {"package_id": "Id of the package."}
_FORM_TYPES = ("multipart/", "application/x-www-form-urlencoded")


def management_endpoints(
    *,
    database: Database,
    clock: Clock,
    authorise_administrator: AuthoriseAdministrator,
    files: PackageFiles,
    size_limit: int,
    is_needed: use_cases.IsNeeded,
    verification_key: use_cases.VerificationKey,
) -> list[Endpoint]:
    """Return the calls of administrators, uploads in pieces aside."""
    taking = _TakingCalls(database, clock, authorise_administrator, files, size_limit, verification_key)
    calls = _ManagementCalls(database, clock, authorise_administrator, files, is_needed)
    return [_taking(taking), *_managing(calls)]


def _taking(calls: "_TakingCalls") -> Endpoint:
    return Endpoint(
        method="POST",
        path="/v1/firmware",
        handler=calls.upload,
        summary="Upload a package in one body",
        takes_room=True,
        tag=_TAG,
        interface=Interface.MANAGEMENT,
        proof=Proof.ADMINISTRATOR,
        scope=Scope.FIRMWARE_WRITE,
        description="The body is the package itself. `POST /v1/firmware/uploads` survives a broken connection.",
        query=UploadQuery,
        body_media_type=OCTETS,
        answers=(Answer(status=201, body=PackageAnswer),),
        errors=(*REFUSALS, TOO_LARGE, MANAGEMENT_STORE_FULL),
    )


def _managing(calls: "_ManagementCalls") -> list[Endpoint]:
    return [
        Endpoint(
            method="GET",
            path="/v1/firmware",
            handler=calls.listed,
            summary="List the packages of one application or of all",
            tag=_TAG,
            interface=Interface.MANAGEMENT,
            proof=Proof.ADMINISTRATOR,
            scope=Scope.FIRMWARE_READ,
            query=FirmwareQuery,
            answers=(Answer(body=PackagePage),),
            errors=(INVALID_REQUEST,),
        ),
        Endpoint(
            method="GET",
            path="/v1/firmware/{package_id}",
            handler=calls.find,
            summary="Read a package",
            tag=_TAG,
            interface=Interface.MANAGEMENT,
            proof=Proof.ADMINISTRATOR,
            scope=Scope.FIRMWARE_READ,
            answers=(Answer(body=PackageAnswer),),
            errors=(NOT_FOUND,),
            path_descriptions=_PACKAGE_ID,
        ),
        Endpoint(
            method="DELETE",
            path="/v1/firmware/{package_id}",
            handler=calls.delete,
            summary="Delete a package that no open task needs",
            tag=_TAG,
            interface=Interface.MANAGEMENT,
            proof=Proof.ADMINISTRATOR,
            scope=Scope.FIRMWARE_WRITE,
            answers=(Answer(status=204),),
            errors=(NOT_FOUND, CONFLICT),
            path_descriptions=_PACKAGE_ID,
        ),
    ]


class _TakingCalls:
    def __init__(
        self,
        database: Database,
        clock: Clock,
        authorise_administrator: AuthoriseAdministrator,
        files: PackageFiles,
        size_limit: int,
        verification_key: use_cases.VerificationKey,
    ) -> None:
        self._database = database
        self._clock = clock
        self._authorise = authorise_administrator
        self._files = files
        self._size_limit = size_limit
        self._verification_key = verification_key

    async def upload(self, request: Request) -> Response:
        actor = administrator((await self._authorise(request, Scope.FIRMWARE_WRITE)).name)
        refuse_form(request)
        said = decode_parameters(UploadQuery, request)
        application_id, metadata, promise = ApplicationId(said.application_id), metadata_of(said), promise_of(said)
        await self._database.read(
            use_cases.expect, application_id, metadata, promise, verification_key=self._verification_key
        )
        try:
            incoming = await self._files.receive(_bytes_of(request, self._size_limit), self._size_limit)
        except TooLargeError as error:
            raise ManagementError(TOO_LARGE, str(error)) from None

        async def change(tx: Transaction) -> FirmwarePackage:
            package = await use_cases.take_in(
                tx,
                application_id,
                metadata,
                promise,
                incoming.stored,
                self._clock.now(),
                verification_key=self._verification_key,
            )
            details = {"sha256": package.digest, "version": package.version}
            await audit.record(tx, actor, "firmware.upload", package.package_id, self._clock.now(), details)
            return package

        package = await self._files.keep(incoming, change)
        return plain_answer(shown_package(package), 201)


class _ManagementCalls:
    def __init__(
        self,
        database: Database,
        clock: Clock,
        authorise_administrator: AuthoriseAdministrator,
        files: PackageFiles,
        is_needed: use_cases.IsNeeded,
    ) -> None:
        self._database = database
        self._clock = clock
        self._authorise = authorise_administrator
        self._files = files
        self._is_needed = is_needed

    async def listed(self, request: Request) -> Response:
        await self._authorise(request, Scope.FIRMWARE_READ)
        said = decode_parameters(FirmwareQuery, request)
        page = requested_page(
            said.page, said.page_size, default_size=100, largest_size=1000, beyond=wire.PAGE_BEYOND_LIMIT
        )
        packages, total = await self._database.read(
            use_cases.listed,
            ApplicationId(said.application_id) or None,
            PackageFilter(version=said.version),
            Page(page.offset, page.size),
        )
        return plain_answer(
            PackagePage(
                packages=tuple(map(shown_package, packages)), page=page.number, page_size=page.size, total=total
            )
        )

    async def find(self, request: Request) -> Response:
        await self._authorise(request, Scope.FIRMWARE_READ)
        return plain_answer(shown_package(await self._database.read(use_cases.find, _package_id(request))))

    async def delete(self, request: Request) -> Response:
        actor = administrator((await self._authorise(request, Scope.FIRMWARE_WRITE)).name)
        package_id = _package_id(request)

        async def change(tx: Transaction) -> Unneeded:
            unneeded = await use_cases.delete(tx, None, package_id, is_needed=self._is_needed)
            await audit.record(tx, actor, "firmware.delete", package_id, self._clock.now())
            return unneeded

        await self._files.release(change)
        return no_content()


def refuse_form(request: Request) -> None:
    """Refuse a body that a browser or `curl -F` packed.

    Raises:
        InvalidValueError: the content type is a form's.
    """
    if request.headers.get("content-type", "").lower().startswith(_FORM_TYPES):
        raise InvalidValueError("content-type", "the body is the package itself: application/octet-stream")


def metadata_of(said: UploadQuery) -> PackageMetadata:
    """Return what is said of a package."""
    return PackageMetadata(
        name=said.name,
        version=said.version,
        device_type=said.device_type,
        model=said.model,
        manufacturer_name=said.manufacturer_name,
        protocol_type=said.protocol_type,
        description=said.description,
    )


def promise_of(said: UploadQuery) -> Promise:
    """Return what is said of its bytes."""
    return Promise(digest=said.sha256.lower(), signature=said.signature)


async def _bytes_of(request: Request, limit: int) -> AsyncIterator[bytes]:
    try:
        async for chunk in limited(request, limit):
            yield chunk
    except ApiError as error:
        raise TooLargeError(error.reason) from None


def _package_id(request: Request) -> PackageId:
    return PackageId(path_identifier(request, "package_id"))
