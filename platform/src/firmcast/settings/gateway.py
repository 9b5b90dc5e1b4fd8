"""What an operator can set of the devices' side: its ports, its sessions, and how packages leave."""

from datetime import timedelta
from pathlib import Path
from typing import Literal

from pydantic import Field

from firmcast.settings.values import PositiveDuration, Section


class GatewaySettings(Section):
    """The devices' side."""

    host: str = Field(default="127.0.0.1", description="address to listen on for devices, UDP")
    port: int = Field(
        default=5683, ge=0, le=65535, description="for devices that speak in clear, see nosec; 0 for any free one"
    )
    nosec: Literal["local", "always", "never"] = Field(
        default="local",
        description="whether devices without a key are served: never, always, or if host is an address of this machine"
        " that others do not reach",
    )
    secure: bool = Field(default=True, description="serve devices with a key, over DTLS 1.2")
    secure_port: int | None = Field(
        default=None, ge=0, le=65535, description="for DTLS, 0 for any free one; without it the one after port"
    )
    handshake_limit: PositiveDuration = Field(
        default=timedelta(seconds=30), description="for a DTLS handshake, after which one with a wrong key is given up"
    )
    half_open_limit: int = Field(
        default=1024,
        ge=8,
        description="DTLS handshakes under way at one time; beyond that the oldest of the host that has most of them is"
        " given up",
    )
    session_limit: int = Field(
        default=10_000,
        ge=1,
        description="DTLS sessions at one time, some 4 KiB each; the longest silent one gives way",
    )
    session_idle_limit: PositiveDuration = Field(
        default=timedelta(hours=24), description="a DTLS session of which nothing is heard for so long ends"
    )
    share_ports: bool = Field(
        default=False,
        description="let other gateway processes of this platform listen on the same ports of this machine; needs"
        " PostgreSQL, and has to be so for all of them",
    )
    site: str = Field(
        default="",
        pattern="^[^/]*$",
        max_length=128,
        description="a name of the address at which devices reach this gateway, the same for gateways behind one"
        " balancer, which take up each other's devices; empty for this machine's name and ports",
    )
    public_host: str = Field(
        default="", description="host in package URIs; empty for the address a device reached us at"
    )
    package_port: int | None = Field(
        default=None,
        ge=0,
        le=65535,
        description="let devices fetch packages by HTTP, in clear, on this TCP port of host; 0 for any free one",
    )
    package_secure_port: int | None = Field(
        default=None, ge=0, le=65535, description="the same by HTTPS, see package_certificate_file"
    )
    package_certificate_file: Path | None = Field(
        default=None,
        description="PEM chain for package_secure_port; without it that of rest, or else one is made at the start",
    )
    package_key_file: Path | None = Field(default=None, description="PEM key of package_certificate_file")
    package_url: str = Field(
        default="",
        pattern=r"^(https?://[!-~]+)?$",
        max_length=200,
        description="what package URIs of HTTP or HTTPS begin with where a proxy stands before the port, such as"
        " https://packages.example.org; empty for this node's own address",
    )
    package_connections: int = Field(
        default=1000, ge=1, description="connections at one time at which packages are fetched by HTTP and HTTPS"
    )
    package_patience: PositiveDuration = Field(
        default=timedelta(minutes=2), description="a connection whose device takes nothing for so long ends"
    )
    package_handshakes: int = Field(
        default=256,
        ge=4,
        description="TLS handshakes under way at package_secure_port at one time; beyond that the oldest of the host"
        " that has most of them is given up",
    )
    package_handshake_patience: PositiveDuration = Field(
        default=timedelta(seconds=30), description="a TLS handshake that has not ended for so long is given up"
    )
    byte_rate: int = Field(
        default=0,
        ge=0,
        description="bytes of packages that leave a node in a second, to all devices and whichever way; 0 for no limit",
    )
    device_byte_rate: int = Field(default=0, ge=0, description="the same to one device")
    progress_interval: PositiveDuration = Field(
        default=timedelta(seconds=5), description="between notes in the store of how far packages are"
    )
    transfer_limit: int = Field(default=1000, ge=1, description="packages that are written to devices at one time")
    fetch_limit: int = Field(
        default=0,
        ge=0,
        description="devices that fetch packages at one time, by whichever protocol; the others are given their"
        " addresses when it is their turn. 0 for no limit",
    )
    order_limit: int = Field(
        default=1000,
        ge=1,
        description="orders to devices that are carried out at one time; one that takes longer than ten acknowledgement"
        " timeouts makes room for the next",
    )
    block_exponent: int = Field(default=6, ge=0, le=6, description="SZX we offer: block size is 2**(SZX+4) bytes")
    acknowledgement_timeout: float = Field(default=2.0, gt=0, description="seconds; ACK_TIMEOUT of RFC 7252 4.8")
    slow_block_timeout: float = Field(
        default=15.0,
        ge=0,
        le=90,
        description="seconds; in its place for the first and the last block of a package that is written: a device may"
        " erase its flash before it answers the one, and check the package before it answers the other",
    )

    @property
    def secure_port_number(self) -> int:
        """The port for DTLS, 0 for any free one."""
        if self.secure_port is not None:
            return self.secure_port
        return self.port + 1 if 0 < self.port < 65535 else 0
