"""What is read of groups and written to them, over folders that stand for the kernel's."""

from __future__ import annotations

import os

import pytest

from regrow.executors.limits import cgroup_tree as tree
from regrow.executors.limits.cgroup_v1 import CgroupV1
from regrow.executors.limits.cgroup_v2 import CgroupV2
from regrow.executors.limits.cgroups import container_limit, detect, explain
from regrow.executors.limits.group_names import is_left_over, is_ours, ourselves
from regrow.values.resources import Resources

pytestmark = pytest.mark.promise("P6")

MIB = 2**20
UNLIMITED = 9223372036854771712  # what version 1 says for no limit


def fill(folder, **files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(str(text))
    return folder


def stat(pid, *, parent=1, start=100, state="S", command="python"):
    return f"{pid} ({command}) {state} {parent} {' '.join(['0'] * 17)} {start} 0 0\n"


@pytest.fixture
def proc(tmp_path):
    """Give a folder like /proc in which this process runs."""
    folder = tmp_path / "proc"
    fill(folder / str(os.getpid()), stat=stat(os.getpid(), start=4711))
    fill(folder / "self" / "ns", pid="")
    fill(folder, meminfo="MemTotal:        8388608 kB\n")
    return folder


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "cgroup"
    folder.mkdir()
    return folder


def be_in(proc, *lines):
    (proc / "self" / "cgroup").write_text("".join(f"{line}\n" for line in lines))


def v1_host(root, proc, *mounts, path="/own"):
    be_in(proc, *(f"{number}:{mount}:{path}" for number, mount in enumerate(mounts, 1)), "0::/")
    for mount in mounts:
        fill(root / mount / path.strip("/"), cgroup__procs=os.getpid())


def v2_group(folder, *, inside="", offers="cpu memory pids", on="", limit="max"):
    return fill(
        folder,
        cgroup__type="domain",
        cgroup__procs="".join(f"{pid}\n" for pid in inside) if inside else "",
        cgroup__controllers=offers,
        cgroup__subtree_control=on,
        memory__max=limit,
    )


# ---------------------------------------------------------------------------------------------------------- detection


def test_a_system_without_cgroups_has_no_place_and_says_so(tmp_path, proc):
    assert detect(tmp_path / "missing", proc) is None
    assert explain(None, tmp_path / "missing", proc) == "this system has no cgroups"
    assert container_limit(tmp_path / "missing", proc) is None


def test_version_1_is_found_with_the_controllers_that_it_has(root, proc):
    v1_host(root, proc, "memory", "pids")
    host = detect(root, proc)
    assert (host.version, host.place) == ("cgroup v1", root / "memory" / "own")
    assert explain(host, root, proc) == (
        f"cgroup v1 at {root}/memory/own limits memory and processes of each worker and all that it starts, "
        "but has no control of processors"
    )


def test_controllers_that_share_a_hierarchy_are_found_under_their_joint_name(root, proc):
    v1_host(root, proc, "memory", "cpu,cpuacct")
    assert detect(root, proc).controllers == {"memory", "cpu", "cpuacct"}


def test_inside_a_container_the_group_is_found_although_its_path_is_the_hosts(root, proc):
    be_in(proc, "1:memory:/docker/abc")
    fill(root / "memory", cgroup__procs=os.getpid())
    assert detect(root, proc).place == root / "memory"


def test_a_group_of_the_same_path_that_we_are_not_in_is_not_taken_for_ours(root, proc):
    be_in(proc, "1:memory:/own")
    fill(root / "memory" / "own", cgroup__procs=1)
    assert detect(root, proc) is None


def test_a_path_that_leads_out_of_the_mount_is_not_followed(root, proc):
    be_in(proc, "0::/../outside")
    v2_group(root)
    fill(root.parent / "outside", cgroup__procs=os.getpid())
    assert detect(root, proc) is None
    assert "cannot be seen from here" in explain(None, root, proc)


def test_version_2_is_found_where_the_controllers_are_on(root, proc):
    be_in(proc, "0::/user/scope")
    v2_group(root)
    v2_group(root / "user", offers="memory pids", on="memory pids")
    v2_group(root / "user" / "scope", inside=[os.getpid(), 1], offers="memory pids")
    host = detect(root, proc)
    assert (host.version, host.place, host.controllers) == ("cgroup v2", root / "user", {"memory", "pids"})


def test_a_place_with_memory_is_better_than_a_lower_one_without(root, proc):
    be_in(proc, "0::/user/scope")
    v2_group(root)
    v2_group(root / "user", offers="memory pids", on="memory pids")
    v2_group(root / "user" / "scope", inside=[os.getpid()], offers="pids", on="pids")
    assert detect(root, proc).place == root / "user"


def test_a_place_without_memory_is_better_than_none(root, proc):
    be_in(proc, "0::/own")
    v2_group(root, offers="pids")
    v2_group(root / "own", inside=[os.getpid()], offers="pids", on="pids")
    assert detect(root, proc).controllers == {"pids"}


def test_strangers_are_not_moved_and_the_reason_is_given(root, proc):
    be_in(proc, "0::/")
    fill(proc / "77", stat=stat(77))
    v2_group(root, inside=[os.getpid(), 77])
    assert detect(root, proc) is None
    assert not (root / "regrow-driver").exists()
    assert "has other processes in it than regrow's" in explain(None, root, proc)


def test_a_group_with_a_memory_limit_is_not_left_for_one_further_up(root, proc):
    be_in(proc, "0::/service")
    fill(proc / "77", stat=stat(77))
    v2_group(root, on="memory pids cpu")
    v2_group(root / "service", inside=[os.getpid(), 77], limit=512 * MIB)
    assert detect(root, proc) is None
    (root / "service" / "memory.max").write_text("max")
    assert detect(root, proc).place == root


def test_a_driver_that_has_moved_into_its_leaf_uses_the_same_place_again(root, proc):
    be_in(proc, "0::/own/regrow-driver")
    v2_group(root)
    v2_group(root / "own", on="memory pids cpu")
    v2_group(root / "own" / "regrow-driver", inside=[os.getpid()])
    assert detect(root, proc).place == root / "own"


def test_version_2_beside_version_1_is_used_for_what_version_1_has_not(root, proc):
    be_in(proc, "1:name=systemd:/", "0::/own")
    v2_group(root / "unified", on="memory")
    v2_group(root / "unified" / "own", inside=[os.getpid()], offers="memory", on="memory")
    assert detect(root, proc).place == root / "unified" / "own"


# -------------------------------------------------------------------------------------------------- the limit around us


def test_the_lowest_limit_around_us_is_that_of_the_container(root, proc):
    be_in(proc, "0::/a/b")
    v2_group(root)
    v2_group(root / "a", limit=300 * MIB)
    v2_group(root / "a" / "b", inside=[os.getpid()], limit=500 * MIB)
    assert container_limit(root, proc) == 300 * MIB


def test_a_limit_that_the_machine_does_not_have_is_none(root, proc):
    be_in(proc, "0::/a")
    v2_group(root)
    v2_group(root / "a", inside=[os.getpid()], limit=8 * 2**30)
    assert container_limit(root, proc) is None


@pytest.mark.parametrize(("said", "expected"), [(UNLIMITED, None), (256 * MIB, 256 * MIB)])
def test_version_1_tells_the_limit_of_groups_that_cannot_be_seen(root, proc, said, expected):
    v1_host(root, proc, "memory")
    fill(root / "memory" / "own", memory__stat=f"cache 1\nhierarchical_memory_limit {said}\n")
    assert container_limit(root, proc) == expected


# ---------------------------------------------------------------------------------------------------------- version 1


@pytest.fixture
def v1(tmp_path):
    memory = fill(
        tmp_path / "memory",
        cgroup__procs="",
        memory__limit_in_bytes=UNLIMITED,
        memory__memsw__limit_in_bytes=UNLIMITED,
        memory__usage_in_bytes=100 * MIB,
        memory__max_usage_in_bytes=120 * MIB,
        memory__stat=f"cache 0\ntotal_active_file {30 * MIB}\ntotal_inactive_file {20 * MIB}\ntotal_shmem {5 * MIB}\n",
        memory__oom_control="oom_kill_disable 0\nunder_oom 0\noom_kill 3\n",
        memory__failcnt=99,
    )
    pids = fill(tmp_path / "pids", cgroup__procs="", pids__max="max", pids__events="max 7\n")
    cpu = fill(
        tmp_path / "cpu", cgroup__procs="", cpu__cfs_period_us=1, cpu__cfs_quota_us=-1, cpuacct__usage=25 * 10**8
    )
    return {"memory": memory, "pids": pids, "cpu": cpu, "cpuacct": cpu}


def test_version_1_sets_each_limit_in_its_hierarchy(v1):
    group = CgroupV1(v1, Resources(memory=64 * MIB, cpu=1.5, processes=10), hold=False)
    assert (v1["memory"] / "memory.limit_in_bytes").read_text() == str(64 * MIB)
    assert (v1["memory"] / "memory.memsw.limit_in_bytes").read_text() == str(64 * MIB)
    assert (v1["pids"] / "pids.max").read_text() == "80"
    assert (v1["cpu"] / "cpu.cfs_period_us").read_text() == "100000"
    assert (v1["cpu"] / "cpu.cfs_quota_us").read_text() == "150000"
    assert (group.limits_memory, group.limits_processes, group.limits_cpu, group.holds) == (True, True, True, False)


def test_version_1_moves_a_process_in_every_hierarchy(v1):
    CgroupV1(v1, Resources(), hold=False).add(1234)
    assert {(folder / "cgroup.procs").read_text() for folder in v1.values()} == {"1234"}


@pytest.mark.parametrize("limit", [32 * MIB, 128 * MIB])
def test_the_limit_with_swap_is_never_below_the_one_without(v1, monkeypatch, limit):
    group = CgroupV1(v1, Resources(memory=64 * MIB), hold=False)
    really = tree.write

    def write(file, value):
        really(file, value)
        plain, with_swap = (tree.number(v1["memory"] / f"memory.{name}limit_in_bytes") for name in ("", "memsw."))
        assert with_swap >= plain

    monkeypatch.setattr(tree, "write", write)
    group.set_memory(limit)
    assert tree.number(v1["memory"] / "memory.limit_in_bytes") == limit


def test_version_1_reads_its_counters(v1):
    group = CgroupV1(v1, Resources(), hold=False)
    assert group.usage() == 50 * MIB
    assert group.peak() == 120 * MIB
    assert group.oom_kills() == 3
    assert group.refused_forks() == 7
    assert group.cpu_seconds() == 2.5


def test_version_1_says_which_limits_it_cannot_keep(v1):
    group = CgroupV1({"pids": v1["pids"]}, Resources(memory=64 * MIB), hold=True)
    assert (group.limits_memory, group.limits_processes, group.limits_cpu, group.holds) == (False, True, False, False)
    assert (group.usage(), group.peak(), group.oom_kills(), group.hold_fd()) == (None, None, 0, None)


def test_where_nobody_can_be_told_the_killer_stays_on(v1):
    group = CgroupV1(v1, Resources(memory=64 * MIB), hold=True)  # there is no cgroup.event_control
    assert not group.holds
    assert (v1["memory"] / "memory.oom_control").read_text().startswith("oom_kill_disable 0")


def test_a_mark_that_stays_after_the_limit_was_raised_does_not_count_as_held(v1):
    fill(v1["memory"], cgroup__event_control="")
    group = CgroupV1(v1, Resources(memory=100 * MIB), hold=True)
    fill(v1["memory"], memory__oom_control="oom_kill_disable 1\nunder_oom 1\noom_kill 0\n")
    assert group.holds
    assert group.is_held()
    group.set_memory(200 * MIB)
    assert not group.is_held()
    group.close()


# ---------------------------------------------------------------------------------------------------------- version 2


@pytest.fixture
def v2(tmp_path):
    return fill(
        tmp_path / "group",
        cgroup__procs="",
        cgroup__freeze=0,
        memory__max="max",
        memory__high="max",
        memory__oom__group=0,
        memory__swap__max="max",
        memory__current=100 * MIB,
        memory__stat=f"anon 1\nactive_file {20 * MIB}\ninactive_file {10 * MIB}\nslab_reclaimable {5 * MIB}\nshmem 9\n",
        memory__events="low 0\nhigh 4\nmax 0\noom 2\noom_kill 1\n",
        memory__peak=110 * MIB,
        pids__max="max",
        pids__events="max 2\n",
        cpu__max="max 100000",
        cpu__stat="usage_usec 1500000\nuser_usec 1\n",
    )


def test_version_2_sets_each_limit(v2):
    group = CgroupV2(v2, Resources(memory=64 * MIB, cpu=0.5, processes=2), hold=False)
    read = {name: (v2 / name).read_text() for name in ("memory.max", "memory.high", "pids.max", "cpu.max")}
    assert read == {"memory.max": str(64 * MIB), "memory.high": "max", "pids.max": "16", "cpu.max": "50000 100000"}
    assert (v2 / "memory.oom.group").read_text() == "1"
    assert (v2 / "memory.swap.max").read_text() == "0"
    assert (group.limits_memory, group.limits_processes, group.limits_cpu, group.holds) == (True, True, True, False)


def test_version_2_reads_its_counters(v2):
    group = CgroupV2(v2, Resources(), hold=False)
    assert group.usage() == 65 * MIB
    assert group.peak() == 110 * MIB
    assert group.oom_kills() == 1
    assert group.refused_forks() == 2
    assert group.cpu_seconds() == 1.5


def test_version_2_says_which_limits_it_cannot_keep(tmp_path):
    bare = fill(tmp_path / "bare", cgroup__procs="", pids__max="max")
    group = CgroupV2(bare, Resources(memory=64 * MIB), hold=True)
    assert (group.limits_memory, group.limits_processes, group.limits_cpu, group.holds) == (False, True, False, False)
    assert not (bare / "memory.max").exists()
    assert group.peak() is None


class TestHold:
    @pytest.fixture
    def hold(self, v2, monkeypatch):
        class Deaf:
            def register(self, *_):
                pass

            def fileno(self):
                return 99

            def close(self):
                pass

        monkeypatch.setattr("select.epoll", Deaf)
        made = []

        def make(limit):
            made.append(CgroupV2(v2, Resources(memory=limit), hold=True))
            assert made[-1].holds
            return made[-1]

        yield make
        for group in made:
            group.close()

    @pytest.mark.parametrize(("limit", "margin"), [(64 * MIB, 32 * MIB), (1000 * MIB, 100 * MIB)])
    def test_a_group_that_holds_has_room_beyond_the_limit_where_it_is_slowed_down(self, v2, hold, limit, margin):
        hold(limit)
        assert (v2 / "memory.high").read_text() == str(limit)
        assert (v2 / "memory.max").read_text() == str(limit + margin)

    def test_it_is_frozen_when_what_it_cannot_give_back_is_at_the_limit(self, v2, hold):
        assert hold(65 * MIB).is_held()
        assert (v2 / "cgroup.freeze").read_text() == "1"

    def test_it_is_not_frozen_for_its_page_cache(self, v2, hold):
        assert not hold(100 * MIB).is_held()
        assert (v2 / "cgroup.freeze").read_text() == "0"

    def test_it_is_not_frozen_before_the_kernel_has_slowed_it_down(self, v2, hold):
        (v2 / "memory.events").write_text("high 0\noom_kill 0\n")
        assert not hold(65 * MIB).is_held()

    def test_a_higher_limit_thaws_it(self, v2, hold):
        group = hold(65 * MIB)
        assert group.is_held()
        group.set_memory(200 * MIB)
        assert (v2 / "cgroup.freeze").read_text() == "0"
        assert not group.is_held()


# ------------------------------------------------------------------------------------------------- files, names, owners


def test_a_file_that_the_kernel_does_not_have_is_never_made(tmp_path):
    with pytest.raises(FileNotFoundError):
        tree.write(tmp_path / "memory.max", 1)
    assert not (tmp_path / "memory.max").exists()


@pytest.mark.parametrize(("text", "expected"), [("17\n", 17), ("max\n", None), ("", None), ("-1\n", None)])
def test_no_limit_is_no_number(tmp_path, text, expected):
    assert tree.number(fill(tmp_path, pids__max=text) / "pids.max") == expected


def test_processes_are_found_in_groups_below_and_neither_we_nor_process_0_is_among_them(tmp_path):
    fill(tmp_path / "top", cgroup__procs=f"0\n{os.getpid()}\n11\n")
    fill(tmp_path / "top" / "below", cgroup__procs="12\n11\n")
    assert tree.processes([tmp_path / "top"]) == [11, 12]


def test_a_groups_name_says_whose_it_is_and_fits_a_folder(proc):
    owner = ourselves(proc)
    assert owner.start == 4711
    name = owner.group_name("agent#1/train#2/../x")
    assert name == f"regrow-{os.getpid()}-4711-{owner.namespace}-agent#1_train#2_.._x"


def test_only_what_a_dead_driver_of_our_namespace_has_made_is_left_over(proc):
    ours = ourselves(proc)
    fill(proc / "50", stat=stat(50, start=200, command="a) R (b"))
    fill(proc / "51", stat=stat(51, start=200, state="Z"))

    def name(pid, start, namespace=ours.namespace):
        return f"regrow-{pid}-{start}-{namespace}-task"

    assert not is_left_over(ours.group_name("task"), proc)
    assert not is_left_over(name(50, 200), proc)
    assert is_left_over(name(50, 199), proc)  # the id was given out again
    assert is_left_over(name(51, 200), proc)  # dead, and not yet asked for by its parent
    assert is_left_over(name(52, 200), proc)
    assert not is_left_over(name(52, 200, ours.namespace + 1), proc)
    assert not is_left_over("regrow-driver", proc)
    assert not is_left_over("user.slice", proc)


def test_children_of_ours_are_ours_and_our_parents_children_are_not(proc):
    fill(proc / "61", stat=stat(61, parent=os.getpid()))
    fill(proc / "62", stat=stat(62, parent=61))
    fill(proc / "63", stat=stat(63, parent=1))
    fill(proc / "1", stat=stat(1, parent=0))
    assert [is_ours(pid, proc) for pid in (os.getpid(), 61, 62, 63, 64, 0)] == [True, True, True, False, False, False]
