"""What storage refuses and what goes wrong with it: leaves of the tree in `generation/errors.py`.

LimnerError
├── RequestRejected
│   ├── OutOfCredits           the order costs more than the person may spend now
│   ├── TooManyJobs            the person has as many unfinished jobs as one may have
│   └── TooManyNewJobs         … or would have more with those that are ordered now
├── StorageUnavailable         the database cannot be reached or opened
├── StorageOutdated            the database has another schema than this program
└── FilesUnwritable            a file cannot be written: disk full, no permission
"""

from __future__ import annotations

from generation.errors import LimnerError, RequestRejected


class OutOfCredits(RequestRejected):
    """The order costs more than the person may spend now.

    Fields: `cost`, `available` (both credits), `renews_at` (aware UTC: when the allowance of the next day begins).
    """

    key = "out_of_credits"


class TooManyJobs(RequestRejected):
    """The member has as many queued and running jobs as one may have. Fields: `queued`, `limit`."""

    key = "too_many_jobs"


class TooManyNewJobs(RequestRejected):
    """Several jobs at once are more than the member may still have. Fields: `wanted`, `queued`, `limit`."""

    key = "too_many_new_jobs"


class StorageUnavailable(LimnerError):
    """The database cannot be reached or opened. Fields: `database` (its URL without a password), `detail`."""

    key = "storage_unavailable"


class StorageOutdated(LimnerError):
    """The database has another schema than this program: it wants `migrate`, or it is of a newer program.

    Fields: `found` (revision, or '' for a database without tables), `wanted`.
    """

    key = "storage_outdated"


class FilesUnwritable(LimnerError):
    """A file or its folder cannot be written. Fields: `path`, `detail` (the system's words for it)."""

    key = "files_unwritable"
