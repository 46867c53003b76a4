// The public API of @postern/functions: what user code imports.
import type { FunctionResponse } from './types.ts';

export type { CallInit, EventHandler, EventIdentity, EventResponse, EventV2, FunctionContext, FunctionEvent, FunctionHandler, FunctionIdentity, FunctionLog, FunctionRequest, FunctionResponse, FunctionResult, Functions } from './types.ts';

export * from './voice/v1.ts';

const failure = (statusCode: number, error: string): FunctionResponse => ({ statusCode, body: { error } });

export const ok = (body?: unknown): FunctionResponse => ({ statusCode: body === undefined ? 204 : 200, body });
export const badRequest = (error = 'bad request'): FunctionResponse => failure(400, error);
export const unauthorized = (error = 'unauthorized'): FunctionResponse => failure(401, error);
export const forbidden = (error = 'forbidden'): FunctionResponse => failure(403, error);
export const notFound = (error = 'not found'): FunctionResponse => failure(404, error);
export const redirect = (location: string, statusCode = 302): FunctionResponse => ({ statusCode, headers: { location } });
