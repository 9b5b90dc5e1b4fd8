"""Version packages as applications see them, and their upload by an administrator. Contract page, section 5.

The vendor took packages through a portal; here the bytes are streamed to `/v1/firmware`, with what is said of them in
the query, so that nothing has to be taken apart on the way to the disk.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from firmcast.clock import Clock
from firmcast.db.page import Page
from firmcast.db.port import Database
from firmcast.errors import ConflictError, InvalidValueError, NotFoundError
from firmcast.firmware import use_cases
from firmcast.firmware.files import FirmwareFiles, TooLargeError
from firmcast.firmware.model import FirmwarePackage, PackageFilter, PackageMetadata
from firmcast.ids import ApplicationId, PackageId
from firmcast.rest.answers import empty_answer, plain_answer, wire_answer
from firmcast.rest.authentication import Authenticate, AuthoriseAdministrator, Scope
from firmcast.rest.errors import ApiError, ManagementError
from firmcast.rest.paging import requested_page
from firmcast.rest.requests import decode_parameters, limited, path_identifier
from firmcast_sdk.wire import errors as wire
from firmcast_sdk.wire import packages as wire_packages
from firmcast_sdk.wire.decoding import Hints, Short
from firmcast_sdk.wire.errors import ErrorCode
from firmcast_sdk.wire.times import format_time

RequireApplication = Callable[[ApplicationId], Awaitable[object]]
"""Raises NotFoundError when there is no such application."""

_TOO_LARGE = ErrorCode("too_large", 413, "The package has too many bytes.")
_FORM_TYPES = ("multipart/", "application/x-www-form-urlencoded")


class UploadQuery(msgspec.Struct, frozen=True, kw_only=True):
    """What is said of a package in the query of its upload; `sha256`, if given, must be that of the bytes."""

    application_id: Annotated[str, Hints(limit=256, filled=True)]
    name: Annotated[str, Hints(limit=256, filled=True)]
    version: Annotated[str, Hints(limit=256, filled=True)]
    device_type: Short = ""
    model: Short = ""
    manufacturer_name: Short = ""
    protocol_type: Short = "LWM2M"
    description: Annotated[str, Hints(limit=1024)] = ""
    sha256: Annotated[str, Hints(limit=64)] = ""


class FirmwareQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which packages an administrator wants to see."""

    application_id: Short = ""
    version: Short = ""
    page: int | None = None
    page_size: int | None = None


def routes(
    *,
    database: Database,
    clock: Clock,
    authenticate: Authenticate,
    authorise_administrator: AuthoriseAdministrator,
    files: FirmwareFiles,
    size_limit: int,
    is_needed: use_cases.IsNeeded,
    require_application: RequireApplication,
) -> list[BaseRoute]:
    """Return the routes of version packages and of `/v1/firmware`."""
    packages = _PackageCalls(database, authenticate, files, is_needed)
    uploads = _UploadCalls(database, clock, authorise_administrator, files, size_limit, require_application)
    return [
        Route(wire_packages.PACKAGES_PATH, packages.listed, methods=["GET"]),
        Route(wire_packages.PACKAGE_PATH, packages.find, methods=["GET"]),
        Route(wire_packages.PACKAGE_PATH, packages.delete, methods=["DELETE"]),
        Route("/v1/firmware", uploads.upload, methods=["POST"]),
        Route("/v1/firmware", uploads.listed, methods=["GET"]),
        Route("/v1/firmware/{package_id}", uploads.find, methods=["GET"]),
    ]


class _PackageCalls:
    def __init__(
        self, database: Database, authenticate: Authenticate, files: FirmwareFiles, is_needed: use_cases.IsNeeded
    ) -> None:
        self._database = database
        self._authenticate = authenticate
        self._files = files
        self._is_needed = is_needed

    async def listed(self, request: Request) -> Response:
        application_id = await self._authenticate(request)
        said = decode_parameters(wire_packages.PackageQuery, request, invalid=wire.UPGRADE_BAD_REQUEST)
        page = requested_page(
            said.page_no,
            said.page_size,
            default_size=wire_packages.DEFAULT_PAGE_SIZE,
            largest_size=wire_packages.LARGEST_PAGE_SIZE,
            beyond=wire.PAGE_BEYOND_LIMIT,
        )
        packages: list[FirmwarePackage] = []
        total = 0
        if said.file_type is not wire_packages.FileType.SOFTWARE:
            wanted = PackageFilter(
                version=said.version or "",
                device_type=said.device_type or "",
                model=said.model or "",
                manufacturer_name=said.manufacturer_name or "",
            )
            packages, total = await self._database.read(
                use_cases.listed, application_id, wanted, Page(page.offset, page.size)
            )
        return wire_answer(
            wire_packages.PackageList(
                data=tuple(_wire_package(package) for package in packages),
                page_no=page.number,
                page_size=page.size,
                total_count=total,
            )
        )

    async def find(self, request: Request) -> Response:
        application_id = await self._authenticate(request)
        try:
            package = await self._database.read(use_cases.find, _package_id(request), application_id)
        except NotFoundError as error:
            raise ApiError(wire.PACKAGE_NOT_FOUND, str(error)) from None
        return wire_answer(_wire_package(package))

    async def delete(self, request: Request) -> Response:
        application_id = await self._authenticate(request)
        try:
            async with self._files.naming:
                digest = await self._database.write(
                    use_cases.delete, application_id, _package_id(request), is_needed=self._is_needed
                )
                if digest is not None:
                    await self._files.remove(digest)
        except NotFoundError as error:
            raise ApiError(wire.PACKAGE_NOT_FOUND, str(error)) from None
        except ConflictError as error:
            raise ApiError(wire.UPGRADE_BAD_REQUEST, str(error)) from None
        return empty_answer()


class _UploadCalls:
    def __init__(
        self,
        database: Database,
        clock: Clock,
        authorise_administrator: AuthoriseAdministrator,
        files: FirmwareFiles,
        size_limit: int,
        require_application: RequireApplication,
    ) -> None:
        self._database = database
        self._clock = clock
        self._authorise = authorise_administrator
        self._files = files
        self._size_limit = size_limit
        self._require_application = require_application

    async def upload(self, request: Request) -> Response:
        await self._authorise(request, Scope.FIRMWARE_WRITE)
        if request.headers.get("content-type", "").lower().startswith(_FORM_TYPES):
            raise InvalidValueError("content-type", "the body is the package itself: application/octet-stream")
        said = decode_parameters(UploadQuery, request)
        application_id = ApplicationId(said.application_id)
        metadata = PackageMetadata(
            name=said.name,
            version=said.version,
            device_type=said.device_type,
            model=said.model,
            manufacturer_name=said.manufacturer_name,
            protocol_type=said.protocol_type,
            description=said.description,
        )
        use_cases.check_metadata(metadata)
        await self._require_application(application_id)
        try:
            package = await self._take(request, application_id, metadata, said.sha256.lower())
        except TooLargeError as error:
            raise ManagementError(_TOO_LARGE, str(error)) from None
        return plain_answer(_shown(package), 201)

    async def _take(
        self, request: Request, application_id: ApplicationId, metadata: PackageMetadata, digest: str
    ) -> FirmwarePackage:
        incoming = await self._files.receive(_bytes_of(request, self._size_limit), self._size_limit)
        if digest and digest != incoming.stored.digest:
            await self._files.discard(incoming)
            raise InvalidValueError("sha256", f"the bytes that arrived have {incoming.stored.digest}")
        async with self._files.naming:
            stored = await self._files.keep(incoming)
            return await self._database.write(use_cases.record, application_id, metadata, stored, self._clock.now())

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
            {
                "packages": [_shown(package) for package in packages],
                "page": page.number,
                "page_size": page.size,
                "total": total,
            }
        )

    async def find(self, request: Request) -> Response:
        await self._authorise(request, Scope.FIRMWARE_READ)
        return plain_answer(_shown(await self._database.read(use_cases.find, _package_id(request))))


async def _bytes_of(request: Request, limit: int) -> AsyncIterator[bytes]:
    try:
        async for chunk in limited(request, limit):
            yield chunk
    except ApiError as error:
        raise TooLargeError(error.reason) from None


def _package_id(request: Request) -> PackageId:
    return PackageId(path_identifier(request, "file_id" if "file_id" in request.path_params else "package_id"))


def _wire_package(package: FirmwarePackage) -> wire_packages.Package:
    return wire_packages.Package(
        file_id=package.package_id,
        name=package.name,
        version=package.version,
        file_type=wire_packages.FileType.FIRMWARE,
        device_type=package.device_type,
        model=package.model,
        manufacturer_name=package.manufacturer_name,
        protocol_type=package.protocol_type,
        description=package.description or None,
        date=package.uploaded_at.strftime("%Y-%m-%d"),
        upload_time=format_time(package.uploaded_at),
    )


def _shown(package: FirmwarePackage) -> dict[str, object]:
    return {
        "package_id": package.package_id,
        "application_id": package.application_id,
        "name": package.name,
        "version": package.version,
        "device_type": package.device_type,
        "model": package.model,
        "manufacturer_name": package.manufacturer_name,
        "protocol_type": package.protocol_type,
        "description": package.description,
        "size": package.size,
        "sha256": package.digest,
        "uploaded_at": package.uploaded_at,
    }
