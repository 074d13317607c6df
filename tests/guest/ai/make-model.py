#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""make-model.py FOLDER: a small language model of our own, as llama.cpp reads it
(FOLDER/count.gguf, 7 MB), and a text in its words (FOLDER/count.txt).

It counts: after 'seven eight nine' it says 'ten eleven twelve', and after its
last number 'one' again.  Nothing is trained.  Each word has a random vector of
+-1; a row of the output matrix is the vector of the word before it in the
counting, so that the likeliest word is the next number.  Four layers of
attention and feed-forward with random weights turn and mix what goes through
them, by about two fifths of its length: too little to change what is likeliest,
enough to move every probability, so that a matrix product that is wrong
anywhere is seen in the output.  The same bytes come out on every machine.
"""
import random
import struct
import sys

WIDTH, LAYERS, HEADS, FEED, CONTEXT = 256, 4, 4, 768, 512
CERTAIN = 8.0               # of the next word: its logit is about this, the others' about 0
MIX = 0.15                  # of each half of a layer, beside what goes past it

NUMBERS = ('one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen '
           'seventeen eighteen nineteen twenty').split()
SPACE = '\u2581'            # how a space is written in the words of such a model

UINT32, INT32, FLOAT32, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9
NORMAL, UNKNOWN, CONTROL, BYTE = 1, 2, 3, 6
F32, F16 = 0, 1


def vocabulary():
    """[(text, score, type)]: a word is put together letter by letter, so each of
    its beginnings is there as well; longer ones win."""
    tokens = [('<unk>', 0.0, UNKNOWN), ('<s>', 0.0, CONTROL), ('</s>', 0.0, CONTROL)]
    tokens += [(f'<0x{b:02X}>', 0.0, BYTE) for b in range(256)]
    parts = {SPACE}
    for number in NUMBERS:
        parts.update(number)
        parts.update(SPACE + number[:n] for n in range(1, len(number) + 1))
    return tokens + [(p, float(len(p)), NORMAL) for p in sorted(parts, key=lambda p: (len(p), p))]


class Weights:
    """Random numbers and the tensors made of them, in the order they are asked for."""

    def __init__(self):
        self.random = random.Random('vgpu counts')
        self.tensors = []               # (name, dimensions, type, bytes)

    def signs(self, count):
        bits = self.random.getrandbits(count)
        return [1.0 if bits >> i & 1 else -1.0 for i in range(count)]

    def put(self, name, dimensions, values):
        kind, code = (F32, 'f') if len(dimensions) == 1 else (F16, 'e')
        self.tensors.append((name, dimensions, kind, struct.pack(f'<{len(values)}{code}', *values)))

    def matrix(self, name, inputs, outputs, gain=1.0):
        """Keeps the length of what it is given, times the gain."""
        gauss, deviation = self.random.gauss, gain / inputs ** 0.5
        self.put(name, (inputs, outputs), [gauss(0, deviation) for _ in range(inputs * outputs)])


def make_weights(tokens):
    weights = Weights()
    vectors = [weights.signs(WIDTH) for _ in tokens]
    weights.put('token_embd.weight', (WIDTH, len(tokens)), sum(vectors, []))
    for n in range(LAYERS):
        weights.put(f'blk.{n}.attn_norm.weight', (WIDTH,), [1.0] * WIDTH)
        for part in 'qkv':
            weights.matrix(f'blk.{n}.attn_{part}.weight', WIDTH, WIDTH)
        weights.matrix(f'blk.{n}.attn_output.weight', WIDTH, WIDTH, 2 * MIX)    # an average is shorter
        weights.put(f'blk.{n}.ffn_norm.weight', (WIDTH,), [1.0] * WIDTH)
        weights.matrix(f'blk.{n}.ffn_gate.weight', WIDTH, FEED)
        weights.matrix(f'blk.{n}.ffn_up.weight', WIDTH, FEED)
        weights.matrix(f'blk.{n}.ffn_down.weight', FEED, WIDTH, 2 * MIX)
    weights.put('output_norm.weight', (WIDTH,), [1.0] * WIDTH)
    index = {text: i for i, (text, _, _) in enumerate(tokens)}
    rows = [[0.0] * WIDTH for _ in tokens]
    for before, after in zip(NUMBERS, NUMBERS[1:] + NUMBERS[:1]):
        rows[index[SPACE + after]] = [v * CERTAIN / WIDTH for v in vectors[index[SPACE + before]]]
    # everything else is about as unlikely, and not exactly so
    for text, row in zip(index, rows):
        if not any(row):
            row[:] = [weights.random.gauss(0, CERTAIN / WIDTH / 2) for _ in range(WIDTH)]
    weights.put('output.weight', (WIDTH, len(tokens)), sum(rows, []))
    return weights.tensors


def string(text):
    data = text.encode()
    return struct.pack('<Q', len(data)) + data


def pair(key, kind, value):
    plain = {UINT32: '<I', INT32: '<i', FLOAT32: '<f', BOOL: '<?'}

    def packed(k, v):
        return string(v) if k == STRING else struct.pack(plain[k], v)

    if isinstance(value, list):
        return string(key) + struct.pack('<IIQ', ARRAY, kind, len(value)) + b''.join(packed(kind, v) for v in value)
    return string(key) + struct.pack('<I', kind) + packed(kind, value)


def make_file(path):
    tokens = vocabulary()
    tensors = make_weights(tokens)
    pairs = [
        pair('general.architecture', STRING, 'llama'),
        pair('general.name', STRING, 'vgpu counts'),
        pair('general.file_type', UINT32, 1),
        pair('llama.vocab_size', UINT32, len(tokens)),
        pair('llama.context_length', UINT32, CONTEXT),
        pair('llama.embedding_length', UINT32, WIDTH),
        pair('llama.block_count', UINT32, LAYERS),
        pair('llama.feed_forward_length', UINT32, FEED),
        pair('llama.attention.head_count', UINT32, HEADS),
        pair('llama.attention.head_count_kv', UINT32, HEADS),
        pair('llama.attention.layer_norm_rms_epsilon', FLOAT32, 1e-5),
        pair('llama.rope.dimension_count', UINT32, WIDTH // HEADS),
        pair('tokenizer.ggml.model', STRING, 'llama'),
        pair('tokenizer.ggml.tokens', STRING, [t for t, _, _ in tokens]),
        pair('tokenizer.ggml.scores', FLOAT32, [s for _, s, _ in tokens]),
        pair('tokenizer.ggml.token_type', INT32, [k for _, _, k in tokens]),
        pair('tokenizer.ggml.bos_token_id', UINT32, 1),
        pair('tokenizer.ggml.eos_token_id', UINT32, 2),
        pair('tokenizer.ggml.unknown_token_id', UINT32, 0),
        pair('tokenizer.ggml.add_bos_token', BOOL, True),
    ]
    head = b'GGUF' + struct.pack('<IQQ', 3, len(tensors), len(pairs)) + b''.join(pairs)
    body = b''
    for name, dimensions, kind, data in tensors:
        head += string(name) + struct.pack(f'<I{len(dimensions)}QIQ', len(dimensions), *dimensions, kind, len(body))
        body += data + bytes(-len(data) % 32)
    with open(path, 'wb') as f:
        f.write(head + bytes(-len(head) % 32) + body)


def main():
    folder = sys.argv[1]
    make_file(f'{folder}/count.gguf')
    with open(f'{folder}/count.txt', 'w') as f:
        f.write(' '.join(NUMBERS * 16))


if __name__ == '__main__':
    main()
