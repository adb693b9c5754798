"""The composition root: everything is built here, with `async with`, and passed in. Nothing runs at import.

    async with open_app(config) as app:       storage, catalogue, queue and client, not yet at work
        await app.client.login(token)         or: async with simcord.run(app.client, shard_count=1)
        async with app.working() as trouble:  workers, queue and deliveries, each in a task of its own
            await app.client.connect()

The tasks that wait for ever are started by `working`, not by the client: in an in-memory Discord (simcord) whatever the
bot itself starts is waited for after every action, and what is started before it runs cannot reach it.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import discord
import structlog

from bot.background import first_error, lasting, watched
from bot.catalogue import CatalogueReader
from bot.cdn import Cdn, DiscordCdn
from bot.client import LimnerClient, Services
from bot.config import Config, read_token
from bot.deleting import Deleting
from bot.delivery import Courier
from bot.editing import Editing
from bot.engines import make_engine
from bot.inspecting import Inspector
from bot.masks import Masks
from bot.measured_engine import MeasuredEngine
from bot.message_routes import CONNECTION_ERRORS, MessageRoutes
from bot.messages import load_messages
from bot.metrics import Health, Metrics, serve_metrics
from bot.moderator_notices import ModeratorNotices
from bot.orders import Orders
from bot.other_workers import OtherWorkers
from bot.owners import Owners
from bot.pauses import Pauses
from bot.personal_data import PersonalDataDesk
from bot.relay import Relay
from bot.retention import Sweeper
from bot.rules.direct_messages import DirectMessageRule
from bot.rules.rates import OrderRate
from bot.rules.relax import RelaxRule
from bot.rules.rules import Rules
from bot.rules.server_rules import ServerRules
from bot.rules.words import WordRule
from bot.series_orders import SeriesOrders
from bot.single_instance import only_instance
from bot.standing import look
from bot.status import StatusWriter
from bot.surface import furnish
from bot.upload_orders import UploadOrders
from bot.uploads import Uploads
from generation.clock import Clock, SystemClock
from generation.engine.protocol import Engine, WorkerState
from generation.engine.settings import EngineSettings
from generation.errors import LimnerError
from generation.intake.intake import Intake
from generation.job import JobStatus
from generation.queue.dispatcher import Dispatcher
from generation.safety_labels import check_classifier
from storage.errors import StorageOutdated
from storage.presence import Presence
from storage.storage import Storage, open_storage

# At a stop, out of the grace: for results to be delivered, for moderators to be told, for workers to end, for Discord
# to say goodbye.
DELIVERY_SECONDS = 3.0
NOTICES_SECONDS = 1.0
WORKER_SECONDS = 2.0
GATEWAY_SECONDS = 1.0


class TokenMissing(LimnerError):
    """There is no `DISCORD_TOKEN` in the environment."""

    key = "token_missing"


class TokenRefused(LimnerError):
    """Discord does not know the token."""

    key = "token_refused"


class DiscordUnreachable(LimnerError):
    """Discord, or what stands in its place, does not answer. Fields: `detail`."""

    key = "discord_unreachable"


class AddressTaken(LimnerError):
    """Metrics cannot be served there. Fields: `host`, `port`, `detail`."""

    key = "address_taken"


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """The bot, put together. `client` may be logged in anywhere that speaks Discord."""

    client: LimnerClient
    services: Services
    engine: Engine
    relay: Relay
    instance: str

    @asynccontextmanager
    async def working(self) -> AsyncIterator[asyncio.Task[None]]:
        """Draw what is queued, deliver what is drawn. To be entered where the client can send: after its login.

        Yields a task that ends by itself only with what the program must end with: `EngineDead`, or what
        `storage.wakeups.Wakeups.listen` raises. Leaving lets running batches end for `queue.stop_grace_seconds` in all;
        what is left then runs after the next start.
        """
        courier, dispatcher = self.services.courier, self.services.dispatcher
        kept = DELIVERY_SECONDS + NOTICES_SECONDS + WORKER_SECONDS + GATEWAY_SECONDS
        grace = self.services.config.queue.stop_grace_seconds - kept
        services = self.services
        loops: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {
            "sweeper": Sweeper(services.storage, services.config.retention).run,
            "personal_data": services.personal_data.run,
            "pauses": services.pauses.run,
            "relay": self.relay.run,
            "wakeups": partial(services.storage.wakeups.listen, self.relay),
        }
        beside = {asyncio.create_task(lasting(name, run), name=name) for name, run in loops.items()}
        # What it was telling people when it broke down is taken up at a start: it ends the program.
        beside.add(asyncio.create_task(watched("courier", courier.run), name="courier"))
        try:
            await self._take_up()
            await self.engine.start()
            queue = asyncio.create_task(watched("queue", dispatcher.run), name="queue")
            trouble = asyncio.create_task(first_error({queue, *beside}), name="trouble")
            try:
                yield trouble
            finally:
                await dispatcher.stop(grace=max(0.0, grace))
                trouble.cancel()
                await asyncio.gather(queue, trouble, return_exceptions=True)
                await courier.drain(DELIVERY_SECONDS)
                await self.engine.close(grace=WORKER_SECONDS)
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
            await self.services.notices.drain(NOTICES_SECONDS)

    async def _take_up(self) -> None:
        """What an earlier run left: pauses, jobs that it was running, and ends that nobody was told."""
        jobs, courier = self.services.storage.jobs, self.services.courier
        shards = self.services.config.discord.shards()
        await self.services.pauses.take_up()
        lost = [job for job in await jobs.take_back_from(self.instance) if shards.hold(job.guild_id)]
        courier.take_up([job for job in lost if job.status is JobStatus.QUEUED], again=True)
        courier.take_up([job for job in await jobs.undelivered() if shards.hold(job.guild_id)], again=False)


@asynccontextmanager
async def open_app(
    config: Config,
    *,
    engine_settings: EngineSettings | None = None,
    clock: Clock | None = None,
    cdn: Callable[[LimnerClient], Cdn] | None = None,
) -> AsyncIterator[App]:
    """Build the bot on its database and files; a database without tables gets them.

    `cdn` is where the files of people lie, for a Discord that is not the real one.
    Raises `AlreadyRunning` or what `storage.presence.take_place` does, `StorageOutdated` (run `python -m bot migrate`),
    `StorageUnavailable` or `StylesInvalid`.
    """
    clock = clock or SystemClock()
    async with AsyncExitStack() as stack:
        await asyncio.to_thread(check_classifier, config.safety.classifier, config.safety.label)
        stack.enter_context(only_instance(config.storage.database))
        storage = await _open_storage(stack, config, clock)
        catalogue_reader = CatalogueReader(config)
        catalogue, _ = await asyncio.to_thread(catalogue_reader.read)
        messages, metrics = load_messages(), Metrics()
        instance, shards = config.queue.instance_name(), config.discord.shards()
        presence = Presence(instance=instance, shard_ids=shards.ids, shard_count=shards.count)
        await stack.enter_async_context(storage.wakeups.attending(presence))
        engine = make_engine(
            config,
            instance=instance,
            clock=clock,
            preload=catalogue.model(),
            settings=engine_settings or config.queue.engine(),
        )
        client = LimnerClient(api_url=config.discord.api_url, shards=shards, clock=clock)
        routes = MessageRoutes(client, clock=clock)
        intake = Intake(config.limits.intake())
        files = await stack.enter_async_context(DiscordCdn()) if cdn is None else cdn(client)
        # The queue is told of orders and tells of jobs: of the three, it is built last.
        notices = ModeratorNotices(storage=storage, messages=messages, client=client)
        rates, server_rules = config.limits.rates(clock), ServerRules(storage, clock)
        orders = Orders(
            storage=storage,
            catalogue=catalogue,
            config=config,
            rules=Rules(
                OrderRate(rates.orders),
                DirectMessageRule(wanted=config.limits.direct_messages),
                server_rules,
                WordRule(storage.blocked_words, notices),
                RelaxRule(relaxed_jobs_per_day=config.quota.relaxed_jobs_per_day),
            ),
            submit=lambda job: dispatcher.submit(job),
        )
        writer = StatusWriter(
            messages=messages, storage=storage, orders=orders, classified=config.safety.policy() is not None
        )
        courier = Courier(
            storage=storage,
            routes=routes,
            writer=writer,
            outlook=lambda job_id: dispatcher.outlook(job_id),
            metrics=metrics,
            clock=clock,
        )
        others = OtherWorkers(clock)
        relay = Relay(
            courier=courier,
            shards=shards,
            wakeups=storage.wakeups,
            others=others,
            workers=engine.workers,
            moved=lambda job_ids: dispatcher.moved_elsewhere(job_ids),
            pauses_changed=lambda: pauses.look_again(),
        )
        dispatcher = Dispatcher(
            store=storage.jobs,
            engine=MeasuredEngine(engine, metrics),
            catalogue=catalogue,
            listener=relay,
            settings=config.queue.dispatcher(),
            clock=clock,
            instance=instance,
            safety=config.safety.policy(),
            on_blocked=notices.blocked,
            shared=storage.wakeups.shared,
            on_elsewhere=relay.changed_elsewhere,
            other_workers=others.now,
        )
        pauses = Pauses(storage.rulebook, dispatcher, storage.wakeups)
        standing = partial(
            look,
            started_at=clock.now(),
            client=client,
            dispatcher=dispatcher,
            engine=engine,
            courier=courier,
            files=config.storage.files,
        )
        metrics.watch(standing)
        uploads = Uploads(cdn=files, intake=intake, storage=storage, rate=rates.pictures)
        deleting = Deleting(client, storage=storage, orders=orders, writer=writer)
        services = Services(
            config=config,
            storage=storage,
            catalogue=catalogue,
            catalogue_reader=catalogue_reader,
            dispatcher=dispatcher,
            orders=orders,
            series_orders=SeriesOrders(orders=orders, storage=storage, catalogue=catalogue),
            uploads=uploads,
            upload_orders=UploadOrders(orders=orders, catalogue=catalogue),
            inspector=Inspector(storage=storage, intake=intake, uploads=uploads),
            editing=Editing(orders=orders, catalogue=catalogue),
            masks=Masks(catalogue=catalogue, files=storage.files),
            courier=courier,
            writer=writer,
            deleting=deleting,
            personal_data=PersonalDataDesk(storage=storage, dispatcher=dispatcher, listener=relay, deleting=deleting),
            routes=routes,
            messages=messages,
            metrics=metrics,
            look=standing,
            owners=Owners(client, clock),
            notices=notices,
            rates=rates,
            server_rules=server_rules,
            pauses=pauses,
        )
        await furnish(client, services)
        yield App(client=client, services=services, engine=engine, relay=relay, instance=instance)


async def _open_storage(stack: AsyncExitStack, config: Config, clock: Clock) -> Storage:
    """A database of an older program is left to `migrate`, and to whoever makes a backup first."""
    database, files = config.storage.database, config.storage.files
    try:
        return await stack.enter_async_context(open_storage(database=database, files=files, clock=clock.now))
    except StorageOutdated as error:
        if error.fields["found"]:
            raise
    from storage.migrations import migrate  # alembic takes its time to load, and is needed once in a life

    await asyncio.to_thread(migrate, database)
    return await stack.enter_async_context(open_storage(database=database, files=files, clock=clock.now))


def run(config: Config) -> None:
    """Serve until SIGTERM or SIGINT. Raises a `LimnerError` that says in one sentence why that cannot be."""
    token = read_token()
    if token is None:
        raise TokenMissing
    os.environ.pop("DISCORD_TOKEN")  # the workers that are started from here on need not know it
    asyncio.run(serve(config, token.get_secret_value()))


async def serve(
    config: Config, token: str, *, engine_settings: EngineSettings | None = None, clock: Clock | None = None
) -> None:
    """Serve on real Discord until a signal stops it, or what `App.working` tells of, which is raised."""
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with open_app(config, engine_settings=engine_settings, clock=clock) as app, app.client:
        await _log_in(app.client, token)
        async with app.working() as trouble, _metrics_served(app, trouble):
            connection = asyncio.create_task(app.client.connect(), name="gateway")
            stopping = asyncio.create_task(stopped.wait(), name="signals")
            await asyncio.wait({connection, trouble, stopping}, return_when=asyncio.FIRST_COMPLETED)
            structlog.get_logger(__name__).info("stopping")
            stopping.cancel()
            if trouble.done():
                await trouble
            try:
                if connection.done():
                    await connection
            except (discord.GatewayNotFound, discord.HTTPException, *CONNECTION_ERRORS) as error:
                raise DiscordUnreachable(detail=str(error)) from error


@asynccontextmanager
async def _metrics_served(app: App, trouble: asyncio.Task[None]) -> AsyncIterator[None]:
    settings = app.services.config.metrics
    if not settings.enabled:
        yield
        return

    def health() -> Health:
        workers = app.engine.workers()
        problems = {
            "not connected to Discord": not app.client.connected,
            "no worker": all(worker.state is WorkerState.DEAD for worker in workers),
            "the queue has stopped": trouble.done(),
        }
        return Health(problems=tuple(problem for problem, there in problems.items() if there))

    served = serve_metrics(app.services.metrics, host=settings.host, port=settings.port, health=health)
    async with AsyncExitStack() as stack:
        try:
            port = await stack.enter_async_context(served)
        except OSError as error:
            raise AddressTaken(host=settings.host, port=settings.port, detail=str(error)) from error
        structlog.get_logger(__name__).info("metrics_served", host=settings.host, port=port)
        yield


async def _log_in(client: LimnerClient, token: str) -> None:
    try:
        await client.login(token)
    except discord.LoginFailure as error:
        raise TokenRefused from error
    except (discord.HTTPException, *CONNECTION_ERRORS) as error:
        raise DiscordUnreachable(detail=str(error)) from error
    except (LookupError, TypeError, ValueError) as error:  # discord.py found no JSON, or none that it knows
        if not client.services.config.discord.api_url:
            raise
        raise DiscordUnreachable(detail="what answers at discord.api_url does not speak Discord's API") from error
