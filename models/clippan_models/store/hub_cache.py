"""Files in the Hugging Face cache of this machine. Nothing is downloaded, and nothing in the cache is changed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from huggingface_hub import constants, try_to_load_from_cache
from huggingface_hub.file_download import repo_folder_name


def cached_file(
    repository: str, names: Sequence[str], revisions: Iterable[str], cache: Path | None = None
) -> Path | None:
    """The first of these files, by revision and then by name, that the cache has.

    Args:
        repository: "owner/name".
        names: of the file, in order of preference.
        revisions: commits, branches or tags in order of preference; a branch is where it was when last downloaded.
        cache: folder of the cache; None: the usual one.
    """
    for revision in revisions:
        for name in names:
            found = try_to_load_from_cache(repository, name, cache_dir=cache, revision=revision)
            if isinstance(found, str):
                return Path(found)
    return None


def cached_commits(repository: str, cache: Path | None = None) -> list[str]:
    """The commits of a repository that the cache has files of, the one fetched last first."""
    folder = Path(cache or constants.HF_HUB_CACHE) / repo_folder_name(repo_id=repository, repo_type="model")
    commits = sorted((folder / "snapshots").glob("*"), key=lambda commit: commit.stat().st_mtime, reverse=True)
    return [commit.name for commit in commits]
