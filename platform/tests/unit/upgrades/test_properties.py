"""What no sequence of inputs can do to an upgrade."""

from datetime import timedelta
from itertools import cycle, pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from firmcast.devices.model import CommandKind
from firmcast.events.model import FirmwareStateChanged, FirmwareUpgradeEnded, Outcome
from firmcast.ids import CommandId
from firmcast.upgrades.model import (
    CommandAnswered,
    CommandFailed,
    CommandFailure,
    DeadlinePassed,
    ResourcesReported,
    SeenAlive,
    SessionRenewed,
    StopRequested,
    Tally,
    TaskBegan,
    TransferProgressed,
    UpgradePhase,
)
from firmcast.upgrades.rules.ladder import EDGES, IDLE
from firmcast.upgrades.rules.lost_packages import LOST_PACKAGES_LIMIT
from firmcast.upgrades.rules.turn import LEFT_ALONE_LIMIT, TRANSFERS

RESULTS = st.none() | st.sampled_from([0, 1, 2, 4, 5, 7, 8, 9, 10, 11, 42])
STATES = st.none() | st.sampled_from([0, 1, 2, 3, 7])
RESOURCES = st.builds(
    ResourcesReported,
    state=STATES,
    result=RESULTS,
    firmware_version=st.none() | st.sampled_from(["1.0", "2.0"]),
    package_uri=st.sampled_from([None, "", "coap://host/fw/token", "coap://elsewhere/x"]),
    protocols=st.sampled_from([None, (0,), (2, 3), (0, 99)]),
    delivery_method=st.sampled_from([None, 0, 1, 2, 9]),
)
NO_EVIDENCE = st.builds(
    ResourcesReported,
    state=STATES,
    result=RESULTS.filter(lambda result: result != 1),
    firmware_version=st.sampled_from([None, "1.0"]),
)
STALE = CommandId(1 << 40)


def inputs(resources):
    """Return steps: an input, or a function of the driver's waiting order that makes one."""
    number = st.sampled_from(["waiting", "stale"])
    return st.one_of(
        st.tuples(st.just("answered"), number, resources),
        st.tuples(st.just("failed"), number, st.sampled_from(CommandFailure), resources),
        st.tuples(st.just("deadline")),
        st.tuples(st.just("time"), st.integers(0, 7200)),
        st.tuples(st.just("asleep"), st.integers(3600, 86400)),
        resources,
        st.builds(
            SessionRenewed, newly_registered=st.booleans(), was_unattended=st.booleans(), was_heard=st.booleans()
        ),
        st.just(SeenAlive()),
        st.builds(TransferProgressed, finished=st.booleans()),
        st.builds(TaskBegan, online=st.booleans()),
        st.just(StopRequested()) if resources is RESOURCES else st.just(SeenAlive()),
    )


def play(driver, step):
    """Take one step."""
    match step:
        case ("answered", number, resources):
            driver.tell(CommandAnswered(command_id=_number(driver, number), resources=resources))
        case ("failed", number, failure, resources):
            driver.tell(
                CommandFailed(
                    command_id=_number(driver, number), failure=failure, description="4.04", resources=resources
                )
            )
        case ("deadline",):
            if driver.upgrade.deadline_at is not None:
                driver.pass_deadline()
        case ("time", seconds):
            driver.now += timedelta(seconds=seconds)
        case ("asleep", lifetime):
            driver.fall_asleep(lifetime=timedelta(seconds=lifetime))
        case told:
            driver.tell(told)


def _number(driver, which):
    waiting = driver.upgrade.command_id
    return STALE if which == "stale" or waiting is None else waiting


STEPS = st.lists(inputs(RESOURCES), max_size=40)


@settings(max_examples=300)
@given(steps=STEPS)
def test_a_closed_upgrade_stays_as_it_is(make_driver, steps):
    driver = make_driver()
    for step in steps:
        closed = driver.upgrade if driver.upgrade.phase is UpgradePhase.CLOSED else None
        facts, orders = len(driver.facts), len(driver.orders)
        play(driver, step)
        if closed is not None:
            assert driver.upgrade == closed
            assert (len(driver.facts), len(driver.orders)) == (facts, orders)


@settings(max_examples=300)
@given(steps=STEPS)
def test_applications_are_told_legal_steps_and_one_end(make_driver, steps):
    driver = make_driver()
    for step in steps:
        play(driver, step)
    told = [each.fact for each in driver.facts]
    states = [IDLE, *(fact.state for fact in told if isinstance(fact, FirmwareStateChanged))]
    assert all(edge in EDGES for edge in pairwise(states))
    ends = [position for position, fact in enumerate(told) if isinstance(fact, FirmwareUpgradeEnded)]
    assert ends in ([], [len(told) - 1])
    assert bool(ends) == (driver.upgrade.phase is UpgradePhase.CLOSED)
    assert driver.upgrade.published_state is states[-1]


@settings(max_examples=300)
@given(steps=STEPS)
def test_an_upgrade_is_always_in_order_with_itself(make_driver, steps):
    driver = make_driver()
    for step in steps:
        play(driver, step)
        upgrade = driver.upgrade
        is_closed = upgrade.phase is UpgradePhase.CLOSED
        assert (upgrade.command_id is None) == (upgrade.command_kind is None)
        assert (upgrade.ended_at is not None) == is_closed
        assert (upgrade.outcome is not None) == is_closed
        assert (upgrade.deadline_at is None) == is_closed
        assert (upgrade.tally in (Tally.WAITING, Tally.PROCESSING)) == (not is_closed)


@settings(max_examples=200)
@given(steps=STEPS, answers=st.lists(RESOURCES, max_size=10))
def test_deadlines_alone_bring_every_upgrade_to_its_end(make_driver, steps, answers):
    driver = make_driver()
    for step in steps:
        play(driver, step)
    for _ in range(400):
        if driver.upgrade.phase is UpgradePhase.CLOSED:
            break
        driver.pass_deadline()
        if driver.upgrade.command_id is not None and answers:
            driver.tell(CommandAnswered(command_id=driver.upgrade.command_id, resources=answers.pop()))
    assert driver.upgrade.phase is UpgradePhase.CLOSED


@settings(max_examples=60)
@given(
    steps=st.lists(inputs(RESOURCES).filter(lambda step: not isinstance(step, StopRequested)), min_size=1, max_size=20)
)
def test_nothing_that_is_told_again_and_again_puts_the_end_off_for_ever(make_driver, steps):
    driver = make_driver()
    limits = driver.limits
    ends_at = driver.now + limits.waiting + limits.inspecting + limits.transferring + limits.deferral
    ends_at += 4 * (limits.executing + limits.verifying + limits.probe) + 3 * limits.sleeping
    ends_at += LOST_PACKAGES_LIMIT * (limits.transferring + 4 * limits.executing + limits.sleeping)
    ends_at += LEFT_ALONE_LIMIT * limits.transferring  # the longest of the phases
    for step in cycle(steps):
        if driver.upgrade.phase is UpgradePhase.CLOSED:
            break
        assert driver.now <= ends_at
        driver.pass_deadline()
        play(driver, step)
        driver.now += timedelta(seconds=1)


@settings(max_examples=50)
@given(steps=STEPS, lifetime=st.integers(1, 72))
def test_a_device_that_sleeps_for_ever_is_given_up(make_driver, steps, lifetime):
    driver = make_driver()
    for step in steps:
        play(driver, step)
    for _ in range(4000):
        if driver.upgrade.phase is UpgradePhase.CLOSED:
            break
        driver.pass_deadline()
        driver.fall_asleep(lifetime=timedelta(hours=lifetime))
    assert driver.upgrade.phase is UpgradePhase.CLOSED


@settings(max_examples=150)
@given(steps=STEPS)
def test_sleep_draws_a_phase_out_by_its_limit_at_the_most(make_driver, steps):
    driver = make_driver()
    phase, latest = driver.upgrade.phase, None
    for step in steps:
        play(driver, step)
        upgrade = driver.upgrade
        if upgrade.phase is not phase or upgrade.evidence.slept == timedelta(0):
            # It may have gone through another phase and come back, as a device does that cannot be reached.
            phase, latest = upgrade.phase, upgrade.phase_ends_at
        assert upgrade.evidence.slept <= driver.limits.sleeping
        if latest is not None and upgrade.phase_ends_at is not None:
            assert upgrade.phase_ends_at <= latest + upgrade.evidence.slept


@settings(max_examples=150)
@given(steps=STEPS, lifetime=st.integers(1, 7 * 86400), share=st.floats(0, 1, exclude_max=True))
def test_no_time_is_up_while_a_device_sleeps(make_driver, steps, lifetime, share):
    driver = make_driver()
    for step in steps:
        play(driver, step)
    driver.fall_asleep(lifetime=timedelta(seconds=lifetime))
    before = driver.upgrade
    if before.evidence.asleep_since is None or before.deadline_at <= driver.now:
        return
    just_before = before.deadline_at - timedelta(microseconds=1)
    driver.now = min(just_before, driver.now + (before.deadline_at - driver.now) * share)
    driver.tell(DeadlinePassed())
    assert driver.upgrade == before


@settings(max_examples=300)
@given(steps=st.lists(inputs(NO_EVIDENCE), max_size=40))
def test_without_evidence_there_is_no_success(make_driver, steps):
    driver = make_driver()
    for step in steps:
        play(driver, step)
    assert driver.upgrade.outcome is not Outcome.SUCCEEDED


@settings(max_examples=300)
@given(steps=STEPS)
def test_install_is_not_ordered_twice_without_an_inspection_in_between(make_driver, steps):
    driver = make_driver()
    for step in steps:
        play(driver, step)
    between: list[CommandKind] | None = None
    for order in driver.orders:
        if order is CommandKind.EXECUTE:
            assert between is None or CommandKind.INSPECT in between
            between = []
        elif between is not None:
            between.append(order)


@settings(max_examples=200)
@given(steps=STEPS)
def test_saying_everything_twice_tells_nothing_twice(make_driver, steps):
    driver = make_driver()
    for step in steps:
        play(driver, step)
        facts = len(driver.facts)
        if isinstance(step, ResourcesReported | SeenAlive):
            play(driver, step)
            repeated = [each.fact for each in driver.facts[facts:]]
            assert not any(isinstance(fact, FirmwareStateChanged) for fact in repeated)


@settings(max_examples=200)
@given(steps=STEPS, method=st.sampled_from([0, 1]), stops=st.booleans())
def test_no_package_is_sent_again_unseen_or_without_end(make_driver, steps, method, stops):
    driver = make_driver().transferring(delivery_method=method).answer().notify(state=1, result=0).notify(state=2)
    assert driver.order is CommandKind.EXECUTE
    if stops:
        driver.tell(StopRequested())
    for step in steps:
        seen = len(driver.orders)
        play(driver, step)
        assert driver.upgrade.evidence.lost_packages <= LOST_PACKAGES_LIMIT
        sent = [order for order in driver.orders[seen:] if order in TRANSFERS]
        assert not sent or driver.orders[seen - 1] is CommandKind.INSPECT, (
            "only the answer to an inspection has a package sent"
        )
    assert not (stops and driver.upgrade.evidence.lost_packages)


def test_a_deadline_that_was_put_off_means_nothing(driver):
    driver.begin()
    before = driver.upgrade
    driver.tell(DeadlinePassed())
    assert driver.upgrade == before
