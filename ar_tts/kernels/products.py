"""Matrix products for steps.py, as vector code that Numba compiles: sums in one order, whatever stands beside a row.

Weights lie in panels of 32 outputs, in half precision where that loses nothing: reading them is what a step waits for.
A compiler that is free to reorder sums is not asked, so the inner loop is written in the terms of LLVM.

Shapes: B rows.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

PANEL, BLOCK, VECTOR = 32, 64, 16
"""Outputs of a panel of weights, positions of a block of keys, floats of a vector; widths are multiples of the last."""
SINGLE, HALF, BYTE = range(3)
"""How the weights of a product are stored; bytes have a scale an output."""
SIZES = {SINGLE: 4, HALF: 2, BYTE: 1}
KIND, WEIGHTS, INPUTS, OUTPUTS, BIAS, SCALE = range(6)
"""Columns of a product: its weights' address; OUTPUTS, padded to panels; where in the vectors bias and scales begin."""


def compiled(function: Callable[..., Any]) -> Any:
    """With the result on disk where there is a place for it. Products and sums may be fused, but not reordered."""
    try:
        return numba.njit(function, cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
    except RuntimeError:
        return numba.njit(function, nogil=True, error_model="numpy", fastmath={"contract"})


def supports(feature: str) -> bool:
    """Whether compiled code may use this of the processor."""
    if numba.config.CPU_NAME or numba.config.CPU_FEATURES is not None:  # told to compile for another one
        return f"+{feature}" in (numba.config.CPU_FEATURES or "")
    return bool(binding.get_host_cpu_features().get(feature, False))


# ---- single numbers ----


@intrinsic  # type: ignore[misc]
def address(typing: Any, array: Any) -> Any:
    """Of an array's first number."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        made = context.make_array(signature.args[0])(context, builder, arguments[0])
        return builder.ptrtoint(made.data, ir.IntType(64))

    return types.int64(array), build


@intrinsic  # type: ignore[misc]
def poke(typing: Any, address: Any, value: Any) -> Any:
    """Write a float32."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.store(arguments[1], builder.inttoptr(arguments[0], ir.FloatType().as_pointer()), align=4)
        return context.get_dummy_value()

    return types.void(types.int64, types.float32), build


@intrinsic  # type: ignore[misc]
def peek(typing: Any, address: Any) -> Any:
    """Read a float32."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(builder.inttoptr(arguments[0], ir.FloatType().as_pointer()), align=4)

    return types.float32(types.int64), build


@intrinsic  # type: ignore[misc]
def peek_double(typing: Any, address: Any) -> Any:
    """Read a float64."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(builder.inttoptr(arguments[0], ir.DoubleType().as_pointer()), align=8)

    return types.float64(types.int64), build


@intrinsic  # type: ignore[misc]
def from_bits(typing: Any, bits: Any) -> Any:
    """The float32 with these bits."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.int32), build


# ---- tiles ----


def _tile(rows: int, vectors: int, kind: int, adds: bool) -> Any:
    """y (rows, 16 vectors) = or += x (rows, count) @ w (count, 16 vectors), with the sums in registers.

    Made for addresses, and strides in bytes. Each output is one chain of fused products in the order of the inputs,
    and so the same for any number of rows. Bytes are multiplied by their scales at the end.
    """

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        x, x_stride, w, w_stride, count, y, y_stride, scales = arguments
        whole, single = ir.IntType(64), ir.FloatType()
        vector = ir.VectorType(single, VECTOR)
        fused = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(vector, [vector] * 3), f"llvm.fmuladd.v{VECTOR}f32")

        def at(address: Any, kind: Any, index: Any, stride: Any) -> Any:
            moved = builder.add(address, builder.mul(index, stride))
            return builder.inttoptr(moved, kind.as_pointer())

        def number(n: int) -> Any:
            return ir.Constant(whole, n)

        def weights(index: Any, part: int) -> Any:
            stored = {SINGLE: single, HALF: ir.HalfType(), BYTE: ir.IntType(8)}[kind]
            of = ir.VectorType(stored, VECTOR)
            start = builder.add(w, number(part * VECTOR * SIZES[kind]))
            loaded = builder.load(at(start, of, index, w_stride), align=SIZES[kind])
            if kind == HALF:
                return builder.fpext(loaded, vector)
            return builder.sitofp(loaded, vector) if kind == BYTE else loaded

        def of_y(row: int, part: int) -> Any:
            return at(builder.add(y, number(part * VECTOR * 4)), vector, number(row), y_stride)

        nothing = ir.Constant(vector, None)
        places = [(row, part) for row in range(rows) for part in range(vectors)]
        starts = [builder.load(of_y(*place), align=4) if adds and kind != BYTE else nothing for place in places]
        inputs = [builder.add(x, builder.mul(number(row), x_stride)) for row in range(rows)]
        before, loop = builder.block, builder.append_basic_block("products")
        after = builder.append_basic_block("after")
        builder.branch(loop)
        builder.position_at_end(loop)
        index = builder.phi(whole)
        index.add_incoming(number(0), before)
        sums = [builder.phi(vector) for _ in places]
        found = []
        read = [weights(index, part) for part in range(vectors)]
        for row in range(rows):
            one = builder.load(at(inputs[row], single, index, number(4)), align=4)
            first = builder.insert_element(ir.Constant(vector, ir.Undefined), one, ir.Constant(ir.IntType(32), 0))
            spread = builder.shuffle_vector(first, first, ir.Constant(ir.VectorType(ir.IntType(32), VECTOR), None))
            found += [builder.call(fused, [spread, read[part], sums[row * vectors + part]]) for part in range(vectors)]
        for phi, start, end in zip(sums, starts, found, strict=True):
            phi.add_incoming(start, before)
            phi.add_incoming(end, loop)
        following = builder.add(index, number(1))
        index.add_incoming(following, loop)
        builder.cbranch(builder.icmp_signed("<", following, count), loop, after)
        builder.position_at_end(after)
        for (row, part), end in zip(places, found, strict=True):
            target = of_y(row, part)
            if kind == BYTE:
                scale = builder.load(at(scales, vector, number(part), number(4 * VECTOR)), align=4)
                end = builder.call(fused, [end, scale, builder.load(target, align=4) if adds else nothing])
            builder.store(end, target, align=4)
        return context.get_dummy_value()

    @intrinsic  # type: ignore[misc]
    def tile(typing: Any, x: Any, x_stride: Any, w: Any, w_stride: Any, count: Any, y: Any, y_stride: Any,
             scales: Any) -> Any:
        return types.void(*[types.int64] * 8), build

    return tile


_single_1, _single_2, _single_4, _single_8 = (_tile(rows, 2, SINGLE, True) for rows in (1, 2, 4, 8))
_HALF = HALF if supports("f16c") else SINGLE  # without instructions for it, nothing is kept in half precision
_half_1, _half_2, _half_4, _half_8 = (_tile(rows, 2, _HALF, True) for rows in (1, 2, 4, 8))
_byte_1, _byte_2, _byte_4, _byte_8 = (_tile(rows, 2, BYTE, True) for rows in (1, 2, 4, 8))
score_block = _tile(1, BLOCK // VECTOR, SINGLE, False)
mix_1, mix_2, mix_3 = (_tile(1, vectors, SINGLE, True) for vectors in (1, 2, 3))


@compiled
def product(what: np.ndarray, vectors: np.ndarray, x: np.ndarray, y: np.ndarray, rows: int, most: int) -> None:
    """y (B, outputs) += x (B, inputs) @ weights, `most` rows at a time: 8 where there are registers for them, or 2."""
    kind, inputs = what[KIND], what[INPUTS]
    size = 4 if kind == SINGLE else 2 if kind == HALF else 1
    width, across, down = PANEL * size, 4 * x.shape[1], 4 * y.shape[1]
    for panel in range(what[OUTPUTS] // PANEL):
        w = what[WEIGHTS] + panel * inputs * width
        scales = address(vectors) + 4 * (what[SCALE] + panel * PANEL)
        source, target = address(x), address(y) + 4 * panel * PANEL
        left = rows
        while left > 0:
            done = min(most, 8 if left >= 8 else 4 if left >= 4 else 2 if left >= 2 else 1)
            if kind == SINGLE:
                if done == 8:
                    _single_8(source, across, w, width, inputs, target, down, scales)
                elif done == 4:
                    _single_4(source, across, w, width, inputs, target, down, scales)
                elif done == 2:
                    _single_2(source, across, w, width, inputs, target, down, scales)
                else:
                    _single_1(source, across, w, width, inputs, target, down, scales)
            elif kind == HALF:
                if done == 8:
                    _half_8(source, across, w, width, inputs, target, down, scales)
                elif done == 4:
                    _half_4(source, across, w, width, inputs, target, down, scales)
                elif done == 2:
                    _half_2(source, across, w, width, inputs, target, down, scales)
                else:
                    _half_1(source, across, w, width, inputs, target, down, scales)
            else:
                if done == 8:
                    _byte_8(source, across, w, width, inputs, target, down, scales)
                elif done == 4:
                    _byte_4(source, across, w, width, inputs, target, down, scales)
                elif done == 2:
                    _byte_2(source, across, w, width, inputs, target, down, scales)
                else:
                    _byte_1(source, across, w, width, inputs, target, down, scales)
            left -= done
            source += done * across
            target += done * down
