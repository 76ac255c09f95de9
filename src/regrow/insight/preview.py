"""Stored values as one line of text, for people, in a process that does not have the code that made them.

Nothing is put together here: a dataclass is shown by its recorded name and fields, whatever that name means today. So
showing a run needs none of its modules, and runs none of their code.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from regrow.codec.codes import FORMAT, NAMED, Code
from regrow.codec.standard import LOAD

_UNREADABLE: Final = "…"
_LONGEST_TEXT: Final = 60
_decode_leaf: Final = msgspec.msgpack.Decoder().decode


class _Shown:
    """Text that stands for a value, and shows itself as it is."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


def preview(data: bytes, *, width: int = 80) -> str:
    """Show an encoded value, shortened to `width` characters; an ellipsis where it cannot be read."""
    return _short(_shown(data, _text), width)


def preview_inputs(data: bytes, *, width: int = 80) -> str:
    """Show a call's recorded inputs as they would be written in a call; empty where none were kept."""
    return _short(_shown(data, _as_arguments), width) if data else ""


def _as_arguments(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}={_text(one)}" for name, one in value.items())
    return ", ".join(map(_text, value)) if isinstance(value, list) else _text(value)


def _shown(data: bytes, text: Callable[[Any], str]) -> str:
    if not data or data[0] != FORMAT:
        return _UNREADABLE
    try:
        return text(_decode(data[1:]))
    except Exception:  # noqa: BLE001 - wrong bytes, or a sound value that Python will not show: a very long number
        return _UNREADABLE


def _decode(payload: bytes | memoryview) -> Any:
    return msgspec.msgpack.decode(payload, ext_hook=_ext)


def _ext(number: int, payload: memoryview) -> object:
    leaf = LOAD.get(number)
    if leaf is not None:
        return leaf(_decode_leaf(payload))
    code = Code(number)
    content = _decode(payload)
    if code in NAMED:
        return _Shown(_named(code, *content))
    match code:
        case Code.TUPLE:
            return tuple(content)
        case Code.SET | Code.FROZENSET:
            return _Shown("{" + ", ".join(map(_text, content)) + "}")
        case Code.PAIRS:
            return _Shown("{" + ", ".join(f"{_text(key)}: {_text(value)}" for key, value in content) + "}")
        case Code.FILE:
            return _Shown(f"File({content[0]!r})")
        case Code.DIR:
            return _Shown(f"Dir({len(content)} files)")
        case Code.SECRET:
            return _Shown(f"Secret.from_env({content!r})")
        case Code.REFERENCE:
            return _Shown(str(content).rpartition(":")[2])
        case _:
            return _Shown(f"<{code.name.lower().replace('_', ' ')}>")


def _named(code: Code, name: str, state: Any) -> str:
    short = name.rpartition(":")[2].rpartition(".")[2]
    if code is Code.ENUM:
        return f"{short}.{state}"
    if isinstance(state, dict):
        return f"{short}({', '.join(f'{field}={_text(value)}' for field, value in state.items())})"
    return f"{short}({_text(state)})"


def _text(value: Any) -> str:
    if isinstance(value, _Shown):
        return value.text
    if isinstance(value, str):
        return repr(value if len(value) <= _LONGEST_TEXT else value[: _LONGEST_TEXT - 1] + "…")
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    if isinstance(value, list):
        return f"[{', '.join(map(_text, value))}]"
    if isinstance(value, tuple):
        return f"({', '.join(map(_text, value))}{',' if len(value) == 1 else ''})"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_text(key)}: {_text(one)}" for key, one in value.items()) + "}"
    return repr(value)


def _short(text: str, width: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= width else line[: max(1, width - 1)] + "…"
