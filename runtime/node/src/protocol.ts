// The wire between host and worker: docs/worker-protocol.md. The mirror file is internal/worker/protocol.go.

declare global {
  // Of Node's Buffer, and faster than toString and write for what is short; @types/node leaves them out.
  interface Buffer {
    latin1Slice(start: number, end: number): string;
    utf8Write(text: string, at: number): number;
  }
}

export const VERSION = 1;
export const HEADER = 10;
export const MAX_PAYLOAD = 1 << 20;
export const MAX_DATA = 65536;
export const WINDOW_SIZE = 262144;
export const MAGIC = 'PSTN';

export const T = {
  HELLO: 1, READY: 2, FAIL: 3, DRAIN: 4, PING: 5, PONG: 6, LOG: 7, TOKEN: 8,
  REQUEST: 16, RESPONSE: 17, DATA: 18, WINDOW: 19, RESET: 20, ERROR: 21,
  MESSAGE: 22, CLOSE: 23, CALL: 32, RESULT: 33,
} as const;

export const FLAG_END = 1;
export const FLAG_ASCII = 2;
export const FLAG_BINARY = 4;

/** What a MESSAGE takes of the window beside its payload. */
export const MESSAGE_COST = 64;
/** The status of the RESPONSE that takes a WebSocket. */
export const SOCKET_STATUS = 101;

export const RESET = { CANCELLED: 0, DEADLINE: 1, REFUSED: 2, HANDLER_FAILED: 3, FLOW: 4 } as const;

/** The strings of a request block that come before the headers. Pairs whose name begins with a colon are the route and its parameters, with two how a callback was signed, or which function calls. */
export const REQ = { ID: 0, METHOD: 1, HANDLER: 2, PATH: 3, QUERY: 4, IP: 5, KEY: 6, PROJECT: 7, AUTH: 8, SCOPES: 9, MODE: 10, HEADERS: 11 } as const;

/** What this worker understands beyond the first version: said in HELLO. */
export const FEATURES = ['route', 'signature', 'token', 'socket'];

export class ProtocolError extends Error {}

/** Frames that may come from the host, and whether they belong to a stream. */
const fromHost: Record<number, boolean> = {
  [T.HELLO]: false, [T.DRAIN]: false, [T.PING]: false, [T.TOKEN]: false,
  [T.REQUEST]: true, [T.DATA]: true, [T.WINDOW]: true, [T.RESET]: true, [T.MESSAGE]: true, [T.CLOSE]: true, [T.RESULT]: true,
};

/** Checks a frame's header; what it lets pass may be dispatched. */
export function checkHeader(length: number, type: number, stream: number): void {
  if (length > MAX_PAYLOAD) throw new ProtocolError(`a frame promises ${length} bytes, more than ${MAX_PAYLOAD}`);
  const streamed = fromHost[type];
  if (streamed === undefined) throw new ProtocolError(`frame type ${type} is not one that a host sends`);
  if (streamed !== stream > 0) throw new ProtocolError(`frame type ${type} on stream ${stream}`);
}

export function writeHeader(b: Buffer, at: number, length: number, type: number, flags: number, stream: number): void {
  b.writeUInt32BE(length, at);
  b[at + 4] = type;
  b[at + 5] = flags;
  b.writeUInt32BE(stream, at + 6);
}

/** Sets the length and the stream in the header of a frame that was written before. */
export function writeLength(b: Buffer, at: number, length: number, stream: number): void {
  b.writeUInt32BE(length, at);
  b.writeUInt32BE(stream, at + 6);
}

/** Writes text as UTF-8 and returns its length in bytes. Short text is done before a call out of JavaScript has begun. */
export function writeText(b: Buffer, text: string, at: number): number {
  if (text.length > 64) return b.utf8Write(text, at);
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (c >= 0x80) return b.utf8Write(text, at);
    b[at + i] = c;
  }
  return text.length;
}

/**
 * A string table, kept as one Latin-1 string: lengths and bytes together, so that decoding costs one call and everything
 * else waits until it is asked for. `at` is where its u16 count stands.
 */
export class Table {
  readonly count: number;
  private readonly text: string;
  private readonly ascii: boolean;

  constructor(text: string, ascii: boolean) {
    this.text = text;
    this.ascii = ascii;
    this.count = u16(text, 0);
  }

  /** One string, as UTF-8. */
  get(index: number): string {
    let at = 2 + 2 * this.count;
    for (let i = 0; i < index; i++) at += u16(this.text, 2 + 2 * i);
    const s = this.text.substring(at, at + u16(this.text, 2 + 2 * index));
    return this.ascii ? s : Buffer.from(s, 'latin1').toString('utf8');
  }

  /** The length of a string, in bytes. */
  size(index: number): number { return u16(this.text, 2 + 2 * index); }

  /** Calls f with each pair from an index on; values are Latin-1, as in HTTP/1.1. */
  pairs(from: number, f: (name: string, value: string) => void): void {
    const text = this.text;
    let at = 2 + 2 * this.count;
    for (let i = 0; i < from; i++) at += u16(text, 2 + 2 * i);
    for (let i = from; i + 1 < this.count; i += 2) {
      const n = u16(text, 2 + 2 * i);
      const v = u16(text, 4 + 2 * i);
      f(text.substring(at, at + n), text.substring(at + n, at + n + v));
      at += n + v;
    }
  }
}

const u16 = (s: string, at: number): number => (s.charCodeAt(at) << 8) | s.charCodeAt(at + 1);

/** The length in bytes of the table that begins at `start`; throws when it does not fit before `end`. */
export function tableLength(b: Buffer, start: number, end: number): number {
  if (start + 2 > end) throw new ProtocolError('a string table is cut off');
  const count = b.readUInt16BE(start);
  let size = 2 + 2 * count;
  if (start + size > end) throw new ProtocolError('a string table is cut off');
  for (let i = start + 2; i < start + 2 + 2 * count; i += 2) size += (b[i]! << 8) | b[i + 1]!;
  if (start + size > end) throw new ProtocolError('a string table is cut off');
  return size;
}

/** Checks a request block and returns its table's length. */
export function requestTableLength(b: Buffer, start: number, end: number): number {
  const size = tableLength(b, start, end);
  const count = b.readUInt16BE(start);
  if (count < REQ.HEADERS || (count - REQ.HEADERS) % 2 !== 0) throw new ProtocolError(`a request block of ${count} strings`);
  return size;
}

/** A response block: status, and headers as name, value, name, value. */
export function responseBlock(status: number, pairs: readonly string[]): { block: Buffer; ascii: boolean } {
  const parts = pairs.map((s) => Buffer.from(s, 'latin1'));
  const block = Buffer.allocUnsafe(4 + 2 * parts.length + parts.reduce((n, p) => n + p.length, 0));
  block.writeUInt16BE(status, 0);
  block.writeUInt16BE(parts.length, 2);
  let at = 4 + 2 * parts.length;
  parts.forEach((p, i) => {
    block.writeUInt16BE(p.length, 4 + 2 * i);
    p.copy(block, at);
    at += p.length;
  });
  return { block, ascii: parts.every((p) => p.every((c) => c < 0x80)) };
}

/** What this worker's function shows when it calls another one, and the path of the socket where. */
export interface Pass { readonly socket: string; readonly token: string }

/** Reads the payload of TOKEN. */
export function readPass(b: Buffer, start: number, end: number): Pass {
  let said: Partial<Pass> | null;
  try {
    said = JSON.parse(b.toString('utf8', start, end)) as Partial<Pass> | null;
  } catch {
    throw new ProtocolError('a TOKEN that does not parse'); // without the text, which is a secret
  }
  const { socket, token } = said ?? {};
  if (typeof socket !== 'string' || typeof token !== 'string' || socket === '' || token === '') throw new ProtocolError('a TOKEN without a socket or a token');
  return { socket, token };
}

/** Byte strings, each behind its length in 32 bits: the arguments of a CALL, and what RESULT says. */
export function appendFields(into: Uint8Array[], fields: readonly Uint8Array[]): void {
  for (const f of fields) {
    const length = Buffer.allocUnsafe(4);
    length.writeUInt32BE(f.length, 0);
    into.push(length, f);
  }
}

/** Reads what appendFields wrote. The fields are parts of b. */
export function readFields(b: Buffer, start: number, end: number): Buffer[] {
  const fields: Buffer[] = [];
  for (let at = start; at < end;) {
    if (end - at < 4) throw new ProtocolError('a field is cut off');
    const from = at + 4;
    at = from + b.readUInt32BE(at);
    if (at > end) throw new ProtocolError('a field is cut off');
    fields.push(b.subarray(from, at));
  }
  return fields;
}

/** Reads the payload of CLOSE. */
export function readClose(b: Buffer, start: number, end: number): { code: number; reason: string } {
  if (end - start < 2) throw new ProtocolError('a CLOSE without a code');
  return { code: b.readUInt16BE(start), reason: b.toString('utf8', start + 2, end) };
}

/** The payload of HELLO. */
export function hello(info: object): Buffer {
  return Buffer.concat([Buffer.from(MAGIC), Buffer.from([VERSION >> 8, VERSION & 255]), Buffer.from(JSON.stringify(info))]);
}

/** What the host says in HELLO that it understands; one from before there were features names none. */
export function helloFeatures(b: Buffer, start: number, end: number): readonly string[] {
  try {
    const said = JSON.parse(b.toString('utf8', start + 6, end)) as { features?: unknown } | null;
    return Array.isArray(said?.features) ? said.features.filter((f) => typeof f === 'string') : [];
  } catch {
    return [];
  }
}

/** The version in a HELLO; throws when it is none. */
export function helloVersion(b: Buffer, start: number, end: number): number {
  if (end - start < 6 || b.latin1Slice(start, start + 4) !== MAGIC) throw new ProtocolError('the peer does not speak this protocol');
  return b.readUInt16BE(start + 4);
}
