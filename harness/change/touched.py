# SPDX-License-Identifier: GPL-2.0-only
"""Which files a series touches, of what kind each is, and whether this kernel has been built of it.

Documentation, tools and selftests count as what they are. A C file has its object; what has none
(a header, a C file that another includes) is looked for among what the objects were made from.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from harness.core import git
from harness.core.events import FileKind, TouchedFile
from harness.series.apply import PatchedTree

SELFTESTS = "tools/testing/selftests/"
# The programs of a kernel tree, which are no part of a kernel.
_TOOLS = ("tools/", "scripts/", "samples/", "usr/", "certs/extract-cert")
_DOCUMENTS = ("Documentation/", "LICENSES/", "MAINTAINERS", "CREDITS", "COPYING", "README", ".")
_CONFIGURATION = re.compile(r"(^|/)(Kconfig|Makefile|Kbuild)[^/]*$|defconfig$|\.config$|\.its$")
_CODE = (".c", ".S", ".rs", ".tbl", ".lds", ".dts", ".dtsi")
# A comment, or a literal that may look as if it held one.
_COMMENT = re.compile(
    r"""(?P<comment>//[^\n]*|/\*.*?\*/)|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'""", re.DOTALL
)
_SAID: Mapping[FileKind, str] = {
    "documentation": "documentation",
    "configuration": "this kernel was configured and built by it",
    "selftest": "a selftest, which is no part of a kernel",
    "tool": "a program of its own, which is no part of a kernel",
    "comments": "only comments and white space change",
}


@dataclass(frozen=True)
class Touched:
    """``gone``: the series removes it."""

    path: str
    kind: FileKind
    gone: bool = False

    @property
    def architecture(self) -> str | None:
        """The one that it is for; None where it is for all."""
        parts = PurePosixPath(self.path).parts
        return parts[1] if len(parts) > 2 and parts[0] == "arch" else None


def kind_of(path: str) -> FileKind:
    """The kind of a file, by its place and its name."""
    if path.startswith(SELFTESTS):
        return "selftest"
    if path.startswith(_TOOLS):
        return "tool"
    if path.startswith(_DOCUMENTS) or path.endswith((".rst", ".txt", ".md")):
        return "documentation"
    if _CONFIGURATION.search(path):
        return "configuration"
    return "header" if path.endswith(".h") else "code"


def without_comments(text: str) -> list[str]:
    """The words of a C text, its comments left out."""
    return _COMMENT.sub(lambda m: " " if m["comment"] else m[0], text).split()


def touched_files(tree: PatchedTree, *, texts: bool = True) -> list[Touched]:
    """The files that the series touches, in order of their names.

    Args:
        texts: look into those with code as well, whether only comments change.
    """
    found: list[tuple[Touched, list[str]]] = []
    for file in git.changed_files(tree.repo, tree.base, tree.commit):
        touched = Touched(file.path, kind_of(file.path), gone=file.status == "D")
        changed = file.status == "M" and file.mode != git.SUBMODULE
        compared = texts and changed and touched.kind in ("code", "header")
        found.append((touched, [file.old_blob, file.blob] if compared else []))
    blobs = git.blobs(tree.repo, [blob for _, pair in found for blob in pair])
    return [
        _unless_only_comments(touched, [blobs[blob] for blob in pair]) for touched, pair in found
    ]


def _unless_only_comments(touched: Touched, texts: Sequence[bytes]) -> Touched:
    """The file, as one of kind comments where the two texts given differ by these alone."""
    words = [without_comments(text.decode("utf-8", "replace")) for text in texts]
    same = words and words[0] == words[1]
    return replace(touched, kind="comments") if same else touched


def fates(
    files: Sequence[Touched],
    compiled: Sequence[str],
    used: Mapping[str, Sequence[str]],
    missing: Mapping[str, str],
    arch: str,
) -> Iterator[TouchedFile]:
    """What has become of each file in a kernel that was built.

    Args:
        compiled: the objects of that kernel, as kbuild names them.
        used: of what has no object of its own, those that were made from it.
        missing: what keeps a file out, where that is known.
        arch: of that kernel.
    """
    objects = frozenset(compiled)
    for file in files:
        own = str(PurePosixPath(file.path).with_suffix(".o"))
        built: bool | None = None
        if file.gone:
            said = "removed"
        elif file.kind not in ("code", "header"):
            said = _SAID[file.kind]
        elif file.path.endswith(_CODE) and own in objects:
            built, said = True, own
        elif by := used.get(file.path):
            built, said = True, by[0] if len(by) == 1 else f"in {len(by)} objects, such as {by[0]}"
        elif file.architecture not in (None, arch):
            built, said = False, f"for another architecture: this kernel is for {arch}"
        else:
            nobody = "no object of this kernel is made from it"
            built, said = False, missing.get(file.path, nobody)
        yield TouchedFile(file.path, file.kind, built, said)


def without_object(files: Sequence[Touched], compiled: Sequence[str]) -> list[str]:
    """The files that have no object of their own and may be a part of others'."""
    objects = frozenset(compiled)
    code = (f.path for f in files if f.kind in ("code", "header") and not f.gone)
    return [path for path in code if str(PurePosixPath(path).with_suffix(".o")) not in objects]
