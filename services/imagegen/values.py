"""The values that travel: a Drawing inside a Job, and the Card of what can be painted."""

import math
import re
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from kit.logs import Ids

SEEDS = 2**32
WORD = re.compile(r"\w+|[^\w\s]")
LoraName = Annotated[str, StringConstraints(pattern=r"^\w[\w .()+-]*$", max_length=100)]
EventKind = Literal["waiting", "painting", "progress", "preview", "done", "failed", "cancelled"]


class Frozen(BaseModel):
    """A value: unknown fields are refused, known ones never change."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Status(StrEnum):
    """Where a job is in its life; the last three are final."""

    WAITING = "waiting"
    PAINTING = "painting"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Tell whether nothing more will happen."""
        return self in (Status.DONE, Status.FAILED, Status.CANCELLED)


class Scheduler(StrEnum):
    """Samplers that a request may name."""

    EULER_ANCESTRAL = "euler_ancestral"
    EULER = "euler"
    DPMPP_2M = "dpmpp_2m"
    DPMPP_2M_KARRAS = "dpmpp_2m_karras"
    DPMPP_2M_SDE = "dpmpp_2m_sde"
    DPMPP_2M_SDE_KARRAS = "dpmpp_2m_sde_karras"
    DDIM = "ddim"


class Blending(StrEnum):
    """What pictures do in a blend, which depends on the model."""

    LATENTS = "latents"  # the painting starts from them, and words lead it away
    EMBEDDINGS = "embeddings"  # they say what to paint, as words do
    WORDS = "words"  # nothing: the model takes words only


class Lora(Frozen):
    """A small change to the model, by the name of its file, and how much of it."""

    name: LoraName
    weight: Annotated[float, Field(ge=-2, le=2, allow_inf_nan=False)] = 1.0


class Ingredient(Frozen):
    """A source as the worker needs it: a text or the place of a stored picture, and its share."""

    weight: float
    text: str | None = None
    picture: str | None = None


class Drawing(Frozen):
    """One request with every default filled in: a picture depends on this and nothing else."""

    prompt: str
    negative_prompt: str
    width: int
    height: int
    steps: int
    guidance: float
    seed: int
    count: int
    scheduler: Scheduler | None = None
    ingredients: tuple[Ingredient, ...] = ()
    strength: float = 1.0
    loras: tuple[Lora, ...] = ()

    @property
    def seeds(self) -> list[int]:
        """Return each picture's seed."""
        return [(self.seed + n) % SEEDS for n in range(self.count)]

    @property
    def starts_from_pictures(self) -> bool:
        """Tell whether pictures are mixed in."""
        return any(part.picture is not None for part in self.ingredients)

    @property
    def is_blend(self) -> bool:
        """Tell a blend from a drawing of one prompt, which may start from one picture."""
        return len(self.ingredients) > 1 or (self.starts_from_pictures and not self.prompt)

    @property
    def first_step(self) -> int:
        """Return the step to begin with: 0 from noise, later when pictures are mixed in."""
        return self.steps - max(1, int(self.steps * self.strength))


class Card(Frozen):
    """What the worker's model does by itself; the worker publishes it, the API fills gaps with it."""

    model: str
    revision: str
    backend: str
    steps: int
    guidance: float
    negative_prompt: str
    width: int
    height: int
    painted_side: int | None = None  # such a model paints one size, enlarged to what was asked
    side_multiple: int = 8
    samplers: tuple[Scheduler, ...] = tuple(Scheduler)  # that a request may name
    blending: Blending = Blending.LATENTS
    vocabulary: tuple[str, ...] = ()  # the words it was trained on, if they are so few
    subjects: tuple[str, ...] = ()  # those of them that name something to paint
    note: str = ""  # what a person should know who asks for other words
    slots: int = 1  # pictures painted at once
    limits: dict[str, int] = {}  # what memory has not allowed so far
    scheduler: Scheduler | None = None
    quality_tags: str = ""  # its makers advise to add them to every prompt
    template: str = ""  # the order of words that it was trained with
    sizes: tuple[str, ...] = ()  # that it was trained with
    vae: str = ""
    loras: dict[str, str] = {}  # hashes by name
    window: int = 75  # words that its text encoders read at once

    def painted(self, drawing: Drawing) -> tuple[int, int]:
        """Return the width and height at which the model works."""
        if self.painted_side:
            return self.painted_side, self.painted_side
        return drawing.width, drawing.height

    def pixel_steps(self, drawing: Drawing) -> int:
        """Return the cost of a drawing: pixels times steps, over all its pictures."""
        width, height = self.painted(drawing)
        return width * height * (drawing.steps - drawing.first_step) * drawing.count

    def batch_key(self, drawing: Drawing) -> str:
        """Return what drawings must share to be painted at once; steps and samplers may differ.

        Prompts of any length may share a batch, but each length costs it one more pass a step. So
        it counts here by estimate, as only the worker has the tokenizer.
        """
        width, height = self.painted(drawing)
        words = max(len(WORD.findall(text)) for text in (drawing.prompt, drawing.negative_prompt))
        windows = max(1, math.ceil(words / self.window))
        loras = "".join(f"/{lora.name}:{lora.weight}" for lora in drawing.loras)
        return f"{self.model}/{width}x{height}/{windows}{loras}"


class StoredPicture(Frozen):
    """A painted picture in the storage."""

    path: str
    seed: int
    width: int
    height: int
    sha256: str


class Progress(Frozen):
    """Denoising steps done, of all."""

    step: int
    steps: int


class Job(Frozen):
    """A drawing on its way.

    `generation` counts the workers that have taken it, `losses` those that it took down. Jobs of
    one `batch` can be painted at once.
    """

    id: str
    tenant: str
    drawing: Drawing
    status: Status
    warnings: tuple[str, ...] = ()
    batch: str = ""
    generation: int = 0
    losses: int = 0
    created_at: float = 0.0  # seconds since the epoch, by Redis' clock
    claimed_at: float = 0.0
    request_id: str = ""  # of the request that ordered it
    traceparent: str = ""
    step: int = 0
    steps: int = 0
    pictures: tuple[StoredPicture, ...] = ()
    error: str | None = None
    position: int | None = None
    eta_seconds: float | None = None

    @property
    def queued_seconds(self) -> float:
        """Return the time from the order to the worker that took it."""
        return max(0.0, self.claimed_at - self.created_at)

    @property
    def ids(self) -> Ids:
        """Return under which ids a worker logs what it does for the job."""
        return Ids(self.request_id, self.traceparent, {"tenant": self.tenant})


class Report(Frozen):
    """How far a worker is with a job; `preview` is a `data:` URL of what it looks like so far."""

    job: Job
    step: int
    steps: int
    preview: str | None = None


class Event(Frozen):
    """One entry of a job's event stream."""

    id: str
    kind: EventKind
    data: dict[str, Any]

    @property
    def is_final(self) -> bool:
        """Tell whether it is the last one."""
        return self.kind in ("done", "failed", "cancelled")
