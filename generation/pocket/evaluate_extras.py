"""`python -m generation.pocket.evaluate_extras`: measures the refiner, the segmenter and the upscaler beside the model.

On scenes from seeds that no training draws from. Each is compared with what there would be without it: the refiner with
the model itself on the same noise, the upscaler with Lanczos.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import statistics
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import StableDiffusionXLImg2ImgPipeline, StableDiffusionXLPipeline
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from generation.errors import NothingFound
from generation.painter.devices import Placement
from generation.painter.segmentation import Segmenter
from generation.painter.super_resolution import Upscaler
from generation.pocket import measure
from generation.pocket.architecture import SCALING_FACTOR
from generation.pocket.captions import caption
from generation.pocket.classifier import load_classifier
from generation.pocket.drawing import CLOUDS, GROUND, LUMINARY, SKY, render, render_labels
from generation.pocket.evaluate import FOLDER, judge, load_pipeline
from generation.pocket.evaluation_prompts import single_subject_prompts
from generation.pocket.latents import encode
from generation.pocket.named_parts import subject_part
from generation.pocket.refiner_training import RefinerBatch, refiner_loss, refiner_time_ids
from generation.pocket.scenes import KINDS, Scene, sample_scene
from generation.pocket.segmentation_training import FORMATS, through_autoencoder
from generation.pocket.text_conditioning import TextEncoders, time_ids, tokenize
from generation.pocket.unet_training import noise_schedule
from generation.pocket.upscaler_training import sample_pair
from generation.pocket.vae_training import to_tensor

CPU = Placement(device=torch.device("cpu"), dtype=torch.float32, vram="full")
REFINED_SHARE = 0.2


@dataclass(slots=True, frozen=True, kw_only=True)
class RefinerFigures:
    """Squared error of v at timesteps below 300, the model's and the refiner's; over pictures whose last fifth of the
    steps is the refiner's: the shares that show the named colour and subject, and the mean distance (1/255) from the
    pictures that the model finished itself."""

    error_of_model: float
    error_of_refiner: float
    colour: float
    subject: float
    distance: float


@dataclass(slots=True, frozen=True, kw_only=True)
class SegmenterFigures:
    """Mean intersection over union of masks with the truth; `_soft` is on scenes that went through the autoencoder.

    `absent_empty` is the share where nothing is found when a thing is named that is not there, `wrong_colour_empty`
    where it is there in another colour.
    """

    subject: float
    subject_soft: float
    coloured_subject_soft: float
    sky_soft: float
    ground_soft: float
    absent_empty: float
    wrong_colour_empty: float


@dataclass(slots=True, frozen=True, kw_only=True)
class UpscalerFigures:
    """Peak signal to noise ratio in dB against the scene rendered at twice the size, and the same of Lanczos.

    `_soft` is from small pictures that went through the autoencoder.
    """

    sharp: float
    sharp_lanczos: float
    soft: float
    soft_lanczos: float


def evaluate_refiner(model: Path, folder: Path, scenes: int, prompts: int) -> RefinerFigures:
    """Compare the refiner in `folder` with the model over held-out scenes, and paint `prompts` pictures with both."""
    base, settings = load_pipeline(model)
    refiner = load_refiner(folder)
    of_model, of_refiner = _denoising_errors(base, refiner, scenes)
    singles = single_subject_prompts(prompts)
    alone, refined = [], []
    for prompt in singles:
        size = {"width": prompt.width, "height": prompt.height}
        steps = {"num_inference_steps": settings.num_inference_steps, "guidance_scale": settings.guidance_scale}
        alone.append(base(prompt.text, **size, **steps, generator=_noise(prompt.seed)).images[0])
        refined.append(paint_refined(base, refiner, prompt.text, prompt.seed, REFINED_SHARE, **size, **steps))
    agreement = judge(load_classifier(), singles, refined)
    return RefinerFigures(
        error_of_model=of_model,
        error_of_refiner=of_refiner,
        colour=agreement.colour,
        subject=agreement.subject,
        distance=statistics.mean(measure.distance(a, b) for a, b in zip(alone, refined, strict=True)),
    )


def load_refiner(folder: Path) -> StableDiffusionXLImg2ImgPipeline:
    """The refiner in float32."""
    refiner = StableDiffusionXLImg2ImgPipeline.from_pretrained(folder, dtype=torch.float32)
    refiner.set_progress_bar_config(disable=True)
    return refiner


def paint_refined(base: Any, refiner: Any, prompt: str, seed: int, share: float, **settings: Any) -> Image.Image:
    """One picture whose last `share` of the steps (0..1) is the refiner's."""
    latents = base(prompt, denoising_end=1 - share, output_type="latent", generator=_noise(seed), **settings).images
    steps = {name: settings[name] for name in ("num_inference_steps", "guidance_scale")}
    image: Image.Image = refiner(
        prompt, image=latents, denoising_start=1 - share, generator=_noise(seed), **steps
    ).images[0]
    return image


def _noise(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@torch.no_grad()
def _denoising_errors(base: StableDiffusionXLPipeline, refiner: Any, scenes: int) -> tuple[float, float]:
    """Of the model and of the refiner, on the same scenes, words, levels and noise."""
    rng, alphas_cumprod, errors = random.Random("held-out refiner"), noise_schedule(), []
    text = TextEncoders(base.text_encoder, base.text_encoder_2).eval()
    for seed in range(scenes):
        scene = sample_scene(rng, plain_framing=True)
        mean, _ = encode(base.vae, to_tensor(np.array(render(scene))[None]))
        timesteps = torch.tensor([rng.randrange(300)])
        batch = RefinerBatch(
            latents=mean * SCALING_FACTOR,
            token_ids=tokenize(base.tokenizer, [caption(scene, rng)]),
            zeroed=torch.tensor([False]),
            time_ids=refiner_time_ids([scene], [6.0]),
        )
        torch.manual_seed(seed)
        of_refiner = refiner_loss(refiner.unet, refiner.text_encoder_2, batch, timesteps, alphas_cumprod)
        torch.manual_seed(seed)
        of_model = _model_loss(base.unet, text, batch, time_ids([scene]), timesteps, alphas_cumprod)
        errors.append((of_model.item(), of_refiner.item()))
    return statistics.mean(pair[0] for pair in errors), statistics.mean(pair[1] for pair in errors)


def _model_loss(
    unet: Any, text: TextEncoders, batch: RefinerBatch, ids: Tensor, timesteps: Tensor, alphas_cumprod: Tensor
) -> Tensor:
    signal = alphas_cumprod[timesteps].sqrt().view(-1, 1, 1, 1)
    spread = (1 - alphas_cumprod[timesteps]).sqrt().view(-1, 1, 1, 1)
    noise = torch.randn_like(batch.latents)
    words, pooled = text(batch.token_ids)
    with torch.autocast("cpu", torch.bfloat16):
        predicted = unet(
            signal * batch.latents + spread * noise,
            timesteps,
            words,
            added_cond_kwargs={"text_embeds": pooled, "time_ids": ids},
        ).sample
    return torch.nn.functional.mse_loss(predicted.float(), signal * noise - spread * batch.latents)


def find(segmenter: Segmenter, image: Image.Image, words: str) -> NDArray[np.bool_]:
    """What the words name in the picture, (height, width)."""
    try:
        return np.asarray(segmenter.find(image, words)) > 0
    except NothingFound:
        return np.zeros((image.height, image.width), dtype=bool)


def evaluate_segmenter(model: Path, folder: Path, scenes: int) -> SegmenterFigures:
    """Look for the parts of held-out scenes of one subject, and for things that they do not show."""
    segmenter, vae = Segmenter.load(str(folder), CPU), load_pipeline(model)[0].vae
    rng = random.Random("held-out segmenter")
    overlaps: dict[str, list[float]] = {
        name: [] for name in ("subject", "subject_soft", "coloured_subject_soft", "sky_soft", "ground_soft")
    }
    absent, wrong_colour = [], []
    for _ in range(scenes):
        scene = sample_lonely_scene(rng)
        sharp, labels = render(scene), render_labels(scene)
        soft = through_autoencoder(vae, sharp)
        kind, colour = scene.subjects[0].kind, scene.subjects[0].colour
        truth = np.isin(labels, subject_part(scene, kind, None, kind).labels)
        overlaps["subject"].append(overlap(find(segmenter, sharp, f"the {kind}"), truth))
        overlaps["subject_soft"].append(overlap(find(segmenter, soft, f"the {kind}"), truth))
        overlaps["coloured_subject_soft"].append(overlap(find(segmenter, soft, f"{colour} {kind}"), truth))
        overlaps["sky_soft"].append(overlap(find(segmenter, soft, "sky"), np.isin(labels, (SKY, LUMINARY, CLOUDS))))
        overlaps["ground_soft"].append(overlap(find(segmenter, soft, f"the {scene.ground}"), labels == GROUND))
        other = rng.choice([name for name in KINDS if name != kind])
        absent.append(not find(segmenter, soft, f"the {other}").any())
        another = "red" if colour != "red" else "blue"
        wrong_colour.append(not find(segmenter, soft, f"{another} {kind}").any())
    return SegmenterFigures(
        **{name: statistics.mean(values) for name, values in overlaps.items()},
        absent_empty=float(np.mean(absent)),
        wrong_colour_empty=float(np.mean(wrong_colour)),
    )


def sample_lonely_scene(rng: random.Random) -> Scene:
    """A scene in the plain style with one subject."""
    while True:
        scene = sample_scene(rng, *rng.choice(FORMATS), style="plain", plain_framing=True)
        if len(scene.subjects) == 1:
            return scene


def overlap(found: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    """Intersection over union, 0..1."""
    return float((found & truth).sum() / max(1, (found | truth).sum()))


def evaluate_upscaler(model: Path, folder: Path, scenes: int) -> UpscalerFigures:
    """Enlarge held-out scenes, half of them sharp and half of them soft."""
    upscaler = Upscaler.load(str(folder), CPU)
    vae = load_pipeline(model)[0].vae
    rng = random.Random("held-out upscaler")
    figures: dict[str, list[float]] = {name: [] for name in ("sharp", "sharp_lanczos", "soft", "soft_lanczos")}
    for name, through in (("sharp", None), ("soft", vae)):
        for _ in range(scenes):
            small, large = (Image.fromarray(pixels) for pixels in sample_pair(rng, through))
            figures[name].append(psnr(upscaler.enlarge(small, *large.size), large))
            lanczos = small.resize(large.size, Image.Resampling.LANCZOS)
            figures[f"{name}_lanczos"].append(psnr(lanczos, large))
    return UpscalerFigures(**{name: statistics.mean(values) for name, values in figures.items()})


def psnr(image: Image.Image, truth: Image.Image) -> float:
    """Peak signal to noise ratio in dB of two RGB pictures of one size."""
    error = np.asarray(image, dtype=np.float64) - np.asarray(truth, dtype=np.float64)
    return 20 * math.log10(255) - 10 * math.log10(float((error**2).mean()))


def main(arguments: list[str] | None = None) -> None:
    """Evaluate and print JSON."""
    parser = argparse.ArgumentParser(prog="python -m generation.pocket.evaluate_extras", description=__doc__)
    parser.add_argument("which", nargs="*", metavar="part", help="refiner, segmenter, upscaler; all by default")
    parser.add_argument("--model", type=Path, default=FOLDER / "weights")
    parser.add_argument("--extras", type=Path, default=FOLDER, help="the folder of the three")
    parser.add_argument("--scenes", type=int, default=100, help="held-out scenes for each")
    parser.add_argument("--prompts", type=int, default=40, help="pictures that are painted with the refiner")
    options = parser.parse_args(arguments)
    parts = options.which or ["refiner", "segmenter", "upscaler"]
    figures: dict[str, object] = {}
    if "refiner" in parts:
        figures["refiner"] = asdict(
            evaluate_refiner(options.model, options.extras / "refiner", options.scenes, options.prompts)
        )
    if "segmenter" in parts:
        figures["segmenter"] = asdict(evaluate_segmenter(options.model, options.extras / "segmenter", options.scenes))
    if "upscaler" in parts:
        figures["upscaler"] = asdict(evaluate_upscaler(options.model, options.extras / "upscaler", options.scenes))
    sys.stdout.write(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
