// The worker's end of the socket: reads frames, keeps the invocations, and writes all frames of an event-loop turn at once.
import { Socket } from 'node:net';
import { writeSync } from 'node:fs';
import { setPass } from './calls.ts';
import { hostCalls } from './hostcalls.ts';
import { ERRORS } from './errors.ts';
import { Invocation, type Outlet } from './invocation.ts';
import {
  checkHeader, FEATURES, FLAG_ASCII, FLAG_END, HEADER, hello, helloFeatures, helloVersion, MAX_DATA, ProtocolError, readClose, readPass, REQ, requestTableLength, RESET, responseBlock, T, Table, VERSION,
  writeHeader, writeLength, writeText,
} from './protocol.ts';
import { alone } from './result.ts';
import type { Lifecycle } from './lifecycle.ts';
import type { Module } from './loader.ts';
import { Session, type SocketOutlet } from './socket.ts';

// Kept before user code can see process.exit, and before the runtime puts its own in place.
const exit: (code: number) => never = process.exit.bind(process);

const READ_BUFFER = 256 * 1024;
const OUT_BUFFER = 64 * 1024;
const MAX_UNSENT_LOG = 1 << 20;
const MAX_UNSENT = 4 << 20;
const MAX_LINE = 65536;
const LAST_SECONDS = 10;

export class Connection implements Outlet, SocketOutlet {
  readonly invocations = new Map<number, Invocation>();
  readonly sockets = new Map<number, Session>();
  /** Set when no new work is taken; called when the last invocation is over. */
  onIdle: (() => void) | undefined;
  module: Module | undefined;
  /** When what is being read came, in milliseconds since 1970. */
  now = 0;
  #life: Lifecycle | undefined;
  readonly #fd: number;
  readonly #socket: Socket;
  #greeted = false;
  // Bytes of rbuf from r to w have come and are not yet handled.
  #rbuf: Buffer = Buffer.allocUnsafe(READ_BUFFER);
  #r = 0;
  #w = 0;
  // Frames of this turn.
  #out: Buffer = Buffer.allocUnsafe(OUT_BUFFER);
  #n = 0;
  #spare: Buffer[] = [];
  #scheduled = false;
  #reading = false;
  #dropped = 0;
  #code = 0;

  constructor(fd: number) {
    this.#fd = fd;
    this.#socket = new Socket({
      fd, readable: true, writable: true,
      onread: { buffer: () => this.#room(), callback: (n: number) => this.#read(n) },
    } as ConstructorParameters<typeof Socket>[0]);
    // The host has gone: there is nobody left to work for.
    const gone = (): void => { exit(this.#code); };
    this.#socket.setMaxListeners(0); // each answer that waits for room listens
    this.#socket.on('end', gone).on('close', gone).on('error', gone);
    this.send(T.HELLO, 0, 0, hello({ runtime: 'node', runtimeVersion: process.versions.node, pid: process.pid, features: FEATURES }));
  }

  // ── reading ──

  #room(): Buffer {
    if (this.#r === this.#w) this.#r = this.#w = 0;
    const waiting = this.#w - this.#r;
    const need = waiting >= HEADER ? HEADER + this.#rbuf.readUInt32BE(this.#r) : HEADER;
    if (this.#rbuf.length - this.#r < need || this.#rbuf.length - this.#w < 4096) {
      const into = need > this.#rbuf.length ? Buffer.allocUnsafe(need + READ_BUFFER) : this.#rbuf;
      this.#rbuf.copy(into, 0, this.#r, this.#w);
      this.#rbuf = into;
      this.#r = 0;
      this.#w = waiting;
    }
    return this.#rbuf.subarray(this.#w);
  }

  #read(n: number): boolean {
    this.#w += n;
    this.#reading = true;
    this.now = Date.now();
    try {
      while (this.#w - this.#r >= HEADER) {
        const b = this.#rbuf;
        const length = b.readUInt32BE(this.#r);
        const type = b[this.#r + 4]!;
        const stream = b.readUInt32BE(this.#r + 6);
        checkHeader(length, type, stream);
        if (this.#w - this.#r < HEADER + length) break;
        const start = this.#r + HEADER;
        const flags = b[this.#r + 5]!;
        this.#r = start + length;
        this.#frame(b, type, flags, stream, start, start + length);
      }
    } catch (err) {
      if (!(err instanceof ProtocolError)) throw err;
      this.stop(1, `protocol error: ${err.message}`);
    } finally {
      this.#reading = false;
      // Who is not over may answer before this turn ends: then all goes out at once.
      if (this.invocations.size === 0) this.flush();
      else if (this.#n > 0) this.#schedule();
    }
    return true;
  }

  #frame(b: Buffer, type: number, flags: number, stream: number, start: number, end: number): void {
    if (!this.#greeted && type !== T.HELLO) throw new ProtocolError('the host did not begin with HELLO');
    switch (type) {
      case T.HELLO: {
        const version = helloVersion(b, start, end);
        if (version !== VERSION) {
          this.failStart('version_mismatch', `the host speaks version ${version} of the protocol, this worker ${VERSION}`, '');
          return;
        }
        this.#greeted = true;
        if (helloFeatures(b, start, end).includes('call')) hostCalls.attach((call, payload) => { this.send(T.CALL, 0, call, payload); });
        return;
      }
      case T.REQUEST:
        this.#request(b, flags, stream, start, end);
        return;
      case T.DATA:
        if (end - start > MAX_DATA) throw new ProtocolError(`a DATA of ${end - start} bytes, more than ${MAX_DATA}`);
        this.invocations.get(stream)?.data(b.subarray(start, end), (flags & FLAG_END) !== 0);
        return;
      case T.WINDOW:
        if (end - start !== 4) throw new ProtocolError('a WINDOW that is no u32');
        (this.invocations.get(stream) ?? this.sockets.get(stream))?.window(b.readUInt32BE(start));
        return;
      case T.RESET: {
        if (end === start) throw new ProtocolError('a RESET without a reason');
        const invocation = this.invocations.get(stream);
        if (invocation !== undefined) this.forget(stream);
        (invocation ?? this.sockets.get(stream))?.cancelled();
        return;
      }
      case T.MESSAGE:
        if (end - start > MAX_DATA) throw new ProtocolError(`a MESSAGE of ${end - start} bytes, more than ${MAX_DATA}`);
        this.sockets.get(stream)?.message(b.subarray(start, end), flags);
        return;
      case T.CLOSE: {
        const { code, reason } = readClose(b, start, end);
        this.sockets.get(stream)?.closed(code, reason);
        return;
      }
      case T.PING:
        if (end - start !== 8) throw new ProtocolError('a PING that is not 8 bytes');
        this.send(T.PONG, 0, 0, b.subarray(start, end));
        return;
      case T.TOKEN:
        setPass(readPass(b, start, end));
        return;
      case T.RESULT:
        hostCalls.result(stream, b, start, end);
        return;
      case T.DRAIN:
        this.drain(0, true);
    }
  }

  #request(b: Buffer, flags: number, stream: number, start: number, end: number): void {
    if (this.invocations.has(stream) || this.sockets.has(stream)) throw new ProtocolError(`a REQUEST on stream ${stream}, which is in use`);
    const size = requestTableLength(b, start, end);
    const table = new Table(b.latin1Slice(start, start + size), (flags & FLAG_ASCII) !== 0);
    if (this.onIdle !== undefined || this.module === undefined) {
      this.send(T.RESET, 0, stream, Buffer.from([RESET.REFUSED]));
      return;
    }
    const name = table.get(REQ.HANDLER);
    const endpoint = table.get(REQ.MODE) === 'socket' ? this.module.sockets.get(name) : undefined;
    if (endpoint !== undefined) {
      const session = new Session(this, stream, table, endpoint);
      this.sockets.set(stream, session);
      session.start();
      return;
    }
    const handler = this.module.handlers.get(name);
    if (handler === undefined) {
      this.sendJSON(T.ERROR, stream, { code: ERRORS.HANDLER_NOT_FOUND, message: `there is no handler ${name}`, stack: '' });
      return;
    }
    const invocation = new Invocation(this, stream, table, handler, this.module.events);
    invocation.start(b, start + size, end, (flags & FLAG_END) !== 0);
    if (!invocation.over) this.invocations.set(stream, invocation); // most are: their handler answered at once
  }

  forget(stream: number): void {
    this.invocations.delete(stream);
    this.#idle();
  }

  forgetSocket(stream: number): void {
    this.sockets.delete(stream);
    this.#idle();
  }

  #idle(): void {
    if (this.invocations.size === 0 && this.sockets.size === 0) this.onIdle?.();
  }

  // ── writing ──

  /** True while more is unsent than should be; drained() waits until it is not. */
  get congested(): boolean { return this.#n + this.#socket.writableLength > MAX_UNSENT; }

  drained(): Promise<void> {
    this.flush();
    return new Promise((resolve) => { this.#socket.once('drain', resolve); });
  }

  /** Makes room for n bytes and has them sent at the end of this turn; returns where they go. */
  #reserve(n: number): number {
    if (this.#n + n > this.#out.length) {
      this.flush();
      if (n > this.#out.length) this.#out = Buffer.allocUnsafe(n);
    }
    if (!this.#reading) this.#schedule();
    return this.#n;
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(this.#flushLater);
  }

  readonly #flushLater = (): void => {
    this.#scheduled = false;
    this.flush();
  };

  flush(): void {
    const n = this.#n;
    if (n === 0) return;
    this.#n = 0;
    const sent = this.#socket.writableLength === 0 ? this.#writeNow(n) : 0;
    if (sent === n) return;
    const full = this.#out;
    this.#out = this.#spare.pop() ?? Buffer.allocUnsafe(OUT_BUFFER);
    this.#socket.write(full.subarray(sent, n), () => {
      if (full.length === OUT_BUFFER && this.#spare.length < 8) this.#spare.push(full);
    });
  }

  /** Writes what the socket takes at once, without the machinery of a stream; what it does not take, a stream must. */
  #writeNow(n: number): number {
    try {
      return writeSync(this.#fd, this.#out, 0, n);
    } catch (err) {
      if ((err as NodeJS.ErrnoException).code !== 'EAGAIN') exit(this.#code); // the host has gone
      return 0;
    }
  }

  send(type: number, flags: number, stream: number, payload: Uint8Array): void {
    const at = this.#reserve(HEADER + payload.length);
    writeHeader(this.#out, at, payload.length, type, flags, stream);
    this.#out.set(payload, at + HEADER);
    this.#n = at + HEADER + payload.length;
  }

  sendJSON(type: number, stream: number, value: object): void {
    this.send(type, 0, stream, Buffer.from(JSON.stringify(value, (_, v: unknown) => (typeof v === 'string' ? v.slice(0, 65536) : v))));
  }

  sendWindow(stream: number, n: number): void {
    const at = this.#reserve(HEADER + 4);
    writeHeader(this.#out, at, 4, T.WINDOW, 0, stream);
    this.#out.writeUInt32BE(n, at + HEADER);
    this.#n = at + HEADER + 4;
  }

  sendResponseHead(stream: number, status: number, headers: readonly string[]): void {
    const { block, ascii } = responseBlock(status, headers);
    this.send(T.RESPONSE, ascii ? FLAG_ASCII : 0, stream, block);
  }

  /** Sends a whole answer in one frame; false when it is too large for one. */
  sendReply(stream: number, status: number, headers: readonly string[], body: string | Uint8Array): boolean {
    const most = typeof body === 'string' ? body.length * 3 : body.length;
    if (most > MAX_DATA && (typeof body !== 'string' || Buffer.byteLength(body) > MAX_DATA)) return false;
    const frame = frameOf(status, headers);
    const at = this.#reserve(frame.length + most);
    const from = at + frame.length;
    const out = this.#out;
    out.set(frame, at);
    let n = body.length;
    if (typeof body === 'string') n = writeText(out, body, from);
    else out.set(body, from);
    writeLength(out, at, frame.length - HEADER + n, stream);
    this.#n = from + n;
    return true;
  }

  /** One line for the function's log; dropped, and counted, while too much is unsent. */
  log(level: number, text: string, requestId: string): void {
    if (this.#n + this.#socket.writableLength > MAX_UNSENT_LOG) {
      this.#dropped++;
      return;
    }
    if (this.#dropped > 0) {
      const n = this.#dropped;
      this.#dropped = 0;
      this.log(2, `[postern] ${n} log lines were dropped: they came faster than they could be taken`, '');
    }
    let line = Buffer.from(text);
    if (line.length > MAX_LINE) {
      let end = MAX_LINE;
      while ((line[end]! & 0xc0) === 0x80) end--; // not inside a character
      line = Buffer.concat([line.subarray(0, end), Buffer.from('…[cut]')]);
    }
    const id = Buffer.from(requestId);
    this.send(T.LOG, 0, 0, Buffer.concat([Buffer.from([level, id.length]), id, line]));
  }

  // ── the end ──

  ready(module: Module, life: Lifecycle): void {
    this.module = module;
    this.#life = life;
    this.sendJSON(T.READY, 0, { handlers: module.declared, auth: module.auth, ...(module.style === 'event' && { style: module.style }), ...(module.sockets.size > 0 && { sockets: [...module.sockets.keys()].sort() }) });
  }

  /** Says why the worker cannot serve, and ends it. */
  failStart(code: string, message: string, stack: string): void {
    this.sendJSON(T.FAIL, 0, { code, message, stack });
    this.stop(1, '');
  }

  /** Takes no new work, waits for what runs, then ends the process. */
  drain(code: number, byHost = false): void {
    if (this.onIdle !== undefined) return;
    this.onIdle = () => {
      const life = this.#life;
      this.#life = undefined; // once
      if (life?.hasShutdown === true) life.shutdown((text) => { this.log(3, text, ''); }).then(() => { this.stop(code, ''); }, () => {});
      else if (life !== undefined || this.module === undefined) this.stop(code, '');
    };
    const [why, reason] = byHost ? [1001, 'the function is replaced or stopped'] : [1012, 'the worker is replaced'];
    for (const session of [...this.sockets.values()]) session.end(why, reason);
    this.#idle();
    // A worker that leaves of itself has no host that counts the seconds for it.
    if (!byHost) setTimeout(() => { this.stop(code, ''); }, LAST_SECONDS * 1000);
  }

  /** Sends what is unsent and ends the process at once. */
  stop(code: number, reason: string): void {
    this.#code = code;
    if (reason !== '') this.log(3, `[postern] ${reason}`, '');
    const rest = this.#out.subarray(0, this.#n);
    this.#n = 0;
    if (this.#socket.writableLength > 0) {
      this.#socket.end(rest, () => { exit(code); });
      setTimeout(() => { exit(code); }, 1000).unref();
      return;
    }
    try {
      for (let at = 0, tries = 0; at < rest.length && tries < 1000; tries++) {
        try {
          at += writeSync(this.#fd, rest, at);
        } catch (err) {
          if ((err as NodeJS.ErrnoException).code !== 'EAGAIN') throw err;
        }
      }
    } finally {
      exit(code);
    }
  }
}

/** The frames of answers that have no headers of their own, as nearly all have none: by those headers and the status. */
const common = new Map<readonly string[], (Buffer | undefined)[]>(alone.map((headers) => [headers, []]));

/** A whole answer's frame as far as it is the same for every stream and body. */
function frameOf(status: number, headers: readonly string[]): Buffer {
  const made = common.get(headers);
  return made === undefined ? makeFrame(status, headers) : (made[status] ??= makeFrame(status, headers));
}

function makeFrame(status: number, headers: readonly string[]): Buffer {
  const { block, ascii } = responseBlock(status, headers);
  const frame = Buffer.allocUnsafe(HEADER + block.length);
  writeHeader(frame, 0, block.length, T.RESPONSE, ascii ? FLAG_END | FLAG_ASCII : FLAG_END, 0);
  frame.set(block, HEADER);
  return frame;
}
