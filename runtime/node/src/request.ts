// The request as a handler sees it. Everything but the body waits until it is asked for.
import { parseBody, parseCookies, parseForm } from './body.ts';
import { REQ, type Table } from './protocol.ts';
import type { FunctionIdentity, FunctionRequest } from './types.ts';

const none: Uint8Array = Buffer.alloc(0);
const COLON = 0x3a; // begins the name of a path parameter, and no header's

/** Where a request comes from: its block, and who can cancel it. */
export interface Origin {
  readonly id: string;
  readonly table: Table;
  readonly signal: AbortSignal;
}

export class Request implements FunctionRequest {
  readonly #in: Origin;
  body: any = undefined;
  rawBody: Uint8Array = none;
  #headers: Record<string, string> | undefined;
  #query: Record<string, string | string[]> | undefined;
  #params: Record<string, string> | undefined;
  #cookies: Record<string, string> | undefined;

  constructor(origin: Origin) {
    this.#in = origin;
  }

  get method(): string { return this.#in.table.get(REQ.METHOD); }
  get path(): string { return this.#in.table.get(REQ.PATH); }
  /** The query as it was sent, without "?". */
  get search(): string { return this.#in.table.get(REQ.QUERY); }
  get url(): string {
    const query = this.search;
    return query === '' ? this.path : `${this.path}?${query}`;
  }

  /** Of the route's pattern. The object has no prototype, so no name can mean anything else. */
  get params(): Readonly<Record<string, string>> {
    if (this.#params !== undefined) return this.#params;
    const params: Record<string, string> = Object.create(null);
    this.#in.table.pairs(REQ.HEADERS, (name, value) => {
      if (name.length > 1 && name.charCodeAt(0) === COLON && name.charCodeAt(1) !== COLON) params[name.slice(1)] = utf8(value);
    });
    return (this.#params = params);
  }

  /** The pattern of the route; empty when the handler was found by its name. */
  get route(): string {
    let route = '';
    this.#in.table.pairs(REQ.HEADERS, (name, value) => { if (name === ':') route = utf8(value); });
    return route;
  }

  get ip(): string { return this.#in.table.get(REQ.IP); }
  get requestId(): string { return this.#in.id; }
  get signal(): AbortSignal { return this.#in.signal; }

  /** What the gateway knows of the function that calls: name, ID, request and hops; undefined when none does. */
  calling(what: 'function' | 'function-id' | 'request' | 'hops'): string | undefined {
    let value: string | undefined;
    this.#in.table.pairs(REQ.HEADERS, (name, v) => { if (name.startsWith('::') && name.slice(2) === what) value = utf8(v); });
    return value;
  }

  get identity(): FunctionIdentity | null {
    const t = this.#in.table;
    const keyId = t.get(REQ.KEY);
    const method = t.get(REQ.AUTH);
    if (keyId === '' && method !== 'signature' && method !== 'admin') return null;
    const who = { keyId, projectId: t.get(REQ.PROJECT), method, scopes: t.get(REQ.SCOPES).split(' ').filter(Boolean) };
    return { ...who, ...(method === 'signature' && this.#signed()), ...this.#called() };
  }

  /** Of a callback: how it was signed and, where its sender says it, what the sender calls it. */
  #signed(): { scheme: string; messageId?: string } {
    let scheme = '';
    let messageId: string | undefined;
    this.#in.table.pairs(REQ.HEADERS, (name, value) => {
      if (name === '::scheme') scheme = value;
      if (name === '::id') messageId = value;
    });
    return { scheme, ...(messageId !== undefined && { messageId }) };
  }

  /** Of a call by another function: which, and in which request. */
  #called(): { functionId: string; functionName: string; parentRequestId: string } | undefined {
    const functionId = this.calling('function-id');
    return functionId === undefined ? undefined : { functionId, functionName: this.calling('function')!, parentRequestId: this.calling('request')! };
  }

  get headers(): Readonly<Record<string, string>> {
    if (this.#headers !== undefined) return this.#headers;
    const headers: Record<string, string> = Object.create(null);
    this.#in.table.pairs(REQ.HEADERS, (name, value) => {
      if (name.charCodeAt(0) === COLON) return;
      const before = headers[name];
      headers[name] = before === undefined ? value : before + (name === 'cookie' ? '; ' : ', ') + value;
    });
    return (this.#headers = headers);
  }

  get query(): Readonly<Record<string, string | string[]>> {
    return (this.#query ??= parseForm(this.search));
  }

  /** Of the cookie header, decoded. */
  get cookies(): Readonly<Record<string, string>> {
    return (this.#cookies ??= parseCookies(this.headers['cookie']));
  }

  /** Takes the whole body and parses it as its content-type says. Throws BodyError. */
  setBody(raw: Buffer): void {
    this.rawBody = raw;
    if (raw.length > 0) this.body = parseBody(this.headers['content-type'] ?? '', raw);
  }
}

const utf8 = (s: string): string => Buffer.from(s, 'latin1').toString('utf8');
