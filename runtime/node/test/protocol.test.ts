import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import {
  checkHeader, FLAG_ASCII, FLAG_BINARY, FLAG_END, HEADER, hello, helloVersion, ProtocolError, readClose, readPass, REQ, requestTableLength, responseBlock, T, Table, writeHeader, writeText,
} from '../src/protocol.ts';

interface Vector {
  name: string; from: 'host' | 'worker'; bad?: boolean; hex: string; stream?: number;
  strings?: string[]; status?: number; headers?: string[][]; body?: string;
}

const vectors = readFileSync('../../internal/worker/testdata/protocol/vectors.jsonl', 'utf8').trim().split('\n').map((l) => JSON.parse(l) as Vector);
assert.ok(vectors.length >= 20, 'too few vectors');

/** Reads a frame as a worker does, as far as the frame itself can be wrong. */
function read(b: Buffer): { type: number; flags: number; stream: number; table: Table; body: Buffer } {
  const length = b.readUInt32BE(0);
  const type = b[4]!;
  const flags = b[5]!;
  const stream = b.readUInt32BE(6);
  checkHeader(length, type, stream);
  const end = HEADER + length;
  const size = requestTableLength(b, HEADER, end);
  return { type, flags, stream, table: new Table(b.latin1Slice(HEADER, HEADER + size), (flags & FLAG_ASCII) !== 0), body: b.subarray(HEADER + size, end) };
}

for (const v of vectors.filter((x) => x.from === 'host' && !x.bad)) {
  test(`reads: ${v.name}`, () => {
    const f = read(Buffer.from(v.hex, 'hex'));
    assert.equal(f.type, T.REQUEST);
    assert.equal(f.stream, v.stream);
    assert.equal(f.table.count, v.strings!.length);
    v.strings!.slice(0, REQ.HEADERS).forEach((s, i) => assert.equal(f.table.get(i), s));
    const pairs: string[] = [];
    f.table.pairs(REQ.HEADERS, (n, value) => pairs.push(n, n.startsWith(':') ? Buffer.from(value, 'latin1').toString() : value));
    assert.deepEqual(pairs, v.strings!.slice(REQ.HEADERS));
    assert.equal(f.body.toString('hex'), v.body ?? '');
  });
}

for (const v of vectors.filter((x) => x.from === 'host' && x.bad)) {
  test(`refuses: ${v.name}`, () => assert.throws(() => read(Buffer.from(v.hex, 'hex')), ProtocolError));
}

for (const v of vectors.filter((x) => x.from === 'worker' && !x.bad && x.name !== 'response, Latin-1 value')) {
  test(`writes: ${v.name}`, () => {
    const { block, ascii } = responseBlock(v.status!, (v.headers ?? []).flat());
    const body = Buffer.from(v.body ?? '', 'hex');
    const frame = Buffer.alloc(HEADER + block.length + body.length);
    writeHeader(frame, 0, block.length + body.length, T.RESPONSE, ascii ? FLAG_END | FLAG_ASCII : FLAG_END, v.stream!);
    block.copy(frame, HEADER);
    body.copy(frame, HEADER + block.length);
    assert.equal(frame.toString('hex'), v.hex);
  });
}

test('writes: response, Latin-1 value', () => {
  const v = vectors.find((x) => x.name === 'response, Latin-1 value')!;
  const { block, ascii } = responseBlock(200, ['x-a', '\xe9']);
  assert.equal(ascii, false);
  assert.ok(v.hex.includes(block.toString('hex')));
});

const messages = readFileSync('../../internal/worker/testdata/protocol/control.jsonl', 'utf8').trim().split('\n')
  .map((l) => JSON.parse(l) as { name: string; from: string; bad?: boolean; hex: string; type: number; flags: number; text?: string }).filter((v) => v.from === 'host' && (v.type === T.MESSAGE || v.type === T.CLOSE));
assert.ok(messages.length >= 5, 'too few vectors of WebSockets');

for (const v of messages) {
  test(`${v.bad ? 'refuses' : 'reads'}: ${v.name}, of a WebSocket`, () => {
    const b = Buffer.from(v.hex, 'hex');
    const take = (): string => {
      checkHeader(b.readUInt32BE(0), b[4]!, b.readUInt32BE(6));
      return v.type === T.CLOSE ? readClose(b, HEADER, b.length).reason : b.toString('utf8', HEADER);
    };
    if (v.bad) assert.throws(take, ProtocolError);
    else assert.equal(take(), v.text ?? '');
    assert.equal(b[5]! & ~(FLAG_END | FLAG_BINARY), 0);
  });
}

const tokens = readFileSync('../../internal/worker/testdata/protocol/control.jsonl', 'utf8').trim().split('\n')
  .map((l) => JSON.parse(l) as { name: string; bad?: boolean; hex: string; type: number; text?: string }).filter((v) => v.type === T.TOKEN);
assert.ok(tokens.length >= 7, 'too few vectors of TOKEN');

for (const v of tokens) {
  test(`${v.bad ? 'refuses' : 'reads'}: ${v.name}`, () => {
    const b = Buffer.from(v.hex, 'hex');
    const take = (): unknown => {
      checkHeader(b.readUInt32BE(0), b[4]!, b.readUInt32BE(6));
      return readPass(b, HEADER, b.length);
    };
    if (v.bad) {
      assert.throws(take, ProtocolError);
      return;
    }
    const { socket, token } = JSON.parse(v.text!) as { socket: string; token: string };
    assert.deepEqual(take(), { socket, token });
  });
}

test('writes text as UTF-8, short and long, with and without other characters', () => {
  for (const text of ['', 'plain', 'grüß', 'x'.repeat(63) + 'ü', 'x'.repeat(65), '€'.repeat(65), '\ud800', 'tail \udfff']) {
    const b = Buffer.alloc(400, 0xff);
    const n = writeText(b, text, 7);
    assert.equal(b.subarray(7, 7 + n).toString('latin1'), Buffer.from(text).toString('latin1'), JSON.stringify(text));
  }
});

test('HELLO carries magic and version', () => {
  const b = hello({ runtime: 'node' });
  assert.equal(helloVersion(b, 0, b.length), 1);
  assert.throws(() => helloVersion(Buffer.from('HTTP/1.1'), 0, 8), ProtocolError);
  assert.throws(() => helloVersion(Buffer.from('PS'), 0, 2), ProtocolError);
});
