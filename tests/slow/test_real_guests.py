# SPDX-License-Identifier: GPL-2.0-only
"""Real guests, of the default kernel with our series: the one that `make test-kernel` boots.

It is built where the user's store does not have it: minutes for the first time.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from harness.build.kernel import KernelBuild
from harness.core.errors import SeriesError
from harness.core.events import Events
from harness.core.settings import from_environment
from harness.core.store import Store
from harness.image.rootfs import Rootfs, build_rootfs
from harness.run.pipeline import prepare
from harness.run.session import Session, run_session
from harness.vm.accel import KvmVerdict, choose_accel
from harness.vm.boot import Patience, boot, save
from harness.vm.channel import SshError
from harness.vm.guest import Guest
from harness.vm.guests import Guests
from harness.vm.machine import GuestSpec
from harness.vm.qemu import Monitor
from harness.vm.ssh import KeyPair
from harness.vm.swap_disk import find_tags
from tests.support.limits import NEVER_S, wait_gone

PROJECT = Path(__file__).resolve().parents[2]
KEYS = KeyPair.generate()
BEGUN = time.time()
PATIENT = Patience(stall=1800.0, total=3600.0, login=1800.0)
LONG_S = 3600.0  # for a case that ends by itself
PACE = 100.0  # how much slower than the reference a guest may be here

# An init with a getty, as small as they come.
INIT = """#!/bin/sh
mount -t devtmpfs dev /dev; mount -t proc proc /proc; mount -t sysfs sys /sys
mount -t tmpfs run /run; mkdir -p /dev/pts; mount -t devpts devpts /dev/pts
exec < /dev/ttyS0 > /dev/ttyS0 2>&1
while :; do
    echo; printf 'toy login: '; read user
    [ "$user" = root ] && PS1='toy# ' setsid -c sh -i
done
"""


@pytest.fixture(scope="module")
def rootfs() -> Rootfs:
    chosen = from_environment()
    return build_rootfs(chosen, Store(chosen.cache, chosen.cache_limit), Events())


def built(out: Path, *, bzimage: bool = False) -> KernelBuild:
    """The kernel, from the store or built now."""
    found: list[KernelBuild] = []

    def body(session: Session) -> None:
        found.append(prepare(session).kernel)

    store = {name: value for name, value in os.environ.items() if name.startswith("HARNESS_CACHE")}
    settings = replace(from_environment(store), out=out, machine="q35" if bzimage else "auto")
    assert run_session(settings, "test-kernel", body).code == 0
    return found[0]


@pytest.fixture(scope="module")
def spec(rootfs: Rootfs, tmp_path_factory: pytest.TempPathFactory) -> GuestSpec:
    vmlinux = built(tmp_path_factory.mktemp("built")).vmlinux
    folder = tmp_path_factory.mktemp("accel")
    kvm = KvmVerdict(folder)
    made = GuestSpec(vmlinux, "microvm", choose_accel("auto", kvm).accel, rootfs.image,
                     rootfs.host_key)  # fmt: skip
    with Guests(made, folder, Events(), kvm) as guests:
        guests.fresh()
        return guests.spec


@pytest.fixture(scope="module")
def first(spec: GuestSpec, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    """One cold boot, used only by tests that leave the guest as it is."""
    guest = boot(spec, tmp_path_factory.mktemp("first"), "first", KEYS, patience=PATIENT)
    guest.pace = PACE
    yield guest
    guest.close()


@pytest.fixture(scope="module")
def snapshot(first: Guest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    state = tmp_path_factory.mktemp("state") / "it's a state"
    save(first, state)
    return state


def restored(first: Guest, state: Path, folder: Path, name: str) -> Guest:
    return boot(first.spec, folder, name, KEYS, state=state, patience=PATIENT)


@pytest.fixture
def guest(first: Guest, snapshot: Path, tmp_path: Path) -> Iterator[Guest]:
    made = restored(first, snapshot, tmp_path, "guest")
    made.pace = PACE
    yield made
    made.close()


def sh(guest: Guest, line: str, seconds: float = NEVER_S) -> str:
    done = guest.exec(line, seconds)
    assert done.exit_code == 0, (line, done)
    return done.stdout


def clock_of(guest: Guest, set_since: float) -> None:
    """The guest's clock was set to the host's, after that time of the host's clock."""
    assert set_since - 1 <= float(sh(guest, "date +%s")) <= time.time() + 1


def crash(kind: str) -> list[str]:
    return ["sh", "-c", f"echo {kind} > /sys/kernel/debug/provoke-crash/DIRECT; echo ok"]


@pytest.mark.slow
class TestRealGuests:
    def test_a_healthy_boot_has_no_splat(self, first: Guest) -> None:
        assert first.splats() == ()
        assert first.trustworthy and len(first.boot_id) == 36

    def test_what_a_guest_offers(self, first: Guest) -> None:
        mounts = sh(first, "cat /proc/mounts")
        for where in (
            "/proc",
            "/sys",
            "/dev/pts",
            "/run",
            "/tmp",
            "/sys/fs/cgroup",
            "/sys/kernel/debug",
        ):
            assert f" {where} " in mounts
        assert "memory" in sh(first, "cat /sys/fs/cgroup/cgroup.subtree_control")
        assert sh(first, "python3 -c 'import ctypes, json, hashlib; print(2)'") == "2\n"
        assert sh(first, "nproc") == f"{first.spec.cpus}\n"
        clock_of(first, BEGUN)
        assert " ro," in mounts.splitlines()[0] or "ro" in mounts.split()[3]

    def test_the_only_way_in_is_the_runs_own_key(self, first: Guest) -> None:
        keys = sh(first, "cat /root/.ssh/authorized_keys").splitlines()
        assert len(keys) == 1 and KEYS.public in keys[0]

    def test_a_case_passes_and_fails_with_its_own_status(self, guest: Guest) -> None:
        assert guest.run_case("a::ok", ["true"], LONG_S).exit_code == 0
        run = guest.run_case("a::bad", ["sh", "-c", "echo out; echo err >&2; exit 7"], LONG_S)
        assert (run.exit_code, run.stdout, run.stderr) == (7, "out\n", "err\n")
        assert guest.run_case("a::dies", ["sh", "-c", "kill -11 $$"], LONG_S).exit_code == 139
        missing = guest.run_case("a::none", ["/no/such/program"], LONG_S)
        assert missing.exit_code == 127 and "No such file" in missing.stderr

    def test_nothing_of_a_case_stays_behind(self, guest: Guest) -> None:
        daemon = (
            "mkfifo /run/begun; (setsid sh -c 'echo > /run/begun; exec sleep 987' "
            ">/dev/null 2>&1 &) ; read line < /run/begun; echo started"
        )
        assert guest.run_case("a::daemon", ["sh", "-c", daemon], LONG_S).stdout == "started\n"
        assert "sleep 987" not in sh(guest, "ps")

    def test_a_hung_case_is_ended_alone_and_says_where_it_was(self, guest: Guest) -> None:
        run = guest.run_case("a::hangs", ["sh", "-c", "trap '' TERM INT; sleep 987"], 1.0)
        assert run.timed_out and not run.lost
        assert "nanosleep" in run.stderr
        assert guest.trustworthy and "sleep 987" not in sh(guest, "ps")
        assert guest.run_case("a::next", ["true"], LONG_S).exit_code == 0

    def test_a_warning_belongs_to_its_case_and_speaks_again(self, guest: Guest) -> None:
        once = crash("REFCOUNT_INC_OVERFLOW")
        first_run = guest.run_case("a::one", once, LONG_S)
        quiet = guest.run_case("a::two", ["true"], LONG_S)
        again = guest.run_case("a::three", once, LONG_S)
        assert [s.category for s in first_run.splats] == ["warning"]
        assert quiet.splats == ()
        assert [s.title for s in again.splats] == [s.title for s in first_run.splats]
        assert guest.trustworthy

    def test_a_lost_network_is_explained_by_a_shell_on_the_console(
        self, guest: Guest, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # No network answers however long it is asked.
        monkeypatch.setattr("harness.vm.guest.PING", 1.0 / PACE)
        down = "ip link set eth0 down; exec sleep 987"
        run = guest.run_case("a::down", ["sh", "-c", down], 1.0)
        assert run.lost.startswith("the network to the guest is gone") and run.splats == ()
        assert run.evidence is not None
        said = run.evidence.read_text()
        assert "/harness/init" in said and "dropbear" in said
        assert "eth0: <BROADCAST> " in said  # and not UP
        assert "sysrq t (all tasks): no answer" not in said

    def test_out_of_memory_is_forgiven_where_it_was_wanted(self, guest: Guest) -> None:
        hog = (
            "mkdir -p /sys/fs/cgroup/hog; cd /sys/fs/cgroup/hog; echo 16M > memory.max; "
            "echo 0 > memory.swap.max; (echo 0 > cgroup.procs; "
            "exec python3 -c 'bytearray(64 << 20)'); true"
        )
        wanted = guest.run_case("a::oom", ["sh", "-c", hog], LONG_S, oom_expected=True)
        assert [(s.category, s.expected) for s in wanted.splats] == [("oom", True)]
        unwanted = guest.run_case("a::oom", ["sh", "-c", hog], LONG_S)
        assert [(s.category, s.expected) for s in unwanted.splats] == [("oom", False)]

    def test_no_byte_of_the_console_is_lost_when_the_reader_is_slow(
        self, guest: Guest, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(guest.console, "_on_line", lambda line: time.sleep(0.003))
        flood = (
            "i=0; while [ $i -lt 1000 ]; do echo line $i of the flood > /dev/kmsg; i=$((i+1)); done"
        )
        sh(guest, flood)
        assert guest.console.wait_for("line 999 of the flood", NEVER_S)
        text = guest.console.text()
        assert [i for i in range(1000) if f"] line {i} of the flood\n" not in text + "\n"] == []

    def test_each_restored_guest_is_its_own(
        self, snapshot: Path, first: Guest, tmp_path: Path
    ) -> None:
        randoms = set()
        for number in range(3):
            before = time.time()
            one = restored(first, snapshot, tmp_path, f"r{number}")
            try:
                randoms.add(sh(one, "head -c 16 /dev/urandom | hexdump"))
                assert one.boot_id == first.boot_id
                clock_of(one, before)
            finally:
                one.close()
        assert len(randoms) == 3

    def test_a_restored_guest_does_not_go_on_before_we_listen(
        self, first: Guest, snapshot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        greet = Monitor.greet

        def late(monitor: Monitor, timeout: float) -> None:
            time.sleep(2)  # the fault that is put in; reading a state takes 0.2
            greet(monitor, timeout)

        monkeypatch.setattr(Monitor, "greet", late)
        restored(first, snapshot, tmp_path, "late").close()

    def test_the_first_guest_goes_on_after_its_snapshot(self, snapshot: Path, first: Guest) -> None:
        assert snapshot.stat().st_size > 1 << 20
        assert sh(first, "echo alive") == "alive\n"

    def test_the_swap_disk_is_fresh_and_the_host_finds_tags_in_it(self, guest: Guest) -> None:
        assert find_tags(guest.swap_image, b"VTESTTAG", 9) == set()
        sh(guest, "swapon /dev/vdc && swapoff /dev/vdc")
        write = "printf 'VTESTTAG\\005\\0\\0\\0\\0\\0\\0\\0' | dd of=/dev/vdc bs=1 seek=12288; sync"
        sh(guest, write)
        assert find_tags(guest.swap_image, b"VTESTTAG", 9) == {5}

    def test_a_kernel_without_init_is_the_series_fault(
        self, spec: GuestSpec, tmp_path: Path
    ) -> None:
        with pytest.raises(SeriesError, match="Requested init /nothing failed") as caught:
            boot(replace(spec, extra_append="init=/nothing"), tmp_path, "g", KEYS, patience=PATIENT)
        assert caught.value.evidence is not None
        assert "Linux version" in caught.value.evidence.read_text()

    def test_no_key_on_the_command_line_is_noticed(self, spec: GuestSpec, tmp_path: Path) -> None:
        other = replace(KEYS, public="AAAAC3NzaC1lZDI1NTE5AAAA")
        with pytest.raises(SeriesError, match="no command came through"):
            boot(spec, tmp_path, "g", other, patience=PATIENT)

    @pytest.mark.parametrize("kept", [0.0, 0.5, 0.99])
    def test_a_cut_snapshot_is_given_up_for_a_boot(
        self, spec: GuestSpec, snapshot: Path, tmp_path: Path, kept: float
    ) -> None:
        cut = tmp_path / "cut"
        shutil.copyfile(snapshot, cut)
        os.truncate(cut, int(cut.stat().st_size * kept))
        kvm = KvmVerdict(tmp_path)
        with Guests(spec, tmp_path, Events(), kvm) as guests:
            guests.fresh()
            guests.snapshot = cut
            assert sh(guests.fresh(), "echo there") == "there\n"
            assert guests.snapshot is None

    def test_power_off_from_inside_ends_qemu(self, guest: Guest) -> None:
        with pytest.raises(SshError, match="lost"):
            guest.exec("/harness/init off; sleep 3600", NEVER_S)
        assert guest.qemu.process.wait() == 0

    @pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
    def test_no_qemu_is_left_behind(self, spec: GuestSpec, tmp_path: Path, how: int) -> None:
        program = textwrap.dedent(
            f"""\
            import signal
            from pathlib import Path
            from harness.vm.boot import boot
            from harness.vm.machine import GuestSpec
            from harness.vm.ssh import KeyPair
            spec = GuestSpec(Path({str(spec.kernel)!r}), "microvm", {spec.accel!r},
                             Path({str(spec.rootfs)!r}), {spec.host_key!r})
            # A job in the background is started to ignore it.
            signal.signal(signal.SIGINT, signal.default_int_handler)
            guest = boot(spec, Path({str(tmp_path)!r}), "g", KeyPair.generate())
            try:
                print(guest.qemu.process.pid, flush=True)
                signal.pause()
            finally:
                guest.close()
            """
        )
        with subprocess.Popen(
            [sys.executable, "-c", program],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=PROJECT,
        ) as harness:
            assert harness.stdout is not None
            pid = int(harness.stdout.readline())
            harness.send_signal(how)
        wait_gone(pid)

    def test_an_image_with_an_init_of_its_own_is_logged_in_on(
        self, spec: GuestSpec, rootfs: Rootfs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        image, script = tmp_path / "toy.img", tmp_path / "init"
        script.write_text(INIT)
        shutil.copyfile(rootfs.image, image)
        commands = f"write {script} /usr/sbin/init\nset_inode_field /usr/sbin/init mode 0100755\n"
        subprocess.run(["debugfs", "-w", str(image)], input=commands, text=True, check=True)
        chosen = replace(from_environment(), rootfs=str(image))
        made = build_rootfs(chosen, Store(tmp_path / "store", 1 << 30), Events())
        own = replace(spec, rootfs=made.image, host_key=made.host_key, login=made.login)
        guest = boot(own, tmp_path, "g", KEYS)
        try:
            assert sh(guest, "cat /proc/1/comm") == "init\n"
            assert "toy login" in guest.console.text()
            assert guest.run_case("a::ok", ["true"], 10.0).exit_code == 0
            save(guest, tmp_path / "state")
            later = boot(own, tmp_path, "later", KEYS, state=tmp_path / "state")
            later.pace = PACE
            # Nothing answers any more, however long one waits: 400 s of it proved no more.
            monkeypatch.setattr("harness.vm.guest.PING", 1.0 / PACE)
            try:
                lost = later.run_case("a", ["sh", "-c", "killall dropbear; exec sleep 987"], 1.0)
                assert lost.evidence is not None
                assert "/harness/init adopt" in lost.evidence.read_text()
            finally:
                later.close()
        finally:
            guest.close()

    def test_q35_boots_the_slow_way(
        self, spec: GuestSpec, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        image = built(tmp_path_factory.mktemp("slow"), bzimage=True).bzimage
        assert image is not None
        guest = boot(
            replace(spec, machine="q35", kernel=image), tmp_path, "g", KEYS, patience=PATIENT
        )
        guest.pace = PACE
        try:
            assert sh(guest, "nproc") == "2\n"
            assert guest.run_case("a::b", crash("WARNING"), LONG_S).splats
        finally:
            guest.close()
