"""The painter that a model's files ask for."""

from kit.models import LocalModel, ModelUnavailable, resolve
from services.imagegen.painters import Painter, device, kandinsky, sdxl
from services.imagegen.painters.pipelines import kind_of
from services.imagegen.settings import Settings


def load(settings: Settings) -> Painter:
    """Resolve and load the model; blocking, up to minutes. Raises ModelUnavailable."""
    model = resolve(settings.model, settings.models_dir)
    kind = kind_of(model)
    if kind == "StableDiffusionXLPipeline":
        return sdxl.load(
            sdxl.gather(model, settings.models_dir, vae=settings.vae, lora_dir=settings.lora_dir),
            wanted=device.Wanted(
                device=settings.device,
                dtype=settings.dtype,
                channels_last=settings.channels_last,
                fuse_qkv=settings.fuse_qkv,
                compile=settings.compile,
                fp8=settings.fp8,
            ),
            threads=settings.threads,
            batch_pictures=settings.batch_pictures,
        )
    if kind in ("KandinskyV22Pipeline", "KandinskyV22CombinedPipeline"):
        return kandinsky.load(
            model,
            None if kind == "KandinskyV22CombinedPipeline" else _prior(settings),
            device=settings.device,
            threads=settings.threads,
            batch_pictures=settings.batch_pictures,
        )
    raise ModelUnavailable(f"{model.name} is a {kind}; only SDXL and Kandinsky 2.2 can paint here.")


def _prior(settings: Settings) -> LocalModel:
    """Return the prior that is set, or the one that is published beside the decoder."""
    return resolve(settings.prior or beside(settings.model), settings.models_dir)


def beside(decoder: str) -> str:
    """Return the reference with `prior` in the name's place of `decoder`."""
    folder, slash, name = decoder.rpartition("/")
    if "decoder" not in name or "@" in name:  # a revision is of one repository only
        raise ModelUnavailable(f"Which prior belongs to {decoder}? Set IMAGEGEN_PRIOR.")
    return f"{folder}{slash}{name.replace('decoder', 'prior')}"
