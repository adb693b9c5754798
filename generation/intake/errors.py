"""Why an uploaded picture is not taken: leaves of `RequestRejected` in the tree of `generation/errors.py`."""

from __future__ import annotations

from generation.errors import RequestRejected


class UploadWrongType(RequestRejected):
    """The file is no PNG, JPEG or WebP, whatever its name says."""

    key = "upload_wrong_type"


class UploadUnreadable(RequestRejected):
    """The file says that it is a picture, but it is broken, cut off, or takes longer to read than any picture may."""

    key = "upload_unreadable"


class UploadAnimated(RequestRejected):
    """The picture moves: which of its moments is meant is not for us to guess."""

    key = "upload_animated"


class UploadTooLarge(RequestRejected):
    """The file has too many bytes. Fields: `limit` (megabytes)."""

    key = "upload_too_large"


class UploadTooManyPixels(RequestRejected):
    """The picture has, or claims to have, too many pixels. Fields: `limit` (megapixels)."""

    key = "upload_too_many_pixels"
