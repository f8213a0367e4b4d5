"""`scripts/release` refuses what does not fit the tag, says all that is in the way at once, and gives the notes."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import release
from release import NotReadyError, described, judge, section

CHANGELOG = """# Changelog

## [Unreleased]

### Added

- Something new.

## [1.2.0] - 2026-03-01

- What 1.2.0 brought.

## [1.1.0]

- Without a date.

## [1.0.0] - 2026-01-01
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository that is ready to release 1.2.0."""
    for name, text in {
        "clippan_cli/__init__.py": '__version__ = "1.2.0"\n',
        "CHANGELOG.md": CHANGELOG,
        "recipe/recipe.yaml": 'context:\n  version: "1.2.0"\nsource:\n  path: ..\n',
        "pyproject.toml": '[project.urls]\nRepository = "https://forge.example/clippan"\n',
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    git(tmp_path, "init", "--quiet")
    commit(tmp_path)
    return tmp_path


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=tester", "-c", "user.email=tester@mail.example", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


def commit(folder: Path) -> None:
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", "change")


def edit(file: Path, old: str, new: str) -> None:
    file.write_text(file.read_text().replace(old, new))
    commit(file.parent)


def in_the_way(checkout: Path, tag: str = "v1.2.0") -> tuple[str, ...]:
    with pytest.raises(NotReadyError) as refusal:
        described(checkout, tag)
    return refusal.value.args


@pytest.mark.parametrize(
    ("version", "text"),
    [
        ("1.2.0", "- What 1.2.0 brought."),
        (None, "### Added\n\n- Something new."),
        ("1.1.0", None),
        ("1.0.0", None),
        ("2.0.0", None),
        ("1.2", None),
    ],
)
def test_the_notes_are_the_text_under_a_dated_heading(version: str | None, text: str | None) -> None:
    assert section(CHANGELOG, version) == text


def test_a_tag_that_fits_is_released(checkout: Path) -> None:
    found = described(checkout, "v1.2.0")
    assert (found.version, found.tag, found.notes) == ("1.2.0", "v1.2.0", "- What 1.2.0 brought.")
    git(checkout, "tag", "v1.2.0")
    assert described(checkout, "v1.2.0") == found


def test_a_rehearsal_needs_no_tag_and_takes_what_is_not_released_yet(checkout: Path) -> None:
    (checkout / "CHANGELOG.md").write_text(CHANGELOG.replace("new", "newer"))
    assert described(checkout, None).notes == "### Added\n\n- Something newer."


def test_a_tag_of_another_version_is_refused(checkout: Path) -> None:
    assert in_the_way(checkout, "v1.3.0") == (
        "the tag v1.3.0 is not v1.2.0, the version in clippan_cli/__init__.py; change one of them",
    )


@pytest.mark.parametrize(
    ("file", "old", "new", "reason"),
    [
        ("CHANGELOG.md", "[1.2.0] - 2026-03-01", "[1.2.0]", "CHANGELOG.md has no text under"),
        ("recipe/recipe.yaml", "1.2.0", "1.1.0", 'recipe/recipe.yaml does not say version: "1.2.0"'),
        ("pyproject.toml", "Repository", "Site", "pyproject.toml states no address of the repository"),
    ],
)
def test_files_that_do_not_fit_are_named(checkout: Path, file: str, old: str, new: str, reason: str) -> None:
    edit(checkout / file, old, new)
    (line,) = in_the_way(checkout)
    assert line.startswith(reason)


def test_a_change_that_no_commit_has_is_refused(checkout: Path) -> None:
    (checkout / "clippan_cli" / "stray.py").write_text("")
    (line,) = in_the_way(checkout)
    assert line.startswith("the checkout differs from its commit in 1 files")


def test_a_tag_of_another_commit_is_refused(checkout: Path) -> None:
    git(checkout, "tag", "v1.2.0")
    commit(checkout)
    (line,) = in_the_way(checkout)
    assert line.endswith("which is not checked out; run: git switch --detach v1.2.0")


def test_all_reasons_are_said_at_once(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    edit(checkout / "recipe" / "recipe.yaml", "1.2.0", "1.1.0")
    monkeypatch.setattr(release, "ROOT", checkout)
    assert release.main(["v1.3.0", "--output", str(checkout / "dist")]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2 and all(line.startswith("scripts/release: ") for line in lines)
    assert not (checkout / "dist").exists()


def test_a_known_vulnerability_is_refused_and_what_nobody_knows_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    judge([{"name": "good", "version": "1", "vulns": []}, {"name": "clippan", "skip_reason": "not found"}])
    assert "NOT looked up for vulnerabilities: clippan" in capsys.readouterr().err
    with pytest.raises(NotReadyError, match=r"bad 1\.0 has CVE-1, CVE-2"):
        judge([{"name": "bad", "version": "1.0", "vulns": [{"id": "CVE-1"}, {"id": "CVE-2"}]}])


def test_conda_forge_builds_from_the_package_index(checkout: Path) -> None:
    sdist = checkout / "clippan-1.2.0.tar.gz"
    sdist.write_bytes(b"")
    recipe = release.recipe(checkout, sdist)
    assert "path:" not in recipe
    assert "url: https://pypi.org/packages/source/c/clippan/clippan-1.2.0.tar.gz\n" in recipe
    assert "sha256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n" in recipe  # of no bytes
