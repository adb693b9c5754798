"""`python -m bot bench`: one command for each thing that can be measured. It ends with 1 where a bar is missed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bot.cli_settings import ConfigOption, JsonOption, quietly

benches = typer.Typer(rich_markup_mode=None)


@benches.callback(invoke_without_command=True)
def machine(context: typer.Context, as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """Measure this machine: start, memory, answers under load, overhead, pictures per second. Or what COMMAND names."""
    if context.invoked_subcommand is not None:
        if as_json or config is not None:
            raise typer.BadParameter("--json and --config come after the command's name.")
        return
    settings = quietly(config)
    from bot.bench import run

    run(settings, json=as_json)


@benches.command()
def gpu(
    as_json: JsonOption = False,
    config: ConfigOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="A small model on the CPU, to see it work.")] = False,
) -> None:
    """The painter beside the hardware's limit and plain diffusers."""
    settings = quietly(config)
    from bot.bench_gpu import run

    _end(run(settings, json=as_json, dry_run=dry_run))


@benches.command()
def batching(as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """Several people's pictures drawn together, beside each by itself."""
    settings = quietly(config)
    from bot.bench_batching.bench import run

    _end(run(settings, json=as_json))


@benches.command()
def storage(as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """A hundred thousand jobs beside a hundred."""
    settings = quietly(config)
    from bot.bench_storage.bench import run

    _end(run(settings, json=as_json))


@benches.command()
def fairness(as_json: JsonOption = False) -> None:
    """A day of 1,000 members, by our queue and by others."""
    from bot.bench_fairness.bench import run

    _end(run(json=as_json))


@benches.command()
def trace(
    as_json: JsonOption = False,
    orders: Annotated[int | None, typer.Option(min=1, help="How many orders a day.", show_default=False)] = None,
    times: Annotated[
        Path | None, typer.Option(help="What `bench --json` found on your machine.", show_default=False)
    ] = None,
) -> None:
    """A day of orders on 1 to 64 workers."""
    from bot.bench_trace.bench import run
    from bot.bench_trace.times import read

    run(json=as_json, orders=orders, times=None if times is None else read(times))


@benches.command()
def drills(as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """What the bot withstands: kills, storms, a long soak."""
    quietly(config)
    from bot.drills.bench import run

    _end(run(json=as_json))


def _end(passed: bool) -> None:
    if not passed:
        raise typer.Exit(1)
