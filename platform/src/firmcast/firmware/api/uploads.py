"""Uploads in pieces: `/v1/firmware/uploads`, in the manner of the IETF's resumable uploads and of tus.

A piece is sent with PATCH and says in `Upload-Offset` where it begins. Every answer about an upload says there where
the next one must. Of two senders the later one goes on: the earlier may be a connection that broke unnoticed.
"""

from collections.abc import AsyncIterator, Mapping
from datetime import timedelta

from starlette.requests import Request
from starlette.responses import Response

from firmcast.audit import use_cases as audit
from firmcast.audit.model import Actor, administrator
from firmcast.clock import Clock
from firmcast.db.port import Database, Transaction
from firmcast.errors import InvalidValueError
from firmcast.firmware import upload_use_cases as use_cases
from firmcast.firmware.api.management import metadata_of, promise_of, refuse_form
from firmcast.firmware.api.records import (
    REFUSALS,
    NewUploadRequest,
    PackageAnswer,
    UploadAnswer,
    UploadList,
    shown_package,
)
from firmcast.firmware.model import FirmwarePackage, Upload
from firmcast.firmware.package_files import OffsetError
from firmcast.firmware.uploads import Uploads
from firmcast.ids import ApplicationId, UploadId
from firmcast.rest.answers import no_content, plain_answer
from firmcast.rest.authentication import AuthoriseAdministrator, Scope
from firmcast.rest.endpoints import OCTETS, Answer, Endpoint, Interface, Proof
from firmcast.rest.errors import CONFLICT, MANAGEMENT_STORE_FULL, NOT_FOUND, ManagementError
from firmcast.rest.requests import decode_known_body, path_identifier, read_body

OFFSET_HEADER = "upload-offset"
LENGTH_HEADER = "upload-length"

_TAG = "firmware"
_UPLOAD_ID = {"upload_id": "Id of the upload."}
_PATH = "/v1/firmware/uploads"
_ONE = f"{_PATH}/{{upload_id}}"
_OFFSET_DIGITS = 18


def upload_endpoints(
    *,
    database: Database,
    clock: Clock,
    authorise_administrator: AuthoriseAdministrator,
    uploads: Uploads,
    upload_life: timedelta,
) -> list[Endpoint]:
    """Return the calls of uploads in pieces."""
    calls = _UploadCalls(database, clock, authorise_administrator, uploads, upload_life)
    return [*_whole_uploads(calls), *_pieces(calls)]


def _whole_uploads(calls: "_UploadCalls") -> list[Endpoint]:
    return [
        Endpoint(
            method="POST",
            path=_PATH,
            handler=calls.begin,
            summary="Begin an upload in pieces",
            takes_room=True,
            tag=_TAG,
            interface=Interface.MANAGEMENT,
            proof=Proof.ADMINISTRATOR,
            scope=Scope.FIRMWARE_WRITE,
            description="Refused with 409 while too many uploads are open, or while they announce too many bytes.",
            body=NewUploadRequest,
            answers=(Answer(status=201, body=UploadAnswer),),
            errors=(*REFUSALS, MANAGEMENT_STORE_FULL),
        ),
        Endpoint(
            method="GET",
            path=_PATH,
            handler=calls.listed,
            summary="List the uploads that are open",
            tag=_TAG,
            interface=Interface.MANAGEMENT,
            proof=Proof.ADMINISTRATOR,
            scope=Scope.FIRMWARE_READ,
            answers=(Answer(body=UploadList),),
        ),
        Endpoint(
            method="GET",
            path=_ONE,
            handler=calls.find,
            summary="Ask where the next piece begins",
            tag=_TAG,
            interface=Interface.MANAGEMENT,
            proof=Proof.ADMINISTRATOR,
            scope=Scope.FIRMWARE_READ,
            description="HEAD answers the same without a body. `Upload-Offset` and `Upload-Length` say it in headers.",
            answers=(Answer(body=UploadAnswer),),
            errors=(NOT_FOUND,),
            path_descriptions=_UPLOAD_ID,
        ),
        Endpoint(
            method="DELETE",
            path=_ONE,
            handler=calls.delete,
            summary="End an upload",
            tag=_TAG,
            interface=Interface.MANAGEMENT,
            proof=Proof.ADMINISTRATOR,
            scope=Scope.FIRMWARE_WRITE,
            description="The package that it may have become stays.",
            answers=(Answer(status=204),),
            errors=(NOT_FOUND,),
            path_descriptions=_UPLOAD_ID,
        ),
    ]


def _pieces(calls: "_UploadCalls") -> list[Endpoint]:
    return [
        Endpoint(
            method="PATCH",
            path=_ONE,
            handler=calls.append,
            summary="Send a piece of an upload",
            takes_room=True,
            tag=_TAG,
            interface=Interface.MANAGEMENT,
            proof=Proof.ADMINISTRATOR,
            scope=Scope.FIRMWARE_WRITE,
            description="The last piece makes the package. Refused with 409 where `Upload-Offset` is not where the "
            "next piece begins, which the answer says in the same header.",
            body_media_type=OCTETS,
            headers=(OFFSET_HEADER,),
            answers=(
                Answer(status=201, body=PackageAnswer, description="That was the last piece."),
                Answer(status=204, description="More is to come."),
            ),
            errors=(*REFUSALS, MANAGEMENT_STORE_FULL),
            path_descriptions=_UPLOAD_ID,
        ),
        Endpoint(
            method="POST",
            path=f"{_ONE}/complete",
            handler=calls.complete,
            summary="Make the package of an upload whose bytes are all there",
            tag=_TAG,
            interface=Interface.MANAGEMENT,
            proof=Proof.ADMINISTRATOR,
            scope=Scope.FIRMWARE_WRITE,
            description="For a sender that did not hear the answer to its last piece: the package is the same.",
            answers=(Answer(body=PackageAnswer),),
            errors=(*REFUSALS, MANAGEMENT_STORE_FULL),
            path_descriptions=_UPLOAD_ID,
        ),
    ]


class _UploadCalls:
    def __init__(
        self,
        database: Database,
        clock: Clock,
        authorise_administrator: AuthoriseAdministrator,
        uploads: Uploads,
        upload_life: timedelta,
    ) -> None:
        self._database = database
        self._clock = clock
        self._authorise = authorise_administrator
        self._uploads = uploads
        self._life = upload_life

    async def begin(self, request: Request) -> Response:
        actor = await self._writer(request)
        said = decode_known_body(NewUploadRequest, await read_body(request))

        async def note(tx: Transaction, upload: Upload) -> None:
            details = {"application_id": upload.application_id, "version": upload.metadata.version}
            await self._note(tx, actor, "firmware.begin_upload", upload.upload_id, details)

        upload = await self._uploads.begin(
            ApplicationId(said.application_id), metadata_of(said), promise_of(said), said.size, note
        )
        answer = plain_answer(self._shown(upload), 201)
        answer.headers["location"] = f"{_PATH}/{upload.upload_id}"
        return _with_offset(answer, upload)

    async def listed(self, request: Request) -> Response:
        await self._authorise(request, Scope.FIRMWARE_READ)
        uploads = await self._database.read(use_cases.listed)
        return plain_answer(UploadList(uploads=tuple(map(self._shown, uploads))))

    async def find(self, request: Request) -> Response:
        await self._authorise(request, Scope.FIRMWARE_READ)
        upload = await self._database.read(use_cases.find, _upload_id(request))
        answer = _with_offset(plain_answer(self._shown(upload)), upload)
        answer.headers["cache-control"] = "no-store"
        return answer

    async def append(self, request: Request) -> Response:
        actor = await self._writer(request)
        refuse_form(request)
        upload_id, offset = _upload_id(request), _offset(request)
        try:
            upload = await self._uploads.append(upload_id, offset, _bytes_of(request))
            if upload.received == upload.size:
                return plain_answer(shown_package(await self._complete(actor, upload_id)), 201)
        except OffsetError as error:
            raise _conflict(error) from None
        return _with_offset(no_content(), upload)

    async def complete(self, request: Request) -> Response:
        actor = await self._writer(request)
        try:
            return plain_answer(shown_package(await self._complete(actor, _upload_id(request))))
        except OffsetError as error:
            raise _conflict(error) from None

    async def delete(self, request: Request) -> Response:
        actor = await self._writer(request)

        async def note(tx: Transaction, upload: Upload) -> None:
            await self._note(tx, actor, "firmware.end_upload", upload.upload_id, {})

        await self._uploads.delete(_upload_id(request), note)
        return no_content()

    async def _writer(self, request: Request) -> Actor:
        return administrator((await self._authorise(request, Scope.FIRMWARE_WRITE)).name)

    async def _complete(self, actor: Actor, upload_id: UploadId) -> FirmwarePackage:
        async def note(tx: Transaction, package: FirmwarePackage) -> None:
            details = {"sha256": package.digest, "version": package.version, "upload_id": upload_id}
            await self._note(tx, actor, "firmware.upload", package.package_id, details)

        return await self._uploads.complete(upload_id, note)

    async def _note(self, tx: Transaction, actor: Actor, action: str, subject: str, details: Mapping[str, str]) -> None:
        await audit.record(tx, actor, action, subject, self._clock.now(), details)

    def _shown(self, upload: Upload) -> UploadAnswer:
        return UploadAnswer(
            upload_id=upload.upload_id,
            application_id=upload.application_id,
            name=upload.metadata.name,
            version=upload.metadata.version,
            size=upload.size,
            offset=upload.received,
            sha256=upload.promise.digest,
            package_id=upload.package_id,
            created_at=upload.created_at,
            expires_at=upload.touched_at + self._life,
        )


def _with_offset(answer: Response, upload: Upload) -> Response:
    answer.headers[OFFSET_HEADER] = str(upload.received)
    answer.headers[LENGTH_HEADER] = str(upload.size)
    return answer


def _conflict(error: OffsetError) -> ManagementError:
    return ManagementError(CONFLICT, str(error), headers={OFFSET_HEADER: str(error.offset)})


def _offset(request: Request) -> int:
    said = request.headers.get(OFFSET_HEADER, "")
    if not (said.isascii() and said.isdecimal() and len(said) <= _OFFSET_DIGITS):
        raise InvalidValueError("Upload-Offset", "the header says where the piece begins")
    return int(said)


def _upload_id(request: Request) -> UploadId:
    return UploadId(path_identifier(request, "upload_id"))


async def _bytes_of(request: Request) -> AsyncIterator[bytes]:
    async for chunk in request.stream():
        if chunk:
            yield chunk
