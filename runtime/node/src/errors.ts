// The codes of ERROR and FAIL frames, and how an error is written into a log.

export const ERRORS = {
  HANDLER_THREW: 'handler_threw',
  HANDLER_NOT_FOUND: 'handler_not_found',
  BODY_MALFORMED: 'body_malformed',
  RESULT_INVALID: 'result_invalid',
  WORKER_CRASHED: 'worker_crashed',
} as const;

/** An error with its stack and causes, or whatever else was thrown. */
export function describe(err: unknown): string {
  if (!(err instanceof Error)) return `thrown: ${typeof err === 'string' ? err : safeJSON(err)}`;
  const text = err.stack ?? `${err.name}: ${err.message}`;
  return err.cause === undefined ? text : `${text}\n[cause] ${describe(err.cause)}`;
}

function safeJSON(value: unknown): string {
  try {
    return JSON.stringify(value) ?? String(value);
  } catch {
    return String(value);
  }
}
