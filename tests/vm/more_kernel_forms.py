# SPDX-License-Identifier: GPL-2.0-only
"""More complaints in the kernel's own forms: newer kernels, other architectures, helpers' "
"callers."""

from __future__ import annotations

from tests.vm.kernel_forms import END, REGISTERS, RULE, STACK

# what: (text, category, title)
MORE_SAMPLES: dict[str, tuple[str, str, str]] = {
    "double free": (
        f"{RULE}\nBUG: KASAN: double-free in kfree+0x1/0x2\nFree of addr ffff888000e73dc0 by task "
        f"sh/7\n\n{STACK.format('kfree')}\n\nFreed by task 7:\n other+0x1/0x2\n{RULE}",
        "kasan",
        "KASAN: double-free in caller",
    ),
    "slab, with a WARN in it": (
        f"{RULE}\nBUG kmalloc-64 (Not tainted): Poison overwritten\n{'-' * 77}\n\nSlab 0x1"
        "\n------------[ cut here ]------------\nWARNING: mm/slub.c:1257 at object_err+0x1/0x2, "
        f"CPU#0: sh/7\n{REGISTERS.format('object_err')}{STACK.format('check_object')}{END}\n"
        "FIX kmalloc-64: Restoring Poison 0x1-0x2=0x6b",
        "slub",
        "SLUB: Poison overwritten in cache kmalloc-64",
    ),
    "cache in use": (
        "------------[ cut here ]------------\nkmem_cache_destroy x: Slab cache still has objects\n"
        "WARNING: mm/slab_common.c:528 at kmem_cache_destroy+0x1/0x2, CPU#0: sh/7\n"
        + REGISTERS.format("kmem_cache_destroy")
        + STACK.format("do_thing")
        + END,
        "warning",
        "WARNING in do_thing",
    ),
    "warning without a file": (
        "------------[ cut here ]------------\nWARNING: at do_thing+0x1/0x2, CPU#0: sh/7\n"
        + REGISTERS.format("do_thing")
        + STACK.format("do_thing")
        + END,
        "warning",
        "WARNING in do_thing",
    ),
    "maple tree": (
        "BUG at mas_validate_gaps:7077 (1)\nmaple_tree(0x1) flags B, height 2 root 0x2\n"
        f"0-fff: node 0x3\nPass: 7 Run:8\n{REGISTERS.format('x')}{STACK.format('validate_mm')}",
        "bug",
        "maple tree: found broken by mas_validate_gaps",
    ),
    "frozen pages": (
        "BUG: Bad page state in process sh  pfn:12345\npage: refcount:0 mapcount:1\n"
        f"page dumped because: nonzero mapcount\n{STACK.format('__free_frozen_pages')}",
        "bad_page",
        "BUG: Bad page state in caller",
    ),
    "copy of a string": (
        f"{RULE}\nBUG: KASAN: wild-memory-access in strlen+0x1/0x2\n"
        f"{STACK.format('kstrdup')}\n{RULE}",
        "kasan",
        "KASAN: wild-memory-access in caller",
    ),
    "lines lost within": (
        "BUG: sleeping function called from invalid context at mm/x.c:1\nPreemption disabled at:\n"
        f"[<ffffffff81012345>] elsewhere+0x1/0x2\n** 5 printk messages dropped **\n"
        f"{REGISTERS.format('x')}{STACK.format('do_thing')}",
        "atomic",
        "BUG: sleeping function called from invalid context in do_thing",
    ),
    "leak on the console": (
        'BUG: memory leak\nunreferenced object 0xffff888100 (size 64):\n  comm "sh", pid 7\n'
        "  backtrace (crc 12345678):\n    __kmalloc_cache_noprof+0x1/0x2\n    do_thing+0x1/0x2",
        "kmemleak",
        "kmemleak: memory leaked by do_thing",
    ),
    "rcu usage of 4.4": (
        "===============================\n[ INFO: suspicious RCU usage. ]\n4.4.96 #1 Not tainted\n"
        f"-------------------------------\nmm/x.c:1 suspicious use!\n\n{STACK.format('do_thing')}",
        "lockdep",
        "lockdep: suspicious RCU usage in do_thing",
    ),
    "locks at the exit": (
        "====================================\nWARNING: sh/7 still has locks held!\n6.1.0 #1 Not "
        "tainted\n------------------------------------\n1 lock held by sh/7:\n #0: ffff (&m)"
        f"{{+.+.}}-{{3:3}}, at: do_thing+0x1/0x2\n\nstack backtrace:\n{STACK.format('elsewhere')}",
        "lockdep",
        "lockdep: still has locks held in do_thing",
    ),
    "wait context": (
        "=============================\n[ BUG: Invalid wait context ]\n6.1.0 #1 Not tainted\n"
        "-----------------------------\nsh/7 is trying to lock:\nffff (&a){....}-{3:3}, at: "
        f"do_thing+0x1/0x2\nother info that might help us debug "
        f"this:\n{STACK.format('elsewhere')}",
        "lockdep",
        "lockdep: Invalid wait context in do_thing",
    ),
    "unsafe order": (
        "=====================================================\n"
        "WARNING: HARDIRQ-safe -> HARDIRQ-unsafe lock order detected\n6.1.0 #1 Not tainted\n"
        "sh/7 [HC0[0]:SC0[0]:HE0:SE1] is trying to acquire:\nffff (a){+.+.}-{2:2}, at: elsewhere"
        "+0x1/0x2\n\nwhich became HARDIRQ-irq-safe at:\n  lock_acquire+0x1/0x2\n  "
        f"_raw_spin_lock+0x1/0x2\n  do_thing+0x1/0x2\n\n{STACK.format('elsewhere')}",
        "lockdep",
        "lockdep: unsafe lock order in do_thing",
    ),
    "preemptible": (
        "BUG: using smp_processor_id() in preemptible [00000000] code: sh/7\ncaller is "
        f"debug_smp_processor_id+0x1/0x2\n{STACK.format('check_preemption_disabled')}",
        "atomic",
        "BUG: using smp_processor_id() in preemptible code in caller",
    ),
    "work with a lock": (
        "BUG: workqueue leaked atomic, lock or RCU: kworker/0:1[7]\n     preempt=0x00000000 "
        "lock=0->1\n"
        f"     workfn=do_thing\n     last function: do_thing\n{STACK.format('process_one_work')}",
        "atomic",
        "BUG: workqueue leaked lock or atomic in do_thing",
    ),
    "device in use": (
        "unregister_netdevice: waiting for veth0 to become free. Usage count = 2",
        "bad_reference",
        "unregister_netdevice: waiting for a device to become free",
    ),
    "inodes in use": (
        "VFS: Busy inodes after unmount of vdb (ext4)",
        "bad_reference",
        "VFS: Busy inodes after unmount",
    ),
    "dentry in use": (
        "BUG: Dentry 00000000abcdef01{i=1,n=x}  still in use (1) [unmount of ext4 vdb]\n"
        + STACK.format("umount_check"),
        "bad_reference",
        "BUG: Dentry still in use, unmount of ext4 vdb",
    ),
    "netfilter's timer": (
        "------------[ cut here ]------------\nODEBUG: free active (active state 0) object type: "
        "timer_list hint: hint_fn+0x0/0x2\nWARNING: CPU: 0 PID: 7 at lib/debugobjects.c:514 "
        "debug_print_object+0x1/0x2\n"
        + REGISTERS.format("debug_print_object")
        + STACK.format("kfree")
        + END,
        "warning",
        "ODEBUG: free in caller",
    ),
    "lockdep's own warning": (
        "------------[ cut here ]------------\nDEBUG_LOCKS_WARN_ON(1)\nWARNING: CPU: 0 PID: 7 at "
        "kernel/locking/lockdep.c:232 __lock_acquire+0x1/0x2\n"
        + REGISTERS.format("__lock_acquire")
        + STACK.format("lock_sock_nested")
        + END,
        "warning",
        "WARNING: locking bug in caller",
    ),
    "kobject": (
        "------------[ cut here ]------------\nWARNING: CPU: 0 PID: 7 at lib/kobject.c:734 "
        "kobject_put+0x1/0x2\n" + REGISTERS.format("kobject_put") + STACK.format("do_thing") + END,
        "warning",
        "WARNING: kobject bug in do_thing",
    ),
    "proc": (
        "------------[ cut here ]------------\nWARNING: CPU: 0 PID: 7 at fs/proc/generic.c:377 "
        "proc_register+0x1/0x2\n"
        + REGISTERS.format("proc_register")
        + STACK.format("do_thing")
        + END,
        "warning",
        "WARNING: proc registration bug in do_thing",
    ),
    "usercopy": (
        "usercopy: Kernel memory exposure attempt detected from SLUB object 'x' (offset 1, size "
        "9)!\n"
        "------------[ cut here ]------------\nkernel BUG at mm/usercopy.c:102!\ninvalid "
        "opcode: 0000 "
        "[#1] SMP\n"
        + REGISTERS.format("usercopy_abort")
        + STACK.format("__check_heap_object")
        + END,
        "bug",
        "BUG: bad usercopy in caller",
    ),
    "kernel stack": (
        "WARNING: kernel stack regs at ffffc90000000000 in sh:7 has bad 'bp' value "
        "ffffc90000000008",
        "warning",
        "WARNING: kernel stack has bad bp value",
    ),
    "rust": (
        "rust_kernel: panicked at drivers/x.rs:7:13:\nattempt to add with overflow\n"
        "------------[ cut here ]------------\nkernel BUG at rust/helpers/bug.c:7!\nOops: invalid "
        "opcode: 0000 [#1] SMP\n"
        + REGISTERS.format("rust_helper_BUG")
        + STACK.format("do_thing")
        + END,
        "panic",
        "rust: panicked in do_thing",
    ),
    "stack protector": (
        "Kernel panic - not syncing: stack-protector: Kernel stack is corrupted in: "
        "ffffffff81234567\n"
        f"CPU: 0 PID: 7 Comm: sh\n{STACK.format('__stack_chk_fail')}\n"
        "---[ end Kernel panic - not syncing: stack-protector ]---",
        "panic",
        "kernel panic: stack is corrupted in caller",
    ),
    "stack end": (
        "Kernel panic - not syncing: corrupted stack end detected inside scheduler\nCPU: 0 PID: 7 "
        "Comm: sh\nCall Trace:\n dump_stack+0x1/0x2\n panic+0x1/0x2\n __schedule+0x1/0x2\n "
        "inner+0x1/0x2\n outer_work+0x1/0x2\n process_one_work+0x1/0x2\n"
        "---[ end Kernel panic - not syncing: corrupted stack end detected inside scheduler ]---",
        "panic",
        "kernel panic: corrupted stack end in outer_work",
    ),
    "arm64 oops": (
        "Unable to handle kernel NULL pointer dereference at virtual address 0000000000000008\n"
        "Mem abort info:\n  ESR = 0x0000000096000004\nInternal error: Oops: 0000000096000004 "
        "[#1] SMP\n"
        "Modules linked in:\nCPU: 0 UID: 0 PID: 7 Comm: sh Not tainted 6.12.0 #1\n"
        "pstate: 60400005 (nZCv daif)\npc : do_thing+0x1/0x2\nlr : elsewhere+0x1/0x2\n"
        "sp : ffff800080000000\nx29: ffff800080000000 x28: 0000000000000000\nCall trace:\n"
        " do_thing+0x1/0x2 (P)\n caller+0x1/0x2\nCode: 00000000 (b9000001)" + END,
        "oops",
        "BUG: kernel NULL pointer dereference in do_thing",
    ),
    "arm64 abort": (
        "Internal error: synchronous external abort: 0000000096000210 [#1] SMP\nCPU: 0 PID: 7 "
        "Comm: sh\n"
        "pc : __raw_readl+0x1/0x2\nlr : elsewhere+0x1/0x2\nCall trace:\n __raw_readl+0x1/0x2\n"
        " do_thing+0x1/0x2" + END,
        "oops",
        "Internal error: synchronous external abort in do_thing",
    ),
    **{
        f"riscv: {what}": (
            f"Oops - {what} [#1]\nModules linked in:\nCPU: 0 UID: 0 PID: 7 Comm: sh Not tainted "
            "6.19.0 #1\nepc : do_thing+0x1/0x2\n ra : elsewhere+0x1/0x2\nstatus: 0000000200000120 "
            f"badaddr: 0000000000000000 cause: 000000000000000f{END}",
            "oops",
            f"{what} in do_thing",
        )
        for what in ("illegal instruction", "load address misaligned", "software check exception")
    },
    **{
        f"arm64: {what}": (
            f"Internal error: {what}: 00000000f2005514 [#1]  SMP\nCPU: 0 UID: 0 PID: 7 "
            f"Comm: sh Not tainted 6.19.0 #1\npc : do_thing+0x1/0x2\nlr : other+0x1/0x2{END}",
            "oops",
            f"Internal error: {what.removeprefix('Oops - ')} in do_thing",
        )
        for what in ("UBSAN: shift out of bounds", "UBSAN: integer addition overflow", "Oops - BTI")
    },
    "arm64: a write to read-only memory": (
        "Unable to handle kernel write to read-only memory at virtual address ffff800082001000\n"
        "Mem abort info:\nInternal error: Oops: 000000009600004e [#1]  SMP\n"
        f"CPU: 0 UID: 0 PID: 7 Comm: sh Not tainted 6.19.0 #1\npc : do_thing+0x1/0x2{END}",
        "oops",
        "BUG: unable to handle kernel write to read-only memory in do_thing",
    ),
    "riscv oops": (
        "Unable to handle kernel paging request at virtual address ff60000000000000\nOops [#1]\n"
        "Modules linked in:\nCPU: 0 PID: 7 Comm: sh Not tainted 6.6.0 #1\nepc : do_thing+0x1/0x2\n"
        " ra : elsewhere+0x1/0x2\nepc : ffffffff80001000 ra : ffffffff80002000 sp : "
        "ff20000000000000\n"
        " gp : ffffffff81000000\n[<ffffffff80001000>] do_thing+0x1/0x2" + END,
        "oops",
        "BUG: unable to handle kernel paging in do_thing",
    ),
    "6.19 warning": (
        "------------[ cut here ]------------\nWARNING: mm/x.c:7 at do_thing+0x1/0x2, CPU#1: "
        "kworker/1:0/7\nModules linked in:\n"
        + REGISTERS.format("do_thing")
        + STACK.format("caller")
        + END,
        "warning",
        "WARNING in do_thing",
    ),
    "6.19 warning with its condition": (
        "------------[ cut here ]------------\nWARNING: [a[1] && !b(c)] net/x.c:7 at "
        "do_thing+0x1/0x2, "
        "CPU#0: sh/7\n" + REGISTERS.format("do_thing") + STACK.format("caller") + END,
        "warning",
        "WARNING in do_thing",
    ),
    "6.19 warning of a helper": (
        "------------[ cut here ]------------\nrefcount_t: underflow; use-after-free.\nWARNING: "
        "lib/refcount.c:28 at 0x0, CPU#1: sh/7\n"
        + REGISTERS.format("refcount_warn_saturate")
        + STACK.format("do_thing")
        + END,
        "warning",
        "refcount_t: underflow in do_thing",
    ),
    "waits for a disk": (
        "INFO: task sh:7 blocked in I/O wait for more than 122 seconds.\n      Not tainted "
        "6.19.0 #1\n"
        '"echo 0 > /proc/sys/kernel/hung_task_timeout_secs" disables this message.\n'
        "task:sh state:D stack:0 pid:7 tgid:7 ppid:1\nCall Trace:\n <TASK>\n __schedule+0x1/0x2\n "
        "io_schedule+0x1/0x2\n folio_wait_bit+0x1/0x2\n do_thing+0x1/0x2\n </TASK>",
        "hung_task",
        "INFO: task hung in do_thing",
    ),
    "stall of RCU's tasks": (
        "INFO: rcu_tasks_trace detected stalls on tasks:\n00000000abcdef01: .N nvcsw: 7/7 "
        "holdout: 1 "
        "idle_cpu: -1/1\ntask:sh state:R  running task stack:0 pid:7\nCall Trace:\n "
        "inner+0x1/0x2\n "
        "sys_thing+0x1/0x2\n do_syscall_64+0x1/0x2",
        "rcu_stall",
        "INFO: rcu detected stall in sys_thing",
    ),
}
