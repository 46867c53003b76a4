// Takes what user code writes to the console and the standard streams, and gives each line the ID of the request that caused it.
import { Console } from 'node:console';
import { Writable } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';
import { current } from './context.ts';
import type { Connection } from './connection.ts';

const LEVELS: Record<string, number> = { debug: 0, trace: 0, log: 1, info: 1, dir: 1, table: 1, warn: 2, error: 3, assert: 3 };
const MAX_PARTIAL = 65536;

export function capture(conn: Connection): void {
  const write = (level: number, text: string, id = current.getStore()?.id ?? ''): void => {
    for (const line of text.split('\n')) conn.log(level, line, id);
  };
  // A console of our own formats as Node's does; its level is that of the method that was called.
  let level = 1;
  const sink = new Writable({
    decodeStrings: false,
    write(chunk: string | Buffer, _encoding, done) {
      write(level, String(chunk).replace(/\n$/, ''));
      done();
    },
  });
  const formatter = new Console({ stdout: sink, stderr: sink, colorMode: false }) as unknown as Record<string, (...args: unknown[]) => void>;
  const target = console as unknown as Record<string, unknown>;
  for (const [method, l] of Object.entries(LEVELS)) {
    target[method] = (...args: unknown[]): void => {
      level = l;
      formatter[method]!(...args);
    };
  }
  for (const [stream, l] of [[process.stdout, 1], [process.stderr, 3]] as const) {
    const decoder = new StringDecoder('utf8'); // a character may come in two writes
    let partial = '';
    let over = false; // the line was longer than is kept: its rest is left out
    let owner = '';
    stream.write = ((chunk: string | Uint8Array, encoding?: unknown, done?: unknown): boolean => {
      const id = current.getStore()?.id ?? '';
      if (id !== owner) { // a line that another request began is not this one's
        if (partial !== '') write(l, partial, owner);
        partial = '';
        over = false;
      }
      owner = id;
      let text = typeof chunk === 'string' ? chunk : decoder.write(Buffer.from(chunk));
      if (over) {
        const next = text.indexOf('\n');
        over = next < 0;
        text = over ? '' : text.slice(next + 1);
      }
      partial += text;
      const end = partial.lastIndexOf('\n');
      if (end >= 0) {
        write(l, partial.slice(0, end));
        partial = partial.slice(end + 1);
      }
      if (partial.length > MAX_PARTIAL) {
        write(l, partial);
        partial = '';
        over = true;
      }
      const callback = typeof encoding === 'function' ? encoding : done;
      if (typeof callback === 'function') queueMicrotask(callback as () => void);
      return true;
    }) as typeof stream.write;
  }
}
