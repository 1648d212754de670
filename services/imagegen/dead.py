"""List, replay or drop the jobs that were given up: `python -m services.imagegen.dead list`.

A job is given up when it has cost as many workers as IMAGEGEN_MAX_LOSSES says. Replay it once the
cause is gone: it waits again under its id, for its tenant too.
"""

import argparse
import asyncio
import sys
from collections.abc import Iterable, Sequence

from kit.errors import NotReady
from kit.settings import load
from services.imagegen.queue import DeadLetters, connect
from services.imagegen.queue.dead import DeadLetter
from services.imagegen.settings import Settings

PROMPT_CHARS = 60


async def run(arguments: Sequence[str], settings: Settings) -> list[str]:
    """Do what the command line says; return the lines to print. Raises NotReady or SystemExit."""
    given = _parser().parse_args(arguments)
    async with connect(settings.redis_url, max_connections=1) as client:
        letters = DeadLetters(client)
        if given.action == "list":
            return [_line(letter) for letter in await letters.all()]
        ids = given.ids or [letter.job.id for letter in await letters.all()]
        act = letters.replay if given.action == "replay" else letters.drop
        missing = [job_id for job_id in ids if not await act(job_id)]
    if missing:
        raise SystemExit(f"Not among the dead letters: {', '.join(missing)}")
    return [f"{'replayed' if given.action == 'replay' else 'dropped'} {job_id}" for job_id in ids]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m services.imagegen.dead", description=__doc__)
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("list", help="one line per job, the oldest first")
    for name, text in (("replay", "queue jobs once more"), ("drop", "leave it at the failure")):
        action = actions.add_parser(name, help=text)
        which = action.add_mutually_exclusive_group(required=True)
        which.add_argument("ids", nargs="*", default=[], metavar="ID")
        which.add_argument("--all", action="store_true", help="every dead letter")
    return parser


def _line(letter: DeadLetter) -> str:
    job = letter.job
    prompt = job.drawing.prompt.replace("\n", " ")[:PROMPT_CHARS]
    return f"{job.id}  {letter.died_at:%Y-%m-%d %H:%M:%S}Z  {job.tenant}  {job.error}  {prompt!r}"


def _print(lines: Iterable[str]) -> None:
    sys.stdout.writelines(f"{line}\n" for line in lines)


def main() -> None:
    """Run the command and print what it did."""
    try:
        _print(asyncio.run(run(sys.argv[1:], load(Settings))))
    except NotReady as error:
        raise SystemExit(error.detail) from None


if __name__ == "__main__":
    main()
