"""Make the checkout ready: `python3 local/setup.py` creates .venv, installs, prepares the models.

Runs on the machine's own Python with the standard library alone, and does nothing the second time.
"""

import hashlib
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "installed.sha256"
EXTRAS = "gateway,classifier,qa,imagegen,rag,console,models,local,training,dev,tracing"
NEEDED_GB = 4.0  # torch alone takes most of it
OLDEST = (3, 11)


def main() -> int:
    """Do what is missing; print one line a step, or one message and return 1."""
    try:
        check_machine()
        install()
    except (SetupFailed, OSError) as problem:
        sys.stderr.write(f"\nSet-up stopped: {problem}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("\nSet-up was interrupted; the next one goes on from here.\n")
        return 130
    return subprocess.run([PYTHON, "-m", "kit.models"], cwd=ROOT, check=False).returncode


class SetupFailed(Exception):
    """A step cannot be done; the message says what to do about it."""


def check_machine() -> None:
    """Refuse early what would fail late."""
    if sys.version_info < OLDEST:
        raise SetupFailed(f"Python 3.11 or newer is needed, this is {sys.version.split()[0]}.")
    free_gb = shutil.disk_usage(ROOT).free / 1e9
    if not STAMP.exists() and free_gb < NEEDED_GB:
        raise SetupFailed(f"{NEEDED_GB:g} GB of disk are needed in {ROOT}, {free_gb:.1f} are free.")


def install() -> None:
    """Create the virtual environment and install everything, unless it is done already."""
    wanted = _wanted()
    if STAMP.exists() and STAMP.read_text() == wanted and PYTHON.exists():
        return
    # pip comes last, so an interrupted creation has none.
    if not (PYTHON.exists() and (VENV / "bin" / "pip").exists()):
        _step("create .venv", [sys.executable, "-m", "venv", "--clear", str(VENV)])
    pip = [str(PYTHON), "-m", "pip", "install", "--disable-pip-version-check"]
    _step("upgrade pip", [*pip, "--upgrade", "pip"])
    # torch stands first and pinned: a looser wish would fetch gigabytes of CUDA.
    everything = ["-c", "deploy/constraints.txt", "torch==2.13.0", "-e", f".[{EXTRAS}]"]
    _step("install packages (about 2 GB, a few minutes)", [*pip, *everything])
    STAMP.write_text(wanted)


def _wanted() -> str:
    files = (ROOT / "pyproject.toml", ROOT / "deploy" / "constraints.txt")
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def _step(title: str, command: list[str]) -> None:
    """Run a command, keeping a person informed; fail with its last lines."""
    started = shown = time.monotonic()
    sys.stdout.write(f"{title} ...\n")
    lines: list[str] = []
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            lines = [*lines[-200:], line.strip()]
            if time.monotonic() - shown > 5:
                shown = time.monotonic()
                sys.stdout.write(f"  {shown - started:4.0f} s  {line.strip()[:100]}\n")
                sys.stdout.flush()
    if process.returncode:
        raise SetupFailed(f"{title} failed: {_reason(lines)}")
    sys.stdout.write(f"  done in {time.monotonic() - started:.0f} s\n")


def _reason(lines: list[str]) -> str:
    """Pick the line that a person needs out of a failed command's output."""
    text = "\n".join(lines)
    if "No space left on device" in text:
        return f"the disk is full ({ROOT})."
    if "ensurepip is not" in text:
        return "Python has no venv module; on Debian and Ubuntu: apt install python3-venv."
    network = ("NewConnectionError", "Temporary failure in name resolution", "Read timed out")
    if any(sign in text for sign in network):
        return "the package index cannot be reached; check the network or pip's index settings."
    errors = [line for line in lines if line.lower().startswith("error")]
    return (errors or lines or ["no output"])[-1]


if __name__ == "__main__":
    raise SystemExit(main())
