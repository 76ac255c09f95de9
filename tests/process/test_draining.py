"""A provider's notice, from its metadata server to the attempt that goes on from what was saved."""

from __future__ import annotations

import importlib.util
import json
import sys
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType

import pytest

import regrow
from regrow.authoring.heeding import heed_notices
from regrow.codec import rebuild
from regrow.executors.notices import AwsWatcher
from regrow.journal.chain import unseal_all
from regrow.journal.records import AttemptFailed, WorkerStarted
from regrow.journal.sqlite import SqliteStore


def _load(name: str) -> ModuleType:
    # Tests are collected with importlib mode, which makes no sibling importable.
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


drained_agents = _load("drained_agents")


class _Aws(BaseHTTPRequestHandler):
    """A spot instance that will be terminated in two seconds, once `announced` is set."""

    announced = threading.Event()
    until = datetime.now(UTC)

    def do_PUT(self) -> None:
        self._answer(200, b"token")

    def do_GET(self) -> None:
        if not self.announced.is_set():
            self._answer(404, b"")
            return
        said = {"action": "terminate", "time": f"{self.until:%Y-%m-%dT%H:%M:%SZ}"}
        self._answer(200, json.dumps(said).encode())

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def aws():
    _Aws.announced.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Aws)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_notice_of_a_spot_interruption_lets_a_worker_save_and_its_next_attempt_goes_on_from_there(
    aws: str, tmp_path: Path
) -> None:
    board = heed_notices(AwsWatcher(aws))
    store = SqliteStore(tmp_path / "store")

    def announce() -> None:
        _Aws.until = datetime.now(UTC) + timedelta(seconds=3)
        _Aws.announced.set()

    threading.Timer(1.0, announce).start()
    try:
        done = regrow.run(drained_agents.agent, 5, store=store)
    finally:
        board.stop()
    assert done == [(0, 1), (1, 1), (2, 1), (3, 2), (4, 2)]
    run = store.runs()[0].id
    events = [record.event for record in unseal_all(run, store.read(run))]
    (failed,) = [event for event in events if isinstance(event, AttemptFailed)]
    failure = rebuild(failed.error)
    assert isinstance(failure, regrow.Preempted)
    assert failure.source == "aws"
    assert 0 < failure.grace <= 3
    assert not failed.counts
    first, second = [event for event in events if isinstance(event, WorkerStarted)]
    assert second.queued > 0  # nothing was placed before the announced moment had passed
    assert first.pid != second.pid
    store.close()


def test_an_unknown_provider_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(regrow.UsageError, match="aws"):
        heed_notices("ibm")
