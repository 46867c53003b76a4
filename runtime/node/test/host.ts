// A host for the tests: starts a real worker over a socket pair, and speaks the protocol with it.
import { type ChildProcess, spawn } from 'node:child_process';
import type { Socket } from 'node:net';
import type { TestContext } from 'node:test';
import { FLAG_END, HEADER, hello, T, writeHeader } from '../src/protocol.ts';

export interface Frame { type: number; flags: number; stream: number; payload: Buffer }

export function frame(type: number, flags: number, stream: number, payload: Uint8Array = Buffer.alloc(0)): Buffer {
  const b = Buffer.alloc(HEADER + payload.length);
  writeHeader(b, 0, payload.length, type, flags, stream);
  b.set(payload, HEADER);
  return b;
}

/** A REQUEST's payload. */
export function request(handler: string, body: Uint8Array = Buffer.alloc(0), type = 'application/json', mode = 'buffered', query = ''): Buffer {
  const strings = ['req-' + handler, 'POST', handler, '/' + handler, query, '127.0.0.1', '', '', 'none', '', mode, 'content-type', type];
  const head = Buffer.alloc(2 + 2 * strings.length);
  head.writeUInt16BE(strings.length, 0);
  strings.forEach((s, i) => head.writeUInt16BE(Buffer.byteLength(s), 2 + 2 * i));
  return Buffer.concat([head, Buffer.from(strings.join('')), body]);
}

export class Host {
  readonly logs: { level: number; id: string; text: string }[] = [];
  readonly exited: Promise<number | null>;
  readonly #child: ChildProcess;
  readonly #socket: Socket;
  readonly #frames: Frame[] = [];
  #waiting: (() => void)[] = [];
  #buffer: Buffer = Buffer.alloc(0);
  #gone = false;

  constructor(t: TestContext) {
    this.#child = spawn(process.execPath, ['build/fixture/worker.mjs'], { stdio: ['ignore', 'ignore', 'inherit', 'pipe'], env: { POSTERN_WORKER_FD: '3' } });
    this.#socket = this.#child.stdio[3] as Socket;
    this.#socket.on('data', (b: Buffer) => { this.#take(b); }).on('error', () => {});
    this.exited = new Promise((resolve) => this.#child.on('close', (code) => { this.#gone = true; this.#wake(); resolve(code); }));
    t.after(() => { this.#child.kill('SIGKILL'); });
  }

  /** A worker that has said READY. */
  static async ready(t: TestContext): Promise<Host> {
    const host = new Host(t);
    host.write(frame(T.HELLO, 0, 0, hello({})));
    await host.next((f) => f.type === T.READY);
    return host;
  }

  write(b: Uint8Array): void { this.#socket.write(b); }
  close(): void { this.#socket.destroy(); }

  /** Takes the next frame that fits; those before it stay. Fails when the worker goes first. */
  async next(fits: (f: Frame) => boolean): Promise<Frame> {
    for (;;) {
      const i = this.#frames.findIndex(fits);
      if (i >= 0) return this.#frames.splice(i, 1)[0]!;
      if (this.#gone) throw new Error('the worker is gone');
      await new Promise<void>((resolve) => { this.#waiting.push(resolve); });
    }
  }

  /** Sends a request whose body is whole, and waits for the first frame of its answer. */
  async call(stream: number, payload: Buffer): Promise<Frame> {
    this.write(frame(T.REQUEST, FLAG_END, stream, payload));
    return this.next((f) => f.stream === stream);
  }

  #take(b: Buffer): void {
    this.#buffer = Buffer.concat([this.#buffer, b]);
    for (let n; this.#buffer.length >= HEADER && this.#buffer.length >= (n = HEADER + this.#buffer.readUInt32BE(0));) {
      const f = { type: this.#buffer[4]!, flags: this.#buffer[5]!, stream: this.#buffer.readUInt32BE(6), payload: this.#buffer.subarray(HEADER, n) };
      this.#buffer = this.#buffer.subarray(n);
      if (f.type === T.LOG) this.logs.push({ level: f.payload[0]!, id: f.payload.toString('utf8', 2, 2 + f.payload[1]!), text: f.payload.toString('utf8', 2 + f.payload[1]!) });
      else this.#frames.push(f);
    }
    this.#wake();
  }

  #wake(): void { for (const go of this.#waiting.splice(0)) go(); }
}
