"""Vector instructions for numba: operations on whole rows of LANES numbers of C-contiguous (rows, LANES) arrays.

numba leaves vectors to LLVM's loop vectoriser, which must first prove that the arrays of a loop do not overlap; these
intrinsics say what they mean, run at twice the speed and compile faster. Rows that an operation reads and writes
must be distinct or the same, never shifted.

Parameters
----------
a, re, im, out
    Arrays of rows, C-contiguous; the operation says which are written.
row, low, high
    Rows to work on.
h, i, j, k
    Strides of the butterflies; of `split`, k is the row of `cos` and `sin`.
c, s, cos, sin
    Cosine and sine, numbers or rows.
table_re, table_im, entry
    A table and its row.
sign
    1, or -1 for the conjugate.
adj_re, adj_im
    The other factor.
factor
    A number.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

LANES = 16


def _rows(context: Any, builder: Any, signature: Any, arguments: Any, places: list[tuple[int, Any]]) -> list[Any]:
    """Return vector pointers to the rows at (position of the array argument, row index)."""
    out = []
    for position, row in places:
        array_type = signature.args[position]
        array = context.make_array(array_type)(context, builder, arguments[position])
        element = context.get_data_type(array_type.dtype)
        start = builder.mul(row, ir.Constant(row.type, LANES))
        out.append(builder.bitcast(builder.gep(array.data, [start]), ir.VectorType(element, LANES).as_pointer()))
    return out


def _load(builder: Any, pointer: Any) -> Any:
    return builder.load(pointer, align=4)


def _store(builder: Any, pointer: Any, value: Any) -> None:
    builder.store(value, pointer, align=4)


def _splat(builder: Any, value: Any) -> Any:
    vector = ir.VectorType(value.type, LANES)
    zero = ir.Constant(ir.IntType(32), 0)
    one = builder.insert_element(ir.Constant(vector, ir.Undefined), value, zero)
    mask = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return builder.shuffle_vector(one, ir.Constant(vector, ir.Undefined), mask)


def _butterflies(builder: Any, rows: list[Any]) -> list[Any]:
    h = 1
    while h < len(rows):
        for k in range(len(rows)):
            if not k & h:
                a, b = rows[k], rows[k + h]
                rows[k], rows[k + h] = builder.fadd(a, b), builder.fsub(a, b)
        h *= 2
    return rows


def _hadamards(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    """The body of a butterfly over the strides that follow (array, row)."""
    places = [arguments[1]]
    for stride in arguments[2:]:
        places += [builder.add(place, stride) for place in places]
    pointers = _rows(context, builder, signature, arguments, [(0, place) for place in places])
    for pointer, value in zip(pointers, _butterflies(builder, [_load(builder, p) for p in pointers]), strict=True):
        _store(builder, pointer, value)
    return context.get_dummy_value()


@intrinsic
def hadamard2(typingctx, a, row, h):
    """Butterfly of the rows row, row + h."""
    return types.void(a, types.int64, types.int64), _hadamards


@intrinsic
def hadamard4(typingctx, a, row, h, i):
    """Butterflies of strides h and i on four rows."""
    return types.void(a, *[types.int64] * 3), _hadamards


@intrinsic
def hadamard16(typingctx, a, row, h, i, j, k):
    """Butterflies of four strides on sixteen rows."""
    return types.void(a, *[types.int64] * 5), _hadamards


def _complex_multiply(builder: Any, re: Any, im: Any, c: Any, s: Any) -> None:
    x, y = _load(builder, re), _load(builder, im)
    _store(builder, re, builder.fsub(builder.fmul(x, c), builder.fmul(y, s)))
    _store(builder, im, builder.fadd(builder.fmul(x, s), builder.fmul(y, c)))


@intrinsic
def rotate(typingctx, re, im, row, c, s):
    """Multiply a row of complex numbers by the number c + i s."""

    def body(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        p = _rows(context, builder, signature, arguments, [(0, arguments[2]), (1, arguments[2])])
        _complex_multiply(builder, *p, *(_splat(builder, v) for v in arguments[3:]))
        return context.get_dummy_value()

    return types.void(re, im, types.int64, re.dtype, re.dtype), body


@intrinsic
def rotate_rows(typingctx, re, im, row, table_re, table_im, entry, sign):
    """Multiply a row of complex numbers by the row `entry` of a table, its imaginary part times `sign`."""

    def body(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        row, entry = arguments[2], arguments[5]
        p = _rows(context, builder, signature, arguments, [(0, row), (1, row), (3, entry), (4, entry)])
        s = builder.fmul(_load(builder, p[3]), _splat(builder, arguments[6]))
        _complex_multiply(builder, p[0], p[1], _load(builder, p[2]), s)
        return context.get_dummy_value()

    return types.void(re, im, types.int64, table_re, table_im, types.int64, re.dtype), body


@intrinsic
def split(typingctx, re, im, low, high, cos, sin, k):
    """Row `high` becomes row `low` times c + i s, row `low` itself times c - i s, of rows k of cos and sin."""

    def body(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        low, high, k = arguments[2], arguments[3], arguments[6]
        places = [(0, low), (1, low), (0, high), (1, high), (4, k), (5, k)]
        p = _rows(context, builder, signature, arguments, places)
        x, y, _, _, c, s = (_load(builder, q) for q in p)
        xc, ys, yc, xs = (builder.fmul(a, b) for a, b in ((x, c), (y, s), (y, c), (x, s)))
        for pointer, value in zip(
            p, (builder.fadd(xc, ys), builder.fsub(yc, xs), builder.fsub(xc, ys), builder.fadd(yc, xs)), strict=False
        ):
            _store(builder, pointer, value)
        return context.get_dummy_value()

    return types.void(re, im, types.int64, types.int64, cos, sin, types.int64), body


@intrinsic
def cross(typingctx, out, adj_re, adj_im, re, im, row):
    """Row of out = adj_re * im - adj_im * re."""

    def body(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        p = _rows(context, builder, signature, arguments, [(k, arguments[5]) for k in range(5)])
        a, b, x, y = (_load(builder, q) for q in p[1:])
        _store(builder, p[0], builder.fsub(builder.fmul(a, y), builder.fmul(b, x)))
        return context.get_dummy_value()

    return types.void(out, adj_re, adj_im, re, im, types.int64), body


def _binary(operation: Callable[[Any, Any, Any], Any]) -> Any:
    def build(typingctx, out, row, a, k):
        def body(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            p = _rows(context, builder, signature, arguments, [(0, arguments[1]), (2, arguments[3])])
            _store(builder, p[0], operation(builder, _load(builder, p[0]), _load(builder, p[1])))
            return context.get_dummy_value()

        return types.void(out, types.int64, a, types.int64), body

    return intrinsic(build)


add_row = _binary(lambda builder, x, y: builder.fadd(x, y))
subtract_row = _binary(lambda builder, x, y: builder.fsub(x, y))
multiply_row = _binary(lambda builder, x, y: builder.fmul(x, y))
copy_row = _binary(lambda builder, x, y: y)


def _lanes(h: int) -> Any:
    """Butterflies of stride h inside a row."""

    def build(typingctx, a, row):
        def body(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            (pointer,) = _rows(context, builder, signature, arguments, [(0, arguments[1])])
            value = _load(builder, pointer)
            order = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [lane ^ h for lane in range(LANES)])
            signs = ir.Constant(value.type, [-1.0 if lane & h else 1.0 for lane in range(LANES)])
            other = builder.shuffle_vector(value, ir.Constant(value.type, ir.Undefined), order)
            _store(builder, pointer, builder.fadd(other, builder.fmul(value, signs)))
            return context.get_dummy_value()

        return types.void(a, types.int64), body

    return intrinsic(build)


lanes1, lanes2, lanes4, lanes8 = (_lanes(h) for h in (1, 2, 4, 8))


@intrinsic
def scale_row(typingctx, a, row, factor):
    """Multiply a row by a number."""

    def body(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        (pointer,) = _rows(context, builder, signature, arguments, [(0, arguments[1])])
        _store(builder, pointer, builder.fmul(_load(builder, pointer), _splat(builder, arguments[2])))
        return context.get_dummy_value()

    return types.void(a, types.int64, a.dtype), body
