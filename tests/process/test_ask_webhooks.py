"""Notices to a real web server on this machine, and signed answers from it."""

from __future__ import annotations

import http.server
import json
import threading
import time

import msgspec
import pytest

import regrow
from regrow.authoring.home import host_of
from regrow.engine import webhook
from regrow.engine.webhook import Hook
from regrow.errors import BadSignature
from regrow.journal.asks import NewAsk, Question, encode_question
from regrow.journal.store import NewRun
from regrow.values.signature import HEADER, sign, verify

pytestmark = pytest.mark.process

SECRET = "a secret of thirty-two characters"


class Service:
    """A chat service, say: it keeps what it is sent, and refuses as often as it is told to."""

    def __init__(self) -> None:
        self.got = []
        self.refusals = 0
        service = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                service.got.append((dict(self.headers), body))
                refuses = len(service.got) <= service.refusals
                self.send_response(503 if refuses else 204)
                self.end_headers()

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        self.address = f"http://127.0.0.1:{self._server.server_port}/hooks/T0K3N"

    def wait_for(self, count):
        limit = time.monotonic() + 30
        while len(self.got) < count:
            assert time.monotonic() < limit, f"only {len(self.got)} of {count} notices came"
            time.sleep(0.01)
        return self.got

    def close(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def service(monkeypatch):
    one = Service()
    monkeypatch.setenv("REGROW_ASK_SECRET", SECRET)
    monkeypatch.setattr(webhook, "_WAITS", (0.01, 0.01, 0.01, 0.01))
    yield one
    one.close()


@regrow.task
async def agent(address: regrow.Secret) -> bool:
    return await regrow.ask("May I?", evidence={"amount": 3}, webhook=address)


def run_in_thread(*args):
    """Start the agent, and give what will hold its result."""
    given = []
    thread = threading.Thread(target=lambda: given.append(regrow.run(agent, *args)))
    thread.start()
    return thread, given


def signed(told, nonce, secret=SECRET, **when):
    body = json.dumps(told).encode()
    return {HEADER: sign(body, secret=secret, now=when.get("now", time.time()), nonce=nonce)}, body


def test_a_notice_comes_signed_and_the_signed_answer_to_it_is_taken_once(service, monkeypatch, regrow_home):
    monkeypatch.setenv("THE_HOOK", service.address)
    thread, given = run_in_thread(regrow.Secret.from_env("THE_HOOK"))
    (headers, body), *_ = service.wait_for(1)
    assert len(verify(headers[HEADER], body, now=time.time(), secret=SECRET).nonce) >= 16
    notice = json.loads(body)
    assert notice["question"]["evidence"] == [{"title": "amount", "text": "3"}]
    assert headers["Idempotency-Key"] == f"{notice['ask']}-1"
    told = {"ask": notice["ask"], "shown": notice["shown"], "value": True, "who": "alice", "why": "fine"}

    forged = signed(told, "x" * 24, secret="guessed")
    with pytest.raises(BadSignature, match="does not fit"):
        regrow.accept_callback(*forged)
    late = signed(told, "y" * 24, now=time.time() - 3600)
    with pytest.raises(BadSignature, match="expired"):
        regrow.accept_callback(*late)
    with pytest.raises(regrow.AskClosed, match="something else than what was shown"):
        regrow.accept_callback(*signed(told | {"shown": "0" * 64}, "z" * 24))
    with pytest.raises(regrow.UnfitAnswer, match="true or false"):
        regrow.accept_callback(*signed(told | {"value": 3}, "v" * 24))

    good = signed(told, "w" * 24)
    taken = regrow.accept_callback(*good)
    thread.join(30)
    assert given == [True]
    assert [(one.who, one.how, one.why) for one in taken.answers] == [("alice", "signed callback", "fine")]
    with pytest.raises(regrow.AskClosed):
        regrow.accept_callback(*good)
    kept = b"".join(file.read_bytes() for file in regrow_home.rglob("*") if file.is_file())
    assert b"T0K3N" not in kept
    assert SECRET.encode() not in kept


def test_a_signature_that_was_used_is_good_for_no_other_question(service):
    store = host_of(None).store
    store.create(NewRun("0" * 26, "m:t", 1.0))
    for ask in ("a" * 16, "b" * 16):
        post(store, ask)
    row = store.asks.get("a" * 16)
    told = {"ask": row.id, "shown": row.digest, "value": True, "who": "alice"}
    regrow.accept_callback(*signed(told, "n" * 24))
    with pytest.raises(regrow.AskClosed, match="used before"):
        regrow.accept_callback(*signed(told | {"ask": "b" * 16}, "n" * 24))


def post(store, ask, due=None):
    question = Question("May I?", "ask", "0" * 26, "t#1", "t", {"type": "boolean"}, due=due)
    return store.asks.post("0" * 26, "default", NewAsk(ask, 1.0, encode_question(question)))


def test_a_notice_is_tried_again_with_the_same_key_until_it_arrives(service):
    service.refusals = 2
    store = host_of(None).store
    store.create(NewRun("0" * 26, "m:t", 1.0))
    arrived = threading.Event()
    webhook.send_apart(Hook(service.address), post(store, "a" * 16), 1, arrived.set)
    assert arrived.wait(30)
    assert [headers["Idempotency-Key"] for headers, _ in service.got] == ["a" * 16 + "-1"] * 3
    assert len({headers[HEADER] for headers, _ in service.got}) == 3


def test_a_service_that_never_answers_is_logged_without_its_address_and_fails_nothing(service, caplog):
    service.refusals = 99
    store = host_of(None).store
    store.create(NewRun("0" * 26, "m:t", 1.0))
    row = post(store, "a" * 16)
    webhook._send(Hook(service.address), row, 1, lambda: pytest.fail("it has not arrived"), pause=lambda _: None)
    assert "could not be delivered" in caplog.text
    assert "T0K3N" not in caplog.text
    assert store.asks.get(row.id).decided is None


def test_what_was_told_before_a_crash_is_not_told_again_and_what_was_not_is(service, monkeypatch):
    monkeypatch.setenv("REGROW_ASK_WEBHOOK", service.address)
    host = host_of(None)
    host.store.create(NewRun("0" * 26, "m:t", 1.0))
    question = Question("May I?", "ask", "0" * 26, "t#1", "t", {"type": "boolean"})
    new = NewAsk("a" * 16, 1.0, encode_question(question))
    host.asks.post("0" * 26, new, Hook())
    service.wait_for(1)
    limit = time.monotonic() + 30
    while not host.store.asks.get(new.id).told:
        assert time.monotonic() < limit
        time.sleep(0.01)
    host.asks.post("0" * 26, new, Hook())
    host.asks.post("0" * 26, msgspec.structs.replace(new, id="b" * 16), Hook())
    service.wait_for(2)
    assert [json.loads(body)["ask"] for _, body in service.got] == ["a" * 16, "b" * 16]


@pytest.mark.parametrize("address", ["file:///etc/passwd", "ftp://x/y", "x"])
def test_an_address_that_is_none_of_the_web_is_refused_before_anybody_relies_on_it(service, address):
    with pytest.raises(regrow.UsageError, match="https://"):
        webhook.check_hook(Hook(address))


def test_without_a_secret_nothing_is_sent(service, monkeypatch):
    monkeypatch.delenv("REGROW_ASK_SECRET")
    with pytest.raises(regrow.UsageError, match="REGROW_ASK_SECRET"):
        webhook.check_hook(Hook(service.address))
