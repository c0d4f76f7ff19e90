# SPDX-License-Identifier: GPL-2.0-only
"""Guest cases run and judged: selection, pool, runner, KTAP, drivers, host checks, plugins."""
