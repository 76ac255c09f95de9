"""What runs on the host that is taken away."""

from __future__ import annotations

import time

import regrow


@regrow.task(isolate=True)
def train(epochs: int) -> list[tuple[int, int]]:
    """Give the epochs with the attempt that each was made in; preempted, save and leave."""
    saved = regrow.checkpoint()
    done: list[tuple[int, int]] = saved.load([])
    try:
        while len(done) < epochs:
            done.append((len(done), regrow.current().attempt))
            time.sleep(0.02)
            if len(done) == 3 and regrow.current().attempt == 1:
                time.sleep(30)  # the notice comes now
    except regrow.Preempted as notice:
        if notice.source == "aws":
            saved.save(done)
        raise
    return done


@regrow.task
async def agent(epochs: int) -> list[tuple[int, int]]:
    return await train.aio(epochs)
