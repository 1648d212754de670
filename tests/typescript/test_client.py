"""A TypeScript client made of the merged document compiles under `strict` and drives the stack."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.running import RunningStack

HERE = Path(__file__).parent
FILES = ("package.json", "package-lock.json", "tsconfig.json", "drive.ts")
SECONDS = 300


def run(folder: Path, *command: str) -> str:
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def prepared(folder: Path) -> None:
    """Install what the client needs; without npm, or its registry, there is nothing to test."""
    if shutil.which("npm") is None:
        pytest.skip("npm is missing")
    for name in FILES:
        shutil.copy(HERE / name, folder)
    install = ["npm", "ci", "--no-audit", "--no-fund", "--prefer-offline"]
    done = subprocess.run(
        install, cwd=folder, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    if done.returncode != 0:
        pytest.skip(f"npm cannot install: {done.stderr.strip().splitlines()[-1:]}")


@pytest.mark.weights
@pytest.mark.stack
def test_the_client_compiles_and_drives_the_stack(running_stack: RunningStack, tmp_path: Path):
    prepared(tmp_path)
    document = running_stack.gateway.get("/openapi.json").json()
    assert "Left out" not in document["info"]["description"]
    (tmp_path / "openapi.json").write_text(json.dumps(document), encoding="utf-8")
    options = ("--default-non-nullable=false", "-o", "switchboard.d.ts")
    run(tmp_path, "npx", "openapi-typescript", "openapi.json", *options)
    run(tmp_path, "npx", "tsc")
    url = str(running_stack.gateway.base_url).rstrip("/")
    lines = run(tmp_path, "node", "built/drive.js", url).splitlines()
    said = {line["what"]: line["value"] for line in map(json.loads, lines)}
    assert dict(said["services"]) == dict.fromkeys(("classifier", "qa", "imagegen", "rag"), True)
    assert said["labels"] == ["gratitude"]
    assert said["answer"] == "1894"
    assert said["intent"] == "draw"
    assert "%" in said["chat"]
    assert said["refused"] == 422
