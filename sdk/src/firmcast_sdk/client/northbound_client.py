"""The client for programs that wait for each answer: the sender and the calls of every section, put together."""

from firmcast_sdk.client.blocking.device_groups import DeviceGroups
from firmcast_sdk.client.blocking.devices import Devices
from firmcast_sdk.client.blocking.events import Events
from firmcast_sdk.client.blocking.packages import Packages
from firmcast_sdk.client.blocking.subscriptions import Subscriptions
from firmcast_sdk.client.blocking.upgrades import Upgrades


class NorthboundClient(Subscriptions, Packages, Upgrades, Devices, DeviceGroups, Events):
    """Calls the northbound API and waits for the answers; logs in by itself and keeps the token fresh.

        with NorthboundClient("https://platform.example:8743", app_id="…", secret="…") as client:
            client.subscribe(NotifyType.FW_UPGRADE_STATE_CHANGE, "https://app.example:9443/pushes")

    Many threads may use one client; a listing belongs to one thread. Tokens, the refresh token included, are kept in
    memory only. A new login ends the token before it, so use one client for each application.

    Args:
        base_url: scheme, host, port, and a path when a gateway puts the platform under one.
        app_id: the application's id.
        secret: its secret.
        options: time-outs, certificates, proxy; None: `TransportOptions()`.
        retry: when a call is tried again, and after what wait; None: `RetryPolicy()`.
        logout_on_close: end the token when the client is closed.
        clock: gives the present moment, aware.

    Every method raises, besides what it names itself:
        AuthenticationError: the credentials are wrong.
        AccessDeniedError: the application may not do this, or is frozen.
        ThrottledError: it made too many calls, and waiting did not help or would take too long.
        PlatformFailedError: the platform failed.
        NotReachedError: the request did not get to the platform.
        TransportError: no answer came; the platform may have acted.
        UnexpectedAnswerError: the answer makes no sense.
        ClientClosedError: the client was closed.
        ValueError: an id is empty, or an argument makes no sense; nothing was sent.

    Raises:
        AddressError: `base_url` is none.
        ValueError: `app_id` or `secret` is empty, or not printable ASCII without blanks.
        ClientExtraMissingError: the HTTP library is not installed.
    """
