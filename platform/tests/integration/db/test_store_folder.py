from pathlib import Path

import pytest

from firmcast.db.store_folder import make_store_folder
from firmcast.errors import StartError


def test_a_folder_is_made_with_what_is_above_it_and_only_its_owner_sees_into_it(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    make_store_folder(folder)
    make_store_folder(folder)
    assert folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "9p"])
def test_a_network_file_system_is_refused_by_name(tmp_path: Path, kind: str) -> None:
    mounts = tmp_path / "mounts"
    folder = tmp_path / "with space" / "store"
    shown = str(tmp_path / "with space").replace(" ", "\\040")
    mounts.write_text(f"/dev/one / ext4 rw 0 0\nserver:/x {shown} {kind} rw 0 0\n/dev/two /elsewhere ext4 rw 0 0\n")
    with pytest.raises(StartError, match=kind):
        make_store_folder(folder, mounts)
    make_store_folder(tmp_path / "local", mounts)


def test_of_two_at_one_place_the_later_counts(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"server:/x {tmp_path} nfs rw 0 0\n/dev/one {tmp_path} ext4 rw 0 0\n")
    make_store_folder(tmp_path / "store", mounts)


def test_where_the_system_does_not_tell_all_is_allowed(tmp_path: Path) -> None:
    make_store_folder(tmp_path / "store", tmp_path / "no such file")
