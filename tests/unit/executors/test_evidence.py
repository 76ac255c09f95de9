"""Each death that the design names, as the traces that it leaves, and what is concluded from them."""

import signal

import msgspec
import pytest

from regrow.errors import (
    Crashed,
    DiskFull,
    OutOfMemory,
    OutputLimit,
    Preempted,
    ProcessLimit,
    TimedOut,
    WorkerLost,
)
from regrow.executors.diagnosis import diagnose
from regrow.executors.evidence import ErrorFrame, Evidence, ending
from regrow.remedies import Extend, GiveUp, Grow, Resume
from regrow.values.resources import Resources

pytestmark = pytest.mark.promise("P6")

MIB = 2**20
PATH = "agent#1/train#1"
LIMITED = Resources(memory=256 * MIB, disk=64 * MIB, output=8 * MIB, processes=32)
SMALL = ((1.0, 20 * MIB), (2.0, 21 * MIB))
LARGE = ((1.0, 150 * MIB), (2.0, 250 * MIB))


def died(number):
    """Give the wait status of a process that died of a signal."""
    return int(number)


def left(code):
    """Give the wait status of a process that left with an exit code."""
    return code << 8


def traces(**what):
    """Give the evidence of one attempt of which the rest is ordinary."""
    said = {"path": PATH, "task": "train", "attempt": 2, "resources": LIMITED, "samples": SMALL, "host_oom_kills": 0}
    return Evidence(**(said | what))


def tells(failure, *parts):
    """Check that the evidence names these things, the stronger first."""
    places = [next(i for i, sentence in enumerate(failure.evidence) if part in sentence) for part in parts]
    return places == sorted(places)


# -- out of memory


def test_what_the_cgroup_counted_as_an_oom_kill_is_certainly_out_of_memory():
    failure = diagnose(
        traces(wait_status=died(signal.SIGKILL), oom_kills=1, samples=LARGE, enforced_by=("cgroup v1", "RLIMIT_DATA"))
    )

    assert type(failure) is OutOfMemory
    assert failure.confidence == "certain"
    assert (failure.limit, failure.peak, failure.enforced_by) == (256 * MIB, 250 * MIB, "cgroup v1")
    assert failure.remedies[0] == Grow(memory=512 * MIB)


def test_an_oom_kill_far_below_its_own_limit_was_for_want_of_memory_around_it():
    failure = diagnose(
        traces(wait_status=died(signal.SIGKILL), oom_kills=1, samples=SMALL, peak=100 * MIB, enforced_by=("cgroup v1",))
    )

    assert type(failure) is OutOfMemory
    assert (failure.limit, failure.enforced_by, failure.confidence) == (None, "", "certain")


@pytest.mark.parametrize(
    ("how", "enforced_by", "confidence"),
    [
        ({"frame": ErrorFrame("memory", "OSError: [Errno 14] Bad address")}, "cgroup v1", "likely"),
        ({"wait_status": left(71)}, "cgroup v1", "likely"),
        ({"wait_status": died(signal.SIGBUS)}, "cgroup v1", "likely"),
    ],
    ids=["reported", "left", "died"],
)
def test_what_ends_at_a_limit_at_which_it_would_be_held_was_likely_refused_memory(how, enforced_by, confidence):
    failure = diagnose(traces(held=True, peak=255 * MIB, enforced_by=("cgroup v1", "RLIMIT_DATA"), **how))

    assert type(failure) is OutOfMemory
    assert (failure.limit, failure.enforced_by, failure.confidence) == (256 * MIB, enforced_by, confidence)


def test_what_ends_far_below_that_limit_has_crashed():
    assert type(diagnose(traces(held=True, peak=200 * MIB, wait_status=left(71)))) is Crashed


def test_a_limit_that_was_raised_too_late_is_the_one_that_was_reached():
    frame = ErrorFrame("memory", "OSError: [Errno 14] Bad address")
    failure = diagnose(traces(held=True, outgrown=(64 * MIB, 128 * MIB), peak=127 * MIB, frame=frame))

    assert failure.limit == 128 * MIB
    assert tells(failure, "Bad address", "127 MiB of 128 MiB")


def test_what_our_watchdog_ended_for_its_memory_is_certainly_out_of_memory():
    failure = diagnose(traces(told_to_stop="memory", wait_status=died(signal.SIGKILL), peak=270 * MIB, growth=5e8))

    assert type(failure) is OutOfMemory
    assert (failure.confidence, failure.enforced_by, failure.limit) == ("certain", "watchdog", 256 * MIB)
    assert (failure.peak, failure.growth) == (270 * MIB, 5e8)


def test_what_we_ended_to_save_the_machine_did_not_reach_a_limit_of_its_own():
    failure = diagnose(traces(told_to_stop="host memory", wait_status=died(signal.SIGKILL), samples=LARGE))

    assert type(failure) is OutOfMemory
    assert (failure.confidence, failure.limit) == ("certain", None)


def test_a_memory_error_at_the_data_limit_is_certainly_out_of_memory():
    failure = diagnose(traces(frame=ErrorFrame("memory", "MemoryError: "), wait_status=left(0), data_limited=True))

    assert type(failure) is OutOfMemory
    assert (failure.confidence, failure.enforced_by) == ("certain", "RLIMIT_DATA")


def test_a_memory_error_that_the_interpreter_raised_below_any_limit_is_likely_out_of_memory():
    failure = diagnose(traces(frame=ErrorFrame("memory", "MemoryError: Unable to allocate 1 TiB"), wait_status=left(0)))

    assert type(failure) is OutOfMemory
    assert (failure.confidence, failure.limit) == ("likely", 256 * MIB)
    assert "Unable to allocate 1 TiB" in failure.evidence[0]


@pytest.mark.parametrize("status", [died(signal.SIGABRT), died(signal.SIGSEGV), left(1)])
def test_native_code_that_dies_at_the_data_limit_without_a_word_is_likely_out_of_memory(status):
    failure = diagnose(traces(wait_status=status, data_limited=True))

    assert type(failure) is OutOfMemory
    assert failure.confidence == "likely"


def test_a_kill_while_the_machine_ran_out_of_memory_and_the_worker_was_large_is_likely_that():
    failure = diagnose(traces(wait_status=died(signal.SIGKILL), host_oom_kills=1, samples=LARGE))

    assert type(failure) is OutOfMemory
    assert (failure.confidence, failure.limit) == ("likely", None)
    assert tells(failure, "SIGKILL", "the machine's OOM killer struck", "when last seen")


def test_a_kill_while_the_machine_ran_out_of_memory_and_the_worker_grew_fast_is_likely_that():
    failure = diagnose(traces(wait_status=died(signal.SIGKILL), host_oom_kills=1, samples=SMALL, growth=5e8))

    assert type(failure) is OutOfMemory
    assert failure.confidence == "likely"


def test_a_worker_without_a_limit_is_large_by_what_the_machine_could_give():
    unlimited = Resources()
    struck = traces(
        resources=unlimited, wait_status=died(signal.SIGKILL), host_oom_kills=1, samples=LARGE, ceiling=400 * MIB
    )

    assert type(diagnose(struck)) is OutOfMemory
    assert type(diagnose(msgspec.structs.replace(struck, ceiling=4000 * MIB))) is WorkerLost


def test_a_worker_that_vanished_with_its_driver_while_the_machine_ran_out_of_memory_likely_went_with_it():
    failure = diagnose(traces(host_oom_kills=2, samples=LARGE))

    assert type(failure) is OutOfMemory
    assert (failure.confidence, failure.limit) == ("likely", None)


# -- killed from outside


def test_a_sigkill_from_outside_is_never_reported_as_oom():
    failure = diagnose(traces(wait_status=died(signal.SIGKILL)))

    assert type(failure) is WorkerLost
    assert (failure.confidence, failure.signal) == ("certain", "SIGKILL")
    assert failure.remedies[0] == Resume()


def test_a_sigkill_from_outside_is_not_oom_either_when_the_worker_was_large():
    failure = diagnose(traces(wait_status=died(signal.SIGKILL), samples=LARGE, growth=5e8))

    assert type(failure) is WorkerLost
    assert failure.confidence == "certain"


def test_a_sigkill_is_not_oom_if_its_own_cgroup_counted_none_whatever_the_machine_did_meanwhile():
    failure = diagnose(
        traces(wait_status=died(signal.SIGKILL), samples=LARGE, host_oom_kills=2, enforced_by=("cgroup v2",))
    )

    assert type(failure) is WorkerLost
    assert failure.confidence == "certain"
    assert tells(failure, "SIGKILL", "no OOM kill was counted in its own cgroup", "struck meanwhile (2 times)")


@pytest.mark.parametrize(("samples", "confidence"), [(SMALL, "certain"), (LARGE, "likely")])
def test_where_the_machine_does_not_count_its_oom_kills_only_a_small_worker_was_certainly_lost(samples, confidence):
    failure = diagnose(traces(wait_status=died(signal.SIGKILL), host_oom_kills=None, samples=samples))

    assert type(failure) is WorkerLost
    assert failure.confidence == confidence


@pytest.mark.parametrize("samples", [SMALL, ()])
def test_a_small_worker_was_likely_not_the_one_that_the_machine_chose(samples):
    failure = diagnose(traces(wait_status=died(signal.SIGKILL), host_oom_kills=1, samples=samples))

    assert type(failure) is WorkerLost
    assert failure.confidence == "likely"
    assert tells(failure, "SIGKILL", "the machine's OOM killer struck")


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGQUIT])
def test_what_terminals_and_people_send_is_likely_a_loss(number):
    failure = diagnose(traces(wait_status=died(number)))

    assert type(failure) is WorkerLost
    assert (failure.confidence, failure.signal) == ("likely", number.name)


def test_silence_is_a_loss_of_which_nothing_is_known():
    failure = diagnose(traces(host_oom_kills=None, samples=()))

    assert type(failure) is WorkerLost
    assert (failure.confidence, failure.signal) == ("unknown", None)


# -- preempted


def test_a_death_by_sigterm_that_was_not_ours_is_a_preemption():
    failure = diagnose(traces(wait_status=died(signal.SIGTERM)))

    assert type(failure) is Preempted
    assert (failure.confidence, failure.source) == ("certain", "SIGTERM")


def test_a_worker_that_noted_a_sigterm_and_left_was_preempted():
    failure = diagnose(traces(preempted_by="SIGTERM", grace=5.0, wait_status=left(143)))

    assert type(failure) is Preempted
    assert (failure.confidence, failure.grace) == ("certain", 5.0)


def test_a_worker_that_was_killed_after_its_grace_was_preempted():
    failure = diagnose(traces(preempted_by="SIGTERM", grace=5.0, wait_status=died(signal.SIGKILL)))

    assert type(failure) is Preempted
    assert tells(failure, "notice came from SIGTERM", "SIGKILL")


def test_a_providers_notice_is_a_preemption_by_that_provider():
    failure = diagnose(
        traces(told_to_stop="preempted", preempted_by="aws", grace=120.0, wait_status=died(signal.SIGKILL))
    )

    assert type(failure) is Preempted
    assert (failure.confidence, failure.source, failure.grace) == ("certain", "aws", 120.0)


@pytest.mark.parametrize("flag", [None, "preempted"])
def test_a_task_that_finished_within_its_grace_has_succeeded(flag):
    assert diagnose(traces(told_to_stop=flag, preempted_by="SIGTERM", result=True, wait_status=left(0))) is None


def test_what_code_raised_after_the_notice_is_likely_the_preemption():
    failure = diagnose(traces(preempted_by="SIGTERM", frame=ErrorFrame("raised", "BrokenPipeError: "), grace=5.0))

    assert type(failure) is Preempted
    assert failure.confidence == "likely"
    assert tells(failure, "BrokenPipeError", "notice came from SIGTERM")


# -- time, disk, output, processes


@pytest.mark.parametrize("scope", ["timeout", "deadline"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_an_endless_loop_past_its_time_has_timed_out_however_it_was_ended(scope, number):
    failure = diagnose(traces(told_to_stop=scope, allowed=(2.0, scope), ran=2.1, wait_status=died(number)))

    assert type(failure) is TimedOut
    assert (failure.confidence, failure.limit, failure.scope) == ("certain", 2.0, scope)
    assert failure.remedies[0] == (Extend(4.0) if scope == "timeout" else GiveUp())


def test_a_scratch_folder_above_its_limit_is_a_full_disk_of_our_making():
    failure = diagnose(traces(told_to_stop="disk", scratch=70 * MIB, wait_status=died(signal.SIGKILL)))

    assert type(failure) is DiskFull
    assert (failure.confidence, failure.limit, failure.used) == ("certain", 64 * MIB, 70 * MIB)


def test_a_full_disk_that_the_worker_reported_is_the_machines():
    failure = diagnose(traces(frame=ErrorFrame("no-space"), wait_status=left(0)))

    assert type(failure) is DiskFull
    assert (failure.confidence, failure.limit) == ("certain", None)


@pytest.mark.parametrize(
    "how", [{"frame": ErrorFrame("file-size"), "wait_status": left(0)}, {"wait_status": died(signal.SIGXFSZ)}]
)
def test_one_file_above_the_disk_limit_is_a_full_disk_of_our_making(how):
    failure = diagnose(traces(**how))

    assert type(failure) is DiskFull
    assert (failure.limit, failure.enforced_by) == (64 * MIB, "RLIMIT_FSIZE")


def test_a_hundred_megabytes_of_output_are_over_the_output_limit():
    failure = diagnose(traces(told_to_stop="output", wait_status=died(signal.SIGKILL)))

    assert type(failure) is OutputLimit
    assert (failure.confidence, failure.limit) == ("certain", 8 * MIB)


def test_processes_that_the_cgroup_refused_are_certainly_over_the_process_limit():
    failure = diagnose(traces(frame=ErrorFrame("processes"), refused_forks=3, wait_status=left(0)))

    assert type(failure) is ProcessLimit
    assert (failure.confidence, failure.limit, failure.enforced_by) == ("certain", 32, "pids.max")


def test_a_refused_process_that_no_cgroup_counted_is_likely_over_the_process_limit():
    failure = diagnose(traces(frame=ErrorFrame("processes"), wait_status=left(0)))

    assert type(failure) is ProcessLimit
    assert failure.confidence == "likely"


def test_processes_that_we_counted_ourselves_are_certainly_over_the_process_limit():
    failure = diagnose(traces(told_to_stop="processes", wait_status=died(signal.SIGKILL)))

    assert type(failure) is ProcessLimit
    assert failure.confidence == "certain"


# -- crashes


@pytest.mark.parametrize(
    "number",
    [signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGFPE, signal.SIGILL, signal.SIGXCPU, signal.SIGSYS],
)
def test_a_signal_of_its_own_making_is_a_crash(number):
    failure = diagnose(traces(wait_status=died(number)))

    assert type(failure) is Crashed
    assert (failure.confidence, failure.signal, failure.code) == ("certain", number.name, None)


def test_a_core_dump_does_not_hide_the_signal():
    failure = diagnose(traces(wait_status=died(signal.SIGSEGV) | 0x80))

    assert type(failure) is Crashed
    assert failure.signal == "SIGSEGV"


@pytest.mark.parametrize("code", [3, 1, 0])
def test_leaving_with_an_exit_code_and_without_a_result_is_a_crash(code):
    failure = diagnose(traces(wait_status=left(code)))

    assert type(failure) is Crashed
    assert (failure.confidence, failure.code, failure.signal) == ("certain", code, None)


def test_a_file_that_is_too_large_for_a_task_without_a_disk_limit_is_a_crash_like_any_other():
    failure = diagnose(traces(resources=Resources(), wait_status=died(signal.SIGXFSZ)))

    assert type(failure) is Crashed
    assert failure.signal == "SIGXFSZ"


def test_a_bus_error_tells_of_full_shared_memory():
    assert any("/dev/shm" in sentence for sentence in diagnose(traces(wait_status=died(signal.SIGBUS))).evidence)
    assert not any("/dev/shm" in sentence for sentence in diagnose(traces(wait_status=died(signal.SIGSEGV))).evidence)


def test_a_signal_without_a_name_is_told_by_its_number():
    assert ending(traces(wait_status=signal.SIGRTMIN + 1)) == f"signal {signal.SIGRTMIN + 1}"


# -- nothing to tell


@pytest.mark.parametrize("status", [None, left(0), died(signal.SIGSEGV)])
def test_a_result_that_came_whole_is_a_success_however_the_worker_went(status):
    assert diagnose(traces(result=True, wait_status=status)) is None


def test_a_task_that_lived_through_the_kill_of_its_child_has_succeeded():
    assert diagnose(traces(result=True, oom_kills=1, wait_status=left(0))) is None


def test_an_exception_of_the_codes_own_is_handed_on_as_it_is():
    assert diagnose(traces(frame=ErrorFrame("raised", "ValueError: no"), wait_status=left(0))) is None


def test_a_cancelled_attempt_has_not_failed():
    assert diagnose(traces(told_to_stop="cancelled", wait_status=died(signal.SIGKILL))) is None


# -- where two traces contradict each other


def test_our_own_flag_is_stronger_than_the_cgroups_counter():
    failure = diagnose(
        traces(told_to_stop="timeout", allowed=(2.0, "timeout"), oom_kills=1, wait_status=died(signal.SIGKILL))
    )

    assert type(failure) is TimedOut
    assert tells(failure, "timeout of 2 s", "in its own cgroup (once)", "SIGKILL")


def test_our_own_flag_is_stronger_than_a_result_that_came_too_late():
    failure = diagnose(traces(told_to_stop="output", result=True, wait_status=left(0)))

    assert type(failure) is OutputLimit
    assert tells(failure, "printed more", "its result had come whole", "exit code 0")


def test_the_cgroups_counter_is_stronger_than_what_the_worker_raised():
    failure = diagnose(
        traces(oom_kills=1, frame=ErrorFrame("raised", "BrokenProcessPool: a child"), wait_status=left(0))
    )

    assert type(failure) is OutOfMemory
    assert failure.confidence == "likely"
    assert tells(failure, "in its own cgroup", "BrokenProcessPool")


def test_the_cgroups_counter_is_stronger_than_a_full_disk():
    failure = diagnose(traces(oom_kills=2, frame=ErrorFrame("no-space"), wait_status=died(signal.SIGKILL)))

    assert type(failure) is OutOfMemory
    assert tells(failure, "(2 times)", "ENOSPC")


def test_what_the_worker_said_is_stronger_than_how_it_then_died():
    failure = diagnose(traces(frame=ErrorFrame("no-space"), wait_status=died(signal.SIGSEGV)))

    assert type(failure) is DiskFull
    assert tells(failure, "ENOSPC", "SIGSEGV")


def test_what_the_worker_said_is_stronger_than_a_notice():
    failure = diagnose(traces(frame=ErrorFrame("memory"), preempted_by="SIGTERM", wait_status=left(0)))

    assert type(failure) is OutOfMemory
    assert tells(failure, "MemoryError", "notice came from SIGTERM")


def test_the_signal_is_stronger_than_the_machines_oom_count():
    failure = diagnose(traces(wait_status=died(signal.SIGSEGV), host_oom_kills=1, samples=LARGE))

    assert type(failure) is Crashed
    assert tells(failure, "SIGSEGV", "the machine's OOM killer struck")


def test_a_refused_process_is_told_beside_the_crash_that_followed():
    failure = diagnose(traces(wait_status=died(signal.SIGSEGV), refused_forks=1))

    assert type(failure) is Crashed
    assert tells(failure, "refused it a process or thread", "SIGSEGV")


# -- what is told


def test_the_facts_are_plain_data_with_the_last_samples():
    samples = tuple((float(second), second * MIB) for second in range(20))
    failure = diagnose(
        traces(wait_status=left(3), samples=samples, peak=30 * MIB, enforced_by=("cgroup v1", "RLIMIT_DATA"), ran=20.5)
    )

    assert failure.facts == {
        "task": "train",
        "attempt": 2,
        "limits": "256 MiB of memory, 1 processor, 64 MiB of scratch disk",
        "enforced_by": "cgroup v1, RLIMIT_DATA",
        "peak": 30 * MIB,
        "samples": [[float(second), second * MIB] for second in range(12, 20)],
        "ran": 20.5,
        "exit": "exit code 3",
    }
    assert msgspec.json.decode(msgspec.json.encode(failure.facts)) == failure.facts


@pytest.mark.parametrize(
    ("status", "told"), [(died(signal.SIGKILL), "SIGKILL"), (left(3), "exit code 3"), (None, "unknown")]
)
def test_an_end_is_told_in_a_few_words(status, told):
    assert ending(traces(wait_status=status)) == told


def test_a_failure_describes_what_it_was_concluded_from_and_the_ways_out():
    told = diagnose(traces(wait_status=died(signal.SIGKILL), oom_kills=1, samples=LARGE, growth=100 * MIB)).describe()

    assert "OutOfMemory (infrastructure, certain)" in told
    assert "- memory in use when last seen: 150 MiB, 250 MiB of 256 MiB" in told
    assert "growing by 100 MiB a second" in told
    assert "Grow: raise memory" in told
