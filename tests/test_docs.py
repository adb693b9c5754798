"""The docs tell the truth: every setting, command and flag stands in them, and what they link to is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bot.cli import cli
from bot.cli_bench import benches as bench_commands
from bot.config_keys import list_keys
from bot.flag_table import flag_table
from generation.samplers import SAMPLER_NAMES

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "generation/pocket/README.md", *(ROOT / "docs").glob("*.md")]


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("key", list_keys(), ids=lambda key: key.name)
def test_every_setting_is_documented(key) -> None:
    assert f"| `{key.name}` | {key.allowed} | `{key.default}` | {key.description} |" in page("configuration.md")


@pytest.mark.parametrize("flag", flag_table(max_steps=60, max_text=2000), ids=lambda flag: flag.name)
def test_every_flag_is_documented(flag) -> None:
    row = next(line for line in page("moderating.md").splitlines() if line.startswith(f"| `--{flag.name}`"))
    assert all(f"`--{alias}`" in row for alias in flag.aliases)
    assert not flag.option or f"`{flag.option}`" in row


def test_every_sampler_is_documented() -> None:
    row = next(line for line in page("moderating.md").splitlines() if line.startswith("| `--sampler`"))
    assert f"| {', '.join(SAMPLER_NAMES)} |" in row


def test_every_slash_command_is_documented() -> None:
    from bot.messages import load_messages

    texts = load_messages()
    pages = page("moderating.md")
    for command in (
        "imagine",
        "edit",
        "outpaint",
        "vary",
        "upscale",
        "queue",
        "info",
        "quota show",
        "quota set",
        "quota grant",
        "quota reset",
        "quota default",
        "quota role",
        "quota list",
    ):
        assert texts.has(f"commands.{command.replace(' ', '_')}")
        assert f"`/{command}" in pages


def test_every_command_of_the_command_line_is_documented() -> None:
    names = [command.name or command.callback.__name__ for command in cli.registered_commands if command.callback]
    benches = [command.callback.__name__ for command in bench_commands.registered_commands if command.callback]
    assert "doctor" in names
    assert "gpu" in benches
    for name in (*names, "bench", *(f"bench {bench}" for bench in benches)):
        assert f"| `python -m bot {name}" in page("operating.md")


def test_the_changelog_names_every_command() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    for name in ("/imagine", "/quota", "/queue", "/info"):
        assert name in changelog


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if target.startswith(("http://", "https://")):
            continue
        name, _, anchor = target.partition("#")
        there = (path.parent / name).resolve() if name else path
        assert there.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", there.read_text(encoding="utf-8"), flags=re.MULTILINE)
            assert anchor in [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]


def test_log_events_that_the_docs_name_are_logged() -> None:
    code = "\n".join(
        path.read_text(encoding="utf-8")
        for room in ("bot", "generation", "storage")
        for path in (ROOT / room).rglob("*.py")
    )
    for event in ("pass_halved", "worker_died", "undelivered", "upload_unreadable"):
        assert f"`{event}`" in page("operating.md")
        assert f'"{event}"' in code
