"""The text-to-codes network for many requests at once, compiled by Numba: `take_in` reads prompts, `advance` writes.

Torch spends most of a step on calling its operations. Here several steps of all requests are one call, which lets other
threads run: all blocks on what each request wrote last, how its pointer moves, the heads, and the draws. The twin is
ar_tts.decoding.torch_steps with the modules it calls.

A weight is read once for all requests, and no request changes what another computes, not in the last bit: every sum
runs over one request's numbers in one order, whatever stands beside it (products.py).

The cache of a request is (blocks of 64 positions, layers, H, 2, 64 D): keys as (D, 64), so that one query meets 64 of
them at once, and values as (64, D).

Numba does not notice when functions of products.py, cpu.py or arithmetic.py change that are compiled into these: touch
this file.

Shapes: B requests in a call, R that there is room for, C width, H heads, D = C / H, L text, S positions of a request.
"""
from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numba import types

from ar_tts.kernels.cpu import sample_arrays
from ar_tts.kernels.products import (
    BIAS,
    BLOCK,
    OUTPUTS,
    PANEL,
    VECTOR,
    address,
    compiled,
    from_bits,
    mix_1,
    mix_2,
    mix_3,
    peek,
    peek_double,
    poke,
    product,
    score_block,
)
from ar_tts.kernels.state import DONE, FINE, FLAW, TOKEN

(WHERE, TOLD, CACHE, THRESHOLDS, LENGTH, STEP, CODE, PITCH, LEVEL, POINTER, DWELL, TURN, ASKED, SYMBOLS, TEXT,
 DWELL_LIMIT, LAST, MADE, STATE) = range(19)
"""Columns of a request. Addresses: of float32 (L, C) twice, of its cache, and of float64 (L,). LENGTH positions of the
cache are filled, STEP codes were written; the last of them, and where it stands, after TURN moves. ASKED codes or 0;
SYMBOLS of its text are not padding; TEXT is L; LAST is the most steps. Results: MADE steps in this call, and STATE."""
GOING, ENDED, BROKEN = range(3)
"""What STATE says; BROKEN where a score is NaN."""
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


# ---- what happens between the products, a request at a time ----


@compiled
def _exp(x: Any) -> Any:
    """e^x of float32, to 2e-7 of it for small x; NaN stays NaN."""
    octaves = x * _PER_NAT
    octaves = _FIRST if octaves < _FIRST else octaves
    octaves = _LAST if octaves > _LAST else octaves
    whole = np.floor(octaves + _HALF_ONE)
    f = octaves - whole
    part = _ONE + f * (_P1 + f * (_P2 + f * (_P3 + f * (_P4 + f * (_P5 + f * _P6)))))
    return part * from_bits(np.int32((np.int32(whole) + np.int32(127)) << np.int32(23)))


@compiled
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


@compiled
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


@compiled
def _gelu(x: np.ndarray) -> None:
    """Of (n,), with tanh(u) as 2 / (1 + exp(-2 u)) - 1."""
    for i in range(len(x)):
        v = x[i]
        x[i] = v / (_ONE + _exp(_GELU_A * (v + _GELU_B * v * v * v)))


@compiled
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


@compiled
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
            poke(mine + 4 * (d * BLOCK + at % BLOCK), qkv[dim + head * size + d])
            poke(mine + part + 4 * (at % BLOCK * size + d), qkv[2 * dim + head * size + d])
        query = address(qkv) + 4 * head * size
        for block in range(used // BLOCK):
            score_block(query, 0, first + block * step, 4 * BLOCK, size, address(scores) + 4 * block * BLOCK, 0, 0)
        for i in range(at + 1, used):
            scores[i] = _LOWEST
        share = _ONE / _softmax(scores[:used], lanes)
        for d in range(head * size, (head + 1) * size):
            y[d] = _ZERO
        for block in range(used // BLOCK):
            odds, count = address(scores) + 4 * block * BLOCK, min(BLOCK, at + 1 - block * BLOCK)
            values, target, left = first + block * step + part, address(y) + 4 * head * size, size // VECTOR
            while left > 0:
                done = min(left, 3)
                if done == 3:
                    mix_3(odds, 0, values, 4 * size, count, target, 0, 0)
                elif done == 2:
                    mix_2(odds, 0, values, 4 * size, count, target, 0, 0)
                else:
                    mix_1(odds, 0, values, 4 * size, count, target, 0, 0)
                left -= done
                values += 4 * VECTOR * done
                target += 4 * VECTOR * done
        for d in range(head * size, (head + 1) * size):
            y[d] *= share


@compiled
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
        x[i] = code[i] + step[i] + pitch[i] + level[i] + dwell[i] + paced + peek(where + 4 * i)


# ---- the network ----


@compiled
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
        product(to_qkv, vectors, near, qkv, count, most)
        for b in range(count):
            _attend(caches[b], at[b], layer, layers, heads, qkv[b], near[b], scores, lanes)
            for i in range(dim):
                x[b, i] += vectors[out[BIAS] + i]
        product(out, vectors, near, x, count, most)
        n = norms[2 * layer + 1]
        for b in range(count):
            _norm(x[b], vectors[n[0] : n[0] + dim], vectors[n[1] : n[1] + dim], near[b], lanes)
            for i in range(4 * dim):
                wide[b, i] = vectors[first[BIAS] + i]
        product(first, vectors, near, wide, count, most)
        for b in range(count):
            _gelu(wide[b])
            for i in range(dim):
                x[b, i] += vectors[second[BIAS] + i]
        product(second, vectors, wide, x, count, most)


@compiled
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
    product(head, vectors, x, qkv, count, most)
    for b in range(count):
        for i in range(MOVES, VECTOR):
            qkv[b, i] = _LOWEST
        share = _ONE / _softmax(qkv[b, :VECTOR], lanes)
        for i in range(MOVES):
            moves[which[b], i] = qkv[b, i] * share


@compiled
def _move(row: np.ndarray, survival: np.ndarray, moves: np.ndarray) -> None:
    """ar_tts.reading.Reading.moved; survival (1,) float64."""
    survival[0] *= moves[0]
    row[DWELL] += 1
    if survival[0] < peek_double(row[THRESHOLDS] + 8 * row[TURN]) or row[DWELL] > row[DWELL_LIMIT]:
        best = 1
        for move in range(2, MOVES):
            best = move if moves[move] > moves[best] else best
        row[POINTER] += best
        row[TURN] += 1
        row[DWELL], survival[0] = 0, 1.0
    if row[POINTER] >= row[TEXT]:
        row[STATE] = ENDED


@compiled
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
            x[b, i] = hidden[which[b], i] + peek(told + 4 * i)
        _norm(x[b], vectors[n[0] : n[0] + dim], vectors[n[1] : n[1] + dim], near[b], lanes)
        for i in range(first[OUTPUTS]):
            wide[b, i] = vectors[first[BIAS] + i]
        for i in range(dim):
            x[b, i] += vectors[second[BIAS] + i]
    product(first, vectors, near, wide, count, most)
    for b in range(count):
        for i in range(first[OUTPUTS]):
            wide[b, i] = np.float32(0.5 * wide[b, i] * (1.0 + math.erf(_ROOT_HALF * wide[b, i])))
        for i in range(heads[OUTPUTS]):
            logits[b, i] = vectors[heads[BIAS] + i]
    product(second, vectors, wide, x, count, most)
    product(heads, vectors, x, logits, count, most)
    size, bins = codes.shape[1], tones.shape[1]
    for b in range(count):
        for i in range(size):
            codes[which[b], i] = logits[b, i]
        for i in range(bins):  # what lies beyond a head's own bins is not allowed
            tones[2 * which[b], i] = logits[b, size + i]
            tones[2 * which[b] + 1, i] = logits[b, size + bins + i]


@compiled
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


@compiled
def _those_going(rows: np.ndarray, which: np.ndarray) -> np.ndarray:
    count, kept = 0, np.empty_like(which)
    for r in which:
        kept[count] = r
        count += rows[r, STATE] == GOING
    return kept[:count]


@compiled
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
