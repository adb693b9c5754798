"""One way down from noise to finished latents: the model's steps, and where a recipe asks for it the refiner's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Generator, Tensor

from generation.painter.canvas import Canvas
from generation.painter.conditioning import PromptEmbeddings, pipeline_arguments
from generation.painter.guidance import CONDITIONING, end_guidance, guided_steps
from generation.painter.guidance_scales import GuidanceScales
from generation.painter.keeping import keep
from generation.painter.models import LoadedModel
from generation.painter.progress import BatchProgress
from generation.painter.refiner import LoadedRefiner
from generation.painter.schedulers import Estimate, make_scheduler
from generation.painter.step_callbacks import StepCallback, in_turn, stop_after
from generation.recipe import Recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One picture of a pass: its recipe, its conditioning, and what it starts from (None: from noise alone).

    `refined` is its conditioning for the refiner, where there is one.
    """

    recipe: Recipe
    embeddings: PromptEmbeddings
    refined: PromptEmbeddings | None = None
    canvas: Canvas | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Where the way begins: in noise, or in `latents` with as much noise on them as there is at `strength`.

    All are pictures × channels × height/8 × width/8. `freedom` (of one channel) says what may change (see `keep`).
    """

    noise: Tensor
    latents: Tensor | None = None
    strength: float = 1.0
    freedom: Tensor | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How far to go: `steps` in all from the start, the last `refined` of them the refiner's; `until` of them are run.

    `before` were run in this pass before.
    """

    steps: int
    until: int
    refined: int = 0
    before: int = 0

    @classmethod
    def last_of(cls, recipe: Recipe, strength: float) -> Way:
        """A recipe's way to the finished picture, from a start of that strength.

        The model always takes the first step, so that the refiner has something to refine.
        """
        steps = recipe.steps_at(strength)
        before = 0 if recipe.hires is None else recipe.num_inference_steps
        until = recipe.steps_to_run - before
        refined = max(0, min(round(recipe.refine * steps), steps - 1))
        return cls(steps=steps, until=until, refined=refined if until > steps - refined else 0, before=before)


class Denoiser:
    """The model and the refiner at work on the pieces of one pass."""

    def __init__(
        self,
        model: LoadedModel,
        refiner: LoadedRefiner | None,
        pieces: Sequence[Piece],
        generators: list[Generator],
        progress: BatchProgress,
    ) -> None:
        """`generators` are the pieces' own, for schedulers that draw more noise on the way."""
        self._model = model
        self._refiner = refiner
        self._pieces = pieces
        self._generators = generators
        self._progress = progress

    def run(self, start: Start, way: Way, guidance_scale: float | GuidanceScales) -> Tensor:
        """The latents at the way's end; where it stops before, what they were then taken to become."""
        if way.until == 0 and start.latents is not None:
            return start.latents
        recipe = self._pieces[0].recipe
        dtype = self._pieces[0].embeddings.prompt.dtype

        # 1. The model's steps
        pipeline = self._model.text_to_image if start.latents is None else self._model.image_to_image
        scheduler = make_scheduler(self._model.scheduler, recipe.scheduler, recipe.num_inference_steps)
        shared = {"num_inference_steps": recipe.num_inference_steps, "guidance_scale": guidance_scale}
        arguments: dict[str, Any] = shared | pipeline_arguments([piece.embeddings for piece in self._pieces])
        if start.latents is None:
            height, width = (8 * side for side in start.noise.shape[-2:])
            arguments |= {"width": width, "height": height, "latents": start.noise.to(dtype)}
        else:
            noised = _noised(pipeline, scheduler, start, recipe.num_inference_steps)
            arguments |= {"image": start.latents, "latents": noised.to(dtype), "strength": start.strength}
        boundary, refined = 1.0, 0
        if way.refined:
            boundary, refined = _boundary(scheduler, recipe.num_inference_steps, way.refined)
            arguments["denoising_end"] = boundary
        own = way.steps - refined
        guided = guided_steps(self._model.placement.guided_share, way.steps)
        latents = self._run(
            pipeline, scheduler, arguments, start, steps=own, until=way.until, before=way.before, guided=guided
        )
        if self._refiner is None or not refined:
            return latents

        # 2. The refiner's, from where the model left off
        self._model.text_to_image.maybe_free_model_hooks()
        scheduler = make_scheduler(
            self._model.scheduler, recipe.scheduler, recipe.num_inference_steps, predicts=self._refiner.predicts
        )
        arguments = shared | pipeline_arguments([piece.refined for piece in self._pieces if piece.refined])
        arguments |= {"image": latents, "latents": latents, "denoising_start": boundary}
        if guided <= own:
            arguments["guidance_scale"] = 1.0
        return self._run(
            self._refiner.pipeline,
            scheduler,
            arguments,
            start,
            steps=refined,
            until=way.until - own,
            before=way.before + own,
            guided=guided - own,
        )

    def _run(
        self,
        pipeline: Any,
        scheduler: Any,
        arguments: dict[str, Any],
        start: Start,
        *,
        steps: int,
        until: int,
        before: int,
        guided: int,
    ) -> Tensor:
        """One call of a pipeline that would take `steps`, as far as `until`; the first `guided` with guidance."""
        pipeline.scheduler = scheduler
        estimate = Estimate(scheduler)
        whole = _WholeSteps()
        callbacks: list[StepCallback] = []
        if start.freedom is not None and start.latents is not None:
            callbacks.append(keep(start.latents, start.noise, start.freedom, estimate))
        callbacks += [whole, self._progress.after_step(estimate, steps=steps, before=before)]
        if until < steps:
            callbacks.append(stop_after(until, of=steps))
        if 0 < guided < steps:
            callbacks.append(end_guidance(guided, of=steps))
            arguments = arguments | {"callback_on_step_end_tensor_inputs": ["latents", *CONDITIONING]}
        latents: Tensor = pipeline(
            **arguments,
            generator=self._generators,
            output_type="latent",
            callback_on_step_end=in_turn(callbacks),
        ).images
        if until < steps and estimate.latents is not None:
            return estimate.latents
        return whole.latents if "denoising_end" in arguments and whole.latents is not None else latents


class _WholeSteps:
    """Remembers the latents after each whole step.

    Where the refiner takes over, diffusers lets a scheduler of second order begin one step more and leaves that half
    done.
    """

    def __init__(self) -> None:
        self.latents: Tensor | None = None

    def __call__(self, pipeline: Any, index: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        if (index + 1) % pipeline.scheduler.order == 0:
            self.latents = tensors["latents"]
        return {}


def _noised(pipeline: Any, scheduler: Any, start: Start, num_inference_steps: int) -> Tensor:
    """The start's latents with as much noise as there is at the step where image to image begins."""
    pipeline.scheduler = scheduler
    scheduler.set_timesteps(num_inference_steps, device=start.noise.device)
    timesteps, _ = pipeline.get_timesteps(num_inference_steps, start.strength, start.noise.device)
    noised: Tensor = scheduler.add_noise(start.latents, start.noise, timesteps[:1].repeat(len(start.noise)))
    return noised


def _boundary(scheduler: Any, num_inference_steps: int, refined: int) -> tuple[float, int]:
    """`denoising_end` for the model and `denoising_start` for the refiner, and how many steps the refiner then has.

    The pipelines compare timesteps with it: those at or above it are the model's, those below it the refiner's. Where
    two steps cannot be told apart so (the last of many, with Karras' sigmas), the refiner has both.
    """
    scheduler.set_timesteps(num_inference_steps)
    timesteps = scheduler.timesteps
    first = num_inference_steps - refined  # the refiner's
    if scheduler.order == 1:
        while first > 1 and int(timesteps[first - 1]) <= timesteps[first]:
            first -= 1
        cutoff = int(timesteps[first - 1])
    else:  # the step's own first timestep: diffusers begins one evaluation before those that are below
        cutoff = int(timesteps[scheduler.order * first])
    return 1 - cutoff / scheduler.config.num_train_timesteps, num_inference_steps - first
