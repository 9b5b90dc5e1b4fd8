"""The keys of devices are read from the store when a handshake needs them; none is kept here.

So a key that was replaced, on whichever node, is what the next handshake needs. Those that come while the store is
read are read together. What is read while it changes is not believed, since nobody knows which of both it is.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Final, Protocol

import structlog

from firmcast.db.port import Database
from firmcast.devices import use_cases as devices
from firmcast.errors import FirmcastError, StoreError

_READ_AT_ONCE: Final = 500
_PAUSE: Final = 1.0
"""Seconds until a store that could not be read is asked again."""
_log = structlog.get_logger()

OpenKey = Callable[[bytes], bytes | None]
"""Returns the key that was sealed; None for one that cannot be used. Raises StartError."""


class KeyReceiver(Protocol):
    """Whoever waits for keys."""

    def key_found(self, identity: str, key: bytes | None) -> None:
        """Take the key of an identity; None where there is none."""
        ...

    def key_unknown(self, identity: str) -> None:
        """Take that it cannot be said now whether there is one."""
        ...


class DeviceKeys:
    """Looks keys up by endpoint name."""

    def __init__(self, database: Database, open_key: OpenKey, receiver: KeyReceiver) -> None:
        self._database = database
        self._open_key = open_key
        self._receiver = receiver
        self._wanted: dict[str, None] = {}
        self._owed: set[str] = set()
        """Of those that are wanted: whose key has to be known, however long it takes."""
        self._being_read: set[str] = set()
        self._outdated: set[str] = set()
        """Of those that are being read: their key has changed meanwhile."""
        self._reading: asyncio.Task[None] | None = None

    def look_up(self, endpoint_name: str) -> None:
        """Have the receiver told the key of a device, soon."""
        self._want([endpoint_name])

    def look_again(self, endpoint_names: Iterable[str]) -> None:
        """Have the receiver told the keys of devices anew, as soon as the store can be read: changes went unheard."""
        names = set(endpoint_names)
        self.changed(names)
        self._owed |= names
        self._want(names)

    def changed(self, endpoint_names: Iterable[str]) -> None:
        """Take note that the keys of devices are not what they were: one that is being read is read again."""
        self._outdated.update(self._being_read.intersection(endpoint_names))

    async def stop(self) -> None:
        """Leave what is wanted unanswered."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)

    def _want(self, endpoint_names: Iterable[str]) -> None:
        self._wanted.update(dict.fromkeys(endpoint_names))
        if self._reading is None and self._wanted:
            self._reading = asyncio.create_task(self._read(), name="device-keys")

    async def _read(self) -> None:
        try:
            while self._wanted:
                names = list(self._wanted)[:_READ_AT_ONCE]
                for name in names:
                    del self._wanted[name]
                if not await self._tell(names):
                    self._want(self._owed.intersection(names))
                    await asyncio.sleep(_PAUSE if self._owed else 0)
        finally:
            self._reading = None

    async def _tell(self, names: list[str]) -> bool:
        """Return whether the store could be read."""
        self._being_read, self._outdated = set(names), set()
        try:
            sealed = await self._database.read(devices.sealed_keys, names)
        except StoreError as error:
            _log.error("device_keys.unread", exc_info=error)
            for name in names:
                self._receiver.key_unknown(name)
            return False
        finally:
            self._being_read = set()
        self._want(self._outdated)
        for name in names:
            if name not in self._outdated:
                self._owed.discard(name)
                self._receiver.key_found(name, self._opened(name, sealed.get(name)))
        return True

    def _opened(self, name: str, sealed: bytes | None) -> bytes | None:
        if sealed is None:
            return None
        try:
            key = self._open_key(sealed)
        except FirmcastError as error:
            _log.error("device_key.unreadable", endpoint_name=name, reason=str(error))
            return None
        if key is None:
            _log.warning("device_key.unusable", endpoint_name=name, advice="a key has an even number of digits")
        return key
