// What is said, played and recorded.
import { address, flag, locale, members, name, oneOf, options, refuse, text } from './check.ts';
import type { Message, Recording } from './commands.ts';
import { VOICE } from './endpoints.ts';
import { type CommandBuilder, emit, type Flow, flow, type Step } from './flow.ts';

export interface PlayOptions {
  /** For stopMessages. */
  name?: string | undefined;
  /** What is done when it is over. */
  onFinish?: Flow | undefined;
}

export interface SayOptions extends PlayOptions {
  voice?: string | undefined;
  format?: 'TEXT' | 'SSML' | undefined;
}

export interface RecordingStart extends Recording {
  /** For stopRecording; unique in a session. */
  name?: string;
  onFinish?: Flow;
  onFailure?: Flow;
}

/** At most so many in one command. */
const MAX_MESSAGES = 10;
const MAX_TEXT = 10000;

/** Of a step that speaks: how a next one joins it, and what follows when it is over. */
interface Speech {
  after: Step[];
  join(next: Step): boolean;
}

/** What the builder must know of the steps that speak. */
export const messages = new WeakMap<Step, Speech>();
const plain = new WeakMap<Step, Message[]>();

export function sayMessage(what: string, words: unknown, voice: unknown, format: unknown): Message {
  return {
    type: 'SAY',
    say: { text: text(`${what}: the text`, words, MAX_TEXT), voiceName: text(`${what}: the voice`, voice ?? VOICE, 64), ...(format !== undefined && { format: oneOf(`${what}: format`, format, ['TEXT', 'SSML']) }) },
  };
}

export const playMessage = (what: string, url: unknown): Message => ({ type: 'PLAY', play: { url: address(`${what}: the address`, url, ['https:', 'http:']) } });

export function saying(words: unknown, opts: unknown): Step {
  const given = options('say', typeof opts === 'string' ? { voice: opts } : opts, ['voice', 'format', 'name', 'onFinish']);
  return speaking('say', sayMessage('say', words, given['voice'], given['format']), given);
}

export function playing(url: unknown, opts: unknown): Step {
  return speaking('play', playMessage('play', url), options('play', opts, ['name', 'onFinish']));
}

function speaking(what: string, first: Message, given: Record<string, unknown>): Step {
  const list = [first];
  const after: Step[] = [];
  const messagesName = given['name'] === undefined ? undefined : name(`${what}: name`, given['name']);
  const finish: CommandBuilder | undefined = given['onFinish'] === undefined ? undefined : flow(`${what}: onFinish`, given['onFinish'] as Flow);
  const step: Step = {
    kind: 'messages',
    make: (s) => {
      if (messagesName !== undefined) s.take('messagesName', messagesName);
      const onFinish = [...(finish === undefined ? [] : emit(finish, s)), ...after.flatMap((a) => a.make(s))];
      return [{ command: 'messages', ...(messagesName !== undefined && { messagesName }), messages: list, ...(onFinish.length > 0 && { events: { onFinish } }) }];
    },
  };
  const alone = messagesName === undefined && finish === undefined;
  if (alone) plain.set(step, list);
  messages.set(step, {
    after,
    join(next) {
      const more = plain.get(next);
      if (!alone || more === undefined || after.length > 0 || list.length + more.length > MAX_MESSAGES) return false;
      list.push(...more);
      return true;
    },
  });
  return step;
}

export function recording(opts: unknown): Step {
  const what = 'startRecording';
  const given = options(what, opts, ['name', 'destination', 'url', 'destinationUrl', 'credentials', 'format', 'recordingType', 'transcriptionOptions', 'onFinish', 'onFailure']);
  if (given['url'] === undefined) given['url'] = given['destinationUrl'];
  else if (given['destinationUrl'] !== undefined) refuse(`${what}: url and destinationUrl are the same`);
  for (const k of ['destination', 'url', 'credentials']) if (given[k] === undefined) refuse(`${what} needs ${k}`);
  const upper = (values: readonly string[]) => (w: string, v: unknown): string => oneOf(w, typeof v === 'string' ? v.toUpperCase() : v, values);
  const recordingOptions = members(what, given, {
    destination: upper(['AWS', 'GCP', 'AZURE']), url: (w, v) => text(w, v, 2048), credentials: (w, v) => text(w, v, 4096), format: upper(['MP3', 'WAV']),
    recordingType: upper(['COMBINED', 'INBOUND', 'OUTBOUND']),
    transcriptionOptions: (w, v) => members(w, options(w, v, ['enabled', 'locale']), { enabled: flag, locale }),
  }) as unknown as Recording;
  const chosen = given['name'] === undefined ? undefined : name(`${what}: name`, given['name']);
  const flows = ['onFinish', 'onFailure'].filter((k) => given[k] !== undefined).map((k) => [k, flow(`${what}: ${k}`, given[k] as Flow)] as const);
  return {
    kind: what,
    make: (s) => [{
      command: what, recordingName: chosen === undefined ? s.unnamed('recordingName', 'recording') : s.take('recordingName', chosen), recordingOptions,
      ...(flows.length > 0 && { events: Object.fromEntries(flows.map(([k, b]) => [k, emit(b, s)])) }),
    }],
  };
}
