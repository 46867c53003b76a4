import { badRequest, conflict, createConfig, createIceBuilder, type FunctionContext, type FunctionRequest, type IceEvent, noContent, notFound, ok, type VoiceFunction } from '@postern/functions';
import { Sessions } from './db.ts';

const isNumber = (v: unknown): v is string => typeof v === 'string' && /^\+[1-9][0-9]{6,14}$/.test(v);

let opened: Sessions | undefined;
const sessions = (context: FunctionContext) => (opened ??= new Sessions(context.database));

/** Two people who shall reach each other, and a number of ours that stands between them. For callers with an access key; sent again, it changes nothing but the end. */
export async function open(context: FunctionContext, request: FunctionRequest) {
  const { a, b, minutes = 60 } = request.body ?? {};
  if (!isNumber(a) || !isNumber(b) || a === b) return badRequest('a and b must be two numbers, as E.164 has them');
  if (!Number.isInteger(minutes) || minutes < 1 || minutes > 1440) return badRequest('minutes must be a whole number from 1 to 1440');
  const proxies = createConfig(context).requireVariable('NUMBERS').split(',').map((n) => n.trim());
  const now = Date.now();
  const session = sessions(context).open(request.params.id!, a, b, proxies, now, now + minutes * 60_000);
  if (session === undefined) return conflict('one of them uses all our numbers already');
  return ok({ id: session.id, number: session.proxy, minutes });
}

export async function close(context: FunctionContext, request: FunctionRequest) {
  return sessions(context).close(request.params.id!) ? noContent() : notFound();
}

export default {
  /** Whoever calls our number is connected with the other one, who sees our number too. */
  async ice(context: FunctionContext, data: IceEvent) {
    const proxy = data.to?.endpoint;
    const other = proxy === undefined || data.cli === undefined ? undefined : sessions(context).other(plus(proxy), plus(data.cli), Date.now());
    if (other === undefined) return createIceBuilder().answer().say('This number is not in use.').hangup().build();
    return createIceBuilder().connectPstn(other, { cli: plus(proxy!), maxDuration: 3600 }).build();
  },

  /** Numbers stay out of the log: they are what this function hides. */
  async dice(_context, data) {
    console.log(`call ${data.callid} is over: ${data.result}, ${data.duration ?? 0} s`);
  },
} satisfies VoiceFunction;

/** Networks write numbers with and without the plus. */
const plus = (n: string) => (n.startsWith('+') ? n : `+${n}`);
