# SPDX-License-Identifier: GPL-2.0-only
"""``KERNEL=`` and ``SERIES=`` become a commit: base, patches, apply, contract, worktree."""
