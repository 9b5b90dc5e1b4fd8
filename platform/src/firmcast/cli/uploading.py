"""A package is sent in pieces, and the platform alone knows how many bytes it has: it is asked after every trouble."""

import hashlib
import time
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

from firmcast.cli.connection import ManagementClient, RefusalError, UnreachableError, quoted

_UPLOADS = "/v1/firmware/uploads"
_PIECE_BYTES = 4 << 20
_READ_BYTES = 1 << 20
_SECONDS_BETWEEN_TRIES = 1.0
_CONFLICT = 409
_CONFLICT_LIMIT = 10

Moved = Callable[[int], None]
"""Is told how many bytes the platform has."""
Lost = Callable[[str], None]
"""Is told, once for each trouble, why no answer came."""


def digest_of(file: BinaryIO) -> tuple[str, int]:
    """Return the SHA-256 of a file's bytes, as hexadecimal digits, and their number."""
    digest = hashlib.sha256()
    size = 0
    file.seek(0)
    while chunk := file.read(_READ_BYTES):
        digest.update(chunk)
        size += len(chunk)
    return digest.hexdigest(), size


class PieceSender:
    """Sends one file; waits for a platform that is away for as long as it is patient."""

    def __init__(self, client: ManagementClient, file: BinaryIO, *, patience: float, moved: Moved, lost: Lost) -> None:
        self._client = client
        self._file = file
        self._patience = patience
        self._moved = moved
        self._lost = lost
        self._reached = 0
        self._conflicts = 0

    def send(self, said: Mapping[str, Any]) -> Any:
        """Send the file that `said` announces; return the package.

        Raises:
            UnreachableError: no answer came for too long.
            RefusalError: the platform refuses.
        """
        upload = self._client.call("POST", _UPLOADS, json_body=dict(said))
        path = f"{_UPLOADS}/{quoted(upload['upload_id'])}"
        while True:
            state = self._patiently(lambda: self._client.call("GET", path))
            self._note(state["offset"])
            if state["package_id"] is not None or state["offset"] == state["size"]:
                return self._patiently(lambda: self._client.call("POST", f"{path}/complete"))
            try:
                package = self._send_pieces(path, state["offset"])
            except UnreachableError as error:
                self._lost(str(error))
            else:
                if package is not None:
                    self._note(state["size"])
                    return package

    def _send_pieces(self, path: str, offset: int) -> Any:
        """Send piece by piece from `offset` to the end; return the package, None when the platform is elsewhere."""
        self._file.seek(offset)
        while piece := self._file.read(_PIECE_BYTES):
            headers = {"upload-offset": str(offset), "content-type": "application/octet-stream"}
            try:
                package = self._client.call("PATCH", path, content=piece, headers=headers)
            except RefusalError as error:
                self._conflicts += 1
                if error.status != _CONFLICT or self._conflicts > _CONFLICT_LIMIT:
                    raise
                return None
            if package is not None:
                return package
            offset += len(piece)
            self._note(offset)
        return None

    def _patiently(self, ask: Callable[[], Any]) -> Any:
        tries_left = int(self._patience / _SECONDS_BETWEEN_TRIES)
        while True:
            try:
                return ask()
            except UnreachableError:
                if tries_left <= 0:
                    raise
                tries_left -= 1
                time.sleep(_SECONDS_BETWEEN_TRIES)

    def _note(self, offset: int) -> None:
        if offset > self._reached:
            self._reached = offset
            self._conflicts = 0
        self._moved(offset)
