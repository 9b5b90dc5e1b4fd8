"""What `firmcast db reseal` does: every secret in the store is sealed with a new key, in one transaction.

The new key is durable before the transaction begins, under a name that says that it is not in use yet, and gets its
name when the transaction has committed. So one of the two keys opens the whole store whenever the command ends, and
the same command goes on from there.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Concatenate, Final, ParamSpec, Protocol, TypeVar

from firmcast.cli.database_work import sqlite_level_of
from firmcast.cli.failures import CommandError
from firmcast.clock import SystemClock
from firmcast.db.installation import key_check, opens, replace_key, require_key
from firmcast.db.port import Transaction
from firmcast.db.sealed import reseal
from firmcast.db.sqlite import STORE_FILE, SqliteDatabase
from firmcast.errors import StartError
from firmcast.nodes.stopped import StoppedDatabase
from firmcast.platform_store import SEALED, sealing_key_file
from firmcast.private_files import rename_durably
from firmcast.sealing import Sealer, load_or_create_key
from firmcast.settings import Settings

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

_UNFINISHED: Final = ".unfinished"


class _Store(Protocol):
    """A store that nobody serves."""

    async def write(
        self,
        use_case: Callable[Concatenate[Transaction, Parameters], Coroutine[Any, Any, Result]],
        /,
        *args: Parameters.args,
        **kwargs: Parameters.kwargs,
    ) -> Result: ...


class _KeyFiles:
    """The files of the two keys."""

    def __init__(self, present: Path, new: Path) -> None:
        self.present = present
        self.new = new
        self._unfinished = new.with_name(f"{new.name}{_UNFINISHED}")
        if new.absolute() == present.absolute():
            message = f"{new} is the present key: name a file that is not there yet"
            raise CommandError(message)
        if not new.parent.is_dir():
            message = f"there is no folder {new.parent}"
            raise CommandError(message)

    def is_sealed(self, noted: bytes | None) -> bool:
        """Say whether the store is sealed with the new key already: it was, and the command did not end well."""
        return noted is not None and any(_is_key(file, noted) for file in (self.new, self._unfinished))

    def sealers(self, noted: bytes | None) -> tuple[Sealer, Sealer]:
        """Return the present key of the store, and the new one, which is made and durable from now on."""
        if not self.present.exists():
            message = f"there is no key {self.present}: without it nothing in the store can be opened"
            raise CommandError(message)
        present = _sealer(self.present)
        if noted is not None and not opens(noted, present):
            message = f"the secrets in the store were sealed with another key than the one in {self.present}"
            raise CommandError(message)
        if self.new.exists():
            message = f"{self.new} is there already: name a file that is not, for the new key is made in it"
            raise CommandError(message)
        load_or_create_key(self._unfinished)
        return present, _sealer(self._unfinished)

    def finish(self) -> None:
        """Give the new key its name."""
        if self._unfinished.exists():
            rename_durably(self._unfinished, self.new)


async def reseal_store(settings: Settings, new_file: Path) -> dict[str, Any]:
    """Seal the secrets of the store with a new key, made in `new_file`; return what is to be told.

    Raises:
        FirmcastError: it cannot be done.
    """
    files = _KeyFiles(sealing_key_file(settings), new_file)
    try:
        async with _stopped(settings) as store:
            noted = await store.write(key_check)
            counts: dict[str, int] | None = None
            if not files.is_sealed(noted):
                present, new = files.sealers(noted)
                counts = await store.write(_reseal, present, new)
        files.finish()
    except OSError as error:
        message = f"{error.filename or new_file}: {error.strerror or error}"
        raise CommandError(message) from error
    return {"sealed": counts, "key_file": str(files.new), "former_key_file": str(files.present)}


async def _reseal(tx: Transaction, present: Sealer, new: Sealer) -> dict[str, int]:
    await require_key(tx, present)
    counts = {table.name: await reseal(tx, table, present, new) for table in SEALED}
    await replace_key(tx, new)
    return counts


@asynccontextmanager
async def _stopped(settings: Settings) -> AsyncIterator[_Store]:
    if settings.database_url is not None:
        async with StoppedDatabase.opened(settings.database_url.get_secret_value()) as stopped:
            yield stopped
        return
    path = settings.data / STORE_FILE
    if not await asyncio.to_thread(path.exists):
        message = f"there is no store {path}"
        raise CommandError(message)
    if sqlite_level_of(path).missing:
        message = "the store is of an older release: run `firmcast db migrate` on it first"
        raise CommandError(message)
    database = await SqliteDatabase.open(path, SystemClock().now(), migrates=False)
    try:
        yield database
    finally:
        await database.close()


def _sealer(file: Path) -> Sealer:
    try:
        return Sealer(file.read_bytes())
    except StartError as error:
        message = f"{file}: {error}"
        raise CommandError(message) from None


def _is_key(file: Path, noted: bytes) -> bool:
    """Say whether a file has the key that the store is sealed with."""
    try:
        return file.exists() and opens(noted, Sealer(file.read_bytes()))
    except StartError:  # it is no key at all
        return False
