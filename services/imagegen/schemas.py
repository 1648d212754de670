"""What clients send and get."""

import hashlib
from typing import Annotated, ClassVar, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from services.imagegen.values import SEEDS, Frozen, Job, Lora, Progress, Scheduler, Status

MAX_PROMPT_CHARS = 2000


def _multiple_of_8(side: int) -> int:
    if side % 8:
        raise ValueError("must be a multiple of 8")
    return side


Text = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_PROMPT_CHARS)
]
Side = Annotated[int, Field(ge=64, le=2048), AfterValidator(_multiple_of_8)]


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
