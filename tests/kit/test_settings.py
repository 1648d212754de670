"""A wrong setting stops the start with one message that names it."""

from pathlib import Path

import pytest

from kit.settings import load
from services.qa.settings import Settings


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("QA_PORT", "9000")
    monkeypatch.setenv("MODELS_DIR", "/models")
    monkeypatch.setenv("INTERNAL_TOKEN", "s3cret")
    settings = load(Settings)
    assert (settings.port, settings.models_dir) == (9000, Path("/models"))
    assert settings.internal_token
    assert "s3cret" not in repr(settings)


def test_a_wrong_value_is_one_line_with_the_name_of_the_variable(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("QA_PORT", "http")
    with pytest.raises(SystemExit) as stopped:
        load(Settings)
    (line,) = capsys.readouterr().err.splitlines()
    assert stopped.value.code == 2
    assert line.startswith("Wrong setting QA_PORT: ")


def test_every_wrong_value_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("QA_THREADS", "0")
    monkeypatch.setenv("QA_LOG_LEVEL", "loud")
    with pytest.raises(SystemExit):
        load(Settings)
    named = {line.split(":")[0] for line in capsys.readouterr().err.splitlines()}
    assert named == {"Wrong setting QA_THREADS", "Wrong setting QA_LOG_LEVEL"}


def test_settings_cannot_change_while_the_service_runs():
    with pytest.raises(ValueError, match="frozen"):
        Settings().port = 1  # type: ignore[misc]
