"""SDXL's refiner: a second UNet, trained on the last steps alone, that finishes what a model began."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from diffusers import StableDiffusionXLImg2ImgPipeline

from generation.catalogue import ModelSpec
from generation.painter.checkpoints import (
    REFINER_FOLDERS,
    WrongCheckpoint,
    check_refiner_file,
    check_refiner_folder,
    check_text_encoder,
)
from generation.painter.devices import Placement
from generation.painter.models import (
    check_all_loaded,
    configuration_for,
    files_told,
    find_files,
    put_on_device,
    silence_libraries,
)

# The tokenizer and the configuration that a single file lacks.
SDXL_REFINER_CONFIGURATION = "stabilityai/stable-diffusion-xl-refiner-1.0"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedRefiner:
    """A refiner beside its model. It has one text encoder and no VAE: latents come in and go out."""

    pipeline: Any

    @property
    def predicts(self) -> str:
        """What its UNet was trained to predict: `epsilon` or `v_prediction`."""
        predicts: str = self.pipeline.scheduler.config.prediction_type
        return predicts


def load_refiner(spec: ModelSpec, placement: Placement) -> LoadedRefiner:
    """Load the refiner of a model onto the device, beside the model.

    Raises `ModelUnavailable` with a reason for a person, also where the model has none.
    """
    silence_libraries()
    with files_told(f"refiner of {spec.name}"):
        if not spec.refiner:
            raise WrongCheckpoint(f"none is configured (models.{spec.name}.refiner)")
        # 1. Find the files and see what they are
        path = find_files(spec.refiner, spec.variant, check_refiner_file, check_refiner_folder)
        # 2. Load each weight once, in the chosen number format
        shared = {"dtype": placement.dtype, "local_files_only": True, "vae": None, "add_watermarker": False}
        if path.is_file():
            configuration = configuration_for(path, SDXL_REFINER_CONFIGURATION)
            pipeline = StableDiffusionXLImg2ImgPipeline.from_single_file(str(path), config=str(configuration), **shared)
        else:
            pipeline = StableDiffusionXLImg2ImgPipeline.from_pretrained(
                path, variant=spec.variant, use_safetensors=True, **shared
            )
            check_text_encoder(pipeline.text_encoder_2, path / "text_encoder_2", spec.variant)
        if pipeline.text_encoder_2 is None or pipeline.text_encoder is not None:
            raise WrongCheckpoint("it is not an SDXL refiner")
        check_all_loaded(pipeline, REFINER_FOLDERS)
    put_on_device(pipeline, spec, placement)
    pipeline.set_progress_bar_config(disable=True)
    return LoadedRefiner(pipeline=pipeline)
