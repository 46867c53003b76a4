// What the runtime asks of the host: cache, storage, and what else a function's context has that is kept outside of its worker.
import { appendFields, MAX_PAYLOAD, ProtocolError, readFields } from './protocol.ts';

/** The host refused a call, or could not answer it. */
export class HostError extends Error {
  override readonly name = 'HostError';
  /** As in the table of docs/worker-protocol.md. */
  readonly code: string;
  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

/** How many calls are out at a time; the host takes twice as many. Others wait. */
const MAX_OUT = 128;
const OK = 0;

interface Waiting { resolve(fields: Buffer[]): void; reject(err: Error): void }

export class HostCalls {
  #send: ((call: number, payload: Uint8Array) => void) | undefined;
  #last = 0;
  readonly #out = new Map<number, Waiting>();
  readonly #queue: (() => void)[] = [];

  /** Gives it a host that answers calls. */
  attach(send: (call: number, payload: Uint8Array) => void): void { this.#send = send; }

  /** Asks for `op`. Rejects with a HostError. The fields of the result are its own. */
  async call(op: string, ...args: (string | Uint8Array)[]): Promise<Buffer[]> {
    const parts: Uint8Array[] = [Buffer.from([op.length]), Buffer.from(op, 'latin1')];
    appendFields(parts, args.map((a) => (typeof a === 'string' ? Buffer.from(a) : a)));
    const payload = Buffer.concat(parts);
    if (payload.length > MAX_PAYLOAD) throw new HostError('too_large', `${op}: ${payload.length} bytes are more than can be sent at once (${MAX_PAYLOAD})`);
    const send = this.#send;
    if (send === undefined) throw new HostError('call_unknown', `${op}: this host answers no calls`);
    while (this.#out.size >= MAX_OUT) await new Promise<void>((resolve) => { this.#queue.push(resolve); });
    do this.#last = (this.#last % 0xffff_ffff) + 1; while (this.#out.has(this.#last));
    try {
      return await new Promise((resolve, reject) => {
        this.#out.set(this.#last, { resolve, reject });
        send(this.#last, payload);
      });
    } catch (err) {
      Error.captureStackTrace(err as Error); // here it is known who waits, and where the result came it is not
      throw err;
    }
  }

  /** Takes the RESULT of a call. */
  result(call: number, b: Buffer, start: number, end: number): void {
    const waiting = this.#out.get(call);
    if (waiting === undefined || start === end) throw new ProtocolError(`a RESULT of call ${call}, which is not out, or an empty one`);
    this.#out.delete(call);
    this.#queue.shift()?.();
    if (b[start] === OK) {
      const own = Buffer.from(b.subarray(start + 1, end)); // the read buffer is used again
      waiting.resolve(readFields(own, 0, own.length));
      return;
    }
    waiting.reject(fault(b.toString('utf8', start + 1, end)));
  }
}

function fault(text: string): HostError {
  try {
    const said = JSON.parse(text) as { code?: unknown; message?: unknown };
    return new HostError(String(said.code), String(said.message));
  } catch {
    throw new ProtocolError('a RESULT that does not parse');
  }
}

/** Those of this worker. */
export const hostCalls = new HostCalls();
