"""How patient a device is: every wait of the simulator is a field here."""

from dataclasses import dataclass, field, replace

from firmcast.coap.parameters import TransmissionParameters

# A download must not keep back the update of the registration: clients use a second socket, we a second exchange.
_DEVICE_PARAMETERS = TransmissionParameters(nstart=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceTiming:
    """Waits in seconds."""

    transmission: TransmissionParameters = field(default=_DEVICE_PARAMETERS)
    registration_retry_first: float = 2.0
    """After the first failed registration; each further wait doubles."""
    registration_retry_limit: float = 60.0
    """The longest wait between two registrations."""
    download_retry_delay: float = 2.0
    """Before a broken download goes on."""
    download_patience: float = 120.0
    """Without a byte for this long, a download is given up as lost (result 4)."""
    upload_patience: float = 120.0
    """Without a block for this long, a package that was being written is given up as lost (result 4)."""
    deregister_patience: float = 2.0
    """For the answer to a de-registration."""

    def registration_delay(self, failures: int, jitter: float) -> float:
        """Return the wait after `failures` failed registrations in a row; `jitter` is of 0..1."""
        longest = min(self.registration_retry_first * 2.0 ** min(failures - 1, 30), self.registration_retry_limit)
        return longest * (0.5 + jitter / 2)


PATIENT = DeviceTiming()
"""As devices on a real network."""

QUICK = DeviceTiming(
    transmission=replace(_DEVICE_PARAMETERS, ack_timeout=0.2, response_timeout=3.0),
    registration_retry_first=0.1,
    registration_retry_limit=1.0,
    download_retry_delay=0.1,
    download_patience=30.0,
    upload_patience=30.0,
    deregister_patience=0.5,
)
"""For demonstrations and tests on one machine."""
