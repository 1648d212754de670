"""What this service adds to the metrics that all services share."""

import math

from kit.metrics import Metrics
from services.imagegen.queue.records import Totals
from services.imagegen.values import Card

RATE_SECONDS = 60.0
SECONDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class QueueMetrics:
    """The queue as the API sees it; `imagegen_backlog_seconds` is what autoscaling follows.

    Every replica of the API reports the same queue: take the maximum, not the sum.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._jobs = metrics.gauge("imagegen_jobs", "Jobs per state.", ("state",))
        self._backlog = metrics.gauge(
            "imagegen_backlog_seconds", "Time that all workers together need for the queue."
        )
        self._lost = metrics.counter(
            "imagegen_redelivered", "Times that a job was taken back from a lost worker."
        )
        self._refused = metrics.counter(
            "imagegen_refused", "Results that came from a worker counted as lost."
        )
        self._seen = Totals.of({}, 0, 0.0)

    def observe(self, totals: Totals) -> None:
        """Take over the present state of the queue."""
        for state, number in totals.jobs.items():
            self._jobs.labels(state).set(number)
        self._backlog.set(totals.backlog_seconds)
        self._lost.inc(max(0, totals.lost - self._seen.lost))
        self._refused.inc(max(0, totals.refused - self._seen.refused))
        self._seen = totals


class WorkerMetrics:
    """What one worker did."""

    def __init__(self, metrics: Metrics) -> None:
        self.shared = metrics
        self.busy = metrics.counter("imagegen_gpu_busy_seconds", "Time spent painting.")
        self.step = metrics.histogram("imagegen_step_seconds", "Time per denoising step.")
        self.image = metrics.histogram(
            "imagegen_image_seconds",
            "Painting time per picture, its share of each step.",
            buckets=SECONDS,
        )
        self.wait = metrics.histogram(
            "imagegen_queue_wait_seconds", "Time from submission to painting.", buckets=SECONDS
        )
        self.oom = metrics.counter(
            "imagegen_oom", "Passes and pictures that did not fit into memory."
        )

    def describe(self, card: Card) -> None:
        """Name the model."""
        self.shared.model.labels(card.model, card.revision, card.backend).set(1)

    def passed(self, seconds: float, rows: int, bucket: int) -> None:
        """Count a step, with what was decoded after it."""
        self.busy.inc(seconds)
        self.step.observe(seconds)
        self.shared.inference.observe(seconds)
        self.shared.batch_items.observe(rows)
        self.shared.padding.observe(1 - rows / bucket)

    def painted(self, seconds: float, pictures: int) -> None:
        """Count a drawing's pictures and the seconds that were theirs."""
        for _ in range(pictures):
            self.image.observe(seconds / pictures)


class Rate:
    """Pixel-steps per second while all slots are in use, over the last minute of such work.

    That is how fast a queue shrinks. A picture alone has no more than its slot's share of it: the
    pass takes as long with empty slots.
    """

    def __init__(self) -> None:
        self._pixel_steps = self._seconds = 0.0

    @property
    def per_second(self) -> float:
        """Return the rate; 0 before anything was observed."""
        return self._pixel_steps / self._seconds if self._seconds else 0.0

    def observe(self, pixel_steps: float, seconds: float) -> None:
        """Take work in; older work counts less the longer ago it was."""
        fading = math.exp(-seconds / RATE_SECONDS)
        self._pixel_steps = self._pixel_steps * fading + pixel_steps
        self._seconds = self._seconds * fading + seconds
