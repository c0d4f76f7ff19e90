# SPDX-License-Identifier: GPL-2.0-only
"""Which function of a report its title names."""

from __future__ import annotations

import pytest
import yaml

from harness.vm.blamed_function import UNKNOWN, frame_of, plain_name
from harness.vm.splat_table import TABLE
from harness.vm.splats import find_splats

IRQ = (
    " <IRQ>\n dump_stack+0x1/0x2\n rcu_dump_cpu_stacks+0x1/0x2\n update_process_times+0x1/0x2\n"
    " __sysvec_apic_timer_interrupt+0x1/0x2\n </IRQ>\n"
    " asm_sysvec_apic_timer_interrupt+0x1/0x2\nRIP: 0010:_raw_spin_lock+0x1/0x2\n"
)
SELF_STALL = "rcu: INFO: rcu_preempt self-detected stall on CPU\nCall Trace:\n" + IRQ


def title(text: str) -> str:
    return find_splats(text)[0].title


def calls(*names: str) -> str:
    return "".join(f" {name}+0x1/0x2\n" for name in names)


@pytest.mark.parametrize(
    ("line", "name", "sure"),
    [
        (" do_thing+0x1/0x2", "do_thing", True),
        (" ? do_thing+0x1/0x2", "do_thing", False),
        (" do_thing.constprop.0+0x1/0x2 [module]", "do_thing", True),
        (" [<ffffffff81234567>] do_thing+0x1/0x2", "do_thing", True),
        (" [<ffffffff81234567>] ? do_thing+0x1/0x2", "do_thing", False),
        ("[<ffff000008091958>] do_thing+0x1/0x2", "do_thing", True),
        ("[c000000001bb3710] [c0000000000286fc] do_thing+0x1/0x2", "do_thing", True),
        ("[c000000001bb3530] [c000000001bb35a0] do_thing+0x1/0x2 (unreliable)", "do_thing", False),
        (" do_thing from caller+0x1/0x2", "do_thing", True),
        ("[<802b3ffc>] (do_thing) from [<802e1324>] (caller+0x1/0x2)", "do_thing", True),
        (" do_thing+0x1/0x2 (P)", "do_thing", True),
    ],
)
def test_frames_of_all_architectures(line: str, name: str, sure: bool) -> None:
    assert frame_of(line) == (name, sure)


@pytest.mark.parametrize("line", ["do_thing+0x1/0x2 is slow", " lock: 0xffff", "", " x+y"])
def test_what_is_no_frame(line: str) -> None:
    assert frame_of(line) is None


@pytest.mark.parametrize(
    ("helpers", "kind"),
    [
        (("kasan_report", "__asan_load8", "memcmp"), "a sanitizer's accessor and a comparison"),
        (("kasan_report", "__list_add_valid_or_report", "klist_next"), "a list"),
        (("kasan_report", "do_raw_spin_lock", "_raw_spin_lock_bh"), "a lock"),
        (("kasan_report", "refcount_dec_not_one", "dput"), "a counter"),
        (("kasan_report", "string", "vsnprintf", "vprintk_emit", "_printk"), "printing"),
        (("kasan_report", "_copy_to_iter", "copy_page_to_iter"), "a copy to user space"),
        (("kasan_report", "kobject_put", "device_del", "device_unregister"), "a device's end"),
    ],
)
def test_the_accessors_caller_is_to_blame(helpers: tuple[str, ...], kind: str) -> None:
    text = "BUG: KASAN: use-after-free in {0}+0x1/0x2\nCall Trace:\n dump_stack+0x1/0x2\n{1}{2}"
    said = text.format(helpers[-1], calls(*helpers), calls("pond_fill", "elsewhere"))
    assert title(said) == "KASAN: use-after-free in pond_fill", kind


def test_a_stack_of_the_allocation_is_not_the_faults() -> None:
    text = (
        "BUG: KASAN: use-after-free in memcpy+0x1/0x2\n\nAllocated by task 7:\n"
        + calls("pond_new")
        + "\nCall Trace:\n"
        + calls("memcpy", "pond_fill")
    )
    assert title(text) == "KASAN: use-after-free in pond_fill"


@pytest.mark.parametrize(
    ("frames", "name"),
    [
        (
            ("__schedule", "schedule", "io_schedule", "folio_wait_bit_common", "pond_read"),
            "pond_read",
        ),
        (("__schedule", "schedule_preempt_disabled", "__mutex_lock", "pond_open"), "pond_open"),
        (("__schedule", "rwsem_down_read_slowpath", "down_read", "pond_find"), "pond_find"),
        (("__schedule", "__mutex_lock", "rtnl_lock", "pond_ioctl"), "rtnl_lock"),
        (
            ("schedule_timeout", "wait_for_completion", "synchronize_srcu", "pond_free"),
            "synchronize_rcu",
        ),
        (
            ("schedule_timeout", "kthread_stop", "flush_workqueue", "msleep", "pond_stop"),
            "pond_stop",
        ),
    ],
)
def test_a_hang_is_named_for_who_waits(frames: tuple[str, ...], name: str) -> None:
    text = "INFO: task frog:7 blocked for more than 120 seconds.\nCall Trace:\n" + calls(*frames)
    assert title(text) == f"INFO: task hung in {name}"


@pytest.mark.parametrize(
    ("frames", "name"),
    [
        (("pond_spin", "pond_ioctl", "vfs_ioctl", "ksys_ioctl", "do_syscall_64"), "pond_ioctl"),
        (("pond_spin", "__x64_sys_leap", "do_syscall_64"), "sys_leap"),
        (("pond_spin", "__se_sys_leap", "do_syscall_64"), "leap"),
        (("pond_spin", "pond_work", "process_one_work", "kthread"), "pond_work"),
        (("pond_spin", "pond_timer", "call_timer_fn", "run_timer_softirq"), "pond_timer"),
        (("csd_lock_wait", "smp_call_function_many_cond", "pond_flush"), "smp_call_function"),
        (("pond_spin", "pond_loop"), "pond_spin"),
    ],
)
def test_a_stall_is_named_for_what_was_asked_for(frames: tuple[str, ...], name: str) -> None:
    assert title(SELF_STALL + calls(*frames)) == f"INFO: rcu detected stall in {name}"


def test_a_stall_goes_on_where_an_exception_came() -> None:
    text = SELF_STALL + calls("pond_fault", "asm_exc_page_fault")
    text += "RIP: 0010:copy_user_generic+0x1/0x2\n" + calls("pond_read", "vfs_read")
    assert title(text) == "INFO: rcu detected stall in pond_read"


def test_the_stack_of_rcu_itself_says_nothing() -> None:
    own = "rcu: RCU grace-period kthread stack dump:\nCall Trace:\n"
    text = "rcu: INFO: rcu_preempt self-detected stall on CPU\n" + own
    text += calls("__schedule", "rcu_gp_kthread", "kthread") + "NMI backtrace for cpu 1\n"
    text += "Call Trace:\n" + IRQ + calls("pond_spin", "pond_ioctl", "vfs_ioctl")
    assert title(text) == "INFO: rcu detected stall in pond_ioctl"


def test_a_jump_into_nowhere_is_its_callers() -> None:
    text = "BUG: unable to handle page fault for address: 0\nRIP: 0010:0x0\nCall Trace:\n"
    assert title(text + calls("pond_call", "caller")).endswith(" in pond_call")


def test_where_nothing_is_named_that_is_said() -> None:
    assert title("BUG: soft lockup - CPU#1 stuck for 22s! [sh:7]\n").endswith(UNKNOWN)


def test_names_that_reports_have_once_are_one() -> None:
    assert plain_name("do_thing.isra.0.cold") == "do_thing"


def test_each_list_has_a_reason_and_a_user() -> None:
    data = yaml.safe_load(TABLE.read_text())
    blame = data["blame"]
    used = {*blame["always"], "interrupt_entry", "idle", "dispatch"}
    used |= {name for report in data["reports"] for name in report.get("skip", ())}
    assert set(blame["lists"]) == used
    assert all(entry["why"] for entry in blame["lists"].values())
    assert all(e["why"] for entries in blame["gathered"].values() for e in entries)
    assert all(remark["why"] for remark in data["remarks"])
