import asyncio
import socket
from pathlib import Path

import pytest

from local import demo, setup, stack
from services.imagegen.storage import Storage


def test_a_port_in_use_is_one_clear_message():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ports = stack.free_ports() | {"qa": taken.getsockname()[1]}
        with pytest.raises(stack.StackFailed, match=r"Port \d+ for qa is in use.*QA_PORT=PORT"):
            stack._check_ports(ports)


def test_every_port_can_be_chosen(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GATEWAY_PORT", "18080")
    monkeypatch.setenv("IMAGEGEN_WORKER_PORT", "18013")
    ports = stack.ports_from_environment()
    assert (ports["gateway"], ports["worker"], ports["rag"]) == (18080, 18013, 8004)


@pytest.mark.parametrize("wrong", ["http", "0", "65536", "-1", "8001"])
def test_a_wrong_port_is_one_clear_message(monkeypatch: pytest.MonkeyPatch, wrong: str):
    monkeypatch.setenv("GATEWAY_PORT", wrong)
    with pytest.raises(stack.StackFailed, match=f"_PORT={wrong} is "):
        stack.ports_from_environment()


async def test_pictures_stay_inside_a_data_folder_of_any_name(tmp_path: Path):
    data = tmp_path / "50%20 # of? мой"
    programs = stack.programs(stack.free_ports(), data, tmp_path / "redis.sock")
    url = programs[-1].environment["IMAGEGEN_STORAGE_URL"]
    storage = await asyncio.to_thread(Storage.at, url)
    await storage.put("tenant=ann/1/0.png", b"picture")
    assert (data / "pictures" / "tenant=ann" / "1" / "0.png").read_bytes() == b"picture"


async def test_two_systems_never_share_a_data_folder(tmp_path: Path):
    data, run = tmp_path / "data", tmp_path / "run"
    data.mkdir()
    with stack._alone_in(data), pytest.raises(stack.StackFailed, match="DATA_DIR=FOLDER"):
        async with stack.running(stack.free_ports(), echo=False, data=data, run=run):
            pass
    assert not run.exists(), "something was started"


def test_redis_comes_first_so_that_nobody_waits_for_it(tmp_path: Path):
    first = stack.programs(stack.free_ports(), tmp_path, tmp_path / "redis.sock")[0]
    assert first.name == "redis"
    assert "appendonly yes appendfsync everysec" in " ".join(first.command).replace("--", "")


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (["OSError: [Errno 28] No space left on device"], "the disk is full"),
        (["WARNING: NewConnectionError(...)"], "the package index cannot be reached"),
        (
            ["The virtual environment was not created successfully because ensurepip is not"]
            + ["available.", "", "Failing command: /x/.venv/bin/python3"],
            "apt install python3-venv",
        ),
        (["Collecting x", "ERROR: No matching distribution found for x"], "No matching"),
    ],
)
def test_a_failed_installation_says_why_in_one_line(lines: list[str], reason: str):
    message = setup._reason(lines)
    assert reason in message
    assert "\n" not in message


def test_an_interrupted_installation_is_taken_up_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    for name, path in {"VENV": "", "PYTHON": "bin/python", "STAMP": "installed.sha256"}.items():
        monkeypatch.setattr(setup, name, tmp_path / path)
    steps: list[str] = []
    monkeypatch.setattr(setup, "_step", lambda title, _: steps.append(title.split()[0]))
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").touch()  # the creation ended before pip was there
    setup.install()
    (tmp_path / "bin" / "pip").touch()
    (tmp_path / "installed.sha256").unlink()  # the installation ended before the stamp
    setup.install()
    setup.install()
    assert steps == ["create", "upgrade", "install", "upgrade", "install"]


def test_ctrl_c_is_a_message_and_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    async def interrupted_demo() -> int:
        raise KeyboardInterrupt

    def interrupted_install() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "demo", interrupted_demo)
    monkeypatch.setattr(setup, "install", interrupted_install)
    assert (demo.main(), setup.main()) == (130, 130)
    assert capfd.readouterr().err.count("interrupted") == 2


def test_a_full_disk_is_noticed_before_the_installation(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setattr(setup, "STAMP", tmp_path / "none")
    monkeypatch.setattr(setup, "NEEDED_GB", 1e9)
    with pytest.raises(setup.SetupFailed, match="GB of disk are needed"):
        setup.check_machine()
