# SPDX-License-Identifier: GPL-2.0-only
"""``make plan``, ``cell``, ``merge``: a revision's runs on many machines."""
