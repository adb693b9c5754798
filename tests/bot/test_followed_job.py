"""What is known about a job while it runs."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from bot.followed_job import FollowedJob
from generation.job import Job, JobKind, JobStatus
from generation.queue.listener import JobProgress
from generation.recipe import Recipe

RECIPE = Recipe(
    prompt="a boat", model="pocket", width=128, height=128, seed=7, num_inference_steps=20, guidance_scale=4.0
)
JOB = Job(
    id=1,
    kind=JobKind.IMAGINE,
    recipes=(RECIPE,),
    request="a boat",
    style=None,
    user_id=1,
    guild_id=2,
    channel_id=3,
    cost=1,
    status=JobStatus.RUNNING,
    created_at=datetime(2026, 1, 1, tzinfo=UTC),
)


def progress(step: int, *previews: bytes) -> JobProgress:
    return JobProgress(step=step, steps=20, previews=previews, seconds_left=1.0)


def test_a_preview_stays_in_sight_until_there_is_a_newer_one() -> None:
    followed = FollowedJob(JOB)
    seen = []
    for step in (progress(3), progress(4, b"four"), progress(5), progress(7), progress(8, b"eight"), progress(9)):
        followed.note_progress(step)
        assert followed.progress is not None
        assert followed.progress.step == step.step
        seen.append(followed.progress.previews)
    assert seen == [(), (b"four",), (b"four",), (b"four",), (b"eight",), (b"eight",)]


def test_a_second_attempt_begins_without_a_preview() -> None:
    followed = FollowedJob(JOB)
    followed.note_progress(progress(4, b"four"))
    followed.note(replace(JOB, attempt=2))
    followed.note_progress(progress(1))
    assert followed.progress == progress(1)
