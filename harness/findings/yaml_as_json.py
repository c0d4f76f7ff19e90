# SPDX-License-Identifier: GPL-2.0-only
"""What stands for PyYAML in a finding, whose tables are written as JSON: see pyz_file.py."""

from json import JSONDecodeError as YAMLError
from json import loads as safe_load

__all__ = ["YAMLError", "safe_load"]
