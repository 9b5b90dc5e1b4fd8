"""The tables of docs/explanation/outcomes.md are what the rules do, for every combination of their columns."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import product
from pathlib import Path

import pytest
from msgspec import structs

from firmcast.devices.model import CommandKind
from firmcast.events.model import Outcome
from firmcast.ids import CommandId
from firmcast.lwm2m.firmware_update import FirmwareUpdateState, Protocol
from firmcast.upgrades.model import (
    CommandAnswered,
    CommandFailed,
    CommandFailure,
    DeviceUpgrade,
    Evidence,
    ResourcesReported,
    Tally,
    UpgradePhase,
)
from firmcast.upgrades.rules import wording
from firmcast.upgrades.rules.lost_packages import LOST_PACKAGES_LIMIT
from firmcast.upgrades.state_machine import Decision, advance

PAGE = Path(__file__).resolve().parents[4] / "docs/explanation/outcomes.md"
WHERE = ("fetching", "written", "told", "installing", "back")
STATES = {"idle": 0, "downloading": 1, "downloaded": 2, "updating": 3, "unknown": 9}
RESULTS = (*range(12), 12, 200)
FAILURES = {2, 6, 7, 8, 9, 10, 12, 200}
VERSIONS = {"before": "1.0", "target": "2.0", "another": "1.7", "none": None}
YES_NO = {"yes": True, "no": False}
PROTOCOL = {"address": Protocol.COAP, "package": None}
NUMBER = CommandId(7)


@dataclass(frozen=True)
class Case:
    """One combination."""

    where: str
    state: str
    result: int
    news: str
    registered: str
    version: str


CASES = [Case(*each) for each in product(WHERE, STATES, RESULTS, YES_NO, YES_NO, VERSIONS)]


def rows_of(heading: str, table: int = 0) -> list[list[str]]:
    """Return the cells of a table below a heading of the page, without its head."""
    section = PAGE.read_text().split(f"## {heading}\n")[1].split("\n## ")[0]
    tables = [block.strip().splitlines() for block in section.split("\n\n") if block.strip().startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in tables[table][2:]]


def fits(cell: str, value: object) -> bool:
    """Tell whether a cell names a value, which is a result where it is a number."""
    named = [name.strip() for name in cell.split(",")]
    is_failure = "failure" in named and value in FAILURES
    return "any" in named or is_failure or str(value) in named


def row_for(rows: list[list[str]], *values: object) -> int:
    return next(at for at, row in enumerate(rows) if all(map(fits, row, values)))


# --- what the rules do ----------------------------------------------------------------------------------------------


def upgrade_in(
    driver, case: Case, *, is_over: bool, another_way: bool = False, lost_packages: int = LOST_PACKAGES_LIMIT
) -> DeviceUpgrade:
    """Return an upgrade that has come so far as the case says, a probe of which is about to be answered."""
    is_sent = case.where in ("fetching", "written")
    news = YES_NO[case.news]
    begun_at = driver.now - timedelta(hours=2 if is_over else 0, minutes=5)
    phase, published = {
        "fetching": (UpgradePhase.TRANSFERRING, FirmwareUpdateState(int(news))),
        "written": (UpgradePhase.TRANSFERRING, FirmwareUpdateState.DOWNLOADING),
        "told": (UpgradePhase.EXECUTING, FirmwareUpdateState.DOWNLOADED),
        "installing": (UpgradePhase.EXECUTING, FirmwareUpdateState.UPDATING),
        "back": (UpgradePhase.VERIFYING, FirmwareUpdateState.UPDATING),
    }[case.where]
    if case.where == "told" and YES_NO[case.registered]:
        phase = UpgradePhase.VERIFYING
    evidence = Evidence(
        baseline_result=case.result,
        result_changed=news,
        transfer_kind=CommandKind.TRANSFER_BY_WRITE if case.where == "written" else CommandKind.TRANSFER_BY_URI,
        transfer_finished=case.where == "written",
        download_began_at=begun_at if news or case.where != "fetching" else None,
        downloaded_at=None if case.where == "fetching" else begun_at,
        executed_at=None if is_sent else begun_at,
        execute_confirmed=case.where in ("installing", "back"),
        registered_anew=YES_NO[case.registered],
        another_way=another_way,
        lost_packages=lost_packages,
    )
    ends_at = driver.now + timedelta(seconds=-1 if is_over else 600)
    return structs.replace(
        driver.upgrade,
        phase=phase,
        tally=Tally.PROCESSING,
        published_state=published,
        command_id=NUMBER,
        command_kind=CommandKind.PROBE,
        probed=is_over,
        evidence=evidence,
        started_at=begun_at,
        waiting_ends_at=begun_at,
        phase_ends_at=ends_at,
        deadline_at=driver.now + timedelta(seconds=60),
    )


def told_by(case: Case) -> ResourcesReported:
    version = VERSIONS[case.version]
    return ResourcesReported(state=STATES[case.state], result=case.result, firmware_version=version)


def word_for(decision: Decision, result: int) -> str:
    """Return what the page calls a decision."""
    upgrade = decision.upgrade
    if upgrade.outcome is None:
        assert upgrade.deadline_at is not None, "what is open has a time at which it is looked at"
        if upgrade.evidence.deferred_until is not None:
            return "put off"
        return {
            None: "waits",
            CommandKind.INSPECT: "looked at",
            CommandKind.EXECUTE: "told to install",
            CommandKind.RESET: "reset",
            CommandKind.TRANSFER_BY_URI: "sent",
        }[decision.command]
    if upgrade.outcome is Outcome.SUCCEEDED:
        same = upgrade.description == wording.SAME_VERSION
        return "succeeded: same version" if same else "succeeded"
    if upgrade.tally is Tally.TIMED_OUT:
        assert upgrade.description in wording.TIMEOUTS.values()
        return "timed out"
    words = {
        wording.PACKAGE_KEPT: "kept",
        wording.OLD_VERSION: "old version",
        wording.NO_EVIDENCE: "no evidence",
        wording.NO_FIRMWARE_OBJECT: "no firmware object",
        wording.BUSY: "busy",
        wording.describe_failure(result): "result",
    }
    return f"failed: {words[upgrade.description]}"


def decide(driver, case: Case, *, is_over: bool, **known) -> Decision:
    answer = CommandAnswered(command_id=NUMBER, resources=told_by(case))
    return advance(upgrade_in(driver, case, is_over=is_over, **known), answer, driver.now, driver.limits)


def assert_decided_as_written(driver, rows: list[list[str]], **known) -> set[int]:
    """Hold the rules to rows of the first table, and return which of them were about something."""
    used = set()
    for case in CASES:
        at = row_for(rows, case.where, case.state, case.result, case.news, case.registered, case.version)
        used.add(at)
        for is_over, expected in zip((False, True), rows[at][-2:], strict=True):
            found = word_for(decide(driver, case, is_over=is_over, **known), case.result)
            assert found == expected, f"{case}, time is over: {is_over}, row {at}: {rows[at]}"
    return used


def test_every_combination_is_decided_as_the_page_says(driver):
    rows = rows_of("Once the package was offered")
    used = assert_decided_as_written(driver, rows)
    assert used == set(range(len(rows))), "every row is about something"


def test_every_combination_with_a_package_that_may_be_sent_again_is_decided_as_the_page_says(driver):
    first = rows_of("While a lost package may be sent again")
    for lost in range(LOST_PACKAGES_LIMIT):
        rows = [*first, *rows_of("Once the package was offered")]
        used = assert_decided_as_written(driver, rows, lost_packages=lost)
        assert used >= set(range(len(first)))


def test_every_combination_is_decided_as_the_page_says_where_a_new_version_is_required(driver):
    driver.limits = replace(driver.limits, new_version_required=True)
    first = rows_of("Where a new version is required")
    used = assert_decided_as_written(driver, [*first, *rows_of("Once the package was offered")])
    assert used >= set(range(len(first)))


def test_every_combination_with_another_way_is_decided_as_the_page_says(driver):
    first = rows_of("While another way is left")
    rows = [*first, *rows_of("Once the package was offered")]
    used = assert_decided_as_written(driver, rows, another_way=True)
    assert used >= set(range(len(first)))


REFUSALS = list(product(("address", "package"), STATES, (0, 2, 7, 9), YES_NO, YES_NO))


def test_every_refusal_is_decided_as_the_page_says(driver):
    rows = rows_of("While another way is left", 1)
    used = set()
    for order, state, result, news, left in REFUSALS:
        at = row_for(rows, order, state, result, news, left)
        used.add(at)
        case = Case("fetching", state, result, news, "no", "none")
        upgrade = upgrade_in(driver, case, is_over=False, another_way=YES_NO[left])
        kind = CommandKind.TRANSFER_BY_URI if order == "address" else CommandKind.TRANSFER_BY_WRITE
        evidence = structs.replace(upgrade.evidence, transfer_kind=kind, transfer_protocol=PROTOCOL[order])
        refused = CommandFailed(
            command_id=NUMBER,
            failure=CommandFailure.REJECTED,
            description="4.05 method not allowed",
            resources=ResourcesReported(state=STATES[state], result=result),
        )
        decision = advance(
            structs.replace(upgrade, command_kind=kind, evidence=evidence), refused, driver.now, driver.limits
        )
        is_refusal = "The device refused" in decision.upgrade.description
        found = "failed: refused" if is_refusal else word_for(decision, result)
        assert found == rows[at][-1], (order, state, result, news, left)
    assert used == set(range(len(rows)))


LYING = list(product(("idle", "downloading"), YES_NO, YES_NO, YES_NO))


def test_an_address_that_is_let_lie_is_decided_as_the_page_says(driver):
    rows = rows_of("While another way is left", 2)
    used = set()
    for state, has_asked, is_over, left in LYING:
        at = row_for(rows, state, has_asked, is_over, left)
        used.add(at)
        case = Case("fetching", state, 0, "no", "no", "none")
        upgrade = upgrade_in(driver, case, is_over=False, another_way=YES_NO[left])
        asks_by = driver.now + timedelta(seconds=0 if YES_NO[is_over] else 1)
        evidence = structs.replace(
            upgrade.evidence, has_asked=YES_NO[has_asked], asks_by=None if YES_NO[has_asked] else asks_by
        )
        upgrade = structs.replace(upgrade, command_kind=CommandKind.INSPECT, evidence=evidence)
        answer = CommandAnswered(command_id=NUMBER, resources=told_by(case))
        decision = advance(upgrade, answer, driver.now, driver.limits)
        assert word_for(decision, 0) == rows[at][-1], (state, has_asked, is_over, left)
    assert used == set(range(len(rows)))


def test_what_is_told_unasked_is_judged_as_what_is_read(driver):
    for case, lost in product(CASES, (0, LOST_PACKAGES_LIMIT)):
        upgrade = upgrade_in(driver, case, is_over=False, lost_packages=lost)
        upgrade = structs.replace(upgrade, command_id=None, command_kind=None)
        notified = advance(upgrade, told_by(case), driver.now, driver.limits).upgrade
        read = decide(driver, case, is_over=False, lost_packages=lost).upgrade
        assert (notified.outcome, notified.description) == (read.outcome, read.description), case


INSPECTIONS = list(product(("ours", "another's"), (*STATES, "absent"), RESULTS[:8:7], VERSIONS))


def test_every_inspection_before_is_decided_as_the_page_says(driver):
    rows = rows_of("When it is inspected before")
    used = set()
    for package, state, result, version in INSPECTIONS:
        at = row_for(rows, package, state, version)
        used.add(at)
        uri = "coap://host/fw/token" if package == "ours" else "coap://elsewhere/x"
        told = ResourcesReported(
            state=STATES.get(state), result=result, firmware_version=VERSIONS[version], package_uri=uri
        )
        upgrade = structs.replace(
            driver.upgrade, phase=UpgradePhase.INSPECTING, command_id=NUMBER, command_kind=CommandKind.INSPECT
        )
        upgrade = structs.replace(upgrade, phase_ends_at=driver.now + driver.limits.inspecting)
        answer = CommandAnswered(command_id=NUMBER, resources=told)
        decision = advance(upgrade, answer, driver.now, driver.limits)
        assert word_for(decision, result) == rows[at][-1], (package, state, result, version)
    assert used == set(range(len(rows)))


@pytest.mark.parametrize(
    ("phase", "order"),
    [(UpgradePhase.SCHEDULED, None), (UpgradePhase.WAITING, CommandKind.INSPECT), (UpgradePhase.CLOSED, None)],
)
def test_before_and_after_nothing_that_is_told_decides(driver, phase, order):
    for state, result, version in product(STATES.values(), RESULTS, VERSIONS.values()):
        told = ResourcesReported(state=state, result=result, firmware_version=version)
        decision = advance(structs.replace(driver.upgrade, phase=phase), told, driver.now, driver.limits)
        assert decision.command is order
        assert decision.facts == ()
        assert decision.upgrade.outcome is None


# --- that every one of them ends ------------------------------------------------------------------------------------


def places() -> Iterator[Case]:
    """Yield combinations that differ in what an upgrade can be like, as far as time alone goes on."""
    for where, result, news, registered in product(WHERE, (0, 1, 4, 8, 11), YES_NO, YES_NO):
        yield Case(where, "idle", result, news, registered, "none")


def test_time_alone_ends_every_upgrade(driver, make_driver):
    for case in places():
        silent = make_driver()
        silent.upgrade = upgrade_in(driver, case, is_over=False)
        orders = []
        while not silent.ends:
            silent.pass_deadline()
            orders.append(silent.order)
        assert CommandKind.PROBE in orders, "it was asked before it was judged"
        assert silent.now - driver.now <= timedelta(seconds=600) + silent.limits.probe


def test_whatever_a_device_goes_on_telling_its_upgrade_ends(driver, make_driver):
    limits = driver.limits
    longest = limits.transferring + 2 * limits.executing + limits.verifying + 4 * limits.probe
    for case in CASES[:: 7 if len(CASES) % 7 else 5]:
        stubborn = make_driver()
        stubborn.upgrade = upgrade_in(driver, case, is_over=False)
        for _ in range(2000):
            if stubborn.ends:
                break
            if stubborn.order is CommandKind.RESET:
                stubborn.fail(state=STATES[case.state], result=case.result)
            elif stubborn.order is not None:
                stubborn.tell(CommandAnswered(command_id=stubborn.upgrade.command_id, resources=told_by(case)))
            else:
                stubborn.pass_deadline()
        is_put_off = case.state == "downloaded" and case.result == 11
        assert stubborn.ends, case
        assert stubborn.now - driver.now <= longest + (limits.deferral if is_put_off else timedelta(0)), case
