# SPDX-License-Identifier: GPL-2.0-only
"""``make revision``: each patch against the base, the whole against the revision before."""
