"""The profiles that have a name copy what real clients were seen to do, each with the reason why it is there."""

from dataclasses import dataclass, replace

from firmcast.lwm2m.content import ContentFormat
from firmcast.lwm2m.firmware_update import DeliveryMethod, Protocol, UpdateResult
from firmcast.simulator.profile import DOWNLOADED, DOWNLOADING, IDLE, UPDATING, DeviceProfile
from firmcast.simulator.sleep import SleepHabit


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedProfile:
    """A profile and what a person reads of it: one sentence without a full stop, and the name of one that is alike."""

    profile: DeviceProfile
    description: str
    like: str


_PULL = DeviceProfile(delivery=DeliveryMethod.PULL)
_PUSH = DeviceProfile(delivery=DeliveryMethod.PUSH, shows_state_downloading=False)
_PUSH_SHOWN = replace(_PUSH, shows_state_downloading=True)

_ANJAY = DeviceProfile(
    shows_state_downloading=False,
    lwm2m_version="1.2",
    object_version="1.1",
    default_content_format=ContentFormat.SENML_CBOR,
    names_package_in=frozenset({DOWNLOADED, UPDATING}),
    model="as Anjay",
)
_ANJAY_PUSH = replace(_ANJAY, delivery=DeliveryMethod.PUSH)
_ZEPHYR = DeviceProfile(
    forgets_state_on_reboot=True,
    drops_query=True,
    resumes=False,
    block_szx=5,
    ignores_uri_while_busy=True,
    honours_reset_in=frozenset({DOWNLOADED}),
    denies_reset=False,
    takes_nul_for_package=True,
    report_gap=0.002,
    model="as Zephyr",
)
_WAKAAMA = DeviceProfile(
    delivery=DeliveryMethod.PUSH,
    content_formats=(ContentFormat.TEXT, ContentFormat.OPAQUE, ContentFormat.TLV),
    block_szx=3,
    is_stub=True,
    model="as Wakaama",
)
_WITH_HTTP = (Protocol.COAP, Protocol.HTTP)
_WITH_HTTPS = (Protocol.COAP, Protocol.HTTPS)
_DEFERRING = replace(_ANJAY, defers=1)


def _named(description: str, profile: DeviceProfile, *, like: str = "plain") -> NamedProfile:
    return NamedProfile(profile=profile, description=description, like=like)


NAMED_PROFILES: dict[str, NamedProfile] = {
    # The clients as they are.
    "plain": _named("Does everything by the book, fetches packages and takes them", DeviceProfile()),
    "pull": _named("Fetches packages only", _PULL),
    "push": _named("Takes packages that are written, and never shows state 1", _PUSH),
    "push-shown": _named("Takes packages that are written, and shows state 1 meanwhile", _PUSH_SHOWN),
    "anjay": _named("Answers as Anjay does: SenML-CBOR, PkgName from state 2 on, Cancel", _ANJAY),
    "anjay-push": _named("Takes only what is written", _ANJAY_PUSH, like="anjay"),
    "anjay-deaf": _named(
        "Answers nothing else while it is being written to",
        replace(_ANJAY_PUSH, serves_while_written=False),
        like="anjay-push",
    ),
    "anjay-busy": _named(
        "Refuses everything else with 5.03 while it is being written to, as Anjay does",
        replace(_ANJAY_PUSH, refuses_while_written=True),
        like="anjay-push",
    ),
    "anjay-failing": _named(
        "Its installs fail: 3, 2, result 8", replace(_ANJAY, failed_install_returns_to=DOWNLOADED), like="anjay"
    ),
    "zephyr": _named(
        "Answers as Zephyr does: forgets state and result when it reboots, sends no query, cannot resume, can be reset "
        "in state 2 only, and shows state 0 before its result",
        _ZEPHYR,
    ),
    "zephyr-failing": _named(
        "Its installs fail: 3, 0, result 8", replace(_ZEPHYR, failed_install_returns_to=IDLE), like="zephyr"
    ),
    "zephyr-push": _named(
        "Takes only what is written; a package written anew is taken for a repeat",
        replace(_ZEPHYR, delivery=DeliveryMethod.PUSH, restarts_push=False),
        like="zephyr",
    ),
    "wakaama": _named(
        "An Object 5 with nothing behind it, as the sample of Wakaama: always in state 1, takes everything, no SenML",
        _WAKAAMA,
    ),
    "http": _named("Fetches packages by HTTP too", DeviceProfile(protocols=_WITH_HTTP, speaks=_WITH_HTTP)),
    "https": _named("Fetches packages by HTTPS too", DeviceProfile(protocols=_WITH_HTTPS, speaks=_WITH_HTTPS)),
    "http-only": _named(
        "Fetches packages only, and by HTTP only, whether it has a secure session or not",
        replace(_PULL, protocols=(Protocol.HTTP,), speaks=(Protocol.HTTP,)),
        like="pull",
    ),
    # What it says of itself, and what is so.
    "lists-coap": _named(
        "Fetches packages only, and lists CoAP where it has a secure session and fetches through that",
        replace(_PULL, lists_as_in_clear=True),
        like="pull",
    ),
    "lists-http": _named("Lists HTTP, and refuses its addresses: 4.00, result 9", DeviceProfile(protocols=_WITH_HTTP)),
    "lists-http-late": _named(
        "Lists HTTP, accepts its addresses with 2.04 and ends the download with result 9",
        DeviceProfile(protocols=_WITH_HTTP, judges_uri_at_once=False),
        like="lists-http",
    ),
    "leaves-http": _named(
        "Lists HTTP, accepts its addresses with 2.04, shows state 1 and asks for nothing",
        DeviceProfile(protocols=_WITH_HTTP, leaves_addresses=DOWNLOADING),
        like="lists-http",
    ),
    "leaves-http-in-0": _named(
        "Lists HTTP, accepts its addresses with 2.04, stays in state 0 and asks for nothing",
        DeviceProfile(protocols=_WITH_HTTP, leaves_addresses=IDLE),
        like="lists-http",
    ),
    "refuses-addresses": _named(
        "Says that it fetches packages and takes them, and refuses every address with 4.05",
        DeviceProfile(refuses_addresses=True),
    ),
    "refuses-packages": _named(
        "Says that it fetches packages and takes them, and refuses every one that is written with 4.05",
        DeviceProfile(refuses_packages=True),
    ),
    # How it ends.
    "no-reboot": _named("Updates without a reboot and notifies its end", DeviceProfile(notify_final_idle=True)),
    "silent-end": _named(
        "Updates without a reboot, and neither state 3 nor the end is notified",
        DeviceProfile(notify_final_idle=True, unnotified=frozenset({UPDATING, IDLE})),
    ),
    "sudden": _named(
        "Answers Update and reboots at once, before state 3 is notified",
        DeviceProfile(reboot_delay=0.0, unnotified=frozenset({UPDATING})),
    ),
    "unanswering": _named("Reboots on Update before it has answered", DeviceProfile(answers_update=False)),
    "sending": _named(
        "Sends state, result and version unasked after a restart (LwM2M Send)", DeviceProfile(sends_after_reboot=True)
    ),
    "hanging": _named("Stays in state 3 for ever", DeviceProfile(hang_in_updating=True)),
    "deferring": _named(
        "Puts the first Update off, 2, 3, 2 with result 11, and obeys the second", _DEFERRING, like="anjay"
    ),
    "deferring-in-2": _named(
        "Puts the first Update off and stays in state 2 with result 11",
        replace(_DEFERRING, defers_from=DOWNLOADED),
        like="deferring",
    ),
    "deferring-a-while": _named(
        "Puts the first Update off with result 11, and installs unasked three seconds later",
        replace(_DEFERRING, defers_for=3.0),
        like="deferring",
    ),
    "never-ready": _named(
        "Puts every Update off with result 11", replace(_DEFERRING, defers=1_000_000), like="deferring"
    ),
    # How packages fare.
    "corrupting": _named("Stores one byte of a package wrongly: result 5", DeviceProfile(integrity_fails=True)),
    "flash-full": _named(
        "Has no room for any package: result 2", DeviceProfile(rejects_package_with=UpdateResult.NOT_ENOUGH_FLASH)
    ),
    "out-of-memory": _named(
        "Runs out of memory at the end of a package: result 3",
        DeviceProfile(rejects_package_with=UpdateResult.OUT_OF_MEMORY),
    ),
    "wrong-package": _named(
        "Knows no such type of package: result 6",
        DeviceProfile(rejects_package_with=UpdateResult.UNSUPPORTED_PACKAGE_TYPE),
    ),
    "bad-package-untold": _named(
        "Rejects a package with result 5, of which the result alone is notified",
        DeviceProfile(integrity_fails=True, shows_state_downloading=False, unnotified=frozenset({DOWNLOADING})),
    ),
    "small-blocks": _named("Takes blocks of 64 bytes", DeviceProfile(block_szx=2)),
    "tiny-blocks": _named("Takes blocks of 16 bytes", DeviceProfile(block_szx=0)),
    "size-untold": _named(
        "Takes blocks of 64 bytes, and refuses larger ones with a 4.13 that does not say so",
        DeviceProfile(block_szx=2, refuses_large_blocks=True),
        like="small-blocks",
    ),
    "loses-packages": _named(
        "Says that it fetches packages and takes them, and answers 4.08 to every one that is written",
        DeviceProfile(loses_packages=True),
    ),
    "never-1": _named(
        "Never notifies state 1", DeviceProfile(shows_state_downloading=False, unnotified=frozenset({DOWNLOADING}))
    ),
    "drops-query": _named("Sends no query of a package address", DeviceProfile(drops_query=True)),
    "no-resume": _named("Begins a broken download again at block 0", replace(_PULL, resumes=False)),
    "power-cut": _named("Loses its power at a random block of its first transfer", DeviceProfile(power_cuts=1)),
    "power-cut-resuming": _named(
        "Loses its power at a random block of its first download, and goes on with it afterwards",
        replace(_PULL, power_cuts=1, keeps_download_over_reboot=True),
    ),
    "package-in-ram": _named(
        "Holds its package in RAM, and loses its power, and the package with it, when Update is first ordered",
        DeviceProfile(power_cuts_at_update=1, loses_package_with_power=True),
    ),
    "late-judge": _named(
        "Accepts any address with 2.04 and fails the download afterwards",
        replace(_PULL, judges_uri_at_once=False, missing_package_is=UpdateResult.CONNECTION_LOST),
    ),
    "deaf-to-reset": _named(
        "Does not answer the first request to go back to state 0, and stays where it is",
        DeviceProfile(unanswered_resets=1),
    ),
    # What it tells of it.
    "stale": _named(
        "Starts with the address and the result 4 of an update long ago, and keeps its last address",
        DeviceProfile(
            first_result=UpdateResult.CONNECTION_LOST,
            first_package_uri="coap://192.0.2.1/long/ago",
            keeps_package_uri=True,
        ),
    ),
    "state-then-result": _named(
        "Shows a new state 50 ms before the result that belongs to it",
        DeviceProfile(report_gap=0.05, notify_final_idle=True),
    ),
    "result-then-state": _named(
        "Shows a new result 50 ms before the state that belongs to it",
        DeviceProfile(report_gap=0.05, result_first=True, notify_final_idle=True),
    ),
    "separate": _named(
        "Acknowledges each request first and answers 50 ms later, in a message of its own",
        DeviceProfile(answer_delay=0.05),
    ),
    "confirming": _named("Sends confirmable notifications", DeviceProfile(notifies_confirmable=True)),
    "re-registering": _named(
        "Registers anew in state 2 without a reboot, as after an Update of its registration that was lost",
        DeviceProfile(registers_anew_in=DOWNLOADED),
    ),
    "port-changing": _named(
        "Goes on from another port in state 1, of which it says nothing, as behind a NAT",
        DeviceProfile(changes_port_in=DOWNLOADING),
    ),
    "sleepy": _named(
        "Is in queue mode: deaf 20 s after it last sent anything, and wakes each minute",
        DeviceProfile(sleep=SleepHabit()),
    ),
    "several-instances": _named(
        "Has two instances of Object 5, and tells the object's version",
        DeviceProfile(firmware_instances=2, object_version="1.1", links_object_version=True),
    ),
}
"""The profiles by their names; `dataclasses.replace` makes others of them."""

PROFILES: dict[str, DeviceProfile] = {name: named.profile for name, named in NAMED_PROFILES.items()}


def profile_named(name: str) -> DeviceProfile:
    """Return the profile of that name; raises ValueError, listing the names, when there is none."""
    profile = PROFILES.get(name)
    if profile is None:
        raise ValueError(f"no profile {name!r}; there are {', '.join(sorted(PROFILES))}")
    return profile
