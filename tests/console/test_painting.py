"""How far a picture is, told from its events."""

import pytest

from services.console.painting import Painting
from tests.console.support import JOB_ID, WAITING


def test_a_job_in_line_tells_its_place_and_the_promised_time():
    painting = Painting(at=0.0).after(("progress", WAITING), now=10.0)
    assert (painting.job_id, painting.status, painting.place) == (JOB_ID, "waiting", 2)
    assert painting.seconds_left(now=11.0) == 3
    assert painting.seconds_left(now=60.0) == 1


def test_the_time_left_follows_the_pace_of_the_steps():
    painting = Painting(at=0.0)
    for step, now in ((1, 5.0), (2, 7.0), (3, 9.0)):
        painting = painting.after(("progress", {"step": step, "steps": 10}), now)
    assert (painting.step, painting.steps, painting.status) == (3, 10, "painting")
    assert painting.seconds_left(now=9.0) == 14


def test_a_preview_stays_until_the_next_one():
    painting = Painting(at=0.0).after(("preview", {"step": 2, "image": "data:image/x"}), 1.0)
    painting = painting.after(("progress", {"step": 3, "steps": 9}), 2.0)
    assert painting.preview == "data:image/x"


@pytest.mark.parametrize("name", ["route", "token", "something-new"])
def test_an_event_of_another_kind_changes_nothing(name: str):
    painting = Painting(at=0.0)
    assert painting.after((name, {"step": 9}), 1.0) == painting


@pytest.mark.parametrize("status", ["done", "failed", "cancelled"])
def test_the_last_event_ends_it(status: str):
    job = WAITING | {"status": status}
    assert Painting(at=0.0).after((status, job), 1.0).is_over
