"""When a callback is gone, and when it only knows nothing of some devices."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from firmcast.ids import DeviceId
from firmcast.push.answer import Answer
from firmcast.push.gone_watch import GoneWatch, GoneWatches, Said
from firmcast.push.model import GroupId

NOW = datetime(2026, 11, 28, tzinfo=UTC)
GROUP = GroupId(1)
DEVICES = [DeviceId(f"d{number}") for number in range(6)]
FEW = st.sampled_from(DEVICES[:2])
ANY = st.sampled_from(DEVICES)


def test_three_devices_in_a_row_make_it_gone() -> None:
    watch = GoneWatch()
    assert [watch.refused(device, NOW) for device in DEVICES[:3]] == [False, False, True]


@given(st.lists(FEW, max_size=60))
def test_two_devices_never_do(refused: list[DeviceId]) -> None:
    watch = GoneWatch()
    assert not any(watch.refused(device, NOW) for device in refused)


@given(st.sampled_from([True, False]))
def test_any_other_answer_between_begins_anew(delivered: bool) -> None:
    watch = GoneWatch()
    for device in DEVICES[:2]:
        watch.refused(device, NOW)
    watch.answered(DEVICES[5], delivered=delivered)
    assert not watch.refused(DEVICES[2], NOW)


@given(st.lists(st.sampled_from(DEVICES[:4])))
def test_devices_that_were_refused_while_others_were_told_do_not_count(refused: list[DeviceId]) -> None:
    """The tail of an upgrade: all is told but what the receiver does not know, and that alone is tried again."""
    watch = GoneWatch()
    for device in DEVICES[:4]:
        watch.refused(device, NOW)
        watch.answered(DEVICES[5], delivered=True)
    assert not any(watch.refused(device, NOW) for device in refused)
    assert [watch.refused(device, NOW) for device in (*DEVICES[4:], DeviceId("new"))] == [False, False, True]


def test_a_device_that_was_told_again_counts_again() -> None:
    watch = GoneWatch()
    for device in DEVICES[:3]:
        watch.refused(device, NOW)
        watch.answered(DEVICES[5], delivered=True)
    for device in DEVICES[:3]:
        watch.answered(device, delivered=True)
    assert [watch.refused(device, NOW) for device in DEVICES[:3]] == [False, False, True]


def test_a_failure_that_tells_nothing_of_others_acquits_no_device() -> None:
    """A proxy that is being taken down answers 503 now and 410 then, to anybody."""
    watch = GoneWatch()
    for device in DEVICES[:2]:
        watch.refused(device, NOW)
    watch.answered(DEVICES[0], delivered=False)
    assert [watch.refused(device, NOW) for device in DEVICES[:3]] == [False, False, True]


@given(st.lists(ANY))
def test_what_was_asked_before_the_application_asked_to_be_called_says_nothing(refused: list[DeviceId]) -> None:
    watch = GoneWatch(since=NOW)
    assert not any(watch.refused(device, NOW - timedelta(seconds=1)) for device in refused)


@given(st.lists(st.tuples(ANY, st.sampled_from(["refused", "delivered", "failed"])), max_size=80))
def test_it_is_gone_only_after_three_devices_with_nothing_else_between(course: list[tuple[DeviceId, str]]) -> None:
    watch = GoneWatch()
    in_a_row: set[DeviceId] = set()
    for device, answer in course:
        if answer == "refused":
            in_a_row.add(device)
            assert not watch.refused(device, NOW) or len(in_a_row) >= 3
        else:
            watch.answered(device, delivered=answer == "delivered")
            in_a_row.clear()


def test_it_remembers_no_more_than_it_must() -> None:
    watch = GoneWatch()
    for number in range(5_000):
        watch.refused(DeviceId(f"many-{number}"), NOW)
        watch.answered(DEVICES[0], delivered=True)
    assert len(watch._alone) <= 1_000


def answer(status: int) -> Answer:
    return Answer(status=status, failure=None, duration=0.0)


class OneOfSeveral:
    """A node that shares the devices of a callback with others, which hear at once what it has to tell."""

    def __init__(self) -> None:
        self.watches = GoneWatches(lambda _group_id, said: self.said.append(said))
        self.said: list[Said] = []
        self.others: list[OneOfSeveral] = []

    def is_gone(self, device_id: DeviceId, status: int, second: int) -> bool:
        gone = self.watches.is_gone(GROUP, device_id, answer(status), NOW + timedelta(seconds=second))
        return self.tell() or gone

    def tell(self) -> bool:
        """Return whether it was the last that another had to hear."""
        news = self.watches.take_news(GROUP)
        found = [other.watches.hear(GROUP, each) for other in self.others for each in news]
        return any(found)


def several(count: int) -> list[OneOfSeveral]:
    nodes = [OneOfSeveral() for _ in range(count)]
    for node in nodes:
        node.others = [other for other in nodes if other is not node]
    return nodes


@given(st.lists(st.tuples(ANY, st.sampled_from([410, 200, 503])), max_size=80))
def test_nodes_that_tell_each_other_find_together_what_one_would(course: list[tuple[DeviceId, int]]) -> None:
    (alone,), nodes = several(1), several(3)
    for second, (device, status) in enumerate(course):
        node = nodes[DEVICES.index(device) % 3]
        gone = alone.is_gone(device, status, second)
        assert node.is_gone(device, status, second) is gone
        if gone:
            return


def test_what_another_node_took_meanwhile_acquits_a_device_though_it_hears_late_of_the_refusal() -> None:
    one, two = several(2)
    one.watches.is_gone(GROUP, DEVICES[0], answer(410), NOW)
    two.is_gone(DEVICES[5], 200, 1)
    assert not one.tell()
    assert two.said == [Said.TAKEN]
    two.tell()
    assert [one.is_gone(device, 410, 2) for device in DEVICES[:4]] == [False, False, False, True]


def test_a_refusal_that_means_nothing_is_no_news() -> None:
    one, two = several(2)
    one.watches.is_gone(GROUP, DEVICES[0], answer(410), NOW)
    one.watches.is_gone(GROUP, DEVICES[1], answer(200), NOW)
    assert one.watches.take_news(GROUP) == []
    assert [two.is_gone(device, 410, 1) for device in DEVICES[:3]] == [False, False, True]


def test_what_was_heard_later_than_the_other_node_took_something_still_counts() -> None:
    one, two = several(2)
    one.is_gone(DEVICES[0], 410, 1)
    two.watches.is_gone(GROUP, DEVICES[5], answer(200), NOW + timedelta(seconds=2))
    one.watches.is_gone(GROUP, DEVICES[1], answer(410), NOW + timedelta(seconds=3))
    assert not two.tell()
    assert [one.is_gone(device, 410, 4) for device in DEVICES[2:4]] == [False, True]
