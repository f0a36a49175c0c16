"""Angle expressions of OpenQASM: a constant plus multiples of the program's inputs."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable
from typing import Any

from samplers.errors import InputError

Affine = tuple[float, dict[str, float]]  # constant, coefficient of each name

_FUNCTIONS: dict[str, Callable[[float], float]] = {
    n: getattr(math, n) for n in ("sin", "cos", "tan", "exp", "sqrt", "log", "asin", "acos", "atan")
}
_CONSTANTS = {"pi": math.pi, "π": math.pi, "tau": math.tau, "euler": math.e}
_ADD: dict[Any, Callable[[float, float], float]] = {ast.Add: operator.add, ast.Sub: operator.sub}


def evaluate(text: str, values: dict[str, Affine], inputs: dict[str, Any], version: int = 2) -> Affine:
    """Evaluate an angle expression to a constant plus multiples of inputs.

    Parameters
    ----------
    text
        The expression.
    values
        What names stand for.
    inputs
        Names of the program's inputs.
    version
        Of OpenQASM, 2 or 3.

    Raises
    ------
    InputError
        For what is no such expression; the message quotes it.
    """

    def visit(node: ast.AST) -> Affine:
        match node:
            case ast.Expression():
                return visit(node.body)
            case ast.Constant(value=int() | float() as value):
                return float(value), {}
            case ast.Name():
                if node.id in values:
                    return values[node.id]
                if node.id in _CONSTANTS:
                    return _CONSTANTS[node.id], {}
                if node.id in inputs:
                    return 0.0, {node.id: 1.0}
                raise InputError(f"OpenQASM: unknown name {node.id!r} in the angle {text!r}")
            case ast.UnaryOp(op=ast.USub()):
                return times(visit(node.operand), -1.0)
            case ast.UnaryOp(op=ast.UAdd()):
                return visit(node.operand)
            case ast.BinOp(op=ast.Add() | ast.Sub()):
                (a, left), (b, right) = visit(node.left), visit(node.right)
                join = _ADD[type(node.op)]
                return join(a, b), {n: join(left.get(n, 0.0), right.get(n, 0.0)) for n in left | right}
            case ast.BinOp(op=ast.Mult()):
                first, second = visit(node.left), visit(node.right)
                return times(first, second[0]) if not second[1] else times(second, number(first))
            case ast.BinOp(op=ast.Div(), left=ast.Constant(value=int()), right=ast.Constant(value=int())) if (
                version == 3
            ):
                raise InputError(f"OpenQASM 3 divides integers without a fraction: cannot read {text!r}, write 1.0/2")
            case ast.BinOp(op=ast.Div()):
                return times(visit(node.left), 1 / number(visit(node.right)))
            case ast.BinOp(op=ast.Pow()):
                return number(visit(node.left)) ** number(visit(node.right)), {}
            case ast.Call(func=ast.Name(id=name), args=[argument]) if name in _FUNCTIONS:
                return _FUNCTIONS[name](number(visit(argument))), {}
        raise InputError(f"OpenQASM: cannot read the angle {text!r}")

    def times(value: Affine, factor: float) -> Affine:
        return value[0] * factor, {n: c * factor for n, c in value[1].items()}

    def number(value: Affine) -> float:
        if value[1]:
            raise InputError(f"OpenQASM: the angle {text!r} is not a constant plus multiples of inputs")
        return value[0]

    if "^" in text and version == 3:
        raise InputError(f"OpenQASM 3: ^ in {text!r} is a bitwise operation; a power is **")
    try:
        return visit(ast.parse(text.replace("^", "**"), mode="eval"))
    except (SyntaxError, ZeroDivisionError, ValueError, OverflowError, TypeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"OpenQASM: cannot read the angle {text!r}") from None
