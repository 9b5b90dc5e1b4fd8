"""The client for programs on an event loop: the sender and the calls of every section, put together."""

from firmcast_sdk.client.asynchronous.device_groups import DeviceGroups
from firmcast_sdk.client.asynchronous.devices import Devices
from firmcast_sdk.client.asynchronous.events import Events
from firmcast_sdk.client.asynchronous.packages import Packages
from firmcast_sdk.client.asynchronous.subscriptions import Subscriptions
from firmcast_sdk.client.asynchronous.upgrades import Upgrades


class AsyncNorthboundClient(Subscriptions, Packages, Upgrades, Devices, DeviceGroups, Events):
    """Calls the northbound API from an event loop; logs in by itself and keeps the token fresh.

        async with AsyncNorthboundClient("https://platform.example:8743", app_id="…", secret="…") as client:
            await client.subscribe(NotifyType.FW_UPGRADE_STATE_CHANGE, "https://app.example:9443/pushes")

    Many tasks of one event loop may use one client; a listing belongs to one task. What else holds, what it is made
    with and what its methods raise is as with NorthboundClient.

    Raises:
        AddressError: `base_url` is none.
        ValueError: `app_id` or `secret` is empty, or not printable ASCII without blanks.
        ClientExtraMissingError: the HTTP library is not installed.
    """
