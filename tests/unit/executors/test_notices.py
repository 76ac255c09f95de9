"""What providers' documented answers mean, and what a board makes of them."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime

import pytest

from regrow.errors import UsageError
from regrow.executors.notices import (
    AwsWatcher,
    AzureWatcher,
    BadAnswer,
    GcpWatcher,
    NotHere,
    Notice,
    NoticeBoard,
    watcher,
)
from regrow.executors.notices.aws import read_instance_action
from regrow.executors.notices.azure import most_urgent, read_interruptions
from regrow.executors.notices.gcp import read_maintenance_event, read_preempted
from regrow.executors.notices.metadata import ask

NOW = 1_500_000_000.0
HTML = b"<html><body>Please log in</body></html>"


def notice(source="aws", action="terminate", at=None, text="it ends"):
    return Notice(source, action, at, text)


# ---------------------------------------------------------------------------------------------------------- the notice


def test_grace_is_what_is_left_until_the_announced_moment():
    assert notice(at=NOW + 90).grace(NOW) == 90


def test_grace_is_never_negative():
    assert notice(at=NOW - 90).grace(NOW) == 0


@pytest.mark.parametrize(("source", "least"), [("aws", 120), ("gcp", 30), ("azure", 30), ("another", 30)])
def test_without_a_moment_grace_is_the_least_that_the_provider_documents(source, least):
    assert notice(source).grace(NOW) == least


def test_hibernation_begins_at_once():
    assert notice(action="hibernate").grace(NOW) == 0


@pytest.mark.parametrize(("name", "kind"), [("aws", AwsWatcher), ("gcp", GcpWatcher), ("azure", AzureWatcher)])
def test_a_watcher_is_had_by_its_providers_name(name, kind):
    made = watcher(name)
    assert isinstance(made, kind)
    assert made.source == name


def test_an_unknown_provider_is_refused_with_the_names_of_those_known():
    with pytest.raises(UsageError, match=r"'nimbus'.*'aws', 'gcp' and 'azure'"):
        watcher("nimbus")


def test_a_metadata_server_is_asked_over_plain_http_only():
    with pytest.raises(UsageError, match="file:///etc"):
        ask("file:///etc", "/passwd", {})


# ----------------------------------------------------------------------------------------------------------------- aws


@pytest.mark.parametrize("action", ["terminate", "stop", "hibernate"])
def test_an_instance_action_is_read_with_its_moment(action):
    said = read_instance_action(json.dumps({"action": action, "time": "2017-09-18T08:22:00Z"}).encode())
    assert (said.source, said.action) == ("aws", action)
    assert said.at == datetime(2017, 9, 18, 8, 22, tzinfo=UTC).timestamp()


def test_an_instance_action_without_a_zone_is_in_utc():
    said = read_instance_action(b'{"action": "stop", "time": "2017-09-18T08:22:00"}')
    assert said.at == datetime(2017, 9, 18, 8, 22, tzinfo=UTC).timestamp()


@pytest.mark.parametrize("body", [b'{"action": "hibernate"}', b'{"action": "hibernate", "time": "soon"}'])
def test_an_instance_action_without_a_readable_moment_is_a_notice_all_the_same(body):
    assert read_instance_action(body).at is None


def test_an_instance_action_with_another_moment_is_another_notice():
    first = read_instance_action(b'{"action": "stop", "time": "2017-09-18T08:22:00Z"}')
    second = read_instance_action(b'{"action": "stop", "time": "2017-09-18T09:22:00Z"}')
    assert first.text != second.text


@pytest.mark.parametrize("body", [HTML, b"", b"{}", b'"terminate"', b'{"action": 7}', b"[]", b'{"action": "\xff"}'])
def test_what_is_no_instance_action_is_an_error_and_no_notice(body):
    with pytest.raises(BadAnswer):
        read_instance_action(body)


# ----------------------------------------------------------------------------------------------------------------- gcp


def test_preempted_is_a_notice_only_when_it_is_true():
    assert read_preempted("FALSE") is None
    said = read_preempted("TRUE")
    assert said is not None
    assert (said.source, said.action, said.at) == ("gcp", "preempt", None)


def test_only_maintenance_that_ends_the_machine_is_a_notice():
    assert read_maintenance_event("NONE") is None
    assert read_maintenance_event("MIGRATE_ON_HOST_MAINTENANCE") is None
    said = read_maintenance_event("TERMINATE_ON_HOST_MAINTENANCE")
    assert said is not None
    assert (said.source, said.action, said.at) == ("gcp", "terminate", None)


@pytest.mark.parametrize("read", [read_preempted, read_maintenance_event])
@pytest.mark.parametrize("value", ["", "true", "yes", HTML.decode()])
def test_another_value_is_an_error_and_no_notice(read, value):
    with pytest.raises(BadAnswer):
        read(value)


# --------------------------------------------------------------------------------------------------------------- azure


def event(kind, *machines, status="Scheduled", not_before="Mon, 19 Sep 2016 18:29:47 GMT", name="E1"):
    """Make an event as the documentation shows it."""
    return {
        "EventId": name,
        "EventStatus": status,
        "EventType": kind,
        "ResourceType": "VirtualMachine",
        "Resources": list(machines),
        "NotBefore": not_before,
        "Description": "Host server is undergoing maintenance.",
        "EventSource": "Platform",
        "DurationInSeconds": 5,
    }


def said_by_azure(*events, machine="WestNO_0"):
    body = json.dumps({"DocumentIncarnation": 2, "Events": events}).encode()
    return most_urgent(read_interruptions(body), machine)


def test_a_document_without_events_announces_nothing():
    assert said_by_azure() is None


@pytest.mark.parametrize("kind", ["Preempt", "Terminate", "Reboot", "Redeploy"])
def test_an_event_that_interrupts_is_read_with_its_moment(kind):
    said = said_by_azure(event(kind, "WestNO_0", "WestNO_1"))
    assert said is not None
    assert (said.source, said.action) == ("azure", kind.lower())
    assert said.at == datetime(2016, 9, 19, 18, 29, 47, tzinfo=UTC).timestamp()


def test_a_freeze_is_no_notice():
    assert said_by_azure(event("Freeze", "WestNO_0")) is None


def test_an_event_of_a_neighbour_is_no_notice():
    assert said_by_azure(event("Preempt", "WestNO_1")) is None


def test_a_machine_is_named_in_any_case_of_letters():
    assert said_by_azure(event("Preempt", "westno_0")) is not None


def test_an_event_counts_when_nobody_can_say_whose_it_is():
    assert said_by_azure(event("Preempt", "WestNO_1"), machine=None) is not None
    assert said_by_azure(event("Preempt")) is not None


@pytest.mark.parametrize("not_before", ["", None, "in a while"])
def test_an_event_without_a_readable_moment_is_a_notice_all_the_same(not_before):
    said = said_by_azure(event("Reboot", "WestNO_0", status="Started", not_before=not_before))
    assert said is not None
    assert said.at is None


def test_an_event_is_the_same_notice_when_it_has_begun():
    scheduled = said_by_azure(event("Reboot", "WestNO_0"))
    begun = said_by_azure(event("Reboot", "WestNO_0", status="Started", not_before=""))
    another = said_by_azure(event("Reboot", "WestNO_0", name="E2"))
    assert scheduled is not None
    assert begun is not None
    assert another is not None
    assert scheduled.text == begun.text != another.text


def test_of_several_events_the_earliest_is_the_notice_and_one_that_has_begun_comes_first():
    later = event("Redeploy", "WestNO_0", not_before="Mon, 19 Sep 2016 19:00:00 GMT")
    sooner = event("Terminate", "WestNO_0")
    begun = event("Preempt", "WestNO_0", status="Started", not_before="")
    assert said_by_azure(later, sooner).action == "terminate"
    assert said_by_azure(later, sooner, begun).action == "preempt"


@pytest.mark.parametrize(
    "body",
    [HTML, b"", b"{}", b'{"Events": {}}', b'{"Events": [{"EventType": "Preempt"}]}', b'{"error": "Bad request"}'],
)
def test_what_is_no_document_of_events_is_an_error_and_no_notice(body):
    with pytest.raises(BadAnswer):
        read_interruptions(body)


# ----------------------------------------------------------------------------------------------------------- the board


class Scripted:
    """A watcher that sees one thing after another, and the last of them for ever."""

    source = "aws"

    def __init__(self, *sights):
        self.sights = list(sights)
        self.looks = 0

    def look(self):
        self.looks += 1
        sight = self.sights.pop(0) if len(self.sights) > 1 else self.sights[0]
        if isinstance(sight, Exception):
            raise sight
        return sight


def board_after(looks, *watchers, on_notice=None, **options):
    """Give a board that has looked so often, in this thread, and what it handed on."""
    handed_on = []
    board = NoticeBoard(watchers, on_notice or handed_on.append, clock=lambda: NOW, **options)
    for _ in range(looks):
        board._posts = [post for post in board._posts if board._look(post)]
    return board, handed_on


def test_a_notice_is_handed_on_once_while_it_stands():
    said = notice()
    _, handed_on = board_after(5, Scripted(None, said))
    assert handed_on == [said]


def test_a_notice_that_only_comes_nearer_is_not_handed_on_again():
    _, handed_on = board_after(2, Scripted(notice(at=NOW + 60), notice(at=None)))
    assert handed_on == [notice(at=NOW + 60)]


def test_a_notice_that_was_withdrawn_and_given_again_is_handed_on_again():
    said = notice()
    _, handed_on = board_after(5, Scripted(said, None, said))
    assert handed_on == [said, said]


def test_another_notice_is_handed_on_as_well_and_the_first_is_not_repeated_after_it():
    first, second = notice(text="one"), notice(text="two")
    _, handed_on = board_after(3, Scripted(first, second, first))
    assert handed_on == [first, second]


def test_a_notice_for_next_week_waits_until_it_is_near():
    far, near = notice(at=NOW + 7 * 86400), notice(at=NOW + 100)
    assert board_after(3, Scripted(far))[1] == []
    assert board_after(3, Scripted(far, near))[1] == [near]


def test_errors_are_counted_and_logged_once_and_do_not_hide_the_notice_after_them(caplog):
    said = notice()
    with caplog.at_level(logging.INFO, "regrow"):
        board, handed_on = board_after(4, Scripted(BadAnswer("500"), ValueError("a bug"), BadAnswer("500"), said))
    assert board.errors == {"aws": 3}
    assert handed_on == [said]
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_a_provider_that_is_not_here_is_dropped_after_a_few_looks(caplog):
    absent, present = Scripted(NotHere("no route")), Scripted(None)
    with caplog.at_level(logging.INFO, "regrow"):
        board, _ = board_after(10, absent, present)
    assert (absent.looks, present.looks) == (5, 10)
    assert board.errors == {}
    assert [(record.levelname, "no route" in record.message) for record in caplog.records] == [("INFO", True)]


def test_a_provider_that_comes_up_a_moment_late_is_kept():
    said = notice()
    _, handed_on = board_after(6, Scripted(*[NotHere("not yet")] * 4, said))
    assert handed_on == [said]


def test_a_provider_that_was_heard_once_is_never_dropped():
    board, handed_on = board_after(12, Scripted(None, *[NotHere("gone")] * 10, notice()))
    assert board.errors == {"aws": 10}
    assert handed_on == [notice()]


def test_a_handler_that_fails_is_logged_and_the_next_notice_is_handed_on(caplog):
    seen = []

    def handler(said):
        seen.append(said.text)
        raise ValueError("a bug in the handler")

    board_after(2, Scripted(notice(text="one"), notice(text="two")), on_notice=handler)
    assert seen == ["one", "two"]
    assert "a bug in the handler" in caplog.text


def test_nothing_is_handed_on_after_the_board_was_stopped():
    handed_on = []
    board = NoticeBoard([Scripted(notice())], handed_on.append)
    board.stop()
    board._look(board._posts[0])
    assert handed_on == []
