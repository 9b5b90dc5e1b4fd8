from pathlib import Path

import pytest
from pydantic import SecretStr

from firmcast.app import Platform
from firmcast.errors import StartError
from firmcast.settings import GatewaySettings, RestSettings, Settings


def settings_of(folder: Path, token: str | None = None) -> Settings:
    return Settings(
        data=folder,
        admin_token=None if token is None else SecretStr(token),
        rest=RestSettings(port=0),
        gateway=GatewaySettings(port=0),
    )


async def test_the_one_that_is_made_stays_the_same_after_a_restart(tmp_path: Path) -> None:
    tokens = []
    for _ in range(2):
        platform = await Platform.start(settings_of(tmp_path))
        tokens.append(platform.admin_token)
        await platform.stop()
    assert tokens[0] == tokens[1] == (tmp_path / "admin-token").read_text().strip()


@pytest.mark.parametrize("token", ["", " ", "two words", "schlüssel", "a\n", "a" * 5000])
async def test_one_that_nobody_could_send_is_refused_at_the_start(tmp_path: Path, token: str) -> None:
    with pytest.raises(StartError, match="operator's token"):
        await Platform.start(settings_of(tmp_path, token))


async def test_a_file_without_one_is_refused_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "admin-token").write_bytes(b"")
    with pytest.raises(StartError, match="admin-token"):
        await Platform.start(settings_of(tmp_path))


async def test_where_the_folder_is_open_to_all_what_is_in_the_store_is_not(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir(mode=0o755)
    platform = await Platform.start(settings_of(folder))
    await platform.stop()
    open_to_others = {path.name for path in folder.iterdir() if path.stat().st_mode & 0o077}
    assert open_to_others <= {"tls", "running.json"}
    assert (folder / "tls" / "key.pem").stat().st_mode & 0o077 == 0
