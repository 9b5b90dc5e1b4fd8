"""Version packages as applications see them: listed, read, deleted. Contract page, section 5."""

from starlette.requests import Request
from starlette.responses import Response

from firmcast.audit import use_cases as audit
from firmcast.audit.model import application
from firmcast.clock import Clock
from firmcast.db.page import Page
from firmcast.db.port import Database, Transaction
from firmcast.errors import ConflictError, NotFoundError
from firmcast.firmware import use_cases
from firmcast.firmware.model import FirmwarePackage, PackageFilter, Unneeded
from firmcast.firmware.package_files import PackageFiles
from firmcast.ids import PackageId
from firmcast.rest.answers import empty_answer, wire_answer
from firmcast.rest.authentication import Authenticate
from firmcast.rest.endpoints import Answer, Endpoint
from firmcast.rest.errors import ApiError
from firmcast.rest.paging import requested_page
from firmcast.rest.requests import decode_parameters, path_identifier
from firmcast_sdk.wire import errors as wire
from firmcast_sdk.wire import packages as wire_packages
from firmcast_sdk.wire.times import format_time

_TAG = "version packages"
_FILE_ID = {"file_id": "Id of the package, `fileId`."}


def package_endpoints(
    *,
    database: Database,
    clock: Clock,
    authenticate: Authenticate,
    files: PackageFiles,
    is_needed: use_cases.IsNeeded,
) -> list[Endpoint]:
    """Return the calls of applications."""
    calls = _PackageCalls(database, clock, authenticate, files, is_needed)
    return [
        Endpoint(
            method="GET",
            path=wire_packages.PACKAGES_PATH,
            handler=calls.listed,
            summary="List the version packages",
            tag=_TAG,
            description="The newest first. There are no software packages here: that filter finds none.",
            query=wire_packages.PackageQuery,
            answers=(Answer(body=wire_packages.PackageList),),
            errors=(wire.UPGRADE_BAD_REQUEST, wire.PAGE_BEYOND_LIMIT),
        ),
        Endpoint(
            method="GET",
            path=wire_packages.PACKAGE_PATH,
            handler=calls.find,
            summary="Read a version package",
            tag=_TAG,
            answers=(Answer(body=wire_packages.Package),),
            errors=(wire.PACKAGE_NOT_FOUND,),
            path_descriptions=_FILE_ID,
        ),
        Endpoint(
            method="DELETE",
            path=wire_packages.PACKAGE_PATH,
            handler=calls.delete,
            summary="Delete a version package",
            tag=_TAG,
            description="Refused while an open task needs it; the header `firmcast-reason` says so.",
            answers=(Answer(description="Deleted; the body is empty."),),
            errors=(wire.PACKAGE_NOT_FOUND, wire.UPGRADE_BAD_REQUEST),
            path_descriptions=_FILE_ID,
        ),
    ]


class _PackageCalls:
    def __init__(
        self,
        database: Database,
        clock: Clock,
        authenticate: Authenticate,
        files: PackageFiles,
        is_needed: use_cases.IsNeeded,
    ) -> None:
        self._database = database
        self._clock = clock
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
        package_id = _package_id(request)

        async def change(tx: Transaction) -> Unneeded:
            unneeded = await use_cases.delete(tx, application_id, package_id, is_needed=self._is_needed)
            await audit.record(tx, application(application_id), "firmware.delete", package_id, self._clock.now())
            return unneeded

        try:
            await self._files.release(change)
        except NotFoundError as error:
            raise ApiError(wire.PACKAGE_NOT_FOUND, str(error)) from None
        except ConflictError as error:
            raise ApiError(wire.UPGRADE_BAD_REQUEST, str(error)) from None
        return empty_answer()


def _package_id(request: Request) -> PackageId:
    return PackageId(path_identifier(request, "file_id"))


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
