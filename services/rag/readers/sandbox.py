"""Parse a foreign format in a process of its own: broken or hostile files end that one only."""

import json
import os
import subprocess
import sys
from pathlib import Path

from services.rag.readers.drafts import Draft, Options, Unreadable

ROOT = Path(__file__).resolve().parents[3]  # from where `services` can be imported


def read(module: str, content: bytes, options: Options, seconds: int) -> list[Draft]:
    """Return what `module` of this package reads; blocking. Raises Unreadable."""
    arguments = (module, str(seconds), options.encoding or "", str(options.max_pages))
    try:
        ended = subprocess.run(  # noqa: S603 - our own fixed command
            [sys.executable, "-m", "services.rag.readers.child", *arguments],
            input=content,
            capture_output=True,
            timeout=seconds,
            env={"PATH": os.defpath, "PYTHONPATH": str(ROOT)},  # no secrets for a parser gone bad
            cwd=ROOT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Unreadable(f"reading it takes longer than {seconds} s") from None
    if ended.returncode != 0:
        raise Unreadable("it is broken, or reading it takes too much memory or time")
    answer = json.loads(ended.stdout)
    if "reason" in answer:
        raise Unreadable(answer["reason"], answer["place"])
    return [Draft(**draft) for draft in answer["drafts"]]
