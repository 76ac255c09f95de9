from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from regrow.codec import registry


def _load(name):
    # Tests are collected with importlib mode, which makes no sibling importable.
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name("shapes.py"))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    registry.learn(module.step)
    return module


_SHAPES = _load("codec_shapes")


@pytest.fixture(scope="session")
def shapes():
    return _SHAPES
