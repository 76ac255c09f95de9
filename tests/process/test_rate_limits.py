"""A service that says when to come back is waited for, also when it said so in a worker and its answer stays there."""

from __future__ import annotations

import itertools
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

import regrow
from regrow.codec import rebuild
from regrow.errors import ForeignError
from regrow.journal.records import AttemptFailed

from . import rate_limited_agents as agents
from .observed import journal

BUSY = 3
"""How often the service asks to come back before it answers."""


@pytest.fixture
def service():
    """Serve a few 429s with ``Retry-After: 1``, then an answer; `asked` has the moments of the requests."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.server.asked.append(time.monotonic())
            busy = len(self.server.asked) <= self.server.busy
            body = b"not now" if busy else b"here you are"
            self.send_response(429 if busy else 200)
            if busy:
                self.send_header("Retry-After", "1")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.asked, server.busy = [], BUSY
    server.url = f"http://127.0.0.1:{server.server_port}/"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize("task", [agents.ask_with_urllib, agents.ask_with_httpx], ids=lambda task: task.name)
def test_three_waits_that_a_worker_was_asked_for_are_kept_and_cost_no_retry(service, task):
    assert regrow.run(task, service.url) == "here you are"

    assert all(later - earlier >= 1.0 for earlier, later in itertools.pairwise(service.asked))
    failed = journal().of(AttemptFailed)
    assert [(one.remedy, one.counts) for one in failed] == [(regrow.RetryAfter(1.0), False)] * BUSY
    assert {one.error.layer for one in failed} == {"network"}
    assert {(one.error.network.status, one.error.network.retry_after) for one in failed} == {(429, 1.0)}


def test_an_error_of_a_library_that_the_driver_has_not_loaded_is_waited_for_all_the_same(service, monkeypatch):
    service.busy = 1
    monkeypatch.delitem(sys.modules, "httpx")

    assert regrow.run(agents.ask_with_httpx, service.url) == "here you are"

    (failed,) = journal().of(AttemptFailed)
    assert (failed.remedy, failed.counts) == (regrow.RetryAfter(1.0), False)
    assert failed.error.type == "httpx:HTTPStatusError"
    assert type(rebuild(failed.error)) is ForeignError


def test_code_that_is_handed_a_workers_rate_limit_can_ask_what_it_is(service):
    with pytest.raises(httpx.HTTPStatusError) as caught:
        regrow.run(agents.ask_with_httpx.override(retries=0), service.url)

    failure = regrow.failure_of(caught.value)
    assert type(failure) is regrow.RateLimited
    assert (failure.status, failure.retry_after, failure.layer) == (429, 1.0, "network")
