# SPDX-License-Identifier: GPL-2.0-only
"""What a guest boots from: root file system, test programs, ext2."""
