"""The commands for what an operator does, and for what an application does."""

import base64
import json
import os

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from msgspec.structs import replace
from typer.main import get_command

from firmcast.cli.main import app
from firmcast.upgrades import use_cases as upgrades
from firmcast.upgrades.model import Progress, Tally, UpgradePhase
from firmcast.upgrades.store import device_upgrades, tasks


async def test_packages_are_uploaded_signed_shown_and_deleted(shell, tmp_path):
    key = ec.generate_private_key(ec.SECP256K1())
    public = tmp_path / "verification-key.pem"
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    shown = await shell.asked("app", "verification-key", shell.variables["FIRMCAST_APP_ID"], public)
    assert shown["verification_key"].startswith("-----BEGIN PUBLIC KEY-----")
    image = tmp_path / "image.bin"
    image.write_bytes(os.urandom(10_000))
    upload = ("firmware", "upload", image, "--version", "2.0.0", "--model", "WM1")
    _, told = await shell.run(*upload, status=1)
    assert "signed packages only" in told
    raw = key.sign(image.read_bytes(), ec.ECDSA(SHA256()))
    packages = []
    for written in (raw, base64.encodebytes(raw)):
        signature = tmp_path / "image.sig"
        signature.write_bytes(written)
        packages.append(await shell.asked(*upload, "--signature", signature))
    assert [package["signed_by"] != "" for package in packages] == [True, True]
    assert await shell.asked("firmware", "show", packages[0]["package_id"]) == packages[0]
    listed = await shell.asked("firmware", "list")
    assert {package["package_id"] for package in listed} == {package["package_id"] for package in packages}
    await shell.run("firmware", "delete", packages[0]["package_id"])
    _, told = await shell.run("firmware", "delete", packages[0]["package_id"], status=1)
    assert "no package" in told
    assert "WM1" in (await shell.run("firmware", "list"))[0]


async def test_applications_from_their_beginning_to_their_end(shell, platform, tmp_path):
    app_id = shell.variables["FIRMCAST_APP_ID"]
    assert (await shell.asked("app", "rename", app_id, "other"))["name"] == "other"
    assert (await shell.asked("app", "freeze", app_id))["frozen"] is True
    _, told = await shell.run("device", "list", status=1)
    assert "has been frozen" in told
    assert (await shell.asked("app", "unfreeze", app_id))["frozen"] is False
    secret = (await shell.asked("app", "rotate-secret", app_id, "--overlap", "0"))["secret"]
    await shell.run("device", "list", status=1)
    shell.variables["FIRMCAST_APP_SECRET"] = secret
    assert await shell.asked("device", "list") == []
    headers = tmp_path / "headers"
    headers.write_text("Authorization: Bearer of: the gateway\n\nx-tenant:meters\n")
    said = await shell.asked("app", "callback-headers", app_id, str(headers))
    assert said["callback_headers"] == ["authorization", "x-tenant"]
    assert (await shell.asked("app", "callback-headers", app_id, "--remove"))["callback_headers"] == []
    pair = await shell.asked("app", "signing-key", app_id)
    assert (await shell.asked("app", "show", app_id))["signing_public_key"] == pair["signing_public_key"]
    assert (await shell.asked("app", "signing-key", app_id, "--remove"))["signing_public_key"] == ""
    signing = await shell.asked("app", "rotate-signing-secret", app_id)
    assert signing["signing_secret"].startswith("whsec_")
    authority = platform.settings.data / "tls" / "authority.pem"
    assert (await shell.asked("app", "callback-ca", app_id, authority))["callback_ca"] == authority.read_text()
    assert (await shell.asked("app", "callback-ca", app_id, "--remove"))["callback_ca"] == ""
    files = platform.settings.data / "tls"
    certificate = await shell.asked("app", "client-certificate", app_id, files / "certificate.pem", files / "key.pem")
    assert certificate["client_certificate"]["fingerprint"]
    assert (await shell.asked("app", "client-certificate", app_id, "--remove"))["client_certificate"] is None
    _, told = await shell.run("app", "callback-ca", app_id, status=1)
    assert "a file is needed" in told
    assert "other" in (await shell.run("app", "show", app_id))[0]
    await shell.run("app", "delete", app_id)
    assert await shell.asked("app", "list") == []
    actions = [entry["action"] for entry in await shell.asked("audit", "--subject", app_id)]
    assert (actions[0], actions[-1]) == ("application.delete", "application.create")
    assert "application.freeze" in (await shell.run("audit", "--action", "application."))[0]


async def test_administrators_may_do_what_their_token_allows(shell):
    made = await shell.asked("admin", "create", "auditor", "--scope", "audit:read", "--scope", "applications:read")
    assert made["token_id"] in (await shell.run("admin", "list"))[0]
    auditor = type(shell)(**shell.variables, FIRMCAST_ADMIN_TOKEN=made["token"])
    assert (await auditor.asked("admin", "whoami"))["name"] == "auditor"
    assert [entry["actor"] for entry in await auditor.asked("audit")] == ["operator", "operator"]
    _, told = await auditor.run("app", "create", "mine", status=1)
    assert "(HTTP 403)" in told
    await shell.run("admin", "revoke", made["token_id"])
    _, told = await auditor.run("audit", status=1)
    assert "(HTTP 401)" in told


async def test_a_device_that_is_refused_does_not_keep_the_others_out(shell):
    said, told = await shell.run("device", "add", "first", "first", "third", status=1)
    assert len(said.splitlines()) == 2
    assert "first: " in told
    assert "100416" in told or "100426" in told
    said, _ = await shell.run("device", "add", "third", "fourth", "--json", status=1)
    refused, made = json.loads(said)
    assert (refused["endpoint_name"], made["endpoint_name"]) == ("third", "fourth")
    assert refused["error"]
    device = made["device_id"]
    await shell.run("device", "modify", device, "--name", "pump", "--model", "WM1")
    information = (await shell.asked("device", "show", device))["deviceInfo"]
    assert (information["name"], information["model"]) == ("pump", "WM1")
    assert "pump" in (await shell.run("device", "show", device))[0]
    await shell.run("device", "delete", device)
    _, told = await shell.run("device", "delete", device, status=1)
    assert "100403" in told or "100418" in told
    _, told = await shell.run("device", "modify", device, status=1)
    assert "nothing to change" in told


async def test_a_device_is_added_with_a_key(shell):
    said, _ = await shell.run("device", "add", "one", "two", "--generate-psk")
    keys = [line.split() for line in said.splitlines()]
    assert [name for _, name, _ in keys] == ["one", "two"]
    assert len({key for _, _, key in keys}) == 2
    (device,) = await shell.asked("device", "add", "three", "--psk", "000102030405060708090A0B0C0D0E0F")
    assert "psk" not in device
    assert (await shell.asked("device", "show", device["device_id"]))["deviceInfo"]["isSecurity"] == "true"
    for wrong in ("", " ", "0011", "00112233445566778899aabbccddeeff00", "0011223", "001122334", "0011 2233", "secret"):
        _, told = await shell.run("device", "add", "four", "--psk", wrong, status=1)
        assert "8 to 32 hexadecimal digits" in told
    _, told = await shell.run("device", "add", "four", "--psk", "00112233", "--generate-psk", status=1)
    assert "not both" in told


async def test_how_long_sleepy_devices_listen_is_shown_and_set(shell):
    await shell.run("device", "add", "one")
    assert await shell.asked("device", "awake-window") == {"usual_seconds": 93.0, "models": [], "device": None}
    said, _ = await shell.run("device", "awake-window", "one", "--seconds", "5")
    assert said == "one listens for 5 s (device)\n"
    of_model = ("--manufacturer", "Acme", "--model", "M|1")
    said, _ = await shell.run("device", "awake-window", *of_model, "--seconds", "20")
    assert said.splitlines()[0] == "devices in queue mode listen for 93 s"
    assert (await shell.asked("device", "awake-window"))["models"] == [
        {"manufacturer": "Acme", "model": "M/1", "seconds": 20}
    ]
    said, _ = await shell.run("device", "awake-window", "one", "--usual")
    assert said == "one listens for 93 s (usual)\n"
    assert (await shell.asked("device", "awake-window", *of_model, "--usual"))["models"] == []
    for words, told in (
        (("one", *of_model, "--seconds", "5"), "name a device, or"),
        (("--seconds", "5"), "name a device, or"),
        (("one", "--seconds", "0"), "seconds"),
        (("one", "--seconds", "5", "--usual"), "not both"),
        (("nobody", "--seconds", "5"), "nobody"),
    ):
        assert told in (await shell.run("device", "awake-window", *words, status=1))[1]


async def test_keys_for_virtual_devices_are_all_there(shell, tmp_path):
    keys = tmp_path / "keys"
    for content, expected in (
        ("virtual-1 00112233\n", "has no key of virtual-2"),
        ("virtual-1\n", "line 1 of"),
        ("\nvirtual-1 0x\n", "line 2 of"),
    ):
        keys.write_text(content)
        _, told = await shell.run("simulate", "--devices", "2", "--keys", keys, status=1)
        assert expected in told.replace("\n", " ")
    _, told = await shell.run("simulate", "--keys", keys, "--psk", "00112233", status=1)
    assert "not both" in told
    _, told = await shell.run("simulate", "--psk", "", status=1)
    assert "8 to 32 hexadecimal digits" in told


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--profile", "unheard-of"), "no profile 'unheard-of'; there are anjay, "),
        (("--profile", "anjay=30,zephyr=x"), "the share of zephyr is a whole number from 1, not 'x'"),
        (("--quirk", "boot_time=soon"), "'soon' is no value of boot_time"),
        (("--quirk", "block_szx=9"), "block_szx is 0 to 6"),
        (("--quirk", "boots=1"), "'boots=1' is not NAME=VALUE with one of delivery, "),
        (("--delay", "inf"), "delay and jitter are not negative, and not for ever"),
        (("--server", "nowhere"), "'nowhere' is not host:port"),
    ],
)
async def test_what_virtual_devices_cannot_be_is_said_in_one_line(shell, words, expected):
    said, told = await shell.run("simulate", *words, status=1)
    assert told.startswith(f"error: {expected}")
    assert said == ""


async def test_the_profiles_of_virtual_devices_are_shown(shell):
    said, _ = await shell.run("simulate", "--list-profiles")
    assert "zephyr-push" in said
    assert "Takes only what is written" in said


async def test_more_devices_than_files_are_refused(shell, monkeypatch):
    monkeypatch.setattr("resource.getrlimit", lambda _which: (100, 200))
    _, told = await shell.run("simulate", "--devices", "150", status=1)
    assert "150 devices need as many open files, and this process may have 200" in told


async def test_groups_are_told_by_name_or_id(shell):
    added = await shell.asked("device", "add", "one", "two", "three")
    one, two, three = (device["device_id"] for device in added)
    made = await shell.asked("group", "create", "north", "--device", one, "--description", "of the river")
    await shell.run("group", "add", "north", two, three)
    await shell.run("group", "remove", made["id"], one)
    shown = await shell.asked("group", "show", "north")
    assert (set(shown["deviceIds"]), shown["curDevNum"]) == ({two, three}, 2)
    assert "of the river" in (await shell.run("group", "list"))[0]
    await shell.run("group", "delete", "north")
    assert await shell.asked("group", "list") == []
    _, told = await shell.run("group", "show", "north", status=1)
    assert "100603" in told


async def test_a_task_is_created_once_shown_and_stopped(shell, tmp_path):
    (device,) = await shell.asked("device", "add", "one")
    image = tmp_path / "image.bin"
    image.write_bytes(os.urandom(1000))
    package = await shell.asked("firmware", "upload", image, "--version", "2.0.0")
    create = ("upgrade", "create", "--package", package["package_id"], "--device", device["device_id"])
    first = await shell.asked(*create, "--retries", "2", "--idempotency-key", "k")
    assert await shell.asked(*create, "--retries", "2", "--idempotency-key", "k") == first
    _, told = await shell.run("firmware", "delete", package["package_id"], status=1)
    assert "an open task needs the package" in told
    task = first["operationId"]
    assert "one" not in (await shell.run("upgrade", "show", task))[1]
    assert (await shell.asked("upgrade", "stop", task))["task_id"] == task
    said, _ = await shell.run("upgrade", "watch", task, "--json", status=3)
    assert json.loads(said.splitlines()[-1])["status"] == "stop"
    _, told = await shell.run(*create, "--when", "window", "--start", "2026-01-01T00:00:00Z", status=1)
    assert "--start and --end" in told
    window = ("--when", "window", "--start", "2020-01-01T00:00:00Z", "--end", "2020-01-02T00:00:00Z")
    _, told = await shell.run(*create, *window, status=1)
    assert "123033" in told
    _, told = await shell.run("upgrade", "watch", "unknown", status=1)
    assert "123009" in told
    assert "unknown" not in told.replace("'unknown'", "")


async def test_packages_on_their_way_are_shown(shell, platform, tmp_path):
    (device,) = await shell.asked("device", "add", "one")
    image = tmp_path / "image.bin"
    image.write_bytes(os.urandom(1000))
    package = await shell.asked("firmware", "upload", image, "--version", "2.0.0")
    create = ("upgrade", "create", "--package", package["package_id"], "--device", device["device_id"])
    task = (await shell.asked(*create))["operationId"]
    assert await shell.asked("upgrade", "transfers", task) == []
    await platform.database.write(put_on_its_way, task, platform.clock.now())
    (shown,) = await shell.asked("upgrade", "transfers", task)
    assert (shown["device_id"], shown["transfer"]["bytes_done"]) == (device["device_id"], 250)
    said, _ = await shell.run("upgrade", "transfers", task)
    assert device["device_id"] in said
    row = next(line for line in said.splitlines() if device["device_id"] in line)
    assert [cell.strip() for cell in row.split("│")][2:7] == ["transferring", "250", "1000", "25", "50"]
    _, told = await shell.run("upgrade", "transfers", "unknown", status=1)
    assert "no task" in told


async def put_on_its_way(tx, task, now):
    """Let the only device of a task have a quarter of its package."""
    (upgrade,), _ = await upgrades.device_upgrades(tx, None, task)
    moved = {(task, upgrade.tally): -1, (task, Tally.PROCESSING): 1}
    await tasks.move_tallies(tx, moved)
    on_its_way = {"phase": UpgradePhase.TRANSFERRING, "tally": Tally.PROCESSING, "started_at": now, "deadline_at": None}
    await device_upgrades.update(tx, [replace(upgrade, **on_its_way)])
    noted = Progress(device_upgrade_id=upgrade.device_upgrade_id, bytes_done=250, bytes_per_second=50, noted_at=now)
    await upgrades.note_progress(tx, [noted])


async def test_what_a_refusal_means_is_said_beside_the_vendors_words(shell):
    _, told = await shell.run("push", "subscribe", "https://nowhere/", status=1)
    assert "https://nowhere/" in told or "port" in told
    assert "HTTP" in told


async def test_subscriptions_are_made_moved_listed_and_ended(shell):
    first, second = "https://127.0.0.1:9443/a", "https://127.0.0.1:9443/b"
    made = await shell.asked("push", "subscribe", first)
    assert {each["notifyType"] for each in made} == {"fwUpgradeStateChangeNotify", "fwUpgradeResultNotify"}
    for callback in (first, second):
        await shell.run("push", "subscribe", callback, "--type", "deviceAdded", "--type", "fwUpgradeResultNotify")
    listed = await shell.asked("push", "subscriptions")
    assert {each["notifyType"]: each["callbackUrl"] for each in listed} == {
        "fwUpgradeStateChangeNotify": first,
        "fwUpgradeResultNotify": second,
        "deviceAdded": second,
    }
    await shell.run("push", "unsubscribe", listed[0]["subscriptionId"])
    assert len(await shell.asked("push", "subscriptions")) == 2
    _, told = await shell.run("push", "unsubscribe", status=1)
    assert "--all" in told
    await shell.run("push", "unsubscribe", "--all")
    assert await shell.asked("push", "subscriptions") == []
    _, told = await shell.run("push", "resend", "--subscription", "unknown", "--json", status=1)
    assert "error:" in told


async def test_a_callback_is_tried(shell, platform):
    """The platform's own port is a callback that answers, but does not accept."""
    said, _ = await shell.run("push", "test", f"{platform.running.url}/callback", "--json", status=1)
    assert (json.loads(said)["delivered"], json.loads(said)["failure"]) == (False, "tls")
    _, told = await shell.run("push", "test", status=1)
    assert "error:" in told


async def test_a_url_beside_a_folder_takes_the_authority_of_the_folder(shell, platform):
    beside = type(shell)(**shell.variables, FIRMCAST_URL=platform.running.url)
    assert await beside.asked("app", "list") == await shell.asked("app", "list")


def test_every_command_that_prints_something_prints_json_too():
    silent = {
        "serve", "app delete", "admin revoke", "firmware delete", "device modify", "device delete", "device forget",
        "group add", "group remove", "group delete", "push unsubscribe",
    }  # fmt: skip

    def without_json(group, path):
        for name, command in group.commands.items():
            if hasattr(command, "commands"):
                yield from without_json(command, f"{path}{name} ")
            elif not any("--json" in parameter.opts for parameter in command.params):
                yield f"{path}{name}"

    assert set(without_json(get_command(app), "")) == silent


async def test_subscriptions_are_shown_paused_resumed_and_given_a_policy(shell):
    callback = "https://127.0.0.1:9/x"
    (made,) = await shell.asked("push", "subscribe", callback, "--type", "fwUpgradeStateChangeNotify")
    subscription = made["subscriptionId"]
    assert (await shell.asked("push", "pause", subscription))["state"] == "paused"
    (listed,) = await shell.asked("push", "standing", "--state", "paused")
    assert (listed["subscription_id"], listed["callback_url"]) == (subscription, callback)
    assert await shell.asked("push", "standing", "--app", "another") == []
    assert subscription in (await shell.run("push", "standing"))[0]
    said, _ = await shell.run("push", "resume", subscription)
    assert "state            active" in said
    policy = (await shell.asked("push", "policy", subscription, "--delay", "1", "--delay", "30"))["policy"]
    assert (policy["retry_delay_seconds"], policy["own"]) == ([1, 30], ["retry_delay_seconds"])
    policy = (await shell.asked("push", "policy", subscription, "--age-limit", "60", "--given-up", "block"))["policy"]
    assert (policy["age_limit_seconds"], policy["own"]) == (60, ["age_limit_seconds", "when_given_up"])
    assert (await shell.asked("push", "standing", subscription))["policy"] == policy
    assert (await shell.asked("push", "policy", subscription))["policy"]["own"] == []
    _, told = await shell.run("push", "policy", subscription, "--age-limit", "0", status=1)
    assert "age_limit_seconds" in told
    assert await shell.asked("push", "discard", "--subscription", subscription) == {"discarded": 0}
    _, told = await shell.run("push", "discard", "--subscription", subscription, "--event", "7", status=1)
    assert "no dead letter" in told
    _, told = await shell.run("push", "pause", "nobody", status=1)
    assert "no subscription 'nobody'" in told
