// Messages to send, as the SDK's conversation.messages.send takes them.
import { ConfigError } from '../config.ts';
import { contentOf, type ConversationSource } from './message.ts';
import type { AppMessage, ConversationEvent, ConversationRecipient, ConversationSettings, SendMessageData } from './types.ts';

/** The channel property that says whom a message is from, on channels where that is a number. */
const senders: Readonly<Record<string, string>> = { SMS: 'SMS_SENDER', MMS: 'MMS_SENDER' };

/** A message on a channel. A string is a text; anything else is a message of the API, such as { choice_message }. */
export function createChannelMessage(channel: string, to: ConversationRecipient, message: string | AppMessage, settings: ConversationSettings = process.env): SendMessageData {
  if (typeof to === 'string' && to === '') throw new TypeError('a message needs a recipient');
  const recipient = typeof to === 'string' ? { identified_by: { channel_identities: [{ channel, identity: to }] } } : to;
  return build(channel, recipient, message, settings.CONVERSATION_APP_ID, settings.FROM_NUMBER);
}

export const createSms = (to: ConversationRecipient, message: string | AppMessage, settings?: ConversationSettings): SendMessageData => createChannelMessage('SMS', to, message, settings);
export const createWhatsApp = (to: ConversationRecipient, message: string | AppMessage, settings?: ConversationSettings): SendMessageData => createChannelMessage('WHATSAPP', to, message, settings);
export const createMessenger = (to: ConversationRecipient, message: string | AppMessage, settings?: ConversationSettings): SendMessageData => createChannelMessage('MESSENGER', to, message, settings);

/** A text that answers a message or event: to whom it is from, on the same channel. */
export const textReply = (source: ConversationSource, text: string, settings?: ConversationSettings): SendMessageData => createReply(source, text, settings);

/** An answer. It comes from FROM_NUMBER or, without that, from what the contact wrote to. */
export function createReply(source: ConversationSource, message: string | AppMessage, settings: ConversationSettings = process.env): SendMessageData {
  const { channel_identity: from, contact_id: contact, sender_id: to } = contentOf(source);
  if (!(from?.channel && from.identity) && !contact) throw new TypeError('what is answered has neither a channel identity nor a contact');
  // By identity where there is one: in dispatch mode there are no contacts, and a contact may have several channels.
  const recipient = from?.channel && from.identity ? { identified_by: { channel_identities: [{ channel: from.channel, identity: from.identity }] } } : { contact_id: contact! };
  return build(from?.channel ?? '', recipient, message, settings.CONVERSATION_APP_ID || (source as ConversationEvent).app_id, settings.FROM_NUMBER || to);
}

function build(channel: string, recipient: object, message: string | AppMessage, app: string | undefined, from: string | undefined): SendMessageData {
  if (!app) throw new ConfigError('CONVERSATION_APP_ID', 'a message needs an app: add "CONVERSATION_APP_ID" to "variables" in postern.json, and deploy again');
  if (typeof message !== 'string' && (typeof message !== 'object' || message === null)) throw new TypeError('a message is a text, or an object such as { text_message }');
  const sender = Object.hasOwn(senders, channel) && from ? { channel_properties: { [senders[channel]!]: from } } : {};
  return { sendMessageRequestBody: { app_id: app, recipient, message: typeof message === 'string' ? { text_message: { text: message } } : message, ...sender } };
}
