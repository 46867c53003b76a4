// voiceWebhook: which handler an event of Voice 2 is for, and what its answer becomes.
import { objectOf } from './callback.ts';
import { refuse } from './check.ts';
import type { Call, CallFlow, CallHandler, CallHandlers, CallResult } from './commands.ts';
import { CommandBuilder } from './flow.ts';
import type { FunctionHandler, FunctionRequest, FunctionResult } from '../types.ts';

const slots = ['incoming', 'answered', 'manage', 'completed', 'fallback'] as const;

const WEBHOOK = 'call.webhook.';

/**
 * The handler of voiceWebhook. Each event goes to one of the handlers, and what none takes to fallback. Nothing returned is 204. A
 * body that is no event is 400, and no handler runs.
 */
export function onCall(handlers: CallHandlers): FunctionHandler {
  for (const [slot, f] of Object.entries(handlers)) {
    if (f === undefined) continue;
    if (slot === 'webhooks' ? typeof f !== 'object' || f === null || Object.values(f).some((w) => typeof w !== 'function') : !slots.includes(slot as never) || typeof f !== 'function') {
      refuse(`onCall takes functions called ${slots.join(', ')}, and webhooks, an object of them; not ${slot}`);
    }
  }
  return (context, request) => {
    const call = read(request);
    if (call === undefined) return { statusCode: 400, body: { error: 'a voice webhook needs an event as its body' } };
    const handler = choose(handlers, call.event);
    if (handler === undefined) return null;
    const over = handler === handlers.completed;
    const result = handler(call, new CommandBuilder(call), context, request);
    if (typeof (result as PromiseLike<CallResult> | null | undefined)?.then === 'function') return Promise.resolve(result).then((r) => (over ? null : answer(r as CallResult, call)));
    return over ? null : answer(result as CallResult, call);
  };
}

function choose(h: CallHandlers, event: string): CallHandler<any> | undefined {
  switch (event) {
    case 'call.incoming': return h.incoming ?? h.fallback;
    case 'call.answered': return h.answered ?? h.fallback;
    case 'call.menu': return h.manage ?? h.fallback;
    case 'call.hangup': case 'call.failed': return (h.completed as CallHandler | undefined) ?? h.fallback;
  }
  if (!event.startsWith(WEBHOOK)) return h.fallback;
  const name = event.slice(WEBHOOK.length);
  const own = h.webhooks !== undefined && Object.hasOwn(h.webhooks, name) ? h.webhooks[name] : undefined;
  return own ?? h.manage ?? h.fallback;
}

/** The event of a body: the call's fields, the event and the menu as one object. */
function read(request: FunctionRequest): Call | undefined {
  const { event, call: fields = {}, menu } = objectOf(request) ?? {};
  if (typeof event !== 'string' || event === '') return undefined;
  if (typeof fields !== 'object' || fields === null || Array.isArray(fields)) return undefined;
  const call = { ...fields, event, ...(menu !== undefined && menu !== null && { menu }) } as unknown as Call;
  Object.defineProperty(call, 'call', { value: call, enumerable: false });
  return Object.freeze(call);
}

function answer(result: CallResult, call: Call): FunctionResult {
  if (result === null || result === undefined) return null;
  if (result instanceof CommandBuilder) return result.buildFor(call);
  if (Array.isArray(result)) return { commands: result } as CallFlow;
  const flow = result as CallFlow & { statusCode?: unknown };
  if (typeof flow === 'object' && (Array.isArray(flow.commands) || typeof flow.statusCode === 'number' || result instanceof Response)) return flow;
  return refuse('a handler of onCall must return a builder, commands, or nothing');
}
