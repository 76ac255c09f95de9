"""The errors are the real libraries' own, raised by their own clients wherever those can be had without a network."""

import asyncio
import errno
import http.client
import io
import json
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
from datetime import timedelta
from email.message import Message

import aiohttp
import anthropic
import httpx
import httpx2
import msgspec
import openai
import pytest
import requests
import urllib3
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from regrow.codec import capture, decode, encode, rebuild
from regrow.codec.network import retry_after_of
from regrow.engine.healer import Situation, TryAgain
from regrow.errors import (
    ConnectionLost,
    DiskFull,
    Failure,
    ForeignError,
    OutOfMemory,
    Raised,
    RateLimited,
    TimedOut,
    Unavailable,
)
from regrow.healing.ladder import Ladder
from regrow.healing.recognise import failure_of
from regrow.remedies import RetryAfter
from regrow.values.backoff import Backoff
from regrow.values.options import Options
from regrow.values.resources import Resources

ADDRESS = "http://service.test/v1"
CLIENTS = ("httpx", "httpx2", "aiohttp", "requests", "urllib", "openai", "anthropic")


def raised_by(call):
    """Give what a call raises."""
    try:
        call()
    except Exception as error:
        return error
    raise AssertionError("it raised nothing")


def httpx_error(library, status, headers, body=b""):
    transport = library.MockTransport(lambda request: library.Response(status, headers=headers, content=body))
    with library.Client(transport=transport) as client:
        response = client.get(ADDRESS)
    return raised_by(response.raise_for_status)


def provider(client_class, answer):
    """Give a client of a model provider whose transport is a function."""
    return client_class(
        api_key="none", max_retries=0, http_client=httpx2.Client(transport=httpx2.MockTransport(answer))
    )


def ask(client, **options):
    """Ask a model something, and read the answer to its end."""
    said = {"model": "any", "messages": [{"role": "user", "content": "hello"}]} | options
    if isinstance(client, openai.OpenAI):
        answer = client.chat.completions.create(**said)
    else:
        answer = client.messages.create(max_tokens=1, **said)
    return list(answer)


def provider_error(client_class, status, headers, body=b"{}", **options):
    with provider(client_class, lambda request: httpx2.Response(status, headers=headers, content=body)) as client:
        return raised_by(lambda: ask(client, **options))


def aiohttp_error(status, headers):
    return aiohttp.ClientResponseError(
        aiohttp.RequestInfo(URL(ADDRESS), "GET", CIMultiDictProxy(CIMultiDict()), URL(ADDRESS)),
        (),
        status=status,
        message="as the server said",
        headers=CIMultiDictProxy(CIMultiDict(headers)),
    )


def requests_error(status, headers):
    response = requests.Response()
    response.status_code, response.url = status, ADDRESS
    response.headers.update(headers)
    return raised_by(response.raise_for_status)


def urllib_error(status, headers):
    said = Message()
    for name, value in headers.items():
        said[name] = value
    error = urllib.error.HTTPError(ADDRESS, status, "as the server said", said, io.BytesIO())
    error.close()
    return error


def error_from(client, status, headers=None):
    """Let a client of the named library meet an answer with this status."""
    match client:
        case "httpx":
            return httpx_error(httpx, status, headers or {})
        case "httpx2":
            return httpx_error(httpx2, status, headers or {})
        case "aiohttp":
            return aiohttp_error(status, headers or {})
        case "requests":
            return requests_error(status, headers or {})
        case "urllib":
            return urllib_error(status, headers or {})
        case "openai":
            return provider_error(openai.OpenAI, status, headers or {})
        case "anthropic":
            return provider_error(anthropic.Anthropic, status, headers or {})


# -- what a status says


@pytest.mark.parametrize("client", CLIENTS)
def test_a_429_is_a_rate_limit_with_the_wait_that_was_asked_for(client):
    error = error_from(client, 429, {"retry-AFTER": "2"})

    failure = failure_of(error)

    assert type(failure) is RateLimited
    assert (failure.status, failure.retry_after, failure.layer) == (429, 2.0, "network")
    assert failure.remedies[0] == RetryAfter(2.0)
    assert failure.__cause__ is error


@pytest.mark.parametrize("client", CLIENTS)
def test_a_503_that_says_when_to_come_back_is_a_rate_limit(client):
    failure = failure_of(error_from(client, 503, {"Retry-After": "7"}))

    assert type(failure) is RateLimited
    assert (failure.status, failure.retry_after) == (503, 7.0)


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("status", [408, 425, 500, 502, 503, 504, 522])
def test_a_service_that_cannot_answer_now_is_unavailable(client, status):
    failure = failure_of(error_from(client, status))

    assert type(failure) is Unavailable
    assert failure.status == status


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422, 501])
def test_a_request_that_is_wrong_stays_what_the_code_raised(client, status):
    error = error_from(client, status)

    failure = failure_of(error)

    assert type(failure) is Raised
    assert failure.error is error
    assert failure.layer == "logical"


def test_anthropics_overload_is_a_rate_limit():
    error = error_from("anthropic", 529)

    assert isinstance(error, anthropic.APIStatusError)
    assert type(failure_of(error)) is RateLimited


@pytest.mark.parametrize(
    ("said", "kind", "status"),
    [
        ("overloaded_error", RateLimited, 529),
        ("rate_limit_error", RateLimited, 429),
        ("api_error", Unavailable, 500),
        ("invalid_request_error", Raised, None),
    ],
)
def test_what_anthropic_sends_after_the_200_of_a_stream_counts_as_its_status_would(said, kind, status):
    event = {"type": "error", "error": {"type": said, "message": "no"}}
    body = f"event: error\ndata: {json.dumps(event)}\n\n".encode()
    error = provider_error(anthropic.Anthropic, 200, {"content-type": "text/event-stream"}, body, stream=True)

    failure = failure_of(error)

    assert type(failure) is kind
    assert getattr(failure, "status", None) == status


@pytest.mark.parametrize(
    ("said", "kind"),
    [({"code": "rate_limit_exceeded"}, RateLimited), ({"type": "server_error"}, Unavailable), ({"code": "x"}, Raised)],
)
def test_what_openai_sends_after_the_200_of_a_stream_counts_as_its_status_would(said, kind):
    body = f"data: {json.dumps({'error': {'message': 'no'} | said})}\n\n".encode()
    error = provider_error(openai.OpenAI, 200, {"content-type": "text/event-stream"}, body, stream=True)

    assert isinstance(error, openai.APIError)
    assert type(failure_of(error)) is kind


def test_an_error_of_ones_own_class_that_descends_from_a_librarys_is_recognised():
    class Throttled(openai.RateLimitError):
        pass

    known = error_from("openai", 429)
    error = Throttled("later", response=known.response, body=None)

    assert type(failure_of(error)) is RateLimited


def test_a_class_of_the_same_name_from_elsewhere_is_not_taken_for_the_librarys():
    class HTTPStatusError(Exception):
        response = httpx.Response(429)

    assert type(failure_of(HTTPStatusError("429 Too Many Requests"))) is Raised


def test_what_code_raises_in_place_of_a_network_error_is_its_own_word():
    class NoPlan(Exception):
        pass

    error = NoPlan("429 rate limit exceeded, connection reset")
    error.__cause__ = ConnectionResetError(errno.ECONNRESET, "reset")

    assert type(failure_of(error)) is Raised


# -- when to come back

SERVER_NOON = "Sun, 06 Nov 1994 12:00:00 GMT"
SERVER_HALF_A_MINUTE_LATER = "Sun, 06 Nov 1994 12:00:30 GMT"
NOON = 784123200.0


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"Retry-After": "0"}, 0.0),
        ({"Retry-After": " 1.5 "}, 1.5),
        ({"Retry-After-Ms": "250", "Retry-After": "9"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9.0),
        ({"Retry-After": SERVER_HALF_A_MINUTE_LATER, "Date": SERVER_NOON}, 30.0),
        ({"Retry-After": SERVER_NOON, "Date": SERVER_HALF_A_MINUTE_LATER}, 0.0),
        ({"Retry-After": "Sun, 06 Nov 1994 12:00:30 -0000", "Date": SERVER_NOON}, 30.0),
        ({}, None),
        ({"Retry-After": ""}, None),
        ({"Retry-After": "-3"}, None),
        ({"Retry-After": "inf"}, None),
        ({"Retry-After": "1e9"}, None),
        ({"Retry-After": "1_0"}, None),
        ({"Retry-After": "in a while"}, None),
        ({"x-ratelimit-reset-requests": "1s"}, None),
    ],
)
@pytest.mark.parametrize("client", ["httpx", "aiohttp", "requests", "urllib"])
def test_the_wait_is_read_from_the_headers_or_taken_as_not_said(client, headers, wait):
    error = error_from(client, 429, headers)

    assert retry_after_of(error) == wait
    assert failure_of(error).retry_after == wait


def test_a_date_without_the_servers_own_time_is_read_against_the_time_that_is_handed_in():
    error = error_from("httpx", 429, {"Retry-After": SERVER_HALF_A_MINUTE_LATER})

    assert failure_of(error, now=NOON).retry_after == 30.0
    assert failure_of(error).retry_after is None


def test_the_servers_own_time_is_believed_before_ours():
    error = error_from("httpx", 429, {"Retry-After": SERVER_HALF_A_MINUTE_LATER, "Date": SERVER_NOON})

    assert failure_of(error, now=NOON + 3600).retry_after == 30.0


@pytest.mark.parametrize("said", [4, 4.0, "4", timedelta(seconds=4)])
def test_any_exception_may_ask_for_a_wait_by_its_attribute(said):
    class Busy(Exception):
        retry_after = said

    failure = failure_of(Busy("come back"))

    assert type(failure) is RateLimited
    assert (failure.retry_after, failure.status) == (4.0, None)


def test_an_attribute_that_asks_for_nothing_legible_asks_for_nothing():
    class Busy(Exception):
        retry_after = "tomorrow"

    assert type(failure_of(Busy("come back"))) is Raised


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="this platform cannot change its time zone")
def test_a_date_means_the_same_moment_wherever_we_are(monkeypatch):
    error = error_from("httpx", 429, {"Retry-After": "Sun, 06 Nov 1994 12:00:30 -0000"})
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert retry_after_of(error, now=NOON) == 30.0
    finally:
        monkeypatch.undo()
        time.tzset()


def test_the_view_knows_the_wait_that_was_asked_for():
    assert retry_after_of(failure_of(error_from("requests", 429, {"Retry-After": "3"}))) == 3.0
    assert retry_after_of(RateLimited("later", retry_after=5.0)) == 5.0
    assert retry_after_of(RateLimited("later")) is None


# -- the network


def httpx_broken(library, kind):
    def fail(request):
        raise kind("it broke", request=request)

    with library.Client(transport=library.MockTransport(fail)) as client:
        return raised_by(lambda: client.get(ADDRESS))


def provider_broken(client_class, kind):
    def fail(request):
        raise kind("it broke", request=request)

    with provider(client_class, fail) as client:
        return raised_by(lambda: ask(client))


def connector_error(error):
    key = aiohttp.client_reqrep.ConnectionKey("service.test", 443, is_ssl=True, ssl=True, proxy=None, proxy_auth=None,
                                              proxy_headers_hash=None)  # fmt: skip
    return aiohttp.ClientConnectorError(key, error)


def max_retries(reason):
    return urllib3.exceptions.MaxRetryError(urllib3.HTTPConnectionPool("service.test"), "/", reason)


LOST = {
    "httpx, refused": lambda: httpx_broken(httpx, httpx.ConnectError),
    "httpx, silent": lambda: httpx_broken(httpx, httpx.ReadTimeout),
    "httpx, cut": lambda: httpx_broken(httpx, httpx.RemoteProtocolError),
    "httpx2, refused": lambda: httpx_broken(httpx2, httpx2.ConnectError),
    "httpx2, silent": lambda: httpx_broken(httpx2, httpx2.PoolTimeout),
    "openai, refused": lambda: provider_broken(openai.OpenAI, httpx2.ConnectError),
    "openai, silent": lambda: provider_broken(openai.OpenAI, httpx2.ReadTimeout),
    "anthropic, refused": lambda: provider_broken(anthropic.Anthropic, httpx2.ConnectError),
    "anthropic, silent": lambda: provider_broken(anthropic.Anthropic, httpx2.ReadTimeout),
    "aiohttp, refused": lambda: connector_error(ConnectionRefusedError(errno.ECONNREFUSED, "refused")),
    "aiohttp, unresolved": lambda: connector_error(socket.gaierror(socket.EAI_NONAME, "unknown")),
    "aiohttp, silent": lambda: aiohttp.SocketTimeoutError("timeout"),
    "aiohttp, cut": aiohttp.ServerDisconnectedError,
    "aiohttp, cut in the body": lambda: aiohttp.ClientPayloadError("not all of it came"),
    "requests, refused": lambda: requests.ConnectionError(max_retries(urllib3.exceptions.ProtocolError("cut"))),
    "requests, silent": lambda: requests.ReadTimeout("silent"),
    "requests, cut in the body": lambda: requests.exceptions.ChunkedEncodingError("cut"),
    "urllib3, silent": lambda: urllib3.exceptions.ReadTimeoutError(None, "/", "silent"),
    "urllib3, refused": lambda: max_retries(urllib3.exceptions.NewConnectionError(None, "refused")),
    "urllib3, ended amid TLS": lambda: max_retries(urllib3.exceptions.SSLError(ssl.SSLEOFError(8, "EOF"))),
    "urllib, unresolved": lambda: urllib.error.URLError(socket.gaierror(socket.EAI_AGAIN, "try again")),
    "urllib, refused": lambda: urllib.error.URLError(ConnectionRefusedError(errno.ECONNREFUSED, "refused")),
    "urllib, cut": lambda: urllib.error.ContentTooShortError("half of it", b""),
    "http.client, cut": lambda: http.client.RemoteDisconnected("no answer"),
    "http.client, cut in the body": lambda: http.client.IncompleteRead(b"half", 10),
    "a socket, reset": lambda: ConnectionResetError(errno.ECONNRESET, "reset"),
    "a socket, unreachable": lambda: OSError(errno.ENETUNREACH, "unreachable"),
    "a socket, silent": lambda: TimeoutError(errno.ETIMEDOUT, "silent"),
    "TLS, ended": lambda: ssl.SSLEOFError(8, "EOF"),
}


@pytest.mark.parametrize("what", LOST)
def test_a_network_that_fails_is_a_connection_lost(what):
    error = LOST[what]()

    failure = failure_of(error)

    assert type(failure) is ConnectionLost
    assert failure.__cause__ is error
    assert failure.confidence == "certain"


def test_a_sockets_own_timeout_is_a_connection_lost():
    ours, theirs = socket.socketpair()
    with ours, theirs, ours.makefile("rb") as stream:
        ours.settimeout(0.001)
        error = raised_by(stream.readline)

    assert type(error) is TimeoutError
    failure = failure_of(error)
    assert type(failure) is ConnectionLost
    assert failure.confidence == "likely"


def test_the_bare_timeout_of_a_whole_aiohttp_request_is_a_connection_lost():
    async def silent():
        loop = asyncio.get_running_loop()
        with aiohttp.helpers.TimerContext(loop) as timer:
            loop.call_soon(timer.timeout)
            await asyncio.sleep(60)

    error = raised_by(lambda: asyncio.run(silent()))

    assert type(error) is TimeoutError
    assert type(failure_of(error)) is ConnectionLost


def test_a_timeout_that_the_code_put_around_its_own_work_is_none():
    async def late():
        async with asyncio.timeout(0):
            await asyncio.sleep(60)

    assert type(failure_of(raised_by(lambda: asyncio.run(late())))) is Raised


def untrusted(kind, *args):
    error = kind(*args)
    error.__cause__ = ssl.SSLCertVerificationError(1, "certificate verify failed")
    return error


IN_VAIN = {
    "httpx": lambda: untrusted(httpx.ConnectError, "certificate verify failed"),
    "requests": lambda: requests.exceptions.SSLError(
        max_retries(urllib3.exceptions.SSLError(ssl.SSLCertVerificationError(1, "certificate verify failed")))
    ),
    "urllib": lambda: urllib.error.URLError(ssl.SSLCertVerificationError(1, "certificate verify failed")),
    "aiohttp": lambda: aiohttp.ServerFingerprintMismatch(b"a", b"b", "service.test", 443),
    "openai, a key with a line break": lambda: provider_broken(openai.OpenAI, httpx2.LocalProtocolError),
}


@pytest.mark.parametrize("what", IN_VAIN)
def test_what_will_fail_again_in_a_second_is_not_called_a_connection_lost(what):
    assert type(failure_of(IN_VAIN[what]())) is Raised


def test_a_client_whose_own_retries_ran_out_on_bad_answers_met_a_service_that_is_unavailable():
    error = requests.exceptions.RetryError(max_retries(urllib3.exceptions.ResponseError("too many 503s")))

    assert type(failure_of(error)) is Unavailable


# -- this machine


def test_a_memory_error_is_likely_out_of_memory_and_whose_limit_is_left_open():
    failure = failure_of(MemoryError(), path="agent#1/train#1")

    assert type(failure) is OutOfMemory
    assert (failure.confidence, failure.limit, failure.peak, failure.path) == ("likely", None, None, "agent#1/train#1")
    assert str(failure) == "agent#1/train#1 ran out of memory"


def test_a_failure_of_no_call_in_particular_is_told_as_a_sentence():
    assert str(failure_of(MemoryError())) == "it ran out of memory"
    assert str(failure_of(OSError(errno.ENOSPC, "no"))) == "it ran out of disk: the disk is full"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_recognised(code):
    failure = failure_of(OSError(code, "no"))

    assert type(failure) is DiskFull
    assert failure.limit is None


@pytest.mark.parametrize(
    "error", [ValueError("429"), FileNotFoundError(errno.ENOENT, "no"), OSError("no space left"), KeyboardInterrupt()]
)
def test_everything_else_is_what_the_code_raised(error):
    failure = failure_of(error)

    assert type(failure) is Raised
    assert failure.error is error


# -- after a journey


def travelled(error):
    """Give what arrives of an exception that was captured elsewhere: no answer, no traceback."""
    return decode(encode(error))


def seen_of(failure):
    """Give all that a view says."""
    said = (getattr(failure, "status", None), getattr(failure, "retry_after", None))
    return type(failure), str(failure), failure.layer, failure.confidence, failure.evidence, failure.facts, *said


@pytest.mark.parametrize("status", [404, 429, 500, 503])
@pytest.mark.parametrize("client", CLIENTS)
def test_what_came_from_a_worker_is_seen_as_it_was_there(client, status):
    error = error_from(client, status, {"Retry-After": "2"})

    assert seen_of(failure_of(travelled(error))) == seen_of(failure_of(error))
    assert seen_of(failure_of(travelled(travelled(error)))) == seen_of(failure_of(error))


@pytest.mark.parametrize("what", LOST)
def test_a_network_that_failed_in_a_worker_is_a_connection_lost_here(what):
    error = LOST[what]()

    assert seen_of(failure_of(travelled(error))) == seen_of(failure_of(error))


@pytest.mark.parametrize("what", IN_VAIN)
def test_what_failed_for_good_in_a_worker_is_no_connection_lost_here(what):
    assert type(failure_of(travelled(IN_VAIN[what]()))) is Raised


def test_a_sockets_own_timeout_is_known_when_its_traceback_is_no_more():
    ours, theirs = socket.socketpair()
    with ours, theirs, ours.makefile("rb") as stream:
        ours.settimeout(0.001)
        back = travelled(raised_by(stream.readline))

    assert back.__traceback__ is None
    assert (type(failure_of(back)), failure_of(back).confidence) == (ConnectionLost, "likely")


def test_an_error_of_a_library_that_is_not_loaded_here_is_recognised_all_the_same():
    record = capture(error_from("httpx", 429, {"Retry-After": "2"}))
    back = rebuild(msgspec.structs.replace(record, type="httpx._not_here:HTTPStatusError"))
    failure = failure_of(back)

    assert type(back) is ForeignError
    assert (type(failure), failure.retry_after, failure.layer) == (RateLimited, 2.0, "network")
    assert failure.facts["class"] == "httpx._not_here:HTTPStatusError"
    assert failure.facts["error"] == record.message


def test_an_error_of_an_unknown_class_of_which_no_more_is_known_is_its_own_view():
    back = rebuild(msgspec.structs.replace(capture(ValueError("no")), type="not.here:Gone"))

    assert failure_of(back) is back


def test_what_was_recorded_before_views_travelled_is_seen_by_what_is_left_of_it():
    record = msgspec.structs.replace(capture(ConnectionResetError(errno.ECONNRESET, "reset")), network=None)

    assert type(failure_of(rebuild(record))) is ConnectionLost


def test_the_ladder_waits_as_an_error_from_a_worker_asks_for():
    options = Options(retries=1, backoff=Backoff(base=1, jitter=0))
    situation = Situation(options, "key", 1, (), 0, NOON, NOON, Resources(), 2**30, run_began=NOON)

    def after(status):
        return Ladder().after_failure(situation, travelled(error_from("httpx", status, {"Retry-After": "7"})))

    assert after(429) == TryAgain(NOON + 7, RetryAfter(7.0), counts=False)
    assert after(500) == TryAgain(NOON + 7)


# -- groups


def limited(seconds):
    return error_from("httpx", 429, {} if seconds is None else {"Retry-After": str(seconds)})


@pytest.mark.parametrize("arrives", [lambda error: error, travelled], ids=["here", "from a worker"])
@pytest.mark.parametrize(
    "make",
    [
        lambda: ExceptionGroup("many", [limited(2), limited(None), limited(7), limited(3)]),
        lambda: ExceptionGroup("many", [limited(2), ExceptionGroup("inner", [limited(7)])]),
        lambda: ExceptionGroup("many", [travelled(limited(7)), RateLimited("later", retry_after=2)]),
        lambda: ExceptionGroup("many", [travelled(ExceptionGroup("inner", [limited(7)])), limited(1)]),
    ],
)
def test_a_group_of_rate_limits_is_one_with_the_longest_wait(make, arrives):
    failure = failure_of(arrives(make()))

    assert (type(failure), failure.retry_after, failure.layer) == (RateLimited, 7.0, "network")


def test_a_group_of_which_nobody_says_when_does_not_say_when():
    failure = failure_of(ExceptionGroup("many", [limited(None), limited(None)]))

    assert (type(failure), failure.retry_after) == (RateLimited, None)


@pytest.mark.parametrize(
    "other",
    [ValueError("no"), ConnectionResetError(errno.ECONNRESET, "reset"), TimedOut("a", 1.0, "timeout")],
)
def test_a_group_of_more_than_one_kind_is_what_the_code_raised(other):
    assert type(failure_of(ExceptionGroup("many", [limited(2), other]))) is Raised
    assert type(failure_of(ExceptionGroup("many", [limited(2), ExceptionGroup("inner", [other])]))) is Raised


@pytest.mark.parametrize("own", [RateLimited("later"), Unavailable("no", status=500), ConnectionLost("cut")])
@pytest.mark.parametrize("arrives", [lambda error: error, travelled], ids=["here", "from a worker"])
def test_failures_of_regrows_own_count_among_the_members_of_a_group(own, arrives):
    failure = failure_of(arrives(ExceptionGroup("many", [own])))

    assert type(failure) is type(own)
    assert getattr(failure, "status", None) == getattr(own, "status", None)


def test_a_group_is_as_sure_as_the_least_sure_of_its_members():
    ours, theirs = socket.socketpair()
    with ours, theirs, ours.makefile("rb") as stream:
        ours.settimeout(0.001)
        likely = raised_by(stream.readline)
    certain = ConnectionResetError(errno.ECONNRESET, "reset")

    assert failure_of(ExceptionGroup("many", [certain, certain])).confidence == "certain"
    assert failure_of(ExceptionGroup("many", [certain, likely])).confidence == "likely"


def test_groups_that_hold_the_same_group_twice_are_walked_once():
    group = ExceptionGroup("leaf", [limited(2)])
    for _ in range(64):
        group = ExceptionGroup("twice", [group, group])

    assert failure_of(group).retry_after == 2.0


# -- the view itself


def test_a_failure_is_its_own_view():
    failure = RateLimited("later").explained(confidence="likely")

    assert failure_of(failure) is failure
    assert failure.confidence == "likely"


def test_the_view_tells_what_it_was_seen_in_as_plain_data():
    failure = failure_of(error_from("requests", 429, {"Retry-After": "2"}), path="agent#1/ask#1")

    assert failure.facts == {
        "class": "requests.exceptions:HTTPError",
        "error": f"429 Client Error: None for url: {ADDRESS}",
        "status": 429,
        "retry_after": 2.0,
    }
    assert failure.evidence == ("requests.exceptions:HTTPError was raised: it carries HTTP status 429",)
    assert failure.path == "agent#1/ask#1"
    assert "RetryAfter: begin again after 2 s" in failure.describe()


def test_an_exception_whose_every_part_raises_is_still_given_a_view():
    class Hostile(Exception):
        def __str__(self):
            raise RuntimeError("no text")

        def __getattr__(self, name):
            raise RuntimeError("no attributes")

    class HostileAnswer(requests.RequestException):
        @property
        def response(self):
            raise RuntimeError("no answer")

        @response.setter
        def response(self, value):
            pass

    assert type(failure_of(Hostile())) is Raised
    assert "cannot be read" in str(failure_of(Hostile()))
    assert type(failure_of(HostileAnswer("no"))) is Raised
    assert retry_after_of(Hostile()) is None


def test_causes_that_go_round_in_a_circle_are_walked_once():
    one, other = requests.ConnectionError("one"), ValueError("other")
    one.__cause__, other.__cause__ = other, one

    assert isinstance(failure_of(one), Failure)


LIBRARIES = {"httpx", "httpx2", "httpcore", "aiohttp", "requests", "urllib3", "openai", "anthropic"}


def libraries_loaded_by(statement):
    report = f"import sys; print(*sorted({{name.partition('.')[0] for name in sys.modules}} & {LIBRARIES!r}))"
    command = [sys.executable, "-I", "-c", f"{statement}\n{report}"]
    return set(subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.split())


def test_recognising_errors_loads_none_of_the_libraries():
    use = "from regrow.healing.recognise import failure_of; failure_of(TimeoutError()); failure_of(ConnectionError())"

    assert libraries_loaded_by(use) == set()


def test_the_check_notices_a_library_that_is_loaded():
    assert "urllib3" in libraries_loaded_by("import urllib3")
