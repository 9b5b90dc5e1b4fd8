from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from firmcast.private_files import read_or_create


def test_what_stands_there_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    assert read_or_create(path, b"first") == b"first"
    assert read_or_create(path, b"second") == b"first"


def test_only_its_owner_reads_it_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    read_or_create(path, b"first")
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_all_who_come_at_once_get_the_same(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    with ThreadPoolExecutor(8) as threads:
        got = set(threads.map(lambda number: read_or_create(path, str(number).encode()), range(8)))
    assert got == {path.read_bytes()}
    assert list(tmp_path.iterdir()) == [path]


def test_a_crash_before_the_end_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def power_cut(_descriptor: int) -> None:
        raise OSError("the power is gone")

    path = tmp_path / "secret"
    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", power_cut)
        with pytest.raises(OSError, match="the power"):
            read_or_create(path, b"first")
    assert not path.exists()
    assert read_or_create(path, b"second") == b"second"


def test_where_there_are_no_links_it_is_made_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(_path: Path, _target: Path) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "hardlink_to", no_links)
    assert read_or_create(tmp_path / "secret", b"first") == b"first"
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]
