"""The text-to-codes network for many requests at once, compiled by Numba: `take_in` reads prompts, `advance` writes.

Torch spends most of a step on calling its operations. Here several steps of all requests are one call, which lets other
threads run: all blocks on what each request wrote last, how its pointer moves, the heads, and the draws. The twin is
ar_tts.decoding.torch_steps with the modules it calls.

A weight is read once for all requests, and no request changes what another computes, not in the last bit: every sum
runs over one request's numbers in one order, whatever stands beside it. The products are written as vector code for
that reason; a compiler that is free to reorder sums is not asked. Weights lie in panels of 32 outputs, in half
precision where that loses nothing: reading them is what a step waits for.

The cache of a request is (blocks of 64 positions, layers, H, 2, 64 D): keys as (D, 64), so that one query meets 64 of
them at once, and values as (64, D).

Numba does not notice when functions of cpu.py or arithmetic.py change that are compiled into these: touch this file.

Shapes: B requests in a call, R that there is room for, C width, H heads, D = C / H, L text, S positions of a request.
"""
from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numba
import numpy as np
from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ar_tts.kernels.cpu import sample_arrays
from ar_tts.kernels.state import DONE, FINE, FLAW, TOKEN

PANEL, BLOCK, VECTOR = 32, 64, 16
"""Outputs of a panel of weights, positions of a block of keys, floats of a vector; widths are multiples of the last."""
SINGLE, HALF, BYTE = range(3)
"""How the weights of a product are stored; bytes have a scale an output."""
SIZES = {SINGLE: 4, HALF: 2, BYTE: 1}
(WHERE, TOLD, CACHE, THRESHOLDS, LENGTH, STEP, CODE, PITCH, LEVEL, POINTER, DWELL, TURN, ASKED, SYMBOLS, TEXT,
 DWELL_LIMIT, LAST, MADE, STATE) = range(19)
"""Columns of a request. Addresses: of float32 (L, C) twice, of its cache, and of float64 (L,). LENGTH positions of the
cache are filled, STEP codes were written; the last of them, and where it stands, after TURN moves. ASKED codes or 0;
SYMBOLS of its text are not padding; TEXT is L; LAST is the most steps. Results: MADE steps in this call, and STATE."""
GOING, ENDED, BROKEN = range(3)
"""What STATE says; BROKEN where a score is NaN."""
KIND, WEIGHTS, INPUTS, OUTPUTS, BIAS, SCALE = range(6)
"""Columns of a product: its weights' address; OUTPUTS, padded to panels; where in the vectors bias and scales begin."""
CODES_AT, STEPS_AT, PITCH_AT, LEVEL_AT, DWELL_AT, PACE_AT = range(6)
"""Where in the embeddings each table begins."""
MOVES = 4

_ZERO, _ONE, _HALF_ONE = np.float32(0), np.float32(1), np.float32(0.5)
_LOWEST, _EPSILON = np.float32(-np.inf), np.float32(1e-5)
_PER_NAT, _FIRST, _LAST = np.float32(math.log2(math.e)), np.float32(-126), np.float32(127)
# 2^x on -1/2..1/2 by its series; right to 1e-7
_P1, _P2, _P3, _P4, _P5, _P6 = (np.float32(math.log(2) ** n / math.factorial(n)) for n in range(1, 7))
_GELU_A, _GELU_B = np.float32(-2 * math.sqrt(2 / math.pi)), np.float32(0.044715)
_ROOT_HALF = math.sqrt(0.5)


def _compiled(function: Callable[..., Any]) -> Any:
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


# ---- vectors ----


@intrinsic  # type: ignore[misc]
def _address(typing: Any, array: Any) -> Any:
    """Of an array's first number."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        made = context.make_array(signature.args[0])(context, builder, arguments[0])
        return builder.ptrtoint(made.data, ir.IntType(64))

    return types.int64(array), build


@intrinsic  # type: ignore[misc]
def _poke(typing: Any, address: Any, value: Any) -> Any:
    """Write a float32."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.store(arguments[1], builder.inttoptr(arguments[0], ir.FloatType().as_pointer()), align=4)
        return context.get_dummy_value()

    return types.void(types.int64, types.float32), build


@intrinsic  # type: ignore[misc]
def _peek(typing: Any, address: Any) -> Any:
    """Read a float32."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(builder.inttoptr(arguments[0], ir.FloatType().as_pointer()), align=4)

    return types.float32(types.int64), build


@intrinsic  # type: ignore[misc]
def _peek_double(typing: Any, address: Any) -> Any:
    """Read a float64."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(builder.inttoptr(arguments[0], ir.DoubleType().as_pointer()), align=8)

    return types.float64(types.int64), build


@intrinsic  # type: ignore[misc]
def _from_bits(typing: Any, bits: Any) -> Any:
    """The float32 with these bits."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.int32), build


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
_scores = _tile(1, BLOCK // VECTOR, SINGLE, False)
_mixed_1, _mixed_2, _mixed_3 = (_tile(1, vectors, SINGLE, True) for vectors in (1, 2, 3))


@_compiled
def _product(what: np.ndarray, vectors: np.ndarray, x: np.ndarray, y: np.ndarray, rows: int, most: int) -> None:
    """y (B, outputs) += x (B, inputs) @ weights, `most` rows at a time: 8 where there are registers for them, or 2."""
    kind, inputs = what[KIND], what[INPUTS]
    size = 4 if kind == SINGLE else 2 if kind == HALF else 1
    width, across, down = PANEL * size, 4 * x.shape[1], 4 * y.shape[1]
    for panel in range(what[OUTPUTS] // PANEL):
        w = what[WEIGHTS] + panel * inputs * width
        scales = _address(vectors) + 4 * (what[SCALE] + panel * PANEL)
        source, target = _address(x), _address(y) + 4 * panel * PANEL
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


# ---- what happens between the products, a request at a time ----


@_compiled
def _exp(x: Any) -> Any:
    """e^x of float32, to 2e-7 of it for small x; NaN stays NaN."""
    octaves = x * _PER_NAT
    octaves = _FIRST if octaves < _FIRST else octaves
    octaves = _LAST if octaves > _LAST else octaves
    whole = np.floor(octaves + _HALF_ONE)
    f = octaves - whole
    part = _ONE + f * (_P1 + f * (_P2 + f * (_P3 + f * (_P4 + f * (_P5 + f * _P6)))))
    return part * _from_bits(np.int32((np.int32(whole) + np.int32(127)) << np.int32(23)))


@_compiled
def _sum(values: np.ndarray, lanes: np.ndarray) -> Any:
    """In sixteen lanes, which a compiler may take at once as they are; len(values) is a multiple of them."""
    for lane in range(VECTOR):
        lanes[lane] = _ZERO
    for start in range(0, len(values), VECTOR):
        for lane in range(VECTOR):
            lanes[lane] += values[start + lane]
    total = _ZERO
    for lane in range(VECTOR):
        total += lanes[lane]
    return total


@_compiled
def _norm(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, y: np.ndarray, lanes: np.ndarray) -> None:
    """Layer norm of (C,) into `y`, which may be `x`."""
    size = len(x)
    middle = _sum(x, lanes) / np.float32(size)
    for lane in range(VECTOR):
        lanes[lane] = _ZERO
    for start in range(0, size, VECTOR):
        for lane in range(VECTOR):
            away = x[start + lane] - middle
            lanes[lane] += away * away
    total = _ZERO
    for lane in range(VECTOR):
        total += lanes[lane]
    scale = _ONE / np.sqrt(total / np.float32(size) + _EPSILON)
    for i in range(size):
        y[i] = (x[i] - middle) * scale * weight[i] + bias[i]


@_compiled
def _gelu(x: np.ndarray) -> None:
    """Of (n,), with tanh(u) as 2 / (1 + exp(-2 u)) - 1."""
    for i in range(len(x)):
        v = x[i]
        x[i] = v / (_ONE + _exp(_GELU_A * (v + _GELU_B * v * v * v)))


@_compiled
def _softmax(scores: np.ndarray, lanes: np.ndarray) -> Any:
    """Odds in place of scores (n,), n a multiple of 16 -> their sum."""
    for lane in range(VECTOR):
        lanes[lane] = scores[lane]
    for start in range(VECTOR, len(scores), VECTOR):
        for lane in range(VECTOR):
            score = scores[start + lane]
            lanes[lane] = score if score > lanes[lane] else lanes[lane]
    largest = lanes[0]
    for lane in range(VECTOR):
        largest = lanes[lane] if lanes[lane] > largest else largest
    for i in range(len(scores)):
        scores[i] = _exp(scores[i] - largest)
    return _sum(scores, lanes)


@_compiled
def _attend(cache: int, at: int, layer: int, layers: int, heads: int, qkv: np.ndarray, y: np.ndarray,
            scores: np.ndarray, lanes: np.ndarray) -> None:
    """Queries, keys and values (3 C,) of position `at` -> (C,); the cache takes it in."""
    dim = len(y)
    size = dim // heads
    shrink = np.float32(1 / math.sqrt(size))
    for i in range(dim):
        qkv[i] *= shrink
    part = 4 * BLOCK * size  # bytes of the keys, or the values, of a head in a block
    step = 2 * part * layers * heads
    used = (at // BLOCK + 1) * BLOCK
    for head in range(heads):
        first = cache + 2 * part * (layer * heads + head)
        mine = first + at // BLOCK * step
        for d in range(size):
            _poke(mine + 4 * (d * BLOCK + at % BLOCK), qkv[dim + head * size + d])
            _poke(mine + part + 4 * (at % BLOCK * size + d), qkv[2 * dim + head * size + d])
        query = _address(qkv) + 4 * head * size
        for block in range(used // BLOCK):
            _scores(query, 0, first + block * step, 4 * BLOCK, size, _address(scores) + 4 * block * BLOCK, 0, 0)
        for i in range(at + 1, used):
            scores[i] = _LOWEST
        share = _ONE / _softmax(scores[:used], lanes)
        for d in range(head * size, (head + 1) * size):
            y[d] = _ZERO
        for block in range(used // BLOCK):
            odds, count = _address(scores) + 4 * block * BLOCK, min(BLOCK, at + 1 - block * BLOCK)
            values, target, left = first + block * step + part, _address(y) + 4 * head * size, size // VECTOR
            while left > 0:
                done = min(left, 3)
                if done == 3:
                    _mixed_3(odds, 0, values, 4 * size, count, target, 0, 0)
                elif done == 2:
                    _mixed_2(odds, 0, values, 4 * size, count, target, 0, 0)
                else:
                    _mixed_1(odds, 0, values, 4 * size, count, target, 0, 0)
                left -= done
                values += 4 * VECTOR * done
                target += 4 * VECTOR * done
        for d in range(head * size, (head + 1) * size):
            y[d] *= share


@_compiled
def _enter(row: np.ndarray, tables: np.ndarray, begins: np.ndarray, x: np.ndarray) -> None:
    """What a request wrote last, and where, as (C,); the window, the voice and biases are in its table."""
    code, step = tables[begins[CODES_AT] + row[CODE]], tables[begins[STEPS_AT] + row[STEP]]
    pitch, level = tables[begins[PITCH_AT] + row[PITCH]], tables[begins[LEVEL_AT] + row[LEVEL]]
    dwells = begins[PACE_AT] - begins[DWELL_AT]
    dwell = tables[begins[DWELL_AT] + min(row[DWELL], dwells - 1)]
    where = row[WHERE] + 4 * row[POINTER] * len(x)
    left = np.float32(0.5 * math.log1p(max(row[SYMBOLS] - row[POINTER], 0)))
    asked, steps, each = _ZERO, _ZERO, _ZERO
    if row[ASKED] > 0:
        asked, steps = _HALF_ONE, np.float32(0.5 * math.log1p(max(row[ASKED] - row[STEP], 0)))
        each = steps - left
    pace = tables[begins[PACE_AT] :]
    for i in range(len(x)):
        paced = left * pace[0, i] + steps * pace[1, i] + each * pace[2, i] + asked * pace[3, i]
        x[i] = code[i] + step[i] + pitch[i] + level[i] + dwell[i] + paced + _peek(where + 4 * i)


# ---- the network ----


@_compiled
def _blocks(caches: np.ndarray, at: np.ndarray, heads: int, most: int, products: np.ndarray, norms: np.ndarray,
            vectors: np.ndarray, x: np.ndarray, near: np.ndarray, qkv: np.ndarray, wide: np.ndarray, scores: np.ndarray,
            lanes: np.ndarray) -> None:
    """All blocks on x (B, C), in place: positions `at` (B,) of requests whose caches have the addresses (B,).

    Several positions of one request stand in their order.
    """
    count, dim, layers = len(at), x.shape[1], (len(products) - 1) // 4
    for layer in range(layers):
        to_qkv, out, first, second = (products[4 * layer], products[4 * layer + 1], products[4 * layer + 2],
                                      products[4 * layer + 3])
        n = norms[2 * layer]
        for b in range(count):
            _norm(x[b], vectors[n[0] : n[0] + dim], vectors[n[1] : n[1] + dim], near[b], lanes)
            for i in range(3 * dim):
                qkv[b, i] = vectors[to_qkv[BIAS] + i]
        _product(to_qkv, vectors, near, qkv, count, most)
        for b in range(count):
            _attend(caches[b], at[b], layer, layers, heads, qkv[b], near[b], scores, lanes)
            for i in range(dim):
                x[b, i] += vectors[out[BIAS] + i]
        _product(out, vectors, near, x, count, most)
        n = norms[2 * layer + 1]
        for b in range(count):
            _norm(x[b], vectors[n[0] : n[0] + dim], vectors[n[1] : n[1] + dim], near[b], lanes)
            for i in range(4 * dim):
                wide[b, i] = vectors[first[BIAS] + i]
        _product(first, vectors, near, wide, count, most)
        for b in range(count):
            _gelu(wide[b])
            for i in range(dim):
                x[b, i] += vectors[second[BIAS] + i]
        _product(second, vectors, wide, x, count, most)


@_compiled
def _read(rows: np.ndarray, which: np.ndarray, heads: int, most: int, products: np.ndarray, norms: np.ndarray,
          vectors: np.ndarray, tables: np.ndarray, begins: np.ndarray, x: np.ndarray, near: np.ndarray,
          qkv: np.ndarray, wide: np.ndarray, scores: np.ndarray, hidden: np.ndarray, moves: np.ndarray,
          lanes: np.ndarray) -> None:
    """What the requests `which` (B,) wrote last -> hidden states (R, C) and the odds of their pointers' moves (R, 4).
    """
    count, dim = len(which), x.shape[1]
    caches, at = np.empty(count, np.int64), np.empty(count, np.int64)
    for b in range(count):
        row = rows[which[b]]
        _enter(row, tables, begins, x[b])
        caches[b], at[b] = row[CACHE], row[LENGTH]
        row[LENGTH] += 1
    _blocks(caches, at, heads, most, products, norms, vectors, x, near, qkv, wide, scores, lanes)
    head = products[-1]
    for b in range(count):
        for n in norms[-2:]:
            _norm(x[b], vectors[n[0] : n[0] + dim], vectors[n[1] : n[1] + dim], x[b], lanes)
        for i in range(dim):
            hidden[which[b], i] = x[b, i]
        for i in range(PANEL):
            qkv[b, i] = vectors[head[BIAS] + i]
    _product(head, vectors, x, qkv, count, most)
    for b in range(count):
        for i in range(MOVES, VECTOR):
            qkv[b, i] = _LOWEST
        share = _ONE / _softmax(qkv[b, :VECTOR], lanes)
        for i in range(MOVES):
            moves[which[b], i] = qkv[b, i] * share


@_compiled
def _move(row: np.ndarray, survival: np.ndarray, moves: np.ndarray) -> None:
    """ar_tts.reading.Reading.moved; survival (1,) float64."""
    survival[0] *= moves[0]
    row[DWELL] += 1
    if survival[0] < _peek_double(row[THRESHOLDS] + 8 * row[TURN]) or row[DWELL] > row[DWELL_LIMIT]:
        best = 1
        for move in range(2, MOVES):
            best = move if moves[move] > moves[best] else best
        row[POINTER] += best
        row[TURN] += 1
        row[DWELL], survival[0] = 0, 1.0
    if row[POINTER] >= row[TEXT]:
        row[STATE] = ENDED


@_compiled
def _write(rows: np.ndarray, which: np.ndarray, most: int, products: np.ndarray, norms: np.ndarray,
           vectors: np.ndarray, x: np.ndarray, near: np.ndarray, wide: np.ndarray, hidden: np.ndarray,
           logits: np.ndarray, codes: np.ndarray, tones: np.ndarray, lanes: np.ndarray) -> None:
    """Hidden states of the requests `which`, told the symbols that they now stand on, -> logits of codes (R, codes) and
    of tones (2 R, bins), pitch and level of a request one after the other."""
    count, dim = len(which), x.shape[1]
    first, second, heads = products[0], products[1], products[2]
    n = norms[0]
    for b in range(count):
        row = rows[which[b]]
        told = row[TOLD] + 4 * row[POINTER] * dim
        for i in range(dim):
            x[b, i] = hidden[which[b], i] + _peek(told + 4 * i)
        _norm(x[b], vectors[n[0] : n[0] + dim], vectors[n[1] : n[1] + dim], near[b], lanes)
        for i in range(first[OUTPUTS]):
            wide[b, i] = vectors[first[BIAS] + i]
        for i in range(dim):
            x[b, i] += vectors[second[BIAS] + i]
    _product(first, vectors, near, wide, count, most)
    for b in range(count):
        for i in range(first[OUTPUTS]):
            wide[b, i] = np.float32(0.5 * wide[b, i] * (1.0 + math.erf(_ROOT_HALF * wide[b, i])))
        for i in range(heads[OUTPUTS]):
            logits[b, i] = vectors[heads[BIAS] + i]
    _product(second, vectors, wide, x, count, most)
    _product(heads, vectors, x, logits, count, most)
    size, bins = codes.shape[1], tones.shape[1]
    for b in range(count):
        for i in range(size):
            codes[which[b], i] = logits[b, i]
        for i in range(bins):  # what lies beyond a head's own bins is not allowed
            tones[2 * which[b], i] = logits[b, size + i]
            tones[2 * which[b] + 1, i] = logits[b, size + bins + i]


@_compiled
def take_in(cache: int, start: int, heads: int, most: int, products: np.ndarray, norms: np.ndarray,
            vectors: np.ndarray, x: np.ndarray, near: np.ndarray, qkv: np.ndarray, wide: np.ndarray,
            scores: np.ndarray) -> None:
    """Rows x (B, C) of one request's prompt, from position `start` on, into its cache."""
    count = len(x)
    caches, at = np.empty(count, np.int64), np.empty(count, np.int64)
    for b in range(count):
        caches[b], at[b] = cache, start + b
    _blocks(caches, at, heads, most, products, norms, vectors, x, near, qkv, wide, scores,
            np.empty(VECTOR, np.float32))


@_compiled
def _those_going(rows: np.ndarray, which: np.ndarray) -> np.ndarray:
    count, kept = 0, np.empty_like(which)
    for r in which:
        kept[count] = r
        count += rows[r, STATE] == GOING
    return kept[:count]


@_compiled
def advance(rows: np.ndarray, survival: np.ndarray, which: np.ndarray, count: int, heads: int, most: int,
            inner: np.ndarray, inner_norms: np.ndarray, outer: np.ndarray, outer_norms: np.ndarray, vectors: np.ndarray,
            tables: np.ndarray, begins: np.ndarray, x: np.ndarray, near: np.ndarray, qkv: np.ndarray, wide: np.ndarray,
            scores: np.ndarray, hidden: np.ndarray, moves: np.ndarray, logits: np.ndarray, codes: np.ndarray,
            tones: np.ndarray, made: np.ndarray, of_codes: tuple[np.ndarray, ...],
            of_tones: tuple[np.ndarray, ...]) -> None:
    """Up to `count` steps of the requests `which` (B,).

    rows (R, 19) int64, see above; survival (R,) float64. inner: products, four a layer (attention in, out, first,
    second), then the moves' head; inner_norms (n, 2): where weight and bias begin, two a layer, then the last two.
    outer, outer_norms: the two of the mix, and all heads in one; its norm. vectors (n,), tables (n, C), begins (6,):
    biases, norms and scales; embeddings, and where each begins. of_codes, of_tones: arrays of the sampler's states, a
    row and two rows a request. To work in: x, near (B, C), qkv (B, 3 C), wide (B, 4 C), scores (S,), hidden (R, C),
    moves (R, 4), logits (B, outputs), codes (R, codes), tones (2 R, bins). Result: made (R, count, 4), steps.
    """
    lanes = np.empty(VECTOR, np.float32)
    going = which.copy()
    for r in which:
        rows[r, MADE] = 0
    for _ in range(count):
        _read(rows, going, heads, most, inner, inner_norms, vectors, tables, begins, x, near, qkv, wide, scores, hidden,
              moves, lanes)
        for r in going:
            _move(rows[r], survival[r : r + 1], moves[r])
        going = _those_going(rows, going)
        if len(going) == 0:
            return
        _write(rows, going, most, outer, outer_norms, vectors, x, near, wide, hidden, logits, codes, tones, lanes)
        whole, whole_tones = of_codes[0], of_tones[0]
        whole[:, DONE] = 1
        whole_tones[:, DONE] = 1
        for r in going:
            whole[r, DONE] = whole_tones[2 * r, DONE] = whole_tones[2 * r + 1, DONE] = 0
        sample_arrays(codes, *of_codes)
        sample_arrays(tones, *of_tones)
        for r in going:
            row, pitch, level = rows[r], whole_tones[2 * r], whole_tones[2 * r + 1]
            if whole[r, FLAW] != FINE or pitch[FLAW] != FINE or level[FLAW] != FINE:
                row[STATE] = BROKEN
                continue
            row[CODE], row[PITCH], row[LEVEL] = whole[r, TOKEN], pitch[TOKEN], level[TOKEN]
            step = made[r, row[MADE]]
            step[0], step[1], step[2], step[3] = row[CODE], row[PITCH], row[LEVEL], row[POINTER]
            row[MADE] += 1
            row[STEP] += 1
            if row[STEP] == row[LAST]:
                row[STATE] = ENDED
        going = _those_going(rows, going)
        if len(going) == 0:
            return


def compile_all() -> Iterator[None]:
    """Compile, piece by piece, or read what was compiled before."""
    whole, real = ([types.Array(kind, n, "C") for n in range(4)] for kind in (types.int64, types.float32))
    short, integer = types.Array(types.int32, 1, "C"), types.int64
    counts, allowed = types.Array(types.int32, 2, "C"), types.Array(types.boolean, 2, "C")
    state = types.Tuple((whole[2], real[2], counts, allowed, real[1], *[short] * 6, whole[1]))
    network = [integer, integer, whole[2], whole[2], real[1], *[real[2]] * 4, real[1]]
    take_in.compile((integer, integer, *network))
    yield
    advance.compile((
        whole[2], types.Array(types.float64, 1, "C"), whole[1], integer, integer, integer, *[whole[2]] * 4, real[1],
        real[2], whole[1], *[real[2]] * 4, real[1], *[real[2]] * 5, whole[3], state, state))
    yield
