"""A device that did not answer the reset after its upgrade is tried again, until somebody else begins with it."""

from firmcast.devices import commands
from firmcast.devices.model import CommandKind
from firmcast.upgrades.model import CommandFailed, CommandFailure, ResourcesReported, SessionRenewed


async def waiting(bench, device_id):
    return await bench.database.read(commands.waiting, [device_id])


async def say_nothing(bench, device_id, failure=CommandFailure.UNREACHABLE):
    """Let the device not answer the order that waits."""
    (order,) = await waiting(bench, device_id)
    failed = CommandFailed(command_id=order.command_id, failure=failure, description="no answer")
    await bench.tell(device_id, failed)


async def stopped(bench):
    """Return a device that is to be brought back to Idle after its upgrade was stopped."""
    device_id = bench.device_ids[0]
    task = await bench.create(device_id)
    await bench.settle()
    await bench.come(device_id)
    await bench.answer(device_id)
    await bench.tell(device_id, ResourcesReported(state=1, result=0))
    await bench.stop(task)
    (order,) = await waiting(bench, device_id)
    assert order.kind is CommandKind.RESET
    return device_id


async def test_a_reset_without_an_answer_stays_and_its_answer_ends_it(bench):
    device_id = await stopped(bench)
    told = len(await bench.history(device_id))
    await say_nothing(bench, device_id)
    (order,) = await waiting(bench, device_id)
    assert order.kind is CommandKind.RESET
    await bench.answer(device_id, state=0, result=0)
    assert await waiting(bench, device_id) == []
    assert len(await bench.history(device_id)) == told, "what is owed is nobody's step"


async def test_a_device_that_never_answers_is_left_alone_in_the_end(bench):
    device_id = await stopped(bench)
    for _ in range(commands.MOST_TRIES):
        await say_nothing(bench, device_id)
    assert await waiting(bench, device_id) == []


async def test_a_refusal_is_an_answer(bench):
    device_id = await stopped(bench)
    await say_nothing(bench, device_id, CommandFailure.REJECTED)
    assert await waiting(bench, device_id) == []


async def test_the_next_upgrade_is_held_up_by_no_second_try(bench):
    device_id = await stopped(bench)
    await say_nothing(bench, device_id)
    await bench.create(device_id)
    await bench.settle()
    await bench.tell_same_version(device_id)
    assert await waiting(bench, device_id) == []
    assert (await bench.ends(device_id))[-1] == "succeeded"


async def test_the_first_try_goes_before_the_next_upgrade_and_is_its_last_then(bench):
    device_id = await stopped(bench)
    await bench.create(device_id)
    await bench.settle()
    await bench.tell(device_id, SessionRenewed(newly_registered=True))
    reset, inspect = await waiting(bench, device_id)
    assert (reset.kind, inspect.kind) == (CommandKind.RESET, CommandKind.INSPECT)
    silent = CommandFailed(command_id=reset.command_id, failure=CommandFailure.UNREACHABLE, description="no answer")
    await bench.tell(device_id, silent)
    assert await waiting(bench, device_id) == [inspect]
