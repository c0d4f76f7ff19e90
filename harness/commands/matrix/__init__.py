# SPDX-License-Identifier: GPL-2.0-only
"""``make build-matrix``: other configurations and architectures."""
