"""Reads the files of the model that comes next while another one draws, so that loading finds them in main memory.

They are read through and no more: what was read stays in the system's cache of files, from which loading takes it a
moment later. No module is built here. For that the libraries change what counts in the whole process (the default
number format, how modules take parameters, how weights are begun), and the pixels of the batch that is drawn meanwhile
may depend on it. Nearly all of the time that loading takes goes into reading.

The cache is memory that nobody else needs at that moment, and the system takes it back before anybody lacks it.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import huggingface_hub
import psutil
import structlog

from generation.catalogue import ModelSpec
from generation.painter.checkpoints import weight_files
from generation.weights import MODEL_INDEX

# What is read at once. Other threads of Python's go on meanwhile, and after each it is asked whether to go on.
CHUNK_BYTES = 8 << 20


class ReadAhead:
    """One model at a time is read, in a thread of its own. All methods return at once and may be called in any thread.

    Whatever goes wrong is logged and no more: loading the model in its turn will tell it, to a person.
    """

    def __init__(self, *, most_bytes: int) -> None:
        """A model is read whose weight files take no more than `most_bytes`; 0: none is."""
        self._most_bytes = most_bytes
        self._changed = threading.Condition()
        self._spec: ModelSpec | None = None
        self._reading: threading.Thread | None = None  # which any other thread that still reads has to give way to
        self._read_last: ModelSpec | None = None  # through to its end, and not loaded since
        self._resting = False
        self._log = structlog.get_logger(__name__)

    def begin(self, spec: ModelSpec) -> None:
        """Read that model's files, in the place of any other's, unless they were the last that were read."""
        if not self._most_bytes:
            return
        with self._changed:
            reading = None
            if spec != self._read_last:
                reading = threading.Thread(target=self._read, args=(spec,), name="read-ahead", daemon=True)
            self._spec, self._reading = spec, reading
            self._changed.notify_all()
        if reading is not None:
            with contextlib.suppress(RuntimeError):  # no thread is to be had: then it is read in its turn
                reading.start()

    def call_off(self) -> None:
        """The model will not be needed."""
        with self._changed:
            self._spec = self._reading = None
            self._changed.notify_all()

    @contextlib.contextmanager
    def at_rest(self, spec: ModelSpec) -> Iterator[None]:
        """While that model is loaded the disk is its own; if it is the one that is being read, that is over."""
        with self._changed:
            self._resting = True
            if self._read_last == spec:
                self._read_last = None
            if self._spec == spec:
                self._spec = self._reading = None
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._resting = False
                self._changed.notify_all()

    def _read(self, spec: ModelSpec) -> None:
        log = self._log.bind(model=spec.name)
        try:
            files = _files_here(spec)
            hindrance = self._hindrance(sum(path.stat().st_size for path in files))
            if not hindrance:
                nbytes = sum(map(self._read_through, files))
                hindrance = "" if self._is_over(spec) else f"no more wanted after {nbytes} bytes"
        except Exception as error:  # noqa: BLE001 – nothing depends on it
            hindrance = repr(error)
        if hindrance:
            log.info("model_not_read_ahead", reason=hindrance)
        else:
            log.info("model_read_ahead", files=len(files), nbytes=nbytes)

    def _hindrance(self, nbytes: int) -> str:
        """Why so many bytes of files are not read; '' if they are."""
        if nbytes == 0:
            return "not here"
        if nbytes > self._most_bytes:
            return "beyond the budget"
        # Where the weights are made from them, in another number format perhaps, they are there twice for a while.
        if 2 * nbytes > psutil.virtual_memory().available:
            return "too little memory is free"
        return ""

    def _read_through(self, path: Path) -> int:
        """The bytes that were read: all of the file, unless it was called off."""
        chunk, nbytes = bytearray(CHUNK_BYTES), 0
        with path.open("rb", buffering=0) as file:
            while self._goes_on() and (read := file.readinto(chunk)):
                nbytes += read
        return nbytes

    def _goes_on(self) -> bool:
        """Whether what this thread reads is still wanted, asked when it may go on."""
        own = threading.current_thread()
        with self._changed:
            self._changed.wait_for(lambda: not self._resting or self._reading is not own)
            return self._reading is own

    def _is_over(self, spec: ModelSpec) -> bool:
        """Note that all of that model was read, if it is still wanted."""
        with self._changed:
            wanted = self._reading is threading.current_thread()
            if wanted:
                self._read_last = spec
            return wanted


def _files_here(spec: ModelSpec) -> Sequence[Path]:
    """The weight files of a model as far as they are on this machine; nothing is downloaded for it."""
    path = Path(spec.source).expanduser()
    if not path.is_absolute() and not path.exists():
        index = huggingface_hub.try_to_load_from_cache(spec.source, MODEL_INDEX)
        if not isinstance(index, str):
            return ()
        path = Path(index).parent
    return weight_files(path, spec.variant)
