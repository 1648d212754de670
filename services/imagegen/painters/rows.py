"""One picture on its way through a diffusion model, whichever that is."""

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, Generic, ParamSpec, TypeVar

import torch

from services.imagegen.painters import DeviceLost, OutOfMemory
from services.imagegen.values import Drawing

C = TypeVar("C")
P = ParamSpec("P")
T = TypeVar("T")
Scheduler = Any  # one of diffusers'; it publishes no types


def on_device(work: Callable[P, T]) -> Callable[P, T]:
    """Run a method without gradients; translate what the device may raise."""

    @functools.wraps(work)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            with torch.inference_mode():
                return work(*args, **kwargs)
        except torch.OutOfMemoryError as error:
            reason = str(error)
        except torch.AcceleratorError as error:
            raise DeviceLost("The device failed.") from error
        torch.cuda.empty_cache()  # only here: the error held the tensors of all that failed
        raise OutOfMemory(reason)

    return guarded


class DiffusionRow(Generic[C]):
    """A picture's latents, its own scheduler and its own noise, so that it needs no neighbour.

    Scheduler and timesteps stay in main memory: comparing them on a GPU would stop it every time.
    """

    def __init__(
        self, drawing: Drawing, *, scheduler: Scheduler, generator: torch.Generator, conditions: C
    ) -> None:
        """Take a scheduler whose timesteps are set; the latents follow by `start`."""
        self.drawing = drawing
        self.generator = generator
        self.conditions = conditions
        self.latents = self.outlook = torch.empty(0)
        self._scheduler = scheduler
        self._times = scheduler.timesteps[drawing.first_step :]
        self._step = 0
        if hasattr(scheduler, "set_begin_index"):  # others go by the timestep alone
            scheduler.set_begin_index(drawing.first_step)
        takes = inspect.signature(scheduler.step).parameters
        self._extra = {"generator": generator} if "generator" in takes else {}

    def start(self, noise: torch.Tensor, picture: torch.Tensor | None = None) -> None:
        """Begin with (1, C, h, w) noise, or with a picture's latents under it."""
        if picture is None:
            self.latents = noise * self._scheduler.init_noise_sigma
        else:
            self.latents = self._scheduler.add_noise(picture, noise, self.time.reshape(1))

    @property
    def steps_left(self) -> int:
        """Return how many steps it still has to do."""
        return len(self._times) - self._step

    @property
    def time(self) -> torch.Tensor:
        """Return the present timestep."""
        time: torch.Tensor = self._times[self._step]
        return time

    @property
    def model_input(self) -> torch.Tensor:
        """Return the latents as the model wants them at this timestep."""
        scaled: torch.Tensor = self._scheduler.scale_model_input(self.latents, self.time)
        return scaled

    @on_device
    def advance(self, noise: torch.Tensor) -> None:
        """Go one step on with the (C, h, w) that the model predicted for this row."""
        stepped = self._scheduler.step(
            noise[None], self.time, self.latents, return_dict=False, **self._extra
        )
        self.latents = stepped[0]
        # Where the sampler believes to be going; DPM++ does not return it but remembers it.
        self.outlook = stepped[1] if len(stepped) > 1 else self._scheduler.model_outputs[-1]
        self._step += 1


def times(rows: Sequence[DiffusionRow[Any]], device: torch.device) -> torch.Tensor:
    """Return the rows' (B,) timesteps; samplers that count in whole numbers stand beside others."""
    return torch.stack([row.time.float() for row in rows]).to(device)


def guided(
    free: torch.Tensor, aimed: torch.Tensor, rows: Sequence[DiffusionRow[Any]]
) -> torch.Tensor:
    """Mix both predictions, (B, C, h, w) each, by every row's own guidance."""
    # As diffusers has it, 1 and less is no guidance.
    scale = torch.tensor([max(1.0, row.drawing.guidance) for row in rows]).to(
        free.device, free.dtype
    )
    return free + scale.view(-1, 1, 1, 1) * (aimed - free)


def weighted_mean(parts: Sequence[tuple[torch.Tensor, float]]) -> torch.Tensor:
    """Return the mean of tensors of one shape."""
    whole = sum(weight for _, weight in parts)
    return torch.stack([tensor * (weight / whole) for tensor, weight in parts]).sum(0)
