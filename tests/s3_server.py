"""A real server of S3's, in a process of its own on loopback, that forgets everything at its end."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

START_SECONDS = 120.0  # on a machine that is busy with something else
_ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+")


@contextmanager
def s3_server() -> Iterator[str]:
    """Its address."""
    with subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as process:  # fmt: skip
        stuck = threading.Timer(START_SECONDS, process.kill)
        stuck.start()
        assert process.stdout is not None
        reader: threading.Thread | None = None
        try:
            said: list[str] = []
            for line in process.stdout:
                said.append(line)
                if found := _ADDRESS.search(line):
                    break
            else:
                raise AssertionError("".join(said))
            stuck.cancel()
            reader = threading.Thread(target=process.stdout.read)  # or it would wait for us, once the pipe is full
            reader.start()
            yield found[0]
        finally:
            stuck.cancel()
            process.kill()
            if reader is not None:
                reader.join()  # before the pipe that it reads is closed


def make_bucket(endpoint: str, name: str) -> None:
    """As whoever runs the storage does."""
    import boto3

    client = boto3.client(
        "s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="key", aws_secret_access_key="secret"
    )
    client.create_bucket(Bucket=name)
    client.close()
