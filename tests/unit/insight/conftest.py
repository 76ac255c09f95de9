from __future__ import annotations

import pytest

from .writing import Writer


@pytest.fixture
def write():
    return Writer()
