"""The samplers that a request may name, as diffusers has them."""

from collections.abc import Mapping
from typing import Any

import diffusers

from services.imagegen.values import Scheduler

MULTISTEP = diffusers.DPMSolverMultistepScheduler
ODE, SDE = {"algorithm_type": "dpmsolver++"}, {"algorithm_type": "sde-dpmsolver++"}
SAMPLERS: Mapping[Scheduler, tuple[Any, Mapping[str, Any]]] = {
    Scheduler.EULER_ANCESTRAL: (diffusers.EulerAncestralDiscreteScheduler, {}),
    Scheduler.EULER: (diffusers.EulerDiscreteScheduler, {"use_karras_sigmas": False}),
    Scheduler.DPMPP_2M: (MULTISTEP, {**ODE, "use_karras_sigmas": False}),
    Scheduler.DPMPP_2M_KARRAS: (MULTISTEP, {**ODE, "use_karras_sigmas": True}),
    Scheduler.DPMPP_2M_SDE: (MULTISTEP, {**SDE, "use_karras_sigmas": False}),
    Scheduler.DPMPP_2M_SDE_KARRAS: (MULTISTEP, {**SDE, "use_karras_sigmas": True}),
    Scheduler.DDIM: (diffusers.DDIMScheduler, {"clip_sample": False}),
}


def sampler(name: Scheduler | None, own: Any) -> Any:
    """Return a fresh scheduler, as its state belongs to one picture; `own` is the model's."""
    kind, changes = SAMPLERS[name] if name else (type(own), {})
    return kind.from_config(own.config, **changes)


def name_of(own: Any) -> Scheduler | None:
    """Return the name under which a request gets the model's own scheduler; None if there is none."""
    for name, (kind, changes) in SAMPLERS.items():
        if type(own) is kind and all(own.config[option] == it for option, it in changes.items()):
            return name
    return None
