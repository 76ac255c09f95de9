"""What a host has, by what its kernel says: from figures written down here, since every host has others."""

from __future__ import annotations

import sys

import pytest

from regrow.executors.limits import machine
from regrow.executors.limits.machine import cpu_quota, devices, figure_of, this_machine, visible_gpus

pytestmark = pytest.mark.promise("P6")

VMSTAT = "nr_free_pages 5870321\noom_kill_disable 9\noom_kill 3\ndrop_pagecache 0\n"
MEMINFO = "MemTotal:       24683520 kB\nMemFree:        18446744 kB\nMemAvailable:   23660000 kB\n"


def write(folder, name, text):
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


V1_BELOW = "4:memory:/a\n1:cpu,cpuacct:/pod/box\n0::/\n"


@pytest.mark.parametrize(
    ("what", "membership", "files", "quota"),
    [
        ("no cgroups at all", "", {}, None),
        ("v2 without a quota", "0::/box\n", {"box/cpu.max": "max 100000\n"}, None),
        ("v2 with one and a half", "0::/box\n", {"box/cpu.max": "150000 100000\n"}, 1.5),
        ("v2, a stricter one above", "0::/a/b\n", {"a/cpu.max": "50000 100000", "a/b/cpu.max": "200000 100000"}, 0.5),
        ("v2, one of a neighbour", "0::/a\n", {"b/cpu.max": "50000 100000"}, None),
        ("v2 in a container that sees only its own", "0::/\n", {"cpu.max": "300000 100000\n"}, 3.0),
        ("v2 beside v1", "0::/box\n", {"unified/box/cpu.max": "150000 100000\n"}, 1.5),
        (
            "v1 without a quota",
            V1_BELOW,
            {"cpu,cpuacct/pod/box/cpu.cfs_quota_us": "-1\n", "cpu,cpuacct/pod/box/cpu.cfs_period_us": "100000\n"},
            None,
        ),
        (
            "v1 with one",
            V1_BELOW,
            {"cpu,cpuacct/pod/box/cpu.cfs_quota_us": "250000\n", "cpu,cpuacct/pod/box/cpu.cfs_period_us": "100000\n"},
            2.5,
        ),
        (
            "v1 under the short name of its mount",
            V1_BELOW,
            {"cpu/pod/cpu.cfs_quota_us": "50000\n", "cpu/pod/cpu.cfs_period_us": "100000\n"},
            0.5,
        ),
        (
            "v1 in a container, with the path of the host",
            V1_BELOW,
            {"cpu,cpuacct/cpu.cfs_quota_us": "100000\n", "cpu,cpuacct/cpu.cfs_period_us": "50000\n"},
            2.0,
        ),
        (
            "cpuset is not cpu",
            "1:cpuset:/box\n",
            {"cpu/box/cpu.cfs_quota_us": "5", "cpu/box/cpu.cfs_period_us": "5"},
            None,
        ),
    ],
)
def test_the_quota_of_processors_is(tmp_path, what, membership, files, quota):
    for name, text in files.items():
        write(tmp_path, name, text)
    assert cpu_quota(membership, tmp_path) == quota, what


def test_a_quota_outside_of_the_mount_is_not_looked_for(tmp_path):
    write(tmp_path, "cpu.max", "50000 100000")
    write(tmp_path, "mount/box/cpu.max", "max 100000")
    assert cpu_quota("0::/box\n", tmp_path / "mount") is None


@pytest.mark.skipif(sys.platform != "linux", reason="affinity is Linux's")
@pytest.mark.parametrize(("bound", "quota", "cpus"), [(4, None, 4.0), (4, 1.5, 1.5), (1, 8.0, 1.0)])
def test_processors_are_the_least_of_affinity_and_quota(monkeypatch, bound, quota, cpus):
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda pid: set(range(bound)))
    monkeypatch.setattr(machine, "cpu_quota", lambda membership: quota)
    assert this_machine().cpus == cpus


def test_memory_is_the_least_of_machine_and_container():
    physical = this_machine().memory
    assert physical > 2**26
    assert this_machine(container_limit=2**26).memory == 2**26
    assert this_machine(container_limit=2**60).memory == physical


@pytest.mark.parametrize(
    ("wanted", "visible"),
    [
        (None, ("0", "1", "2")),
        ("", ()),
        ("1", ("1",)),
        ("2,0", ("2", "0")),
        (" 0 , 1 ", ("0", "1")),
        ("0,-1,1", ("0",)),
        ("0,7,1", ("0",)),
        ("-1", ()),
        ("NoDevFiles", ()),
        ("1,1", ("1",)),
        ("GPU-8932f937", ("GPU-8932f937",)),
        ("MIG-GPU-1/0/0,1", ("MIG-GPU-1/0/0", "1")),
    ],
)
def test_devices_are_those_that_a_cuda_program_would_see(wanted, visible):
    assert visible_gpus(("0", "1", "2"), wanted) == visible


def test_without_devices_the_variable_makes_none():
    assert visible_gpus((), "GPU-8932f937") == ()
    assert visible_gpus((), None) == ()


def test_control_devices_are_not_devices(tmp_path):
    for name in ("nvidia10", "nvidia0", "nvidia2", "nvidiactl", "nvidia-uvm", "nvidia0-caps", "null"):
        (tmp_path / name).touch()
    assert devices(tmp_path) == ("0", "2", "10")


def test_the_variable_is_honoured(monkeypatch):
    monkeypatch.setattr(machine, "devices", lambda: ("0", "1"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert this_machine().gpus == ("1",)


def test_a_figure_is_that_of_the_whole_key():
    assert figure_of(VMSTAT, "oom_kill") == 3
    assert figure_of(MEMINFO, "MemAvailable:") == 23660000
    assert figure_of(VMSTAT, "oom") is None
    assert figure_of("", "oom_kill") is None


def test_available_memory_is_in_bytes(monkeypatch):
    monkeypatch.setattr(machine, "_read", lambda file: MEMINFO)
    assert machine.available_memory() == 23660000 * 1024


@pytest.mark.parametrize(("text", "count"), [(VMSTAT, 3), ("nr_free_pages 1\n", None), ("", None)])
def test_a_kernel_that_does_not_count_its_kills_is_not_taken_for_one_without_any(monkeypatch, text, count):
    monkeypatch.setattr(machine, "_read", lambda file: text)
    assert machine.oom_kills() == count


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_this_machine_says_the_same_twice_and_what_is_available_is_less_than_all():
    assert this_machine() == this_machine()
    assert this_machine().boot.count("-") == 4
    assert 0 < machine.available_memory() < this_machine().memory
