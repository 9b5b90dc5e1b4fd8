"""The journal says what passed between the gateway and a device, and what was decided; it keeps no secret."""

import asyncio
from datetime import timedelta

import pytest
from aiocoap.numbers.codes import Code

from firmcast.gateway import journal_notes, transfer_notes
from firmcast.journal import use_cases as journal
from firmcast.journal.model import Decision, Exchange, ExchangeKind, Transfer

PACKAGE = bytes(range(256)) * 40
"""Ten blocks of 1024 bytes."""


@pytest.fixture
async def known(world):
    return await world.add_device()


@pytest.fixture
async def device(world, known, make_device):
    return await make_device("device-1", world.server)


async def notes_of(world, known):
    """Return what was noted, the oldest first."""
    now = world.clock.now()
    pages = await world.database.read(
        journal.between, known.device_id, now - timedelta(days=1), now, limit=1000, newest_first=False
    )
    return sorted((note for page in pages for note in page.notes), key=lambda note: note.occurred_at)


async def until_noted(world, known, fulfilled):
    """Return the notes as soon as one of them fulfils a condition: they come a moment after what they are about."""
    async with asyncio.timeout(20):
        while True:
            notes = await notes_of(world, known)
            if any(fulfilled(note.what) for note in notes):
                return notes
            await asyncio.sleep(0.02)


def exchanges(notes, *kinds):
    return [note.what for note in notes if isinstance(note.what, Exchange) and (not kinds or note.what.kind in kinds)]


async def test_an_upgrade_can_be_followed_from_the_order_to_the_verdict(world, known, device) -> None:
    device.values["/5/0/9"] = 0
    package = await world.add_package(PACKAGE)
    await device.register()
    task = await world.upgrade(package, known)
    await world.until_told(known, "succeeded", "failed", any_of=True)
    upgrade = await world.device_upgrade(task)
    notes = await until_noted(world, known, lambda what: isinstance(what, Decision) and what.outcome)
    registering = exchanges(notes, ExchangeKind.REGISTER)
    assert [what.answer for what in registering] == ["2.01", "2.01"]  # the second after the reboot
    assert registering[0].told["lwm2m"] == "1.1"
    assert f":{device.port}" in registering[1].told["address"]
    decisions = [note.what for note in notes if isinstance(note.what, Decision)]
    phases = ["scheduled", "inspecting", "transferring", "executing", "verifying", "closed"]
    assert list(dict.fromkeys(phase for what in decisions for phase in (what.before, what.after))) == phases
    assert (decisions[-1].outcome, decisions[-1].description) == ("succeeded", "The firmware was updated")
    assert {what.order for what in decisions} >= {"inspect", "transfer_by_uri", "execute"}
    observed = {what.path: what.told for what in exchanges(notes, ExchangeKind.OBSERVE)}
    assert set(observed) == {"/5/0/3", "/5/0/5"}
    # It lists a format that it does not answer in.
    refused, whole, *_ = (what for what in exchanges(notes, ExchangeKind.READ) if what.path == "/5/0")
    assert refused.answer == "4.06"
    assert whole.told["/5/0/9"] == "0"
    (way,) = {note.what for note in notes if isinstance(note.what, Transfer)}
    assert (way.way, way.blocks, way.reached, way.total, way.restarts) == ("uri", 10, len(PACKAGE), len(PACKAGE), 0)
    (executed,) = exchanges(notes, ExchangeKind.EXECUTE)
    assert (executed.path, executed.order) == ("/5/0/2", "execute")
    of_upgrade = [note for note in notes if note.device_upgrade_id == upgrade.device_upgrade_id]
    assert {type(note.what) for note in of_upgrade} == {Exchange, Decision, Transfer}


async def test_the_token_of_a_package_is_nowhere_in_it(world, known, device) -> None:
    package = await world.add_package(PACKAGE)
    await device.register()
    task = await world.upgrade(package, known)
    await world.until_told(known, "succeeded", "failed", any_of=True)
    token = (await world.device_upgrade(task)).transfer_token
    notes = await until_noted(world, known, lambda what: isinstance(what, Decision) and what.outcome)
    assert token not in repr(notes)
    (written,) = exchanges(notes, ExchangeKind.WRITE)
    assert written.told["/5/0/1"].endswith("/fw/...")


async def test_a_silent_device_is_noted_as_silent(world, known, device) -> None:
    await world.stop()
    world.settings = world.settings.model_copy(update={"acknowledgement_timeout": 0.02})
    await world.start()
    device.refuse[("GET", "/5/0")] = Code.SERVICE_UNAVAILABLE
    package = await world.add_package(PACKAGE)
    await device.register()
    await world.upgrade(package, known)
    notes = await until_noted(world, known, lambda what: isinstance(what, Decision) and what.heard == "inspect_failed")
    assert exchanges(notes, ExchangeKind.READ)[-1].answer == "5.03"
    await device.power_off()
    await device.boot()
    await device.register()
    await device.power_off()
    notes = await until_noted(world, known, lambda what: isinstance(what, Exchange) and what.failure)
    (silent,) = [what for what in exchanges(notes) if what.failure]
    assert silent.failure.startswith("no answer from the device")
    assert silent.seconds > 0.1


async def test_an_update_that_says_nothing_new_is_not_noted(world, known, device) -> None:
    await device.register()
    await device.update()
    await device.update("?lt=900")
    await device.update()
    await device.deregister()
    notes = await notes_of(world, known)
    assert [(what.kind, what.told.get("lifetime")) for what in exchanges(notes)] == [
        (ExchangeKind.REGISTER, "300"),
        (ExchangeKind.UPDATE, "900"),
        (ExchangeKind.DEREGISTER, None),
    ]


async def test_an_update_within_an_upgrade_is_noted(world, known, device) -> None:
    device.values["/5/0/9"] = 0
    waiting = asyncio.Event()

    async def hold(number: int) -> None:
        if number == 3:
            await waiting.wait()

    device.on_block = hold
    package = await world.add_package(PACKAGE)
    await device.register()
    await world.upgrade(package, known)
    await world.until_told(known, "1")
    await device.update()
    notes = await notes_of(world, known)
    (update,) = [note for note in notes if note.what in exchanges(notes, ExchangeKind.UPDATE)]
    assert update.device_upgrade_id is not None
    waiting.set()
    await world.until_told(known, "succeeded")


async def test_a_transfer_that_stands_still_is_noted(world, known, device, monkeypatch) -> None:
    monkeypatch.setattr(transfer_notes, "_LOOK_SECONDS", 0.05)
    monkeypatch.setattr(transfer_notes, "_STANDS_STILL", timedelta(seconds=0.1))
    device.values["/5/0/9"] = 0
    standing = asyncio.Event()

    async def stand(number: int) -> None:
        if number == 6:
            await standing.wait()

    device.on_block = stand
    package = await world.add_package(PACKAGE)
    await device.register()
    await world.upgrade(package, known)
    notes = await until_noted(world, known, lambda what: isinstance(what, Transfer) and what.blocks == 6)
    stalled = next(note.what for note in notes if isinstance(note.what, Transfer))
    assert (stalled.reached, stalled.total) == (6 * 1024, len(PACKAGE))
    standing.set()
    notes = await until_noted(world, known, lambda what: isinstance(what, Transfer) and what.reached == len(PACKAGE))
    assert {note.what.began_at for note in notes if isinstance(note.what, Transfer)} == {stalled.began_at}


async def test_a_package_that_is_refused_on_its_way_is_noted_before_the_verdict(world, known, make_raw) -> None:
    raw = await make_raw()
    raw.values["/5/0/9"] = "1"
    raw.answers = False

    def asked(request) -> None:
        if request.block1 is None:
            raw._answer(request)
        elif request.block1.number < 3:
            raw.answer(request, Code.CONTINUE, block1=request.block1)
        else:
            raw.answer(request, Code.REQUEST_ENTITY_TOO_LARGE)

    raw.on_asked = asked
    await raw.register()
    await world.upgrade(await world.add_package(PACKAGE), known)
    notes = await until_noted(world, known, lambda what: isinstance(what, Decision) and what.outcome)
    (way,) = [note.what for note in notes if isinstance(note.what, Transfer)]
    assert (way.way, way.reached) == ("write", 3 * 1024)


async def test_a_device_that_talks_without_end_is_noted_so_many_times_a_minute(
    world, known, device, monkeypatch
) -> None:
    monkeypatch.setattr(journal_notes, "LINES_A_MINUTE", 5)
    monkeypatch.setattr(journal_notes, "_MINUTE", 3600)
    package = await world.add_package(PACKAGE)
    await device.register()
    await world.upgrade(package, known)
    await world.until_told(known, "succeeded", "failed", any_of=True)
    notes = await until_noted(world, known, lambda what: isinstance(what, Decision) and what.outcome)
    before_reboot = [what for what in exchanges(notes) if what.kind is not ExchangeKind.REGISTER][:5]
    assert "more" in before_reboot[-1].told
