"""Loads an SDXL model once, from wherever it is, for all the ways of painting with it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from diffusers import StableDiffusionXLImg2ImgPipeline, StableDiffusionXLPipeline
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from safetensors import SafetensorError

from generation.catalogue import ModelSpec
from generation.errors import ModelUnavailable
from generation.painter.acceleration import accelerate
from generation.painter.adapters import Adapters
from generation.painter.checkpoints import (
    WEIGHT_FOLDERS,
    WrongCheckpoint,
    check_folder,
    check_single_file,
    check_text_encoder,
    read_json,
    refuse_pickle,
)
from generation.painter.devices import Placement, is_out_of_memory
from generation.painter.previews import Previewer
from generation.weights import MODEL_INDEX

# A single file lacks the tokenizers and the configuration; these are SDXL's own (3 MB, no weights).
SDXL_CONFIGURATION = "stabilityai/stable-diffusion-xl-base-1.0"
CONFIGURATION_FILES = ("*.json", "*/*.json", "*/*.txt")
SETTINGS_FILE = "limner.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedModel:
    """A model on its device. The pipelines share all modules; each holds state while it runs: one call at a time.

    `scheduler` is the model's own, never run and only copied. Whoever works with the VAE holds `vae_lock`: one batch's
    pictures may be decoded while another's are denoised.
    """

    spec: ModelSpec
    placement: Placement
    text_to_image: Any
    image_to_image: Any
    scheduler: Any
    adapters: Adapters
    previewer: Previewer
    vae_lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def device(self) -> torch.device:
        return self.placement.device

    @property
    def vae(self) -> Any:
        return self.text_to_image.vae

    @property
    def image_processor(self) -> Any:
        return self.text_to_image.image_processor

    @property
    def saves_memory(self) -> bool:
        """Whether the VAE shall work in tiles at any size."""
        return self.placement.vram == "low"

    def without_gradients(self) -> AbstractContextManager[Any]:
        """What to paint in.

        Inference mode is a few percent faster, but what is moved in it cannot be changed afterwards, and offloading
        moves the weights.
        """
        return torch.inference_mode() if self.placement.vram == "full" else torch.no_grad()


def load_model(spec: ModelSpec, placement: Placement) -> LoadedModel:
    """Load the weights onto the device. Raises `ModelUnavailable` with a reason for a person."""
    silence_libraries()
    with files_told(spec.name):
        # 1. Find the files and see what they are
        folder = find_files(spec.source, spec.variant, check_single_file, check_folder)
        # 2. Load each weight once, in the chosen number format
        pipeline = _load_file(folder, placement) if folder.is_file() else _load_folder(folder, spec, placement)
        _check_architecture(pipeline)
        previewer = Previewer.for_model(read_json(folder / SETTINGS_FILE))

    # 3. The second pipeline takes the same modules
    image_to_image = StableDiffusionXLImg2ImgPipeline.from_pipe(
        pipeline, dtype=placement.dtype, requires_aesthetics_score=False, add_watermarker=False
    )
    # 4. Put them where they belong
    put_on_device(pipeline, spec, placement)
    for each in (pipeline, image_to_image):
        each.set_progress_bar_config(disable=True)
    return LoadedModel(
        spec=spec,
        placement=placement,
        text_to_image=pipeline,
        image_to_image=image_to_image,
        scheduler=pipeline.scheduler,
        adapters=Adapters(pipeline, placement.device),
        previewer=previewer,
    )


@contextmanager
def files_told(name: str) -> Iterator[None]:
    """Turns what is raised while files are read into `ModelUnavailable` of that name; lack of memory passes through."""
    try:
        yield
    except WrongCheckpoint as error:
        raise ModelUnavailable(name=name, reason=str(error)) from error
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        if isinstance(error, RuntimeError) and is_out_of_memory(error):
            raise
        reason = f"its files are broken or not those of an SDXL model ({_first_line(error)})"
        raise ModelUnavailable(name=name, reason=reason) from error


def find_files(
    source: str,
    variant: str | None,
    check_file: Callable[[Path], None],
    check_folder: Callable[[Path, str | None], None],
) -> Path:
    """A model's folder or single file on this machine; downloads a hub model, unless HF_HUB_OFFLINE is set.

    Raises `WrongCheckpoint`, also where the checks do.
    """
    path = Path(source).expanduser()
    refuse_pickle(path)
    if path.suffix == ".safetensors":
        check_file(path)
        return path
    if not path.is_dir():
        path = _from_hub(source, variant, path)
    check_folder(path, variant)
    return path


def _from_hub(source: str, variant: str | None, path: Path) -> Path:
    if path.is_absolute() or source.startswith((".", "~")) or source.count("/") != 1:
        raise WrongCheckpoint(f"there is no folder {path}")
    try:
        return Path(StableDiffusionXLPipeline.download(source, variant=variant, use_safetensors=True))
    except (OSError, ValueError, HfHubHTTPError, HFValidationError) as error:
        raise WrongCheckpoint(
            f"there is no folder {source} here, and the Hugging Face model of that name could not be fetched"
            f" ({_first_line(error)}); with a connection, `hf download {source}` fetches it"
        ) from error


def _load_folder(folder: Path, spec: ModelSpec, placement: Placement) -> Any:
    pipeline = StableDiffusionXLPipeline.from_pretrained(
        folder,
        dtype=placement.dtype,
        variant=spec.variant,
        use_safetensors=True,
        local_files_only=True,
        add_watermarker=False,
    )
    for name in ("text_encoder", "text_encoder_2"):
        check_text_encoder(getattr(pipeline, name), folder / name, spec.variant)
    return pipeline


def _load_file(path: Path, placement: Placement) -> Any:
    return StableDiffusionXLPipeline.from_single_file(
        str(path),
        config=str(configuration_for(path, SDXL_CONFIGURATION)),
        dtype=placement.dtype,
        local_files_only=True,
        add_watermarker=False,
    )


def configuration_for(path: Path, hub_id: str) -> Path:
    """A diffusers folder with the tokenizers and configuration of a single file: the one beside it, else the hub's."""
    beside = path.with_suffix("")
    if (beside / MODEL_INDEX).is_file():
        return beside
    try:
        return Path(snapshot_download(hub_id, allow_patterns=list(CONFIGURATION_FILES)))
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise WrongCheckpoint(
            f"a single file lacks the tokenizers and the configuration. They are fetched once from {hub_id}"
            f" (3 MB), which could not be reached; or put a diffusers folder with them beside it as {beside.name}/"
        ) from error


def _check_architecture(pipeline: Any) -> None:
    unet = pipeline.unet.config
    if unet.addition_embed_type != "text_time" or pipeline.text_encoder is None or pipeline.text_encoder_2 is None:
        raise WrongCheckpoint("its UNet is not SDXL's")
    if unet.in_channels != 4:
        raise WrongCheckpoint("it is an inpainting model, which cannot draw from words alone")
    check_all_loaded(pipeline, WEIGHT_FOLDERS)


def check_all_loaded(pipeline: Any, parts: Iterable[str]) -> None:
    """Raises `WrongCheckpoint` where a part's file lacked weights: those are left without data."""
    for name in parts:
        if lacking := [weight for weight, data in getattr(pipeline, name).named_parameters() if data.is_meta]:
            raise WrongCheckpoint(f"weights are missing in {name}: {len(lacking)}, for instance {lacking[0]}")


def put_on_device(pipeline: Any, spec: ModelSpec, placement: Placement) -> None:
    """Bring all modules into one number format, and onto the device as the memory mode says; make the UNet fast."""
    # Loaded from a float16 folder, transformers' modules stay float16 whatever was asked for.
    pipeline.to(placement.dtype)
    if pipeline.vae is not None:
        _prepare_vae(pipeline, placement)
    if placement.vram == "full":
        pipeline.to(placement.device)
    accelerate(pipeline.unet, spec, placement.acceleration)
    if placement.vram == "medium":
        pipeline.enable_model_cpu_offload(device=placement.device)
    elif placement.vram == "low":
        pipeline.enable_sequential_cpu_offload(device=placement.device)


def _prepare_vae(pipeline: Any, placement: Placement) -> None:
    if placement.vae_dtype is not None:
        pipeline.vae.to(placement.vae_dtype)
    elif placement.dtype != torch.float32 and pipeline.vae.config.force_upcast:
        # SDXL's VAE overflows in float16. It stays in float32 instead of being converted for each picture.
        pipeline.vae.to(torch.float32)
    # Its convolutions are a seventh faster so on a CPU; the UNet's gain nothing there.
    pipeline.vae.to(memory_format=torch.channels_last)


def silence_libraries() -> None:
    """Neither progress bars nor warnings into the log: some quote prompts, and what matters is checked here."""
    for library in (diffusers, transformers):
        library.utils.logging.disable_progress_bar()
        library.utils.logging.set_verbosity_error()


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0][:200] if text else type(error).__name__
