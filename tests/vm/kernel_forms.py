# SPDX-License-Identifier: GPL-2.0-only
"""Complaints in the kernel's own forms, as 6.1 and 6.12 print them."""

from __future__ import annotations

STACK = "Call Trace:\n <TASK>\n dump_stack_lvl+0x3a/0x4c\n {0}+0x10/0x20\n caller+0x1/0x2\n </TASK>"
REGISTERS = "CPU: 0 PID: 7 Comm: sh Not tainted 6.1.0 #1\nRIP: 0010:{0}+0x1/0x2\nCode: 0f 0b\n"
END = "\n---[ end trace 0000000000000000 ]---"
RULE = "=" * 66

# what: (text, category, title)
SAMPLES: dict[str, tuple[str, str, str]] = {
    "kasan": (
        f"{RULE}\nBUG: KASAN: use-after-free in do_thing+0x1/0x2\nRead of size 4 at addr "
        f"ffff888000e73dc0 by task sh/7\n\n{STACK.format('do_thing')}\n\nAllocated by task 7:\n"
        f" kasan_save_stack+0x1/0x2\n\nThe buggy address belongs to the object at f\n{RULE}",
        "kasan",
        "KASAN: use-after-free in do_thing",
    ),
    "kasan before a fault": (
        "general protection fault, probably for non-canonical address 0xdffffc0000000000: 0000 "
        "[#1] SMP KASAN\nKASAN: null-ptr-deref in range [0x0-0x7]\n"
        + REGISTERS.format("do_thing")
        + STACK.format("do_thing")
        + END,
        "oops",
        "general protection fault in do_thing",
    ),
    "kcsan": (
        f"{RULE}\nBUG: KCSAN: data-race in reader / writer\n\nwrite to 0xffff888 of 8 bytes by "
        f"task 7 on cpu 1:\n writer+0x1/0x2\n\nvalue changed: 0x1 -> 0x2\n{RULE}",
        "kcsan",
        "KCSAN: data-race in reader / writer",
    ),
    "kfence": (
        f"{RULE}\nBUG: KFENCE: out-of-bounds read in do_thing+0x1/0x2\n\nOut-of-bounds read at "
        f"0x0:\n do_thing+0x1/0x2\n\n{RULE}",
        "kfence",
        "KFENCE: out-of-bounds read in do_thing",
    ),
    "kmsan": (
        f"{RULE}\nBUG: KMSAN: uninit-value in do_thing+0x1/0x2\n do_thing+0x1/0x2\n{RULE}",
        "kmsan",
        "KMSAN: uninit-value in do_thing",
    ),
    "ubsan": (
        f"{RULE}\nUBSAN: shift-out-of-bounds in mm/x.c:1:2\nshift exponent 64 is too large\n"
        f"{STACK.format('do_thing')}\n{RULE}",
        "ubsan",
        "UBSAN: shift-out-of-bounds in do_thing",
    ),
    "kmemleak": (
        'unreferenced object 0xffff888100 (size 64):\n  comm "sh", pid 7, jiffies 4294 (age 6.500s)'
        "\n  hex dump (first 32 bytes):\n    cc cc  ..\n  backtrace:\n"
        "    [<00000000a7c1ad2e>] kmalloc_trace+0x26/0x90\n"
        "    [<00000000a7c1ad2f>] do_thing+0x1/0x2",
        "kmemleak",
        "kmemleak: memory leaked by do_thing",
    ),
    "slub": (
        f"{RULE}\nBUG kmalloc-64 (Not tainted): Right Redzone overwritten\n{'-' * 77}\n\n"
        "0x1-0x2 @offset=64. First byte 0x1 instead of 0xcc\nSlab 0x1 objects=3\n"
        f"{STACK.format('do_thing')}\nFIX kmalloc-64: Restoring Right Redzone 0x1-0x2=0xcc",
        "slub",
        "SLUB: Right Redzone overwritten in cache kmalloc-64",
    ),
    "lockdep": (
        "======================================================\n"
        "WARNING: possible circular locking dependency detected\n6.1.0 #1 Not tainted\n"
        "------------------------------------------------------\nsh/7 is trying to acquire lock:\n"
        "ffff (&a){+.+.}-{3:3}, at: do_thing+0x1/0x2\n\nbut task is already holding lock:\n"
        f"\nstack backtrace:\n{REGISTERS.format('do_thing')}{STACK.format('do_thing')}",
        "lockdep",
        "lockdep: possible circular locking dependency in do_thing",
    ),
    "rcu usage": (
        "=============================\nWARNING: suspicious RCU usage\n6.1.0 #1 Not tainted\n"
        "-----------------------------\nmm/x.c:1 suspicious rcu_dereference_check() usage!\n\n"
        f"stack backtrace:\n{STACK.format('do_thing')}",
        "lockdep",
        "lockdep: suspicious RCU usage in do_thing",
    ),
    "held lock": (
        "================================================\n"
        "WARNING: lock held when returning to user space!\n6.1.0 #1 Not tainted\n"
        "------------------------------------------------\nsh/7 is leaving the kernel with locks "
        "still held!\n1 lock held by sh/7:\n #0: ffff (x){+.+.}-{2:2}, at: do_thing+0x1/0x2",
        "lockdep",
        "lockdep: lock held when returning to user space in do_thing",
    ),
    "key": (
        f"INFO: trying to register non-static key.\n{STACK.format('do_thing')}",
        "lockdep",
        "lockdep: non-static key in do_thing",
    ),
    "atomic schedule": (
        f"BUG: scheduling while atomic: sh/7/0x2\nModules linked in:\n{STACK.format('do_thing')}",
        "atomic",
        "BUG: scheduling while atomic in do_thing",
    ),
    "atomic sleep": (
        "BUG: sleeping function called from invalid context at mm/x.c:1\n"
        "in_atomic(): 1, irqs_disabled(): 0, non_block: 0, pid: 7, name: sh\npreempt_count: 1, "
        f"expected: 0\nRCU nest depth: 0, expected: 0\n{STACK.format('__might_resched')}",
        "atomic",
        "BUG: sleeping function called from invalid context in caller",
    ),
    "spinlock": (
        "BUG: spinlock bad magic on CPU#0, sh/7\n lock: 0xffff, .magic: 0\n"
        f"{STACK.format('do_thing')}",
        "spinlock",
        "BUG: spinlock bad magic in do_thing",
    ),
    "bad page state": (
        "BUG: Bad page state in process sh  pfn:12345\npage:ffff refcount:0 mapcount:-128\n"
        "flags: 0x1(locked)\nraw: 0000 0000\npage dumped because: nonzero mapcount\n"
        f"Modules linked in:\n{STACK.format('free_page_is_bad_report')}",
        "bad_page",
        "BUG: Bad page state in caller",
    ),
    "bad page map": (
        "BUG: Bad page map in process sh  pte:8000000012345067 pmd:12346067\n"
        "page:ffff refcount:1 mapcount:-1\naddr:00007f00 vm_flags:00100073 anon_vma:ffff\n"
        f"file:(null) fault:0x0\n{STACK.format('zap_pte_range')}",
        "bad_page",
        "BUG: Bad page map in zap_pte_range",
    ),
    "bad rss": (
        "BUG: Bad rss-counter state mm:00000000deadbeef type:MM_ANONPAGES val:3",
        "bad_rss",
        "BUG: Bad rss-counter state MM_ANONPAGES",
    ),
    "page tables left": (
        "BUG: non-zero pgtables_bytes on freeing mm: 4096",
        "bad_rss",
        "BUG: non-zero pgtables_bytes on freeing mm",
    ),
    "swap entry": (
        "swap_info_get: Bad swap file entry 3fffffffffff",
        "bad_swap",
        "swap_info_get: Bad swap file entry",
    ),
    "bad pmd": (
        "mm/pgtable-generic.c:51: bad pmd ffff888(8000000012345067)",
        "bad_page",
        "bad pmd entry",
    ),
    "hard lockup": (
        "watchdog: Watchdog detected hard LOCKUP on cpu 1\nModules linked in:\n"
        + REGISTERS.format("do_thing")
        + STACK.format("do_thing"),
        "hard_lockup",
        "BUG: hard lockup in do_thing",
    ),
    "expedited stall": (
        "rcu: INFO: rcu_sched detected expedited stalls on CPUs/tasks: { 1-... } 21 jiffies s: 5\n"
        f"rcu: blocking rcu_node structures:\nTask dump for CPU 1:\n{STACK.format('do_thing')}",
        "rcu_stall",
        "INFO: rcu detected stall in do_thing",
    ),
    "starved": (
        "rcu: rcu_sched kthread starved for 5250 jiffies! g5 f0x2 RCU_GP_WAIT_FQS(5)\n"
        "rcu: \tUnless rcu_sched kthread gets sufficient CPU time, OOM is now expected behavior.",
        "rcu_stall",
        "INFO: rcu kthread starved",
    ),
    "workqueue": (
        "BUG: workqueue lockup - pool cpus=1 node=0 flags=0x0 nice=0 stuck for 32s!\n"
        "Showing busy workqueues and worker pools:\nworkqueue events: flags=0x0",
        "workqueue_lockup",
        "BUG: workqueue lockup",
    ),
    "nx": (
        "kernel tried to execute NX-protected page - exploit attempt? (uid: 0)\n"
        "BUG: unable to handle page fault for address: ffff\nOops: 0011 [#1] SMP\n"
        + REGISTERS.format("do_thing")
        + END.strip(),
        "bug",
        "BUG: kernel tried to execute data in do_thing",
    ),
    "divide": (
        "divide error: 0000 [#1] PREEMPT SMP\n" + REGISTERS.format("do_thing") + END.strip(),
        "oops",
        "divide error in do_thing",
    ),
    "new oops form": (
        "Oops: general protection fault, probably for non-canonical address 0x1: 0000 [#1] SMP\n"
        + REGISTERS.format("do_thing")
        + END.strip(),
        "oops",
        "general protection fault in do_thing",
    ),
    "6.12 soft lockup": (
        "watchdog: BUG: soft lockup - CPU#1 stuck for 23s! [sh:7]\n"
        "watchdog: CPU#1 Utilization every 4000ms during lockup:\n"
        "watchdog: \t#1: 100% system,\t  0% softirq,\t  1% hardirq,\t  0% idle\n"
        + REGISTERS.format("do_thing")
        + STACK.format("do_thing"),
        "soft_lockup",
        "BUG: soft lockup in do_thing",
    ),
    "6.12 ubsan": (
        "------------[ cut here ]------------\nUBSAN: array-index-out-of-bounds in mm/x.c:1:2\n"
        "index 8 is out of range for type 'int [8]'\n" + STACK.format("do_thing") + END,
        "ubsan",
        "UBSAN: array-index-out-of-bounds in do_thing",
    ),
    "stack guard": (
        "BUG: TASK stack guard page was hit at ffff (stack is ffff..ffff)\n"
        "stack guard page: 0000 [#1] SMP\n" + REGISTERS.format("do_thing") + END.strip(),
        "oops",
        "BUG: stack overflow in do_thing",
    ),
    "msr": (
        "unchecked MSR access error: RDMSR from 0x1 at rIP: 0xffff (do_thing+0x1/0x2)\n"
        + STACK.format("do_thing"),
        "warning",
        "unchecked MSR access in do_thing",
    ),
    "oom everywhere": (
        "python3 invoked oom-killer: gfp_mask=0x0, order=0\n"
        + STACK.format("out_of_memory")
        + "\nMem-Info:\nactive_anon:1\nTasks state (memory values in pages):\n"
        "Out of memory: Killed process 9 (python3) total-vm:1kB",
        "oom",
        "out of memory: python3 killed",
    ),
    "something new": (
        "BUG: something nobody thought of\n" + STACK.format("do_thing"),
        "bug",
        "BUG: something nobody thought of",
    ),
}
