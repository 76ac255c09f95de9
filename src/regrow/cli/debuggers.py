"""The debuggers under which a rehearsal can be looked at: pdb in this terminal, or debugpy for an editor."""

from __future__ import annotations

import importlib
import pdb  # noqa: T100 - this is where a user asks for it
import sys
import threading
import traceback
import types
from typing import Any, Protocol

from regrow.cli.session import Mistake, say
from regrow.codec.frames import is_own

_NOT_THE_AUTHORS = ("regrow.*", "asyncio.*", "concurrent.futures.*", "contextlib")
"""Modules that stepping passes by."""


class Debugger(Protocol):
    """Shows the author a place in their code, and lets them look around.

    Attributes:
        live: whether they want to go on for real.
        stopped: whether anything was shown at all.
        is_left: whether they have had enough.
    """

    live: bool
    stopped: bool
    is_left: bool

    def stop_in(self, frame: types.FrameType) -> None:
        """Stop at the next line of a frame; they may step on from there."""
        ...

    def show(self, frame: types.FrameType) -> None:
        """Show a frame that nothing comes after."""
        ...

    def post_mortem(self, error: BaseException) -> None:
        """Show where an exception arose, in the author's own code."""
        ...


class Pdb:
    """pdb, in this terminal."""

    def __init__(self) -> None:
        """Begin with nothing shown."""
        self.live = self.stopped = self.is_left = False

    def stop_in(self, frame: types.FrameType) -> None:
        """See `Debugger.stop_in`."""
        self.stopped = True
        _Prompt(self).set_trace(frame)

    def show(self, frame: types.FrameType) -> None:
        """See `Debugger.show`."""
        self._interact(frame, None)

    def post_mortem(self, error: BaseException) -> None:
        """See `Debugger.post_mortem`."""
        trace = own_part(error.__traceback__)
        if trace is None:
            traceback.print_exception(error)
        else:
            self._interact(None, trace)

    def _interact(self, frame: types.FrameType | None, trace: types.TracebackType | None) -> None:
        self.stopped = True
        prompt = _Prompt(self)
        prompt.reset()
        try:
            prompt.interaction(frame, trace)
        except RuntimeError as problem:  # what `input` says where there is none
            if sys.stdin is not None and not sys.stdin.closed:
                raise
            raise Mistake(f"there is nobody to type at the debugger ({problem}); try --debugger debugpy") from None


class _Prompt(pdb.Pdb):
    """pdb with one command more, that passes by what is not the author's."""

    def __init__(self, debugger: Pdb) -> None:
        super().__init__(skip=_NOT_THE_AUTHORS, nosigint=True)
        self.prompt = "(regrow) "
        self._debugger = debugger

    def stop_here(self, frame: types.FrameType) -> bool:
        """Stop in the author's own code alone: what answers a call from the journal goes through the library's too."""
        return is_own(frame.f_code.co_filename) and super().stop_here(frame)

    def do_live(self, argument: str) -> Any:
        """Leave the debugger, and go on with the run for real, with the code as it is now."""
        self._debugger.live = True
        return self.do_quit(argument)

    def set_quit(self) -> None:
        self._debugger.is_left = True
        super().set_quit()


class Debugpy:
    """debugpy, for an editor that speaks the Debug Adapter Protocol. Going on for real is not among what that knows."""

    def __init__(self, port: int) -> None:
        """Wait until an editor has attached itself, over loopback.

        Raises:
            Mistake: debugpy is not installed, or the port is in use.
        """
        self.live = self.stopped = self.is_left = False
        try:
            import debugpy  # noqa: PLC0415, T100 - asked for, and not there unless the extra is installed
        except ModuleNotFoundError:
            raise Mistake("debugpy is not installed: pip install 'regrow[debug]', or leave --debugger out") from None
        self._debugpy: Any = debugpy
        try:
            host, port = debugpy.listen(("127.0.0.1", port))  # noqa: T100 - likewise
        except (OSError, RuntimeError) as problem:
            raise Mistake(f"debugpy cannot listen on port {port}: {problem}; name another with --port") from None
        say(f"waiting for a debugger at {host}:{port}")
        debugpy.wait_for_client()  # noqa: T100 - likewise

    def stop_in(self, frame: types.FrameType) -> None:
        """See `Debugger.stop_in`."""
        self.stopped = True
        self._pydevd().settrace(stop_at_frame=frame, suspend=True, patch_multiprocessing=False)

    def show(self, frame: types.FrameType) -> None:
        """See `Debugger.show`."""
        self.stop_in(frame)

    def post_mortem(self, error: BaseException) -> None:
        """See `Debugger.post_mortem`. Stops as at an exception that nobody has caught, if the editor asks for those."""
        trace = own_part(error.__traceback__)
        if trace is None:
            traceback.print_exception(error)
            return
        self.stopped = True
        server = self._pydevd().get_global_debugger()
        thread = threading.current_thread()
        info = server.set_additional_thread_info(thread)
        info.is_tracing += 1
        try:
            server.stop_on_unhandled_exception(server, thread, info, (type(error), error, trace))
        finally:
            info.is_tracing -= 1

    def _pydevd(self) -> Any:
        return importlib.import_module("pydevd")  # debugpy brings it, and puts it where it is found


def own_frame(frame: types.FrameType | None) -> types.FrameType | None:
    """Give the nearest frame of the author's own code, from this one outwards."""
    while frame is not None and not is_own(frame.f_code.co_filename):
        frame = frame.f_back
    return frame


def own_part(trace: types.TracebackType | None) -> types.TracebackType | None:
    """Give a traceback that has the author's own frames alone; None if there are none."""
    own = []
    while trace is not None:
        if is_own(trace.tb_frame.f_code.co_filename):
            own.append(trace)
        trace = trace.tb_next
    result: types.TracebackType | None = None
    for one in reversed(own):
        result = types.TracebackType(result, one.tb_frame, one.tb_lasti, one.tb_lineno)
    return result
