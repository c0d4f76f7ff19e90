# SPDX-License-Identifier: GPL-2.0-only
"""Which order of a program's threads makes a race strike, and what each protection is for."""
