"""What may be said of sharing a call's outcome, and what is refused."""

import pytest

import regrow
from regrow.values.cache import Cache
from regrow.values.options import Options, merge


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (True, Cache()),
        (False, None),
        (None, None),
        (Cache(max_age="1h"), Cache(max_age=3600.0)),
        (Cache(ignore="client"), Cache(ignore=("client",))),
        (Cache(ignore=["a", "b"]), Cache(ignore=("a", "b"))),
    ],
)
def test_it_is_read_as_it_is_written(given, read):
    assert merge(Options(), {"cache": given}, owner="f").cache == read


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"version": 1.5}, "text or a whole number"),
        ({"version": True}, "text or a whole number"),
        ({"max_age": "soon"}, "Cache(max_age=…)='soon' cannot be read"),
        ({"scope": "world"}, "'project', 'global' or 'run'"),
        ({"ignore": (1,)}, "names of parameters and globals"),
        ({"key": "text"}, "a function of the call's inputs"),
        ({"failures": 1}, "True or False"),
    ],
)
def test_what_could_not_be_meant_is_refused(arguments, said):
    with pytest.raises(regrow.UsageError) as caught:
        Cache(**arguments)
    assert said in str(caught.value)


def test_what_is_no_cache_is_refused_with_what_it_takes():
    with pytest.raises(regrow.UsageError, match=r"it takes True, False, or regrow\.Cache"):
        merge(Options(), {"cache": "1h"}, owner="f")


def test_an_effect_that_is_to_happen_once_cannot_be_answered_from_the_cache():
    with pytest.raises(regrow.UsageError, match="use one of the two"):
        merge(Options(), {"cache": True, "once": True}, owner="f")


def test_a_stream_cannot_be_cached():
    with pytest.raises(regrow.UsageError, match="the cache keeps whole results"):

        @regrow.step(cache=True)
        async def stream():
            yield 1


def test_it_can_be_turned_off_for_one_use():
    @regrow.step(cache=True)
    async def step():
        return 1

    assert step.callee.options.cache == Cache()
    assert step.override(cache=False).callee.options.cache is None
    assert step.override(retries=1).callee.options.cache == Cache()
