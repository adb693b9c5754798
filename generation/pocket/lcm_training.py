"""Distils the model into a LoRA that draws in a few steps and without guidance: latent consistency distillation.

After Luo et al., "Latent Consistency Models" (2023, arXiv 2310.04378) and "LCM-LoRA" (2023, arXiv 2311.05556). The
student looks at a noisy picture and says what the finished one is; what it says must agree with what it says one hop
further down the path that the guided teacher takes from there. The finished picture at the end of the path is the
picture itself, so agreement makes every noise level know the end.
"""

from __future__ import annotations

import copy
import time
from pathlib import Path
from typing import Any

import torch
from diffusers import LCMScheduler, StableDiffusionXLPipeline
from peft import LoraConfig
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from generation.pocket.architecture import TRAIN_TIMESTEPS
from generation.pocket.latents import load_latents
from generation.pocket.lora_training import ATTENTION, RESIDUAL_BLOCKS, write_lora
from generation.pocket.text_conditioning import TextEncoders
from generation.pocket.training_loop import Checkpoint, Parameters, WeightAverage, train
from generation.pocket.training_run import TrainingRun
from generation.pocket.unet_training import Batch, Sampler, noise_schedule

NAME = "pocket-lcm"
RANK = 16
BATCH_SIZE = 8
# Folded into the student, so that it is drawn without guidance (at 1.0, one forward pass a step instead of two).
TEACHER_GUIDANCE = 4.5
# The timesteps that LCMScheduler picks from (its `original_inference_steps`), and how far one hop of the teacher goes.
SOLVER_STEPS = 50
HOP = 5 * TRAIN_TIMESTEPS // SOLVER_STEPS
# Of the student whose word the hop's end is taken for, and which is kept.
TARGET_DECAY = 0.95
HUBER_WIDTH = 0.001
# The adapter is written weaker than it was trained: at full strength more subjects have a wrong colour, as they have
# when the model itself is drawn in so few guided steps.
WRITTEN_STRENGTH = 0.5
PEAK_LEARNING_RATE = 1e-3


def lcm_checkpoint(work: Path) -> Path:
    return work / f"lora-{NAME}.pt"


def train_lcm(work: Path, model: Path, folder: Path, minutes: float, seed: int) -> None:
    """Train for `minutes` of processor time in all, going on from the checkpoint, and write the LoRA."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    pipeline = StableDiffusionXLPipeline.from_pretrained(model, dtype=torch.float32)
    text = TextEncoders(pipeline.text_encoder, pipeline.text_encoder_2).eval().requires_grad_(False)
    teacher = pipeline.unet.eval().requires_grad_(False).to(memory_format=torch.channels_last)
    student = copy.deepcopy(teacher)
    student.add_adapter(
        LoraConfig(r=RANK, lora_alpha=RANK, target_modules=ATTENTION + RESIDUAL_BLOCKS, init_lora_weights="gaussian")
    )
    parameters = [parameter for parameter in student.parameters() if parameter.requires_grad]
    target = copy.deepcopy(student)
    average = WeightAverage(
        parameters,
        TARGET_DECAY,
        constant=True,
        into=[parameter for parameter in target.parameters() if parameter.requires_grad],
    )
    target.requires_grad_(False)
    optimizer = torch.optim.AdamW(parameters, lr=PEAK_LEARNING_RATE, betas=(0.9, 0.99), weight_decay=0, fused=True)
    run = TrainingRun(
        name="lcm",
        budget_seconds=minutes * 60,
        peak_learning_rate=PEAK_LEARNING_RATE,
        clock=time.process_time,
        checkpoint_every_seconds=30,
    )
    checkpoint = Checkpoint(
        lcm_checkpoint(work), parameters=Parameters(parameters), average=average, optimizer=optimizer, run=run
    )
    checkpoint.load()
    torch.manual_seed(seed * 1_000_003 + run.step)
    sampler = Sampler(load_latents(work), pipeline.tokenizer, f"{NAME}/{seed}/{run.step}", rank=0)
    distillation = Distillation(teacher, target, noise_schedule())

    def loss() -> Tensor:
        with sdpa_kernel(SDPBackend.MATH):
            return distillation.loss(student, text, sampler.draw(BATCH_SIZE))

    train(run, optimizer, loss, save=checkpoint.save, follow=average.follow)
    with torch.no_grad():
        for name, parameter in target.named_parameters():
            if ".lora_B." in name:
                parameter.mul_(WRITTEN_STRENGTH)
    write_lora(target, folder / f"{NAME}.safetensors", RANK, _METADATA)


_METADATA = {
    "modelspec.title": "Pocket in a few steps (LCM)",
    "modelspec.description": "Draws Pocket SDXL's pictures in 4 to 8 steps of LCMScheduler, at guidance 1.",
    "limner.purpose": "draft",
}


class Distillation:
    """The loss of a student against a guided teacher and the student's own running average, the target."""

    def __init__(self, teacher: Any, target: Any, alphas_cumprod: Tensor) -> None:
        self._teacher, self._target = teacher, target
        self._signal, self._spread = alphas_cumprod.sqrt(), (1 - alphas_cumprod).sqrt()
        self._scheduler = LCMScheduler()

    def loss(self, student: Any, text: TextEncoders, batch: Batch) -> Tensor:
        """Pseudo-Huber distance of what the student says at the hop's start from what the target says at its end."""
        count = len(batch.latents)
        spacing = TRAIN_TIMESTEPS // SOLVER_STEPS
        start = torch.randint(1, SOLVER_STEPS + 1, (count,)) * spacing - 1
        end = (start - HOP).clamp(min=0)
        noise = torch.randn_like(batch.latents)
        noisy = self._at(self._signal, start) * batch.latents + self._at(self._spread, start) * noise
        # The sampler starts from pure noise, where no trace of a picture tells what stands where.
        noisy = torch.where((start == TRAIN_TIMESTEPS - 1).view(-1, 1, 1, 1), noise, noisy)
        with torch.autocast("cpu", torch.bfloat16):
            with torch.no_grad():
                words, pooled = text(batch.token_ids)
                conditions = {"text_embeds": pooled, "time_ids": batch.time_ids}
                nearer = self._hop(noisy, start, end, words, conditions)
                agreed = self._finished(self._target, nearer, end, words, conditions)
            said = self._finished(student, noisy, start, words, conditions)
        return (((said - agreed) ** 2 + HUBER_WIDTH**2).sqrt() - HUBER_WIDTH).mean()

    def _hop(self, noisy: Tensor, start: Tensor, end: Tensor, words: Tensor, conditions: dict[str, Tensor]) -> Tensor:
        """One DDIM step of the guided teacher; where there is no prompt the pipeline feeds zeros."""
        both = self._teacher(
            torch.cat([noisy, noisy]).contiguous(memory_format=torch.channels_last),
            torch.cat([start, start]),
            torch.cat([torch.zeros_like(words), words]),
            added_cond_kwargs={
                "text_embeds": torch.cat([torch.zeros_like(conditions["text_embeds"]), conditions["text_embeds"]]),
                "time_ids": conditions["time_ids"].repeat(2, 1),
            },
        ).sample.float()
        without, with_words = both.chunk(2)
        velocity = without + TEACHER_GUIDANCE * (with_words - without)
        signal, spread = self._at(self._signal, start), self._at(self._spread, start)
        finished, noise = signal * noisy - spread * velocity, signal * velocity + spread * noisy
        nearer: Tensor = self._at(self._signal, end) * finished + self._at(self._spread, end) * noise
        return nearer

    def _finished(
        self, unet: Any, noisy: Tensor, timesteps: Tensor, words: Tensor, conditions: dict[str, Tensor]
    ) -> Tensor:
        """What the network takes the finished latents to be; at timestep 0 they are what it is shown."""
        shown = noisy.contiguous(memory_format=torch.channels_last)
        velocity = unet(shown, timesteps, words, added_cond_kwargs=conditions).sample.float()
        finished = self._at(self._signal, timesteps) * noisy - self._at(self._spread, timesteps) * velocity
        skip, out = self._scheduler.get_scalings_for_boundary_condition_discrete(timesteps.view(-1, 1, 1, 1))
        result: Tensor = skip * noisy + out * finished
        return result

    def _at(self, values: Tensor, timesteps: Tensor) -> Tensor:
        chosen: Tensor = values[timesteps]
        return chosen.view(-1, 1, 1, 1)
