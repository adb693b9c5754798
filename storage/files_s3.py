"""Files in S3-compatible storage, for programs on several machines: https://docs.aws.amazon.com/AmazonS3/latest/API.

Address and keys of the storage come from the environment alone, by the names that all programs for S3 know:
AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_REGION, and AWS_ENDPOINT_URL where it is not Amazon's.

A put is whole or not there, and seen by everybody from then on. What S3 lacks is removal of what nobody has written
since: between looking at a file's age and deleting it somebody may bring its bytes again. So whoever removes a file
puts a mark beside it first, on the condition that there is none; and whoever writes one looks for a mark afterwards,
and then whether the file is there yet. Either the remover saw how young the file is, or the writer sees the mark or the
loss, and writes once more.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from storage.errors import FilesUnavailable, FilesUnwritable
from storage.files import Files, is_digest

if TYPE_CHECKING:
    from obstore import ObjectMeta
    from obstore.store import S3Store

# The metadata in which a file's age stands: the storage's own clock may be another, and tells whole seconds.
_WRITTEN = "written"
_MARKS = "removing"  # the folder of the marks
# No request takes longer than this, tries included, and so no remover lives longer than its mark.
_REQUEST_SECONDS, _TRIES = 10, 3
_MARK_SECONDS = 120.0
_AGAIN = 0.2  # seconds, until a mark is looked for once more
_REASON_LENGTH = 200  # of what the storage says, in characters: the sentence stays one line
# How obstore quotes an answer: its status, and in its body S3's own word for what is wrong.
_ANSWER = re.compile(r"status code: (?P<status>\d+)[^<]*(?:<.*?<Code>(?P<code>\w+)</Code>)?", re.DOTALL)


class S3Files(Files):
    """`<prefix>/<first two hex digits>/<digest>` in a bucket: as in a folder, so that one can be copied to the other.

    `address` is `s3://bucket` or `s3://bucket/prefix`. Raises `FilesUnavailable` where obstore is not installed, or
    does not understand the environment.
    """

    # Writers are on several hosts, whose clocks agree within a second or so: docs/scaling.md asks for it.
    clocks_differ = timedelta(seconds=2)

    def __init__(self, address: str) -> None:
        try:
            import obstore
            from obstore.store import S3Store
        except ImportError as error:
            raise FilesUnavailable(place=address, detail=f"{error}; pip install -e '.[s3]'") from error
        self._s3, self._address = obstore, address
        parts = urlsplit(address)
        self._endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
        with self._asking():
            self._store: S3Store = S3Store(
                parts.netloc,
                prefix=parts.path.strip("/") or None,
                # A storage on the same machine or network may have no certificate; whoever names it knows.
                client_options={
                    "timeout": timedelta(seconds=_REQUEST_SECONDS),
                    "allow_http": self._endpoint.startswith("http:"),
                },
                retry_config={"max_retries": _TRIES - 1, "retry_timeout": timedelta(seconds=_REQUEST_SECONDS)},
            )

    async def check(self) -> None:
        """Whether the bucket can be reached and read. Raises `FilesUnavailable`."""
        with self._asking():
            await self._find_bucket()

    async def write(self, data: bytes) -> str:
        digest = (await asyncio.to_thread(hashlib.sha256, data)).hexdigest()
        path = _path(digest)
        with self._changing(path):
            while True:
                await self._s3.put_async(
                    self._store, path, data, attributes={_WRITTEN: _now().isoformat()}, use_multipart=False
                )
                while await self._is_marked(digest):  # noqa: ASYNC110 – its remover may be another program
                    await asyncio.sleep(_AGAIN)
                # In this order: a remover that began before our put has taken its mark away only after it deleted.
                if await self._seen(path) is not None:
                    return digest

    async def read(self, digest: str) -> bytes | None:
        if not is_digest(digest):
            return None
        with self._asking():
            try:
                found = await self._s3.get_async(self._store, _path(digest))
                return bytes(await found.bytes_async())
            except FileNotFoundError:
                await self._find_bucket()
                return None

    async def exists(self, digest: str) -> bool:
        with self._asking():
            return is_digest(digest) and await self._is_there(_path(digest))

    async def remove(self, digest: str, *, before: datetime | None = None) -> bool:
        if not is_digest(digest):
            return False
        path = _path(digest)
        with self._changing(path):
            if not await self._is_there(path):
                return False
            # A mark that is there may be a dead remover's: that is taken away.
            if not await self._mark(digest) and (await self._is_marked(digest) or not await self._mark(digest)):
                return False
            try:
                written = await self._written(path)
                if written is None or (before is not None and written >= before):
                    return False
                await self._s3.delete_async(self._store, path)
            finally:
                await self._s3.delete_async(self._store, _mark(digest))
        return True

    async def last_written(self, before: datetime) -> Sequence[str]:
        with self._asking():
            found = [meta async for meta in self._all() if meta["last_modified"] < before]
        names = [meta["path"].rpartition("/")[2] for meta in found if not meta["path"].startswith(f"{_MARKS}/")]
        return [name for name in names if is_digest(name)]

    async def clear_unfinished(self, before: datetime) -> int:
        """Marks of removers that died. Uploads are whole or not there."""
        with self._changing(_MARKS):
            left = [meta["path"] async for meta in self._all(prefix=_MARKS) if meta["last_modified"] < before]
            if left:
                await self._s3.delete_async(self._store, left)
        return len(left)

    async def _all(self, prefix: str | None = None) -> AsyncIterator[ObjectMeta]:
        async for some in self._s3.list(self._store, prefix=prefix):
            for meta in some:
                yield meta

    async def _find_bucket(self) -> None:
        """Raises `FileNotFoundError` where there is no such bucket."""
        async for _ in self._s3.list(self._store, prefix=_MARKS):
            break

    async def _is_there(self, path: str) -> bool:
        """Whether there is such an object. Raises `FileNotFoundError` where there is no such bucket.

        A storage without the bucket says of each file only that it is not there; what is taken for gone is forgotten.
        """
        if await self._seen(path) is not None:
            return True
        await self._find_bucket()
        return False

    async def _seen(self, path: str) -> ObjectMeta | None:
        try:
            return await self._s3.head_async(self._store, path)
        except FileNotFoundError:
            return None

    async def _written(self, path: str) -> datetime | None:
        """When a file was last written; None: it is not there. By its own metadata, unless another program put it."""
        try:
            found = await self._s3.get_async(self._store, path, options={"head": True})
        except FileNotFoundError:
            return None
        try:
            return datetime.fromisoformat(found.attributes[_WRITTEN])
        except (KeyError, ValueError):
            return found.meta["last_modified"]

    async def _mark(self, digest: str) -> bool:
        """Put a mark beside a file, unless another remover has."""
        try:
            await self._s3.put_async(self._store, _mark(digest), b"", mode="create")
        except (self._s3.exceptions.AlreadyExistsError, self._s3.exceptions.PreconditionError):
            return False
        return True

    async def _is_marked(self, digest: str) -> bool:
        """Whether somebody is removing that file. The mark of a remover that died is taken away."""
        mark = await self._seen(_mark(digest))
        if mark is None:
            return False
        if _now() - mark["last_modified"] < timedelta(seconds=_MARK_SECONDS):
            return True
        await self._s3.delete_async(self._store, _mark(digest))
        return False

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """What goes wrong inside becomes `FilesUnavailable`."""
        try:
            yield
        except (self._s3.exceptions.BaseError, OSError, ValueError) as error:
            raise FilesUnavailable(place=self._address, detail=self._reason(error)) from None  # see `_reason`

    @contextmanager
    def _changing(self, path: str) -> Iterator[None]:
        """What goes wrong inside becomes `FilesUnwritable`."""
        try:
            yield
        except (self._s3.exceptions.BaseError, OSError, ValueError) as error:
            whole = f"{self._address.rstrip('/')}/{path}"
            raise FilesUnwritable(path=whole, detail=self._reason(error)) from None  # see `_reason`

    def _reason(self, error: Exception) -> str:
        """One line. What the storage itself answers is long and may name keys, so it is no cause of an error either:
        those are logged."""
        told, _, debugging = str(error).partition("\n\nDebug source:")
        answer = _ANSWER.search(told)
        status, code = answer.groups() if answer is not None else (None, None)
        if isinstance(error, FileNotFoundError) or code == "NoSuchBucket":
            return "there is no such bucket"
        if status in ("401", "403"):
            return "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY do not open it"
        if status is not None:
            return f"it answers {code or status}"
        if "kind: Connect" in debugging:
            return f"nothing answers at {self._endpoint or 'its address'}"
        return " ".join(told.split())[:_REASON_LENGTH]


def _now() -> datetime:
    return datetime.now(UTC)


def _path(digest: str) -> str:
    return f"{digest[:2]}/{digest}"


def _mark(digest: str) -> str:
    return f"{_MARKS}/{digest}"
