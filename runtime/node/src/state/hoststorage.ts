// The storage as the host keeps it. What is larger than one call carries is moved in parts, of which one is in memory at a time.
import type { HostCalls } from '../hostcalls.ts';
import { pages } from './hostcache.ts';
import type { StorageKeeper } from './storage.ts';

const EMPTY = new Uint8Array(0);
const yes = (fields: readonly Buffer[]): boolean => fields[0] !== undefined && fields[0].length > 0;

export class HostStorage implements StorageKeeper {
  readonly #host: HostCalls;

  constructor(host: HostCalls) { this.#host = host; }

  async write(key: string, parts: AsyncIterator<Uint8Array, void>): Promise<void> {
    const first = await parts.next();
    const second = first.done === true ? first : await parts.next();
    if (second.done === true) {
      await this.#host.call('storage.write', key, first.value ?? EMPTY);
      return;
    }
    const handle = (await this.#host.call('storage.begin'))[0]!;
    try {
      await this.#host.call('storage.append', handle, first.value!);
      for (let next: IteratorResult<Uint8Array, void> = second; next.done !== true; next = await parts.next()) await this.#host.call('storage.append', handle, next.value);
      await this.#host.call('storage.commit', handle, key);
    } catch (err) {
      await this.#host.call('storage.abort', handle).catch(() => {}); // the host lets go of it in any case
      throw err;
    }
  }

  async read(key: string): Promise<{ size: number; parts: AsyncGenerator<Buffer, void, void> }> {
    const [length, handle, first] = await this.#host.call('storage.read', key);
    const size = Number(length);
    return { size, parts: this.#parts(handle!, first!, size) };
  }

  /** A part that was asked for is not asked for again: what follows it would be missed. */
  async *#parts(handle: Buffer, first: Buffer, size: number): AsyncGenerator<Buffer, void, void> {
    let at = first.length;
    try {
      yield first;
      while (at < size) {
        const next = (await this.#host.call('storage.next', handle))[0]!;
        at += next.length;
        yield next;
      }
    } finally {
      if (at < size) await this.#host.call('storage.abort', handle).catch(() => {});
    }
  }

  async exists(key: string): Promise<boolean> { return yes(await this.#host.call('storage.exists', key)); }

  async delete(key: string): Promise<boolean> { return yes(await this.#host.call('storage.delete', key)); }

  async list(prefix: string): Promise<string[]> { return pages((after) => this.#host.call('storage.list', prefix, after)); }
}
