"""regrow runs AI agents that survive.

An agent is plain Python. `task` and `step` make its functions recorded, `run` executes one so that a killed process, a
crash or a failure never repeats what was done. See the README for a first agent and docs/design.md for how it works.
"""

from regrow._version import __version__
from regrow.authoring.context import Current, current, now, sleep
from regrow.authoring.mapping import map  # noqa: A004 - users write regrow.map
from regrow.authoring.recorded import storable
from regrow.authoring.run import Handle, run, start
from regrow.authoring.step import Step, step
from regrow.authoring.task import Environment, Task, task
from regrow.engine.calls import DidNotHappen, Happened
from regrow.engine.driver import Tally
from regrow.errors import (
    Corrupted,
    Divergence,
    Failure,
    ForeignError,
    KeyConflict,
    LeaseLost,
    NotInRun,
    NotStorable,
    OutcomeUnknown,
    RegrowError,
    RunCancelled,
    RunError,
    RunHeld,
    RunOver,
    StoreError,
    StoreUnavailable,
    StreamCut,
    TimedOut,
    UnknownRun,
    UnreadableFormat,
    UsageError,
)
from regrow.values.backoff import Backoff
from regrow.values.durations import Duration
from regrow.values.files import Dir, File
from regrow.values.secret import Secret

__all__ = [
    "Backoff",
    "Corrupted",
    "Current",
    "DidNotHappen",
    "Dir",
    "Divergence",
    "Duration",
    "Environment",
    "Failure",
    "File",
    "ForeignError",
    "Handle",
    "Happened",
    "KeyConflict",
    "LeaseLost",
    "NotInRun",
    "NotStorable",
    "OutcomeUnknown",
    "RegrowError",
    "RunCancelled",
    "RunError",
    "RunHeld",
    "RunOver",
    "Secret",
    "Step",
    "StoreError",
    "StoreUnavailable",
    "StreamCut",
    "Tally",
    "Task",
    "TimedOut",
    "UnknownRun",
    "UnreadableFormat",
    "UsageError",
    "__version__",
    "current",
    "map",
    "now",
    "run",
    "sleep",
    "start",
    "step",
    "storable",
    "task",
]

# One flat public namespace: where a name is defined is nobody's business, in tracebacks and in pickled references
# alike.
for _value in [globals()[name] for name in __all__]:
    if callable(_value):
        _value.__module__ = __name__
del _value
