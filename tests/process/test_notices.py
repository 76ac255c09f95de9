"""Watchers and the board against servers on loopback that speak the providers' documented answers."""

from __future__ import annotations

import contextlib
import json
import queue
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from regrow.executors.notices import AwsWatcher, AzureWatcher, BadAnswer, GcpWatcher, NotHere, Notice, NoticeBoard

WATCHERS = [AwsWatcher, GcpWatcher, AzureWatcher]
SOON = 30  # seconds; only a test that fails waits so long

ACTION = "/latest/meta-data/spot/instance-action"
TOKEN = "/latest/api/token"
PREEMPTED = "/computeMetadata/v1/instance/preempted"
MAINTENANCE = "/computeMetadata/v1/instance/maintenance-event"
EVENTS = "/metadata/scheduledevents?api-version=2020-07-01"
NAME = "/metadata/instance/compute/name?api-version=2021-02-01&format=text"


class Metadata:
    """A metadata server. `answer` takes method, path and headers and gives status, headers and body."""

    def __init__(self, answer):
        self.answer = answer
        self.asked = []
        self.let_go = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self._server.server_port}"

    def close(self):
        self.let_go.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _handler(outer):  # noqa: N805 - `self` is the handler's
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                outer.asked.append((self.command, self.path))
                said = outer.answer(self.command, self.path, self.headers)
                if said is None:  # hang up
                    return
                status, headers, body = said
                with contextlib.suppress(ConnectionError):  # who asked may have stopped listening
                    self.send_response(status)
                    for name, value in headers.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(body)

            do_PUT = do_GET  # noqa: N815 - as http.server wants it

            def log_message(self, *_):
                """Be quiet."""

        return Handler


@pytest.fixture
def serve():
    with contextlib.ExitStack() as stack:

        def start(answer):
            server = Metadata(answer)
            stack.callback(server.close)
            return server

        yield start


class Aws:
    """EC2: version 2 of its metadata service, which wants a token that it gave out."""

    def __init__(self, action=None):
        self.action = action
        self.tokens = 0

    def __call__(self, method, path, headers):
        if path == TOKEN:
            if method != "PUT" or not headers["X-aws-ec2-metadata-token-ttl-seconds"]:
                return 400, {}, b""
            self.tokens += 1
            return 200, {}, self._valid()
        if headers["X-aws-ec2-metadata-token"] != self._valid().decode():
            return 401, {}, b"<html>Unauthorized</html>"
        if path == ACTION and self.action:
            return 200, {"Content-Type": "application/json"}, json.dumps(self.action).encode()
        return 404, {"Content-Type": "text/html"}, b"<html>Not Found</html>"

    def _valid(self):
        return b"AQAEAHvD-%d==" % self.tokens

    def let_tokens_run_out(self):
        self.tokens += 100


class Gcp:
    """Compute Engine."""

    def __init__(self, preempted="FALSE", maintenance="NONE"):
        self.values = {PREEMPTED: preempted, MAINTENANCE: maintenance}

    def __call__(self, method, path, headers):
        flavor = {"Metadata-Flavor": "Google"}
        if headers["Metadata-Flavor"] != "Google":
            return 403, flavor, b"Missing Metadata-Flavor:Google header."
        if path not in self.values:
            return 404, flavor, b"Not Found"
        return 200, flavor, self.values[path].encode()


class Azure:
    """Azure: a machine called WestNO_0."""

    def __init__(self, *events):
        self.events = list(events)
        self.name = (200, {}, b"WestNO_0")

    def __call__(self, method, path, headers):
        if not path.startswith("/metadata/"):
            return 404, {}, b""
        if headers["Metadata"] != "true":
            return 400, {}, b'{"error": "Bad request. Required metadata header not specified"}'
        if path == NAME:
            return self.name
        return 200, {}, json.dumps({"DocumentIncarnation": 1, "Events": self.events}).encode()


def preemption_of(*machines):
    return {
        "EventId": "602d9444-d2cd-49c7-8624-8643e7171297",
        "EventStatus": "Scheduled",
        "EventType": "Preempt",
        "ResourceType": "VirtualMachine",
        "Resources": machines,
        "NotBefore": "Mon, 19 Sep 2016 18:29:47 GMT",
        "Description": "",
        "EventSource": "Platform",
        "DurationInSeconds": -1,
    }


# ----------------------------------------------------------------------------------------------- quiet, and announced


@pytest.mark.parametrize(("kind", "speak"), [(AwsWatcher, Aws), (GcpWatcher, Gcp), (AzureWatcher, Azure)])
def test_a_quiet_machine_announces_nothing(serve, kind, speak):
    assert kind(serve(speak()).url).look() is None


def test_an_interruption_of_a_spot_instance_is_read(serve):
    server = serve(Aws({"action": "terminate", "time": "2017-09-18T08:22:00Z"}))
    said = AwsWatcher(server.url).look()
    assert (said.source, said.action, said.at) == ("aws", "terminate", 1505722920.0)


def test_a_preemption_of_a_spot_vm_is_read(serve):
    said = GcpWatcher(serve(Gcp(preempted="TRUE")).url).look()
    assert (said.source, said.action, said.at) == ("gcp", "preempt", None)


def test_a_preemption_is_read_even_if_the_key_for_maintenance_is_broken(serve):
    assert GcpWatcher(serve(Gcp(preempted="TRUE", maintenance="?")).url).look().action == "preempt"


def test_maintenance_that_ends_a_vm_is_read_and_a_migration_is_not(serve):
    speak = Gcp(maintenance="MIGRATE_ON_HOST_MAINTENANCE")
    watcher = GcpWatcher(serve(speak).url)
    assert watcher.look() is None
    speak.values[MAINTENANCE] = "TERMINATE_ON_HOST_MAINTENANCE"
    assert watcher.look().action == "terminate"


def test_a_scheduled_event_of_this_machine_is_read(serve):
    said = AzureWatcher(serve(Azure(preemption_of("WestNO_1", "WestNO_0"))).url).look()
    assert (said.source, said.action, said.at) == ("azure", "preempt", 1474309787.0)


def test_a_scheduled_event_of_a_neighbour_is_none_of_this_machine(serve):
    assert AzureWatcher(serve(Azure(preemption_of("WestNO_1"))).url).look() is None


def test_a_machine_is_asked_for_its_name_once_and_only_when_something_is_announced(serve):
    speak = Azure()
    server = serve(speak)
    watcher = AzureWatcher(server.url)
    watcher.look()
    assert ("GET", NAME) not in server.asked
    speak.events.append(preemption_of("WestNO_1"))
    watcher.look()
    watcher.look()
    assert server.asked.count(("GET", NAME)) == 1


@pytest.mark.parametrize("name", [(404, {}, b""), (500, {}, b""), (200, {}, b"\xff"), (200, {}, b""), None])
def test_a_machine_that_cannot_learn_its_name_takes_any_event_for_its_own(serve, name):
    speak = Azure(preemption_of("WestNO_1"))
    speak.name = name
    assert AzureWatcher(serve(speak).url).look().action == "preempt"


# -------------------------------------------------------------------------------------------------------------- tokens


def test_one_token_serves_many_looks(serve):
    server = serve(Aws())
    watcher = AwsWatcher(server.url)
    for _ in range(3):
        watcher.look()
    assert server.asked.count(("PUT", TOKEN)) == 1


def test_a_token_that_ran_out_is_replaced_within_the_same_look(serve):
    speak = Aws()
    watcher = AwsWatcher(serve(speak).url)
    assert watcher.look() is None
    speak.let_tokens_run_out()
    speak.action = {"action": "stop", "time": "2017-09-18T08:22:00Z"}
    assert watcher.look().action == "stop"


def test_a_server_that_refuses_its_own_tokens_is_an_error_and_no_endless_loop(serve):
    server = serve(lambda method, path, headers: (200, {}, b"token") if method == "PUT" else (401, {}, b""))
    watcher = AwsWatcher(server.url)
    for _ in range(2):
        with pytest.raises(BadAnswer, match="401"):
            watcher.look()
    assert len(server.asked) <= 6


def test_a_metadata_service_that_is_switched_off_is_not_here(serve):
    with pytest.raises(NotHere, match="403"):
        AwsWatcher(serve(lambda *_: (403, {}, b"")).url).look()


@pytest.mark.parametrize("body", [b"", b"<html>\r\nlog in</html>", b"two words", b"line\r\nX-Injected: 1", b"\xff"])
def test_what_is_no_token_is_never_sent_back(serve, body):
    server = serve(lambda *_: (200, {}, body))
    with pytest.raises(BadAnswer):
        AwsWatcher(server.url).look()
    assert server.asked == [("PUT", TOKEN)]


# ------------------------------------------------------------------------------------------------- servers that go bad


@pytest.mark.parametrize("kind", WATCHERS)
def test_a_server_that_hangs_is_an_error_and_does_not_hold_the_look(serve, kind):
    server = serve(lambda *_: server.let_go.wait() and None)
    with pytest.raises(BadAnswer, match="timed out"):
        kind(server.url, timeout=0.1).look()
    assert not server.let_go.is_set()


@pytest.mark.parametrize("kind", WATCHERS)
@pytest.mark.parametrize(
    "said",
    [
        (200, b"<html><body>Please log in</body></html>"),
        (200, b"\xff\xfe\x00"),
        (200, b"[1, 2"),
        (200, b""),
        (200, b"A" * 100_000),
        (500, b"TRUE"),
        (503, b'{"action": "terminate"}'),
    ],
)
def test_garbage_is_an_error_and_no_notice(serve, kind, said):
    status, body = said

    def speak(method, path, headers):
        if method == "PUT":
            return 200, {}, b"token"
        return status, {"Metadata-Flavor": "Google"}, body

    with pytest.raises(BadAnswer):
        kind(serve(speak).url).look()


@pytest.mark.parametrize("kind", WATCHERS)
def test_a_server_that_hangs_up_is_an_error(serve, kind):
    with pytest.raises(BadAnswer):
        kind(serve(lambda *_: None).url).look()


@pytest.mark.parametrize("kind", WATCHERS)
def test_what_does_not_speak_http_is_an_error(kind):
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer():
            connection, _ = listening.accept()
            with connection:
                connection.recv(1 << 16)
                connection.sendall(b"SSH-2.0-OpenSSH_9.6\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(BadAnswer):
            kind(f"http://127.0.0.1:{listening.getsockname()[1]}").look()
        thread.join()


@pytest.mark.parametrize("kind", WATCHERS)
def test_a_redirect_is_not_followed(serve, kind):
    elsewhere = serve(lambda *_: (200, {"Metadata-Flavor": "Google"}, b"TRUE"))
    server = serve(lambda *_: (302, {"Location": elsewhere.url, "Metadata-Flavor": "Google"}, b""))
    with pytest.raises((BadAnswer, NotHere)):
        kind(server.url).look()
    assert elsewhere.asked == []


@pytest.mark.parametrize(("kind", "speak"), [(AwsWatcher, Aws), (GcpWatcher, Gcp), (AzureWatcher, Azure)])
def test_a_proxy_of_the_environment_is_never_asked(serve, monkeypatch, kind, speak):
    proxy = serve(lambda *_: (200, {"Metadata-Flavor": "Google"}, b"TRUE"))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, proxy.url)
    monkeypatch.delenv("no_proxy", raising=False)
    assert kind(serve(speak()).url).look() is None
    assert proxy.asked == []


# ---------------------------------------------------------------------------------------------------------- elsewhere


@pytest.mark.parametrize("kind", WATCHERS)
def test_a_machine_without_a_metadata_server_is_not_here(kind):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(NotHere):
        kind(f"http://127.0.0.1:{port}").look()


@pytest.mark.parametrize(
    ("kind", "speak"),
    [
        (AwsWatcher, Gcp),
        (AwsWatcher, Azure),
        (GcpWatcher, Aws),
        (GcpWatcher, Azure),
        (AzureWatcher, Aws),
        (AzureWatcher, Gcp),
    ],
)
def test_a_machine_of_another_provider_is_not_here(serve, kind, speak):
    with pytest.raises(NotHere):
        kind(serve(speak()).url).look()


def test_what_says_true_but_is_not_googles_is_not_here(serve):
    with pytest.raises(NotHere):
        GcpWatcher(serve(lambda *_: (200, {}, b"TRUE")).url).look()


# ----------------------------------------------------------------------------------------------------------- the board


@pytest.fixture
def post():
    """Start boards, stop them, and see what they hand on."""
    handed_on: queue.Queue[Notice] = queue.Queue()
    with contextlib.ExitStack() as stack:

        def start(*watchers, on_notice=handed_on.put):
            board = NoticeBoard(watchers, on_notice, every=0.01)
            board.handed_on = handed_on
            board.start()
            stack.callback(board.stop)
            return board

        yield start


def wait_until(condition):
    until = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < until, "it has not come to pass"
        time.sleep(0.005)


def looked_again(server, times=3):
    before = len(server.asked)
    wait_until(lambda: len(server.asked) >= before + times)


def test_a_notice_is_handed_on_once_however_often_it_is_read(serve, post):
    speak = Aws()
    server = serve(speak)
    board = post(AwsWatcher(server.url))
    looked_again(server)
    assert board.handed_on.empty()
    speak.action = {"action": "terminate", "time": "2017-09-18T08:22:00Z"}
    assert board.handed_on.get(timeout=SOON).action == "terminate"
    looked_again(server)
    assert board.handed_on.empty()


def test_a_board_finds_out_which_provider_it_is_on(serve, post):
    speak = Gcp()
    server = serve(speak)
    board = post(*(kind(server.url) for kind in WATCHERS))
    wait_until(lambda: [one.watcher.source for one in board._posts] == ["gcp"])
    speak.values[PREEMPTED] = "TRUE"
    assert board.handed_on.get(timeout=SOON).source == "gcp"
    assert board.errors == {}


def test_a_board_lives_through_bad_answers(serve, post):
    server = serve(lambda *_: (500, {}, b""))
    board = post(GcpWatcher(server.url))
    wait_until(lambda: board.errors.get("gcp", 0) >= 2)
    server.answer = Gcp(preempted="TRUE")
    assert board.handed_on.get(timeout=SOON).action == "preempt"


def test_stop_ends_the_thread(serve, post):
    server = serve(Azure())
    before = set(threading.enumerate())
    board = post(AzureWatcher(server.url))
    looked_again(server)
    board.stop()
    board.stop()
    assert not board._thread.is_alive()
    assert not {one for one in threading.enumerate() if one.name == "regrow-notices"} - before


def test_stop_ends_a_thread_that_waits_for_a_server_that_hangs(serve, post):
    server = serve(lambda *_: server.let_go.wait() and None)
    board = post(GcpWatcher(server.url, timeout=0.1))
    wait_until(lambda: server.asked)
    board.stop()
    assert not board._thread.is_alive()


def test_a_handler_may_stop_the_board(serve, post):
    stopped = threading.Event()

    def stop(_):
        board.stop()
        stopped.set()

    go = threading.Event()

    def speak(*asked):
        go.wait()
        return Gcp(preempted="TRUE")(*asked)

    board = post(GcpWatcher(serve(speak).url, timeout=SOON), on_notice=stop)
    go.set()
    assert stopped.wait(SOON)
    board._thread.join(SOON)
    assert not board._thread.is_alive()


def test_a_board_whose_providers_are_all_elsewhere_rests(post):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    board = post(*(kind(f"http://127.0.0.1:{port}") for kind in WATCHERS))
    board._thread.join(SOON)
    assert not board._thread.is_alive()
