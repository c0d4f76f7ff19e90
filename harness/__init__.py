# SPDX-License-Identifier: GPL-2.0-only
"""Find out in a virtual machine whether what a kernel patch series claims is true."""
