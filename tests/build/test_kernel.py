# SPDX-License-Identifier: GPL-2.0-only
"""Apply, configure, build: the whole path on the toy kernel, and its bad ends."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness.build import make
from harness.build.folder import MARKER
from harness.build.kernel import build
from harness.build.make import Warned
from harness.core.errors import InvocationError, MachineError, SeriesError
from harness.core.events import Note, StageProgress
from harness.core.settings import PROJECT
from harness.core.store import Store
from tests.support.recorder import Recorder
from tests.support.toy import WISH, Toy, grow

OBJECTS = ["init/main.o", "mm/madvise.o", "mm/swap.o"]
NEW = ("new", {"mm/volatile.c": "#include <linux/mm.h>\nint volatile_one(void) { return 1; }\n"})


def test_the_whole_path(toy: Toy, recorder: Recorder) -> None:
    kernel = toy.build(toy.series(NEW), bzimage=True)
    assert toy.made() == [*OBJECTS, "mm/volatile.o"]
    assert (kernel.release, len(kernel.compiled), kernel.cached) == ("6.1.7", 4, False)
    assert kernel.vmlinux.read_bytes()[:4] == b"\x7fELF"
    assert "volatile_one" in kernel.system_map.read_text()
    assert "CONFIG_SWAP=y" in kernel.config.text
    assert "CC      mm/volatile.o" in kernel.log.read_text()
    assert kernel.bzimage is not None
    assert kernel.bzimage.is_file()
    assert kernel.image == kernel.bzimage
    progress = [e for e in recorder.seen if isinstance(e, StageProgress) and e.name == "build"]
    assert [e.done for e in progress] == [1, 2, 3, 4]
    assert {e.unit for e in progress} == {"objects"}


def test_nothing_changed_nothing_done(toy: Toy) -> None:
    folder = toy.series(NEW)
    toy.build(folder)
    toy.made()
    kernel = toy.build(folder)
    assert kernel.cached
    assert toy.made() == []


def test_only_what_changed_is_compiled(toy: Toy) -> None:
    toy.build(toy.series(NEW))
    toy.made()
    toy.build(toy.series(NEW, ("more", {"mm/swap.c": grow})))
    assert toy.made() == ["mm/swap.o"]
    toy.build(toy.series(("header", {"include/linux/mm.h": lambda t: t + "\n"}), NEW))
    assert toy.made() == [*OBJECTS, "mm/volatile.o"]


def test_going_back_compiles_what_differs(toy: Toy) -> None:
    first = toy.build(toy.series(("more", {"mm/swap.c": grow})))
    toy.made()
    other = "int swap_in(int p) { return p; }\nint swap_out(int p) { return p; }\n"
    second = toy.build(toy.series(("other", {"mm/swap.c": other})))
    assert toy.made() == ["mm/swap.o"]
    assert first.vmlinux.read_bytes() != second.vmlinux.read_bytes()
    assert toy.build(toy.series(("more", {"mm/swap.c": grow}))).cached


def test_builds_are_reproducible(toy: Toy) -> None:
    folder = toy.series(NEW)
    first = toy.build(folder)
    toy.store = Store(toy.root / "second-store", 1 << 30)
    second = toy.build(folder)
    assert first.vmlinux.read_bytes() == second.vmlinux.read_bytes()
    assert first.image == first.vmlinux
    assert first.system_map.read_bytes() == second.system_map.read_bytes()


def test_the_callers_environment_does_not_reach_make(
    toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "MAKEFLAGS": " -- ARCH=arm CC=false",
        "ARCH": "x86_64",
        "V": "1",
        "KBUILD_OUTPUT": "/nonexistent",
        "CC": "false",
        "O": "/nonexistent",
    }.items():
        monkeypatch.setenv(name, value)
    assert len(toy.build().compiled) == 3


def without_ccache(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that has everything but ccache, whatever this one has."""
    real = shutil.which

    def which(name: str, path: str | None = None) -> str | None:
        return None if name == "ccache" else real(name, path=path)

    monkeypatch.setattr(shutil, "which", which)


def test_without_ccache_it_builds_as_well(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    without_ccache(monkeypatch)
    assert not toy.bench().toolchain.ccache
    assert len(toy.build().compiled) == 3


# --- compile errors and warnings -----------------------------------------------------


def test_a_compile_error_names_file_and_line(toy: Toy) -> None:
    folder = toy.series(("broken", {"mm/swap.c": lambda t: t.replace("page + 1", "pag + 1")}))
    with pytest.raises(SeriesError) as caught:
        toy.build(folder)
    assert re.search(r"^mm/swap.c:9: error: .pag. undeclared", caught.value.what, re.M)
    assert caught.value.evidence == toy.log
    assert "pag" in toy.log.read_text()
    assert not list((toy.store.root / "kernel").iterdir())
    mended = toy.build(toy.series(("mended", {"mm/swap.c": grow})))
    assert len(mended.compiled) == 3


def test_a_link_error_is_the_series_fault(toy: Toy) -> None:
    folder = toy.series(
        (
            "nolink",
            {"mm/swap.c": lambda t: "int nowhere(void);\n" + t.replace("page + 1", "nowhere()")},
        )
    )
    with pytest.raises(SeriesError, match=r"undefined reference to .nowhere"):
        toy.build(folder)


def test_a_base_that_does_not_build_is_the_invocations_fault(toy: Toy) -> None:
    from tests.support.toy import commit

    commit(toy.tree, {"mm/swap.c": "broken\n"}, "break the base")
    with pytest.raises(InvocationError, match="does not build even without patches"):
        toy.build()


WARNS = ("warns", {"mm/swap.c": lambda t: t.replace("{\n\tif", "{\n\tint fresh;\n\n\tif")})


def test_a_new_warning_is_the_series_fault(toy: Toy) -> None:
    for _ in range(2):  # the second time nothing is compiled, and the verdict stays
        with pytest.raises(SeriesError) as caught:
            toy.build(toy.series(WARNS))
        assert "brings 1 compiler warnings" in caught.value.what
        assert "mm/swap.c:6: warning: unused variable" in caught.value.what


def test_a_new_warning_may_be_told_and_passed_over(toy: Toy) -> None:
    base, applied = toy.apply(toy.series(WARNS))
    config = toy.configure(base, applied)
    for cached in (False, True):
        kernel = build(toy.under_test(base, applied), config, warnings="note")
        assert kernel.cached == cached
        assert kernel.warned is not None
        assert "mm/swap.c:6: warning: unused variable" in kernel.warned
    assert build(toy.under_test(base, applied), config, warnings="ignore").warned is None
    with pytest.raises(SeriesError):  # who does not ask for that does not get such a kernel
        toy.build(toy.series(WARNS))


def test_a_warning_that_the_base_has_is_not(toy: Toy) -> None:
    text = WISH + "CONFIG_TOY_DRIVER=y\n"
    moved = ("moved", {"drivers/driver.c": lambda t: "// more\n// lines\n" + t})
    kernel = toy.build(toy.series(moved), text)
    assert "warning" in kernel.log.read_text()
    with pytest.raises(SeriesError, match="brings 1 compiler warnings") as caught:
        toy.build(toy.series(moved, WARNS), text)
    assert "driver.c" not in caught.value.what


def test_a_warning_in_a_new_file_is_new(toy: Toy) -> None:
    text = "static int unused_one(void) { return 1; }\n"
    with pytest.raises(SeriesError, match=r"mm/volatile.c:1: warning"):
        toy.build(toy.series(("new", {"mm/volatile.c": text})))


def test_a_warning_is_remembered_by_an_object_that_is_not_compiled_again(toy: Toy) -> None:
    with pytest.raises(SeriesError, match="brings 1"):
        toy.build(toy.series(WARNS))
    toy.made()
    with pytest.raises(SeriesError, match="brings 1"):
        toy.build(toy.series(WARNS, ("more", {"mm/madvise.c": grow})))
    assert "mm/swap.o" not in toy.made()
    assert len(toy.build(toy.series(("more", {"mm/madvise.c": grow}))).compiled) == 3


def test_a_warning_in_a_file_that_the_series_no_longer_has(toy: Toy) -> None:
    text = "static int unused_one(void) { return 1; }\n"
    with pytest.raises(SeriesError):
        toy.build(toy.series(("new", {"mm/volatile.c": text})))
    assert len(toy.build(toy.series(("more", {"mm/madvise.c": grow}))).compiled) == 3


def test_a_kill_between_make_and_its_records_does_not_lose_a_warning(
    toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(make, "write_records", killed)
        with pytest.raises(KeyboardInterrupt):
            toy.build(toy.series(WARNS))
    with pytest.raises(SeriesError, match="brings 1"):
        toy.build(toy.series(WARNS))


def test_no_warnings_no_second_worktree(toy: Toy) -> None:
    toy.build(toy.series(NEW))
    assert not (toy.store.root / "work" / "source-base").exists()


# --- the machine ----------------------------------------------------------------------


def fake(toy: Toy, monkeypatch: pytest.MonkeyPatch, name: str, script: str) -> None:
    """Puts a program in front of the real one."""
    folder = toy.root / "bin"
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


def test_a_full_disk_while_compiling(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    base, applied = toy.apply(toy.series(NEW))
    toy.configure(base, applied)
    fake(toy, monkeypatch, "gcc",
         'case "$*" in *" -c "*) echo "as: x.o: No space left on device" >&2; exit 1;; esac\n'
         'exec /usr/bin/gcc "$@"')  # fmt: skip
    without_ccache(monkeypatch)
    with pytest.raises(MachineError, match="disk is full"):
        toy.build(toy.series(NEW))


def test_a_compiler_that_is_killed(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    fake(toy, monkeypatch, "gcc",
         'case "$*" in *" -c "*) echo "gcc: fatal error: Killed signal terminated program cc1" >&2;'
         ' exit 1;; esac\nexec /usr/bin/gcc "$@"')  # fmt: skip
    with pytest.raises(MachineError, match="not enough memory"):
        toy.build(toy.series(NEW))


# --- two runs at once, kills --------------------------------------------------------------

RUN = """
import signal
# A shell without job control has its background jobs ignore it, and they hand that on.
signal.signal(signal.SIGINT, signal.default_int_handler)
import sys
from pathlib import Path
from harness.core.events import Events
from harness.core.store import Store
from tests.support.toy import Toy
root = Path(sys.argv[1])
toy = Toy(root, root / "linux", Store(root / "store", 1 << 30), Events())
kernel = toy.build(Path(sys.argv[2]))
print(kernel.cached, len(kernel.compiled))
"""


def start(toy: Toy, folder: Path) -> subprocess.Popen[str]:
    """The whole path in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", RUN, str(toy.root), str(folder)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=PROJECT,
        env={**os.environ, "PYTHONPATH": f"{PROJECT}:{PROJECT}/tests"},
    )


def test_two_runs_of_the_same_build_do_it_once(toy: Toy) -> None:
    folder = toy.series(NEW)
    runs = [start(toy, folder) for _ in range(2)]
    said = sorted(run.communicate()[0].strip() for run in runs)
    assert said == ["False 4", "True 4"]


def test_two_runs_of_different_series_do_not_mix(toy: Toy) -> None:
    toy.base()
    one = toy.series(("one", {"mm/volatile_a.c": "int a;\n"}), name="one")
    two = toy.series(("two", {"mm/volatile_b.c": "int b;\n"}), name="two")
    runs = [start(toy, folder) for folder in (one, two)]
    assert [run.communicate()[0].strip() for run in runs] == ["False 4", "False 4"]
    assert "volatile" not in toy.build().log.read_text()


SLOW_GCC = """
case "$*" in *swap.c*)
  printf half > "$(echo "$*" | sed 's/.* -o \\([^ ]*\\).*/\\1/')"
  echo > {ready}; exec sleep 3600;;
esac
exec /usr/bin/gcc "$@"
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_kill_in_the_middle_of_make_leaves_nothing_half_made(
    toy: Toy, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    toy.build(toy.series(NEW))
    folder = toy.series(NEW, ("more", {"mm/swap.c": grow}))
    ready = toy.store.root / "ccache" / "ready"  # where a compiler in the sandbox may write
    os.mkfifo(ready)
    with monkeypatch.context() as patch:
        fake(toy, patch, "ccache", SLOW_GCC.format(ready=ready))
        run = start(toy, folder)
        ready.read_text()
        # As a power cut would: make gets no chance to delete what is half written.
        (out,) = (toy.store.root / "work" / "build").iterdir()
        half = out / "mm/swap.o"
        assert half.read_text() == "half"
        run.send_signal(number)
        run.communicate()
    assert (out / MARKER).exists()
    half.write_text("half")
    kernel = toy.build(folder)
    assert "grown" in kernel.system_map.read_text()
    assert not (out / MARKER).exists()


def test_a_worktree_made_anew_empties_the_build_folder(toy: Toy, recorder: Recorder) -> None:
    toy.build(toy.series(("more", {"mm/swap.c": grow})))
    (shop,) = (toy.store.root / "work" / "source").iterdir()
    toy.store._remove_unused(shop)
    toy.made()
    kernel = toy.build()
    assert toy.made() == OBJECTS
    assert "grown" not in kernel.system_map.read_text()
    assert not recorder.of(Note)


def test_warnings_print_as_a_compiler_does() -> None:
    assert str(Warned("a.c", 3, "x")) == "a.c:3: warning: x"
    assert str(Warned("a.o", 0, "objtool: x")) == "a.o: warning: objtool: x"
