"""Who begins and who waits: each rule by itself, and then whole trees of tasks on a host that is too small for them."""

from __future__ import annotations

from collections import Counter

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regrow.errors import UsageError
from regrow.executors.capacity import Capacity, Claim
from regrow.values.resources import Resources

pytestmark = pytest.mark.promise("P6")

GIB = 2**30


def claim(name, cpu=1.0, memory=None, gpu=0, *, priority=0, parent=None):
    return Claim(name, Resources(memory=memory, cpu=cpu, gpu=gpu), priority, parent)


def names(placed):
    return [each.claim.id for each in placed]


def waiting(host):
    return [each.id for each in host.waiting]


# -- what fits ---------------------------------------------------------------------------------------------------------


def test_what_fits_begins_at_once_and_what_does_not_waits_for_a_place():
    host = Capacity(2, 100)
    assert names(host.ask(claim("a"))) == ["a"]
    assert names(host.ask(claim("b"))) == ["b"]
    assert host.ask(claim("c")) == []
    assert waiting(host) == ["c"]
    assert names(host.release("a")) == ["c"]
    assert list(host.placed) == ["b", "c"]


def test_memory_is_reserved_and_a_task_without_a_limit_reserves_none():
    host = Capacity(9, 100)
    host.ask(claim("a", memory=70))
    host.ask(claim("b"))
    assert host.memory_used == 70
    assert host.ask(claim("c", memory=31)) == []
    assert names(host.release("a")) == ["c"]


def test_fractions_of_processors_fill_a_host_in_spite_of_rounding():
    host = Capacity(0.3, 100)
    assert 0.1 + 0.2 > 0.3
    assert names(host.ask(claim("a", cpu=0.1)) + host.ask(claim("b", cpu=0.2))) == ["a", "b"]
    assert host.ask(claim("one more", cpu=0.1)) == []


def test_devices_are_handed_out_by_id_to_one_task_each_and_given_back():
    host = Capacity(9, 100, ("g0", "g1", "g2"))
    assert host.ask(claim("a", gpu=2))[0].gpus == ("g0", "g1")
    assert host.ask(claim("b", gpu=1))[0].gpus == ("g2",)
    assert host.ask(claim("c", gpu=1)) == []
    assert host.release("a")[0].gpus == ("g0",)


def test_one_release_lets_in_all_that_fit_then():
    host = Capacity(4, 100)
    host.ask(claim("a", cpu=4))
    for name in "bcd":
        host.ask(claim(name, cpu=2))
    assert names(host.release("a")) == ["b", "c"]


@pytest.mark.parametrize(
    ("resources", "reason"),
    [
        (Resources(memory=3 * GIB), "it asks for 3 GiB of memory, and this host has 2 GiB"),
        (Resources(cpu=4.5), "it asks for 4.5 processors, and this host has 4"),
        (Resources(gpu=2), "it asks for 2 gpus, and this host has 1"),
    ],
)
def test_what_can_never_fit_is_refused_at_once_with_the_reason_and_a_way_out(resources, reason):
    host = Capacity(4, 2 * GIB, ["g0"])
    said = host.refuse(resources)
    assert said.startswith(reason)
    assert "ask for less with" in said
    with pytest.raises(UsageError, match="could never begin"):
        host.ask(Claim("a", resources))
    assert host.waiting == []


def test_what_fills_the_host_to_the_brim_is_not_refused():
    host = Capacity(4, 2 * GIB, ["g0"])
    assert host.refuse(Resources(memory=2 * GIB, cpu=4, gpu=1)) is None


# -- the order ---------------------------------------------------------------------------------------------------------


def test_a_smaller_one_does_not_overtake():
    host = Capacity(2, 100)
    host.ask(claim("a"))
    host.ask(claim("large", cpu=2))
    assert host.ask(claim("small")) == []
    assert names(host.release("a")) == ["large"]
    assert names(host.release("large")) == ["small"]


def test_a_higher_priority_goes_first_and_within_one_who_came_first():
    host = Capacity(1, 100)
    host.ask(claim("running"))
    for name, priority in [("b", 0), ("c", 0), ("d", 5), ("e", 5), ("f", -1)]:
        host.ask(claim(name, priority=priority))
    assert waiting(host) == ["d", "e", "b", "c", "f"]


def test_what_was_cancelled_leaves_the_queue_and_frees_the_way():
    host = Capacity(2, 100)
    host.ask(claim("a"))
    host.ask(claim("large", cpu=2))
    host.ask(claim("small"))
    assert names(host.withdraw("large")) == ["small"]
    assert host.waiting == []


def test_unknown_ids_are_taken_for_done_and_an_id_in_use_is_refused():
    host = Capacity(1, 100)
    host.ask(claim("a"))
    host.ask(claim("b"))
    assert host.release("b") == host.withdraw("a") == host.release("nobody") == host.withdraw("nobody") == []
    assert (list(host.placed), waiting(host)) == (["a"], ["b"])
    for name in "ab":
        with pytest.raises(ValueError, match="already"):
            host.ask(claim(name))


# -- tasks inside tasks ------------------------------------------------------------------------------------------------


def test_a_worker_that_waits_for_its_own_task_lends_its_processors():
    host = Capacity(1, 100)
    host.ask(claim("outer"))
    [inner] = host.ask(claim("inner", parent="outer"))
    assert not inner.beyond
    assert host.cpus_used == 1
    assert host.ask(claim("other")) == []


def test_processors_are_lent_to_whoever_is_next_while_the_workers_own_task_waits_for_memory():
    host = Capacity(2, 100)
    host.ask(claim("outer", memory=60))
    host.ask(claim("works"))
    assert host.ask(claim("inner", memory=50, parent="outer")) == []
    assert names(host.ask(claim("urgent", priority=1))) == ["urgent"]


def test_a_worker_takes_its_processors_back_and_nobody_begins_until_they_are_there_again():
    host = Capacity(1, 100)
    host.ask(claim("outer"))
    host.ask(claim("inner", cpu=0.5, parent="outer"))
    assert names(host.ask(claim("other", cpu=0.5))) == ["other"]
    host.ask(claim("third", cpu=0.5))
    assert host.release("inner") == []
    assert host.cpus_used == 1.5  # overbooked: `outer` goes on at once
    assert host.release("other") == []
    assert names(host.release("outer")) == ["third"]


def test_the_memory_of_a_worker_that_waits_stays_reserved():
    host = Capacity(4, 100)
    host.ask(claim("outer", memory=60))
    host.ask(claim("running"))
    assert host.ask(claim("inner", memory=50, parent="outer")) == []
    assert host.memory_used == 60


def test_what_a_placed_worker_called_goes_before_what_came_earlier():
    host = Capacity(1, 100)
    host.ask(claim("outer"))
    host.ask(claim("early"))
    host.ask(claim("inner 1", cpu=0.6, parent="outer"))
    host.ask(claim("inner 2", cpu=0.6, parent="outer"))
    assert list(host.placed) == ["outer", "inner 1"]
    assert waiting(host) == ["inner 2", "early"]


def test_a_caller_that_runs_nowhere_on_this_host_gives_no_preference():
    host = Capacity(1, 100)
    host.ask(claim("running"))
    host.ask(claim("early"))
    host.ask(claim("late", parent="elsewhere"))
    assert waiting(host) == ["early", "late"]


def test_what_a_worker_called_has_at_least_its_priority():
    host = Capacity(3, 100)
    host.ask(claim("urgent", priority=9))
    host.ask(claim("running", cpu=2))
    host.ask(claim("inner", cpu=2, parent="urgent"))
    host.ask(claim("other", priority=5))
    host.ask(claim("more urgent", cpu=2, priority=10))
    assert waiting(host) == ["more urgent", "inner", "other"]


def test_when_all_that_are_placed_wait_for_the_queue_its_first_is_let_in_beyond_capacity():
    host = Capacity(2, 100)
    host.ask(claim("a", memory=50))
    host.ask(claim("b", memory=50))
    assert host.ask(claim("a1", memory=60, parent="a")) == []  # `b` still works
    [let_in] = host.ask(claim("b1", memory=60, parent="b"))
    assert (let_in.claim.id, let_in.beyond) == ("a1", True)
    assert host.memory_used == 160
    assert waiting(host) == ["b1"]  # one is enough for something to go on


def test_waiting_through_tasks_that_wait_themselves_is_seen():
    host = Capacity(1, 100)
    host.ask(claim("a", memory=40))
    host.ask(claim("b", memory=40, parent="a"))
    assert host.ask(claim("c", memory=40, parent="b"))[0].beyond


def test_nobody_is_let_in_beyond_capacity_while_one_that_is_placed_still_works():
    host = Capacity(2, 100)
    host.ask(claim("a", memory=60))
    host.ask(claim("works", memory=20))
    assert host.ask(claim("a1", memory=40, parent="a")) == []
    [let_in] = host.release("works")
    assert not let_in.beyond


def test_when_all_wait_the_one_that_is_waited_for_goes_before_a_higher_priority():
    host = Capacity(2, 100)
    host.ask(claim("a", memory=60))
    host.ask(claim("urgent", memory=100, priority=9))
    [let_in] = host.ask(claim("a1", memory=10, parent="a"))
    assert (let_in.claim.id, let_in.beyond) == ("a1", False)
    assert names(host.release("a1") + host.release("a")) == ["urgent"]


def test_one_that_is_let_in_beyond_shares_the_device_of_a_caller_and_not_a_strangers():
    host = Capacity(9, 100, ["g0", "g1"])
    host.ask(claim("stranger", gpu=1))
    host.ask(claim("caller", gpu=1))
    host.ask(claim("between", parent="caller"))
    host.ask(claim("task", gpu=1, parent="between"))
    [let_in] = host.ask(claim("strange task", gpu=1, parent="stranger"))
    assert (let_in.claim.id, let_in.gpus, let_in.beyond) == ("task", ("g1",), True)


def test_a_device_that_is_shared_is_free_when_both_have_given_it_back():
    host = Capacity(9, 100, ["g0"])
    host.ask(claim("caller", gpu=1))
    host.ask(claim("task", gpu=1, parent="caller"))
    assert host.ask(claim("next", gpu=1)) == []
    assert host.release("task") == []
    assert host.release("caller")[0].gpus == ("g0",)


def test_a_worker_whose_task_was_cancelled_takes_its_processors_back():
    host = Capacity(2, 100)
    host.ask(claim("outer", memory=60))
    host.ask(claim("works"))
    host.ask(claim("inner", memory=50, parent="outer"))
    assert host.cpus_used == 1
    host.withdraw("inner")
    assert host.cpus_used == 2


def test_tasks_of_a_worker_that_died_keep_their_place_in_the_queue():
    host = Capacity(1, 100)
    host.ask(claim("outer", memory=60))
    host.ask(claim("works", cpu=0.5, memory=10, parent="outer"))
    host.ask(claim("orphan", memory=50, parent="outer"))
    assert host.release("outer") == []
    assert names(host.release("works")) == ["orphan"]


# -- growing, and leaving ----------------------------------------------------------------------------------------------


def test_a_running_one_grows_into_what_is_free_before_all_that_wait():
    host = Capacity(2, 100)
    host.ask(claim("a", memory=50))
    host.ask(claim("b", memory=60))
    assert host.grow("a", 100)
    assert host.memory_used == 100
    assert host.placed["a"].claim.resources.memory == 100
    assert names(host.release("a")) == ["b"]
    assert host.memory_used == 60


def test_growth_that_the_host_has_not_free_changes_nothing():
    host = Capacity(2, 100)
    host.ask(claim("a", memory=50))
    host.ask(claim("b", memory=20))
    assert not host.grow("a", 81)
    assert host.memory_used == 70
    assert host.grow("a", 80)
    assert not host.grow("nobody", 1)


def test_nobody_shrinks_by_growing():
    host = Capacity(2, 100)
    host.ask(claim("a", memory=50))
    assert host.grow("a", 40)
    assert host.memory_used == 50


def test_a_draining_host_places_nothing_not_even_beyond_capacity():
    host = Capacity(1, 100)
    host.ask(claim("outer", memory=60))
    host.pause()
    assert host.ask(claim("inner", memory=60, parent="outer")) == []
    assert host.ask(claim("other")) == []
    assert host.release("nobody") == []
    assert host.resume()[0].beyond


# -- whole trees -------------------------------------------------------------------------------------------------------

CPUS, MEMORY, GPUS = 3, 100, ("g0", "g1")


class Node(msgspec.Struct):
    """A task, and the tasks that it calls: all at once, or one after another."""

    resources: Resources
    priority: int
    at_once: bool
    children: list[Node]


def nodes(children):
    resources = st.builds(
        Resources,
        memory=st.none() | st.integers(1, MEMORY),
        cpu=st.sampled_from([0.1, 0.5, 1.0, 2.0, 3.0]),
        gpu=st.integers(0, 2),
    )
    return st.builds(Node, resources, priority=st.integers(0, 2), at_once=st.booleans(), children=children)


TREES = st.lists(
    st.recursive(nodes(st.just([])), lambda one: nodes(st.lists(one, max_size=3)), max_leaves=8), max_size=6
)


class World:
    """Tasks that call, wait and end in any order, and a check of the host after each thing that happens."""

    def __init__(self, trees):
        self.host = Capacity(CPUS, MEMORY, GPUS)
        self.unasked = list(trees)
        self.nodes, self.left, self.urgency = {}, {}, {}
        self.outstanding = Counter()
        self.asked, self.begun = {}, {}

    def ready(self):
        return [one for one in self.host.placed if not self.outstanding[one]]

    def ask(self, node, parent=None):
        name = f"task {len(self.nodes)}"
        self.nodes[name], self.left[name] = node, list(node.children)
        self.urgency[name] = max(node.priority, self.urgency[parent]) if parent else node.priority
        self.asked.setdefault((self.urgency[name], parent is not None), []).append(name)
        self.outstanding[parent] += 1
        self.check(self.host.ask(Claim(name, node.resources, node.priority, parent)))

    def go_on(self, name):
        node = self.nodes[name]
        if not self.left[name]:
            parent = self.host.placed[name].claim.parent
            self.outstanding[parent] -= 1
            self.check(self.host.release(name))
        for _ in range(len(self.left[name]) if node.at_once else min(1, len(self.left[name]))):
            self.ask(self.left[name].pop(0), name)

    def check(self, begun):
        placed = list(self.host.placed.values())
        within = [one for one in placed if not one.beyond]
        assert sum(one.claim.resources.memory or 0 for one in within) <= MEMORY
        assert max(Counter(gpu for one in within for gpu in one.gpus).values(), default=0) <= 1
        for one in placed:
            assert len(set(one.gpus)) == one.claim.resources.gpu
        for one in begun:
            name, parent = one.claim.id, one.claim.parent
            self.begun.setdefault((self.urgency[name], parent is not None), []).append(name)
            if one.beyond:
                before = placed[: [each.claim.id for each in placed].index(name)]
                assert all(self.outstanding[each.claim.id] for each in before)
        if begun and not begun[-1].beyond:
            working = sum(one.claim.resources.cpu for one in placed if not self.outstanding[one.claim.id])
            assert working <= CPUS + 1e-6


@settings(max_examples=200, deadline=None)
@given(trees=TREES, chance=st.randoms(use_true_random=False))
def test_any_trees_of_tasks_finish_on_a_small_host_in_order_and_within_its_capacity(trees, chance):
    world = World(trees)
    while world.unasked or world.host.placed or world.host.waiting:
        choices = world.ready() + ["a new one"] * bool(world.unasked)
        assert choices, "nothing can go on"
        chosen = chance.choice(choices)
        if chosen == "a new one":
            world.ask(world.unasked.pop(0))
        else:
            world.go_on(chosen)
    assert world.begun == world.asked
    assert (world.host.cpus_used, world.host.memory_used) == (0, 0)
    assert not world.host._called
    assert not world.host._ranks
