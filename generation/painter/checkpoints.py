"""Tells what a model's files are before anything is loaded, so that a wrong one is refused in a sentence."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from generation.safetensors_header import MalformedHeader, read_header
from generation.weights import MODEL_INDEX

PICKLES = (".ckpt", ".pt", ".pth", ".bin")
WEIGHT_FOLDERS = ("unet", "vae", "text_encoder", "text_encoder_2")
REFINER_FOLDERS = ("unet", "text_encoder_2")

# How the original implementation names the parts in a single file, by the start of the tensors' names.
_SDXL_PARTS = {
    "model.diffusion_model.": "UNet",
    "conditioner.embedders.0.transformer.": "first text encoder",
    "conditioner.embedders.1.model.": "second text encoder",
    "first_stage_model.": "VAE",
}
_REFINER_PARTS = ("model.diffusion_model.", "conditioner.embedders.0.model.")
# The first that fits says what a file is that is not SDXL.
_OTHER_CHECKPOINTS = {
    "conditioner.embedders.0.model.": "it is an SDXL refiner, which cannot draw by itself",
    "cond_stage_model.transformer.": "it is a Stable Diffusion 1.x checkpoint, not SDXL",
    "cond_stage_model.model.": "it is a Stable Diffusion 2.x checkpoint, not SDXL",
    "model.diffusion_model.double_blocks.": "it is a Flux checkpoint, not SDXL",
    "double_blocks.": "it is a Flux checkpoint, not SDXL",
    "model.diffusion_model.joint_blocks.": "it is a Stable Diffusion 3 checkpoint, not SDXL",
    "lora_unet_": "it is a LoRA, not a model",
    "unet.": "it is a LoRA, not a model",
}


class WrongCheckpoint(ValueError):
    """The files are not a model that can be drawn with. Its text is the reason, for a person."""


def _names_in(path: Path) -> Collection[str]:
    """What the weights in a `.safetensors` file are called. Raises `WrongCheckpoint` for any other file."""
    refuse_pickle(path)
    if not path.is_file():
        raise WrongCheckpoint(f"there is no file {path}")
    try:
        return read_header(path).shapes.keys()
    except MalformedHeader as error:
        raise WrongCheckpoint(f"{path} cannot be read: {error}") from error


def check_single_file(path: Path) -> None:
    """Raises `WrongCheckpoint` unless the file's header is that of an SDXL checkpoint in one `.safetensors` file."""
    names = _names_in(path)
    missing = [part for start, part in _SDXL_PARTS.items() if not _any_starts_with(names, start)]
    if not missing:
        return
    for start, reason in _OTHER_CHECKPOINTS.items():
        if _any_starts_with(names, start):
            raise WrongCheckpoint(reason)
    if len(missing) == len(_SDXL_PARTS):
        raise WrongCheckpoint("it is not an SDXL checkpoint")
    raise WrongCheckpoint(f"it is not a whole SDXL checkpoint: it lacks the {' and the '.join(missing)}")


def check_folder(folder: Path, variant: str | None) -> None:
    """Raises `WrongCheckpoint` unless `folder` holds an SDXL pipeline of diffusers, its weights in `.safetensors`."""
    index = read_json(folder / MODEL_INDEX)
    if not index:
        raise WrongCheckpoint(f"{folder} is not a diffusers model: it has no readable {MODEL_INDEX}")
    kind = str(index.get("_class_name"))
    if not kind.startswith("StableDiffusionXL"):
        raise WrongCheckpoint(f"it is a {kind}, not SDXL")
    if (index.get("text_encoder") or [None])[0] is None:
        raise WrongCheckpoint("it is an SDXL refiner, which cannot draw by itself")
    for name in WEIGHT_FOLDERS:
        _check_weights(folder / name, variant)


def check_refiner_file(path: Path) -> None:
    """Raises `WrongCheckpoint` unless the file's header is that of an SDXL refiner in one `.safetensors` file."""
    names = _names_in(path)
    if not all(_any_starts_with(names, start) for start in _REFINER_PARTS):
        raise WrongCheckpoint("it is not an SDXL refiner")


def check_refiner_folder(folder: Path, variant: str | None) -> None:
    """Raises `WrongCheckpoint` unless `folder` holds an SDXL refiner of diffusers, its weights in `.safetensors`."""
    index = read_json(folder / MODEL_INDEX)
    if not index:
        raise WrongCheckpoint(f"{folder} is not a diffusers model: it has no readable {MODEL_INDEX}")
    if not str(index.get("_class_name")).startswith("StableDiffusionXL") or (index.get("text_encoder") or [None])[0]:
        raise WrongCheckpoint("it is not an SDXL refiner")
    for name in REFINER_FOLDERS:
        _check_weights(folder / name, variant)


def weight_files(path: Path, variant: str | None) -> list[Path]:
    """What is read of a model that lies there: the single file, or of a folder the weights of its parts."""
    if not path.is_dir():
        return [path]
    found = [file for name in WEIGHT_FOLDERS for file in _weights(path / name, variant)]
    # `name.fp16.safetensors` lies beside `name.safetensors` where all variants were fetched.
    return [file for file in found if variant or "." not in file.stem]


def check_text_encoder(encoder: Any, folder: Path, variant: str | None) -> None:
    """Raises `WrongCheckpoint` when the weights in `folder` lack some of the encoder's.

    transformers fills them with noise and goes on. Older files have a prefix `text_model.` where newer ones have none.
    """
    stored = {
        name.removeprefix("text_model.") for path in _weights(folder, variant) for name in read_header(path).shapes
    }
    missing = [name for name in encoder.state_dict() if name.removeprefix("text_model.") not in stored]
    if missing:
        raise WrongCheckpoint(f"weights are missing in {folder.name}: {len(missing)}, for instance {missing[0]}")


def refuse_pickle(path: Path) -> None:
    """Raises `WrongCheckpoint` for a file whose loading could run code."""
    if path.suffix.lower() in PICKLES:
        raise WrongCheckpoint(
            f"{path.name} is a pickle, which can run code when it is loaded: only .safetensors is accepted"
        )


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file, or an empty one where there is none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _check_weights(folder: Path, variant: str | None) -> None:
    weights = _weights(folder, variant)
    if not weights:
        if any(path.suffix in PICKLES for path in folder.glob("*")):
            raise WrongCheckpoint(
                f"the weights in {folder.name} are pickles, which can run code: only .safetensors is accepted"
            )
        wanted = f".safetensors weights of variant {variant}" if variant else ".safetensors weights"
        raise WrongCheckpoint(f"there are no {wanted} in {folder}")
    for path in weights:
        try:
            read_header(path)
        except MalformedHeader as error:
            raise WrongCheckpoint(f"{path} cannot be read: {error}") from error


def _weights(folder: Path, variant: str | None) -> list[Path]:
    """The weight files that diffusers would load: `name.safetensors`, `name.fp16.safetensors`, or numbered parts."""
    return sorted(folder.glob(f"*.{variant}*.safetensors" if variant else "*.safetensors"))


def _any_starts_with(names: Collection[str], start: str) -> bool:
    return any(name.startswith(start) for name in names)
