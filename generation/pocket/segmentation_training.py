"""Trains the pocket CLIPSeg (Lüddecke and Ecker 2022, arXiv 2112.10003): finds in a picture what words name.

Trained on rendered scenes, where it is known which pixel shows what. Half of the words in training name nothing that is
there (no cat, or a cat of another colour): then the mask is empty. As in CLIPSeg itself the text encoder is frozen:
trained along, it takes all subjects for one word before the vision encoder can tell them apart. What each patch shows
is asked of the vision encoder directly as well, by two layers that are not kept.
"""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import StableDiffusionXLPipeline
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from torch import Tensor, nn
from tqdm import tqdm
from transformers import (
    CLIPSegConfig,
    CLIPSegForImageSegmentation,
    CLIPSegProcessor,
    CLIPTokenizer,
    ViTImageProcessorPil,
)

from generation.pocket.drawing import FIRST_SUBJECT, GROUND, render, render_labels
from generation.pocket.export import strip_local_paths
from generation.pocket.latents import encode
from generation.pocket.named_parts import sample_named_part
from generation.pocket.scenes import BASE_STYLES, COLOURS, GROUNDS, KINDS, Scene, sample_scene
from generation.pocket.tokenizer import save_tokenizer
from generation.pocket.training_loop import Checkpoint, WeightAverage, train
from generation.pocket.training_run import TrainingRun
from generation.pocket.vae_training import to_tensor

SIZE = 128
PATCH = 8
VISION_WIDTH, VISION_LAYERS = 64, 4
# Every second layer is read by a layer of the decoder.
READ_LAYERS = (1, 3)
DECODER_WIDTH = 48
LONGEST_NAME = 8
BATCH_SIZE, NAMES_PER_PICTURE = 8, 2
SCENES = 1500
FORMATS = ((128, 128), (128, 128), (152, 104), (104, 152), (168, 96), (96, 168))
STYLE_WEIGHTS = (0.8, 0.05, 0.05, 0.1)
NAMES_TO_WHITEN = 400
# What a patch can show: the parts of a scene, with kinds of subjects and grounds told apart; no colour or one of eight.
PART_CLASSES, COLOUR_CLASSES = FIRST_SUBJECT + len(KINDS) + len(GROUNDS), 1 + len(COLOURS)
PATCHES_WEIGHT = 0.3
PEAK_LEARNING_RATE = 2e-3
WEIGHT_AVERAGE_DECAY = 0.99


def segmenter_checkpoint(work: Path) -> Path:
    return work / "segmenter.pt"


def build_segmenter(text_encoder: Any) -> CLIPSegForImageSegmentation:
    """A CLIPSeg of 0.5 M parameters; its words come from the pocket model's first text encoder."""
    text = text_encoder.config
    network = CLIPSegForImageSegmentation(
        CLIPSegConfig(
            text_config={
                name: getattr(text, name)
                for name in (
                    "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
                    "max_position_embeddings", "hidden_act", "bos_token_id", "eos_token_id", "pad_token_id",
                )
            },
            vision_config={
                "hidden_size": VISION_WIDTH,
                "intermediate_size": 4 * VISION_WIDTH,
                "num_hidden_layers": VISION_LAYERS,
                "num_attention_heads": 2,
                "image_size": SIZE,
                "patch_size": PATCH,
                "hidden_act": "gelu",
            },
            projection_dim=text.hidden_size,
            extract_layers=list(READ_LAYERS),
            reduce_dim=DECODER_WIDTH,
            decoder_num_attention_heads=2,
            decoder_intermediate_size=2 * DECODER_WIDTH,
        )
    )  # fmt: skip
    own = network.clip.text_model.state_dict()
    given = {name.removeprefix("text_model."): tensor for name, tensor in text_encoder.state_dict().items()}
    network.clip.text_model.load_state_dict({name: given[name] for name in own})
    network.clip.text_model.requires_grad_(False)
    return network


@torch.no_grad()
def whiten_words(network: Any, tokenizer: Any, rng: random.Random) -> None:
    """Let the projection of words make names differ in all directions, around 0 for the decoder.

    As they come from the text encoder `red cat` and `cat` are all but the same.
    """
    names = [sample_named_part(sample_scene(rng), rng).name for _ in range(NAMES_TO_WHITEN)]
    said = network.clip.text_model(**_tokens(tokenizer, names)).pooler_output
    values, directions = torch.linalg.eigh(torch.cov(said.T))
    spread = values.clamp(min=1e-3 * float(values.max())).sqrt()
    network.clip.text_projection.weight.copy_(directions @ torch.diag(1 / spread) @ directions.T)
    centre = network.clip.text_projection(said.mean(0))
    for film, start in ((network.decoder.film_mul, 1), (network.decoder.film_add, 0)):
        film.bias.copy_(start - film.weight @ centre)


def build_processor(tokenizer: Any) -> CLIPSegProcessor:
    """Squeezes pictures to 128 × 128 in -1..1, and splits words as the pocket model does."""
    return CLIPSegProcessor(
        image_processor=ViTImageProcessorPil(
            size={"height": SIZE, "width": SIZE}, image_mean=[0.5] * 3, image_std=[0.5] * 3
        ),
        tokenizer=tokenizer,
    )


def train_segmenter(work: Path, model: Path, folder: Path, minutes: float, seed: int) -> None:
    """Train for `minutes` of processor time in all, going on from the checkpoint in `work`, and write to `folder`."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    pipeline = StableDiffusionXLPipeline.from_pretrained(model, dtype=torch.float32)
    network = build_segmenter(pipeline.text_encoder)
    whiten_words(network, pipeline.tokenizer, random.Random(f"names/{seed}"))
    heads = nn.ModuleList(nn.Linear(VISION_WIDTH, classes) for classes in (PART_CLASSES, COLOUR_CLASSES))
    parameters = [
        *network.clip.vision_model.parameters(),
        *network.clip.text_projection.parameters(),
        *network.decoder.parameters(),
        *heads.parameters(),
    ]
    average = WeightAverage(parameters, WEIGHT_AVERAGE_DECAY, constant=True)
    optimizer = torch.optim.AdamW(parameters, lr=PEAK_LEARNING_RATE, betas=(0.9, 0.99), weight_decay=0.01, fused=True)
    run = TrainingRun(
        name="segmenter",
        budget_seconds=minutes * 60,
        peak_learning_rate=PEAK_LEARNING_RATE,
        clock=time.process_time,
        checkpoint_every_seconds=30,
    )
    checkpoint = Checkpoint(
        segmenter_checkpoint(work), network=network, heads=heads, average=average, optimizer=optimizer, run=run
    )
    checkpoint.load()
    examples = _Examples(pipeline, seed)
    rng = random.Random(f"segmenter/{seed}/{run.step}")

    def loss() -> Tensor:
        pictures, patches, names, masks = examples.draw(rng)
        seen = network.clip.vision_model(pictures, output_hidden_states=True).hidden_states
        logits = _logits(network, seen, _tokens(pipeline.tokenizer, names))
        total = nn.functional.binary_cross_entropy_with_logits(logits, masks)
        for head, shown in zip(heads, patches, strict=True):
            told = head(seen[-1][:, 1:]).transpose(1, 2)
            total = total + PATCHES_WEIGHT * nn.functional.cross_entropy(told, shown)
        return total

    train(run, optimizer, loss, save=checkpoint.save, follow=average.follow)
    average.give()
    network.half().save_pretrained(folder)
    # Read anew: a tokenizer keeps, and saves, the length that it was last asked to pad to.
    tokenizer = CLIPTokenizer.from_pretrained(model / "tokenizer")
    build_processor(tokenizer).save_pretrained(folder)
    save_tokenizer(tokenizer, folder)
    for path in folder.rglob("*.json"):
        strip_local_paths(path)


def _tokens(tokenizer: Any, names: list[str]) -> dict[str, Tensor]:
    # Shorter than the model's 77: what comes after the end changes nothing, and names are short.
    batch = tokenizer(names, padding="max_length", max_length=LONGEST_NAME, truncation=True, return_tensors="pt")
    return {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}


def _logits(network: Any, seen: tuple[Tensor, ...], tokens: dict[str, Tensor]) -> Tensor:
    """The rest of the network's own forward pass after the vision encoder, but with gradients for that one, which it
    holds frozen, and with several names for each picture."""
    seen = tuple(layer.repeat_interleave(NAMES_PER_PICTURE, dim=0) for layer in seen)
    said = network.clip.text_projection(network.clip.text_model(**tokens).pooler_output)
    logits: Tensor = network.decoder([seen[index + 1] for index in network.extract_layers], said).logits
    return logits


class _Examples:
    """Rendered scenes and their parts, in memory; one in three as the model's autoencoder gives it back."""

    def __init__(self, pipeline: StableDiffusionXLPipeline, seed: int) -> None:
        rng = random.Random(f"segmenter/{seed}")
        self._scenes: list[tuple[Scene, NDArray[np.uint8], NDArray[np.uint8]]] = []
        for index in tqdm(range(SCENES), desc="segmenter scenes", unit="scene"):
            scene = sample_segmented_scene(rng)
            image = render(scene)
            if index % 3 == 0:
                image = through_autoencoder(pipeline.vae, image)
            self._scenes.append((scene, np.asarray(_squeezed(image)), _squeezed_labels(render_labels(scene))))

    def draw(self, rng: random.Random) -> tuple[Tensor, tuple[Tensor, Tensor], list[str], Tensor]:
        """Pictures (n, 3, 128, 128) in -1..1, parts and colours of their patches (n, 256 each), names for two parts of
        each, and the parts' masks (2 n, 128, 128) of 0 and 1. Mirrored half of the time: no name tells a side."""
        pictures, patches, names, masks = [], [], [], []
        for scene, pixels, labels in rng.sample(self._scenes, BATCH_SIZE):
            blurred = Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(rng.choice((0, 0, rng.uniform(0, 1.2)))))
            step = rng.choice((1, -1))
            pictures.append(np.asarray(blurred)[:, ::step])
            patches.append(_patch_classes(scene, labels[:, ::step]))
            for _ in range(NAMES_PER_PICTURE):
                part = sample_named_part(scene, rng)
                masks.append(np.isin(labels, part.labels)[:, ::step])
                names.append(part.name)
        shown = torch.from_numpy(np.stack(patches)).long()
        seen = to_tensor(np.stack(pictures)).contiguous()
        return seen, (shown[:, 0], shown[:, 1]), names, torch.from_numpy(np.stack(masks)).float()


def _patch_classes(scene: Scene, labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """What is in the middle of each patch: part and colour (0 where it is no subject), (2, 256)."""
    parts = np.arange(PART_CLASSES, dtype=np.uint8)
    colours = np.zeros(PART_CLASSES, dtype=np.uint8)
    parts[GROUND] = FIRST_SUBJECT + len(KINDS) + GROUNDS.index(scene.ground)
    for index, subject in enumerate(scene.subjects):
        parts[FIRST_SUBJECT + index] = FIRST_SUBJECT + KINDS.index(subject.kind)
        colours[FIRST_SUBJECT + index] = 1 + COLOURS.index(subject.colour)
    middle = labels[PATCH // 2 :: PATCH, PATCH // 2 :: PATCH].reshape(-1)
    return np.stack([parts[middle], colours[middle]])


def sample_segmented_scene(rng: random.Random) -> Scene:
    """A scene whose parts are known: neither cropped nor shrunk, mostly in the plain style."""
    style = rng.choices(BASE_STYLES, STYLE_WEIGHTS)[0]
    return sample_scene(rng, *rng.choice(FORMATS), style=style, plain_framing=True)


@torch.no_grad()
def through_autoencoder(vae: Any, image: Image.Image) -> Image.Image:
    """What the autoencoder makes of a picture: the softness of everything that the model draws."""
    mean, _ = encode(vae, to_tensor(np.array(image)[None]))
    decoded = vae.decode(mean).sample[0].permute(1, 2, 0)
    return Image.fromarray(((decoded + 1) * 127.5).clamp(0, 255).round().byte().numpy())


def _squeezed(image: Image.Image) -> Image.Image:
    return image if image.size == (SIZE, SIZE) else image.resize((SIZE, SIZE), Image.Resampling.BILINEAR)


def _squeezed_labels(labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(labels).resize((SIZE, SIZE), Image.Resampling.NEAREST))
