"""Train the UNet and both text encoders: python -m training.imagegen.train --data DIR [--tiny].

Reads what `prepare` wrote and saves DIR/checkpoint.pt; started again, it continues from there.
With --start MODEL it begins with the weights of an earlier version instead of fresh ones, and with
--share at a part of the full rates, which such weights would not bear.
With --world 2 start it twice (--rank 0 and 1): single-threaded processes that average gradients
over gloo are faster on a busy machine than one process with several threads.
"""

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, distributed, nn
from transformers import CLIPTokenizer

from training.imagegen.networks import SHIPPED, TINY, TRAINING_STEPS, Denoiser, build_scheduler
from training.imagegen.optimiser import optimisers_for
from training.imagegen.start import start_from

SEED = 20261121
BATCH = 64  # per process
STEPS = 9000
MUON_LR, ADAM_LR = 0.006, 1e-3
WARM_UP = 60
CONSTANT_SHARE, FINAL_SHARE = 0.15, 0.02
EMA = 0.9985
NO_CONTEXT_SHARE, EMPTY_CAPTION_SHARE = 0.07, 0.03
NOISY_FROM = 300  # half of the noise levels are drawn above this one, where shapes are decided


@dataclass
class Data:
    """Latents (n, 4, 16, 16) and tokens (n, captions, 32), drawn from with a seeded generator."""

    latents: Tensor
    tokens: Tensor
    empty: Tensor
    dice: torch.Generator

    def batch(self, size: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return clean latents, their captions, and which captions are kept."""
        rows = torch.randint(len(self.latents), (size,), generator=self.dice)
        said = torch.randint(self.tokens.shape[1], (size,), generator=self.dice)
        tokens = self.tokens[rows, said].long()
        chance = torch.rand(size, generator=self.dice)
        tokens[chance < EMPTY_CAPTION_SHARE] = self.empty
        kept = (chance < 1 - NO_CONTEXT_SHARE).float()
        return self.latents[rows].float(), tokens, kept


def load_data(folder: Path, tokenizer: CLIPTokenizer, rank: int, start: int) -> Data:
    """Load the training set; each process and each continued run draws its own samples."""
    empty = tokenizer("", padding="max_length", return_tensors="pt")["input_ids"][0]
    return Data(
        torch.from_numpy(np.load(folder / "latents.npy")),
        torch.from_numpy(np.load(folder / "tokens.npy").astype(np.int16)),
        empty,
        torch.Generator().manual_seed(SEED + 1000 * start + rank),
    )


def noise_levels(size: int, dice: torch.Generator) -> Tensor:
    """Draw noise levels, half of them from the noisy end."""
    low = torch.randint(0, TRAINING_STEPS, (size,), generator=dice)
    high = torch.randint(NOISY_FROM, TRAINING_STEPS, (size,), generator=dice)
    return torch.where(torch.rand(size, generator=dice) < 0.5, low, high)


def loss_of(model: nn.Module, data: Data, signal: Tensor, size: int) -> Tensor:
    """Compare the predicted v with the true one, weighted by a clipped signal-to-noise ratio."""
    clean, tokens, kept = data.batch(size)
    steps = noise_levels(size, data.dice)
    noise = torch.randn(clean.shape, generator=data.dice)
    keep = signal[steps].view(-1, 1, 1, 1)
    a, s = keep.sqrt(), (1 - keep).sqrt()
    with torch.autocast("cpu", torch.bfloat16):
        predicted: Tensor = model(a * clean + s * noise, steps, tokens, kept)
    error = (predicted.float() - (a * noise - s * clean)).square().mean(dim=(1, 2, 3))
    ratio = signal[steps] / (1 - signal[steps])
    return (error * (ratio.clamp(max=5) + 1) / (ratio + 1)).mean()


def rate(step: int, steps: int) -> float:
    """Return the share of the full learning rate: warm-up, constant, then linear down."""
    if step < WARM_UP:
        return (step + 1) / WARM_UP
    left = (steps - step) / (steps * (1 - CONSTANT_SHARE))
    return FINAL_SHARE + (1 - FINAL_SHARE) * min(1.0, left)


class Gradients:
    """Averages the gradients of all processes in one preallocated bfloat16 buffer."""

    def __init__(self, model: nn.Module, world: int) -> None:
        """Prepare for a group of `world` processes."""
        self.parameters = list(model.parameters())
        self.world = world
        self.flat = torch.zeros(sum(p.numel() for p in self.parameters), dtype=torch.bfloat16)

    def average(self) -> None:
        """Replace every gradient by the mean over the processes."""
        if self.world == 1:
            return
        used = [p.grad for p in self.parameters if p.grad is not None]
        lengths = [gradient.numel() for gradient in used]
        places = torch.split(self.flat[: sum(lengths)], lengths)
        for place, gradient in zip(places, used, strict=True):
            place.copy_(gradient.flatten())
        distributed.all_reduce(self.flat)
        for place, gradient in zip(places, used, strict=True):
            gradient.copy_(place.view_as(gradient)).div_(self.world)


class Training:
    """One process's state: weights, their average, optimisers and the step reached."""

    def __init__(self, model: Denoiser, folder: Path) -> None:
        """Start fresh, or where DIR/checkpoint.pt stopped."""
        self.model, self.path = model, folder / "checkpoint.pt"
        self.step, self.spent_before = 0, 0.0
        self.optimisers = optimisers_for([model], MUON_LR, ADAM_LR)
        if self.path.exists():
            self.restore()
        else:
            self.average = {name: p.detach().clone() for name, p in model.state_dict().items()}

    def restore(self) -> None:
        """Load the last checkpoint."""
        saved = torch.load(self.path, weights_only=True)
        self.model.load_state_dict(saved["model"])
        self.average, self.step = saved["average"], saved["step"]
        self.spent_before = saved["cpu_seconds"]
        for optimiser, state in zip(self.optimisers, saved["optimisers"], strict=True):
            optimiser.load_state_dict(state)

    def save(self) -> None:
        """Write a checkpoint in one move, so that an interrupted write leaves the old one."""
        part = self.path.with_suffix(".part")
        states = [optimiser.state_dict() for optimiser in self.optimisers]
        torch.save(
            {
                "model": self.model.state_dict(),
                "average": self.average,
                "step": self.step,
                "cpu_seconds": self.cpu_seconds(),
                "optimisers": states,
            },
            part,
        )
        part.replace(self.path)

    def cpu_seconds(self) -> float:
        """Return what this process spent, runs before a restart included."""
        return self.spent_before + time.process_time()

    def update(self, share: float) -> None:
        """Step both optimisers at a share of their rate and follow with the average."""
        for optimiser, full in zip(self.optimisers, (MUON_LR, ADAM_LR), strict=True):
            for group in optimiser.param_groups:
                group["lr"] = full * share
            optimiser.step()
        self.model.zero_grad()
        self.step += 1
        self.follow()

    def follow(self) -> None:
        """Move the average towards the weights, faster in the first steps."""
        share = min(EMA, self.step / (9 + self.step))
        now = list(self.model.state_dict().values())
        torch._foreach_lerp_(list(self.average.values()), now, 1 - share)


def run(args: argparse.Namespace) -> None:
    """Train to the last step, saving now and then."""
    tokenizer = CLIPTokenizer.from_pretrained(args.data / "tokenizer")
    model = Denoiser(tokenizer, TINY if args.tiny else SHIPPED)
    if args.start:
        print(f"{start_from(model, tokenizer, args.start)} of {len(tokenizer)} tokens known")
    training = Training(model, args.data)
    data = load_data(args.data, tokenizer, args.rank, training.step)
    gradients = Gradients(model, args.world)
    signal = build_scheduler().alphas_cumprod
    recent = 0.0
    last = min(args.until or args.steps, args.steps)
    while training.step < last:
        loss = loss_of(model, data, signal, args.batch)
        loss.backward()  # type: ignore[no-untyped-call]
        gradients.average()
        training.update(args.share * rate(training.step, args.steps))
        recent = 0.98 * recent + 0.02 * loss.item() if recent else loss.item()
        is_last = training.step == last
        if args.rank == 0 and (training.step % args.save_every == 0 or is_last):
            training.save()
            note(args, training, recent)


def note(args: argparse.Namespace, training: Training, loss: float) -> None:
    """Print and record how far the training is."""
    found = {
        "steps": training.step,
        "samples": training.step * args.batch * args.world,
        "loss": round(loss, 4),
        "cpu_seconds_per_process": round(training.cpu_seconds()),
    }
    print(json.dumps(found), flush=True)
    (args.data / "train.json").write_text(json.dumps(found, indent=2) + "\n")


def main(arguments: list[str] | None = None) -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--start", type=Path, help="a pipeline to begin with")
    parser.add_argument("--share", type=float, default=1.0, help="of the full learning rates")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--until", type=int, help="stop early, within the schedule of --steps")
    parser.add_argument("--batch", type=int, default=BATCH)
    parser.add_argument("--save-every", type=int, default=100)
    parser.add_argument("--rank", type=int, default=0)
    parser.add_argument("--world", type=int, default=1)
    parser.add_argument("--tiny", action="store_true")
    args = parser.parse_args(arguments)
    if args.tiny:
        args.steps, args.batch = 3, 4
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    if args.world > 1:
        meeting = f"file://{(args.data / 'rendezvous').absolute()}"
        distributed.init_process_group("gloo", meeting, rank=args.rank, world_size=args.world)
    run(args)


if __name__ == "__main__":
    main()
