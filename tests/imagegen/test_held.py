"""What is told of the jobs that a worker holds."""

from services.imagegen.batch import Held
from services.imagegen.values import Job, Report, Status
from tests.imagegen.fakes import drawing

JOB = Job(id="a", tenant="ann", drawing=drawing(), status=Status.PAINTING, generation=1)


def at_step(step: int, preview: str | None = None) -> Report:
    return Report(job=JOB, step=step, steps=9, preview=preview)


def test_a_preview_waits_until_it_is_told_and_is_told_once() -> None:
    held = Held()
    held.add([JOB])
    held.note([at_step(3, "data:image/jpeg;base64,AAAA")])
    held.note([at_step(4)])  # faster than anyone is told
    assert held.reports() == [at_step(4, "data:image/jpeg;base64,AAAA")]
    held.note([at_step(5)])
    assert held.reports() == [at_step(5)]


def test_nothing_is_told_of_a_job_that_is_no_longer_ours() -> None:
    held = Held()
    held.add([JOB])
    held.drop([JOB])
    held.note([at_step(3)])
    assert held.reports() == []
