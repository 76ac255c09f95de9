"""Version 2 of cgroups, on any host: in User-Mode Linux, a kernel that runs as a process and needs no rights.

Most hosts have either version, and a test that only ever meets one of them says nothing of the other. This boots a
kernel that has version 2 alone, with the host's own files as its root, and runs `test_cgroups` in it. The kernel comes
with Debian's package `user-mode-linux`.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

_HERE = Path(__file__).parent
_KERNEL = shutil.which("linux.uml")
_COMPILER = shutil.which("cc")

# The tests run in a group of their own below the root: it may not hold processes and have groups with limits below it,
# so the driver has to find its way out of it. All output is written to a file, as the kernel has no console.
_INIT = """#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir /sys/fs/cgroup/container
cd {root}
PATH={path} HOME={folder} PYTHONDONTWRITEBYTECODE=1 sh -c 'echo $$ > /sys/fs/cgroup/container/cgroup.procs
    exec "$@"' sh {command} > {folder}/output 2>&1 < /dev/null
echo $? > {folder}/exit
echo o > /proc/sysrq-trigger
sleep 60
"""


@pytest.mark.promise("P6")
@pytest.mark.skipif(_KERNEL is None, reason="User-Mode Linux (Debian: user-mode-linux) is not installed")
def test_the_same_holds_under_cgroup_v2(tmp_path):
    tests = shlex.join([str(_HERE / "test_cgroups.py"), f"--basetemp={tmp_path / 'inside'}"])
    init = tmp_path / "init"
    init.write_text(
        _INIT.format(
            root=shlex.quote(str(_HERE.parents[1])),
            path=shlex.quote(os.environ["PATH"]),
            folder=shlex.quote(str(tmp_path)),
            command=f"{shlex.quote(sys.executable)} -m pytest -q -rs -p no:cacheprovider {tests}",
        )
    )
    init.chmod(0o700)
    boot(init, tmp_path)
    output = tmp_path / "output"
    said = (
        output.read_text("utf-8", "replace") if output.exists() else (tmp_path / "boot").read_text("utf-8", "replace")
    )
    assert (tmp_path / "exit").exists(), said
    assert (tmp_path / "exit").read_text("ascii").strip() == "0", said
    assert "passed" in said
    assert "skipped" not in said


def boot(init, folder):
    environment = dict(os.environ)
    if _COMPILER is not None:
        library = folder / "wide_registers.so"
        subprocess.run([_COMPILER, "-O1", "-shared", "-fPIC", "-o", library, _HERE / "wide_registers.c"], check=True)
        environment["LD_PRELOAD"] = str(library)
    with (folder / "boot").open("wb") as log:
        kernel = subprocess.Popen(
            [
                *(_KERNEL, "mem=768M", "rootfstype=hostfs", "rootflags=/", "rw", f"init={init}"),
                *("con=null", "con0=null,fd:1", f"uml_dir={folder}"),
            ],
            env=environment | {"TMPDIR": str(folder)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            kernel.wait(timeout=280)
        finally:
            if kernel.poll() is None:
                os.killpg(kernel.pid, signal.SIGKILL)
                kernel.wait()
