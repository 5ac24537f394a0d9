"""The noise of src/noise.rs, written from the papers a second time, so that peers draw the same numbers."""

import numpy as np


def philox(key, counter):
    """Philox4x32-10 over columns of counters (Salmon et al. 2011)."""
    low = np.uint64(0xFFFFFFFF)
    k0, k1 = np.uint64(key[0]), np.uint64(key[1])
    c = [np.asarray(column, np.uint64) for column in counter]
    for _ in range(10):
        p0, p1 = c[0] * np.uint64(0xD2511F53), c[2] * np.uint64(0xCD9E8D57)
        c = [(p1 >> np.uint64(32)) ^ c[1] ^ k0, p1 & low, (p0 >> np.uint64(32)) ^ c[3] ^ k1, p0 & low]
        k0, k1 = (k0 + np.uint64(0x9E3779B9)) & low, (k1 + np.uint64(0xBB67AE85)) & low
    return c


def normals(seed, purpose, step, shape):
    """Standard normals of one picture in float32: purpose 0 is the start, 1 a step."""
    n = int(np.prod(shape))
    blocks = np.arange((n + 3) // 4)
    bits = philox((seed, 0), [blocks, np.full_like(blocks, step), np.full_like(blocks, purpose), 0 * blocks])
    uniform = [(column.astype(np.float64) + 0.5) / 2.0**32 for column in bits]
    values = []
    for a, b in [(uniform[0], uniform[1]), (uniform[2], uniform[3])]:
        radius, angle = np.sqrt(-2 * np.log(a)), 2 * np.pi * b
        values += [radius * np.cos(angle), radius * np.sin(angle)]
    return np.stack(values, 1).reshape(-1)[:n].astype(np.float32).reshape(shape)
