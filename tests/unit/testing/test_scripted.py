"""A model that follows a script, inside of runs and outside."""

from __future__ import annotations

import asyncio

import pytest

import regrow
from regrow.testing import Crash, MortalStore, ScriptedModel, ScriptExhausted


async def pieces_of(stream):
    return [piece async for piece in stream]


def test_answers_come_in_the_order_of_the_script():
    model = ScriptedModel("one", {"two": 2})
    assert (model("?"), asyncio.run(model.aio("?"))) == ("one", {"two": 2})


def test_prompts_and_settings_are_kept_in_the_order_of_asking():
    model = ScriptedModel("a", "b")
    model("first", temperature=0)
    model(["second"])
    assert model.prompts == ["first", ["second"]]
    assert model.asked[0].settings == {"temperature": 0}


def test_a_pattern_answers_whatever_the_order_and_as_often_as_it_matches():
    model = ScriptedModel("else", when={"weather": "rain", r"\d+ \+": ("first", "then")})
    assert [model(text) for text in ("1 + 1", "the weather", "2 + 2", "3 + 3", "why", "weather")] == [
        "first", "rain", "then", "then", "else", "rain",
    ]  # fmt: skip


def test_an_exception_in_the_script_is_raised_each_time_as_a_new_one():
    error = regrow.RateLimited("slow down", retry_after=2, status=429)
    model = ScriptedModel(when={"": error})
    raised = []
    for _ in range(2):
        with pytest.raises(regrow.RateLimited, match="slow down") as caught:
            model("?")
        raised.append(caught.value)
    assert raised[0] is not raised[1]
    assert (raised[1].retry_after, raised[1].status) == (2, 429)


def test_a_text_streams_in_words_and_a_list_in_its_pieces():
    model = ScriptedModel("two words", ["a", 1])
    assert asyncio.run(pieces_of(model.stream("?"))) == ["two ", "words"]
    assert asyncio.run(pieces_of(model.stream("?"))) == ["a", 1]


def test_a_stream_can_break_in_its_middle():
    async def broken():
        got = []
        with pytest.raises(ConnectionResetError):
            async for piece in ScriptedModel(["a", ConnectionResetError("gone"), "b"]).stream("?"):
                got.append(piece)
        return got

    assert asyncio.run(broken()) == ["a"]


def test_asking_beyond_the_script_says_what_was_asked_and_is_not_tried_again():
    model = ScriptedModel("only")
    asked = []

    @regrow.step(retries=3)
    def ask(prompt):
        asked.append(prompt)
        return model(prompt)

    @regrow.task
    def agent():
        return [ask("one"), ask("two")]

    with pytest.raises(ScriptExhausted, match="question 2: 'two'"):
        regrow.run(agent, store=MortalStore())
    assert asked == ["one", "two"]


def test_answers_that_nobody_asked_for_fail_the_block():
    with (
        pytest.raises(AssertionError, match=r"never asked for: 'b', 'weather'"),
        ScriptedModel("a", "b", when={"weather": "rain"}) as model,
    ):
        model("?")


def test_a_block_that_fails_is_not_told_about_answers_as_well():
    with pytest.raises(KeyError), ScriptedModel("a"):
        raise KeyError


def test_a_rate_limit_in_the_script_is_waited_out_by_the_step():
    model = ScriptedModel(regrow.RateLimited("later", retry_after=0.01), "answer")

    @regrow.step(retries=1)
    async def ask(prompt):
        return await model.aio(prompt)

    @regrow.task
    async def agent():
        return await ask("?")

    assert regrow.run(agent, store=MortalStore()) == "answer"
    assert model.prompts == ["?", "?"]


def test_a_call_whose_answer_was_lost_in_a_crash_is_given_the_same_answer_again():
    model = ScriptedModel("one", "two", "three")
    store = MortalStore()

    @regrow.step
    def ask(prompt):
        return model(prompt)

    @regrow.task
    def agent():
        return [ask("?"), ask("?"), ask("?")]

    store.die_at(9)  # before the record of the second answer
    with pytest.raises(Crash):
        regrow.run(agent, key="k", store=store)
    assert len(model.prompts) == 2
    store.revive()
    assert regrow.run(agent, key="k", store=store) == ["one", "two", "three"]
    model.check_all_asked()
