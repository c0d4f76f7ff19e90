# SPDX-License-Identifier: GPL-2.0-only
"""``make static-checks``: checkpatch, sparse and kernel-doc of each patch."""
