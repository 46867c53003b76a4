import type { FunctionContext, FunctionRequest } from '@postern/functions';

export const auth = ['trunks'];

// How often the guarded handler ran, by key. The server under test runs one worker.
const ran: Record<string, number> = {};

/** trunks answers GET /v1/projects/{projectId}/trunks by its last segment. */
export async function trunks(context: FunctionContext, request: FunctionRequest) {
  const keyId = request.identity?.keyId ?? 'nobody';
  ran[keyId] = (ran[keyId] ?? 0) + 1;
  return {
    trunks: [{ id: '01HF28S9AABBBCCCCY92BJB569', name: keyId, hostName: 'acme', createTime: '2026-01-02T03:04:05.678Z' }],
    totalItems: 1,
    pageNumber: 1,
    pageSize: 500,
  };
}

/** calls is open, and tells how often trunks ran for a key. */
export async function calls(context: FunctionContext, request: FunctionRequest) {
  return { ran: ran[String(request.query.key)] ?? 0 };
}
