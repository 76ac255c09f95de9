"""The public namespace is flat and deliberate: what is in it is written down here, and reads as `regrow.name`."""

import msgspec
import pytest

import regrow

pytestmark = pytest.mark.unit

# To add a name is a feature, to remove or rename one breaks users: either is a line here and in the changelog.
PUBLIC_NAMES: tuple[str, ...] = (
    "Approve",
    "AskClosed",
    "AskError",
    "AskHuman",
    "Backoff",
    "BadSignature",
    "Budget",
    "Cache",
    "Checkpoint",
    "Conflict",
    "ConnectionLost",
    "Corrupted",
    "Crashed",
    "Current",
    "Denied",
    "DidNotHappen",
    "Dir",
    "DiskFull",
    "Divergence",
    "Duration",
    "Environment",
    "Extend",
    "Failure",
    "Fallback",
    "File",
    "ForeignError",
    "GiveUp",
    "Grow",
    "GrowPolicy",
    "Handle",
    "Happened",
    "KeyConflict",
    "LeaseLost",
    "Memory",
    "MemoryDiff",
    "MemoryEntry",
    "MemoryView",
    "NoAnswer",
    "NotInRun",
    "NotStorable",
    "OpenAsk",
    "OutOfMemory",
    "OutcomeUnknown",
    "OutputLimit",
    "Preempted",
    "ProcessLimit",
    "Raised",
    "RateLimited",
    "RegrowError",
    "Remaining",
    "Remedy",
    "Resources",
    "Resume",
    "ResumePolicy",
    "RetryAfter",
    "RunCancelled",
    "RunError",
    "RunHeld",
    "RunOver",
    "RunPaused",
    "RunRow",
    "RunStopped",
    "Runs",
    "SearchHit",
    "Secret",
    "Size",
    "Step",
    "StoreError",
    "StoreUnavailable",
    "StreamCut",
    "Tally",
    "Task",
    "TimedOut",
    "Unavailable",
    "UnfitAnswer",
    "UnknownAsk",
    "UnknownRun",
    "UnreadableFormat",
    "Usage",
    "UsageError",
    "WorkerLost",
    "__version__",
    "accept_callback",
    "answer",
    "ask",
    "ask_blocking",
    "checkpoint",
    "current",
    "failure_of",
    "fork",
    "grow",
    "heed_notices",
    "inbox",
    "map",
    "memory",
    "now",
    "resume",
    "retry_on_conflict",
    "run",
    "signal",
    "sleep",
    "spent",
    "start",
    "step",
    "storable",
    "task",
    "wait_for",
    "wait_for_blocking",
)


def test_the_public_names_are_those_written_down():
    assert tuple(regrow.__all__) == PUBLIC_NAMES


def test_the_public_names_are_sorted_and_listed_once():
    assert list(regrow.__all__) == sorted(set(regrow.__all__))


@pytest.mark.parametrize("name", PUBLIC_NAMES)
def test_a_public_name_can_be_imported(name: str):
    namespace: dict[str, object] = {}
    exec(f"from regrow import {name}", namespace)
    assert name in namespace


def test_a_star_import_brings_exactly_the_public_names():
    namespace: dict[str, object] = {}
    exec("from regrow import *", namespace)
    del namespace["__builtins__"]
    assert sorted(namespace) == sorted(regrow.__all__)


@pytest.mark.parametrize("name", [name for name in PUBLIC_NAMES if callable(getattr(regrow, name))])
def test_a_public_class_or_function_says_that_it_lives_in_regrow(name: str):
    value = getattr(regrow, name)
    assert value.__module__ == "regrow"


def test_a_public_row_of_the_list_of_runs_can_be_made_from_what_is_stored():
    """Its annotations are found, though it says that it lives where the names in them are not."""
    info = msgspec.inspect.type_info(regrow.RunRow)
    assert isinstance(info, msgspec.inspect.StructType)
    assert [one.name for one in info.fields][:2] == ["id", "task"]
