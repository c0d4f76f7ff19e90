# SPDX-License-Identifier: GPL-2.0-only
"""Small mistakes in the changed lines, each planted alone: which of them does no test see?"""
