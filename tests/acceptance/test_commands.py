"""The commands as a person or a script uses them."""

import asyncio
import json
import os
import secrets
import sys
from pathlib import Path

from firmcast.simulator.device import DeviceSpec
from firmcast.simulator.fleet import Fleet
from firmcast.simulator.profiles import PROFILES
from firmcast.simulator.timing import QUICK

COMMAND = str(Path(sys.executable).with_name("firmcast"))


async def run(*words, folder=None, status=0, **environment):
    process = await asyncio.create_subprocess_exec(
        COMMAND,
        *map(str, words),
        cwd=folder,
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, errors = await process.communicate()
    assert process.returncode == status, (words, process.returncode, said, errors)
    assert b"Traceback" not in errors
    return said.decode(), errors.decode()


async def asked(*words, **given):
    """Run a command with --json, and return the one document that it prints."""
    said, _ = await run(*words, "--json", **given)
    assert said.count("\n") == 1
    return json.loads(said)


async def test_demo_shows_every_push_as_json():
    said, _ = await run("demo", "--devices", "4", "--with-failure", "--json")
    lines = [json.loads(line) for line in said.splitlines()]
    assert lines[-1] == {
        "summary": {"devices": 4, "succeeded": 3, "failed": 1, "pushes": len(lines) - 1, "lost": 0, "out_of_order": 0}
    }
    assert all(set(line) == {"push", "headers"} for line in lines[:-1])
    assert all(name == name.lower() for line in lines[:-1] for name in line["headers"])
    results = [line["push"]["status"] for line in lines[:-1] if line["push"]["notifyType"] == "fwUpgradeResultNotify"]
    assert sorted(results) == ["FAIL", "SUCCESS", "SUCCESS", "SUCCESS"]


async def test_demo_takes_a_file_and_shows_a_table(tmp_path):
    image = tmp_path / "image.bin"
    image.write_bytes(os.urandom(10_000))
    said, _ = await run("demo", "--devices", "2", "--firmware", image)
    assert "10,000 bytes" in said
    assert "10 pushes received, 0 lost, 0 out of order; 2 of 2 upgraded" in said


async def test_demo_says_which_device_did_not_end_in_time(tmp_path):
    image = tmp_path / "large.bin"
    with image.open("wb") as file:
        file.truncate(32 << 20)
    _, errors = await run("demo", "--devices", "2", "--timeout", "1", "--firmware", image, status=1)
    assert "demo-1: expected SUCCESS, got no result in time" in errors


async def test_an_upgrade_by_commands_alone(served, tmp_path):
    shell = {"FIRMCAST_DATA": str(served.data)}
    made = json.loads((await run("app", "create", "by hand", "--json", **shell))[0])
    shell |= {"FIRMCAST_APP_ID": made["application_id"], "FIRMCAST_APP_SECRET": made["secret"]}
    assert "by hand" in (await run("app", "list", **shell))[0]
    device_id = (await run("device", "add", "virtual-1", **shell))[0].strip()
    image = tmp_path / "image.bin"
    image.write_bytes(os.urandom(50_000))
    uploaded = json.loads((await run("firmware", "upload", image, "--version", "2.0.0", "--json", **shell))[0])
    assert uploaded["package_id"] in (await run("firmware", "list", "--json", **shell))[0]
    simulation = asyncio.create_task(run("simulate", "--devices", "1", "--quick", "--until-updated", "--json", **shell))
    task_id = (await run("upgrade", "create", "--package", uploaded["package_id"], "--device", device_id, **shell))[0]
    said, _ = await run("upgrade", "watch", task_id.strip(), "--json", **shell)
    assert json.loads(said.splitlines()[-1])["status"] == "success"
    said, told = await simulation
    assert f"1 virtual device register at 127.0.0.1:{served.coap_port}" in told
    assert "ended: 1 of 1 registered, 1 updated, 0 failed" in told
    statistics = json.loads(said)
    assert (statistics["updates_succeeded"], statistics["statuses"][0]["version"]) == (1, "2.0.0")
    assert [task["staResult"]["success"] for task in await asked("upgrade", "list", **shell)] == [1]
    shown = await asked("upgrade", "show", task_id.strip(), **shell)
    assert [share["status"] for share in shown["subOperations"]] == ["success"]
    assert [device["deviceInfo"]["fwVersion"] for device in await asked("device", "list", **shell)] == ["2.0.0"]
    assert json.loads((await run("push", "log", "--json", **shell))[0]) == []
    await assert_explained(device_id, shell)


async def assert_explained(device_id, shell):
    """The way of an upgraded device can be followed afterwards, by its name too."""
    history = await asked("device", "timeline", device_id, "--limit", "1000", "--oldest-first", **shell)
    known = await asked("device", "check", "virtual-1", "--known", **shell)
    assert {line["about"] for line in known["report"]} >= {"identity", "back from Downloading"}
    _, errors = await run("device", "check", "virtual-1", status=1, **shell)
    assert "is not registered" in errors
    kinds = {entry["kind"] for entry in history["entries"]}
    assert {"upgrade", "exchange", "transfer", "decision", "event"} <= kinds
    verdicts = [entry["details"]["outcome"] for entry in history["entries"] if entry["details"].get("outcome")]
    assert verdicts == ["succeeded"]
    said, _ = await run("device", "timeline", "virtual-1", "--limit", "3", **shell)
    assert "it is in no upgrade" in said
    assert "there are more" in said
    _, errors = await run("device", "timeline", "nobody", status=1, **shell)
    assert "nobody" in errors


async def test_a_registered_device_is_checked(served):
    shell = {"FIRMCAST_DATA": str(served.data)}
    made = json.loads((await run("app", "create", "by hand", "--json", **shell))[0])
    shell |= {"FIRMCAST_APP_ID": made["application_id"], "FIRMCAST_APP_SECRET": made["secret"]}
    await run("device", "add", "one", **shell)
    device = DeviceSpec(endpoint_name="one", profile=PROFILES["zephyr"])
    async with Fleet(server=("127.0.0.1", served.coap_port), devices=[device], timing=QUICK) as fleet:
        await fleet.registered()
        found = await asked("device", "check", "one", **shell)
        checked, _ = await run("device", "check", "one", **shell)
        said, _ = await run("device", "forget", "one", **shell)
        assert said == ""
        assert (await asked("device", "check", "one", "--known", **shell))["model"] == ""
    assert found["model"] == "Firmcast|as Zephyr|1"
    lines = {line["about"]: line for line in found["report"]}
    assert (lines["read of /5/0"]["mark"], lines["reset in Idle"]["mark"]) == ("ok", "ok")
    assert "read in TLV" in checked


async def test_an_upgrade_of_a_device_with_a_key(served, tmp_path):
    shell = {"FIRMCAST_DATA": str(served.data)}
    made = json.loads((await run("app", "create", "by hand", "--json", **shell))[0])
    shell |= {"FIRMCAST_APP_ID": made["application_id"], "FIRMCAST_APP_SECRET": made["secret"]}
    keys = tmp_path / "keys"
    keys.write_text((await run("device", "add", "virtual-1", "--generate-psk", **shell))[0])
    device_id, name, key = keys.read_text().split()
    assert (name, len(bytes.fromhex(key))) == ("virtual-1", 16)
    image = tmp_path / "image.bin"
    image.write_bytes(os.urandom(50_000))
    package_id = json.loads((await run("firmware", "upload", image, "--version", "2.0.0", "--json", **shell))[0])
    words = ("--devices", "1", "--quick", "--until-updated", "--json", "--interval", "0.5")
    words += ("--profile", "anjay=1,zephyr=2", "--quirk", "boot_time=0.2", "--delay", "0.005", "--duplicate", "0.2")
    simulation = asyncio.create_task(run("simulate", *words, "--seed", "7", "--keys", keys, **shell))
    task = await run("upgrade", "create", "--package", package_id["package_id"], "--device", device_id, **shell)
    said, _ = await run("upgrade", "watch", task[0].strip(), "--json", **shell)
    assert json.loads(said.splitlines()[-1])["status"] == "success"
    said, told = await simulation
    coaps = json.loads((served.data / "running.json").read_text())["coaps"]
    assert f"1 virtual device register at {coaps.removeprefix('coaps://')}" in told
    assert "; seed 7" in told
    *lines, statistics = map(json.loads, said.splitlines())
    assert (statistics["updates_succeeded"], statistics["results"], statistics["seed"]) == (1, {"1": 1}, 7)
    assert statistics["datagrams"]["duplicated"] > 0
    assert statistics["statuses"][0]["profile"] == "zephyr"
    assert all("statuses" not in line and line["devices"] == 1 for line in lines)
    assert len(lines) > 5


async def test_virtual_devices_that_wait_in_vain_say_so():
    nowhere = ("--server", "127.0.0.1:9", "--devices", "3", "--loss", "1")
    said, told = await run("simulate", *nowhere, "--until-updated", "--timeout", "0.2", "--json", status=1)
    assert "error: 3 of 3 virtual devices had no update in 0.2 seconds" in told
    statistics = json.loads(said)
    assert (statistics["registered"], statistics["datagrams"]["lost"]) == (0, statistics["datagrams"]["sent"])


async def test_listen_prints_what_arrives(world):
    port = world.callback.server.address[1]
    await world.callback.server.stop()
    folder = world.callback.files.certificate.parent
    listening = asyncio.create_task(
        run(
            "listen", "--port", port, "--tls", folder, "--count", 5, "--json",
            FIRMCAST_SIGNING_SECRET=world.credentials["signing_secret"],
        )
    )  # fmt: skip
    shell = {
        "FIRMCAST_DATA": str(world.served.data),
        "FIRMCAST_APP_ID": world.credentials["application_id"],
        "FIRMCAST_APP_SECRET": world.credentials["secret"],
    }
    assert (
        "from now on"
        in (await run("push", "subscribe", f"https://127.0.0.1:{port}/v1.0.0/messageReceiver", **shell))[0]
    )
    await world.prepare(["one"], os.urandom(5_000), version="2.0.0")
    device = DeviceSpec(endpoint_name="one", profile=PROFILES["pull"])
    async with Fleet(server=("127.0.0.1", world.served.coap_port), devices=[device], timing=QUICK) as fleet:
        await fleet.registered()
        await world.create_task()
        said, _ = await listening
    bodies = [json.loads(line)["push"] for line in said.splitlines()]
    assert [body.get("step") for body in bodies] == ["1", "2", "3", "0", None]
    await world.callback.listen(0)


async def test_what_cannot_be_is_said_in_one_line(served, tmp_path):
    shell = {"FIRMCAST_DATA": str(served.data), "FIRMCAST_APP_ID": "nobody", "FIRMCAST_APP_SECRET": "wrong"}
    _, errors = await run("device", "list", status=1, **shell)
    assert "AppId or secret is not right" in errors
    _, errors = await run("app", "list", "--data", tmp_path / "empty", status=1)
    assert "no platform is known" in errors
    _, errors = await run("simulate", "--profile", "unheard-of", status=1)
    assert "no profile 'unheard-of'" in errors


async def test_a_port_that_is_taken_is_said_in_one_line(served, tmp_path):
    _, errors = await run(
        "serve", "--data", tmp_path / "other", "--port", "0", "--coap-port", served.coap_port, status=1
    )
    assert "cannot listen for devices on 127.0.0.1" in errors
    _, errors = await run("serve", "--data", tmp_path / "third", "--port", served.port, "--coap-port", "0", status=1)
    assert f"cannot listen on 127.0.0.1:{served.port}" in errors
    await run("serve", "--port", "99999", status=2)


def arrivals(pushes):
    """Every arrival, copies included, by device."""
    found = {}
    for push in pushes:
        found.setdefault(push.device_id, []).append(push.sequence)
    return found


def is_replay(push):
    return push.headers.get("firmcast-replay") == "true"


async def test_a_replay_survives_a_kill_and_a_second_one_is_cancelled(world):
    await world.prepare(["one", "two"], secrets.token_bytes(5_000), version="2.0.0")
    devices = [DeviceSpec(endpoint_name=name, profile=PROFILES["pull"]) for name in world.device_ids]
    async with Fleet(server=("127.0.0.1", world.served.coap_port), devices=devices, timing=QUICK) as fleet:
        await fleet.registered()
        await world.create_task()
        await world.callback.until(lambda: set(world.callback.results()) == set(world.device_ids.values()))
    told = arrivals(world.callback.accepted)
    bodies = {push.headers["webhook-id"]: push.raw for push in world.callback.accepted}
    assert sum(len(numbers) for numbers in told.values()) == 10
    world.callback.accepted.clear()

    shell = {"FIRMCAST_DATA": str(world.served.data)}
    ordered = await asked("push", "replay", "--app", world.credentials["application_id"], "--rate", 4, **shell)
    assert (ordered["state"], ordered["rate"], len(ordered["subscription_ids"])) == ("running", 4, 2)
    await world.callback.until(lambda: len(world.callback.accepted) >= 3)
    await world.served.kill()
    at_kill = len(world.callback.accepted)
    await world.served.start()
    while (now := await asked("push", "replays", ordered["replay_id"], **shell))["state"] == "running":
        pass
    assert (now["state"], now["queued"], now["incomplete"]) == ("finished", 10, False)
    assert all(is_replay(push) for push in world.callback.accepted)
    assert {push.headers["webhook-id"]: push.raw for push in world.callback.accepted} == bodies
    assert world.callback.first_arrivals() == told
    assert len(world.callback.accepted) - 10 <= at_kill, "only what was on its way or unwritten comes twice"

    again = await asked("push", "replay", "--app", world.credentials["application_id"], "--rate", 1, **shell)
    said, _ = await run("push", "cancel-replay", again["replay_id"], **shell)
    assert "cancelled" in said
    sent = len(world.callback.accepted)
    (latest, first) = await asked("push", "replays", **shell)
    assert ((latest["state"], latest["outstanding"]), first["state"]) == (("cancelled", 0), "finished")
    # The next one runs, so the one before it is over: nothing more of it came.
    last = await asked(
        "push", "replay", "--app", world.credentials["application_id"], "--device", next(iter(told)), **shell
    )
    while (await asked("push", "replays", last["replay_id"], **shell))["state"] != "finished":
        pass
    assert len(world.callback.accepted) - sent == 5
    _, errors = await run("push", "cancel-replay", last["replay_id"], status=1, **shell)
    assert "finished" in errors
    assert "waiting" not in (await run("push", "replays", **shell))[0]
