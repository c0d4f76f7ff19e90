# SPDX-License-Identifier: GPL-2.0-only
"""The vocabulary: errors, settings, events, the store, programs run, git, stages, rates."""
