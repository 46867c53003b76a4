// What a message says, and from where. Each function takes a callback or what is in it, and gives undefined for what is not there.
import type { ConversationEvent, ConversationMessage, LocationMessage, MediaMessage } from './types.ts';

/** An event of the Conversation API, or the message of one. */
export type ConversationSource = ConversationEvent | ConversationMessage;

type Content = Partial<ConversationMessage>;

/** What an event is about: the message, or the report or event that has an identity as a message has. */
export function contentOf(source: ConversationSource): Content {
  const event = source as ConversationEvent;
  return event['message'] ?? event['message_delivery_report'] ?? event['event'] ?? event['message_submit_notification'] ?? event['event_delivery_report'] ?? source;
}

const said = (source: ConversationSource): Partial<ConversationMessage['contact_message']> => contentOf(source).contact_message ?? {};

/** The text of a message; of media with a caption, that. */
export const getText = (source: ConversationSource): string | undefined => said(source).text_message?.text ?? said(source).media_card_message?.caption;
/** The image, sound or file of a message. */
export const getMedia = (source: ConversationSource): MediaMessage | undefined => said(source).media_message ?? said(source).media_card_message;
/** What was set for the choice that the contact took. */
export const getPostbackData = (source: ConversationSource): string | undefined => said(source).choice_response_message?.postback_data;
export const getLocation = (source: ConversationSource): LocationMessage | undefined => said(source).location_message;
/** Empty or absent in dispatch mode, which has no contacts. */
export const getContactId = (source: ConversationSource): string | undefined => contentOf(source).contact_id || undefined;
/** Empty or absent in dispatch mode, which has no conversations. */
export const getConversationId = (source: ConversationSource): string | undefined => contentOf(source).conversation_id || undefined;
/** Such as SMS or WHATSAPP. */
export const getChannel = (source: ConversationSource): string | undefined => contentOf(source).channel_identity?.channel;
/** Who the contact is on the channel, such as their number. */
export const getIdentity = (source: ConversationSource): string | undefined => contentOf(source).channel_identity?.identity;
/** What the contact wrote to, such as a number of yours. */
export const getTo = (source: ConversationSource): string | undefined => contentOf(source).sender_id;

export const isTextMessage = (source: ConversationSource): boolean => said(source).text_message !== undefined;
export const isMediaMessage = (source: ConversationSource): boolean => getMedia(source) !== undefined;
/** The contact took a choice. */
export const isPostback = (source: ConversationSource): boolean => said(source).choice_response_message !== undefined;
