"""`firmcast simulate` runs virtual devices against any LwM2M server, over UDP in clear or over DTLS with keys."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from firmcast.cli.connection import DEFAULT_FOLDER, DataFolder, Json, running_platform
from firmcast.cli.failures import CommandError, errors, fail, told_plainly
from firmcast.cli.keys import read_key, read_keys
from firmcast.cli.output import print_json
from firmcast.simulator.profiles import profile_named
from firmcast.simulator.timing import PATIENT, QUICK

ProfileName = Annotated[
    str, typer.Option(help="How they behave: plain, pull, push, anjay, zephyr, or another of the profiles.")
]
KeyOfAll = Annotated[str, typer.Option(help="Pre-shared key of all of them, in hexadecimal digits: they speak DTLS.")]
KeyOfEach = Annotated[
    Path | None,
    typer.Option(help="The same, one each: a file whose lines end in name and key.", dir_okay=False),
]
PackageAuthority = Annotated[
    Path | None,
    typer.Option(help="PEM file of whom they trust when they fetch packages by HTTPS.", exists=True, dir_okay=False),
]

_USUAL_SERVER = "127.0.0.1:5683"
_USUAL_SECURE_SERVER = "127.0.0.1:5684"


def simulate(
    server: Annotated[
        str, typer.Option(help="host:port of the LwM2M server; that of the platform in the data folder without it.")
    ] = "",
    devices: Annotated[int, typer.Option(min=1, max=100_000, help="How many.")] = 5,
    name: Annotated[str, typer.Option(help="Endpoint names are this and a number.")] = "virtual-",
    profile: ProfileName = "plain",
    version: Annotated[str, typer.Option(help="Firmware version at the start.")] = "1.0.0",
    installs_version: Annotated[str, typer.Option(help="Firmware version after an upgrade.")] = "2.0.0",
    until_updated: Annotated[
        bool, typer.Option("--until-updated", help="End when every device has had an update.")
    ] = False,
    linger: Annotated[
        float, typer.Option(min=0, help="Seconds to stay after that, so that the server can read how it went.")
    ] = 5.0,
    quick: Annotated[bool, typer.Option("--quick", help="Short time-outs, for a server on this machine.")] = False,
    psk: KeyOfAll = "",
    keys: KeyOfEach = None,
    package_authority: PackageAuthority = None,
    seed: Annotated[int | None, typer.Option(help="Makes its jitter repeatable.")] = None,
    data: DataFolder = DEFAULT_FOLDER,
    as_json: Json = False,
) -> None:
    """Run virtual devices until interrupted; with --json print their statistics at the end.

    The server must know the endpoint names: `firmcast device add virtual-1 virtual-2 …`.
    """
    # Devices and their loop: no other command should wait for them to load.
    import uvloop

    from firmcast.cli.simulating import run_fleet, summary_of
    from firmcast.simulator.device import DeviceSpec
    from firmcast.simulator.fleet import Fleet

    names = [f"{name}{number}" for number in range(1, devices + 1)]
    with told_plainly():
        key_of = _keys(names, psk, keys)
        server = server or _server_of(data, secure=bool(key_of))
    host, _, port = server.rpartition(":")
    if not host or not port.isdecimal():
        raise fail(f"{server!r} is not host:port")
    try:
        chosen = replace(profile_named(profile), version=version, installs_version=installs_version)
    except ValueError as error:
        raise fail(str(error)) from None
    fleet = Fleet(
        server=(host.strip("[]"), int(port)),
        devices=[
            DeviceSpec(endpoint_name=name, profile=chosen, key=key_of.get(name), authority=package_authority)
            for name in names
        ],
        timing=QUICK if quick else PATIENT,
        seed=seed,
    )
    with told_plainly():
        errors.print(f"{_count(devices)} register at {server}", markup=False)
        statistics = uvloop.run(run_fleet(fleet, until_updated=until_updated, linger=linger, shown=not as_json))
        errors.print(f"ended: {summary_of(statistics)}", markup=False)
    if as_json:
        print_json(statistics.as_dict())


def _keys(names: list[str], psk: str, file: Path | None) -> dict[str, bytes]:
    """Return the key of each device; of none where no key is given."""
    if psk and file is not None:
        raise CommandError("--psk is one key for all, --keys one for each: not both")
    if file is None:
        return dict.fromkeys(names, read_key(psk)) if psk else {}
    found = read_keys(file)
    missing = [name for name in names if name not in found]
    if missing:
        raise CommandError(f"{file} has no key of {missing[0]}")
    return found


def _server_of(data: Path, *, secure: bool) -> str:
    """Return where the platform of a data folder, or one with usual settings, is reached by devices."""
    scheme, usual = ("coaps", _USUAL_SECURE_SERVER) if secure else ("coap", _USUAL_SERVER)
    address = str((running_platform(data) or {}).get(scheme, "")).partition("://")[2] or usual
    host, _, port = address.rpartition(":")
    # It listens on every address of this machine, and nobody answers from that one.
    return f"127.0.0.1:{port}" if host in ("0.0.0.0", "::") else address  # noqa: S104 -- compared with, not bound


def _count(devices: int) -> str:
    return "1 virtual device" if devices == 1 else f"{devices:,} virtual devices"
