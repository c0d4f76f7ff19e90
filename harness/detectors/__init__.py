# SPDX-License-Identifier: GPL-2.0-only
"""What makes a complaint count: canaries, leaks, attribution, soundness."""
