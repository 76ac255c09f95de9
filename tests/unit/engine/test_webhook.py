"""Notices of questions: what they say, where they go, how often they are tried, and what is never told of them."""

from __future__ import annotations

import io
import json
import logging
import threading
import urllib.request

import msgspec
import pytest

from regrow.engine import webhook
from regrow.engine.webhook import Hook, check_hook, notice_of, send_apart
from regrow.errors import UsageError
from regrow.journal.asks import AskRow, Question, encode_question
from regrow.values.signature import HEADER, verify

pytestmark = pytest.mark.unit

SECRET = "a secret of thirty-two characters"
ADDRESS = "http://127.0.0.1:1/hooks/T0K3N"
SHOWN = encode_question(
    Question(text="May I?", kind="ask", run="run-1", path="task#1/ask#1", task="task#1", schema={}, inputs="00")
)
ROW = AskRow("ask-1", "run-1", "p", "task#1/ask#1", 10.0, 20.0, None, 0, "abcd", SHOWN)


@pytest.fixture(autouse=True)
def surroundings(monkeypatch):
    """An environment with a secret, and nothing else in it that webhooks look at."""
    for name in (webhook.URL_VARIABLE, webhook.CALLBACK_VARIABLE, "OTHER_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(webhook.SECRET_VARIABLE, SECRET)
    return monkeypatch


class Service:
    """Stands for what is posted to: keeps what it is sent, and fails as often as it is told to."""

    def __init__(self, *failures):
        self.failures = list(failures)
        self.got = []
        self.pauses = []
        self.delivered = 0

    def post(self, address, body, key):
        self.got.append((address, body, key))
        if self.failures:
            raise self.failures.pop(0)

    def note_delivered(self):
        self.delivered += 1

    def send(self, number=1):
        webhook._send(Hook(url=ADDRESS), ROW, number, self.note_delivered, self.pauses.append)


@pytest.fixture
def service(monkeypatch):
    def make(*failures):
        made = Service(*failures)
        monkeypatch.setattr(webhook, "_post", made.post)
        return made

    return make


def test_a_notice_says_what_people_are_shown_and_how_to_answer(surroundings):
    surroundings.setenv(webhook.CALLBACK_VARIABLE, "https://here.example/answers")
    assert json.loads(notice_of(ROW, 1)) == {
        "version": 1,
        "event": "asked",
        "number": 1,
        "ask": "ask-1",
        "run": "run-1",
        "project": "p",
        "asked": 10.0,
        "due": 20.0,
        "shown": "abcd",
        "question": json.loads(SHOWN),
        "callback": "https://here.example/answers",
    }


def test_what_was_shown_goes_out_byte_for_byte_so_that_its_hash_can_be_checked():
    spaced = b'{ "text" :  "May I?" }'
    assert spaced in notice_of(msgspec.structs.replace(ROW, shown=spaced), 1)


def test_a_later_notice_is_a_reminder_and_a_missing_callback_is_none():
    told = json.loads(notice_of(ROW, 2))
    assert (told["event"], told["number"], told["callback"]) == ("reminder", 2, None)


@pytest.mark.parametrize(
    ("hook", "address"),
    [
        (Hook(), "http://host"),
        (Hook(url="http://own"), "http://own"),
        (Hook(variable="OTHER_URL"), "http://other"),
        (Hook(url="http://own", variable="OTHER_URL"), "http://own"),
        (Hook(variable="NOT_SET"), ""),
    ],
    ids=["of the host", "its own", "of its variable", "both", "unset"],
)
def test_a_notice_goes_to_its_own_address_or_its_variables_or_the_hosts(surroundings, hook, address):
    surroundings.setenv(webhook.URL_VARIABLE, "http://host")
    surroundings.setenv("OTHER_URL", "http://other")
    assert hook.address() == address


def test_without_any_address_there_is_none_and_that_is_no_fault(surroundings):
    surroundings.delenv(webhook.SECRET_VARIABLE)
    assert Hook().address() == ""
    check_hook(Hook())


def test_the_variables_have_the_names_that_hosts_have_set():
    names = (webhook.URL_VARIABLE, webhook.SECRET_VARIABLE, webhook.CALLBACK_VARIABLE)
    assert names == ("REGROW_ASK_WEBHOOK", "REGROW_ASK_SECRET", "REGROW_ASK_CALLBACK")


def test_a_variable_that_is_not_set_is_named():
    with pytest.raises(UsageError, match="is to be in OTHER_URL, and that is not set"):
        check_hook(Hook(variable="OTHER_URL"))


@pytest.mark.parametrize("address", ["http://a", "https://a", "HTTPS://A"])
def test_addresses_of_http_are_taken(address):
    check_hook(Hook(url=address))


def test_an_address_of_another_kind_is_refused_without_being_told():
    with pytest.raises(UsageError, match="begins with https:// or http://") as refused:
        check_hook(Hook(url="ftp://T0K3N"))
    assert "T0K3N" not in str(refused.value)


@pytest.mark.parametrize("secret", ["", None])
def test_without_a_secret_nothing_is_sent_and_its_variable_is_named(surroundings, secret):
    surroundings.delenv(webhook.SECRET_VARIABLE)
    if secret is not None:
        surroundings.setenv(webhook.SECRET_VARIABLE, secret)
    with pytest.raises(UsageError, match="set REGROW_ASK_SECRET"):
        check_hook(Hook(url=ADDRESS))


def test_a_notice_that_arrives_is_sent_once_under_a_key_of_its_own(service, caplog):
    chat = service()
    chat.send(number=3)
    assert chat.got == [(ADDRESS, notice_of(ROW, 3), "ask-1-3")]
    assert (chat.pauses, chat.delivered) == ([0.0], 1)
    assert caplog.text == ""


@pytest.mark.parametrize("problem", [OSError("away"), ValueError("odd")], ids=["OSError", "ValueError"])
def test_a_notice_that_fails_is_tried_again_later_and_is_the_same(service, caplog, problem):
    chat = service(problem, problem)
    chat.send()
    assert len(chat.got) == 3
    assert len(set(chat.got)) == 1
    assert (chat.pauses, chat.delivered) == ([0.0, 1.0, 4.0], 1)
    assert caplog.text == ""


def test_after_some_tries_the_inbox_is_left_and_the_address_is_not_told(service, caplog):
    caplog.set_level(logging.WARNING, "regrow")
    chat = service(*[OSError(ADDRESS)] * 9)
    chat.send()
    assert (chat.pauses, chat.delivered, len(chat.got)) == ([0.0, 1.0, 4.0, 16.0, 60.0], 0, 5)
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("regrow", "WARNING")
    said = record.getMessage()
    assert "run run-1: a notice of question ask-1 could not be delivered (OSError)" in said
    assert "T0K3N" not in said


def test_what_could_not_be_signed_is_never_posted(surroundings, service, caplog):
    surroundings.delenv(webhook.SECRET_VARIABLE)
    chat = service()
    chat.send()
    assert (chat.got, chat.delivered) == ([], 0)
    assert "UsageError" in caplog.text


def test_notices_go_out_in_a_thread_that_bears_their_names_and_keeps_no_process_alive(service):
    service()
    seen, arrived = [], threading.Event()

    def delivered():
        seen.append(threading.current_thread())
        arrived.set()

    send_apart(Hook(url=ADDRESS), ROW, 2, delivered)
    assert arrived.wait(30)
    assert (seen[0].name, seen[0].daemon) == ("regrow-notice-ask-1-2", True)


def test_without_an_address_no_thread_is_begun(monkeypatch):
    monkeypatch.setattr(webhook, "start_apart", lambda _: pytest.fail("a thread was begun"))
    send_apart(Hook(), ROW, 1, lambda: None)


def test_what_is_posted_is_signed_and_no_redirect_is_followed(monkeypatch):
    sent = []

    class Opener:
        def __init__(self, handler):
            self.handler = handler

        def open(self, request, timeout):
            assert self.handler().redirect_request(request, None, 302, "", {}, "http://elsewhere") is None
            sent.append((request, timeout))
            return io.BytesIO()

    monkeypatch.setattr(urllib.request, "build_opener", Opener)
    monkeypatch.setattr(webhook.time, "time", lambda: 1_700_000_000.0)
    for _ in range(2):
        webhook._post(ADDRESS, b"body", "ask-1-1")
    (request, timeout), (again, _) = sent
    assert (request.full_url, request.data, request.method, timeout) == (ADDRESS, b"body", "POST", 10.0)
    headers = {name.lower(): value for name, value in request.header_items()}
    assert headers["content-type"] == "application/json"
    assert headers["idempotency-key"] == "ask-1-1"
    signature = headers[HEADER.lower()]
    verify(signature, b"body", secret=SECRET, now=1_700_000_000.0)
    assert signature != again.get_header(HEADER.capitalize())
