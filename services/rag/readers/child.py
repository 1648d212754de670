"""Read one file from standard input, with limits on memory and time: `sandbox.py` starts this."""

import importlib
import json
import resource
import sys
from dataclasses import asdict
from typing import Any

from services.rag.readers.drafts import Options, Unreadable

MEMORY = 1024 * 2**20


def main() -> None:
    """Write the drafts, or why there are none, as JSON."""
    module, seconds, encoding, max_pages = sys.argv[1:5]
    resource.setrlimit(resource.RLIMIT_CPU, (int(seconds), int(seconds)))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # it has nothing to write
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    read = importlib.import_module(f"services.rag.readers.{module}").read
    options = Options(encoding=encoding or None, max_pages=int(max_pages))
    try:
        drafts = read(sys.stdin.buffer.read(), options)
        answer: dict[str, Any] = {"drafts": [asdict(draft) for draft in drafts]}
    except Unreadable as error:
        answer = {"reason": error.reason, "place": error.place}
    except MemoryError:
        answer = {"reason": "reading it takes too much memory", "place": ""}
    sys.stdout.write(json.dumps(answer))


if __name__ == "__main__":
    main()
