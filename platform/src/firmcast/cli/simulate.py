"""`firmcast simulate` runs virtual devices against any LwM2M server, over UDP in clear or over DTLS with keys."""

import secrets
from pathlib import Path
from typing import Any

from firmcast.cli import simulate_options as option
from firmcast.cli.connection import DEFAULT_FOLDER, DataFolder, Json, running_platform
from firmcast.cli.failures import CommandError, told_plainly
from firmcast.cli.keys import read_key, read_keys
from firmcast.simulator.mix import parse_mix, shared_out
from firmcast.simulator.network import NetworkConditions
from firmcast.simulator.overrides import with_quirk
from firmcast.simulator.profile import DeviceProfile
from firmcast.simulator.profiles import profile_named
from firmcast.simulator.timing import PATIENT, QUICK

_USUAL_SERVER = "127.0.0.1:5683"
_USUAL_SECURE_SERVER = "127.0.0.1:5684"
_SEED_BITS = 32


def simulate(
    server: option.Server = "",
    devices: option.Count = 5,
    name: option.Name = "virtual-",
    profile: option.Profile = "plain",
    _list_profiles: option.ListProfiles = False,
    quirk: option.Quirk = None,
    version: option.Version = "1.0.0",
    installs_version: option.InstallsVersion = "2.0.0",
    loss: option.Loss = 0.0,
    delay: option.Delay = 0.0,
    jitter: option.Jitter = 0.0,
    duplicate: option.Duplicate = 0.0,
    bandwidth: option.Bandwidth = None,
    mtu: option.Mtu = None,
    rebind_after: option.RebindAfter = None,
    rebind_after_datagrams: option.RebindAfterDatagrams = None,
    until_updated: option.UntilUpdated = False,
    linger: option.Linger = 5.0,
    timeout: option.Timeout = None,
    quick: option.Quick = False,
    psk: option.KeyOfAll = None,
    keys: option.KeyOfEach = None,
    package_authority: option.PackageAuthority = None,
    seed: option.Seed = None,
    interval: option.Interval = None,
    data: DataFolder = DEFAULT_FOLDER,
    as_json: Json = False,
) -> None:
    """Run virtual devices until interrupted; with --json print their statistics at the end.

    The server must know the endpoint names: `firmcast device add virtual-1 virtual-2 …`.
    """
    # Devices and their loop: no other command should wait for them to load.
    from firmcast.cli.simulating import Simulation

    with told_plainly():
        names = [f"{name}{number}" for number in range(1, devices + 1)]
        key_of = _keys(names, psk, keys)
        Simulation(
            server=_address(server or _server_of(data, secure=bool(key_of))),
            kinds=_kinds(
                profile, names, [f"version={version}", f"installs_version={installs_version}", *(quirk or ())]
            ),
            keys=key_of,
            authority=package_authority,
            network=_network(
                loss=loss,
                delay=delay,
                jitter=jitter,
                duplicate=duplicate,
                bandwidth=bandwidth,
                mtu=mtu,
                rebind_after=rebind_after,
                rebind_after_datagrams=rebind_after_datagrams,
            ),
            timing=QUICK if quick else PATIENT,
            seed=secrets.randbits(_SEED_BITS) if seed is None else seed,
        ).run(linger=linger if until_updated else None, timeout=timeout, interval=interval, as_json=as_json)


def _network(**conditions: Any) -> NetworkConditions:
    try:
        return NetworkConditions(**conditions)
    except ValueError as error:
        raise CommandError(str(error)) from None


def _kinds(profile: str, names: list[str], quirks: list[str]) -> dict[str, tuple[str, DeviceProfile]]:
    """Return the profile of each device, and how it is called."""
    try:
        shares = parse_mix(profile)
        profiles = {name: profile_named(name) for name in shares}
        for quirk in quirks:
            profiles = {name: with_quirk(chosen, quirk) for name, chosen in profiles.items()}
    except ValueError as error:
        raise CommandError(str(error)) from None
    chosen = shared_out(shares, len(names))
    return {name: (kind, profiles[kind]) for name, kind in zip(names, chosen, strict=True)}


def _address(server: str) -> tuple[str, int]:
    host, _, port = server.rpartition(":")
    if not host or not port.isdecimal():
        raise CommandError(f"{server!r} is not host:port")
    return host.strip("[]"), int(port)


def _keys(names: list[str], psk: str | None, file: Path | None) -> dict[str, bytes]:
    """Return the key of each device; of none where no key is given."""
    if psk is not None and file is not None:
        raise CommandError("--psk is one key for all, --keys one for each: not both")
    if file is None:
        return {} if psk is None else dict.fromkeys(names, read_key(psk))
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
