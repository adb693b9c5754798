"""Audits what is installed against what is locked, without the network: `python .ci/audit.py`, part of `make check`.

- Every package is locked in constraints.txt, in the very version that is installed; so is every one that we ask for.
- All of them fit together (`pip check`).
- None comes from a repository or a folder: only from an index, where versions do not change.
- Each has a licence under which Limner (MIT) may be used and passed on with it; metadata say which.

Whether a version has a known hole only a database of such holes can say: `pip-audit -r constraints.txt` asks one.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import Distribution, distributions
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# What brings packages, and what we are.
NOT_LOCKED = {"pip", "setuptools", "wheel", "limner"}
ALLOWED = {
    "0BSD", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0",
    "CNRI-Python", "ISC", "MIT", "MIT-0", "MIT-CMU", "MPL-2.0", "PSF-2.0", "Python-2.0", "Unlicense", "Zlib",
}  # fmt: skip
# Older metadata say it in words of their own; the first of these that is in them counts.
WORDS = {
    "apache": "Apache-2.0", "mozilla public license 2.0": "MPL-2.0", "mpl-2.0": "MPL-2.0", "bsd 2": "BSD-2-Clause",
    "bsd": "BSD-3-Clause", "isc": "ISC", "python software foundation": "PSF-2.0", "mit": "MIT",
}  # fmt: skip
# Those whose metadata say nothing, as their own repositories do.
SILENT = {"atheris": "Apache-2.0", "torchao": "BSD-3-Clause"}


def main() -> int:
    """Print what is wrong; the exit status is 1 if there is something."""
    locked = read_locked((ROOT / "constraints.txt").read_text(encoding="utf-8"))
    installed = {canonical(found.metadata["Name"]): found for found in distributions()}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wrong = [
        *unlocked({name: found.version for name, found in installed.items()}, locked),
        *unasked(project, locked),
        *(line for name, found in sorted(installed.items()) for line in strange(name, found)),
    ]
    fitting = subprocess.run([sys.executable, "-m", "pip", "check"], capture_output=True, text=True, check=False)
    if fitting.returncode:
        wrong += fitting.stdout.splitlines()
    for line in wrong:
        print(line)  # noqa: T201
    if not wrong:
        print(f"{len(installed)} packages: locked, fitting, allowed")  # noqa: T201
    return 1 if wrong else 0


def canonical(name: str) -> str:
    """A name as indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def read_locked(text: str) -> dict[str, str]:
    """Version by name. Raises ValueError for a line that leaves it open."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    matches = [re.fullmatch(r"([A-Za-z0-9._-]+)==([A-Za-z0-9.!+]+)", line.strip()) for line in lines]
    if None in matches:
        raise ValueError(f"constraints.txt does not lock: {lines[matches.index(None)]}")
    return {canonical(match[1]): match[2] for match in matches if match}


def unlocked(installed: Mapping[str, str], locked: Mapping[str, str]) -> Iterator[str]:
    """Installed in another version than the one that is locked, or not locked at all."""
    for name, version in sorted(installed.items()):
        if name in NOT_LOCKED:
            continue
        if name not in locked:
            yield f"{name} {version} is installed, but constraints.txt does not lock it"
        elif version.partition("+")[0] != locked[name].partition("+")[0]:  # a build for the CPU or for CUDA
            yield f"{name} {version} is installed, but constraints.txt locks {locked[name]}"


def unasked(project: Mapping[str, object], locked: Mapping[str, str]) -> Iterator[str]:
    """What the project asks for and constraints.txt does not lock."""
    extras = project.get("optional-dependencies")
    asked = [project.get("dependencies"), *(extras.values() if isinstance(extras, dict) else ())]
    for requirement in {one for group in asked if isinstance(group, list) for one in group}:
        name = canonical(re.split(r"[^A-Za-z0-9._-]", requirement)[0])
        if name not in locked:
            yield f"pyproject.toml asks for {name}, but constraints.txt does not lock it"


def strange(name: str, found: Distribution) -> Iterator[str]:
    """Not from an index, or under a licence that is not allowed or not told."""
    if name == "limner":
        return
    origin = json.loads(found.read_text("direct_url.json") or "{}")
    if origin.keys() & {"vcs_info", "dir_info"}:
        yield f"{name} was not installed from an index: {origin.get('url')}"
    licences = licences_of(found)
    if not licences:
        yield f"{name} does not tell its licence"
    for licence in sorted(licences - ALLOWED):
        yield f"{name} is under {licence}, which is not among those allowed"


def licences_of(found: Distribution) -> set[str]:
    """All that apply, by their names in SPDX; of alternatives (`OR`), those that are allowed, if any is."""
    metadata = found.metadata
    expression = metadata.get("License-Expression")
    classifiers = [line for line in metadata.get_all("Classifier") or [] if line.startswith("License ::")]
    said = [line.rpartition(":: ")[2] for line in classifiers] or [str(metadata.get("License") or "")[:200]]
    if (
        expression is None
        and len(said) == 1
        and re.fullmatch(r"[\w.-]+( (AND|OR) [\w.-]+)*", said[0])
        and "-" in said[0]
    ):
        expression = said[0]
    if expression is not None:
        return set(_applying(expression))
    known = {_named(line) for line in said if line}
    silent = SILENT.get(canonical(metadata["Name"]))
    return known or ({silent} if silent else set())


def _applying(expression: str) -> Iterable[str]:
    for part in expression.replace("(", "").replace(")", "").split(" AND "):
        alternatives = part.split(" OR ")
        yield next((one for one in alternatives if one in ALLOWED), alternatives[0])


def _named(words: str) -> str:
    return next((licence for word, licence in WORDS.items() if word in words.lower()), words)


if __name__ == "__main__":
    sys.exit(main())
