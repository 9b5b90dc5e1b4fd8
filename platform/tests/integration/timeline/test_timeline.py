"""One line of time on both stores: what a device did, what was decided, what was told and how that went."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from msgspec import structs

from firmcast.db.columns import to_column
from firmcast.db.statement import portable
from firmcast.devices import commands
from firmcast.devices import use_cases as devices
from firmcast.devices.model import NewRegistration
from firmcast.errors import NotFoundError
from firmcast.events.log import EventLog
from firmcast.firmware import use_cases as firmware
from firmcast.firmware.model import PackageMetadata, StoredFile
from firmcast.gateway.batches import Registering, record_batch
from firmcast.gateway.membership import Membership
from firmcast.ids import ApplicationId
from firmcast.settings import UpgradeSettings
from firmcast.timeline import reading
from firmcast.timeline.model import EntryKind, Wanted
from firmcast.timeline.words import line, present_lines
from firmcast.upgrades import use_cases as upgrades
from firmcast.upgrades.limits import limits_of
from firmcast.upgrades.model import (
    CommandAnswered,
    DeviceReport,
    ResourcesReported,
    TargetSelection,
    TransferProgressed,
    UpgradePolicy,
)

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
APPLICATION = ApplicationId("application")
LIMITS = limits_of(UpgradeSettings())
EVER = Wanted(begin=NOW - timedelta(days=1), end=NOW + timedelta(days=1), newest_first=False)


class Story:
    """A device that registers within an upgrade, is inspected and given the package, and is silent from then on."""

    def __init__(self, database) -> None:
        self.database = database
        self.log = EventLog(encode=lambda _event: b"{}")
        self.member = Membership.alone()
        self.now = NOW

    async def batch(self, *items):
        self.now += timedelta(seconds=1)
        context = {"member": self.member, "log": self.log, "limits": LIMITS, "now": self.now}
        return await self.database.write(record_batch, items, **context)

    async def tell(self, told):
        await self.batch(DeviceReport(device_id=self.device.device_id, input=told, occurred_at=self.now))

    async def answer(self, **resources):
        (command,) = await self.database.read(commands.waiting, [self.device.device_id])
        told = ResourcesReported(**resources)
        await self.tell(CommandAnswered(command_id=command.command_id, resources=told))

    async def pass_time(self, **parts):
        self.now += timedelta(**parts)
        await self.database.write(upgrades.pass_time, log=self.log, limits=LIMITS, now=self.now, limit=100)

    async def tell_all(self):
        database = self.database
        self.device = await database.write(
            devices.create, APPLICATION, "meter-7", "v", NOW, log=self.log, activation_seconds=0
        )
        words = dict.fromkeys(("device_type", "model", "manufacturer_name", "protocol_type", "description"), "")
        metadata = PackageMetadata(name="a", version="2.0", **words)
        stored = StoredFile(digest="0" * 64, size=1000)
        package = await database.write(firmware.record, APPLICATION, metadata, stored, NOW)
        targets = TargetSelection(devices=(self.device.device_id,))
        await database.write(upgrades.create_task, APPLICATION, package.package_id, targets, UpgradePolicy(), self.now)
        await self.pass_time(seconds=1)
        told = NewRegistration(
            endpoint_name="meter-7",
            host="192.0.2.7",
            port=5683,
            lifetime_seconds=300,
            binding="U",
            queue_mode=False,
            lwm2m_version="1.1",
            objects="</5/0>",
        )
        await self.batch(Registering(told=told, occurred_at=self.now))
        await self.answer(state=0, result=0, firmware_version="1.0", protocols=(0,), delivery_method=0)
        await self.answer()
        await self.tell(TransferProgressed(finished=False))
        await self.tell(ResourcesReported(state=1))
        event_ids = [row[0] for row in await database.read(_event_ids)]
        await database.write(_attempt, event_ids[-1], self.now, 503)
        await database.write(_attempt, event_ids[-1], self.now + timedelta(seconds=5), 200)
        await database.write(_dead_letter, event_ids[-2], self.now)
        return self


async def _event_ids(tx):
    return await tx.fetch(portable("SELECT event_id FROM event ORDER BY event_id"))


async def _attempt(tx, event_id, at, status) -> None:
    failure = "" if status == 200 else "server_error"
    await tx.execute(
        portable(
            "INSERT INTO attempt (event_id, subscription_id, device_id, number, attempted_at, duration, status,"
            " failure, detail, address, answer) VALUES (?1, 's', 'd', 1, ?2, 2000, ?3, ?4, '', '', ?5)"
        ),
        event_id, to_column(at), status, failure, b"",
    )  # fmt: skip


async def _dead_letter(tx, event_id, at) -> None:
    await tx.execute(
        portable(
            "INSERT INTO dead_letter (event_id, subscription_id, device_id, sequence, attempts, reason, failure,"
            " died_at) VALUES (?1, 's', 'd', 1, 9, 'expired', 'timeout', ?2)"
        ),
        event_id, to_column(at),
    )  # fmt: skip


@pytest.fixture
async def story(database):
    return await Story(database).tell_all()


async def read(story, wanted=EVER, called="meter-7"):
    return await story.database.read(reading.timeline, called, wanted, story.now)


async def test_everything_stands_in_the_order_in_which_it_happened(story) -> None:
    found = await read(story)
    told = [(entry.kind.value, line(entry)) for entry in found.entries]
    decisions = [text.split(";")[:2] for kind, text in told if kind == "decision"]
    assert decisions == [
        ["task began: the device is awaited", " scheduled -> waiting"],
        ["registered", " waiting -> inspecting"],
        ["inspect answered: state 0 idle, result 0: no result yet, version '1.0'", " inspecting -> transferring"],
        ["transfer by uri answered", " transferring"],
        ["first block", " transferring"],
        ["resources told: state 1 downloading", " transferring"],
    ]
    registered = "the device registered: 2.01, address=192.0.2.7:5683, lifetime=300, lwm2m=1.1, binding=U"
    assert ("exchange", registered) in told
    kinds = [kind for kind, _ in told]
    assert kinds.index("upgrade") < kinds.index("exchange") < kinds.index("push")
    answers = [text.partition(": ")[2] for kind, text in told if kind == "push"]
    assert answers == ["503, server_error (0.002 s)", "200 (0.002 s)"]
    assert kinds.count("dead_letter") == 1
    # A push names the event as the event itself does.
    last = [text for kind, text in told if kind == "event"][-1].partition(":")[0]
    assert {text.split(" to ")[0] for kind, text in told if kind == "push"} == {f"push of {last}"}
    times = [entry.at for entry in found.entries]
    assert times == sorted(times)
    newest = await read(story, replace(EVER, newest_first=True))
    assert newest.entries == tuple(reversed(found.entries))


async def test_it_is_read_by_pages_of_any_size(story) -> None:
    for newest_first in (False, True):
        wanted = replace(EVER, newest_first=newest_first)
        whole = (await read(story, wanted)).entries
        for size in (1, 4):
            entries, after = [], None
            while True:
                page = await read(story, replace(wanted, limit=size, after=after))
                entries += page.entries
                after = page.next
                if after is None:
                    break
            assert tuple(entries) == whole


async def test_it_is_filtered_by_upgrade_time_and_sight(story) -> None:
    whole = (await read(story)).entries
    (upgrade,) = (entry for entry in whole if entry.kind is EntryKind.UPGRADE)
    of_upgrade = await read(story, replace(EVER, device_upgrade_id=upgrade.device_upgrade_id))
    assert {entry.device_upgrade_id for entry in of_upgrade.entries} == {upgrade.device_upgrade_id}
    kinds = [entry.kind for entry in of_upgrade.entries]
    assert (kinds.count(EntryKind.DECISION), kinds.count(EntryKind.EXCHANGE), kinds.count(EntryKind.PUSH)) == (6, 1, 2)
    begin, end = NOW + timedelta(seconds=2), NOW + timedelta(seconds=4)
    part = (await read(story, replace(EVER, begin=begin, end=end))).entries
    assert part == tuple(entry for entry in whole if begin <= entry.at < end)
    blind = await read(story, replace(EVER, with_pushes=False))
    assert not {EntryKind.PUSH, EntryKind.DEAD_LETTER} & {entry.kind for entry in blind.entries}


async def test_where_it_is_now_is_said_in_sentences(story) -> None:
    present = (await read(story)).present
    (upgrade,) = present.upgrades
    said = list(present_lines(present, story.now + timedelta(seconds=60)))
    assert said[0].startswith("registered since 1 min")
    assert said[1] == (
        f"upgrade {upgrade.device_upgrade_id} is transferring: it was given the package, or the address of it"
    )
    assert "looked at again in" in said[2]
    assert "transferring ends in" in said[2]
    over = structs.replace(upgrade, phase_ends_at=story.now, deadline_at=story.now + timedelta(seconds=90))
    said = list(present_lines(replace(present, upgrades=(over,)), story.now + timedelta(seconds=60)))
    assert "the time for transferring is over since 1 min" in said[2]
    late = structs.replace(over, deadline_at=story.now)
    said = list(present_lines(replace(present, upgrades=(late,)), story.now + timedelta(seconds=60)))
    assert said[2].count("the engine is late") == 2
    later = await story.database.read(reading.timeline, "meter-7", EVER, story.now + timedelta(days=1))
    assert next(present_lines(later.present, NOW)) == "the device is not registered"


async def test_a_device_is_found_by_its_id_too_and_an_unknown_one_is_not(story) -> None:
    assert (await read(story, called=story.device.device_id)).entries
    with pytest.raises(NotFoundError):
        await read(story, called="nobody")


async def test_a_source_that_is_cut_off_loses_nothing(story, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = (await read(story)).entries
    monkeypatch.setattr(reading, "_AT_ONCE", 4)
    monkeypatch.setattr(reading, "LONGEST_PAGE", timedelta(milliseconds=1))
    for newest_first in (False, True):
        entries, after = [], None
        while True:
            page = await read(story, replace(EVER, newest_first=newest_first, after=after))
            entries += page.entries
            after = page.next
            if after is None:
                break
        assert sorted(entries, key=lambda entry: entry.order) == list(whole)
