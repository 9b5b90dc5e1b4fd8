"""What is pushed about an upgrade: four bodies, their fields in the contract's order, every value a string.

Contract page, section 8. All fields are mandatory.
"""

from types import MappingProxyType
from typing import ClassVar, Final

import msgspec

from firmcast_sdk.wire.decoding import WireEnum
from firmcast_sdk.wire.notify_types import NotifyType


class SwUpgradeState(WireEnum):
    """Words of swUpgradeState; the last two only in the later edition of the contract."""

    DOWNLOADING = "downloading"
    DOWNLOADED = "downloaded"
    UPDATING = "updating"
    IDLE = "idle"
    OTA_CREATED = "otacreated"
    REQUEST_DOWNLOAD = "RequestDownload"


class UpgradeStatus(WireEnum):
    """How an upgrade ended: there is no third word for a cancelled one."""

    SUCCESS = "SUCCESS"
    FAIL = "FAIL"


# The same numbers as LwM2M object 5, resource 3.
STEP_DESCRIPTIONS: Final = MappingProxyType({"0": "idle", "1": "downloading", "2": "downloaded", "3": "updating"})


class FwUpgradeStateChangeNotify(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    rename="camel",
    tag_field="notifyType",
    tag=NotifyType.FW_UPGRADE_STATE_CHANGE.value,
):
    """A device went to another step of a firmware upgrade; `step` is "0" to "3", `step_desc` its word."""

    notify_type: ClassVar[NotifyType] = NotifyType.FW_UPGRADE_STATE_CHANGE

    device_id: str
    app_id: str
    operation_id: str
    sub_operation_id: str
    step: str
    step_desc: str


class FwUpgradeResultNotify(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    rename="camel",
    tag_field="notifyType",
    tag=NotifyType.FW_UPGRADE_RESULT.value,
):
    """A device's firmware upgrade ended; `upgrade_time` is seconds, as digits."""

    notify_type: ClassVar[NotifyType] = NotifyType.FW_UPGRADE_RESULT

    device_id: str
    app_id: str
    operation_id: str
    sub_operation_id: str
    cur_version: str
    target_version: str
    source_version: str
    status: UpgradeStatus  # a published copy of a vendor's class spells it `Status`
    status_desc: str
    upgrade_time: str


class SwUpgradeStateChangeNotify(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    rename="camel",
    tag_field="notifyType",
    tag=NotifyType.SW_UPGRADE_STATE_CHANGE.value,
):
    """A device went to another state of a software upgrade."""

    notify_type: ClassVar[NotifyType] = NotifyType.SW_UPGRADE_STATE_CHANGE

    device_id: str
    app_id: str
    operation_id: str
    sub_operation_id: str
    sw_upgrade_state: SwUpgradeState


class SwUpgradeResultNotify(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    rename="camel",
    tag_field="notifyType",
    tag=NotifyType.SW_UPGRADE_RESULT.value,
):
    """A device's software upgrade ended; `upgrade_time` is seconds, as digits, `error_code` the device's own."""

    notify_type: ClassVar[NotifyType] = NotifyType.SW_UPGRADE_RESULT

    device_id: str
    app_id: str
    operation_id: str
    sub_operation_id: str
    cur_version: str
    target_version: str
    source_version: str
    sw_upgrade_result: UpgradeStatus
    upgrade_time: str
    result_desc: str
    error_code: str
    description: str
