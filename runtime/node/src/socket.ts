// A WebSocket of a function: the stream of frames that carries messages to its handler and back, and the object that the handler is given.
import { Context, current, type Running } from './context.ts';
import { describe, ERRORS } from './errors.ts';
import { FLAG_BINARY, FLAG_END, MAX_DATA, MESSAGE_COST, REQ, RESET, SOCKET_STATUS, T, type Table, WINDOW_SIZE } from './protocol.ts';
import { Request } from './request.ts';
import type { FunctionIdentity, FunctionSocket, SocketHandler, SocketOptions } from './types.ts';

/** What a module registered for a path. */
export interface Endpoint { readonly handler: SocketHandler; readonly options: SocketOptions }

/** The way out of a socket: the connection that it came on. */
export interface SocketOutlet {
  send(type: number, flags: number, stream: number, payload: Uint8Array): void;
  sendWindow(stream: number, n: number): void;
  sendResponseHead(stream: number, status: number, headers: readonly string[]): void;
  log(level: number, text: string, requestId: string): void;
  forgetSocket(stream: number): void;
  readonly congested: boolean;
  drained(): Promise<void>;
}

const OPEN = 1;
const CLOSING = 2;
const CLOSED = 3;

const NONE = 1005;
const LOST = 1006;
const FAILED = 1011;
const MAX_REASON = 123;
/** What may wait for a client that reads slowly, in bytes; more than that ends the socket. */
const MAX_BUFFERED = 16 << 20;

/** A message that came; cost is what of the window was not given back for it. */
interface Message { readonly data: Buffer; readonly binary: boolean; readonly cost: number }

/** A message that goes; without bytes while a Blob is read. */
interface Outgoing { bytes: Uint8Array | undefined; readonly binary: boolean; at: number; readonly done: Done }

type Done = ((err?: Error) => void) | undefined;
type Listener = (...args: any[]) => unknown;
/** A listener as it was given, what is called of it, and whether that takes an event, as in a browser, or arguments, as those of the package ws. */
interface Heard { readonly type: string; readonly given: unknown; readonly f: Listener; readonly event: boolean; readonly once: boolean }

const PROPERTIES = new Set(['open', 'message', 'close', 'error']);

export class Session implements Running {
  readonly startedAt = Date.now();
  readonly stream: number;
  readonly table: Table;
  readonly request: Request;
  readonly #conn: SocketOutlet;
  readonly #endpoint: Endpoint;
  readonly #ws: WebSocket;
  state = OPEN;
  protocol = '';
  binaryType: FunctionSocket['binaryType'] = 'nodebuffer';
  #abort: AbortController | undefined;
  #ending: Error | undefined;
  #calls: Set<() => void> | undefined;
  // What comes.
  #parts: Buffer[] | undefined;
  #partsCost = 0;
  #queue: Message[] = [];
  #unread = 0;
  #owed = 0;
  #paused = false;
  #next: ((m: Message | undefined) => void) | undefined;
  #iterating = false;
  #flushing = false;
  // What goes.
  #out: Outgoing[] = [];
  #credit = WINDOW_SIZE;
  #waiting = false;
  #drained: (() => void)[] = [];
  #farewell: Buffer | undefined;
  buffered = 0;
  /** Our CLOSE is out. */
  #said = false;
  #heard: Heard[] = [];
  readonly properties: Record<string, Listener | null> = {};

  constructor(conn: SocketOutlet, stream: number, table: Table, endpoint: Endpoint) {
    this.#conn = conn;
    this.stream = stream;
    this.table = table;
    this.#endpoint = endpoint;
    this.request = new Request(this);
    this.#ws = new WebSocket(this);
  }

  get id(): string { return this.table.get(REQ.ID); }
  get identity(): FunctionIdentity | null { return this.request.identity; }
  get hops(): number { return Number(this.request.calling('hops') ?? 0); }
  header(name: string): string | undefined { return this.request.headers[name]; }

  whenOver(f: () => void): () => void {
    if (this.state === CLOSED) f();
    else (this.#calls ??= new Set()).add(f);
    return () => { this.#calls?.delete(f); };
  }

  get signal(): AbortSignal {
    this.#abort ??= new AbortController();
    if (this.#ending !== undefined) this.#abort.abort(this.#ending);
    return this.#abort.signal;
  }

  /** Takes the socket, and calls its handler. */
  start(): void {
    const offered = (this.request.headers['sec-websocket-protocol'] ?? '').split(',').map((s) => s.trim()).filter(Boolean);
    const known = this.#endpoint.options.protocols;
    this.protocol = (known === undefined ? offered[0] : offered.find((p) => known.includes(p))) ?? '';
    this.#conn.sendResponseHead(this.stream, SOCKET_STATUS, this.protocol === '' ? [] : ['sec-websocket-protocol', this.protocol]);
    this.#guard(() => this.#endpoint.handler(this.#ws, this.request, new Context(this)));
    if (this.#hears('open')) queueMicrotask(() => { this.#emit('open', [], {}); });
  }

  /** Runs user code. What it throws, or rejects with, ends this socket and nothing else. */
  #guard(f: () => unknown): void {
    current.run(this, () => {
      try {
        const result = f();
        if (result instanceof Promise) result.catch((err: unknown) => { this.#threw(err); });
      } catch (err) {
        this.#threw(err);
      }
    });
  }

  #threw(err: unknown): void {
    this.#conn.log(3, describe(err), this.id);
    this.fail(ERRORS.HANDLER_THREW, err);
  }

  // ── what comes ──

  /** Takes a part of a message; false when it is more than the window allows. The bytes are copied. */
  message(bytes: Buffer, flags: number): void {
    const cost = bytes.length + MESSAGE_COST;
    this.#unread += cost;
    if (this.#unread > WINDOW_SIZE) {
      this.#conn.log(3, '[postern] more of a message than the window allows', this.id);
      this.#conn.send(T.RESET, 0, this.stream, Buffer.from([RESET.FLOW]));
      this.#over(LOST, '');
      return;
    }
    if (this.state !== OPEN) { // what comes behind a close is not heard
      this.#owe(cost);
      return;
    }
    this.#partsCost += cost;
    const own = Buffer.from(bytes);
    if ((flags & FLAG_END) === 0) {
      (this.#parts ??= []).push(own);
      this.#advance();
      return;
    }
    const data = this.#parts === undefined ? own : Buffer.concat([...this.#parts, own]);
    const message = { data, binary: (flags & FLAG_BINARY) !== 0, cost: this.#partsCost };
    this.#parts = undefined;
    this.#partsCost = 0;
    this.#queue.push(message);
    this.#flow();
  }

  /** A message that is larger than the window needs room for its rest; but only when the handler has taken all before it. */
  #advance(): void {
    if (this.#partsCost === 0 || this.#queue.length > 0) return;
    this.#owe(this.#partsCost);
    this.#partsCost = 0;
  }

  #owe(n: number): void {
    this.#unread -= n;
    this.#owed += n;
    if (this.#owed < WINDOW_SIZE / 4 || this.#said) return;
    this.#conn.sendWindow(this.stream, this.#owed);
    this.#owed = 0;
  }

  /** Hands out what waits, as long as somebody takes it. */
  #flow(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    while (this.#queue.length > 0 && !this.#paused) {
      if (this.#next !== undefined) {
        const next = this.#next;
        this.#next = undefined;
        next(this.#take());
      } else if (!this.#iterating && this.state === OPEN && this.#hears('message')) {
        const { data, binary } = this.#take()!;
        this.#emit('message', [this.binaryType === 'arraybuffer' && binary ? arrayBuffer(data) : data, binary], () => ({ data: this.#value(data, binary), origin: '', lastEventId: '', ports: [] }));
      } else {
        break;
      }
    }
    this.#flushing = false;
  }

  #take(): Message | undefined {
    const m = this.#queue.shift();
    if (m !== undefined) this.#owe(m.cost);
    this.#advance();
    return m;
  }

  #value(data: Buffer, binary: boolean): string | Buffer | ArrayBuffer | Blob {
    if (!binary) return data.toString('utf8');
    if (this.binaryType === 'nodebuffer') return data;
    return this.binaryType === 'blob' ? new Blob([data]) : arrayBuffer(data);
  }

  pause(paused: boolean): void {
    this.#paused = paused;
    if (!paused) this.#flow();
  }

  get paused(): boolean { return this.#paused; }

  async *messages(): AsyncGenerator<string | Buffer | ArrayBuffer | Blob, void> {
    if (this.#iterating) throw new Error('the messages of this WebSocket are being iterated already');
    this.#iterating = true;
    try {
      for (;;) {
        const m = this.#take() ?? (this.state === CLOSED ? undefined : await new Promise<Message | undefined>((resolve) => { this.#next = resolve; }));
        if (m === undefined) return;
        yield this.#value(m.data, m.binary);
      }
    } finally {
      this.#iterating = false;
      this.#flow();
    }
  }

  // ── what goes ──

  send(data: unknown, done: Done): void {
    if (this.state !== OPEN) {
      if (done !== undefined) queueMicrotask(() => { done(new Error('the WebSocket is not open')); });
      return;
    }
    if (data instanceof Blob) {
      this.#put({ bytes: undefined, binary: true, at: 0, done }, data.size);
      const entry = this.#out.at(-1)!;
      data.arrayBuffer().then((bytes) => { entry.bytes = Buffer.from(bytes); this.#pump(); }, (err: unknown) => { this.#threw(err); });
      return;
    }
    const binary = typeof data !== 'string' && typeof data !== 'number';
    const bytes = binary ? view(data) : Buffer.from(String(data));
    if (this.#out.length === 0 && bytes.length <= MAX_DATA && this.#credit >= bytes.length + MESSAGE_COST && !this.#conn.congested) {
      this.#part(bytes, binary, true);
      if (done !== undefined) queueMicrotask(() => { done(); });
      return;
    }
    this.#put({ bytes: binary ? Buffer.from(bytes) : bytes, binary, at: 0, done }, bytes.length); // a copy: it is the handler's to reuse
    this.#pump();
  }

  #put(m: Outgoing, size: number): void {
    this.#out.push(m);
    this.buffered += size;
    if (this.buffered > MAX_BUFFERED) this.#threw(new Error(`${this.buffered} bytes wait for a client that takes them slowly: await ws.drained() between messages`));
  }

  #part(bytes: Uint8Array, binary: boolean, last: boolean): void {
    this.#credit -= bytes.length + MESSAGE_COST;
    this.#conn.send(T.MESSAGE, (last ? FLAG_END : 0) | (binary ? FLAG_BINARY : 0), this.stream, bytes);
  }

  /** Sends what waits, as the window allows. */
  #pump(): void {
    while (!this.#said) {
      const m = this.#out[0];
      if (m?.bytes === undefined) break;
      const n = Math.min(m.bytes.length - m.at, MAX_DATA);
      if (this.#credit < n + MESSAGE_COST) return;
      if (this.#conn.congested) {
        if (!this.#waiting) this.#conn.drained().then(() => { this.#waiting = false; this.#pump(); }, () => {});
        this.#waiting = true;
        return;
      }
      const last = m.at + n === m.bytes.length;
      this.#part(m.bytes.subarray(m.at, m.at + n), m.binary, last);
      m.at += n;
      this.buffered -= n;
      if (last) {
        this.#out.shift();
        m.done?.();
      }
    }
    if (this.#out.length > 0) return;
    for (const f of this.#drained.splice(0)) f();
    if (this.#farewell !== undefined) this.#sayClose(this.#farewell);
  }

  drained(): Promise<void> {
    if (this.#out.length === 0) return Promise.resolve();
    return new Promise((resolve) => { this.#drained.push(resolve); });
  }

  /** The host may take so much more. */
  window(n: number): void {
    this.#credit += n;
    this.#pump();
  }

  // ── the end ──

  /** The handler's close: behind what it has sent. */
  close(code: number | undefined, reason: string): void {
    const payload = checked(code, reason);
    if (this.state !== OPEN) return;
    this.state = CLOSING;
    this.#farewell = payload;
    this.#pump();
  }

  /** Ends it now, without what was not sent yet. */
  end(code: number, reason: string): void {
    if (this.state === CLOSED || this.#said) return;
    this.state = CLOSING;
    this.#sayClose(farewell(code, reason));
    this.#drop();
  }

  fail(_code: string, _err: unknown): void { this.end(FAILED, 'the handler failed'); }

  #sayClose(payload: Buffer): void {
    if (this.#said) return;
    this.#said = true;
    this.#farewell = undefined;
    this.#conn.send(T.CLOSE, 0, this.stream, payload);
  }

  #drop(): void {
    const unsent = this.#out.splice(0);
    this.buffered = 0;
    for (const m of unsent) m.done?.(new Error('the WebSocket was closed before the message was sent'));
    for (const f of this.#drained.splice(0)) f();
  }

  /** The host's CLOSE: the socket is over. */
  closed(code: number, reason: string): void {
    if (this.state === CLOSED) return;
    this.#sayClose(farewell(code === LOST ? NONE : code, code === LOST ? '' : reason));
    this.#over(code, reason);
  }

  /** The host's RESET. */
  cancelled(): void { this.#over(LOST, ''); }

  #over(code: number, reason: string): void {
    if (this.state === CLOSED) return;
    this.state = CLOSED;
    this.#said = true;
    this.#conn.forgetSocket(this.stream);
    this.#drop();
    for (const f of this.#calls ?? []) f();
    this.#calls = undefined;
    this.#ending = new Error(`the WebSocket was closed with ${code}`);
    current.run(this, () => { this.#abort?.abort(this.#ending); });
    if (code === LOST) {
      const error = new Error('the connection was lost');
      this.#emit('error', [error], { error, message: error.message });
    }
    this.#emit('close', [code, Buffer.from(reason)], { code, reason, wasClean: code !== LOST });
    this.#next?.(undefined);
    this.#next = undefined;
  }

  // ── listeners ──

  #hears(type: string): boolean { return this.properties[type] != null || this.#heard.some((l) => l.type === type); }

  listen(type: string, f: Listener, event: boolean, once: boolean, given: unknown = f): void {
    if (typeof f !== 'function') throw new TypeError('a listener is a function');
    this.#heard.push({ type, given, f, event, once });
    this.heard(type);
  }

  /** A listener is there: what waited for one is handed out when the code that adds it is through. */
  heard(type: string): void {
    if (type === 'message' && this.#queue.length > 0) queueMicrotask(() => { this.#flow(); });
  }

  unlisten(type: string, given?: unknown): void {
    const i = given === undefined ? -1 : this.#heard.findLastIndex((l) => l.type === type && l.given === given);
    if (given === undefined) this.#heard = this.#heard.filter((l) => l.type !== type);
    else if (i >= 0) this.#heard = this.#heard.toSpliced(i, 1);
  }

  hasListener(type: string, given: unknown): boolean { return this.#heard.some((l) => l.type === type && l.given === given); }

  #emit(type: string, args: unknown[], of: object | (() => object)): void {
    let event: object | undefined;
    const made = (): object => (event ??= { type, target: this.#ws, currentTarget: this.#ws, ...(typeof of === 'function' ? of() : of) });
    const property = this.properties[type];
    if (property != null) this.#guard(() => property.call(this.#ws, made()));
    for (const l of this.#heard) {
      if (l.type !== type) continue;
      if (l.once) this.unlisten(type, l.given);
      this.#guard(() => l.f.apply(this.#ws, l.event ? [made()] : args));
    }
  }

  /** As an answer to a ping of the handler's own: the gateway looks whether the client is there. */
  ping(): void {
    if (this.state === OPEN) queueMicrotask(() => { if (this.state === OPEN) this.#emit('pong', [Buffer.alloc(0)], {}); });
  }

  setProperty(type: string, f: unknown): void {
    this.properties[type] = typeof f === 'function' ? (f as Listener) : null;
    this.heard(type);
  }
}

/** What a handler is given. Its members are those of a browser's WebSocket and the most used of the package ws. */
class WebSocket implements FunctionSocket {
  static readonly CONNECTING = 0;
  static readonly OPEN = OPEN;
  static readonly CLOSING = CLOSING;
  static readonly CLOSED = CLOSED;
  declare readonly CONNECTING: 0;
  declare readonly OPEN: 1;
  declare readonly CLOSING: 2;
  declare readonly CLOSED: 3;
  readonly #s: Session;

  constructor(s: Session) { this.#s = s; }

  get readyState(): 0 | 1 | 2 | 3 { return this.#s.state as 1; }
  get protocol(): string { return this.#s.protocol; }
  get extensions(): string { return ''; }
  get url(): string { return this.#s.request.url; }
  get bufferedAmount(): number { return this.#s.buffered; }
  get isPaused(): boolean { return this.#s.paused; }
  get binaryType(): FunctionSocket['binaryType'] { return this.#s.binaryType; }
  set binaryType(type: FunctionSocket['binaryType']) {
    if (type === 'nodebuffer' || type === 'arraybuffer' || type === 'blob') this.#s.binaryType = type;
  }

  get onopen(): any { return this.#s.properties['open'] ?? null; }
  set onopen(f: unknown) { this.#s.setProperty('open', f); }
  get onmessage(): any { return this.#s.properties['message'] ?? null; }
  set onmessage(f: unknown) { this.#s.setProperty('message', f); }
  get onclose(): any { return this.#s.properties['close'] ?? null; }
  set onclose(f: unknown) { this.#s.setProperty('close', f); }
  get onerror(): any { return this.#s.properties['error'] ?? null; }
  set onerror(f: unknown) { this.#s.setProperty('error', f); }

  send(data: unknown, options?: unknown, done?: unknown): void {
    const f = typeof options === 'function' ? options : done;
    this.#s.send(data, typeof f === 'function' ? (f as Done) : undefined);
  }

  close(code?: number, reason: string | Uint8Array = ''): void { this.#s.close(code, typeof reason === 'string' ? reason : Buffer.from(reason).toString('utf8')); }
  terminate(): void { this.#s.end(NONE, ''); }
  drained(): Promise<void> { return this.#s.drained(); }
  pause(): void { this.#s.pause(true); }
  resume(): void { this.#s.pause(false); }
  ping(): void { this.#s.ping(); }
  pong(): void {}

  addEventListener(type: string, listener: any, options?: boolean | { once?: boolean; signal?: AbortSignal }): void {
    if (listener == null || this.#s.hasListener(type, listener)) return;
    const { once = false, signal } = typeof options === 'object' ? options : {};
    if (signal?.aborted === true) return;
    this.#s.listen(type, typeof listener === 'function' ? (listener as Listener) : (e: unknown) => (listener as { handleEvent(e: unknown): unknown }).handleEvent(e), true, once, listener);
    signal?.addEventListener('abort', () => { this.removeEventListener(type, listener); }, { once: true });
  }

  removeEventListener(type: string, listener: any): void { if (listener != null) this.#s.unlisten(type, listener); }
  on(type: string, listener: Listener): this { this.#s.listen(type, listener, false, false); return this; }
  once(type: string, listener: Listener): this { this.#s.listen(type, listener, false, true); return this; }
  addListener(type: string, listener: Listener): this { return this.on(type, listener); }
  off(type: string, listener: Listener): this { this.#s.unlisten(type, listener); return this; }
  removeListener(type: string, listener: Listener): this { return this.off(type, listener); }
  removeAllListeners(type?: string): this {
    for (const t of type === undefined ? [...PROPERTIES, 'pong'] : [type]) this.#s.unlisten(t);
    return this;
  }

  [Symbol.asyncIterator](): AsyncGenerator<string | Buffer | ArrayBuffer | Blob, void> { return this.#s.messages(); }
}
Object.assign(WebSocket.prototype, { CONNECTING: 0, OPEN, CLOSING, CLOSED });

/** A CLOSE's payload. */
const farewell = (code: number, reason: string): Buffer => Buffer.concat([Buffer.from([code >> 8, code & 255]), Buffer.from(reason)]);

/** The same of what a handler says; throws where it cannot be sent. */
function checked(code: number | undefined, reason: string): Buffer {
  const valid = code === undefined ? reason === '' : Number.isInteger(code) && (code >= 1000 && code <= 1014 && code !== 1004 && code !== NONE && code !== LOST || code >= 3000 && code <= 4999);
  if (!valid) throw new RangeError(`${String(code)} is no code to close a WebSocket with: 1000 to 1014, or 3000 to 4999`);
  const payload = farewell(code ?? NONE, reason);
  if (payload.length > 2 + MAX_REASON) throw new RangeError(`the reason to close a WebSocket has ${payload.length - 2} bytes, more than ${MAX_REASON}`);
  return payload;
}

const arrayBuffer = (b: Buffer): ArrayBuffer => b.buffer.slice(b.byteOffset, b.byteOffset + b.length) as ArrayBuffer;

/** The bytes of an ArrayBuffer or a view. */
function view(data: unknown): Uint8Array {
  if (data instanceof ArrayBuffer || data instanceof SharedArrayBuffer) return new Uint8Array(data);
  if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  throw new TypeError('a message is a string, an ArrayBuffer, a view of one, or a Blob');
}
