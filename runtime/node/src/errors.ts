// The codes of ERROR and FAIL frames, and how an error is written into a log.

export const ERRORS = {
  HANDLER_THREW: 'handler_threw',
  HANDLER_NOT_FOUND: 'handler_not_found',
  BODY_MALFORMED: 'body_malformed',
  RESULT_INVALID: 'result_invalid',
  WORKER_CRASHED: 'worker_crashed',
} as const;

/** Why a module cannot be served: a code of FAIL, and what its author reads. */
export class LoadError extends Error {
  readonly code: string;
  constructor(code: string, message: string, stack?: string) {
    super(message);
    this.code = code;
    if (stack !== undefined) this.stack = stack;
  }
}

const MAX_CAUSES = 8;

/** An error with its stack and causes, or whatever else was thrown. Never throws, whatever the value does when it is read. */
export function describe(err: unknown): string {
  return causes(err, MAX_CAUSES);
}

function causes(err: unknown, more: number): string {
  try {
    if (!(err instanceof Error)) return `thrown: ${typeof err === 'string' ? err : asText(err)}`;
    const text = typeof err.stack === 'string' ? err.stack : `${String(err.name)}: ${String(err.message)}`;
    if (err.cause === undefined || more === 0) return text; // a cause may be its own cause
    return `${text}\n[cause] ${causes(err.cause, more - 1)}`;
  } catch {
    return 'thrown: a value that cannot be shown';
  }
}

/** What ERROR and FAIL frames say of an error: two strings, whatever was thrown. */
export function summary(err: unknown): { message: string; stack: string } {
  try {
    if (err instanceof Error) return { message: String(err.message), stack: typeof err.stack === 'string' ? err.stack : '' };
    return { message: typeof err === 'string' ? err : asText(err), stack: '' };
  } catch {
    return { message: 'a value was thrown that cannot be shown', stack: '' };
  }
}

function asText(value: unknown): string {
  try {
    return JSON.stringify(value) ?? String(value);
  } catch {
    return String(value); // may throw too: an object need not be convertible
  }
}
