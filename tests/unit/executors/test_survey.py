"""What is said of the limits of a host, from what was found there."""

from __future__ import annotations

import pytest

from regrow.executors.limits.machine import Machine
from regrow.executors.limits.survey import Found, layers

pytestmark = [pytest.mark.unit, pytest.mark.promise("P6")]
MACHINE = Machine("ann", 2.0, 8 * 2**30, (), "monday")
FULL = Found(
    "linux",
    "cgroup v2 at /sys/fs/cgroup/x limits memory, processes and processors",
    limits_memory=True,
    holds=True,
    limits_processes=True,
    limits_cpu=True,
    container=4 * 2**30,
    machine=MACHINE,
)
BARE = Found("linux", "cgroup v1 is there, but this user may not make groups in /x", machine=MACHINE)
MAC = Found("darwin", "this system has no cgroups", watches=False)


def by_name(found):
    return {layer.name: layer for layer in layers(found)}


def in_force(found):
    return {layer.name for layer in layers(found) if layer.in_force}


def test_a_host_that_has_everything_has_every_layer_but_the_devices_that_it_lacks():
    assert set(by_name(FULL)) - in_force(FULL) == {"GPUs"}
    assert by_name(FULL)["cgroup memory"].meaning == FULL.groups


def test_without_cgroups_what_the_driver_and_the_process_itself_keep_is_left():
    assert in_force(BARE) == {
        "RLIMIT_DATA",
        "memory watchdog",
        "container guard",
        "wall clock",
        "output",
        "scratch disk",
    }
    assert "may not make groups" in by_name(BARE)["cgroup memory"].meaning
    assert "begins again" in by_name(BARE)["growth in place"].meaning
    assert "a burst may pass it" in by_name(BARE)["memory watchdog"].meaning


def test_macos_is_told_plainly_what_it_lacks():
    found = by_name(MAC)
    assert in_force(MAC) == {"wall clock", "output", "scratch disk"}
    assert found["cgroup memory"].meaning.startswith("macOS has no cgroups")
    assert "does not enforce it" in found["RLIMIT_DATA"].meaning
    assert "psutil is not installed" in found["memory watchdog"].meaning


def test_the_limit_of_the_container_is_named():
    assert "4 GiB" in by_name(FULL)["container guard"].meaning
    assert "8 GiB" in by_name(BARE)["container guard"].meaning


def test_devices_are_named():
    found = Found("linux", "", machine=Machine("ann", 2.0, 2**30, ("0", "1"), "monday"))
    assert by_name(found)["GPUs"].in_force
    assert by_name(found)["GPUs"].meaning.endswith("of 0, 1")
