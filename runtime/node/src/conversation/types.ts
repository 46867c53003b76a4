// The public types of callbacks and messages of the Conversation API. Members are named as they are sent.

export type ConversationTrigger =
  | 'MESSAGE_INBOUND' | 'MESSAGE_INBOUND_SMART_CONVERSATION_REDACTION' | 'MESSAGE_SUBMIT' | 'MESSAGE_DELIVERY' | 'EVENT_INBOUND' | 'EVENT_DELIVERY'
  | 'CONVERSATION_START' | 'CONVERSATION_STOP' | 'CONVERSATION_DELETE' | 'CONTACT_CREATE' | 'CONTACT_DELETE' | 'CONTACT_MERGE' | 'CONTACT_UPDATE'
  | 'CONTACT_IDENTITIES_DUPLICATION' | 'CAPABILITY' | 'OPT_IN' | 'OPT_OUT' | 'CHANNEL_EVENT' | 'UNSUPPORTED' | 'SMART_CONVERSATIONS' | 'RECORD_NOTIFICATION';

/** A callback: its body, and the trigger that it has by its members. Times are text, as they are sent. */
export interface ConversationEvent {
  readonly trigger: ConversationTrigger;
  readonly app_id?: string;
  readonly project_id?: string;
  readonly accepted_time?: string;
  readonly event_time?: string;
  readonly message_metadata?: string;
  readonly correlation_id?: string;
  /** What the event is about, such as contact_create_notification. */
  readonly [member: string]: any;
}

export interface MessageInboundEvent extends ConversationEvent {
  readonly trigger: 'MESSAGE_INBOUND';
  readonly message: ConversationMessage;
}

export interface MessageDeliveryEvent extends ConversationEvent {
  readonly trigger: 'MESSAGE_DELIVERY';
  readonly message_delivery_report: {
    readonly message_id?: string;
    readonly conversation_id?: string;
    readonly contact_id?: string;
    /** Such as DELIVERED, or FAILED with a reason. */
    readonly status?: string;
    readonly channel_identity?: ChannelIdentity;
    readonly reason?: { readonly code?: string; readonly description?: string; readonly sub_code?: string; readonly channel_code?: string };
    readonly metadata?: string;
    readonly processing_mode?: string;
  };
}

/** Something that a contact did without writing, such as that they are typing. */
export interface EventInboundEvent extends ConversationEvent {
  readonly trigger: 'EVENT_INBOUND';
  readonly event: {
    readonly id?: string;
    readonly contact_event?: any;
    readonly contact_message_event?: any;
    readonly channel_identity?: ChannelIdentity;
    readonly conversation_id?: string;
    readonly contact_id?: string;
    readonly accept_time?: string;
    readonly processing_mode?: string;
  };
}

/** The message of a contact: `message` of the event. */
export interface ConversationMessage {
  readonly id?: string;
  readonly direction?: string;
  readonly contact_message: {
    readonly text_message?: { readonly text: string };
    readonly media_message?: MediaMessage;
    readonly media_card_message?: MediaMessage & { readonly caption?: string };
    readonly location_message?: LocationMessage;
    readonly choice_response_message?: { readonly message_id?: string; readonly postback_data: string };
    readonly fallback_message?: { readonly raw_message?: string; readonly reason?: any };
    readonly product_response_message?: any;
    readonly channel_specific_message?: any;
    readonly reply_to?: { readonly message_id?: string } | null;
  };
  readonly channel_identity?: ChannelIdentity;
  readonly conversation_id?: string;
  readonly contact_id?: string;
  readonly metadata?: string;
  readonly accept_time?: string;
  /** What the contact wrote to, such as a number. */
  readonly sender_id?: string;
  readonly processing_mode?: string;
  readonly injected?: boolean;
}

export interface ChannelIdentity {
  readonly channel: string;
  readonly identity: string;
  readonly app_id?: string;
}

export interface MediaMessage {
  readonly url: string;
  readonly thumbnail_url?: string;
  readonly filename_override?: string;
}

export interface LocationMessage {
  readonly coordinates: { readonly latitude: number; readonly longitude: number };
  readonly title?: string;
  readonly label?: string;
}

/** Whom a message is for: an identity on the channel, such as a number, or a recipient as the API has it. */
export type ConversationRecipient = string | { readonly contact_id: string } | { readonly identified_by: { readonly channel_identities: readonly ChannelIdentity[] } };

/** Variables that messages are sent with: those of a context's env, or of one's own. */
export interface ConversationSettings {
  readonly CONVERSATION_APP_ID?: string | undefined;
  /** The sender of SMS and MMS. */
  readonly FROM_NUMBER?: string | undefined;
  readonly [variable: string]: string | undefined;
}

/** @ts-ignore any in a project without @sinch/sdk-core */
export type AppMessage = import('@sinch/sdk-core').Conversation.AppMessage;
/** @ts-ignore any in a project without @sinch/sdk-core */
export type SendMessageData = import('@sinch/sdk-core').Conversation.SendMessageRequestData<import('@sinch/sdk-core').Conversation.Recipient>;
/** @ts-ignore any in a project without @sinch/sdk-core */
export type SendMessageResponse = import('@sinch/sdk-core').Conversation.SendMessageResponse;
