# SPDX-License-Identifier: GPL-2.0-only
"""Mistakes in expressions: conditions, comparisons, flags, errors, results, ends of ranges."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tree_sitter import Node

from harness.mutants.mutant import Edit, Form
from harness.mutants.operators import Mistake, OperatorTable, one_edit
from harness.mutants.syntax import LOOPS, Body, code_children, is_macro_head

_LOGICAL = {"&&": "||", "||": "&&"}
_BOUND = {"<": "<=", "<=": "<", ">": ">=", ">=": ">"}
_CHANGED = {"==": "!=", "!=": "==", "<": ">=", "<=": ">", ">": "<=", ">=": "<"}
_ERROR = re.compile(r"E[A-Z0-9]{2,}")
_KEPT_IN = ("return_statement", "assignment_expression", "init_declarator",
            "conditional_expression")  # fmt: skip
_DECIDES = (*LOOPS, "if_statement", "conditional_expression")
_BINDS_CLOSER = ("binary_expression", "unary_expression", "cast_expression")
_ATOMS = ("identifier", "field_expression", "call_expression", "subscript_expression",
          "parenthesized_expression")  # fmt: skip
ONE = "1"


def instead_of(node: Node, instead: str, form: Form = "expression") -> Edit:
    """The edit that puts something in place of a node."""
    return Edit(node.start_byte, node.end_byte, instead, form)


def replaced(
    operator: str, body: Body, node: Node, instead: str, form: Form = "expression",
    about: Node | None = None,
) -> Mistake:  # fmt: skip
    """The mistake of something in place of a node; it is about that, or a part of it."""
    return one_edit(operator, instead_of(node, instead, form), body.lines(about or node))


def operator_of(node: Node) -> str:
    """The operator of a unary, binary, update or assignment expression; '' of another node."""
    found = node.child_by_field_name("operator")
    return found.type if found is not None else ""


def _sides(node: Node) -> tuple[Node, Node]:
    left, right = node.child_by_field_name("left"), node.child_by_field_name("right")
    assert left is not None and right is not None, node
    return left, right


def condition_of(node: Node) -> Node | None:
    """What decides in a statement or in `?:`, without its parentheses; None: nothing does."""
    if node.type not in _DECIDES:
        return None
    condition = node.child_by_field_name("condition")
    if condition is not None and condition.type == "parenthesized_expression":
        inner = code_children(condition)
        return inner[0] if len(inner) == 1 else None
    return condition


def _is_whole(node: Node) -> bool:
    """Whether an expression is all of a condition or of what is returned."""
    above = node.parent
    if above is not None and above.type == "parenthesized_expression":
        above = above.parent
    if above is None:
        return False
    return above.type == "return_statement" or condition_of(above) == node


def conditions(body: Body, node: Node, table: OperatorTable) -> Iterator[Mistake]:
    """A condition negated, always true, never true; a truth value that is returned, negated."""
    if node.type == "return_statement":
        values = code_children(node)
        while values and values[0].type == "parenthesized_expression":
            values = code_children(values[0])
        if values and (operator_of(values[0]) in ("!", *_LOGICAL, *_CHANGED)):
            yield _negated(body, values[0])
        return
    condition = condition_of(node)
    if condition is None or is_macro_head(body, node) or condition.type == "number_literal":
        return
    if node.type in LOOPS:
        yield replaced("condition-false", body, condition, "0", "condition")
        return
    yield _negated(body, condition)
    if node.type == "if_statement":
        for operator, value in (("condition-true", "1"), ("condition-false", "0")):
            yield replaced(operator, body, condition, value, "condition")


def _negated(body: Body, node: Node) -> Mistake:
    text = f"!{body.text(node)}" if node.type in _ATOMS else f"!({body.text(node)})"
    if node.type == "unary_expression" and operator_of(node) == "!":
        text = body.text(node).removeprefix("!")
    return replaced("condition-negated", body, node, text, "condition")


def parts(body: Body, node: Node, table: OperatorTable) -> Iterator[Mistake]:
    """Of `a && b` and `a || b`: one of the two, and the other operator."""
    sign = operator_of(node)
    if node.type != "binary_expression" or sign not in _LOGICAL:
        return
    left, right = _sides(node)
    yield replaced("part-dropped", body, node, body.text(left), "condition", right)
    chain = operator_of(left) == sign
    if not chain:  # else its own parts say it
        yield replaced("part-dropped", body, node, body.text(right), "condition", left)

    def closed(part: Node) -> str:
        return f"({body.text(part)})" if operator_of(part) in _LOGICAL else body.text(part)

    text = f"{closed(left)} {_LOGICAL[sign]} {closed(right)}"
    if node.parent is not None and node.parent.type in _BINDS_CLOSER:
        text = f"({text})"
    lines = (body.lines(right), *(() if chain else (body.lines(left),)))
    yield one_edit("and-or-swapped", instead_of(node, text, "condition"), *lines)


def comparisons(body: Body, node: Node, table: OperatorTable) -> Iterator[Mistake]:
    """The end of a range in or out; and, where it is not a whole condition, the opposite."""
    sign = operator_of(node)
    if node.type != "binary_expression" or sign not in _CHANGED:
        return
    left, right = map(body.text, _sides(node))
    if sign in _BOUND:
        yield replaced("comparison-bound", body, node, f"{left} {_BOUND[sign]} {right}")
    if not _is_whole(node):
        yield replaced("comparison-changed", body, node, f"{left} {_CHANGED[sign]} {right}")


def flags(body: Body, node: Node, table: OperatorTable) -> Iterator[Mistake]:
    """`a | b` without one of them, `a & ~b` without that; GFP flags of the other kind."""
    if node.type == "identifier" and (gfp := table.gfp.get(body.text(node))):
        yield replaced("gfp-changed", body, node, gfp)
    sign = operator_of(node)
    if node.type != "binary_expression" or sign not in ("|", "&"):
        return
    left, right = _sides(node)
    dropped = []  # what stays, and what does not
    if sign == "|" or operator_of(right) == "~":
        dropped.append((left, right))
    if sign == "|" and operator_of(left) != "|":  # else its own flags say it
        dropped.append((right, left))
    for kept, gone in dropped:
        batching = table.is_call("flush_flag", body.text(gone))
        operator = "flush-dropped" if batching else "flag-dropped"
        yield replaced(operator, body, node, body.text(kept), about=gone)


def results(body: Body, node: Node, table: OperatorTable) -> Iterator[Mistake]:
    """Another error, none at all, and the opposite of a truth value."""
    above = node.parent
    kept = above is not None and above.type in _KEPT_IN
    if node.type == "unary_expression" and operator_of(node) == "-":
        argument = node.child_by_field_name("argument")
        name = body.text(argument) if argument is not None else ""
        if not _ERROR.fullmatch(name):
            return
        other = table.errors.get(name, table.errors["others"])
        yield replaced("error-changed", body, node, f"-{other}")
        if kept:
            yield replaced("error-swallowed", body, node, "0")
    elif node.type in ("identifier", "true", "false") and kept:
        instead = table.results.get(body.text(node))
        assigned = above is not None and above.child_by_field_name("left") == node
        if instead is not None and not assigned:
            operator = "error-swallowed" if instead == "0" else "result-changed"
            yield replaced(operator, body, node, instead)


def range_ends(body: Body, node: Node, table: OperatorTable) -> Iterator[Mistake]:
    """`a + 1` and `a - 1` without the 1; an argument that is an end of a range, moved."""
    if node.type == "binary_expression" and operator_of(node) in ("+", "-"):
        left, right = _sides(node)
        if body.text(right) == ONE:
            yield replaced("range-end-moved", body, node, body.text(left))
        elif body.text(left) == ONE and operator_of(node) == "+":
            yield replaced("range-end-moved", body, node, body.text(right))
    if node.parent is None or node.parent.type != "argument_list":
        return
    if node.type == "field_expression":
        field = node.child_by_field_name("field")
        name = body.text(field) if field is not None else ""
    else:
        name = body.text(node) if node.type == "identifier" else ""
    for end in table.ends:
        if re.fullmatch(end.name, name):
            yield replaced("range-end-moved", body, node, end.moved.format(body.text(node)))


def accesses(body: Body, node: Node, table: OperatorTable) -> Iterator[Mistake]:
    """READ_ONCE() and the like: the access alone."""
    template = table.once.get(body.called(node))
    arguments = node.child_by_field_name("arguments")
    if template is None or arguments is None or node.parent is None:
        return
    text = template.format(*map(body.text, code_children(arguments)))
    if node.parent.type == "expression_statement":
        yield replaced("once-dropped", body, node.parent, f"{text};", "statement", node)
    else:
        text = text if text.startswith("(") else f"({text})"
        yield replaced("once-dropped", body, node, text)
