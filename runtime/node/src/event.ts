// Handlers of events: the request as one object whose body is a string, in two shapes, and results in kind.
import { isUtf8 } from 'node:buffer';
import { parseForm } from './body.ts';
import type { Request } from './request.ts';
import { ResultError } from './result.ts';
import type { EventIdentity, EventResponse, EventV2, FunctionEvent } from './types.ts';

export type EventFormat = 'simple' | 'v2';

export function toEvent(format: EventFormat, r: Request, at: number): FunctionEvent | EventV2 {
  return format === 'v2' ? toV2(r, at) : toSimple(r);
}

function toSimple(r: Request): FunctionEvent {
  const query = parseForm(r.search);
  const single: Record<string, string> = Object.create(null);
  const multi: Record<string, string[]> = Object.create(null);
  for (const name in query) {
    const values = [query[name]!].flat();
    multi[name] = values;
    single[name] = values.at(-1)!;
  }
  return {
    httpMethod: r.method, path: r.path, resource: r.route, pathParameters: r.params,
    queryStringParameters: single, multiValueQueryStringParameters: multi,
    headers: r.headers, ...bodyOf(r),
    requestContext: { requestId: r.requestId, identity: identityOf(r) },
  };
}

/** The payload of Amazon API Gateway, version 2.0: what is empty is left out, repeated query parameters are joined by commas. */
function toV2(r: Request, at: number): EventV2 {
  const { cookie, ...headers } = r.headers;
  const query = Object.entries(parseForm(r.search)).map(([name, value]) => [name, [value].flat().join(',')]);
  const { body, isBase64Encoded } = bodyOf(r);
  const domain = headers['host'] ?? '';
  const routeKey = r.route === '' ? '$default' : r.route.startsWith('/') ? `ANY ${r.route}` : r.route;
  return {
    version: '2.0', routeKey, rawPath: r.path, rawQueryString: r.search, headers,
    ...(cookie !== undefined && { cookies: cookie.split(/; */) }),
    ...(query.length > 0 && { queryStringParameters: Object.fromEntries(query) as Record<string, string> }),
    ...(Object.keys(r.params).length > 0 && { pathParameters: { ...r.params } }),
    ...(body !== null && { body }),
    isBase64Encoded,
    requestContext: {
      requestId: r.requestId, routeKey, stage: '$default', domainName: domain, domainPrefix: domain.split('.', 1)[0]!,
      time: clf(new Date(at)), timeEpoch: at, identity: identityOf(r),
      http: { method: r.method, path: r.path, protocol: 'HTTP/1.1', sourceIp: r.ip, userAgent: headers['user-agent'] ?? '' },
    },
  };
}

const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

/** 12/Mar/2026:19:03:58 +0000 */
function clf(d: Date): string {
  const two = (n: number): string => String(n).padStart(2, '0');
  return `${two(d.getUTCDate())}/${months[d.getUTCMonth()]}/${d.getUTCFullYear()}:${two(d.getUTCHours())}:${two(d.getUTCMinutes())}:${two(d.getUTCSeconds())} +0000`;
}

function identityOf(r: Request): EventIdentity {
  const who = r.identity;
  if (who === null) return { apiKeyId: null, projectId: null, scopes: [], method: 'none', sourceIp: r.ip };
  const { keyId, projectId, ...rest } = who;
  return { apiKeyId: keyId || null, projectId: projectId || null, ...rest, sourceIp: r.ip };
}

const textual = /^(text\/.*|application\/(.*\+)?(json|xml)|application\/(x-www-form-urlencoded|javascript|graphql))$/;

/** Text as it stands, anything else in base64; null when there is none. */
function bodyOf(r: Request): { body: string | null; isBase64Encoded: boolean } {
  const raw = r.rawBody as Buffer;
  if (raw.length === 0) return { body: null, isBase64Encoded: false };
  const type = (r.headers['content-type'] ?? 'text/plain').split(';', 1)[0]!.trim().toLowerCase();
  if (textual.test(type) && isUtf8(raw)) return { body: raw.toString('utf8'), isBase64Encoded: false };
  return { body: raw.toString('base64'), isBase64Encoded: true };
}

const base64 = /^[A-Za-z0-9+/]*={0,2}$/;

/** What a handler of events returned, as any other handler would return it. A body that is a string is JSON unless it says otherwise. */
export function fromEvent(result: unknown): unknown {
  if (typeof result !== 'object' || result === null || typeof (result as EventResponse).statusCode !== 'number' || result instanceof Response) return result;
  const { statusCode, headers, multiValueHeaders, cookies, body, isBase64Encoded } = result as EventResponse;
  const all: [string, unknown][] = [...entries(headers, 'headers'), ...entries(multiValueHeaders, 'multiValueHeaders')];
  if (cookies !== undefined) all.push(['set-cookie', cookies]);
  const out: Record<string, unknown> = Object.create(null);
  for (const [name, value] of all) {
    const lower = name.toLowerCase();
    out[lower] = lower === 'set-cookie' && out[lower] !== undefined ? [out[lower], value].flat() : value;
  }
  if (typeof body !== 'string') return { statusCode, headers: out, body };
  if (isBase64Encoded !== true) return { statusCode, headers: { 'content-type': 'application/json', ...out }, body };
  if (!base64.test(body)) throw new ResultError('the body of the result is not base64, although isBase64Encoded says so');
  return { statusCode, headers: out, body: Buffer.from(body, 'base64') };
}

function entries(headers: unknown, field: string): [string, unknown][] {
  if (headers === undefined || headers === null) return [];
  if (typeof headers !== 'object' || Array.isArray(headers)) throw new ResultError(`${field} must be an object of names and values`);
  return headers instanceof Headers ? [...headers] : Object.entries(headers);
}
