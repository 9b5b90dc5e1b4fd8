"""Why a download ends, or pauses: the same whichever protocol it goes by."""

from firmcast.lwm2m.firmware_update import UpdateResult


class DownloadFailedError(Exception):
    """The package cannot be had; `result` is what the device will say of it."""

    def __init__(self, result: UpdateResult) -> None:
        super().__init__(result.name)
        self.result = result


class ServerBusyError(OSError):
    """The server has the package and cannot give it now; another try may help."""
