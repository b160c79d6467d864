"""One step of the text-to-codes network for many requests, compiled by Numba: `read`, then `write`.

Torch spends most of a step on calling its operations. Here a step is two calls: `read` takes what each request wrote
last through all blocks and tells how its pointer moves; `write` takes the symbol it then stands on to the logits. The
twin is ar_tts.decoding.torch_steps with the modules it calls.

A weight is read once for all requests, and no request changes what another computes, not in the last bit: every sum
runs over one request's numbers in one order, whatever stands beside it. The products are written as vector code for
that reason; a compiler that is free to reorder sums is not asked. Weights lie in panels of 32 outputs, in half
precision where that loses nothing: reading them is what a step waits for.

Keys lie in blocks of 64 positions, (limit / 64, D, 64), so that one query meets 64 of them at once; values (limit, D).

Shapes: B requests in this step, C width, H heads, D = C / H, S positions of a request.
"""
from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

PANEL, BLOCK, VECTOR = 32, 64, 16
"""Outputs of a panel of weights, positions of a block of keys, floats of a vector; widths are multiples of the last."""
SINGLE, HALF, BYTE = range(3)
"""How the weights of a product are stored; bytes have a scale an output."""
SIZES = {SINGLE: 4, HALF: 2, BYTE: 1}
WHERE, TOLD, KEYS, VALUES, LIMIT, LENGTH, STEP, CODE, PITCH, LEVEL, POINTER, DWELL, ASKED, SYMBOLS = range(14)
"""Columns of a request: addresses of float32 (L, C), (L, C), (layers, H, limit, D) twice; positions, of which LENGTH
are filled; what it wrote last, and where it stands."""
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


_single_1, _single_2, _single_4 = (_tile(rows, 2, SINGLE, True) for rows in (1, 2, 4))
_half_1, _half_2, _half_4 = (_tile(rows, 2, HALF, True) for rows in (1, 2, 4))
_byte_1, _byte_2, _byte_4 = (_tile(rows, 2, BYTE, True) for rows in (1, 2, 4))
_scores = _tile(1, BLOCK // VECTOR, SINGLE, False)
_mixed_1, _mixed_2, _mixed_3 = (_tile(1, vectors, SINGLE, False) for vectors in (1, 2, 3))


@_compiled
def _product(what: np.ndarray, vectors: np.ndarray, x: np.ndarray, y: np.ndarray, rows: int, most: int) -> None:
    """y (B, outputs) += x (B, inputs) @ weights, `most` rows at a time: 4 where there are registers for them, or 2."""
    kind, inputs = what[KIND], what[INPUTS]
    size = 4 if kind == SINGLE else 2 if kind == HALF else 1
    width, across, down = PANEL * size, 4 * x.shape[1], 4 * y.shape[1]
    for panel in range(what[OUTPUTS] // PANEL):
        w = what[WEIGHTS] + panel * inputs * width
        scales = _address(vectors) + 4 * (what[SCALE] + panel * PANEL)
        source, target = _address(x), _address(y) + 4 * panel * PANEL
        left = rows
        while left > 0:
            if left >= 4 and most >= 4:
                if kind == SINGLE:
                    _single_4(source, across, w, width, inputs, target, down, scales)
                elif kind == HALF:
                    _half_4(source, across, w, width, inputs, target, down, scales)
                else:
                    _byte_4(source, across, w, width, inputs, target, down, scales)
                done = 4
            elif left >= 2:
                if kind == SINGLE:
                    _single_2(source, across, w, width, inputs, target, down, scales)
                elif kind == HALF:
                    _half_2(source, across, w, width, inputs, target, down, scales)
                else:
                    _byte_2(source, across, w, width, inputs, target, down, scales)
                done = 2
            else:
                if kind == SINGLE:
                    _single_1(source, across, w, width, inputs, target, down, scales)
                elif kind == HALF:
                    _half_1(source, across, w, width, inputs, target, down, scales)
                else:
                    _byte_1(source, across, w, width, inputs, target, down, scales)
                done = 1
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
def _attend(row: np.ndarray, layer: int, heads: int, qkv: np.ndarray, y: np.ndarray, scores: np.ndarray,
            lanes: np.ndarray) -> None:
    """Queries, keys and values (3 C,) of a new position -> (C,); the cache grows by it."""
    dim = len(y)
    size, at, limit = dim // heads, row[LENGTH], row[LIMIT]
    shrink = np.float32(1 / math.sqrt(size))
    for i in range(dim):
        qkv[i] *= shrink
    used = (at // BLOCK + 1) * BLOCK
    for head in range(heads):
        first = (layer * heads + head) * limit * size
        keys, values = row[KEYS] + 4 * first, row[VALUES] + 4 * first
        mine = keys + 4 * (at // BLOCK * size * BLOCK + at % BLOCK)
        for d in range(size):
            _poke(mine + 4 * d * BLOCK, qkv[dim + head * size + d])
            _poke(values + 4 * (at * size + d), qkv[2 * dim + head * size + d])
        query = _address(qkv) + 4 * head * size
        for start in range(0, used, BLOCK):
            _scores(query, 0, keys + 4 * start * size, 4 * BLOCK, size, _address(scores) + 4 * start, 0, 0)
        for i in range(at + 1, used):
            scores[i] = _LOWEST
        share = _ONE / _softmax(scores[:used], lanes)
        target, stride, left = _address(y) + 4 * head * size, 4 * size, size // VECTOR
        while left > 0:
            if left >= 3:
                _mixed_3(_address(scores), 0, values, stride, at + 1, target, 0, 0)
                done = 3
            elif left == 2:
                _mixed_2(_address(scores), 0, values, stride, at + 1, target, 0, 0)
                done = 2
            else:
                _mixed_1(_address(scores), 0, values, stride, at + 1, target, 0, 0)
                done = 1
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


# ---- a step ----


@_compiled
def read(rows: np.ndarray, which: np.ndarray, heads: int, most: int, products: np.ndarray, norms: np.ndarray,
         vectors: np.ndarray, tables: np.ndarray, begins: np.ndarray, x: np.ndarray, near: np.ndarray,
         qkv: np.ndarray, wide: np.ndarray, scores: np.ndarray, hidden: np.ndarray, moves: np.ndarray) -> None:
    """What the requests `which` (B,) wrote last -> hidden states and the odds of their pointers' moves.

    rows (R, 14) int64, see above; LENGTH grows. products: four a layer (attention in, out, first, second), then the
    moves' head. norms (n, 2): where weight and bias begin, two a layer, then the last two. vectors (n,), tables (n, C),
    begins (6,): biases and norms; embeddings, and where each begins. To work in: x, near (R, C), qkv (R, 3 C), wide
    (R, 4 C), scores (longest limit,). Results: hidden (R, C) and moves (R, 4), at the requests' numbers.
    """
    count, dim = len(which), x.shape[1]
    lanes = np.empty(VECTOR, np.float32)
    layers = (len(products) - 1) // 4
    for b in range(count):
        _enter(rows[which[b]], tables, begins, x[b])
    for layer in range(layers):
        to_qkv, out, first, second = (products[4 * layer], products[4 * layer + 1], products[4 * layer + 2],
                                      products[4 * layer + 3])
        for b in range(count):
            n = norms[2 * layer]
            _norm(x[b], vectors[n[0] : n[0] + dim], vectors[n[1] : n[1] + dim], near[b], lanes)
            for i in range(3 * dim):
                qkv[b, i] = vectors[to_qkv[BIAS] + i]
        _product(to_qkv, vectors, near, qkv, count, most)
        for b in range(count):
            _attend(rows[which[b]], layer, heads, qkv[b], near[b], scores, lanes)
            for i in range(dim):
                x[b, i] += vectors[out[BIAS] + i]
        _product(out, vectors, near, x, count, most)
        for b in range(count):
            n = norms[2 * layer + 1]
            _norm(x[b], vectors[n[0] : n[0] + dim], vectors[n[1] : n[1] + dim], near[b], lanes)
            for i in range(4 * dim):
                wide[b, i] = vectors[first[BIAS] + i]
        _product(first, vectors, near, wide, count, most)
        for b in range(count):
            _gelu(wide[b])
            for i in range(dim):
                x[b, i] += vectors[second[BIAS] + i]
        _product(second, vectors, wide, x, count, most)
    head = products[4 * layers]
    for b in range(count):
        for n in norms[2 * layers : 2 * layers + 2]:
            _norm(x[b], vectors[n[0] : n[0] + dim], vectors[n[1] : n[1] + dim], x[b], lanes)
        for i in range(dim):
            hidden[which[b], i] = x[b, i]
        for i in range(PANEL):
            qkv[b, i] = vectors[head[BIAS] + i]
    _product(head, vectors, x, qkv, count, most)
    for b in range(count):
        rows[which[b], LENGTH] += 1
        for i in range(MOVES, VECTOR):
            qkv[b, i] = _LOWEST
        share = _ONE / _softmax(qkv[b, :VECTOR], lanes)
        for i in range(MOVES):
            moves[which[b], i] = qkv[b, i] * share


@_compiled
def write(rows: np.ndarray, which: np.ndarray, most: int, products: np.ndarray, norms: np.ndarray, vectors: np.ndarray,
          x: np.ndarray, near: np.ndarray, wide: np.ndarray, hidden: np.ndarray, logits: np.ndarray,
          codes: np.ndarray, tones: np.ndarray) -> None:
    """Hidden states of the requests `which`, told the symbols that they now stand on, -> logits.

    products: the two of the mix, then all heads in one. norms (1, 2). To work in: x, near (R, C), wide (R, 4 C), logits
    (R, outputs). Results: codes (R, codes) and tones (2 R, bins), pitch and level of a request one after the other.
    """
    count, dim = len(which), x.shape[1]
    lanes = np.empty(VECTOR, np.float32)
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
