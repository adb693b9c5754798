"""What storage refuses and what goes wrong with it: leaves of the tree in `generation/errors.py`.

LimnerError
├── RequestRejected
│   ├── OutOfCredits           the order costs more than the person may spend now
│   ├── Banned                 moderators of the server banned the person for a time
│   ├── BannedForGood          … until one of them lifts the ban
│   ├── TooManyJobs            the person has as many unfinished jobs as one may have
│   ├── TooManyNewJobs         … or would have more with those that are ordered now
│   ├── TooManyRelaxedToday    the person would have ordered more relaxed jobs than one may a day
│   └── TooManyRelaxedWaiting  … or would have more of them unfinished than one may
├── StorageUnavailable         the database cannot be reached or opened
├── StorageOutdated            the database has another schema than this program
├── InstanceTaken              another program on the same server has this one's name
├── ShardsUndivided            … and serves all shards of Discord, or this one would
├── ShardCountsDiffer          … and divides Discord into another number of shards
├── ShardTaken                 … and serves one of this one's shards
├── FilesUnavailable           the storage of the files cannot be reached or read
├── FilesUnwritable            a file cannot be written: disk full, no permission
├── BackupOfBucket             the files are in a bucket: the storage's own programs copy that
├── BackupElsewhere            the database is not a file: its own programs back it up
├── BackupUnsound              a backup, or what it would be made of, is damaged or not whole
└── FolderTaken                where something is to be written, something is already
"""

from __future__ import annotations

from generation.errors import LimnerError, RequestRejected


class OutOfCredits(RequestRejected):
    """The order costs more than the person may spend now.

    Fields: `cost`, `available` (both credits), `renews_at` (aware UTC: when the allowance of the next day begins).
    """

    key = "out_of_credits"


class Banned(RequestRejected):
    """Moderators of this server banned the person for a time. Fields: `until` (aware UTC), `reason`."""

    key = "banned"


class BannedForGood(RequestRejected):
    """Moderators of this server banned the person until further notice. Fields: `reason`."""

    key = "banned_for_good"


class TooManyJobs(RequestRejected):
    """The member has as many queued and running jobs as one may have. Fields: `queued`, `limit`."""

    key = "too_many_jobs"


class TooManyNewJobs(RequestRejected):
    """Several jobs at once are more than the member may still have. Fields: `wanted`, `queued`, `limit`."""

    key = "too_many_new_jobs"


class TooManyRelaxedToday(RequestRejected):
    """More relaxed jobs than a member may order a day. Fields: `wanted`, `ordered`, `limit`, `renews_at`."""

    key = "too_many_relaxed_today"


class TooManyRelaxedWaiting(RequestRejected):
    """More relaxed jobs than a member may have queued and running. Fields: `wanted`, `waiting`, `limit`."""

    key = "too_many_relaxed_waiting"


class StorageUnavailable(LimnerError):
    """The database cannot be reached or opened. Fields: `database` (its URL without a password), `detail`."""

    key = "storage_unavailable"


class StorageOutdated(LimnerError):
    """The database has another schema than this program: it wants `migrate`, or it is of a newer program.

    Fields: `found` (revision, or '' for a database without tables), `wanted`.
    """

    key = "storage_outdated"


class InstanceTaken(LimnerError):
    """Another program that works with this database has the same name. Fields: `instance`."""

    key = "instance_taken"


class ShardsUndivided(LimnerError):
    """Another program works with this database, and one of the two serves all shards of Discord."""

    key = "shards_undivided"


class ShardCountsDiffer(LimnerError):
    """Another program that works with this database counts another number of shards. Fields: `ours`, `theirs`."""

    key = "shard_counts_differ"


class ShardTaken(LimnerError):
    """Another program that works with this database serves one of our shards. Fields: `shard`."""

    key = "shard_taken"


class FilesUnavailable(LimnerError):
    """The files cannot be reached or read. Fields: `place` (their folder or bucket), `detail` (one line)."""

    key = "files_unavailable"


class FilesUnwritable(LimnerError):
    """A file or its folder cannot be written. Fields: `path`, `detail` (the system's words for it)."""

    key = "files_unwritable"


class BackupOfBucket(LimnerError):
    """The files are in a bucket, which we do not copy. Fields: `files` (its address)."""

    key = "backup_of_bucket"


class BackupElsewhere(LimnerError):
    """The database is not a file that we can copy. Fields: `database` (its URL without a password), `files`."""

    key = "backup_elsewhere"


class BackupUnsound(LimnerError):
    """A backup, or what it would be made of, is damaged or not whole. Fields: `path`, `reason`."""

    key = "backup_unsound"


class FolderTaken(LimnerError):
    """Something is already where a backup, or a database from one, is to be written. Fields: `path`."""

    key = "folder_taken"
