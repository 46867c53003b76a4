// Results in a word, for handlers to return.
import type { FunctionResponse } from './types.ts';

const failure = (statusCode: number, error: string): FunctionResponse => ({ statusCode, body: { error } });
const typed = (type: string, body: string, statusCode: number): FunctionResponse => ({ statusCode, headers: { 'content-type': type }, body });

/** 200 with a body, 204 without. */
export const ok = (body?: unknown): FunctionResponse => ({ statusCode: body === undefined ? 204 : 200, body });
/** 201, and where what was made is found. */
export const created = (body?: unknown, location?: string): FunctionResponse =>
  ({ statusCode: 201, ...(location !== undefined && { headers: { location } }), body });
/** 202: it will be done. */
export const accepted = (body?: unknown): FunctionResponse => ({ statusCode: 202, body });
/** 204. */
export const noContent = (): FunctionResponse => ({ statusCode: 204 });
/** 302, or another status, to a location. */
export const redirect = (location: string, statusCode = 302): FunctionResponse => ({ statusCode, headers: { location } });
/** 400 with { error }. */
export const badRequest = (error = 'bad request'): FunctionResponse => failure(400, error);
/** 401 with { error }. */
export const unauthorized = (error = 'unauthorized'): FunctionResponse => failure(401, error);
/** 403 with { error }. */
export const forbidden = (error = 'forbidden'): FunctionResponse => failure(403, error);
/** 404 with { error }. */
export const notFound = (error = 'not found'): FunctionResponse => failure(404, error);
/** 409 with { error }. */
export const conflict = (error = 'conflict'): FunctionResponse => failure(409, error);
/** 429 with { error }, and the seconds after which to try again. */
export const tooManyRequests = (error = 'too many requests', retryAfter?: number): FunctionResponse =>
  ({ ...failure(429, error), ...(retryAfter !== undefined && { headers: { 'retry-after': Math.ceil(retryAfter) } }) });
/** 500 with { error }. What went wrong belongs into the log, and not in here. */
export const serverError = (error = 'internal error'): FunctionResponse => failure(500, error);

/** JSON, also of a string. */
export const json = (body: unknown, statusCode = 200): FunctionResponse => typed('application/json', JSON.stringify(body) ?? 'null', statusCode);
/** A page. What it is put together from must be escaped. */
export const html = (body: string, statusCode = 200): FunctionResponse => typed('text/html; charset=utf-8', body, statusCode);
/** Plain text. */
export const text = (body: string, statusCode = 200): FunctionResponse => typed('text/plain; charset=utf-8', body, statusCode);
