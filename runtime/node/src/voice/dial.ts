// Dialling: the bare command, and the leg that is joined to the call.
import { members, name, refuse, whole } from './check.ts';
import type { Command, DialEvents, Endpoint } from './commands.ts';
import { asFrom } from './endpoints.ts';
import { type CommandBuilder, emit, type Flow, flow, type Step } from './flow.ts';
import type { Session } from './session.ts';

interface Common {
  /** The name of the leg, unique in a session; destination, agent, stream or relay if it is left out, then with -2, -3. */
  legName?: string | undefined;
  /** As whom: a number or a SIP address. For a leg on the call it is the number that was called, if it is left out. */
  from?: string | Endpoint | undefined;
  /** Seconds to let it ring: 1 to 600. */
  timeout?: number | undefined;
  /** Seconds, 1 to 14400. */
  maxDuration?: number | undefined;
}

/** Of a leg that is joined to the call. */
export interface LegOptions extends Common {
  /** The bridge in which both meet. */
  bridgeName?: string | undefined;
  /** What the other side hears first, before both are joined. */
  onAnswer?: Flow | undefined;
  /** Instead of ending the call: busy, rejected, not answered in time, failed. */
  onNoAnswer?: Flow | undefined;
}

/** Of a bare dial. */
export interface DialOptions extends Common {
  onAnswer?: Flow | undefined;
  onBusy?: Flow | undefined;
  onReject?: Flow | undefined;
  onTimeout?: Flow | undefined;
  onFailure?: Flow | undefined;
  onHangup?: Flow | undefined;
  /** For each of onBusy, onReject, onTimeout and onFailure that is not there. */
  onNoAnswer?: Flow | undefined;
}

const common = ['legName', 'callName', 'from', 'timeout', 'maxDuration', 'onAnswer', 'onNoAnswer'] as const;
export const legNames: readonly string[] = [...common, 'bridgeName'];
const unanswered = ['onBusy', 'onReject', 'onTimeout', 'onFailure'] as const;
export const dialNames: readonly string[] = [...common, ...unanswered, 'onHangup'];

type Given = Record<string, unknown>;

/** What both kinds of dial say, but for their events. */
function basics(what: string, given: Given): { chosen: string | undefined; from: Endpoint | undefined; limits: object } {
  if (given['legName'] !== undefined && given['callName'] !== undefined) refuse(`${what}: legName and callName are the same`);
  const chosen = given['legName'] ?? given['callName'];
  return {
    chosen: chosen === undefined ? undefined : name(`${what}: legName`, chosen),
    from: given['from'] === undefined ? undefined : asFrom(what, given['from']),
    limits: {
      ...members(what, { dialTimeoutDurationSeconds: given['timeout'], maxCallDurationSeconds: given['maxDuration'] }, {
        dialTimeoutDurationSeconds: (_, v) => whole(`${what}: timeout`, v, 1, 600), maxCallDurationSeconds: (_, v) => whole(`${what}: maxDuration`, v, 1, 14400),
      }),
    },
  };
}

const builder = (what: string, given: Given, event: string): CommandBuilder | undefined =>
  (given[event] === undefined ? undefined : flow(`${what}: ${event}`, given[event] as Flow));

/** A dial with the events that were given. */
export function dialled(to: Endpoint, given: Given): Step {
  const { chosen, from, limits } = basics('dial', given);
  const flows = ['onAnswer', ...unanswered, 'onHangup'].map((k) => [k, builder('dial', given, k)] as const);
  const otherwise = builder('dial', given, 'onNoAnswer');
  return {
    kind: 'dial',
    make: (s) => {
      const callName = leg(s, chosen, 'destination');
      const instead = otherwise === undefined ? undefined : emit(otherwise, s);
      const events: DialEvents = {};
      for (const [k, b] of flows) {
        const list = b === undefined ? (unanswered.includes(k as never) ? instead : undefined) : emit(b, s);
        if (list !== undefined) events[k as keyof DialEvents] = list;
      }
      return [{ command: 'dial', callName, ...(from !== undefined && { from }), to, ...limits, ...(Object.keys(events).length > 0 && { events }) }];
    },
  };
}

/** Dials somebody, joins both in a bridge, and lets each end when the other goes. It never answers the call. */
export function bridge(what: string, word: string, to: Endpoint, given: Given): Step[] {
  const { chosen, from, limits } = basics(what, given);
  const bridgeName = given['bridgeName'] === undefined ? 'bridge' : name(`${what}: bridgeName`, given['bridgeName']);
  const first = builder(what, given, 'onAnswer');
  const otherwise = builder(what, given, 'onNoAnswer');
  return [{
    kind: 'dial',
    make: (s) => {
      const callName = leg(s, chosen, word);
      s.legs.push(callName);
      const end: Command[] = s.caller === undefined ? [] : [{ command: 'hangup', callName: s.caller }];
      const instead = otherwise === undefined ? end : emit(otherwise, s);
      const as = from ?? (to.type === 'PHONE' || to.type === 'SIP' ? s.own : undefined);
      const events: DialEvents = { onAnswer: then(first === undefined ? [] : emit(first, s), { command: 'bridgeCall', bridgeName }) };
      if (instead.length > 0) for (const k of unanswered) events[k] = instead;
      if (end.length > 0) events.onHangup = end;
      return [{ command: 'dial', callName, ...(as !== undefined && { from: as }), to, ...limits, events }];
    },
  }, { kind: 'bridgeCall', make: () => [{ command: 'bridgeCall', bridgeName }] }];
}

/** The commands, and then another one: after what they say last, and not over it. */
function then(list: Command[], next: Command): Command[] {
  const last = list.at(-1);
  return last?.command === 'messages' ? [...list.slice(0, -1), { ...last, events: { onFinish: then(last.events?.onFinish ?? [], next) } }] : [...list, next];
}

const leg = (s: Session, chosen: string | undefined, word: string): string => (chosen === undefined ? s.unnamed('callName', word) : s.take('callName', chosen));
