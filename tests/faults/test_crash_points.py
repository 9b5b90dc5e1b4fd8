"""The rows of the crash table that need an exact instant; `docs/explanation/faults.md` lists them all."""

import signal
from collections import Counter
from contextlib import suppress

from tests.faults.conftest import NewEngine
from tests.faults.oracle import judge, repeats
from tests.faults.processes import Application, Engine, GoneError, Receiver
from tests.faults.test_disk import assert_sound

STATES = "firmware.state_changed"
WANTED = {"/states": STATES}
SETTLING = "push.use_cases.record_settlements"
DEVICES = [f"device-{number}" for number in range(20)]
A_FEW = DEVICES[:8]
"""So many are under way at once to a callback of which nothing is known yet."""


async def die(engine: Engine, application: Application) -> None:
    """Have an event of each device committed, and see the engine end by its own failpoint."""
    with suppress(GoneError):
        await engine.append(application, [(device, STATES) for device in DEVICES])
    assert await engine.ended() == -signal.SIGKILL
    engine.note_kill()


async def repeats_after_a_start(engine: Engine, receiver: Receiver) -> int:
    """Start the engine on what it left, and return how many repeats came of it."""
    await receiver.behave("/states")
    await engine.start()
    return await repeats_of_all(engine, receiver)


async def repeats_of_all(engine: Engine, receiver: Receiver) -> int:
    """Wait until everything is delivered, and return how many repeats there were."""
    await engine.settled()
    found = judge(await receiver.all_arrivals(), await engine.log(), WANTED, engine.acknowledged)
    found.assert_none()
    return found.duplicates


async def test_before_the_commit_nothing_was_accepted(engine: Engine, receiver: Receiver) -> None:
    application = await engine.application(receiver, "application", WANTED)
    await engine.ask("arm", use_case="events.log.append", point="before commit")
    await die(engine, application)
    await engine.start()
    assert not await engine.log()
    # Whoever was not told says it again; the numbers that were taken are given again.
    await engine.append(application, [(device, STATES) for device in DEVICES])
    assert await repeats_of_all(engine, receiver) == 0
    assert {event.sequence for event in await engine.log()} == {1}


async def test_what_was_under_way_is_sent_again(engine: Engine, receiver: Receiver) -> None:
    application = await engine.application(receiver, "application", WANTED)
    await receiver.behave("/states", how="silence")
    await engine.append(application, [(device, STATES) for device in A_FEW])
    await receiver.wait(len(A_FEW))
    await engine.kill()
    assert engine.unsettled == len(A_FEW)
    assert await repeats_after_a_start(engine, receiver) == 0
    assert Counter(it.device for it in receiver.arrivals) == dict.fromkeys(A_FEW, 2)
    assert {it.attempt for it in receiver.arrivals} == {1}


async def test_what_was_written_as_delivered_is_not_sent_again(engine: Engine, receiver: Receiver) -> None:
    application = await engine.application(receiver, "application", WANTED)
    await engine.ask("arm", use_case=SETTLING, point="after commit")
    await die(engine, application)
    first = len(await receiver.all_arrivals())
    repeated = await repeats_after_a_start(engine, receiver)
    # The first batch was written; what had arrived beside it came once more, and nothing else.
    assert repeated < first
    assert max(repeats(receiver.arrivals).values(), default=0) <= 1


async def test_a_failure_that_was_not_written_is_forgotten(engine: Engine, receiver: Receiver) -> None:
    application = await engine.application(receiver, "application", WANTED)
    await receiver.behave("/states", status=500)
    await engine.ask("arm", use_case=SETTLING, point="before commit")
    await die(engine, application)
    assert await repeats_after_a_start(engine, receiver) == 0
    assert {it.attempt for it in receiver.arrivals} == {1}, "the count is one low"


async def test_a_checkpoint_that_is_broken_off_changes_nothing(
    new_engine: NewEngine, receiver: Receiver, failing_library: dict[str, str]
) -> None:
    engine = new_engine(failing_library)
    await engine.start()
    application = await engine.application(receiver, "application", WANTED)
    for writes in (1, 5, 20):
        await engine.append(application, [(device, STATES) for device in DEVICES])
        await engine.settled()
        await engine.ask("die_in_checkpoint", writes=writes)
        await die(engine, application)
        assert_sound(engine)
        await engine.start()
    assert await repeats_of_all(engine, receiver) <= engine.most_repeated


async def test_an_end_of_a_subscription_holds_once_it_is_committed(engine: Engine, receiver: Receiver) -> None:
    application = await engine.application(receiver, "application", WANTED)
    await receiver.behave("/states", how="silence")
    await engine.append(application, [(device, STATES) for device in A_FEW] * 10)
    await receiver.wait(len(A_FEW))
    await engine.ask("arm", use_case="subscriptions.use_cases.remove", point="after commit")
    with suppress(GoneError):
        await engine.ask(
            "unsubscribe",
            application_id=application.application_id,
            subscription_id=application.subscribers[0].subscription_id,
        )
    assert await engine.ended() == -signal.SIGKILL
    await receiver.behave("/states")
    await engine.start()
    await engine.settled()  # what it had left is removed by the next life
    assert len(await receiver.all_arrivals()) == len(A_FEW)
    assert not (await engine.ask("dead"))["count"]
