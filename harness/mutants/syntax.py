# SPDX-License-Identifier: GPL-2.0-only
"""The body of a function of the kernel as a syntax tree, and what of it may be edited.

tree-sitter reads C without its preprocessor. Macros that are heads of loops are shown to it as
`while`, which takes any expression and any body; what it still cannot read is left alone.
"""

from __future__ import annotations

import bisect
import functools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import tree_sitter_c
from tree_sitter import Language, Node, Parser

from harness.detectors.changed_functions import Function
from harness.mutants.operators import operator_table

HEAD = b"void f() "  # of what tree-sitter is shown; no file's first function begins before
LOOPS = ("while_statement", "do_statement", "for_statement")
# A statement that has no other in it.
SIMPLE = ("expression_statement", "return_statement", "goto_statement", "break_statement",
          "continue_statement")  # fmt: skip
STATEMENTS = (*SIMPLE, *LOOPS, "if_statement", "switch_statement", "compound_statement")
JUMPS = SIMPLE[1:]
# What the compiler works out, or never does; and what is no C.
_FIXED = ("sizeof_expression", "alignof_expression", "offsetof_expression", "gnu_asm_expression",
          "array_declarator", "enum_specifier", "bitfield_clause", "type_descriptor",
          "preproc_def", "preproc_function_def", "preproc_call", "preproc_include",
          "struct_specifier", "union_specifier", "comment")  # fmt: skip
_FIXED_FIELDS = {"case_statement": "value", "preproc_if": "condition",
                 "preproc_elif": "condition", "preproc_ifdef": "name"}  # fmt: skip
_WHOLE = (*SIMPLE, "declaration", "parenthesized_expression", "argument_list")
_NOT_CODE = re.compile(r'("(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\')|//[^\n]*|/\*.*?\*/|\\\n', re.S)
_KIND = rb"(?:struct|enum|union|unsigned|signed|const)\s[\w\s]+\**"
_TYPE = re.compile(rb"(?<=[,(])(?P<gap>\s*)(?P<type>" + _KIND + rb")(?=(?P<end>[,)]))")


@dataclass(frozen=True)
class Body:
    """A function's body; offsets in its tree are those of the file.

    Args:
        head: what stands before the brace, from the function's first line.
        unread: gets the lines of what cannot be read.
    """

    function: Function
    source: bytes
    root: Node
    head: str
    line_starts: Sequence[int]
    unread: list[int]

    def line(self, offset: int) -> int:
        """The line of a byte, from 1."""
        return bisect.bisect_right(self.line_starts, offset)

    def lines(self, node: Node) -> range:
        """The lines of a node."""
        return range(self.line(node.start_byte), self.line(node.end_byte - 1) + 1)

    def text(self, node: Node) -> str:
        """A node's text, as one line without comments."""
        text = self.source[node.start_byte : node.end_byte].decode("utf-8", "replace")
        return re.sub(r"\s+", " ", _NOT_CODE.sub(lambda m: m[1] or " ", text)).strip()

    def called(self, node: Node | None) -> str:
        """The name of the function or the macro that a node calls; '' where it is no call."""
        if node is None or node.type != "call_expression":
            return ""
        function = node.child_by_field_name("function")
        if function is not None and function.type == "field_expression":
            function = function.child_by_field_name("field")
        return self.text(function) if function is not None else ""

    def walk(self) -> Iterator[Node]:
        """All nodes that may be edited, from the outside to the inside."""
        yield from self._walk(self.root)

    def _walk(self, node: Node) -> Iterator[Node]:
        fixed = operator_table().is_fixed(self.called(node))
        if node.type in _FIXED or fixed or _is_static(node):
            return
        broken = any(child.is_error or child.is_missing for child in node.children)
        spoiled = broken and node.type != "compound_statement"
        if spoiled or node.is_error or (node.has_error and node.type in _WHOLE):
            self.unread.append(self.line(node.start_byte))
            return
        yield node
        left_out = node.child_by_field_name(_FIXED_FIELDS.get(node.type, "none"))
        for child in node.children:
            if child != left_out:
                yield from self._walk(child)


def _is_static(node: Node) -> bool:
    return node.type == "declaration" and any(
        child.type == "storage_class_specifier" and child.text == b"static"
        for child in node.children
    )


@functools.cache
def _parser() -> Parser:
    return Parser(Language(tree_sitter_c.language()))


def readable(text: bytes) -> bytes:
    """A function's text, each byte in its place, as C that needs no preprocessor."""
    table = operator_table()
    head = rf"\b(?:{table.calls['loop']}|{table.calls['block']})(?=\s*\()".encode()
    text = re.sub(head, lambda name: b"while".ljust(len(name[0])), text)
    note = rf"\b(?:{table.annotations})".encode()
    text = re.sub(note, lambda name: b" " * len(name[0]), text)
    # A type as an argument, as of min_t(), becomes one word.
    return _TYPE.sub(_as_word, text)


def _as_word(found: re.Match[bytes]) -> bytes:
    """A type among arguments; a cast, which has parentheses of its own, stays."""
    before = found.string[: found.start()].rstrip()[-1:]
    is_cast = before == b"(" and found["end"] == b")"
    word = found["type"] if is_cast else re.sub(rb"[^\w\n]", b"_", found["type"])
    return found["gap"] + word


def read_bodies(source: bytes, functions: Sequence[Function], unread: list[int]) -> Iterator[Body]:
    """The bodies of functions of a file; each is read alone, so that one spoils no other.

    ``unread`` gets the lines of what cannot be read.
    """
    starts = [0, *(match.end() for match in re.finditer(b"\n", source))]
    for function in functions:
        first = starts[function.first - 1]
        end = starts[function.last] if function.last < len(starts) else len(source)
        begin = source.index(b"\n{", first) + 1
        shown = HEAD.rjust(begin) + readable(source[begin:end])
        found = _parser().parse(shown).root_node.named_children
        root = found[0].child_by_field_name("body") if found and len(shown) == end else None
        if root is None:
            unread.append(function.first)
            continue
        head = source[first:begin].decode("utf-8", "replace")
        yield Body(function, source, root, head, starts, unread)


def is_macro_head(body: Body, node: Node) -> bool:
    """Whether a `while` of the tree is a macro in the file."""
    return node.type == "while_statement" and not body.source.startswith(b"while", node.start_byte)


def after_declarations(node: Node) -> bool:
    """Whether no declaration follows a statement in its block: a macro may be one itself."""
    later = node.next_named_sibling
    while later is not None:
        if later.type == "declaration":
            return False
        later = later.next_named_sibling
    return True


def neighbour(node: Node) -> Node | None:
    """The next statement of the same block; None where there is none, or a directive between."""
    following = node.next_named_sibling
    while following is not None and following.type == "comment":
        following = following.next_named_sibling
    return following if following is not None and following.type in STATEMENTS else None


def code_children(node: Node) -> list[Node]:
    """The named children without comments."""
    return [child for child in node.named_children if child.type != "comment"]
