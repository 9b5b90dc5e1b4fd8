from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmcast.lwm2m.firmware_update import STATE_TRANSITIONS, DeliveryMethod, FirmwareUpdateState, UpdateResult
from firmcast.lwm2m.paths import FIRMWARE_RESULT, FIRMWARE_STATE, FIRMWARE_VERSION, Path
from firmcast.simulator.firmware_object import advance, start
from firmcast.simulator.firmware_steps import (
    Action,
    Answer,
    CancelExecuted,
    ChangePort,
    DeferralEnded,
    DownloadFinished,
    EndDeferral,
    EndInstall,
    FirmwareObject,
    Input,
    InstallEnded,
    PackageStarted,
    PackageWritten,
    Reboot,
    Rebooted,
    RegisterAnew,
    ResetWritten,
    StartDownload,
    Step,
    StopTransfer,
    Transfer,
    TransferFailed,
    UpdateExecuted,
    UriWritten,
)
from firmcast.simulator.profile import DeviceProfile
from firmcast.simulator.profiles import PROFILES, profile_named

IDLE, DOWNLOADING, DOWNLOADED, UPDATING = FirmwareUpdateState
ADDRESS = "coap://192.0.2.1:5683/fw/token"
PLAIN = profile_named("plain")

inputs: st.SearchStrategy[Input] = st.one_of(
    st.builds(UriWritten, uri=st.sampled_from([ADDRESS, "", "ftp://a/b", "nonsense", "https://a/b", "x" * 300])),
    st.just(PackageStarted()),
    st.builds(PackageWritten, intact=st.booleans()),
    st.just(ResetWritten()),
    st.just(CancelExecuted()),
    st.just(DeferralEnded()),
    st.builds(DownloadFinished, intact=st.booleans()),
    st.builds(TransferFailed, result=st.sampled_from([UpdateResult.CONNECTION_LOST, UpdateResult.INVALID_URI])),
    st.just(UpdateExecuted()),
    st.just(InstallEnded()),
    st.just(Rebooted()),
)


def walk(profile: DeviceProfile, *happened: Input) -> list[Step]:
    steps: list[Step] = []
    device = start(profile)
    for what in happened:
        steps.append(advance(profile, device, what))
        device = steps[-1].after
    return steps


def reported(steps: list[Step]) -> list[tuple[Path, int | str]]:
    """What an observer of the three resources is told, in order."""
    return [
        (
            path,
            {FIRMWARE_STATE: int(step.after.state), FIRMWARE_RESULT: int(step.after.result)}.get(
                path, step.after.version
            ),
        )
        for step in steps
        for path in step.reports
    ]


def fits_itself(device: FirmwareObject, profile: DeviceProfile) -> bool:
    if profile.is_stub:
        return device == start(profile)
    moving = device.state in (DOWNLOADING, UPDATING)
    return (
        (not moving or device.result is UpdateResult.INITIAL)
        and (device.result is not UpdateResult.DEFERRED or (device.state is DOWNLOADED and device.deferred > 0))
        and (device.state is not DOWNLOADING or device.transfer is not None)
        and (device.transfer is not Transfer.BY_URI or device.state is DOWNLOADING)
        and (device.transfer is None or device.state in (IDLE, DOWNLOADING))
        and device.version in (profile.version, profile.installs_version)
    )


@given(st.sampled_from(sorted(PROFILES)), st.lists(inputs, max_size=30))
def test_only_legal_transitions(name: str, happened: list[Input]) -> None:
    profile = PROFILES[name]
    device = start(profile)
    for what in happened:
        step = advance(profile, device, what)
        after = step.after
        assert after.state is device.state or (device.state, after.state) in STATE_TRANSITIONS or what == Rebooted()
        assert fits_itself(after, profile)
        told = {
            FIRMWARE_STATE: after.state is not device.state and after.state not in profile.unnotified,
            FIRMWARE_RESULT: after.result is not device.result,
            FIRMWARE_VERSION: after.version != device.version,
        }
        silent = what == Rebooted() or step.answer is Answer.NONE
        expected = [] if silent else [path for path, new in told.items() if new]
        assert sorted(step.reports) == sorted(expected)
        if not profile.result_first:
            assert list(step.reports) == expected
        if step.answer is Answer.NOT_ALLOWED:
            assert after == device
            assert not step.actions
        if after.version != device.version:
            assert device.state is UPDATING
        device = after


@given(st.sampled_from(sorted(PROFILES)), st.lists(inputs, max_size=30))
def test_every_action_has_its_reason(name: str, happened: list[Input]) -> None:
    profile = PROFILES[name]
    device = start(profile)
    for what in happened:
        step = advance(profile, device, what)
        for action in step.actions:
            reasons: dict[type[Action], bool] = {
                StartDownload: step.after.transfer is Transfer.BY_URI
                and (device.transfer is not Transfer.BY_URI or what == Rebooted()),
                StopTransfer: device.transfer is not None and step.after.transfer is not device.transfer,
                Reboot: device.state is DOWNLOADED and (step.after.state is UPDATING or step.answer is Answer.NONE),
                EndInstall: device.state is DOWNLOADED and step.after.state is UPDATING,
                EndDeferral: step.after.result is UpdateResult.DEFERRED and step.after.state is DOWNLOADED,
                RegisterAnew: step.after.state is profile.registers_anew_in,
                ChangePort: step.after.state is profile.changes_port_in,
            }
            assert reasons[type(action)]
        device = step.after


@given(
    st.sampled_from(sorted(set(PROFILES) - {"hanging", "wakaama", "power-cut-resuming"})), st.lists(inputs, max_size=12)
)
def test_a_device_that_does_not_hang_comes_back_to_idle(name: str, happened: list[Input]) -> None:
    profile = PROFILES[name]
    device = start(profile)
    for what in [*happened, InstallEnded(), UriWritten(uri=""), Rebooted()]:
        device = advance(profile, device, what).after
    assert device.state is IDLE or profile.failed_install_returns_to is device.state


def test_a_download_by_address_shows_every_state() -> None:
    steps = walk(PLAIN, UriWritten(uri=ADDRESS), DownloadFinished(intact=True), UpdateExecuted(), Rebooted())
    assert reported(steps) == [(FIRMWARE_STATE, 1), (FIRMWARE_STATE, 2), (FIRMWARE_STATE, 3)]
    assert [step.actions for step in steps] == [
        (StartDownload(uri=ADDRESS),),
        (),
        (Reboot(after=PLAIN.reboot_delay),),
        (),
    ]
    assert steps[-1].after == FirmwareObject(version="2.0.0", result=UpdateResult.SUCCESS)


def test_a_package_written_in_blocks_may_hide_state_1() -> None:
    happened = (PackageStarted(), PackageWritten(intact=True))
    assert reported(walk(profile_named("push"), *happened)) == [(FIRMWARE_STATE, 2)]
    assert reported(walk(profile_named("push-shown"), *happened)) == [(FIRMWARE_STATE, 1), (FIRMWARE_STATE, 2)]


def test_a_corrupt_package_written_in_blocks_is_told_by_the_result_alone() -> None:
    steps = walk(profile_named("push"), PackageStarted(), PackageWritten(intact=False))
    assert reported(steps) == [(FIRMWARE_RESULT, 5)]
    assert steps[-1].answer is Answer.CHANGED


def test_a_corrupt_download_ends_in_idle() -> None:
    steps = walk(PLAIN, UriWritten(uri=ADDRESS), DownloadFinished(intact=False))
    assert reported(steps) == [(FIRMWARE_STATE, 1), (FIRMWARE_STATE, 0), (FIRMWARE_RESULT, 5)]


def test_a_lost_download_ends_in_idle_and_another_begins_with_a_fresh_result() -> None:
    lost = TransferFailed(result=UpdateResult.CONNECTION_LOST)
    steps = walk(PLAIN, UriWritten(uri=ADDRESS), lost, UriWritten(uri=ADDRESS))
    assert reported(steps)[2:] == [(FIRMWARE_RESULT, 4), (FIRMWARE_STATE, 1), (FIRMWARE_RESULT, 0)]


@pytest.mark.parametrize(("name", "state"), [("anjay-failing", 2), ("zephyr-failing", 0)])
def test_a_failed_install_ends_where_the_profile_says(name: str, state: int) -> None:
    profile = profile_named(name)
    steps = walk(profile, UriWritten(uri=ADDRESS), DownloadFinished(intact=True), UpdateExecuted(), InstallEnded())
    assert steps[2].actions == (EndInstall(after=profile.reboot_delay),)
    assert reported(steps)[2:] == [(FIRMWARE_STATE, 3), (FIRMWARE_STATE, state), (FIRMWARE_RESULT, 8)]
    assert steps[-1].after.version == profile.version


def test_an_update_without_a_reboot_reports_its_end() -> None:
    profile = profile_named("no-reboot")
    steps = walk(profile, UriWritten(uri=ADDRESS), DownloadFinished(intact=True), UpdateExecuted(), InstallEnded())
    assert reported(steps)[3:] == [(FIRMWARE_STATE, 0), (FIRMWARE_RESULT, 1), (FIRMWARE_VERSION, "2.0.0")]


def test_a_device_that_forgets_has_only_its_version_to_show() -> None:
    steps = walk(
        profile_named("zephyr"), UriWritten(uri=ADDRESS), DownloadFinished(intact=True), UpdateExecuted(), Rebooted()
    )
    assert steps[-1].after == FirmwareObject(version="2.0.0")


def test_a_hanging_device_stays_in_state_3() -> None:
    steps = walk(
        profile_named("hanging"),
        UriWritten(uri=ADDRESS),
        DownloadFinished(intact=True),
        UpdateExecuted(),
        InstallEnded(),
    )
    assert steps[2].actions == ()
    assert steps[-1].after.state is UPDATING


def test_a_foreign_scheme_is_refused_without_a_change_of_state() -> None:
    steps = walk(PLAIN, UriWritten(uri="ftp://a/b"), UriWritten(uri="ftp://a/b"))
    assert [step.answer for step in steps] == [Answer.BAD_REQUEST, Answer.BAD_REQUEST]
    assert reported(steps) == [(FIRMWARE_RESULT, 9)]


@pytest.mark.parametrize("uri", ["nonsense", "coap://", "coap://a/" + "b" * 255, "coap://a/é"])
def test_an_address_that_cannot_be_used(uri: str) -> None:
    steps = walk(PLAIN, UriWritten(uri=uri))
    assert steps[0].answer is Answer.BAD_REQUEST
    assert reported(steps) == [(FIRMWARE_RESULT, 7)]


def test_a_second_address_while_downloading_is_refused() -> None:
    steps = walk(PLAIN, UriWritten(uri=ADDRESS), UriWritten(uri=ADDRESS), PackageStarted())
    assert [step.answer for step in steps[1:]] == [Answer.BAD_REQUEST, Answer.NOT_ALLOWED]


@pytest.mark.parametrize("reset", [UriWritten(uri=""), ResetWritten()])
def test_a_reset_stops_the_transfer_and_is_refused_while_updating(reset: Input) -> None:
    steps = walk(PLAIN, UriWritten(uri=ADDRESS), reset)
    assert steps[-1].actions == (StopTransfer(),)
    assert steps[-1].after == start(PLAIN)
    updating = walk(PLAIN, UriWritten(uri=ADDRESS), DownloadFinished(intact=True), UpdateExecuted(), reset)
    assert updating[-1].answer is Answer.NOT_ALLOWED


def test_each_way_of_transfer_can_be_refused() -> None:
    by_write_only = replace(PLAIN, delivery=DeliveryMethod.PUSH)
    by_uri_only = replace(PLAIN, delivery=DeliveryMethod.PULL)
    assert walk(by_write_only, UriWritten(uri=ADDRESS))[0].answer is Answer.NOT_ALLOWED
    assert walk(by_uri_only, PackageStarted())[0].answer is Answer.NOT_ALLOWED
    assert walk(PLAIN, UpdateExecuted())[0].answer is Answer.NOT_ALLOWED


def test_a_power_cut_loses_the_transfer() -> None:
    after = walk(PLAIN, UriWritten(uri=ADDRESS), Rebooted())[-1].after
    assert (after.state, after.result, after.transfer) == (IDLE, UpdateResult.CONNECTION_LOST, None)
    kept = walk(PLAIN, UriWritten(uri=ADDRESS), DownloadFinished(intact=True), Rebooted())[-1].after
    assert kept.state is DOWNLOADED


def test_a_profile_that_makes_no_sense_is_refused() -> None:
    for wrong in (
        {"failed_install_returns_to": UPDATING},
        {"block_szx": 7},
        {"reboot_delay": -1},
        {"lifetime": 0},
        {"defers_from": IDLE},
        {"defers_for": -1.0},
        {"power_cuts": -1},
        {"firmware_instances": 0},
        {"rejects_package_with": UpdateResult.SUCCESS},
        {"rejects_package_with": UpdateResult.UPDATE_FAILED},
        {"content_formats": ()},
    ):
        with pytest.raises(ValueError):
            replace(PLAIN, **wrong)
    with pytest.raises(ValueError, match="plain"):
        profile_named("unheard-of")


def test_a_written_package_that_stopped_coming_does_not_bar_an_address() -> None:
    steps = walk(profile_named("anjay"), PackageStarted(), UriWritten(uri=ADDRESS))
    assert steps[-1].actions == (StopTransfer(), StartDownload(uri=ADDRESS))
    abandoned = TransferFailed(result=UpdateResult.CONNECTION_LOST)
    assert reported(walk(profile_named("anjay"), PackageStarted(), abandoned)) == [(FIRMWARE_RESULT, 4)]


@pytest.mark.parametrize(("name", "shown"), [("deferring", [3, 2]), ("deferring-in-2", [])])
def test_an_update_that_is_put_off_and_then_done_when_told_again(name: str, shown: list[int]) -> None:
    profile = profile_named(name)
    happened = (UriWritten(uri=ADDRESS), DownloadFinished(intact=True), UpdateExecuted())
    ends: tuple[Input, ...] = (InstallEnded(),) if shown else ()
    steps = walk(profile, *happened, *ends, UpdateExecuted())
    deferred = [(FIRMWARE_STATE, state) for state in shown] + [(FIRMWARE_RESULT, 11)]
    assert reported(steps)[2:] == [*deferred, (FIRMWARE_STATE, 3), (FIRMWARE_RESULT, 0)][: len(deferred) + 2]
    assert steps[-1].actions == (Reboot(after=profile.reboot_delay),)


def test_an_update_that_is_put_off_for_a_time_is_done_unasked() -> None:
    profile = profile_named("deferring-a-while")
    happened = (UriWritten(uri=ADDRESS), DownloadFinished(intact=True), UpdateExecuted(), InstallEnded())
    steps = walk(profile, *happened, DeferralEnded(), Rebooted())
    assert steps[3].actions == (EndDeferral(after=3.0),)
    assert steps[4].after.state is UPDATING
    assert steps[-1].after == FirmwareObject(version="2.0.0", result=UpdateResult.SUCCESS)
    off = walk(profile, *happened, Rebooted())[-1]
    assert off.actions == (EndDeferral(after=3.0),), "a power cut does not make it forget"
    gone = walk(profile, *happened, UriWritten(uri=""), DeferralEnded())[-1]
    assert gone.after == start(profile)


def test_a_device_that_never_installs_is_put_off_as_often_as_it_is_told() -> None:
    happened: tuple[Input, ...] = (UriWritten(uri=ADDRESS), DownloadFinished(intact=True))
    steps = walk(profile_named("never-ready"), *happened, *[UpdateExecuted(), InstallEnded()] * 5)
    assert [step.after.result for step in steps[3::2]] == [UpdateResult.DEFERRED] * 5
    assert {step.after.state for step in steps[3::2]} == {DOWNLOADED}


def test_a_reset_that_is_honoured_in_state_2_only() -> None:
    zephyr = profile_named("zephyr")
    ignored = walk(zephyr, UriWritten(uri=ADDRESS), UriWritten(uri=""))[-1]
    assert (ignored.answer, ignored.after.state, ignored.actions) == (Answer.CHANGED, DOWNLOADING, ())
    honoured = walk(zephyr, UriWritten(uri=ADDRESS), DownloadFinished(intact=True), ResetWritten())[-1]
    assert honoured.after == start(zephyr)
    updating = walk(zephyr, UriWritten(uri=ADDRESS), DownloadFinished(intact=True), UpdateExecuted(), ResetWritten())
    assert (updating[-1].answer, updating[-1].after.state) == (Answer.CHANGED, UPDATING)


def test_a_nul_that_is_taken_for_a_byte_of_an_image_spoils_it() -> None:
    spoilt = walk(profile_named("zephyr"), UriWritten(uri=ADDRESS), ResetWritten())[-1]
    assert (spoilt.after.state, spoilt.after.result) == (IDLE, UpdateResult.INTEGRITY_CHECK_FAILED)
    assert spoilt.actions == (StopTransfer(),)
    by_uri_only = replace(profile_named("zephyr"), delivery=DeliveryMethod.PULL)
    assert walk(by_uri_only, ResetWritten())[0].answer is Answer.NOT_ALLOWED


def test_a_second_address_that_is_accepted_and_ignored() -> None:
    steps = walk(profile_named("zephyr"), UriWritten(uri=ADDRESS), UriWritten(uri=ADDRESS + "2"))
    assert steps[-1] == Step(after=steps[0].after)


def test_cancel_is_for_what_is_under_way() -> None:
    anjay = profile_named("anjay")
    assert walk(anjay, CancelExecuted())[0].answer is Answer.NOT_ALLOWED
    cancelled = walk(anjay, UriWritten(uri=ADDRESS), CancelExecuted())[-1]
    assert reported([cancelled]) == [(FIRMWARE_STATE, 0), (FIRMWARE_RESULT, 10)]
    assert cancelled.actions == (StopTransfer(),)
    written = walk(anjay, PackageStarted(), CancelExecuted())[-1]
    assert (written.after.result, written.after.transfer) == (UpdateResult.CANCELLED, None)


def test_a_device_that_vanishes_before_it_answers_says_nothing_of_state_3() -> None:
    profile = profile_named("unanswering")
    steps = walk(profile, UriWritten(uri=ADDRESS), DownloadFinished(intact=True), UpdateExecuted(), Rebooted())
    assert steps[2] == Step(after=steps[2].after, answer=Answer.NONE, actions=(Reboot(after=0.0),))
    assert steps[-1].after == FirmwareObject(version="2.0.0", result=UpdateResult.SUCCESS)


def test_states_that_are_never_notified() -> None:
    happened = (UriWritten(uri=ADDRESS), DownloadFinished(intact=True), UpdateExecuted(), InstallEnded())
    steps = walk(profile_named("silent-end"), *happened)
    assert reported(steps) == [
        (FIRMWARE_STATE, 1),
        (FIRMWARE_STATE, 2),
        (FIRMWARE_RESULT, 1),
        (FIRMWARE_VERSION, "2.0.0"),
    ]
    assert reported(walk(profile_named("never-1"), *happened[:2])) == [(FIRMWARE_STATE, 2)]


def test_the_result_may_be_told_before_the_state() -> None:
    steps = walk(replace(profile_named("result-then-state"), integrity_fails=True), PackageStarted())
    steps += [advance(profile_named("result-then-state"), steps[-1].after, PackageWritten(intact=False))]
    assert steps[-1].reports == (FIRMWARE_RESULT, FIRMWARE_STATE)


@pytest.mark.parametrize(
    ("name", "result"), [("flash-full", 2), ("out-of-memory", 3), ("wrong-package", 6), ("corrupting", 5)]
)
def test_packages_that_are_thrown_away(name: str, result: int) -> None:
    intact = name != "corrupting"
    steps = walk(profile_named(name), UriWritten(uri=ADDRESS), DownloadFinished(intact=intact))
    assert reported(steps) == [(FIRMWARE_STATE, 1), (FIRMWARE_STATE, 0), (FIRMWARE_RESULT, result)]


def test_an_address_that_is_judged_by_its_download() -> None:
    accepted = walk(profile_named("late-judge"), UriWritten(uri="ftp://a/b"))[0]
    assert (accepted.answer, accepted.actions) == (Answer.CHANGED, (StartDownload(uri="ftp://a/b"),))


def test_a_download_that_goes_on_after_a_power_cut() -> None:
    steps = walk(
        profile_named("power-cut-resuming"), UriWritten(uri=ADDRESS), Rebooted(), DownloadFinished(intact=True)
    )
    assert steps[1] == Step(after=steps[0].after, actions=(StartDownload(uri=ADDRESS),))
    assert steps[-1].after.state is DOWNLOADED


def test_a_package_in_ram_is_gone_with_the_power() -> None:
    ordered = (UriWritten(uri=ADDRESS), DownloadFinished(intact=True), UpdateExecuted())
    steps = walk(profile_named("package-in-ram"), *ordered, Rebooted(), *ordered, Rebooted())
    cut, gone = steps[2:4]
    assert (cut.answer, cut.actions, cut.reports) == (Answer.NONE, (Reboot(after=0.0),), ())
    assert (gone.after.state, gone.after.result, gone.after.package_uri) == (IDLE, UpdateResult.INITIAL, "")
    assert steps[-2].after.state is UPDATING
    assert steps[-1].after.result is UpdateResult.SUCCESS


def test_what_was_long_ago_stays_until_something_new_begins() -> None:
    stale = profile_named("stale")
    assert start(stale).result is UpdateResult.CONNECTION_LOST
    assert start(stale).package_uri
    steps = walk(
        stale, Rebooted(), UriWritten(uri=ADDRESS), DownloadFinished(intact=True), UpdateExecuted(), Rebooted()
    )
    assert steps[0].after == start(stale)
    assert reported(steps)[:2] == [(FIRMWARE_STATE, 1), (FIRMWARE_RESULT, 0)]
    assert (steps[-1].after.package_uri, steps[-1].after.result) == (ADDRESS, UpdateResult.SUCCESS)


@given(st.lists(inputs, max_size=20))
def test_a_stub_takes_everything_and_never_changes(happened: list[Input]) -> None:
    stub = profile_named("wakaama")
    assert set(walk(stub, *happened)) <= {Step(after=start(stub))}
    assert start(stub).state is DOWNLOADING


def test_a_new_registration_in_a_certain_state() -> None:
    steps = walk(profile_named("re-registering"), UriWritten(uri=ADDRESS), DownloadFinished(intact=True), Rebooted())
    assert [step.actions for step in steps] == [(StartDownload(uri=ADDRESS),), (RegisterAnew(),), ()]
    moving = walk(profile_named("port-changing"), UriWritten(uri=ADDRESS))[0]
    assert moving.actions == (StartDownload(uri=ADDRESS), ChangePort())
