"""Devices in queue mode over real sockets: nothing is sent to them while they sleep, and nothing is lost by it."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import cbor2
import pytest

from firmcast.coap.block import Block
from firmcast.coap.codes import Code, MessageType
from firmcast.db.statement import portable
from firmcast.devices import commands
from firmcast.devices.model import CommandKind
from firmcast.profiles import store
from firmcast.profiles import use_cases as profiles
from firmcast.profiles.model import ClientProfile, Shown, WindowOf, maker_key
from firmcast.simulator.device import DeviceSpec
from firmcast.simulator.fleet import Fleet
from firmcast.simulator.profiles import profile_named
from firmcast.simulator.sleep import SleepHabit
from firmcast.simulator.timing import QUICK
from firmcast.upgrades.model import FellAsleep, UpgradePhase

AN_HOUR_AGO = portable("UPDATE registration SET updated_at = updated_at - 3600000000")
PACKAGE = bytes(range(256)) * 64
SUCCESS = ["1", "2", "3", "0", "succeeded"]
WINDOW = 0.2


@pytest.fixture
async def sleepy_world(world):
    """A gateway that takes a device in queue mode to listen for a short while."""
    await restarted(world, WINDOW)
    return world


async def restarted(world, window: float, **changed) -> None:
    await world.stop()
    world.limits = replace(world.limits, awake=timedelta(seconds=window))
    world.settings = world.settings.model_copy(update=changed)
    await world.start()


@pytest.fixture
async def known(world):
    return await world.add_device()


@pytest.fixture
async def device(sleepy_world, known, make_raw):
    return await make_raw()


def spec(profile: str, habit: SleepHabit, **changed) -> DeviceSpec:
    changed = {"reboot_delay": 0.01, "sleep": habit, **changed}
    return DeviceSpec(endpoint_name="device-1", profile=replace(profile_named(profile), **changed))


def without_marks(told: list[str]) -> list[str]:
    return [one.removeprefix("*") for one in told]


async def orders(world, known) -> list[CommandKind]:
    return [command.kind for command in await world.database.read(commands.waiting, [known.device_id])]


async def until_asleep(world, known) -> None:
    """Wait until the gateway has said of a device's upgrade that it sleeps."""

    async def look() -> bool:
        found = await world.device_upgrade(world.task)
        return found.evidence.asleep_since is not None

    async with asyncio.timeout(10):
        while not await look():
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("profile", "key", "changed"),
    [
        ("pull", b"", {}),
        ("push", b"", {}),
        ("anjay", bytes(range(16)), {}),
        ("no-reboot", b"", {"reboot_delay": 1.0}),
    ],
    ids=["pull", "push", "secure", "without a reboot"],
)
async def test_a_sleepy_device_is_upgraded_and_asked_nothing_while_it_sleeps(world, profile, key, changed) -> None:
    # It listens for much longer than the gateway believes: so on a slow machine too nothing is late.
    await restarted(world, 0.1)
    habit = SleepHabit(awake_for=0.6, update_every=0.8)
    known = await world.add_device(key=key)
    package = await world.add_package(PACKAGE, "2.0.0")
    device = replace(spec(profile, habit, **changed), key=key or None)
    server = world.secure_server if key else world.server
    async with Fleet(server=server, devices=[device], timing=QUICK, seed=1) as fleet:
        await fleet.registered()
        await asyncio.sleep(0.7)
        await world.upgrade(package, known)
        told = await world.until_told(known, "succeeded", "failed", any_of=True)
        (status,) = fleet.statistics().statuses
    assert without_marks(told) == SUCCESS
    assert status.missed == 0


async def test_a_device_that_sleeps_sooner_than_is_believed_is_upgraded_all_the_same(world, known) -> None:
    await restarted(world, 93.0, acknowledgement_timeout=0.02)
    package = await world.add_package(PACKAGE, "2.0.0")
    habit = SleepHabit(awake_for=0.15, update_every=0.5)
    async with Fleet(server=world.server, devices=[spec("pull", habit)], timing=QUICK, seed=1) as fleet:
        await fleet.registered()
        await asyncio.sleep(0.2)
        await world.upgrade(package, known)
        told = await world.until_told(known, "succeeded", "failed", any_of=True)
        (status,) = fleet.statistics().statuses
    assert without_marks(told) == SUCCESS
    assert status.missed > 0


@pytest.mark.parametrize(("version", "binding", "more"), [("1.0", "UQ", ()), ("1.1", "U", ("Q",)), ("1.1", "U", ())])
async def test_an_order_waits_as_a_row_while_the_device_sleeps(
    sleepy_world, known, device, version, binding, more
) -> None:
    world = sleepy_world
    await device.register(*more, version=version, binding=binding)
    device.answers = False
    world.task = await world.upgrade(await world.add_package(PACKAGE), known)
    first = await device.until_asked(Code.GET, "/5/0/3")
    if not (more or "Q" in binding):
        # Who is not in queue mode is asked again and again, as ever.
        await device.until(lambda: len(device.asked) >= 3)
        return
    await until_asleep(world, known)
    asked = len(device.asked)
    await asyncio.sleep(WINDOW)
    assert len(device.asked) == asked
    assert await orders(world, known) == [CommandKind.INSPECT]
    upgrade = await world.device_upgrade(world.task)
    assert (upgrade.phase, upgrade.command_kind) == (UpgradePhase.INSPECTING, CommandKind.INSPECT)
    assert await world.told(known) == []
    device.answers = True
    assert await device.update() == Code.CHANGED
    again = await device.until_asked(Code.GET, "/5/0/3", times=2)
    assert again.message_id != first.message_id
    await device.until_asked(Code.PUT, "/5/0/1")


async def test_an_order_for_a_device_that_sleeps_already_does_not_wait_on_its_time(sleepy_world, known, device) -> None:
    """The store takes it to be awake, since it has just registered; the gateway knows better."""
    world = sleepy_world
    await device.register("Q")
    world.gateway._windows.unanswered(world.gateway._live.of(known.device_id))
    world.task = await world.upgrade(await world.add_package(PACKAGE), known)
    await until_asleep(world, known)
    assert (await world.device_upgrade(world.task)).phase is UpgradePhase.INSPECTING
    assert device.asked == []


async def test_a_device_that_was_heard_since_its_update_is_awake_when_its_task_begins(
    sleepy_world, known, device
) -> None:
    """The store knows its updates only; that a Send has kept it awake, its gateway knows."""
    world = sleepy_world
    await restarted(world, 93.0)
    await device.register("Q")
    await world.database.write(updated_long_ago)
    await say_send(device)
    await world.upgrade(await world.add_package(PACKAGE), known)
    await device.until_asked(Code.PUT, "/5/0/1")


async def updated_long_ago(tx) -> None:
    """Have the store believe that nobody has updated his registration for an hour."""
    await tx.execute(AN_HOUR_AGO)


async def test_one_request_at_a_time_is_under_way(sleepy_world, known, device) -> None:
    world = sleepy_world
    await device.register("Q")
    under_way: set[int] = set()
    most = 0

    def on_asked(request) -> None:
        nonlocal most
        under_way.add(request.message_id)
        most = max(most, len(under_way))
        asyncio.get_running_loop().call_later(0.005, answer, request)

    def answer(request) -> None:
        under_way.discard(request.message_id)
        device._answer(request)

    device.answers, device.on_asked = False, on_asked
    await world.upgrade(await world.add_package(PACKAGE), known)
    await device.until_asked(Code.PUT, "/5/0/1")
    assert most == 1


async def say_notification(device) -> None:
    assert await device.reply_to(device.notification("/5/0/3", "1")) is MessageType.ACK


async def say_send(device) -> None:
    pack = cbor2.dumps([{0: "/3303/0/5700", 2: 21.5}])
    assert (await device.ask(Code.POST, "/dp", pack, content_format=112)).code == Code.CHANGED


async def say_block(device) -> None:
    path = "/" + device.values["/5/0/1"].split("/", 3)[3]
    for _ in range(2):
        # The first one takes the long way through the engine, the second one the short one.
        assert (await device.ask(Code.GET, path, block2=Block(0, more=False, szx=6))).code == Code.CONTENT


async def say_update(device) -> None:
    assert await device.update() == Code.CHANGED


async def say_registration(device) -> None:
    assert await device.register("Q") == Code.CREATED


@pytest.mark.parametrize("sign", [say_notification, say_send, say_block, say_update, say_registration])
async def test_any_sign_of_life_opens_the_window(sleepy_world, known, device, sign) -> None:
    world = sleepy_world
    await device.register("Q")
    world.task = await world.upgrade(await world.add_package(PACKAGE), known)
    await device.until_asked(Code.PUT, "/5/0/1")
    await until_asleep(world, known)
    asked = len(device.requests(Code.GET, "/5/0/3"))
    await sign(device)
    # What woke is looked at.
    await device.until_asked(Code.GET, "/5/0/3", times=asked + 1)
    upgrade = await world.device_upgrade(world.task)
    assert upgrade.evidence.asleep_since is None


async def test_nobody_is_told_of_the_sleep_of_a_device_that_nothing_is_wanted_of(sleepy_world, known, device) -> None:
    world = sleepy_world
    await device.register("Q")
    written = []
    add = world.gateway._intake.add

    def note(report) -> None:
        written.append(type(report.input))
        add(report)

    world.gateway._intake.add = note
    live = world.gateway._live.of(known.device_id)
    await world.eventually(lambda: not world.gateway._windows.is_awake(live) and live.window_watched_at is None)
    assert written == []
    world.task = await world.upgrade(await world.add_package(PACKAGE), known)
    await device.update()
    await device.until_asked(Code.PUT, "/5/0/1")
    await until_asleep(world, known)
    assert FellAsleep in written


async def test_a_device_with_a_window_of_its_own_is_given_up_at_its_end(world, known, make_raw) -> None:
    """By the settings it would listen for 93 s; what it left unanswered counts as sleep, and its order waits on."""
    await world.database.write(profiles.set_awake_window, WindowOf.DEVICE, known.device_id, timedelta(seconds=1))
    device = await make_raw()
    device.answers = False
    await device.register("Q")
    world.task = await world.upgrade(await world.add_package(PACKAGE), known)
    await device.until_asked(Code.GET, "/5/0/3")
    await until_asleep(world, known)
    assert await orders(world, known) == [CommandKind.INSPECT]
    assert (await world.device_upgrade(world.task)).phase is UpgradePhase.INSPECTING
    assert (world.metrics.asleep.value, world.metrics.silent.value) == (1, 0)
    device.answers = True
    await device.update()
    await device.until_asked(Code.PUT, "/5/0/1")


async def test_a_window_that_is_set_for_a_model_is_that_of_its_devices_at_once(sleepy_world, known, device) -> None:
    world = sleepy_world
    shown = ClientProfile(shown=Shown(manufacturer="Acme", model="M1", was_asked=True))
    await world.database.write(store.keep_client, known.device_id, shown, world.clock.now())
    device.answers = False
    await device.register("Q")
    world.task = await world.upgrade(await world.add_package(PACKAGE), known)
    await until_asleep(world, known)
    await world.database.write(
        profiles.set_awake_window, WindowOf.MODEL, maker_key("Acme", "M1"), timedelta(seconds=60)
    )
    asked = len(device.asked)
    await device.update()
    # It is asked again after an acknowledgement timeout, which is longer than the window of all others.
    await device.until(lambda: len(device.asked) >= asked + 3)


async def test_an_update_tells_whether_a_device_is_in_queue_mode_still(sleepy_world, known, device) -> None:
    world = sleepy_world
    await device.register(version="1.0", binding="UQ")
    live = world.gateway._live.of(known.device_id)
    assert live.queue_mode
    await device.update("b=U")
    assert not live.queue_mode
    await device.update("b=UQ")
    assert live.queue_mode
    await world.kill()
    await world.start()
    assert world.gateway._live.of(known.device_id).queue_mode
    await device.register("Q")
    await device.update("b=U")
    assert world.gateway._live.of(known.device_id).queue_mode


async def test_a_restarted_gateway_leaves_a_device_asleep(sleepy_world, known, device) -> None:
    world = sleepy_world
    await device.register("Q")
    world.task = await world.upgrade(await world.add_package(PACKAGE), known)
    await device.until_asked(Code.PUT, "/5/0/1")
    await until_asleep(world, known)
    asked = len(device.asked)
    await world.kill()
    await world.start()
    assert await orders(world, known) == [CommandKind.INSPECT]
    assert (await world.device_upgrade(world.task)).evidence.asleep_since is not None
    assert len(device.asked) == asked
    await device.update()
    await device.until(lambda: len(device.asked) > asked)
