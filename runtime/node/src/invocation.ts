// One invocation: the stream of frames that carries a request to its handler and the answer back.
import { BodyError } from './body.ts';
import { Context, current } from './context.ts';
import { type EventFormat, fromEvent, toEvent } from './event.ts';
import { describe, ERRORS, summary } from './errors.ts';
import { FLAG_END, MAX_DATA, REQ, RESET, T, type Table, WINDOW_SIZE } from './protocol.ts';
import { Request } from './request.ts';
import { type Reply, ResultError, type Streamed, toReply } from './result.ts';
import type { EventHandler, FunctionHandler, FunctionIdentity } from './types.ts';

/** The way out of an invocation: the connection that it came on. */
export interface Outlet {
  send(type: number, flags: number, stream: number, payload: Uint8Array): void;
  sendJSON(type: number, stream: number, value: object): void;
  sendWindow(stream: number, n: number): void;
  sendResponseHead(stream: number, status: number, headers: readonly string[]): void;
  /** Sends a whole answer in one frame; false when it is too large for one. */
  sendReply(stream: number, status: number, headers: readonly string[], body: string | Uint8Array): boolean;
  log(level: number, text: string, requestId: string): void;
  forget(stream: number): void;
  readonly congested: boolean;
  /** When what is being read came, in milliseconds since 1970. */
  readonly now: number;
  drained(): Promise<void>;
}

export class Invocation {
  readonly startedAt: number;
  readonly stream: number;
  readonly table: Table;
  /** True once the answer's first frame is out, or an ERROR or RESET ended it. */
  answered = false;
  /** True when nothing more will be sent or received. */
  over = false;
  readonly #conn: Outlet;
  readonly #handler: FunctionHandler;
  readonly #events: EventFormat | undefined;
  #request!: Request;
  #abort: AbortController | undefined;
  /** Why it was broken off, for a signal that is asked for only afterwards. */
  #ending: Error | undefined;
  // The body as it comes.
  #chunks: Buffer[] | undefined;
  #received = 0;
  #uncredited = 0;
  #ended = false;
  #body: ReadableStreamDefaultController<Uint8Array> | undefined;
  // The answer as it goes.
  #credit = WINDOW_SIZE;
  #wake: (() => void) | undefined;
  #source: Source | undefined;
  /** What ends the calls of other functions that it has made. */
  #calls: Set<() => void> | undefined;

  constructor(conn: Outlet, stream: number, table: Table, handler: FunctionHandler, events?: EventFormat) {
    this.#conn = conn;
    this.startedAt = conn.now;
    this.stream = stream;
    this.table = table;
    this.#handler = handler;
    this.#events = events;
  }

  get id(): string { return this.table.get(REQ.ID); }

  get identity(): FunctionIdentity | null { return this.#request.identity; }
  get hops(): number { return Number(this.#request.calling('hops') ?? 0); }
  header(name: string): string | undefined { return this.#request.headers[name]; }

  whenOver(f: () => void): () => void {
    if (this.over) f();
    else (this.#calls ??= new Set()).add(f);
    return () => { this.#calls?.delete(f); };
  }

  get signal(): AbortSignal {
    this.#abort ??= new AbortController();
    if (this.#ending !== undefined) this.#abort.abort(this.#ending);
    return this.#abort.signal;
  }

  /** Begins: the body's first bytes stand in b, which the caller may reuse afterwards, from `from` to `to`. */
  start(b: Buffer, from: number, to: number, end: boolean): void {
    this.#request = new Request(this);
    if (this.table.size(REQ.MODE) === 'stream'.length) {
      this.#request.body = new ReadableStream<Uint8Array>({
        start: (controller) => { this.#body = controller; },
        pull: () => { this.#giveCredit(); },
        cancel: () => { this.#body = undefined; this.#giveCredit(); },
      }, { highWaterMark: 0 });
      this.data(b.subarray(from, to), end);
      this.#run();
      return;
    }
    if (end) {
      this.#whole(copyOf(b, from, to));
      return;
    }
    this.#chunks = [];
    this.data(b.subarray(from, to), end);
  }

  /** Takes more of the body. The bytes are copied. */
  data(bytes: Buffer, end: boolean): void {
    if (this.#ended) return;
    this.#received += bytes.length;
    this.#uncredited += bytes.length;
    if (this.#uncredited > WINDOW_SIZE) {
      this.reset(RESET.FLOW, 'more body than the window allows');
      return;
    }
    this.#ended = end;
    if (this.#chunks !== undefined) {
      if (bytes.length > 0) this.#chunks.push(Buffer.from(bytes));
      if (end) this.#whole(Buffer.concat(this.#chunks));
      else if (this.#uncredited > WINDOW_SIZE / 2) this.#giveCredit();
      return;
    }
    if (this.#body === undefined) { // the handler does not want it: let it flow past
      if (!end) this.#giveCredit();
      return;
    }
    if (bytes.length > 0) this.#body.enqueue(new Uint8Array(bytes)); // a copy of its own, which the handler may transfer
    if (end) {
      this.#body.close();
      this.#body = undefined;
    }
  }

  #giveCredit(): void {
    if (this.#uncredited > 0 && !this.over && !this.#ended) this.#conn.sendWindow(this.stream, this.#uncredited);
    this.#uncredited = 0;
  }

  #whole(raw: Buffer): void {
    this.#ended = true;
    this.#chunks = undefined;
    try {
      if (this.#events === undefined) this.#request.setBody(raw);
      else this.#request.rawBody = raw; // an event's body is a string, for the handler to parse
    } catch (err) {
      if (!(err instanceof BodyError)) throw err;
      this.fail(ERRORS.BODY_MALFORMED, err);
      return;
    }
    this.#run();
  }

  #run(): void { current.run(this, call, this); }

  /** Calls the handler. Only #run may, which makes the invocation the current one. */
  call(): void {
    try {
      const handler = this.#handler; // called as a function: the invocation must not become its `this`
      const result: unknown = this.#events === undefined ? handler(new Context(this), this.#request)
        : (handler as unknown as EventHandler)(toEvent(this.#events, this.#request, this.startedAt), new Context(this));
      if (result instanceof Promise) {
        result.then((r) => { this.#finish(r); }, (err: unknown) => { this.#threw(err); });
      } else if (typeof (result as PromiseLike<unknown> | null)?.then === 'function') {
        // Promise.resolve, and not then itself, which may throw, call back twice, or give another thenable.
        Promise.resolve(result).then((r) => { this.#finish(r); }, (err: unknown) => { this.#threw(err); });
      } else {
        this.#finish(result);
      }
    } catch (err) {
      this.#threw(err);
    }
  }

  #threw(err: unknown): void {
    if (this.over) return; // the caller has gone; an aborted handler may well throw
    this.#conn.log(3, describe(err), this.id);
    this.fail(ERRORS.HANDLER_THREW, err);
  }

  #finish(result: unknown): void {
    if (this.over || this.answered) return;
    let reply: Reply;
    try {
      reply = toReply(this.#events === undefined ? result : fromEvent(result));
      if (isStream(reply.body)) this.#source = reader(reply.body);
    } catch (err) {
      this.#conn.log(3, describe(err), this.id);
      this.fail(err instanceof ResultError ? ERRORS.RESULT_INVALID : ERRORS.HANDLER_THREW, err);
      return;
    }
    this.answered = true;
    const { body } = reply;
    if (!isStream(body)) {
      if (this.#conn.sendReply(this.stream, reply.status, reply.headers, body ?? '')) {
        this.#close();
        return;
      }
      const bytes = typeof body === 'string' ? Buffer.from(body) : body!; // an empty one was sent
      this.#conn.sendResponseHead(this.stream, reply.status, reply.headers);
      this.#pour(single(bytes));
      return;
    }
    this.#conn.sendResponseHead(this.stream, reply.status, reply.headers);
    this.#pour(this.#read());
  }

  async *#read(): AsyncGenerator<Uint8Array> {
    for (;;) {
      const { done, value } = await this.#source!.read();
      if (done) return;
      if (value instanceof Uint8Array) yield value;
      else if (typeof value === 'string') yield Buffer.from(value);
      else throw new ResultError('a streamed body must consist of bytes (Uint8Array) or strings');
    }
  }

  /** Sends a body as the window allows, and ends the invocation. */
  #pour(chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): void {
    const send = async (): Promise<void> => {
      for await (const chunk of chunks) {
        for (let at = 0; at < chunk.length;) {
          while (this.#credit === 0 && !this.over) await new Promise<void>((resolve) => { this.#wake = resolve; });
          if (this.over) return;
          const n = Math.min(chunk.length - at, this.#credit, MAX_DATA);
          this.#credit -= n;
          this.#conn.send(T.DATA, 0, this.stream, chunk.subarray(at, at + n));
          at += n;
          if (this.#conn.congested) await this.#conn.drained();
        }
      }
      if (this.over) return;
      this.#conn.send(T.DATA, FLAG_END, this.stream, new Uint8Array(0));
      this.#close();
    };
    send().catch((err: unknown) => {
      if (this.over) return;
      this.#conn.log(3, describe(err), this.id);
      this.reset(RESET.HANDLER_FAILED, 'the handler failed after its response began');
    });
  }

  /** The host may take so many more bytes. */
  window(n: number): void {
    this.#credit += n;
    this.#wake?.();
    this.#wake = undefined;
  }

  /** The host ended it: the caller has gone, or the time is over. */
  cancelled(): void {
    this.over = true;
    this.#endCalls();
    this.#end(new Error('the request was cancelled'));
  }

  /** Ends it with an error before the answer began; afterwards, with a RESET. */
  fail(code: string, err: unknown): void {
    if (this.over) return;
    if (this.answered) {
      this.reset(RESET.HANDLER_FAILED, 'the handler failed after its response began');
      return;
    }
    this.answered = true;
    this.#conn.sendJSON(T.ERROR, this.stream, { code, ...summary(err) });
    this.#close();
  }

  reset(reason: number, text: string): void {
    if (this.over) return;
    this.answered = true;
    this.#conn.send(T.RESET, 0, this.stream, Buffer.from(String.fromCharCode(reason) + text));
    this.#close();
    this.#end(new Error(text));
  }

  #close(): void {
    this.over = true;
    this.#endCalls();
    this.#conn.forget(this.stream);
    if (!this.#ended) { // the body is not wanted any more
      this.#ended = true;
      if (this.#body !== undefined) this.#end(new Error('the response was sent before the body was read'));
    }
  }

  #endCalls(): void {
    if (this.#calls === undefined) return;
    for (const f of this.#calls) f();
    this.#calls = undefined;
  }

  #end(reason: Error): void {
    this.#ending = reason;
    current.run(this, () => { this.#abort?.abort(reason); }); // what listens belongs to this request
    this.#body?.error(reason);
    this.#body = undefined;
    this.#source?.cancel(reason).catch(() => {});
    this.#wake?.();
    this.#wake = undefined;
  }
}

const call = (invocation: Invocation): void => { invocation.call(); };

const none = Buffer.alloc(0);

function copyOf(b: Buffer, from: number, to: number): Buffer {
  if (from === to) return none;
  const own = Buffer.allocUnsafe(to - from);
  b.copy(own, 0, from, to);
  return own;
}

const isStream = (body: Reply['body']): body is Streamed => typeof body === 'object' && body !== null && !(body instanceof Uint8Array);

/** Takes hold of a streamed body while the answer can still be an error. */
function reader(body: Streamed): Source {
  if ('getReader' in body) {
    if (body.locked) throw new ResultError('the body of the result is already being read, or was read before');
    return body.getReader();
  }
  const from = Symbol.asyncIterator in body ? body[Symbol.asyncIterator]() : body[Symbol.iterator]();
  return { read: async () => from.next(), cancel: async () => { await from.return?.(undefined); } };
}

/** What a streamed body is read from. */
interface Source {
  read(): Promise<{ done?: boolean | undefined; value?: unknown }>;
  cancel(reason: unknown): Promise<void>;
}

function* single(bytes: Uint8Array): Iterable<Uint8Array> {
  yield bytes;
}
