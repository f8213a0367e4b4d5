"""Inputs and outputs on object stores, against an S3 server on the loopback."""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import sys
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from clippan_cli.rasters.names import address_of, public_name
from clippan_cli.running.control import Control
from clippan_cli.writing import remote
from clippan_cli.writing.remote import Outgoing
from clippan_models.errors import Interrupted, OutputError
from tests.cli.conftest import Desk, RunMain

pytest.importorskip("obstore", reason="needs the extra cloud")
moto_server = pytest.importorskip("moto.server", reason="needs moto and flask, of the extra dev")

KEY, SECRET = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMIbPxRfiCYEXAMPLEKEY"
PART = 5 * 2**20
"""The least that S3 takes, but for the last part."""


@dataclass
class Store:
    """An S3 server.

    Attributes:
        url: its address.
        refuses: which requests it refuses, by their method and query.
        application: what answers the others.
    """

    url: str = ""
    refuses: Callable[[str, str], bool] | None = None
    application: Any = None
    seen: list[tuple[str, str]] = field(default_factory=list)

    def __call__(self, environ: dict[str, Any], start: Any) -> Any:
        method, query = environ["REQUEST_METHOD"], environ.get("QUERY_STRING", "")
        self.seen.append((method, query))
        if self.refuses is None or not self.refuses(method, query):
            return self.application(environ, start)
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        start("403 Forbidden", [("Content-Type", "application/xml")])
        return [b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"]

    def send(self, method: str, path: str, data: bytes | None = None) -> bytes:
        """A request past clippan; the server checks no signature."""
        signed = "AWS4-HMAC-SHA256 Credential=any/20260101/us-east-1/s3/aws4_request"
        headers = {"Content-Type": "application/octet-stream", "Authorization": signed}
        request = urllib.request.Request(f"{self.url}/{path}", data, headers, method=method)
        with urllib.request.urlopen(request) as answer:
            return bytes(answer.read())

    def keys(self, bucket: str = "maps") -> list[str]:
        return re.findall("<Key>(.*?)</Key>", self.send("GET", f"{bucket}?list-type=2").decode())

    def unfinished(self) -> int:
        """Uploads of which the server keeps parts."""
        return self.send("GET", "maps?uploads").count(b"<Upload>")


@pytest.fixture(scope="module")
def server() -> Iterator[Store]:
    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    thread = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    thread.start()
    host, port = thread.get_host_and_port()
    store = Store(f"http://{host}:{port}", application=thread._server.app)
    thread._server.app = store
    yield store
    thread.stop()


@pytest.fixture
def store(server: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """The server with an empty bucket `maps`, and the environment that leads to it."""
    server.send("POST", "moto-api/reset")
    server.send("PUT", "maps")
    server.seen.clear()
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    yield server
    server.refuses = None


def to(address: str, desk: Desk, *extra: str, ms: str | None = None, pan: str | None = None) -> list[str]:
    """The arguments of a fast run that writes to an address."""
    arguments = desk.sharpen(*extra, ms=ms, pan=pan)
    arguments[arguments.index("-o") + 1] = address
    return arguments


@pytest.mark.parametrize("scheme", ["s3://", "/vsis3/"])
def test_objects_are_read_and_written_as_files_are(scheme: str, store: Store, desk: Desk, run_main: RunMain) -> None:
    ms, pan = desk.ms(), desk.pan()
    local = run_main(desk.sharpen(ms=ms, pan=pan))
    for name in (ms, pan):
        store.send("PUT", f"maps/in/{Path(name).name}", Path(name).read_bytes())
    there = {"ms": f"{scheme}maps/in/ms.tif", "pan": f"{scheme}maps/in/pan.tif"}
    run = run_main(to(f"{scheme}maps/out/fused.tif", desk, "--allow-remote", **there))
    assert (local.code, run.code) == (0, 0), run.stderr
    assert run.stdout.splitlines()[-1].split() == ["result", "s3://maps/out/fused.tif"]
    assert store.send("GET", "maps/out/fused.tif") == desk.out.read_bytes()
    assert store.unfinished() == 0


def test_an_object_is_replaced_only_with_overwrite(store: Store, desk: Desk, run_main: RunMain) -> None:
    store.send("PUT", "maps/fused.tif", b"old")
    refused = run_main(to("s3://maps/fused.tif", desk))
    assert refused.code == 5
    assert refused.error_line == "clippan: s3://maps/fused.tif exists; add --overwrite to replace it"
    assert store.send("GET", "maps/fused.tif") == b"old"
    assert run_main(to("s3://maps/fused.tif", desk, "--overwrite")).code == 0
    assert store.send("GET", "maps/fused.tif").startswith(b"II")


def test_all_that_is_written_beside_an_image_is_uploaded(store: Store, desk: Desk, run_main: RunMain) -> None:
    beside = ["--quicklook", "s3://maps/a/look.png", "--report", "s3://maps/a/page.html", "--stac", "--json"]
    run = run_main(to("s3://maps/a/fused.tif", desk, *beside))
    assert run.code == 0, run.stderr
    assert sorted(store.keys()) == ["a/fused.json", "a/fused.tif", "a/look.png", "a/page.html"]
    told = json.loads(run.stdout)
    assert [told[name] for name in ("output", "quicklook", "stac")] == [
        f"s3://maps/a/{name}" for name in ("fused.tif", "look.png", "fused.json")
    ]
    assert told["seconds"]["upload"] > 0
    item = json.loads(store.send("GET", "maps/a/fused.json"))
    assert item["assets"]["overview"]["href"] == "./look.png" and item["links"] == []
    for text in (run.stdout, run.stderr, store.send("GET", "maps/a/page.html").decode()):
        assert "s3://maps/a" in text and "/clippan-" not in text  # where it was written before the upload


REFUSED = {
    "begin": "POST uploads=",
    **{f"part {number}": f"PUT partNumber={number}&" for number in (1, 2, 3)},
    "end": "POST uploadId=",
}


@pytest.mark.parametrize("step", REFUSED)
def test_an_upload_that_fails_leaves_the_old_object_and_no_parts(step: str, store: Store, large: Outgoing) -> None:
    store.refuses = lambda method, query: f"{method} {query}".startswith(REFUSED[step])
    copy = large.targets[0].copy
    with large, pytest.raises(OutputError, match=r"big cannot be written: Access Denied \(AccessDenied\)") as refusal:
        large.upload(Control())
    store.refuses = None
    assert store.send("GET", "maps/big") == b"old" and store.unfinished() == 0
    assert str(refusal.value).endswith(f"the finished files are kept in {copy.parent}") and copy.exists()


@pytest.mark.parametrize("megabytes", [1, 6, 13])
def test_an_upload_that_is_stopped_leaves_the_old_object_and_no_parts(
    megabytes: int, store: Store, large: Outgoing
) -> None:
    control, told = Control(), []

    def stop(progress: Any) -> None:
        told.append(progress)
        control.stop_signal = 15 if len(told) == megabytes else None

    control.on_progress = stop
    with large, pytest.raises(Interrupted):
        large.upload(control)
    assert not large.targets[0].copy.parent.exists()
    assert {progress.stage for progress in told} == {"upload"} and told[-1].done == round(100 * megabytes / 14)
    assert store.send("GET", "maps/big") == b"old" and store.unfinished() == 0


def test_a_signal_stops_an_upload(store: Store, desk: Desk, run_main: RunMain) -> None:
    begun: list[str] = []

    def stop(method: str, query: str) -> bool:
        begun.extend(["upload"] * (f"{method} {query}" == "POST uploads="))
        if len(begun) == 2:  # the first is the trial before the work
            os.kill(os.getpid(), signal.SIGTERM)
        return False

    store.refuses = stop
    run = run_main(to("s3://maps/fused.tif", desk))
    assert run.code == 143 and "what was not yet uploaded is as it was before" in run.error_line
    assert store.keys() == [] and store.unfinished() == 0


def test_an_upload_that_goes_well_is_one_of_several_parts(store: Store, large: Outgoing) -> None:
    large.upload(Control())
    assert store.send("GET", "maps/big") == large.targets[0].copy.read_bytes() and store.unfinished() == 0
    assert len({query for method, query in store.seen if method == "PUT" and "partNumber" in query}) == 3


@pytest.fixture
def large(store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Outgoing]:
    """An output of three parts, written but not yet uploaded, in the place of an old object."""
    monkeypatch.setattr(remote, "_SMALLEST_PART", PART)
    monkeypatch.setenv("CPL_TMPDIR", str(tmp_path))
    store.send("PUT", "maps/big", b"old")
    with Outgoing(overwrite=True, inputs=()) as out:
        copy = out.local(Path("s3://maps/big"))
        copy.write_bytes(bytes(range(256)) * (14 * 2**12))
        yield out


def test_an_object_that_appears_meanwhile_is_not_replaced(
    store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CPL_TMPDIR", str(tmp_path))
    with Outgoing(overwrite=False, inputs=()) as out:
        copy = out.local(Path("s3://maps/new"))
        copy.write_bytes(b"ours")
        store.send("PUT", "maps/new", b"theirs")
        with pytest.raises(OutputError, match="appeared meanwhile"):
            out.upload(Control())
    assert store.send("GET", "maps/new") == b"theirs"


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("s3://nowhere/fused.tif", "The specified bucket does not exist (NoSuchBucket)"),
        ("s3://maps", "is a bucket; add a key, such as s3://maps/hrms.tif"),
    ],
)
def test_a_target_that_cannot_be_is_refused_before_the_work(
    address: str, reason: str, store: Store, desk: Desk, run_main: RunMain
) -> None:
    run = run_main(to(address, desk))
    assert run.code == 5 and reason in run.error_line and not run.notes


def test_wrong_credentials_are_told_in_one_line(store: Store, desk: Desk, run_main: RunMain) -> None:
    store.send("POST", "moto-api/reset-auth", b"0")  # from now on it looks at them
    try:
        run = run_main(to("s3://maps/fused.tif", desk))
    finally:
        store.send("POST", "moto-api/reset-auth", b"inf")
    assert run.code == 5 and "credentials" in run.error_line
    assert KEY not in run.stderr and SECRET not in run.stderr


@pytest.mark.parametrize(
    ("endpoint", "code", "reason"),
    [("127.0.0.1:9", 2, "is no address"), ("http://127.0.0.1:9", 5, "the server does not answer")],
)
def test_a_wrong_endpoint_is_told_in_one_line(
    endpoint: str, code: int, reason: str, desk: Desk, run_main: RunMain, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    run = run_main(to("s3://maps/fused.tif", desk))
    assert run.code == code and reason in run.error_line


def test_python_takes_and_gives_addresses(store: Store, desk: Desk) -> None:
    import clippan

    result = clippan.sharpen(desk.ms(), desk.pan(), "s3://maps/fused.tif", method="exp", sensor="generic", threads=1)
    assert result.output == "s3://maps/fused.tif" and result.quality is not None
    assert result.quality.path == "s3://maps/fused.tif" and store.keys() == ["fused.tif"]


def test_an_input_is_never_replaced(store: Store, desk: Desk, run_main: RunMain) -> None:
    for name in (desk.ms(), desk.pan()):
        store.send("PUT", f"maps/{Path(name).name}", Path(name).read_bytes())
    there = {"ms": "s3://maps/ms.tif", "pan": "/vsis3/maps/pan.tif"}
    run = run_main(to("s3://maps/pan.tif", desk, "--allow-remote", "--overwrite", **there))
    assert run.code == 5 and "s3://maps/pan.tif is an input" in run.error_line


def test_credentials_are_written_nowhere(store: Store, desk: Desk, run_main: RunMain) -> None:
    log = desk.path("log.txt")
    run = run_main(to("s3://maps/fused.tif", desk, "--stac", "-vv", "--json", "--log-file", log))
    assert run.code == 0
    texts = [store.send("GET", f"maps/{key}") for key in store.keys()]
    for text in (*texts, run.stdout.encode(), run.stderr.encode(), Path(log).read_bytes()):
        assert KEY.encode() not in text and SECRET.encode() not in text


def test_what_to_install_is_told(store: Store, desk: Desk, run_main: RunMain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)
    run = run_main(to("s3://maps/fused.tif", desk))
    assert run.code == 2 and "s3://maps/fused.tif needs packages" in run.error_line and "[cloud]" in run.error_line


def test_a_dry_run_uploads_nothing(store: Store, desk: Desk, run_main: RunMain) -> None:
    assert run_main(to("s3://maps/fused.tif", desk, "--dry-run")).code == 0
    assert store.keys() == [] and store.unfinished() == 0


def test_a_batch_refuses_a_store(desk: Desk, run_main: RunMain) -> None:
    run = run_main(["batch", str(desk.folder), "-o", "s3://maps/sharp/"])
    assert run.code == 2 and "aws s3 sync" in run.error_line


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("s3://maps/a/b.tif", "s3://maps/a/b.tif"),
        (Path("gs://maps/b.tif"), "gs://maps/b.tif"),
        (Path("/vsiaz/maps/b.tif"), "az://maps/b.tif"),
        ("https://host/b.tif", None),
        (Path("s3.tif"), None),
        (Path("folder/s3:/b.tif"), None),
    ],
)
def test_what_is_an_object(name: str | Path, address: str | None) -> None:
    assert address_of(name) == address


@pytest.mark.parametrize(
    ("name", "public"),
    [
        ("https://me:word@host/a.tif?X-Amz-Signature=1f#2", "https://host/a.tif"),
        ("/vsicurl/https://host/a.tif?sig=1", "/vsicurl/https://host/a.tif"),
        ("s3://maps/a@b.tif", "s3://maps/a@b.tif"),
        ("what?.tif", "what?.tif"),
    ],
)
def test_secrets_of_addresses_are_left_out(name: str, public: str) -> None:
    assert public_name(name) == public
