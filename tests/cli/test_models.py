"""`clippan models fetch`: weights arrive whole and verified, or not at all, and the user is told why.

The hub is a server on this machine that answers as Hugging Face does; huggingface_hub downloads from it for real.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import close_session, constants
from safetensors.torch import save

from clippan_cli.running.control import Control, Progress
from clippan_cli.weights.fetch import FetchOptions, fetch_clip
from clippan_models.errors import Interrupted, UsageError
from clippan_models.guidance.encoder import cached_weights, pretrained_location
from clippan_models.guidance.options import AUTO_PRETRAINED
from clippan_models.guidance.pinned import PINNED
from tests.cli.conftest import RunClippan, RunMain

REPOSITORY, (NAME, OTHER_NAME) = pretrained_location(*AUTO_PRETRAINED)
PIN = PINNED[REPOSITORY]
COMMIT = "0123456789abcdef0123456789abcdef01234567"
OTHER_COMMIT = COMMIT[::-1]
WEIGHTS = save({"visual.proj": torch.randn(64, 64, generator=torch.Generator().manual_seed(0))})
SHA256 = hashlib.sha256(WEIGHTS).hexdigest()
FETCH = ["models", "fetch", "clip"]
FETCH_SMALL = [*FETCH, "--sha256", SHA256]


@dataclass
class Hub:
    """A hub of one repository, how it behaves, and what it was asked."""

    endpoint: str
    files: dict[str, bytes] = field(default_factory=lambda: {NAME: WEIGHTS})
    revisions: dict[str, str] = field(
        default_factory=lambda: {PIN.revision: PIN.revision, "main": COMMIT, COMMIT: COMMIT}
    )
    repository: str = REPOSITORY
    sha256: str | None = None  # stated instead of the true one
    status: int = 200
    break_off: bool = False  # the first download breaks off in the middle
    recovers: bool = False  # and the next request is answered
    asked: list[str] = field(default_factory=list)
    sent: int = 0  # bytes of downloads that did not break off

    @property
    def downloads(self) -> list[str]:
        """What was downloaded, as "revision/file"."""
        return [line.removeprefix("GET ") for line in self.asked if line.startswith("GET ")]


class Answers(BaseHTTPRequestHandler):
    """Answers as Hugging Face does for the files of a repository."""

    hub: Hub

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.answer()

    def answer(self) -> None:
        repository, _, rest = self.path.lstrip("/").partition("/resolve/")
        revision, _, name = rest.partition("/")
        self.hub.asked.append(f"{self.command} {rest}")
        commit = self.hub.revisions.get(revision)
        content = self.hub.files.get(name)
        if self.hub.status != 200:
            self.refuse(self.hub.status, "")
        elif repository != self.hub.repository:
            self.refuse(404, "RepoNotFound")
        elif commit is None:
            self.refuse(404, "RevisionNotFound")
        elif content is None:
            self.refuse(404, "EntryNotFound")
        else:
            start = int(self.headers.get("Range", "bytes=0-")[len("bytes=") : -1])
            self.send_response(206 if start else 200)
            self.send_header("X-Repo-Commit", commit)
            self.send_header("ETag", f'"{self.hub.sha256 or hashlib.sha256(content).hexdigest()}"')
            self.send_header("Content-Length", str(len(content) - start))
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            self.end_headers()
            if self.command == "GET" and self.hub.break_off:
                self.wfile.write(content[: len(content) // 2])
                self.hub.break_off, self.close_connection = False, True
                self.hub.status = 200 if self.hub.recovers else 500
            elif self.command == "GET":
                self.hub.sent += len(content) - start
                self.wfile.write(content[start:])

    def refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Stay silent."""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The Hugging Face cache, as if HF_HOME had been set before huggingface_hub was loaded."""
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf" / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    return tmp_path / "hf" / "hub"


@pytest.fixture
def hub(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub, as if HF_ENDPOINT had led to it."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("AnswersHere", (Answers,), {}))
    made: Any = server.RequestHandlerClass
    made.hub = Hub(f"http://127.0.0.1:{server.server_port}")
    point_to(made.hub.endpoint, monkeypatch)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield made.hub
    server.shutdown()
    server.server_close()
    close_session()


def point_to(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    close_session()
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", endpoint + "/{repo_id}/resolve/{revision}/{filename}")


def left_in(cache: Path) -> list[Path]:
    """Everything in the cache that could be taken for weights."""
    return [path for path in cache.rglob("*") if path.name == NAME or (path.is_file() and path.stat().st_size > 1000)]


# --- What is fetched is found -----------------------------------------------------------------------------------------


def test_a_shell_fetches_with_the_variables_of_hugging_face(hub: Hub, cache: Path, run_clippan: RunClippan) -> None:
    env = {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(cache.parent), "HF_HUB_OFFLINE": "0"}
    done = run_clippan(FETCH_SMALL, env=env)
    assert (done.code, done.stderr) == (0, "")
    path = cached_weights(*AUTO_PRETRAINED, cache)
    assert path is not None and path.read_bytes() == WEIGHTS
    assert str(path) in done.stdout and SHA256 in done.stdout and PIN.revision in done.stdout
    assert set(hub.asked) == {f"{verb} {PIN.revision}/{NAME}" for verb in ("HEAD", "GET")}  # nor told anything else


@pytest.mark.parametrize("offline", [False, True])
def test_a_second_run_verifies_and_asks_nobody(
    offline: bool, hub: Hub, cache: Path, run_main: RunMain, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run_main(FETCH_SMALL).code == 0
    hub.asked.clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
    again = run_main(FETCH_SMALL)
    assert again.code == 0 and "already in the cache" in again.stdout
    assert hub.asked == []


def test_json_says_the_same(hub: Hub, cache: Path, run_main: RunMain) -> None:
    first, second = run_main([*FETCH_SMALL, "--json"]), run_main([*FETCH_SMALL, "--json"])
    assert (first.stderr, second.stderr) == ("", "")
    document = json.loads(first.stdout)
    assert document | {"downloaded": False} == json.loads(second.stdout)
    assert document == {
        "model": "ViT-B-32:openai",
        "repository": REPOSITORY,
        "file": NAME,
        "revision": PIN.revision,
        "sha256": SHA256,
        "sha256_from": "user",
        "size": len(WEIGHTS),
        "path": str(cached_weights(*AUTO_PRETRAINED, cache)),
        "downloaded": True,
        "notes": [],
    }


@pytest.mark.parametrize("revision", [COMMIT, "main"])
def test_another_revision_is_what_hugging_face_states(revision: str, hub: Hub, cache: Path, run_main: RunMain) -> None:
    document = json.loads(run_main([*FETCH, "--revision", revision, "--json"]).stdout)
    assert (document["revision"], document["sha256"], document["sha256_from"]) == (COMMIT, SHA256, "hub")
    assert str(cached_weights(*AUTO_PRETRAINED, cache)) == document["path"]


def test_what_the_cache_knows_of_branches_stays(hub: Hub, cache: Path, run_main: RunMain) -> None:
    main = cache / f"models--{REPOSITORY.replace('/', '--')}" / "refs" / "main"
    main.parent.mkdir(parents=True)
    main.write_text("f" * 40)
    for more in ([], ["--revision", "main"], ["--revision", COMMIT]):
        assert run_main([*FETCH_SMALL, *more]).code == 0
    assert [path.name for path in main.parent.iterdir()] == ["main"] and main.read_text() == "f" * 40


def test_of_several_commits_clip_takes_the_known_one_else_the_last_fetched(
    hub: Hub, cache: Path, run_main: RunMain
) -> None:
    hub.revisions[OTHER_COMMIT] = OTHER_COMMIT
    for commit in (OTHER_COMMIT, COMMIT):
        assert run_main([*FETCH, "--revision", commit]).stderr == ""
        assert commit in str(cached_weights(*AUTO_PRETRAINED, cache))
    run_main(FETCH_SMALL)
    assert PIN.revision in str(cached_weights(*AUTO_PRETRAINED, cache))
    assert len(hub.downloads) == 1  # the same bytes
    again = run_main([*FETCH, "--revision", COMMIT])
    assert again.code == 0 and f"takes {cached_weights(*AUTO_PRETRAINED, cache)}" in again.stderr


def test_another_clip_and_another_name_of_its_file(hub: Hub, cache: Path, run_main: RunMain) -> None:
    hub.repository, _ = pretrained_location("ViT-B-16", "openai")
    hub.files = {OTHER_NAME: WEIGHTS}
    done = run_main([*FETCH, "--model", "ViT-B-16:openai"])
    assert done.code == 0 and COMMIT in done.stdout
    path = cached_weights("ViT-B-16", "openai", cache)
    assert path is not None and path.name == OTHER_NAME


def test_the_clip_of_the_paper_is_pinned() -> None:
    assert REPOSITORY in PINNED


# --- Weights that are not what they should be -------------------------------------------------------------------------


def test_a_hub_that_sends_something_else_leaves_nothing_behind(hub: Hub, cache: Path, run_main: RunMain) -> None:
    hub.sha256 = PIN.sha256  # so it says
    done = run_main(FETCH)
    assert done.code == 7 and SHA256 in done.error_line and "it was removed" in done.error_line
    assert hub.downloads and left_in(cache) == []
    assert cached_weights(*AUTO_PRETRAINED, cache) is None


def test_a_hub_that_states_something_else_is_not_asked_for_it(hub: Hub, cache: Path, run_main: RunMain) -> None:
    done = run_main(FETCH)
    assert done.code == 7 and PIN.sha256 in done.error_line and "nothing was fetched" in done.error_line
    assert hub.downloads == [] and left_in(cache) == []


def test_damaged_weights_are_fetched_again(hub: Hub, cache: Path, run_main: RunMain) -> None:
    run_main(FETCH_SMALL)
    path = cached_weights(*AUTO_PRETRAINED, cache)
    assert path is not None
    path.write_bytes(WEIGHTS[:-1] + b"!")
    done = run_main(FETCH_SMALL)
    assert done.code == 0 and "was damaged" in done.stderr
    assert path.read_bytes() == WEIGHTS and len(hub.downloads) == 2


def test_a_mistyped_sha256_costs_nobody_intact_weights(hub: Hub, cache: Path, run_main: RunMain) -> None:
    run_main(FETCH_SMALL)
    done = run_main([*FETCH, "--sha256", "0" * 64])
    assert done.code == 7 and "is intact" in done.error_line
    assert cached_weights(*AUTO_PRETRAINED, cache) is not None


# --- A network that does not serve ------------------------------------------------------------------------------------


def test_offline_says_what_to_do(hub: Hub, run_main: RunMain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    done = run_main(FETCH)
    assert (done.code, done.notes) == (7, [])
    assert "HF_HUB_OFFLINE does not allow" in done.error_line and "copy the folder" in done.error_line
    assert hub.asked == []


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:9", "nonsense", "http://["])
@pytest.mark.usefixtures("cache")
def test_nobody_there(endpoint: str, run_main: RunMain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    point_to(endpoint, monkeypatch)
    done = run_main([*FETCH, "--json"])
    assert (done.code, done.stdout, done.notes) == (7, "", [])
    assert f"cannot fetch {REPOSITORY} from {endpoint}: " in done.error_line


def test_what_the_hub_answers_is_said(hub: Hub, run_main: RunMain) -> None:
    hub.status = 503
    done = run_main(FETCH)
    assert (done.code, done.notes) == (7, []) and "HTTP status 503" in done.error_line


def test_pickles_are_not_fetched(hub: Hub, cache: Path, run_main: RunMain) -> None:
    hub.files = {"open_clip_pytorch_model.bin": WEIGHTS}
    done = run_main(FETCH)
    assert done.code == 7 and f"no {NAME}" in done.error_line
    assert hub.downloads == [] and left_in(cache) == []


def test_a_revision_that_does_not_exist(hub: Hub, run_main: RunMain) -> None:
    done = run_main([*FETCH, "--revision", "v9"])
    assert done.code == 2 and "has no revision 'v9'" in done.error_line


def test_a_download_that_breaks_off_leaves_nothing(hub: Hub, cache: Path, run_main: RunMain) -> None:
    hub.break_off = True
    done = run_main(FETCH_SMALL)
    assert (done.code, done.notes) == (7, []) and "run the command again" in done.error_line
    assert left_in(cache) == [] and cached_weights(*AUTO_PRETRAINED, cache) is None


def test_a_connection_that_breaks_is_taken_up_where_it_broke(
    hub: Hub, cache: Path, run_main: RunMain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)
    hub.break_off = hub.recovers = True
    if run_main(FETCH_SMALL).code != 0:  # older versions of huggingface_hub leave that to the next run
        assert run_main(FETCH_SMALL).code == 0
    assert 0 < hub.sent < len(WEIGHTS)
    path = cached_weights(*AUTO_PRETRAINED, cache)
    assert path is not None and path.read_bytes() == WEIGHTS


def test_a_signal_leaves_nothing(hub: Hub, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)
    control = Control()

    def stop(progress: Progress) -> None:
        control.stop_signal = 2

    control.on_progress = stop
    with pytest.raises(Interrupted):
        fetch_clip(FetchOptions(sha256=SHA256), control)
    assert hub.downloads and left_in(cache) == []


def test_a_full_disk_is_noticed_before(hub: Hub, run_main: RunMain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 100}))
    done = run_main(FETCH_SMALL)
    assert done.code == 5 and "HF_HOME" in done.error_line and hub.downloads == []


# --- Channels and arguments -------------------------------------------------------------------------------------------


def test_progress_ends_with_all_of_it(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.files = {NAME: bytes(3_500_000)}
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1_000_000)
    seen: list[Progress] = []
    fetch_clip(FetchOptions(revision="main"), Control(on_progress=seen.append))
    fetched = [(p.done, p.total) for p in seen if p.stage == "fetch"]
    assert fetched == sorted(fetched) and fetched[-1] == (4, 4) and len(fetched) > 2


@pytest.mark.parametrize("option", ["--quiet", "--json"])
def test_a_bar_is_drawn_only_for_who_wants_it(
    option: str, hub: Hub, run_main: RunMain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", "1")  # rich: draw as on a terminal
    monkeypatch.setenv("TERM", "xterm")
    assert run_main([*FETCH_SMALL, option]).stderr == ""
    hub.files = {NAME: WEIGHTS + b"more"}
    assert "fetch" in run_main([*FETCH, "--revision", COMMIT]).stderr


@pytest.mark.parametrize(
    ("argv", "reason"),
    [
        (["models", "fetch", "clap"], "available: clip"),
        ([*FETCH, "--model", "ViT-B-32"], "is not MODEL:PRETRAINED"),
        ([*FETCH, "--model", "ViT-B-32:nobody"], "available: openai"),
        ([*FETCH, "--sha256", "abc"], "is not a SHA-256"),
        ([*FETCH, "--revision", " "], "the revision is empty"),
    ],
)
def test_mistakes_of_usage(argv: list[str], reason: str, hub: Hub, run_main: RunMain) -> None:
    done = run_main(argv)
    assert done.code == UsageError.exit_code and reason in done.error_line
    assert hub.asked == []
