// Callbacks of the Conversation API: what they are, and how one is told from another.
import type { ConversationEvent, ConversationTrigger } from './types.ts';

/** A body is no callback of the Conversation API. */
export class EventError extends Error {}

/** The member of a body that tells its trigger. The first that is there counts, so their order is a part of the format. */
const triggers: readonly (readonly [member: string, trigger: ConversationTrigger])[] = [
  ['message', 'MESSAGE_INBOUND'],
  ['message_redaction', 'MESSAGE_INBOUND_SMART_CONVERSATION_REDACTION'],
  ['message_submit_notification', 'MESSAGE_SUBMIT'],
  ['message_delivery_report', 'MESSAGE_DELIVERY'],
  ['event', 'EVENT_INBOUND'],
  ['event_delivery_report', 'EVENT_DELIVERY'],
  ['conversation_start_notification', 'CONVERSATION_START'],
  ['conversation_stop_notification', 'CONVERSATION_STOP'],
  ['conversation_delete_notification', 'CONVERSATION_DELETE'],
  ['contact_create_notification', 'CONTACT_CREATE'],
  ['contact_delete_notification', 'CONTACT_DELETE'],
  ['contact_merge_notification', 'CONTACT_MERGE'],
  ['contact_update_notification', 'CONTACT_UPDATE'],
  ['duplicated_identities', 'CONTACT_IDENTITIES_DUPLICATION'], // two spellings are about
  ['duplicated_contact_identities_notification', 'CONTACT_IDENTITIES_DUPLICATION'],
  ['capability_notification', 'CAPABILITY'],
  ['opt_in_notification', 'OPT_IN'],
  ['opt_out_notification', 'OPT_OUT'],
  ['channel_event_notification', 'CHANNEL_EVENT'],
  ['unsupported_callback', 'UNSUPPORTED'],
  ['smart_conversation_notification', 'SMART_CONVERSATIONS'],
  ['record_notification', 'RECORD_NOTIFICATION'],
];

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null;

/** Reads the body of a callback. Throws EventError: what is half an event is none. */
export function readEvent(body: unknown): ConversationEvent {
  let event = body;
  if (typeof body === 'string') {
    try {
      event = JSON.parse(body);
    } catch {
      throw new EventError('the body is no JSON');
    }
  }
  if (!isObject(event) || Array.isArray(event) || ArrayBuffer.isView(event)) throw new EventError('the body is no JSON object');
  const found = triggers.find(([member]) => Object.hasOwn(event, member));
  if (found === undefined) throw new EventError('the body has no event that is known');
  const [member, trigger] = found;
  const content = event[member];
  if (!isObject(content)) throw new EventError(`${member} is no object`);
  if (member === 'message' && !isObject(content['contact_message'])) throw new EventError('message has no contact_message');
  return { ...event, trigger } as ConversationEvent;
}
