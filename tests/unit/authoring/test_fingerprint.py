"""What changes a function's fingerprint and what does not: pairs of programs that differ in one thing."""

import sys
import threading
import types

import pytest

from regrow.authoring import fingerprint as module
from regrow.authoring.fingerprint import TooMuch, fingerprint
from regrow.errors import UsageError


@pytest.fixture
def load(monkeypatch):
    """Load programs as the user's own modules; the last one is given."""

    def modules(*sources, line=0, folder="project"):
        for name, source in zip(("helpers", "program")[-len(sources) :], sources, strict=True):
            made = types.ModuleType(name)
            made.__file__ = f"{folder}/{name}.py"
            monkeypatch.setitem(sys.modules, name, made)
            exec(compile("\n" * line + source, made.__file__, "exec", dont_inherit=True), made.__dict__)
        return made

    return modules


@pytest.fixture
def of(load):
    return lambda *sources, **where: fingerprint(load(*sources, **where).f)


DIFFER = {
    "its own code": ("def f(): return 1", "def f(): return 2"),
    "an operator": ("def f(a, b): return a + b", "def f(a, b): return a - b"),
    "a constant's type": ("def f(): return 1", "def f(): return True"),
    "a number beyond all decimals": ("N = 1 << 99999\ndef f(): return N", "N = 3 << 99999\ndef f(): return N"),
    "a float's sign": ("def f(): return 0.0", "def f(): return -0.0"),
    "a set of constants": ("def f(x): return x in {1, 2}", "def f(x): return x in {1, 3}"),
    "a default": ("def f(a=1): return a", "def f(a=2): return a"),
    "a keyword's default": ("def f(*, a=1): return a", "def f(*, a=2): return a"),
    "a global number": ("N = 1\ndef f(): return N", "N = 2\ndef f(): return N"),
    "a global dict": ("D = {'a': [1]}\ndef f(): return D", "D = {'a': [2]}\ndef f(): return D"),
    "a global array": (
        "import numpy\nA = numpy.zeros(3)\ndef f(): return A",
        "import numpy\nA = numpy.ones(3)\ndef f(): return A",
    ),
    "a pattern": (
        "import re\nP = re.compile('a')\ndef f(): return P.match('')",
        "import re\nP = re.compile('b')\ndef f(): return P.match('')",
    ),
    "a helper": ("def g(): return 1\ndef f(): return g()", "def g(): return 2\ndef f(): return g()"),
    "a helper's helper's global": (
        "N = 1\ndef h(): return N\ndef g(): return h()\ndef f(): return g()",
        "N = 2\ndef h(): return N\ndef g(): return h()\ndef f(): return g()",
    ),
    "a function in a function": (
        "def f():\n def g(): return 1\n return g()",
        "def f():\n def g(): return 2\n return g()",
    ),
    "a class in a function": (
        "def f():\n class C:\n  N = 1\n  def m(self): self.a = self.b = 1\n return C().N",
        "def f():\n class C:\n  N = 2\n  def m(self): self.a = self.b = 1\n return C().N",
    ),
    "a method of a class in a function": (
        "def f():\n class C:\n  def m(self): return 1\n return C().m()",
        "def f():\n class C:\n  def m(self): return 2\n return C().m()",
    ),
    "what a comprehension reads": (
        "N = 1\ndef f(): return [N for _ in 'ab']",
        "N = 2\ndef f(): return [N for _ in 'ab']",
    ),
    "a closure": (
        "def make(n):\n def f(): return n\n return f\nf = make(1)",
        "def make(n):\n def f(): return n\n return f\nf = make(2)",
    ),
    "a function in a table": (
        "def g(): return 1\nT = {'g': g}\ndef f(): return T['g']()",
        "def g(): return 2\nT = {'g': g}\ndef f(): return T['g']()",
    ),
    "a method": (
        "class C:\n def m(self): return 1\ndef f(): return C().m()",
        "class C:\n def m(self): return 2\ndef f(): return C().m()",
    ),
    "a method of a base": (
        "class B:\n def m(self): return 1\nclass C(B): pass\ndef f(): return C().m()",
        "class B:\n def m(self): return 2\nclass C(B): pass\ndef f(): return C().m()",
    ),
    "a property": (
        "class C:\n @property\n def m(self): return 1\ndef f(): return C().m",
        "class C:\n @property\n def m(self): return 2\ndef f(): return C().m",
    ),
    "a class method": (
        "class C:\n @classmethod\n def m(cls): return 1\ndef f(): return C.m()",
        "class C:\n @classmethod\n def m(cls): return 2\ndef f(): return C.m()",
    ),
    "an attribute of a class": ("class C: N = 1\ndef f(): return C.N", "class C: N = 2\ndef f(): return C.N"),
    "an instance's state": (
        "class C:\n def __init__(self, n): self.n = n\nc = C(1)\ndef f(): return c.n",
        "class C:\n def __init__(self, n): self.n = n\nc = C(2)\ndef f(): return c.n",
    ),
    "an instance's slot": (
        "class C:\n __slots__ = ('n',)\nc = C(); c.n = 1\ndef f(): return c.n",
        "class C:\n __slots__ = ('n',)\nc = C(); c.n = 2\ndef f(): return c.n",
    ),
    "a dataclass's default": (
        "from dataclasses import dataclass\n@dataclass\nclass C: n: int = 1\ndef f(): return C()",
        "from dataclasses import dataclass\n@dataclass\nclass C: n: int = 2\ndef f(): return C()",
    ),
    "a dataclass's factory": (
        (
            "import dataclasses as d\ndef g(): return 1\n@d.dataclass\nclass C: n: int = d.field(default_factory=g)\n"
            "def f(): return C()"
        ),
        (
            "import dataclasses as d\ndef g(): return 2\n@d.dataclass\nclass C: n: int = d.field(default_factory=g)\n"
            "def f(): return C()"
        ),
    ),
    "a struct's default": (
        "import msgspec\nclass C(msgspec.Struct): n: int = 1\ndef f(): return C()",
        "import msgspec\nclass C(msgspec.Struct): n: int = 2\ndef f(): return C()",
    ),
    "a model's default": (
        "import pydantic\nclass C(pydantic.BaseModel): n: int = 1\ndef f(): return C()",
        "import pydantic\nclass C(pydantic.BaseModel): n: int = 2\ndef f(): return C()",
    ),
    "a member of an enum": (
        "import enum\nclass C(enum.Enum): A = 1\ndef f(): return C.A",
        "import enum\nclass C(enum.Enum): A = 2\ndef f(): return C.A",
    ),
    "what a partial holds": (
        "from functools import partial\ndef g(n): return n\np = partial(g, 1)\ndef f(): return p()",
        "from functools import partial\ndef g(n): return n\np = partial(g, 2)\ndef f(): return p()",
    ),
    "what is behind functools.cache": (
        "from functools import cache\n@cache\ndef g(): return 1\ndef f(): return g()",
        "from functools import cache\n@cache\ndef g(): return 2\ndef f(): return g()",
    ),
    "what is behind single dispatch": (
        (
            "import functools as t\n@t.singledispatch\ndef g(x): return 0\n@g.register\ndef _(x: int): return 1\n"
            "def f(): return g(1)"
        ),
        (
            "import functools as t\n@t.singledispatch\ndef g(x): return 0\n@g.register\ndef _(x: int): return 2\n"
            "def f(): return g(1)"
        ),
    ),
    "a decorator of one's own": (
        "def d(g):\n def w(): return g() + 1\n return w\n@d\ndef g(): return 1\ndef f(): return g()",
        "def d(g):\n def w(): return g() + 2\n return w\n@d\ndef g(): return 1\ndef f(): return g()",
    ),
    "a step that it calls": (
        "import regrow\n@regrow.step\ndef g(): return 1\ndef f(): return g()",
        "import regrow\n@regrow.step\ndef g(): return 2\ndef f(): return g()",
    ),
    "one of two that call each other": (
        "def g(n): return h(n)\ndef h(n): return n and f(n - 1)\ndef f(n): return g(n)",
        "def g(n): return h(n)\ndef h(n): return n and f(n - 2)\ndef f(n): return g(n)",
    ),
    "a name that is no builtin any more": ("def f(): return len('')", "def len(x): return 0\ndef f(): return len('')"),
}


@pytest.mark.parametrize("what", DIFFER)
def test_it_changes_with(of, what):
    before, after = DIFFER[what]
    assert of(before) != of(after)
    assert of(before) == of(before)
    assert of(before) == of(before, line=7, folder="elsewhere")


OTHERS = {
    "named in it": "import helpers\ndef f(): return helpers.g()",
    "imported by name": "from helpers import g\ndef f(): return g()",
    "imported inside": "def f():\n import helpers\n return helpers.g()",
    "imported inside by name": "def f():\n from helpers import g\n return g()",
}


@pytest.mark.parametrize("how", [how for how in OTHERS if how != "imported inside"])
def test_it_changes_with_a_function_of_another_module_of_the_users(of, how):
    assert of("def g(): return 1", OTHERS[how]) != of("def g(): return 2", OTHERS[how])


@pytest.mark.parametrize("how", [how for how in OTHERS if how != "imported inside"])
def test_it_does_not_change_with_what_it_does_not_use_of_another_module(of, how):
    used = "def g(): return 1\n"
    assert of(f"{used}N = 1", OTHERS[how]) == of(f"{used}N = 2", OTHERS[how])


def test_a_module_that_is_imported_inside_counts_by_its_whole_text(load, tmp_path):
    found = []
    for number in (1, 1, 2):
        program = load("", OTHERS["imported inside"])
        sys.modules["helpers"].__file__ = str(tmp_path / "helpers.py")
        (tmp_path / "helpers.py").write_text(f"def g(): return {number}")
        found.append(fingerprint(program.f))
    assert found[0] == found[1] != found[2]


SAME = {
    "a comment and a blank line": ("def f():\n return 1", "def f():\n\n # said\n return 1"),
    "a function that it does not call": (
        "def g(): return 1\ndef f(): return 1",
        "def g(): return 2\ndef f(): return 1",
    ),
    "a global that it does not name": ("N = 1\ndef f(): return 1", "N = 2\ndef f(): return 1"),
    "the order of a dict": ("D = {'a': 1, 'b': 2}\ndef f(): return D", "D = {'b': 2, 'a': 1}\ndef f(): return D"),
    "a logger's name": (
        "import logging\nL = logging.getLogger('a')\ndef f(): L.info('')",
        "import logging\nL = logging.getLogger('b')\ndef f(): L.info('')",
    ),
}


@pytest.mark.parametrize("what", SAME)
def test_it_does_not_change_with(of, what):
    before, after = SAME[what]
    assert of(before) == of(after)


def test_it_follows_a_global_that_is_set_while_the_program_runs(load):
    program = load("N = 1\nD = {'a': 1}\ndef g(): return N, D\ndef f(): return g()")
    found = [fingerprint(program.f)]
    program.N = 2
    found.append(fingerprint(program.f))
    program.D["a"] = 2
    found.append(fingerprint(program.f))
    program.D["a"], program.N = 1, 1
    assert len(set(found)) == 3
    assert fingerprint(program.f) == found[0]


def test_it_follows_a_method_that_is_put_in_place_of_another(load):
    program = load("class C:\n def m(self): return 1\ndef f(): return C().m()")
    before = fingerprint(program.f)
    program.C.m = lambda self: 2
    assert fingerprint(program.f) != before


def test_what_has_no_durable_form_counts_by_its_type(load):
    program = load("lock = None\ndef f(): return lock")
    found = set()
    for lock in (threading.Lock(), threading.Lock()):
        program.lock = lock
        found.add(fingerprint(program.f))
    program.lock = threading.RLock()
    assert fingerprint(program.f) not in found
    assert len(found) == 1


def test_a_library_counts_by_its_version(load, monkeypatch):
    program = load("import msgspec\ndef f(): return msgspec.json.encode(1)")
    before = fingerprint(program.f)
    monkeypatch.setattr(module, "_version_of", lambda name: "0.0.1")
    assert fingerprint(program.f) != before


def test_what_is_to_be_ignored_is_not_followed_wherever_it_is_read(load):
    program = load("C = {'n': 1}\nN = 1\ndef g(): C['n'] += 1\ndef f(): return g(), N")
    before = fingerprint(program.f, ["C"])
    program.C["n"] = 2
    assert fingerprint(program.f, ["C"]) == before
    program.N = 2
    assert fingerprint(program.f, ["C"]) != before


def test_an_ignored_name_that_is_read_nowhere_is_refused(load):
    program = load("N = 1\ndef f(): return N")
    with pytest.raises(UsageError, match="'M' is no parameter of it, and no global that it reads"):
        fingerprint(program.f, ["M"])


def test_who_reaches_too_much_is_told_so(load, monkeypatch):
    program = load("class C: pass\nA = [C() for _ in range(50)]\ndef f(): return A")
    monkeypatch.setattr(module, "MOST_OBJECTS", 40)
    with pytest.raises(TooMuch, match="more than 40"):
        fingerprint(program.f)
