// The cache as the host keeps it: shared by all workers of the function, and there after a restart.
import type { HostCalls } from '../hostcalls.ts';
import type { CacheKeeper } from './cache.ts';

/** Keys in one call; the host takes twice as many bytes. */
const BATCH = 1024;
const yes = (b: Buffer | undefined): boolean => b !== undefined && b.length > 0;

export class HostCache implements CacheKeeper {
  readonly #host: HostCalls;

  constructor(host: HostCalls) { this.#host = host; }

  async get(keys: readonly string[]): Promise<(string | undefined)[]> {
    const texts: (string | undefined)[] = [];
    while (texts.length < keys.length) { // the host answers as many as fit
      const found = await this.#host.call('cache.get', ...keys.slice(texts.length, texts.length + BATCH));
      if (found.length === 0) throw new Error('the host answers nothing');
      for (const b of found) texts.push(b.length === 0 ? undefined : b.toString());
    }
    return texts;
  }

  async has(key: string): Promise<boolean> { return yes((await this.#host.call('cache.has', key))[0]); }

  async set(key: string, text: string, ms: number): Promise<void> { await this.#host.call('cache.set', key, text, String(ms)); }

  async delete(key: string): Promise<boolean> { return yes((await this.#host.call('cache.delete', key))[0]); }

  async extend(key: string, ms: number): Promise<boolean> { return yes((await this.#host.call('cache.extend', key, String(ms)))[0]); }

  async increment(key: string, by: number, ms: number): Promise<number> { return Number(await this.#host.call('cache.increment', key, String(by), String(ms))); }

  async keys(prefix: string): Promise<string[]> { return pages((after) => this.#host.call('cache.keys', prefix, after)); }
}

/** All names of a list that the host gives page by page: whether there is more, then the names. */
export async function pages(next: (after: string) => Promise<Buffer[]>): Promise<string[]> {
  const names: string[] = [];
  for (let more = true; more;) {
    const page = await next(names.at(-1) ?? '');
    more = yes(page[0]) && page.length > 1;
    for (const b of page.slice(1)) names.push(b.toString());
  }
  return names;
}
