import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { HostCalls, HostError } from '../src/hostcalls.ts';
import { appendFields, readFields } from '../src/protocol.ts';
import { HostStorage } from '../src/state/hoststorage.ts';
import { MemoryStorage } from '../src/state/memorystorage.ts';
import { PART, Storage } from '../src/state/storage.ts';

const keys = JSON.parse(readFileSync('../../internal/state/testdata/storage_keys.json', 'utf8')) as { good: string[]; bad: string[] };

/** A host with the storage of one function, and what it was asked for. */
class Keeping {
  readonly objects = new Map<string, Buffer>();
  readonly handles = new Map<string, { data: Buffer; at: number }>();
  readonly asked: string[] = [];
  readonly calls = new HostCalls();
  failing = '';
  #last = 0;

  constructor() {
    this.calls.attach((call, payload) => {
      const b = Buffer.from(payload);
      const op = b.toString('latin1', 1, 1 + b[0]!);
      const parts: Uint8Array[] = [Buffer.of(0)];
      try {
        if (op === this.failing) throw new HostError('storage_full', 'no room');
        appendFields(parts, this.#answer(op, readFields(b, 1 + b[0]!, b.length)));
      } catch (err) {
        parts.splice(0, 1, Buffer.of(1), Buffer.from(JSON.stringify({ code: (err as HostError).code, message: (err as Error).message })));
      }
      const result = Buffer.concat(parts);
      setImmediate(() => { this.calls.result(call, result, 0, result.length); });
    });
  }

  #answer(op: string, f: Buffer[]): Uint8Array[] {
    this.asked.push(op.slice('storage.'.length));
    const [first, second] = [String(f[0] ?? ''), f[1] ?? Buffer.alloc(0)];
    for (const part of f) assert.ok(part.length <= PART);
    switch (op) {
      case 'storage.write': this.objects.set(first, Buffer.from(second)); return [];
      case 'storage.begin': this.handles.set(String(++this.#last), { data: Buffer.alloc(0), at: 0 }); return [Buffer.from(String(this.#last))];
      case 'storage.append': { const h = this.handles.get(first)!; h.data = Buffer.concat([h.data, second]); return []; }
      case 'storage.commit': this.objects.set(String(second), this.handles.get(first)!.data); this.handles.delete(first); return [];
      case 'storage.abort': this.handles.delete(first); return [];
      case 'storage.read': {
        const data = this.objects.get(first);
        if (data === undefined) throw new HostError('not_found', 'none');
        if (data.length > PART) this.handles.set(String(++this.#last), { data, at: PART });
        return [Buffer.from(String(data.length)), Buffer.from(data.length > PART ? String(this.#last) : ''), data.subarray(0, PART)];
      }
      case 'storage.next': {
        const h = this.handles.get(first)!;
        const part = h.data.subarray(h.at, h.at + PART);
        if ((h.at += PART) >= h.data.length) this.handles.delete(first);
        return [part];
      }
      case 'storage.exists': return [Buffer.from(this.objects.has(first) ? '1' : '')];
      case 'storage.delete': return [Buffer.from(this.objects.delete(first) ? '1' : '')];
      case 'storage.list': {
        const all = [...this.objects.keys()].sort().filter((k) => k.startsWith(first) && k > String(second));
        return [Buffer.from(all.length > 2 ? '1' : ''), ...all.slice(0, 2).map((k) => Buffer.from(k))];
      }
    }
    throw new Error(op);
  }
}

const bytes = (n: number): Buffer => Buffer.from(Array.from({ length: n }, (_, i) => (i * 7 + (i >> 8)) & 255));
async function* chunked(data: Buffer, size: number): AsyncGenerator<Uint8Array> { for (let at = 0; at < data.length; at += size) yield data.subarray(at, at + size); }

for (const [where, make] of [['in memory', () => new MemoryStorage()], ['at the host', () => new HostStorage(new Keeping().calls)]] as const) {
  test(`storage: every kind of data comes back, ${where}`, async () => {
    const storage = new Storage(make());
    const large = bytes(2 * PART + 3);
    for (const [what, data, want] of [
      ['a string', 'grüß', Buffer.from('grüß')], ['an empty string', '', Buffer.alloc(0)], ['bytes', Uint8Array.of(0, 255), Buffer.of(0, 255)], ['a part of a buffer', new Uint8Array(bytes(10).buffer, bytes(10).byteOffset + 2, 3), bytes(10).subarray(2, 5)],
      ['a DataView', new DataView(new ArrayBuffer(3)), Buffer.alloc(3)], ['an ArrayBuffer', Uint8Array.of(1, 2).buffer, Buffer.of(1, 2)], ['a Blob', new Blob(['ab', 'c']), Buffer.from('abc')], ['a stream of bytes', new Blob([bytes(100)]).stream(), bytes(100)],
      ['a stream of text', new ReadableStream({ start(to) { to.enqueue('a'); to.enqueue('ü'); to.close(); } }), Buffer.from('aü')], ['an empty stream', new ReadableStream({ start(to) { to.close(); } }), Buffer.alloc(0)],
      ['exactly one part', large.subarray(0, PART), large.subarray(0, PART)], ['several parts', large, large], ['a stream in small chunks', chunked(large, 1000), large], ['a stream in large chunks', chunked(large, 2 * PART + 1), large],
    ] as const) {
      await storage.write('k', data as never);
      const got = await storage.read('k');
      assert.ok(Buffer.isBuffer(got) && got.equals(want), what);
      assert.ok(Buffer.from(await new Response(await storage.readStream('k')).arrayBuffer()).equals(want), `${what}, as a stream`);
    }
    assert.equal(await storage.exists('k'), true);
    assert.equal(await storage.delete('k'), true);
    assert.equal(await storage.delete('k'), false);
    await assert.rejects(storage.read('k'), { code: 'not_found' });
    await assert.rejects(storage.readStream('k'), { code: 'not_found' });
    const reader = async (): Promise<unknown> => await storage.read('k');
    await assert.rejects(reader(), (err: Error) => /at (async )?reader /.test(err.stack!), 'the stack says who read');
  });

  test(`storage: keys, ${where}`, async () => {
    const storage = new Storage(make());
    for (const [i, key] of keys.good.entries()) await storage.write(key, String(i));
    for (const [i, key] of keys.good.entries()) assert.equal(String(await storage.read(key)), String(i), key);
    if (where === 'in memory') assert.deepEqual(await storage.list(), [...keys.good].map((k) => Buffer.from(k)).sort(Buffer.compare).map(String));
    else assert.equal((await storage.list()).length, keys.good.length);
    assert.deepEqual(await storage.list('a/b'), ['a/b', 'a/b/c']);
    assert.deepEqual(await storage.list('../'), []);
    for (const key of [...keys.bad, '\ud800', undefined, null, 7, {}, ['a']] as string[]) {
      for (const done of [() => storage.write(key, 'x'), () => storage.read(key), () => storage.readStream(key), () => storage.exists(key), () => storage.delete(key)]) {
        await assert.rejects(done, { code: 'storage_key_invalid' }, String(key).slice(0, 80));
      }
    }
    for (const prefix of [7, null, '\ud800', 'x'.repeat(1025)] as string[]) await assert.rejects(storage.list(prefix), { code: 'storage_key_invalid' });
    assert.equal((await storage.list()).length, keys.good.length);
  });
}

test('storage: data of a wrong kind is refused, and leaves what was there', async () => {
  const host = new Keeping();
  const storage = new Storage(new HostStorage(host.calls)) as any;
  await storage.write('k', 'before');
  for (const data of [undefined, null, 1, true, {}, ['a'], () => 'x', 1n]) await assert.rejects(storage.write('k', data), { code: 'storage_data_invalid', name: 'TypeError' }, String(data));
  await assert.rejects(storage.write('k', chunkedThen(PART * 2, 7)), { code: 'storage_data_invalid' });
  await assert.rejects(storage.write('k', chunkedThen(10, {})), { code: 'storage_data_invalid' });
  assert.equal(String(await storage.read('k')), 'before');
  assert.equal(host.handles.size, 0);
});

async function* chunkedThen(n: number, last: unknown): AsyncGenerator<unknown> { yield bytes(n); yield last; }

test('storage: a stream that fails leaves what was there, and nothing half', async () => {
  const host = new Keeping();
  const storage = new Storage(new HostStorage(host.calls));
  await storage.write('k', 'before');
  await assert.rejects(storage.write('k', (async function* () { yield bytes(3 * PART); throw new Error('cut off'); })()), /cut off/);
  assert.deepEqual([String(await storage.read('k')), host.handles.size], ['before', 0]);
});

test('storage: a stream is ended where the host refuses a part', async () => {
  const host = new Keeping();
  host.failing = 'storage.append';
  const storage = new Storage(new HostStorage(host.calls));
  let cancelled = false;
  const endless = new ReadableStream<Uint8Array>({ pull(to) { to.enqueue(bytes(PART)); }, cancel() { cancelled = true; } });
  await assert.rejects(storage.write('k', endless), { code: 'storage_full' });
  assert.ok(cancelled);
  assert.equal(host.handles.size, 0);
});

test('storage: a reader that goes away lets go', async () => {
  const host = new Keeping();
  const storage = new Storage(new HostStorage(host.calls));
  await storage.write('k', bytes(3 * PART));
  const reader = (await storage.readStream('k')).getReader();
  await reader.read();
  assert.equal(host.handles.size, 1);
  await reader.cancel();
  assert.equal(host.handles.size, 0);
});

test('storage: what is small is one call', async () => {
  const host = new Keeping();
  const storage = new Storage(new HostStorage(host.calls));
  await storage.write('k', chunked(bytes(1000), 10));
  await storage.read('k');
  assert.deepEqual(host.asked, ['write', 'read']);
});

test('storage: few large objects are moved at a time', async () => {
  const host = new Keeping();
  const storage = new Storage(new HostStorage(host.calls));
  let most = 0;
  const data = bytes(2 * PART);
  await Promise.all(Array.from({ length: 30 }, async (_, i) => {
    await storage.write(`k${i}`, data);
    most = Math.max(most, host.handles.size);
  }));
  assert.ok(most <= 8, `${most}`);
  assert.equal((await storage.list()).length, 30);
});
