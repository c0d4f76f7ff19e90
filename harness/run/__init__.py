# SPDX-License-Identifier: GPL-2.0-only
"""One run from its first event to its last file: session, pipeline, guests, verdict."""
