"""Pages hold every note once, of one device and one upgrade each, in the order of time, and are short."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from firmcast.ids import DeviceId, DeviceUpgradeId
from firmcast.journal.model import LONGEST_PAGE, DeviceNote, Exchange, ExchangeKind, Note
from firmcast.journal.pages import pages_of

START = datetime(2026, 1, 1, tzinfo=UTC)


def device_note(device: str, upgrade: str, seconds: float, path: str) -> DeviceNote:
    note = Note(
        occurred_at=START + timedelta(seconds=seconds),
        what=Exchange(kind=ExchangeKind.READ, path=path),
        device_upgrade_id=DeviceUpgradeId(upgrade) if upgrade else None,
    )
    return DeviceNote(device_id=DeviceId(device), note=note)


notes = st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(["", "u"]), st.integers(0, 60)), max_size=30).map(
    lambda drawn: [device_note(*one, f"/{number}") for number, one in enumerate(drawn)]
)


@given(notes)
def test_every_note_is_on_one_page_of_its_owner(noted: list[DeviceNote]) -> None:
    pages = pages_of(noted)
    told = [DeviceNote(device_id=page.device_id, note=note) for page in pages for note in page.notes]
    assert sorted(told, key=repr) == sorted(noted, key=repr)
    assert all(note.device_upgrade_id == page.device_upgrade_id for page in pages for note in page.notes)


@given(notes)
def test_pages_are_short_and_in_order(noted: list[DeviceNote]) -> None:
    for page in pages_of(noted):
        times = [note.occurred_at for note in page.notes]
        assert times == sorted(times)
        assert times[-1] - times[0] <= LONGEST_PAGE
        assert page.began_at == times[0]


def test_notes_of_one_moment_stay_as_they_were_given() -> None:
    (page,) = pages_of([device_note("a", "u", 1, path) for path in ("/5", "/3", "/4")])
    assert [note.what.path for note in page.notes if isinstance(note.what, Exchange)] == ["/5", "/3", "/4"]


def test_nothing_has_no_page() -> None:
    assert pages_of([]) == []
