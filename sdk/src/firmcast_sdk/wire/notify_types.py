"""The type names of pushes are spelt here and nowhere else. Contract page, sections 3, 4 and 8."""

from firmcast_sdk.wire.decoding import WireEnum


class NotifyType(WireEnum):
    """Every type of push that an application can subscribe to."""

    DEVICE_ADDED = "deviceAdded"
    BIND_DEVICE = "bindDevice"
    DEVICE_INFO_CHANGED = "deviceInfoChanged"
    DEVICE_DATA_CHANGED = "deviceDataChanged"
    DEVICE_DATAS_CHANGED = "deviceDatasChanged"
    SERVICE_INFO_CHANGED = "serviceInfoChanged"
    DEVICE_DELETED = "deviceDeleted"
    MESSAGE_CONFIRM = "messageConfirm"
    COMMAND_RSP = "commandRsp"
    DEVICE_EVENT = "deviceEvent"
    DEVICE_MODEL_ADDED = "deviceModelAdded"
    DEVICE_MODEL_DELETED = "deviceModelDeleted"
    RULE_EVENT = "ruleEvent"
    DEVICE_DESIRED_PROPERTIES_MODIFY_STATUS_CHANGED = "deviceDesiredPropertiesModifyStatusChanged"
    SW_UPGRADE_STATE_CHANGE = "swUpgradeStateChangeNotify"
    SW_UPGRADE_RESULT = "swUpgradeResultNotify"
    FW_UPGRADE_STATE_CHANGE = "fwUpgradeStateChangeNotify"
    FW_UPGRADE_RESULT = "fwUpgradeResultNotify"
