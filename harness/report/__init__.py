# SPDX-License-Identifier: GPL-2.0-only
"""Events become files and screens: results, screen, summary, html, junit, KTAP."""
