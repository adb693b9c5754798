"""Orders: composed, paid and queued in one go; the same for commands, buttons and the command line."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from bot.compose import Order, StartingPicture, compose, order_of
from bot.config import Config
from bot.derive import again, upscale_of, variations_of
from bot.flag_errors import NoRefiner
from bot.flags import FlagParser, Request
from bot.member_defaults import Defaults
from bot.rules.rules import Rules
from generation.catalogue import Catalogue
from generation.errors import RequestRejected
from generation.job import Job, JobKind, JobStatus, NewJob, Priority
from generation.recipe import MAX_SEED
from generation.weights import check_weights
from storage.images import Image
from storage.relaxing import RelaxLimits
from storage.storage import Storage

_SEED_FLAG = re.compile(r" --seed [0-9]+")
_SPEED_FLAG = re.compile(r" --(?:fast|relax)(?!\S)")


def random_seed() -> int:
    """A seed that nobody can foresee."""
    return secrets.randbelow(MAX_SEED + 1)


class ImageGone(RequestRejected):
    """The picture of a button is not there, or belongs to another server."""

    key = "image_gone"


class JobGone(RequestRejected):
    """The job of a button is not there, or belongs to another server."""

    key = "job_gone"


class StartGone(RequestRejected):
    """The picture or mask that a job began with was deleted, so that it cannot be drawn again."""

    key = "start_gone"


class NotYours(RequestRejected):
    """Only the owner of a job and moderators may do that to it."""

    key = "not_yours"


@dataclass(frozen=True, slots=True, kw_only=True)
class Customer:
    """Who orders, and from where. `guild_id` is None in a direct message.

    A moderator is not limited unless they were given an allowance of their own. `request_key` makes the order
    idempotent: a key names one order, however often it arrives. `category_ids` are the channel that a thread belongs to
    and the category of the channel; `role_ids` leave out the role that all have. `answer_token` is what the answer to
    this order can be changed with, also by a later run of the program.
    """

    user_id: int
    guild_id: int | None
    channel_id: int
    moderator: bool = False
    request_key: str | None = None
    category_ids: tuple[int, ...] = ()
    role_ids: tuple[int, ...] = ()
    account_created_at: datetime | None = None
    age_restricted: bool = False
    answer_token: str | None = field(default=None, repr=False)


class Orders:
    """Takes orders. Each raises `RequestRejected`, and then nothing is queued and nothing charged.

    `submit` is called with each job once it is durable, and may be called twice with a job that was ordered twice under
    one key; `draw_seed` gives seeds where the person named none.
    """

    def __init__(
        self,
        *,
        storage: Storage,
        catalogue: Catalogue,
        config: Config,
        rules: Rules,
        submit: Callable[[Job], None],
        draw_seed: Callable[[], int] = random_seed,
    ) -> None:
        self.relax_limits = RelaxLimits(
            per_day=config.quota.relaxed_jobs_per_day, waiting=config.quota.max_queued_relaxed_jobs
        )
        self.defaults = Defaults(storage=storage, catalogue=catalogue, relax=self.relax_limits.per_day > 0)
        self._storage = storage
        self._catalogue = catalogue
        self._quota = config.quota
        self._rules = rules
        self._submit = submit
        self.draw_seed = draw_seed
        self.parser = FlagParser(max_steps=config.limits.steps, max_prompt_length=config.limits.prompt_length)

    async def imagine(
        self,
        customer: Customer,
        request: Request,
        picture: StartingPicture | None = None,
        *,
        parent_image_id: int | None = None,
    ) -> Job:
        """Order the pictures of a request; they may start from a picture, which is kept in storage already.

        The person's own defaults count where the request says nothing.
        """
        defaults = await self.defaults.of(customer.user_id)
        request = defaults.applied_to(request, starts_from_picture=picture is not None)
        seed = self.draw_seed() if request.seed is None else request.seed
        order = compose(request, self._catalogue, seed=seed, picture=picture)
        text = self.parser.to_text(request)
        return await self.place(
            customer,
            order,
            kind=JobKind.IMAGINE,
            request=text,
            parent_image_id=parent_image_id,
            priority=request.priority,
            spoiler=request.spoiler,
        )

    async def variations(self, customer: Customer, image_id: int, kind: JobKind) -> Job:
        """Order four variations of a picture; `kind` says how far from it."""
        image, parent = await self.find_image(customer, image_id)
        order = variations_of(
            image.recipe, self._catalogue, kind=kind, digest=image.digest, seed=self.draw_seed(), style=parent.style
        )
        return await self.place(customer, order, kind=kind, request=anew(parent.request), parent_image_id=image.id)

    async def upscale(self, customer: Customer, image_id: int, kind: JobKind) -> Job:
        """Order a picture at twice its size; `kind` says with how much new detail."""
        image, parent = await self.find_image(customer, image_id)
        order = upscale_of(
            image.recipe, self._catalogue, kind=kind, digest=image.digest, seed=self.draw_seed(), style=parent.style
        )
        return await self.place(customer, order, kind=kind, request=anew(parent.request), parent_image_id=image.id)

    async def redraw(self, customer: Customer, image_id: int) -> Job:
        """Order the very recipe of a picture, seed and all. It comes from what that one came from."""
        image, job = await self.find_image(customer, image_id)
        order = order_of((image.recipe,), self._catalogue, job.style)
        return await self.place(
            customer,
            order,
            kind=JobKind.REDRAWN,
            request=without_speed(job.request),
            parent_image_id=image.parent_image_id,
            spoiler=job.spoiler,
        )

    async def again(self, customer: Customer, job_id: int) -> Job:
        """Order the same once more with a new seed."""
        job = await self.find_words(customer, job_id)
        order = again(job.recipes, self._catalogue, seed=self.draw_seed(), style=job.style)
        return await self.place(
            customer,
            order,
            kind=job.kind,
            request=anew(job.request),
            parent_image_id=job.parent_image_id,
            spoiler=job.spoiler,
        )

    async def allowance(self, customer: Customer) -> int | None:
        """What the person may spend a day, unless a moderator set their own; None: no limit.

        Who has roles with an allowance has the best of them, everyone else the server's.
        """
        if customer.moderator:
            return None
        if customer.guild_id is not None and customer.role_ids:
            of_roles = await self._storage.credits.of_roles(customer.guild_id)
            held = [of_roles[role_id] for role_id in customer.role_ids if role_id in of_roles]
            if held:
                return max(held)
        default = await self._storage.credits.default(customer.guild_id)
        return self._quota.daily_credits if default is None else default

    async def most_jobs(self, guild_id: int | None) -> int:
        """How many unfinished jobs a member may have: what the server says, else the configuration."""
        rules = await self._storage.rulebook.of(guild_id)
        return self._quota.max_queued_jobs if rules.max_queued_jobs is None else rules.max_queued_jobs

    async def find_job(self, customer: Customer, job_id: int) -> Job:
        """A job that the person may see; its words may be deleted. Raises `JobGone`."""
        job = await self._storage.jobs.get(job_id)
        if job is None or not _may_see(customer, job):
            raise JobGone
        return job

    async def find_words(self, customer: Customer, job_id: int) -> Job:
        """A job that the person may see and that can be ordered once more. Raises `JobGone`, also where its words are
        deleted and the bare job is left."""
        job = await self.find_job(customer, job_id)
        if not job.recipes:
            raise JobGone
        return job

    async def find_image(self, customer: Customer, image_id: int) -> tuple[Image, Job]:
        """A picture and the job that it came from. Raises `ImageGone`."""
        image = await self._storage.images.get(image_id)
        job = await self._storage.jobs.get(image.job_id) if image is not None else None
        if image is None or job is None or not _may_see(customer, job):
            raise ImageGone
        if not await self._storage.files.exists(image.digest):
            raise ImageGone
        return image, job

    async def place(
        self,
        customer: Customer,
        order: Order,
        *,
        kind: JobKind,
        request: str,
        parent_image_id: int | None = None,
        priority: Priority | None = None,
        spoiler: bool = False,
    ) -> Job:
        """Hold the price, queue the job, submit it. `request` is what was typed for it; `priority` None: theirs."""
        if priority is None:
            priority = (await self.defaults.of(customer.user_id)).priority
        new = self.new_job(
            customer,
            order,
            kind=kind,
            request=request,
            parent_image_id=parent_image_id,
            priority=priority,
            spoiler=spoiler,
        )
        [job] = await self.place_all(customer, [new])
        return job

    def new_job(
        self,
        customer: Customer,
        order: Order,
        *,
        kind: JobKind,
        request: str,
        parent_image_id: int | None = None,
        priority: Priority = Priority.FAST,
        spoiler: bool = False,
    ) -> NewJob:
        """What `place_all` places."""
        return NewJob(
            kind=kind,
            recipes=order.recipes,
            request=request,
            style=order.style,
            user_id=customer.user_id,
            guild_id=customer.guild_id,
            channel_id=customer.channel_id,
            cost=order.cost,
            priority=priority,
            parent_image_id=parent_image_id,
            spoiler=spoiler,
            age_restricted=customer.age_restricted,
        )

    async def place_all(self, customer: Customer, new: Sequence[NewJob]) -> Sequence[Job]:
        """Hold the price of all these jobs, queue and submit them: all of them, or none.

        What comes from a picture behind a spoiler gets there too.
        """
        new = [replace(job, spoiler=job.spoiler or await self._from_spoiler(job)) for job in new]
        await self.check(customer, new)
        key = customer.request_key
        keys = [key] if len(new) == 1 else [f"{key}-{number}" for number in range(1, len(new) + 1)]
        jobs = await self._storage.jobs.order_many(
            new,
            allowance=await self.allowance(customer),
            max_queued=await self.most_jobs(customer.guild_id),
            relax=self.relax_limits,
            request_keys=None if key is None else [one for one in keys if one is not None],
            answer_token=customer.answer_token if len(new) == 1 else None,
        )
        for job in jobs:
            if job.status is JobStatus.QUEUED:  # a repeated order may have been drawn already
                self._submit(job)
        return jobs

    async def check(self, customer: Customer, new: Sequence[NewJob]) -> None:
        """Raises `RequestRejected` for jobs that the rules, missing weights or missing files forbid."""
        await self._rules.check(customer, new)
        await self._check_weights(new)
        await self._check_starts(new)

    async def _check_starts(self, jobs: Iterable[NewJob]) -> None:
        """Raises `StartGone` for jobs that begin with a file which is not there (any more)."""
        for job in jobs:
            begun = [part for recipe in job.recipes for part in (recipe.source, recipe.mask) if part is not None]
            for digest in {part.digest for part in begun if part.digest is not None}:
                if not await self._storage.files.exists(digest):
                    raise StartGone

    async def _from_spoiler(self, new: NewJob) -> bool:
        parent = None if new.parent_image_id is None else await self._storage.images.get(new.parent_image_id)
        job = None if parent is None else await self._storage.jobs.get(parent.job_id)
        return job is not None and job.spoiler

    async def _check_weights(self, jobs: Iterable[NewJob]) -> None:
        """Raises `WeightsAbsent`, `WeightsGone` or `NoRefiner` for a model or refiner that cannot be drawn with (yet).

        The default model is not asked about: its weights are downloaded when it first draws.
        """
        recipes = [recipe for job in jobs for recipe in job.recipes]
        wanted = [self._catalogue.model(name) for name in {recipe.model for recipe in recipes}]
        refined = [self._catalogue.model(name) for name in {recipe.model for recipe in recipes if recipe.refine}]
        for model in wanted:
            if model.name != self._catalogue.default_model:
                await asyncio.to_thread(check_weights, model)
        for model in refined:
            if not model.refiner:  # it had one when these recipes were first drawn
                raise NoRefiner(model=model.name)
            await asyncio.to_thread(check_weights, replace(model, name=f"{model.name} refiner", source=model.refiner))


def without_speed(request: str) -> str:
    """What was typed, for a job of somebody who pays or waits as they please."""
    return _SPEED_FLAG.sub("", request)


def anew(request: str) -> str:
    """What was typed, for such a job with seeds of its own."""
    return _SEED_FLAG.sub("", without_speed(request))


def _may_see(customer: Customer, job: Job) -> bool:
    """Pictures stay in their server; those of direct messages with their person."""
    if job.guild_id is None:
        return customer.guild_id is None and customer.user_id == job.user_id
    return customer.guild_id == job.guild_id
