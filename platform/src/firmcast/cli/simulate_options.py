"""The options of `firmcast simulate`: who the virtual devices are, how they behave, and what lies between."""

from pathlib import Path
from typing import Annotated

import typer

from firmcast.cli.output import print_rows
from firmcast.simulator.profiles import NAMED_PROFILES


def _show_profiles(asked: bool) -> None:
    if asked:
        rows = [{"profile": name, "what it does": named.description} for name, named in NAMED_PROFILES.items()]
        print_rows(rows, ("profile", "what it does"))
        raise typer.Exit


Server = Annotated[
    str, typer.Option(help="host:port of the LwM2M server; that of the platform in the data folder without it.")
]
Count = Annotated[int, typer.Option("--devices", "--count", min=1, max=100_000, help="How many.")]
Name = Annotated[str, typer.Option(help="Endpoint names are this and a number.")]
Profile = Annotated[
    str, typer.Option(help="How they behave: a profile, or shares of several such as anjay=30,zephyr=70.")
]
ListProfiles = Annotated[
    bool, typer.Option("--list-profiles", help="Show the profiles and end.", callback=_show_profiles, is_eager=True)
]
Quirk = Annotated[
    list[str] | None, typer.Option(help="NAME=VALUE: one quirk of all of them, such as boot_time=20; repeatable.")
]
Version = Annotated[str, typer.Option(help="Firmware version at the start.")]
InstallsVersion = Annotated[str, typer.Option(help="Firmware version after an upgrade.")]

Loss = Annotated[float, typer.Option(min=0, max=1, help="Share of datagrams that are lost, each way; 0.2 is a fifth.")]
Delay = Annotated[float, typer.Option(min=0, help="Seconds that each datagram travels at least.")]
Jitter = Annotated[float, typer.Option(min=0, help="Seconds that it may take longer, so that others overtake it.")]
Duplicate = Annotated[float, typer.Option(min=0, max=1, help="Share of datagrams that come twice.")]
Bandwidth = Annotated[float | None, typer.Option(min=1, help="Bytes a second, each way and device.")]
Mtu = Annotated[int | None, typer.Option(min=1, help="Bytes of the largest datagram that passes.")]
RebindAfter = Annotated[float | None, typer.Option(min=0.001, help="Seconds after which a NAT forgets their port.")]
RebindAfterDatagrams = Annotated[int | None, typer.Option(min=1, help="The same after so many that went out.")]

UntilUpdated = Annotated[bool, typer.Option("--until-updated", help="End when every device has had an update.")]
Linger = Annotated[
    float, typer.Option(min=0, help="Seconds to stay after that, so that the server can read how it went.")
]
Timeout = Annotated[
    float | None,
    typer.Option(min=0.001, help="End after so many seconds at the latest; status 1 if updates were waited for."),
]
Quick = Annotated[bool, typer.Option("--quick", help="Short time-outs, for a server on this machine.")]
KeyOfAll = Annotated[
    str | None, typer.Option(help="Pre-shared key of all of them, in hexadecimal digits: they speak DTLS.")
]
KeyOfEach = Annotated[
    Path | None,
    typer.Option(help="The same, one each: a file whose lines end in name and key.", dir_okay=False),
]
PackageAuthority = Annotated[
    Path | None,
    typer.Option(help="PEM file of whom they trust when they fetch packages by HTTPS.", exists=True, dir_okay=False),
]
Seed = Annotated[
    int | None, typer.Option(help="What chance is drawn from: the same one loses and cuts alike; told at the end.")
]
Interval = Annotated[
    float | None, typer.Option(min=0.1, help="Tell how they get on so often, in seconds; with --json an object a line.")
]
