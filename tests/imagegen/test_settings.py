"""What the environment may say."""

import pytest

from kit.settings import load
from services.imagegen.settings import Settings


@pytest.mark.parametrize("slots", [1, 2, 4, 8, 16])
def test_the_environment_sets_how_many_are_painted_at_once(
    monkeypatch: pytest.MonkeyPatch, slots: int
) -> None:
    monkeypatch.setenv("IMAGEGEN_BATCH_PICTURES", str(slots))
    assert load(Settings).batch_pictures == slots


@pytest.mark.parametrize("slots", ["3", "0", "many"])
def test_other_numbers_stop_the_start(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], slots: str
) -> None:
    monkeypatch.setenv("IMAGEGEN_BATCH_PICTURES", slots)
    with pytest.raises(SystemExit):
        load(Settings)
    assert "IMAGEGEN_BATCH_PICTURES" in capsys.readouterr().err
