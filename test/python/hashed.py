"""Values that follow from a hash of their index, so that golden files need not store them."""

import numpy
import torch


def spread(count, stream):
    """`count` f64 values in [-1, 1): murmur3's last mixing of (index, stream), 24 bits of it."""
    h = numpy.arange(count, dtype=numpy.uint32) * numpy.uint32(0x9E3779B9)
    h += numpy.uint32((stream * 0x85EBCA6B) & 0xFFFFFFFF)
    h ^= h >> numpy.uint32(16)
    h *= numpy.uint32(0x85EBCA6B)
    h ^= h >> numpy.uint32(13)
    h *= numpy.uint32(0xC2B2AE35)
    h ^= h >> numpy.uint32(16)
    return (h >> numpy.uint32(8)).astype(numpy.float64) / 2.0**23 - 1.0


def start(name, shape, stream):
    """Values of one parameter, rounded to f32."""
    values = spread(int(numpy.prod(shape)), stream)
    if len(shape) == 4:
        values *= numpy.sqrt(6.0 / (shape[1] * shape[2] * shape[3]))
    elif len(shape) == 2:
        values *= numpy.sqrt(1.0 / shape[1])
    elif name.endswith("weight"):
        values = 1.0 + 0.3 * values
    else:
        values *= 0.3
    return torch.from_numpy(values.astype(numpy.float32).reshape(shape))
