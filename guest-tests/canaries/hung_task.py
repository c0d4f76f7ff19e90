# SPDX-License-Identifier: GPL-2.0-only
"""A task sleeps and cannot be woken; the detector of hung tasks is told to be quick."""

from common import crash, say_ok, tune

tune("/proc/sys/kernel/hung_task_check_interval_secs", 1)
tune("/proc/sys/kernel/hung_task_timeout_secs", 1)
say_ok()
crash("HUNG_TASK")
