"""What holds for every test: its tier's marker, and a home of its own. And where campaigns leave their figures."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from regrow.authoring import home
from regrow.journal.sqlite import SqliteStore

_HERE = Path(__file__).parent
_TIERS = frozenset(("unit", "sim", "store", "process", "e2e", "security"))


def pytest_collection_modifyitems(items):
    for item in items:
        folder = item.path.relative_to(_HERE).parts[0]
        if folder in _TIERS and item.get_closest_marker(folder) is None:
            item.add_marker(folder)


@pytest.fixture
def figures(record_property):
    """Hand over what a campaign measured, before it is judged. `python -m reliability` makes a page of it."""
    return lambda measured: record_property("figures", msgspec.to_builtins(measured))


@pytest.fixture(autouse=True)
def regrow_home(tmp_path, monkeypatch):
    """Let no test find another's runs, or leave its own in the working directory."""
    place = tmp_path / "regrow-home"
    monkeypatch.setenv("REGROW_HOME", str(place))
    monkeypatch.chdir(tmp_path)
    before = set(home._hosts)
    yield place
    for key in set(home._hosts) - before:
        host = home._hosts[key]
        home.forget(host)
        if isinstance(host.store, SqliteStore):
            host.store.close()
