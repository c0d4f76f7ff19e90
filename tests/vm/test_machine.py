# SPDX-License-Identifier: GPL-2.0-only
"""QEMU's command line and the choice of the machine."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import pytest

from harness.core.errors import MachineError
from harness.core.settings import Login
from harness.vm.machine import (
    CodeWatch,
    GuestSpec,
    Recording,
    choose_machine,
    crowded,
    kernel_command_line,
    machine_table,
    obstacles,
    qemu_argv,
)

SPEC = GuestSpec(
    kernel=Path("/k/vmlinux"),
    machine="microvm",
    accel="tcg",
    rootfs=Path("/r/root.img"),
    host_key="ssh-ed25519 AAAA",
    tests=Path("/t/tests.img"),
)
FAST = (
    "CONFIG_PVH=y\nCONFIG_VIRTIO_MMIO=y\nCONFIG_VIRTIO_MMIO_CMDLINE_DEVICES=y\n"
    "CONFIG_X86_MPPARSE=y\nCONFIG_VIRTIO_PCI=y\n"
)


def argv_of(spec: GuestSpec, restored: bool = False) -> list[str]:
    return qemu_argv(spec, 6, "KEY", Path("/s/swap"), restored)


def words(argv: list[str], option: str) -> list[str]:
    return [value for flag, value in itertools.pairwise(argv) if flag == option]


@pytest.mark.parametrize("machine", ["microvm", "q35"])
@pytest.mark.parametrize("accel", ["tcg", "kvm"])
def test_every_machine_has_the_same_disks_in_the_same_order(machine: str, accel: str) -> None:
    argv = argv_of(replace(SPEC, machine=machine, accel=accel))
    files = [d.split("file=")[1] for d in words(argv, "-drive")]
    assert files == ["/r/root.img", "/t/tests.img", "/s/swap"]
    writable = [d for d in words(argv, "-drive") if "readonly=on" not in d]
    assert len(writable) == 1 and "/s/swap" in writable[0]


def test_no_tests_image_keeps_the_names_of_the_disks() -> None:
    drives = words(argv_of(replace(SPEC, tests=None)), "-drive")
    assert len(drives) == 3
    assert "null-co" in drives[1]


def test_microvm_starts_the_elf_and_q35_the_bzimage() -> None:
    assert words(argv_of(SPEC), "-kernel") == ["/k/vmlinux"]
    kinds = {name: machine["kernel"] for name, machine in machine_table()["machines"].items()}
    assert kinds == {"microvm": "vmlinux", "q35": "bzimage"}


def test_ssh_is_forwarded_on_localhost_only_and_the_guest_is_alone() -> None:
    (net,) = words(argv_of(SPEC), "-netdev")
    assert "hostfwd=tcp:127.0.0.1:0-" in net
    assert "restrict=on" in net


def test_the_default_command_line_leaves_the_kernel_alone() -> None:
    line = kernel_command_line(SPEC, "KEY")
    for word in ("mitigations", "tsc", "lpj", "nokaslr", "rcupdate"):
        assert word not in line
    assert "console=ttyS0" in line
    assert "harness.sshkey=KEY" in line


def test_only_under_tcg_the_kernel_is_told_to_trust_its_timer() -> None:
    assert "no_timer_check" in kernel_command_line(replace(SPEC, accel="tcg"), "KEY")
    assert "no_timer_check" not in kernel_command_line(replace(SPEC, accel="kvm"), "KEY")


@pytest.mark.parametrize(
    ("guests", "cpus", "expected"),
    [(2, 2, True), (1, 2, False), (2, 4, False), (4, 4, True), (1, 1, True)],
)
def test_guests_with_more_virtual_cpus_than_there_are_cpus_are_a_crowd(
    guests: int, cpus: int, expected: bool
) -> None:
    assert crowded(replace(SPEC, cpus=2), guests, cpus) is expected


def test_virtual_cpus_run_in_turn_in_one_thread() -> None:
    assert words(argv_of(SPEC), "-accel") == ["tcg,thread=multi"]
    assert words(argv_of(replace(SPEC, in_turn=True)), "-accel") == ["tcg,thread=single"]


def test_a_guest_that_counts_has_an_instruction_a_nanosecond() -> None:
    argv = argv_of(replace(SPEC, counted=True, cpus=1))
    assert words(argv, "-accel") == ["tcg,thread=single"]
    assert words(argv, "-icount") == ["shift=0,align=off,sleep=on"]
    assert not words(argv_of(SPEC), "-icount")


def test_a_disk_of_a_recorded_guest_is_behind_the_log() -> None:
    recording = Recording(Path("/r/log,1"), "record")
    argv = qemu_argv(replace(SPEC, cpus=1, recording=recording), None, "KEY", Path("/s/swap"))
    assert "shift=4,rr=record,rrfile=/r/log,,1" in argv
    logged = [word for word in argv if word.startswith("driver=blkreplay")]
    assert [word.partition("image=")[2] for word in logged] == [
        "root-file,readonly=on",
        "tests-file,readonly=on",
        "swap-file,cache=unsafe",
    ]
    assert not [word for word in argv if "hostfwd" in word]


def test_more_words_come_last() -> None:
    assert kernel_command_line(replace(SPEC, extra_append="a=b"), "K").endswith(" a=b")


def test_console_is_standard_output_and_the_monitor_is_inherited() -> None:
    argv = argv_of(SPEC)
    assert "stdio,id=console,signal=off" in argv
    assert "socket,id=monitor,fd=6" in argv


def test_each_cpu_is_a_socket_of_its_own() -> None:
    assert words(argv_of(replace(SPEC, cpus=3)), "-smp") == ["3,sockets=3,cores=1,threads=1"]


def test_commas_and_spaces_in_paths() -> None:
    odd = replace(SPEC, rootfs=Path("/a,b/c d.img"))
    argv = argv_of(odd, restored=True)
    assert words(argv, "-drive")[0].endswith("file=/a,,b/c d.img")
    assert words(argv, "-incoming") == ["defer"]


def test_gdb_only_where_asked() -> None:
    assert "-gdb" not in argv_of(SPEC)
    assert words(argv_of(replace(SPEC, gdb="/s/gdb")), "-gdb") == ["unix:/s/gdb,server=on,wait=off"]


def test_kvm_shows_the_hosts_cpu_and_tcg_a_simple_one() -> None:
    assert words(argv_of(replace(SPEC, accel="kvm")), "-cpu") == ["host"]
    (cpu,) = words(argv_of(SPEC), "-cpu")
    assert cpu.startswith("Nehalem") and "+rdrand" in cpu


def test_auto_takes_the_fast_machine_where_the_kernel_can() -> None:
    assert choose_machine("auto", FAST)[0] == "microvm"


@pytest.mark.parametrize("symbol", ["PVH", "VIRTIO_MMIO_CMDLINE_DEVICES", "X86_MPPARSE"])
def test_auto_falls_back_and_says_why(symbol: str) -> None:
    config = FAST.replace(f"CONFIG_{symbol}=y", f"# CONFIG_{symbol} is not set")
    name, why = choose_machine("auto", config)
    assert name == "q35"
    assert f"CONFIG_{symbol}" in why


def test_a_machine_that_was_asked_for_is_not_replaced() -> None:
    assert choose_machine("q35", FAST)[0] == "q35"
    with pytest.raises(MachineError, match="CONFIG_PVH"):
        choose_machine("microvm", FAST.replace("CONFIG_PVH=y", ""))


def test_a_module_is_not_built_in() -> None:
    assert obstacles("q35", "CONFIG_VIRTIO_PCI=m\n") == ("q35 needs CONFIG_VIRTIO_PCI",)


@pytest.mark.parametrize("checker", ["CONFIG_KASAN", "CONFIG_KCSAN"])
def test_a_kernel_with_an_early_checker_boots_the_slow_way(checker: str) -> None:
    name, why = choose_machine("auto", FAST + f"{checker}=y\n")
    assert name == "q35"
    assert checker in why
    with pytest.raises(MachineError, match=f"cannot boot with {checker}"):
        choose_machine("microvm", FAST + f"{checker}=y\n")


def test_every_machine_of_the_table_is_preferred_somewhere() -> None:
    table = machine_table()
    assert set(table["preference"]) == set(table["machines"])


def test_an_image_with_an_init_of_its_own_boots_by_it_and_keeps_its_ssh_port() -> None:
    ours = argv_of(SPEC)
    assert "init=/harness/init" in ours[ours.index("-append") + 1]
    assert "10.0.2.15:22" in " ".join(ours)
    own = argv_of(replace(SPEC, login=Login("root", "hidden")))
    assert "init=" not in own[own.index("-append") + 1]
    assert "10.0.2.15:2222" in " ".join(own) and "hidden" not in " ".join(own)
    assert "hidden" not in repr(Login("root", "hidden"))


def test_the_plugin_is_loaded_where_code_is_watched(tmp_path: Path) -> None:
    assert "-plugin" not in argv_of(SPEC)
    (tmp_path / "a,b").write_bytes(bytes(16))
    watching = replace(SPEC, watch=CodeWatch(Path("/s/marks.so"), tmp_path / "a,b"))
    assert watching.watch is not None and watching.watch.count == 2
    argv = qemu_argv(watching, 6, "KEY", marks=Path("/r/guest1.marks"))
    addresses = f"{tmp_path}/a,,b"
    assert words(argv, "-plugin") == [f"/s/marks.so,addresses={addresses},marks=/r/guest1.marks"]
