"""The command line. Every command loads what it needs when it runs: help is quick, and no more is loaded than used."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from bot.cli_bench import benches
from bot.cli_settings import ConfigOption, JsonOption, configured, quietly
from generation.errors import LimnerError, RequestRejected

if TYPE_CHECKING:
    from bot.messages import Messages
    from generation.queue.listener import JobProgress
    from storage.backup import Contents

cli = typer.Typer(
    help="Limner: a self-hosted /imagine for Discord, with SDXL on your own hardware.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
cli.add_typer(benches, name="bench")

# For the person's mistakes; 1 is for everything else that goes wrong.
MISTAKE = 2


def main() -> None:
    """The command line, where an error that was foreseen is one sentence on stderr."""
    try:
        cli()
    except LimnerError as error:
        from bot.errors import words

        _fail(words(error, _messages()), MISTAKE if isinstance(error, RequestRejected) else 1)


@cli.command()
def run(config: ConfigOption = None) -> None:
    """Serve Discord. The token comes from DISCORD_TOKEN."""
    settings = configured(config)
    from bot.app import run

    run(settings)


@cli.command()
def demo(
    config: ConfigOption = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Where the page is served; 0 takes a free port.")] = 8765,
    open_browser: Annotated[bool, typer.Option("--open/--no-open", help="Open a tab where there is a display.")] = True,
) -> None:
    """Open the real bot on an in-memory Discord in a browser tab. Needs no token."""
    settings = configured(config)
    from bot.demo import run

    run(settings, port, open_browser=open_browser)


@cli.command(context_settings={"ignore_unknown_options": True})
def imagine(
    prompt: Annotated[list[str], typer.Argument(help="What to draw, with the same flags as in Discord.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The PNG file to write.")] = Path("out.png"),
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Draw without Discord.

    Several pictures are written as a grid to the file, and each by itself beside it: out.png, out-1.png, out-2.png, …
    """
    settings = quietly(config)
    from bot.drawing import DrawingFailed, draw, save
    from bot.errors import ending_words

    messages = _messages()
    if output.suffix.lower() != ".png" or not output.parent.is_dir():
        _fail(messages.say("cli.bad_output", path=output), MISTAKE)
    try:
        with _progress_bar(shown=not as_json and sys.stderr.isatty()) as on_progress:
            drawing = asyncio.run(draw(settings, " ".join(prompt), on_progress=on_progress))
    except DrawingFailed as error:
        _fail(ending_words(str(error.fields["reason"]), messages), 1)
    saved = asyncio.run(save(drawing, output))
    first = drawing.job.recipes[0]
    if as_json:
        report = {
            "files": [str(path) for path in saved.pictures],
            "grid": str(saved.grid) if saved.grid is not None else None,
            "seed": first.seed,
            "size": [first.width, first.height],
            "seconds": round(drawing.seconds, 3),
            "cost": drawing.job.cost,
            "style": drawing.job.style,
            "recipes": [recipe.to_dict() for recipe in drawing.job.recipes],
        }
        print(json.dumps(report, ensure_ascii=False, indent=2))
        return
    for path in (*filter(None, (saved.grid,)), *saved.pictures):
        print(path)
    from bot.wording import price

    seconds, cost = f"{drawing.seconds:.1f}", price(messages, drawing.job.price, None)
    print(
        messages.say("cli.drawn", width=first.width, height=first.height, seed=first.seed, seconds=seconds, cost=cost)
    )


@cli.command()
def doctor(config: ConfigOption = None) -> None:
    """Look whether everything that `run` needs is there, and say what to do about what is not."""
    settings = quietly(config)
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from bot.doctor import examine

    messages, findings = _messages(), asyncio.run(examine(settings))
    colours = {"ok": "green", "note": "yellow", "todo": "red"}
    table = Table(show_header=False)
    for finding in findings:
        table.add_row(
            Text(messages.say(f"doctor.state.{finding.state}"), colours[finding.state]),
            Text(messages.say(f"doctor.topic.{finding.topic}")),
            Text(messages.say(f"doctor.{finding.key}", **finding.fields)),
        )
    # Where nobody sees a terminal's width, lines shall not be broken at 80.
    Console(width=None if sys.stdout.isatty() else 200).print(table)
    if any(finding.state == "todo" for finding in findings):
        raise typer.Exit(1)


@cli.command()
def migrate(config: ConfigOption = None) -> None:
    """Bring the database to this version's schema. Make a backup first."""
    settings = configured(config)
    from storage.migrations import migrate

    migrate(settings.storage.database)
    print(_messages().say("cli.migrated"))


@cli.command()
def backup(
    target: Annotated[Path, typer.Argument(help="The folder to make; it must not be there, or be empty.")],
    config: ConfigOption = None,
) -> None:
    """Copy the database and the pictures, also while the bot runs."""
    settings = configured(config)
    from storage.backup import back_up

    contents = back_up(database=settings.storage.database, files=settings.storage.files, target=target)
    _tell_contents("cli.backed_up", target, contents)
    if contents.missing or contents.damaged:
        missing, damaged = len(contents.missing), len(contents.damaged)
        _fail(_messages().say("cli.backup_lacks", missing=missing, damaged=damaged), 1)


@cli.command()
def restore(
    source: Annotated[Path, typer.Argument(help="A folder that `backup` made.")], config: ConfigOption = None
) -> None:
    """Put a backup back where there is no database. Stop the bot first."""
    settings = configured(config)
    from bot.single_instance import only_instance
    from storage.backup import restore
    from storage.database import REVISION

    with only_instance(settings.storage.database):
        contents = restore(source=source, database=settings.storage.database, files=settings.storage.files)
    _tell_contents("cli.restored", source, contents)
    if contents.revision != REVISION:
        print(_messages().say("cli.restored_older"))


@cli.command()
def prune(as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """Delete what is older than [retention] allows, and files that nothing names; also while the bot runs."""
    settings = configured(config)
    from dataclasses import asdict

    from bot.retention import sweep
    from storage.storage import open_storage

    async def pruned() -> dict[str, int]:
        async with open_storage(database=settings.storage.database, files=settings.storage.files) as storage:
            return asdict(await sweep(storage, settings.retention))

    counts = asyncio.run(pruned())
    print(json.dumps(counts) if as_json else _messages().say("cli.pruned", **counts))


def _tell_contents(key: str, path: Path, contents: Contents) -> None:
    print(
        _messages().say(
            key,
            path=path,
            created_at=contents.created_at,
            jobs=contents.jobs,
            images=contents.images,
            files=contents.files,
            size=f"{contents.bytes / 1e6:.1f} MB",
        )
    )


@contextmanager
def _progress_bar(*, shown: bool) -> Iterator[Callable[[JobProgress], None]]:
    """A bar on stderr, which is gone when the picture is there."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True, disable=not shown) as bar:
        task = bar.add_task("", total=None)
        yield lambda progress: bar.update(task, completed=progress.step, total=progress.steps)


def _messages() -> Messages:
    from bot.messages import load_messages

    return load_messages()


def _fail(sentence: str, status: int) -> NoReturn:
    print(sentence, file=sys.stderr)
    raise SystemExit(status)
