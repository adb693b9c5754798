"""The audit of what is installed: it passes here, and names each thing that would be wrong."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from importlib.metadata import PathDistribution
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def audit() -> ModuleType:
    """The program as a module; it is in no package."""
    spec = importlib.util.spec_from_file_location("audit", ROOT / ".ci/audit.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def distribution(folder: Path, metadata: str, direct_url: str | None = None) -> PathDistribution:
    path = folder / "thing-1.0.dist-info"
    path.mkdir()
    (path / "METADATA").write_text(f"Metadata-Version: 2.4\nName: thing\nVersion: 1.0\n{metadata}\n")
    if direct_url is not None:
        (path / "direct_url.json").write_text(direct_url)
    return PathDistribution(path)


def test_what_is_installed_here_passes() -> None:
    run = subprocess.run([sys.executable, ROOT / ".ci/audit.py"], capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, ""), run.stdout
    assert run.stdout.endswith("locked, fitting, allowed\n")


def test_versions_have_to_be_those_that_are_locked(audit: ModuleType) -> None:
    locked = audit.read_locked("# why\nSome.Thing==1.0\ntorch==2.13.0\n")
    assert list(audit.unlocked({"some-thing": "1.0", "torch": "2.13.0+cpu", "pip": "23"}, locked)) == []
    assert list(audit.unlocked({"some-thing": "1.1", "other": "2"}, locked)) == [
        "other 2 is installed, but constraints.txt does not lock it",
        "some-thing 1.1 is installed, but constraints.txt locks 1.0",
    ]
    project = {"dependencies": ["some_thing>=1,<2"], "optional-dependencies": {"more": ["absent[extra]>=3; os == 'x'"]}}
    assert list(audit.unasked(project, locked)) == [
        "pyproject.toml asks for absent, but constraints.txt does not lock it"
    ]


@pytest.mark.parametrize(
    "line", ["thing>=1", "thing", "thing==1.*", "thing @ https://example.org/thing.whl", "-r more"]
)
def test_what_locks_nothing_is_refused(audit: ModuleType, line: str) -> None:
    with pytest.raises(ValueError, match="does not lock"):
        audit.read_locked(line)


@pytest.mark.parametrize(
    ("metadata", "wrong"),
    [
        ("License-Expression: MIT", None),
        ("License-Expression: (MIT OR GPL-3.0-only) AND BSD-3-Clause", None),
        ("License: Apache 2.0 License", None),
        ("Classifier: License :: OSI Approved :: MIT License", None),
        ("License-Expression: MIT AND AGPL-3.0-only", "thing is under AGPL-3.0-only, which is not among those allowed"),
        ("License: GPLv3", "thing is under GPLv3, which is not among those allowed"),
        (
            "Classifier: License :: OSI Approved :: GNU Affero General Public License v3",
            "thing is under GNU Affero General Public License v3, which is not among those allowed",
        ),
        ("Summary: a thing", "thing does not tell its licence"),
    ],
)
def test_licences(audit: ModuleType, tmp_path: Path, metadata: str, wrong: str | None) -> None:
    assert list(audit.strange("thing", distribution(tmp_path, metadata))) == ([] if wrong is None else [wrong])


def test_what_comes_from_a_repository_is_named(audit: ModuleType, tmp_path: Path) -> None:
    origin = '{"url": "https://example.org/thing.git", "vcs_info": {"vcs": "git"}}'
    found = distribution(tmp_path, "License-Expression: MIT", origin)
    assert list(audit.strange("thing", found)) == [
        "thing was not installed from an index: https://example.org/thing.git"
    ]
