"""Every error that one part of the platform raises for another to handle descends from FirmcastError.

FirmcastError
├── RefusedError              the caller asked for something that cannot be; nothing was changed
│   ├── InvalidValueError     a value is outside what is allowed; names the field
│   ├── NotFoundError         the thing named does not exist, or is another application's
│   ├── ConflictError         it exists already, or its state forbids the request
│   └── NotAllowedError       the caller may not do this
├── StoreError                the store could not do its work
│   ├── StoreFullError        no space is left; nothing was written
│   ├── StoreBusyError        too many writes wait; nothing was written
│   ├── StoreInUseError       another process holds the store
│   ├── StoreUnreachableError the database does not answer; it may again
│   └── StoreBrokenError      a commit or a sync failed; the process must end
├── UndeliveredLimitError     the application has to take what waits for it before anything new begins
└── StartError                the settings do not allow the platform to start
"""


class FirmcastError(Exception):
    """Something went wrong that Firmcast foresaw."""


class RefusedError(FirmcastError):
    """The request cannot be carried out; nothing was changed."""


class InvalidValueError(RefusedError):
    """A value is outside what is allowed."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class NotFoundError(RefusedError):
    """The thing named does not exist."""

    def __init__(self, kind: str, identifier: str) -> None:
        super().__init__(f"no {kind} {identifier!r}")
        self.kind = kind
        self.identifier = identifier


class ConflictError(RefusedError):
    """The thing exists already, or its state forbids the request."""


class NotAllowedError(RefusedError):
    """The caller may not do this."""


class UndeliveredLimitError(FirmcastError):
    """Too much waits to be delivered to the application; when it has taken some of it, it may ask again."""

    def __init__(self, waiting: int, limit: int) -> None:
        super().__init__(f"{waiting} deliveries wait for the application, and {limit} may")


class StoreError(FirmcastError):
    """The store could not do its work."""


class StoreFullError(StoreError):
    """No space is left; nothing was written."""


class StoreBusyError(StoreError):
    """Too many writes wait already; nothing was written."""


class StoreInUseError(StoreError):
    """Another process holds the store."""


class StoreUnreachableError(StoreError):
    """The database did not answer in time; nothing was written, and the same may be asked again."""


class StoreBrokenError(StoreError):
    """A commit or a sync failed; what is on disk is unknown until the next start, so the process must end."""


class StartError(FirmcastError):
    """The settings do not allow the platform to start."""
