# SPDX-License-Identifier: GPL-2.0-only
"""Mistakes of whole statements: dropped, in the wrong order, not reached, without their lock."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tree_sitter import Node

from harness.mutants.expressions import condition_of, instead_of, operator_of, replaced
from harness.mutants.mutant import Edit
from harness.mutants.operators import LockCalls, Mistake, OperatorTable, one_edit
from harness.mutants.syntax import (
    JUMPS,
    LOOPS,
    STATEMENTS,
    Body,
    after_declarations,
    code_children,
    is_macro_head,
    neighbour,
)

NOTHING = "{ }"  # stands where a statement must, as behind `if`
_WORD = re.compile(r"[A-Za-z_]\w*")


def _does(body: Body, node: Node, table: OperatorTable) -> Node | None:
    """The expression of an expression statement that is no declaration by a macro."""
    inside = code_children(node) if node.type == "expression_statement" else []
    return inside[0] if len(inside) == 1 and not _declares(body, node, table) else None


def _declares(body: Body, node: Node, table: OperatorTable) -> bool:
    """Whether a statement looks like one and stands where declarations do: LIST_HEAD(a)."""
    if not after_declarations(node):
        return True
    at: Node | None = node
    while at is not None:
        inside = code_children(at) if at.type == "expression_statement" else []
        name = body.called(inside[0]) if inside else ""
        macro = table.is_call("declares", name) and name not in table.once
        if at.type != "comment" and not macro:
            return at.type == "declaration" and at != node
        at = at.prev_named_sibling
    return True


def _gone(node: Node) -> Edit:
    return instead_of(node, NOTHING, "statement")


def dropped(body: Body, node: Node, table: OperatorTable) -> Iterator[Mistake]:
    """A call or an assignment that is a whole statement, left out."""
    does = _does(body, node, table)
    if does is None:
        return
    name = body.called(does)
    if does.type in ("assignment_expression", "update_expression") or name in table.once:
        operator = "assignment-dropped"
    elif name and not table.is_lock(name) and not table.is_fixed(name):
        operator = f"{table.kind(name) or 'call'}-dropped"
    else:
        return
    yield replaced(operator, body, node, NOTHING, "statement")


def swapped_neighbours(body: Body, node: Node, table: OperatorTable) -> Iterator[Mistake]:
    """Two simple statements that have a name in common, or are calls, the other way round."""
    following = neighbour(node)
    if following is None or following.type != "expression_statement":
        return
    one, other = _does(body, node, table), _does(body, following, table)
    if one is None or other is None or body.text(one) == body.text(other):
        return
    names = [body.called(does) for does in (one, other)]
    if any(table.is_lock(name) or table.is_fixed(name) for name in names):
        return
    common = set(_WORD.findall(body.text(one))) & set(_WORD.findall(body.text(other)))
    if common or all(names):
        yield _exchanged("neighbours-swapped", body, node, following)


def _exchanged(operator: str, body: Body, first: Node, second: Node) -> Mistake:
    edits = (
        instead_of(first, body.text(second), "statement"),
        instead_of(second, body.text(first), "statement"),
    )
    return Mistake(operator, edits, (body.lines(first), body.lines(second)))


def early_return(body: Body, node: Node, table: OperatorTable) -> Iterator[Mistake]:
    """Leaving the function in front of a statement of its outermost block, but for the last.

    With a lock held it is left by way of the next label, if there is one: otherwise all would
    stand still at once, which no test needs to be good for.
    """
    statements = code_children(body.root)
    if node.parent != body.root or node.type not in STATEMENTS or node.type in JUMPS:
        return
    if node == statements[-1] or _declares(body, node, table):
        return
    before = body.head.partition("(")[0]
    void = "*" not in before and re.search(r"\bvoid\b", before)
    leave = "return; " if void else "return 0; "
    if _holds_a_lock(body, node, table):
        labels = [one for one in statements if one.type == "labeled_statement"]
        later = [one for one in labels if one.start_byte > node.end_byte]
        name = later[0].child_by_field_name("label") if later else None
        if name is None or statements[statements.index(node) + 1] == later[0]:
            return
        leave = f"goto {body.text(name)}; "
    edit = Edit(node.start_byte, node.start_byte, leave, "statement")
    line = body.line(node.start_byte)
    yield one_edit("early-return", edit, range(line, line + 1))


def _holds_a_lock(body: Body, node: Node, table: OperatorTable) -> bool:
    """Whether a lock is taken somewhere before a statement and given back at it or behind."""
    for call in _below(body.root):
        name = body.called(call)
        if name and call.start_byte < node.start_byte:
            gives = next((give for lock in table.locks if (give := lock.gives(name))), None)
            given = _given_back(body, call, gives, table) if gives else []
            if any(give.end_byte > node.start_byte for give in given):
                return True
    return False


def locks(body: Body, node: Node, table: OperatorTable) -> Iterator[Mistake]:
    """A lock taken and given back, both left out; and what it is held for made one shorter."""
    name = body.called(node)
    statement = node.parent
    if not name or statement is None:
        return
    for lock in table.locks:
        give = lock.gives(name)
        if give is None:
            continue
        gives = _given_back(body, node, give, table)
        whole = statement.type == "expression_statement"
        instead = NOTHING if whole else lock.value
        if gives and instead is not None:
            arguments = _arguments(body, node)
            taken = _gone(statement) if whole else instead_of(node, instead.format(*arguments))
            edits = (taken, *(_released(body, lock, one) for one in gives))
            yield Mistake("lock-dropped", edits, (body.lines(node),))
        yield from _narrowed(body, statement, gives, table)
        return


def _given_back(body: Body, taken: Node, give: re.Pattern[str], table: OperatorTable) -> list[Node]:
    """The statements behind the call ``taken`` that give the same lock back."""
    wanted = {argument.lstrip("&") for argument in _arguments(body, taken)}
    if taken.parent is not None and taken.parent.type == "assignment_expression":
        wanted.add(body.text(taken.parent).partition(" = ")[0])
    found = []
    for node in _below(body.root):
        does = _does(body, node, table)
        if node.start_byte < taken.end_byte or does is None:
            continue
        if not give.fullmatch(body.called(does)):
            continue
        have = {argument.lstrip("&") for argument in _arguments(body, does)}
        if wanted & have or not wanted | have:
            found.append(node)
    return found


def _released(body: Body, lock: LockCalls, give: Node) -> Edit:
    if lock.given is None:
        return _gone(give)
    return instead_of(
        give, lock.given.format(*_arguments(body, code_children(give)[0])), "statement"
    )


def _narrowed(
    body: Body, taken: Node, gives: list[Node], table: OperatorTable
) -> Iterator[Mistake]:
    following = neighbour(taken) if taken.type == "expression_statement" else None
    if (
        following is not None
        and _does(body, following, table) is not None
        and following not in gives
    ):
        yield _exchanged("lock-narrowed", body, taken, following)
    for give in gives:
        before = give.prev_named_sibling
        if (
            before is not None
            and before != taken
            and neighbour(before) == give
            and _does(body, before, table)
        ):
            yield _exchanged("lock-narrowed", body, before, give)


def _arguments(body: Body, call: Node) -> list[str]:
    found = call.child_by_field_name("arguments")
    return [body.text(argument) for argument in code_children(found)] if found else []


def _below(node: Node) -> Iterator[Node]:
    yield node
    for child in node.named_children:
        yield from _below(child)


def loops(body: Body, node: Node, table: OperatorTable) -> Iterator[Mistake]:
    """A loop that runs once less, where its condition says how often; and one that runs once."""
    if node.type not in LOOPS:
        return
    condition = condition_of(node)
    if is_macro_head(body, node):
        name = re.match(r"\w+", body.text(node))
        if name is None or not table.is_call("loop", name[0]):
            return  # `scoped_guard` and the like
    elif condition is None or condition.type == "number_literal":
        return
    elif (less := _once_less(body, node, condition)) is not None:
        yield replaced("loop-once-less", body, condition, less, "condition")
    inner = node.child_by_field_name("body")
    if inner is None:
        return
    line = body.line(node.start_byte)
    if inner.type == "compound_statement":
        inside = code_children(inner)
        if inside and inside[-1].type not in JUMPS:
            edit = Edit(inner.end_byte - 1, inner.end_byte - 1, "break; ", "statement")
            yield one_edit("loop-run-once", edit, range(line, line + 1))
    elif _does(body, inner, table) is not None:
        edit = instead_of(inner, f"{{ {body.text(inner)} break; }}", "statement")
        yield one_edit("loop-run-once", edit, range(line, line + 1))


def _once_less(body: Body, node: Node, condition: Node) -> str | None:
    """A condition that ends the loop one step earlier; None: nobody knows how."""
    sign, update = operator_of(condition), node.child_by_field_name("update")
    left, right = (condition.child_by_field_name(side) for side in ("left", "right"))
    if left is None or right is None or condition.type != "binary_expression":
        return None
    start, end = body.text(left), body.text(right)
    if sign in ("<=", ">="):
        return f"{start} {sign[0]} {end}"
    if sign in ("<", ">"):
        return f"{start} {sign} ({end}) {'-' if sign == '<' else '+'} 1"
    if sign == "!=" and update is not None:
        pattern = rf"(?<![\w>.]){re.escape(start)}\s*(\+\+|--|[+-]=\s*(?P<by>[^,]+))"
        step = re.search(pattern, body.text(update))
        if step is not None:
            back = "-" if "+" in step[1][:2] else "+"
            return f"{start} != ({end}) {back} {step['by'] or '1'}"
    return None
