// The storage in this process's memory: for unit tests, without a host.
import { coded } from './cache.ts';
import { sorted } from './memorycache.ts';
import { PART, type StorageKeeper } from './storage.ts';

export class MemoryStorage implements StorageKeeper {
  readonly #objects = new Map<string, Buffer>();

  async write(key: string, parts: AsyncIterator<Uint8Array, void>): Promise<void> {
    const all: Uint8Array[] = [];
    for (let next = await parts.next(); next.done !== true; next = await parts.next()) all.push(next.value);
    this.#objects.set(key, Buffer.concat(all));
  }

  async read(key: string): Promise<{ size: number; parts: AsyncGenerator<Buffer, void, void> }> {
    const object = this.#objects.get(key);
    if (object === undefined) throw coded(new Error(`there is no object ${JSON.stringify(key)} in the storage`), 'not_found');
    return {
      size: object.length,
      parts: (async function* () { for (let at = 0; at === 0 || at < object.length; at += PART) yield Buffer.from(object.subarray(at, at + PART)); })(),
    };
  }

  async exists(key: string): Promise<boolean> { return this.#objects.has(key); }

  async delete(key: string): Promise<boolean> { return this.#objects.delete(key); }

  async list(prefix: string): Promise<string[]> { return sorted([...this.#objects.keys()].filter((key) => key.startsWith(prefix))); }
}
