from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from firmcast.settings import Settings, load_settings


def test_every_setting_has_a_default(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings()
    assert settings.rest.port == 8743
    assert settings.gateway.port == 5683


@pytest.mark.parametrize("text", ["PT3S", "3", "3.0"])
def test_the_environment_reaches_one_field_and_leaves_its_neighbours(
    monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("FIRMCAST_PUSH__ATTEMPT_TIMEOUT", text)
    settings = load_settings()
    assert settings.push.attempt_timeout == timedelta(seconds=3)
    assert settings.push.concurrency == Settings().push.concurrency


def test_the_environment_goes_before_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "firmcast.toml"
    file.write_text('data = "elsewhere"\n[rest]\nport = 1000\nhost = "0.0.0.0"\n')
    monkeypatch.setenv("FIRMCAST_REST__PORT", "2000")
    settings = load_settings(file)
    assert settings.data == Path("elsewhere")
    assert settings.rest.port == 2000
    assert settings.rest.host == "0.0.0.0"


@pytest.mark.parametrize("text", ["prot = 1\n", "[rest]\nport = 70000\n", "[push]\nconcurrency = 0\n"])
def test_what_is_unknown_or_out_of_range_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "firmcast.toml"
    file.write_text(text)
    with pytest.raises(ValidationError):
        load_settings(file)


def test_the_administrators_token_does_not_print(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIRMCAST_ADMIN_TOKEN", "very-secret")
    assert "very-secret" not in repr(load_settings())


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError):
        Settings().rest.port = 1  # type: ignore[misc]  # what must not be possible
