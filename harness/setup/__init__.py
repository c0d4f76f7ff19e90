# SPDX-License-Identifier: GPL-2.0-only
"""What this machine must have: bootstrap, packages on demand, apt, help, clean-cache."""
