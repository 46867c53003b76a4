// context.storage: what its members take and give, whoever keeps the bytes.
import type { FunctionStorage, StorageData } from '../types.ts';
import { coded } from './cache.ts';

/** Keeps bytes under keys, which have been looked at. */
export interface StorageKeeper {
  /** Replaces an object by all the parts, or leaves it as it is when they throw. No part is larger than PART. */
  write(key: string, parts: AsyncIterator<Uint8Array, void>): Promise<void>;
  /** The size and the parts of one version; rejects with the code not_found. */
  read(key: string): Promise<{ size: number; parts: AsyncIterator<Buffer, void> }>;
  exists(key: string): Promise<boolean>;
  delete(key: string): Promise<boolean>;
  /** All that begin with a prefix, in the order of their bytes as UTF-8. */
  list(prefix: string): Promise<string[]>;
}

/** As the host has it. */
const MAX_KEY = 1024;
export const PART = 512 << 10;
/** How many objects are moved in parts at a time; others wait. Streams that are read are not among them. */
const MOST = 8;

export class Storage implements FunctionStorage {
  readonly #keeper: StorageKeeper;
  #moving = 0;
  readonly #waiting: (() => void)[] = [];

  constructor(keeper: StorageKeeper) { this.#keeper = keeper; }

  async write(key: string, data: StorageData): Promise<void> {
    check(key);
    const parts = partsOf(data);
    await this.#inTurn(() => this.#keeper.write(key, parts)).catch(async (err: unknown) => {
      await parts.return(); // a stream that nobody reads on is told so
      throw err;
    });
  }

  async read(key: string): Promise<Buffer> {
    check(key);
    return this.#inTurn(async () => {
      const { size, parts } = await this.#keeper.read(key);
      const all: Buffer[] = [];
      for (let next = await parts.next(); next.done !== true; next = await parts.next()) all.push(next.value);
      return all.length === 1 ? all[0]! : Buffer.concat(all, size);
    });
  }

  async readStream(key: string): Promise<ReadableStream<Uint8Array>> {
    check(key);
    const { parts } = await this.#keeper.read(key);
    return new ReadableStream<Uint8Array>({
      async pull(to) {
        const next = await parts.next();
        if (next.done === true) to.close();
        else if (next.value.length > 0) to.enqueue(next.value);
        else await this.pull!(to);
      },
      async cancel() { await parts.return?.(); },
    }, { highWaterMark: 0 });
  }

  async list(prefix: string = ''): Promise<string[]> {
    if (typeof prefix !== 'string' || Buffer.byteLength(prefix) > MAX_KEY || half.test(prefix)) throw coded(new TypeError('no key of the storage begins like this'), 'storage_key_invalid');
    return this.#keeper.list(prefix);
  }

  async exists(key: string): Promise<boolean> {
    check(key);
    return this.#keeper.exists(key);
  }

  async delete(key: string): Promise<boolean> {
    check(key);
    return this.#keeper.delete(key);
  }

  async #inTurn<T>(move: () => Promise<T>): Promise<T> {
    while (this.#moving >= MOST) await new Promise<void>((resolve) => { this.#waiting.push(resolve); });
    this.#moving++;
    try {
      return await move();
    } finally {
      this.#moving--;
      this.#waiting.shift()?.();
    }
  }
}

const half = /\p{Surrogate}/u;
const control = /[\u0000-\u001f\u007f]/;

/** A key is a relative path in its shortest form. */
function check(key: unknown): void {
  if (typeof key !== 'string') throw coded(new TypeError(`a key of the storage is a string, and not ${key === null ? 'null' : typeof key}`), 'storage_key_invalid');
  const bytes = Buffer.byteLength(key);
  let why = '';
  if (bytes === 0 || bytes > MAX_KEY) why = `has 1 to ${MAX_KEY} bytes; this one has ${bytes}`;
  else if (half.test(key)) why = 'is well-formed: half a surrogate pair is no character';
  else if (control.test(key)) why = 'has no control characters';
  else if (key.split('/').some((part) => part === '' || part === '.' || part === '..')) why = 'is a relative path without empty parts, "." and ".."';
  if (why !== '') throw coded(new RangeError(`a key of the storage ${why}`), 'storage_key_invalid');
}

/** The data in parts, none of which is too large; none at all of what is empty. */
function partsOf(data: unknown): AsyncGenerator<Uint8Array, void, void> {
  if (typeof data === 'string') return slices(Buffer.from(data));
  if (ArrayBuffer.isView(data)) return slices(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  if (data instanceof ArrayBuffer || (typeof SharedArrayBuffer === 'function' && data instanceof SharedArrayBuffer)) return slices(new Uint8Array(data));
  if (data instanceof Blob) return gathered(data.stream());
  if (typeof data === 'object' && data !== null && Symbol.asyncIterator in data) return gathered(data as AsyncIterable<unknown>);
  throw coded(new TypeError(`the storage takes a string, bytes, a Blob or a stream, and not ${data === null ? 'null' : typeof data === 'object' ? 'an object; JSON.stringify it, or use context.cache' : typeof data}`), 'storage_data_invalid');
}

async function* slices(bytes: Uint8Array): AsyncGenerator<Uint8Array, void, void> {
  for (let at = 0; at < bytes.length; at += PART) yield bytes.subarray(at, at + PART);
}

/** Makes parts as large as they may be from chunks of any size. */
async function* gathered(stream: AsyncIterable<unknown>): AsyncGenerator<Uint8Array, void, void> {
  let held: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of stream) {
    let rest: Uint8Array;
    if (typeof chunk === 'string') rest = Buffer.from(chunk);
    else if (chunk instanceof Uint8Array) rest = chunk;
    else throw coded(new TypeError(`the stream gives ${typeof chunk}, and neither bytes nor text`), 'storage_data_invalid');
    while (size + rest.length >= PART) {
      held.push(rest.subarray(0, PART - size));
      rest = rest.subarray(PART - size);
      yield Buffer.concat(held);
      held = [];
      size = 0;
    }
    if (rest.length > 0) held.push(rest);
    size += rest.length;
  }
  if (size > 0) yield Buffer.concat(held);
}
