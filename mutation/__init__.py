"""Mutation testing of the engine and the journal: `python -m mutation`, or `make mutate`.

A mutant is the package with one small fault in it. A test suite that does not notice leaves a *survivor*: either a test
is missing, or the change makes no difference that anybody could see, and then `survivors.toml` says why.

Ready-made tools were looked at and rejected. mutmut 3 replaces each function by a trampoline, which changes what kind
of thing it is: generators, coroutines and async generators are what this engine consists of, and its tracker lists
their return values, clean-up and kinds among the things that broke (boxed/mutmut 406, 454, 525, 540). It also leaves
module level alone, and with it every default of a record. cosmic-ray rewrites files and starts the whole suite anew for
each of several thousand mutants. Here the suite is collected once, each mutant is a fork of that process in which one
function gets the code of its mutant, and only tests run in it that reach the changed line, the fastest first.
"""
