# SPDX-License-Identifier: GPL-2.0-only
"""Work of a run given to other machines: Dask, for what outgrows this one."""
