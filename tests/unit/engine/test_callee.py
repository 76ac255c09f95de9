"""What is read off a function: how it may be called, and what the inputs of a call of it are."""

from __future__ import annotations

import ast

import pytest

import regrow
from regrow.engine.callee import Callee
from regrow.values.options import Options


def callee(function, mode="sync", **options):
    return Callee(function, "step", mode, Options(**options), function.__name__)


def test_inputs_are_the_same_however_a_call_is_written():
    def work(a, b, c=3, *, d=4): ...

    one = callee(work)
    assert one.inputs((1, 2), {}) == one.inputs((1,), {"b": 2}) == one.inputs((), {"b": 2, "a": 1}) == {"a": 1, "b": 2}
    assert one.inputs((1, 2, 3), {"d": 4}) == {"a": 1, "b": 2}
    assert one.inputs((1, 2, 30), {"d": 40}) == {"a": 1, "b": 2, "c": 30, "d": 40}


def test_functions_that_take_any_number_of_arguments_have_inputs_too():
    def work(first, *rest, **named): ...

    assert callee(work).inputs((1, 2, 3), {"x": 4}) == {"first": 1, "rest": (2, 3), "named": {"x": 4}}
    assert callee(work).inputs((1,), {}) == {"first": 1}


def test_what_has_a_name_of_its_own_in_the_signature_only_is_no_argument_of_that_name():
    def rest_only(*rest): ...

    def named_only(**named): ...

    assert callee(rest_only).inputs((1,), {}) == {"rest": (1,)}
    assert callee(named_only).inputs((), {"named": 1}) == {"named": {"named": 1}}


def test_parameters_that_are_keyword_only_are_bound_by_name():
    def work(*, a): ...

    assert callee(work).inputs((), {"a": 1}) == {"a": 1}
    with pytest.raises(regrow.UsageError, match="too many positional arguments"):
        callee(work).inputs((1,), {})


def test_parameters_that_are_positional_only_are_bound_by_place():
    def work(a, /, b=2): ...

    assert callee(work).inputs((1,), {}) == {"a": 1}
    with pytest.raises(regrow.UsageError, match="work"):
        callee(work).inputs((), {"a": 1})


@pytest.mark.parametrize(
    ("args", "kwargs", "said"),
    [
        ((), {}, "missing a required argument: 'a'"),
        ((1, 2, 3), {}, "too many positional arguments"),
        ((1,), {"a": 2}, "multiple values for argument 'a'"),
        ((1,), {"bb": 2}, "unknown argument 'bb'; did you mean 'b'"),
        ((1, 2), {"b": 3}, "multiple values for argument 'b'"),
        ((1, 2), {"bb": 3}, "unknown argument 'bb'"),
    ],
)
def test_a_call_that_does_not_fit_is_refused_with_what_is_wrong(args, kwargs, said):
    def work(a, b=2): ...

    with pytest.raises(regrow.UsageError, match=said):
        callee(work).inputs(args, kwargs)


@pytest.mark.parametrize(
    ("given", "kept"), [("1000", {}), ("1001", {"n": 1001}), ("1000.0", {"n": 1000.0}), ("True", {"n": True})]
)
def test_what_equals_a_default_is_left_out_and_only_if_it_is_of_the_same_type(given, kept):
    given = ast.literal_eval(given)  # another object than the default

    def work(n=1000): ...

    assert callee(work).inputs((given,), {}) == kept


def test_the_very_default_is_left_out_and_what_has_no_truth_is_not_compared():
    class Opaque:
        def __eq__(self, other):
            raise TypeError("no truth")

        __hash__ = None

    default, other = Opaque(), Opaque()

    def work(thing=default): ...

    assert callee(work).inputs((default,), {}) == {}
    assert callee(work).inputs((other,), {})["thing"] is other


def test_nothing_that_is_given_for_a_parameter_without_a_default_is_left_out():
    def work(thing, other=1): ...

    assert callee(work).inputs((None,), {}) == {"thing": None}
    assert callee(work).inputs((), {"thing": None}) == {"thing": None}


def test_a_function_that_does_not_say_what_it_takes_is_refused():
    with pytest.raises(regrow.UsageError, match="type does not say what arguments it takes"):
        callee(type)


def test_a_synchronous_function_cannot_ask_a_coroutine_what_became_of_it():
    async def look(): ...

    def charge(): ...

    with pytest.raises(regrow.UsageError, match="must be synchronous too"):
        callee(charge, once=True, reconcile=look)
    assert callee(charge, "async", once=True, reconcile=look).reconciler.mode == "async"
    assert callee(charge, "async", once=True, reconcile=lambda: None).reconciler.mode == "sync"


@pytest.mark.parametrize(
    ("kind", "mode", "options", "isolated"),
    [
        ("task", "sync", {}, False),
        ("task", "sync", {"timeout": 1.0}, True),
        ("task", "sync", {"deadline": 1.0}, True),
        ("task", "async", {"timeout": 1.0}, False),
        ("task", "async", {"deadline": 1.0}, False),
        ("task", "async", {"memory": 2**20}, True),
        ("step", "sync", {"timeout": 1.0}, False),
    ],
)
def test_a_task_has_a_worker_where_nothing_less_could_hold_it_to_its_limits(kind, mode, options, isolated):
    def work(): ...

    assert Callee(work, kind, mode, Options(**options), "work").isolated is isolated


def test_the_same_function_under_other_options_keeps_its_name_unless_they_give_one():
    def work(): ...

    one = Callee(work, "task", "sync", Options(), "work", "here:work")
    assert (one.with_options(Options()).name, one.with_options(Options(name="other")).name) == ("work", "other")
    assert one.with_options(Options(name="other")).ref == "here:work"


def test_what_only_the_engine_calls_is_defined_nowhere_and_shared_with_nobody():
    def work(): ...

    engines = Callee(work, "step", "sync", Options(), "work")
    assert (engines.ref, engines.fingerprint) == ("", None)
