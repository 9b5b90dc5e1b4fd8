"""What the vendor's handlers are given about upgrades."""
# ruff: noqa: N815 -- attributes are named as the vendor named them

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifyFwUpgradeStateChangedDTO:
    """A device went to another step of a firmware upgrade: `step` is "0" idle, "1" downloading, "2" downloaded, "3"."""

    notifyType: str
    deviceId: str
    appId: str
    operationId: str
    subOperationId: str
    step: str
    stepDesc: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifyFwUpgradeResultDTO:
    """A device's firmware upgrade ended: `status` is SUCCESS or FAIL, `upgradeTime` seconds as digits."""

    notifyType: str
    deviceId: str
    appId: str
    operationId: str
    subOperationId: str
    curVersion: str
    targetVersion: str
    sourceVersion: str
    status: str
    statusDesc: str
    upgradeTime: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifySwUpgradeStateChangedDTO:
    """A device went to another state of a software upgrade: `swUpgradeState` is its word."""

    notifyType: str
    deviceId: str
    appId: str
    operationId: str
    subOperationId: str
    swUpgradeState: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifySwUpgradeResultDTO:
    """A device's software upgrade ended: `swUpgradeResult` is SUCCESS or FAIL, `errorCode` the device's own."""

    notifyType: str
    deviceId: str
    appId: str
    operationId: str
    subOperationId: str
    curVersion: str
    targetVersion: str
    sourceVersion: str
    swUpgradeResult: str
    upgradeTime: str
    resultDesc: str
    errorCode: str
    description: str
