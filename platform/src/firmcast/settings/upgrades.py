"""What an operator can set of upgrades: each phase's time, and the ways for packages."""

from datetime import timedelta

from pydantic import Field

from firmcast.settings.values import Duration, Protocols, Section


class UpgradeSettings(Section):
    """How long each phase of a device's upgrade may take before the device is probed, and then judged."""

    waiting_limit: Duration = Field(default=timedelta(hours=24), description="for the device to come online")
    inspecting_limit: Duration = Field(
        default=timedelta(minutes=3), description="for the device to tell its state and versions"
    )
    transferring_limit: Duration = Field(
        default=timedelta(minutes=60), description="for the package to reach the device"
    )
    fetching_limit: Duration = Field(
        default=timedelta(minutes=5),
        description="for a device that has taken the address of its package to ask for the first byte, before it is"
        " sent the package in another way that it has",
    )
    ways_remembered: Duration = Field(
        default=timedelta(days=30),
        ge=timedelta(0),
        le=timedelta(days=36_500),
        description="how long a way for packages that a device did not take is tried last, and a read that it left"
        " unanswered not made; 0 to try each as if it were new",
    )
    executing_limit: Duration = Field(
        default=timedelta(minutes=30), description="for the device to install it and come back"
    )
    verifying_limit: Duration = Field(
        default=timedelta(minutes=10), description="for evidence that it runs what it was given"
    )
    probe_limit: Duration = Field(
        default=timedelta(minutes=2), description="for the answer to the probe before a verdict"
    )
    deferral_pause: Duration = Field(
        default=timedelta(minutes=15),
        description="until a device that puts the installation off is told again to install",
    )
    deferral_limit: Duration = Field(
        default=timedelta(hours=24),
        description="how long a device may put the installation off, from the first time on",
    )
    awake_window: Duration = Field(
        default=timedelta(seconds=93),
        description="how long a device in queue mode listens after it was heard, unless that is set for it or its"
        " model: MAX_TRANSMIT_WAIT of RFC 7252 4.8, while many clients listen for some 20 s",
    )
    sleeping_limit: Duration = Field(
        default=timedelta(days=7),
        description="how long in all a device in queue mode may sleep within a phase before its time runs on",
    )
    prefer_write: bool = Field(default=False, description="push block-wise to devices that support both methods")
    protocols: Protocols = Field(
        default=("https", "http", "coaps", "coap"),
        description="by which devices fetch packages, the most wanted first; none that is not listed",
    )
    http_from: int = Field(
        default=0,
        ge=0,
        description="bytes: a smaller package is fetched by CoAP where its device takes that, whatever the order",
    )
    http_in_clear: bool = Field(
        default=False,
        description="offer packages by HTTP, which everybody on the way can read and change, to devices with a secure"
        " session that list no secure way; they must check signatures themselves",
    )
    new_version_required: bool = Field(
        default=False,
        description="count an upgrade as failed whose device tells success and the version that it had before: right"
        " for devices that can fall back to it, wrong for clients whose version never changes",
    )
