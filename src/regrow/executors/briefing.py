"""What a worker is given to begin with: its size, its place in the run, and what it must know that is nobody else's."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from regrow.engine.driver import Driver
from regrow.errors import StoreError, UsageError
from regrow.executors.limits.machine import Machine
from regrow.executors.messages import Job, Start
from regrow.journal.blobs import FileBlobs
from regrow.journal.sizes import suggested_memory
from regrow.values.resources import Resources
from regrow.values.secret import Secret
from regrow.values.sizes import readable_size


def most_memory(job: Job, host: Machine) -> int:
    """Give the largest memory limit that a job could ever be given, in bytes."""
    bounds = (host.memory, job.most, job.on_oom.max if job.on_oom is not None else None)
    return min(bound for bound in bounds if bound is not None)


def sized(driver: Driver, job: Job, host: Machine) -> tuple[Resources, str]:
    """Give what a job begins with, and where its memory limit comes from if not from its task's own options."""
    resources = job.resources
    if resources.memory is None or not job.right_size or job.on_oom is None:
        return resources, ""  # a limit that may not grow is the author's last word
    try:
        seen = driver.around.sizes(job.code.ref, class_of(job.input_size), driver.project)
    except StoreError:
        return resources, ""  # what is remembered helps; it is not needed
    best = suggested_memory(seen, resources.memory)
    if best is None or best.memory > most_memory(job, host):
        return resources, ""
    why = f"run {best.run} has needed {readable_size(best.memory)} with inputs of this size"
    return msgspec.structs.replace(resources, memory=best.memory), why


def class_of(size: int) -> int:
    """Give the class of inputs of so many bytes: each is twice as wide as the one before."""
    return size.bit_length()


def brief(
    driver: Driver,
    job: Job,
    host: Machine,
    scratch: Path,
    *,
    gpus: tuple[str, ...],
    may_grow: bool,
    enforced_by: tuple[str, ...],
) -> Start:
    """Write what a worker is told first.

    Args:
        driver: of the run.
        job: what it runs, with the resources that it was placed with.
        host: where.
        scratch: its scratch folder.
        gpus: the devices that it alone may see.
        may_grow: whether it is held at its memory limit, to be given more.
        enforced_by: what holds it to its limits from outside.

    Raises:
        UsageError: a secret that it is to have is not there.
    """
    state, blobs = driver.log.state, driver.vault.blobs
    path, memory = job.call.path, job.resources.memory
    own = [state.calls[path]] if path in state.calls else []
    return Start(
        run=driver.run,
        job=job,
        known=[*own, *state.inside(path)],
        seq=state.seq,
        detour=state.detour,
        began=state.began,
        spent=state.spent,
        bounds=driver.bounds,
        project=driver.project,
        forked=state.forked,
        strict=driver.strict,
        ceiling=host.memory,
        secrets={name: _secret(name, job.name) for name in job.secrets},
        blobs=str(blobs.folder.absolute()) if isinstance(blobs, FileBlobs) else None,
        scratch=str(scratch),
        gpus=gpus,
        # Refused in band means the user's own traceback; a worker that can be held has something better to come.
        data_limit=most_memory(job, host) if may_grow and memory is not None else memory,
        enforced_by=enforced_by,
    )


def _secret(name: str, task: str) -> str:
    """Give a secret's value, which from now on is blanked out of everything that this process writes down."""
    if name not in os.environ:
        raise UsageError(f"{task}: secrets=[{name!r}] is not in the driver's environment; set it before the run begins")
    return Secret.from_env(name).reveal()
