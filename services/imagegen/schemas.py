"""What clients send and get, and the values that travel: a Drawing inside a Job."""

import hashlib
import math
import re
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from kit.logs import Ids

SEEDS = 2**32
MAX_PROMPT_CHARS = 2000
WORD = re.compile(r"\w+|[^\w\s]")


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


def _multiple_of_8(side: int) -> int:
    if side % 8:
        raise ValueError("must be a multiple of 8")
    return side


Text = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_PROMPT_CHARS)
]
LoraName = Annotated[str, StringConstraints(pattern=r"^\w[\w .()+-]*$", max_length=100)]
Side = Annotated[int, Field(ge=64, le=2048), AfterValidator(_multiple_of_8)]


class Lora(Frozen):
    """A small change to the model, by the name of its file, and how much of it."""

    name: LoraName
    weight: Annotated[float, Field(ge=-2, le=2, allow_inf_nan=False)] = 1.0


class Wishes(Frozen):
    """What every kind of picture can be asked for; what is left out is the model's default."""

    negative_prompt: Annotated[str, Field(max_length=MAX_PROMPT_CHARS)] | None = Field(
        None, description="What the picture must not show."
    )
    width: Side | None = Field(None, description="Pixels, a multiple of 8.")
    height: Side | None = Field(None, description="Pixels, a multiple of 8.")
    steps: Annotated[int, Field(ge=1, le=100)] | None = Field(None, description="Denoising steps.")
    guidance: Annotated[float, Field(ge=0, le=30, allow_inf_nan=False)] | None = Field(
        None, description="How closely to follow the prompt; 1 ignores negative prompts."
    )
    seed: Annotated[int, Field(ge=0, lt=SEEDS)] | None = Field(
        None, description="The same request with the same seed gives the same bytes."
    )
    count: Annotated[int, Field(ge=1, le=8)] = Field(
        1, description="Pictures; their seeds follow each other."
    )
    scheduler: Scheduler | None = Field(None, description="Sampler; the model's own if left out.")
    loras: Annotated[list[Lora], Field(max_length=4)] = Field(
        [], description="Changes to the model's style, by name; `/info` lists them."
    )
    priority: Annotated[int, Field(ge=0, le=9)] = Field(
        0, description="Order among the tenant's own jobs; 9 goes first."
    )
    deadline_seconds: Annotated[float, Field(gt=0, le=7 * 86400)] | None = Field(
        None, description="Refuse the job if it cannot be done in this time; never start it later."
    )


class PictureRequest(Frozen):
    """A picture that a client sends or names."""

    kinds: ClassVar[tuple[str, ...]] = ("picture", "data", "url")

    picture: Annotated[str, Field(max_length=200)] | None = Field(
        None, description="The `url` of a picture that this service painted."
    )
    data: str | None = Field(None, description="A PNG, JPEG or WebP file in base64.")
    url: str | None = Field(None, description="The same as a `data:` URL.")

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if sum(getattr(self, kind) is not None for kind in self.kinds) != 1:
            raise ValueError(f"give exactly one of {', '.join(self.kinds)}")
        return self


class DrawRequest(Wishes):
    """A picture from words, or from another picture and words."""

    prompt: Text = Field(description="What the picture shows.")
    quality_tags: Annotated[str, Field(max_length=200)] | None = Field(
        None, description="Added to the prompt where it lacks them; the model's if left out."
    )
    init_image: PictureRequest | None = Field(None, description="A picture to start from.")
    strength: Annotated[float, Field(gt=0, le=1)] | None = Field(
        None, description="How far to leave `init_image`; 0.75 by default."
    )

    @model_validator(mode="after")
    def _strength_of_something(self) -> Self:
        if self.strength is not None and self.init_image is None:
            raise ValueError("strength needs an init_image")
        return self


class SourceRequest(PictureRequest):
    """One ingredient of a blend: a text or a picture."""

    kinds: ClassVar[tuple[str, ...]] = ("text", *PictureRequest.kinds)

    text: Text | None = Field(None, description="Words.")
    weight: Annotated[float, Field(ge=0.001, le=100, allow_inf_nan=False)] = Field(
        1.0, description="Share in the mix; only proportions count."
    )


class BlendRequest(Wishes):
    """A picture mixed from pictures and words."""

    sources: Annotated[list[SourceRequest], Field(min_length=1, max_length=8)] = Field(
        description="The ingredients."
    )
    prompt: Text | None = Field(None, description="One more text, with weight 1.")
    strength: Annotated[float, Field(gt=0, le=1)] | None = Field(
        None,
        description="How far to leave the pictures; by default 0.4 + 0.5 * share of words. Only "
        "for models that start from pictures.",
    )


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


class PictureView(Frozen):
    """A finished picture."""

    url: str
    seed: int
    width: int
    height: int
    sha256: str


class JobView(Frozen):
    """A job as its tenant sees it."""

    id: str
    status: Status
    position: int | None = Field(description="1 is next; null when it no longer waits.")
    eta_seconds: float | None = Field(description="Estimated time until the pictures are there.")
    progress: Progress
    pictures: list[PictureView]
    warnings: list[str] = Field(description="Why the pictures may not show what was asked for.")
    error: str | None = None

    @classmethod
    def of(cls, job: Job) -> Self:
        """Return what the API shows of a job."""
        views = [
            PictureView(
                url=f"/v1/images/{job.id}/pictures/{n}", **picture.model_dump(exclude={"path"})
            )
            for n, picture in enumerate(job.pictures)
        ]
        return cls(
            id=job.id,
            status=job.status,
            position=job.position,
            eta_seconds=job.eta_seconds,
            progress=Progress(step=job.step, steps=job.steps or job.drawing.steps),
            pictures=views,
            warnings=list(job.warnings),
            error=job.error,
        )


def digest(request: Wishes) -> str:
    """Return what tells two requests under one idempotency key apart."""
    content = f"{type(request).__name__} {request.model_dump_json()}"
    return hashlib.sha256(content.encode()).hexdigest()


EventKind = Literal["waiting", "painting", "progress", "preview", "done", "failed", "cancelled"]


class Event(Frozen):
    """One entry of a job's event stream."""

    id: str
    kind: EventKind
    data: dict[str, Any]

    @property
    def is_final(self) -> bool:
        """Tell whether it is the last one."""
        return self.kind in ("done", "failed", "cancelled")
