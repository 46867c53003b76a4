// The handler of callbacks of the Conversation API, as a class to extend.
import { badRequest } from '../helpers.ts';
import type { ConversationClient, FunctionContext, FunctionRequest, FunctionResult } from '../types.ts';
import { EventError, readEvent } from './event.ts';
import type { ConversationSource } from './message.ts';
import { createChannelMessage, createReply } from './send.ts';
import type {
  AppMessage, ConversationEvent, ConversationRecipient, ConversationSettings, ConversationTrigger, EventInboundEvent, MessageDeliveryEvent, MessageInboundEvent,
  SendMessageData, SendMessageResponse,
} from './types.ts';

/** What a method that handles an event returns is the answer; nothing is 200. */
export type ConversationResult = FunctionResult | Promise<FunctionResult>;

/**
 * Takes the callbacks of a Conversation app: extend it, override the methods of the events that you want, and export its handler as
 * conversationWebhook, which is at /webhook/conversation.
 */
export class ConversationController {
  /** The SDK's client; that of the context, unless it was given. */
  protected conversation: ConversationClient | null | undefined;
  protected readonly settings: ConversationSettings;
  #why: unknown;

  constructor(conversation?: ConversationClient | null, settings: ConversationSettings = process.env) {
    this.conversation = conversation;
    this.settings = settings;
  }

  /** A contact wrote. */
  handleMessageInbound(_event: MessageInboundEvent): ConversationResult {}
  /** What became of a message that was sent. */
  handleMessageDelivery(_event: MessageDeliveryEvent): ConversationResult {}
  handleMessageSubmit(_event: ConversationEvent): ConversationResult {}
  handleMessageRedaction(_event: ConversationEvent): ConversationResult {}
  /** A contact did something without writing. */
  handleEventInbound(_event: EventInboundEvent): ConversationResult {}
  handleEventDelivery(_event: ConversationEvent): ConversationResult {}
  handleConversationStart(_event: ConversationEvent): ConversationResult {}
  handleConversationStop(_event: ConversationEvent): ConversationResult {}
  handleConversationDelete(_event: ConversationEvent): ConversationResult {}
  handleContactCreate(_event: ConversationEvent): ConversationResult {}
  handleContactDelete(_event: ConversationEvent): ConversationResult {}
  handleContactMerge(_event: ConversationEvent): ConversationResult {}
  handleContactUpdate(_event: ConversationEvent): ConversationResult {}
  handleContactIdentitiesDuplication(_event: ConversationEvent): ConversationResult {}
  handleCapability(_event: ConversationEvent): ConversationResult {}
  handleOptIn(_event: ConversationEvent): ConversationResult {}
  handleOptOut(_event: ConversationEvent): ConversationResult {}
  handleChannelEvent(_event: ConversationEvent): ConversationResult {}
  handleUnsupported(_event: ConversationEvent): ConversationResult {}
  handleSmartConversations(_event: ConversationEvent): ConversationResult {}
  handleRecordNotification(_event: ConversationEvent): ConversationResult {}

  /** The handler to export. A body that is no event is 400, and no method is called. What a method throws is the request's failure. */
  getWebhookHandler(): (context: FunctionContext, request: FunctionRequest) => Promise<FunctionResult> {
    return async (context, request) => {
      let event: ConversationEvent;
      try {
        event = readEvent(request.body);
      } catch (err) {
        if (err instanceof EventError) return badRequest(`this is no event of the Conversation API: ${err.message}`);
        throw err;
      }
      this.#take(context);
      return (await this[methods[event.trigger]](event as never)) ?? { statusCode: 200 };
    };
  }

  /** Answers a message: to whom it is from, on the same channel. */
  async reply(source: ConversationSource, message: string | AppMessage): Promise<SendMessageResponse> {
    return this.send(this.createReply(source, message));
  }

  /** What reply sends. */
  createReply(source: ConversationSource, message: string | AppMessage): SendMessageData {
    return createReply(source, message, this.settings);
  }

  /** A message to anybody, to send. */
  createMessage(to: ConversationRecipient, message: string | AppMessage, channel = 'SMS'): SendMessageData {
    return createChannelMessage(channel, to, message, this.settings);
  }

  async send(data: SendMessageData): Promise<SendMessageResponse> {
    if (this.conversation) return this.conversation.messages.send(data);
    throw this.#why ?? new Error('there is no client of the Conversation API: set CONVERSATION_APP_ID and the key of the project');
  }

  /** Takes the client of a context, which is the same for all requests. Who does not send needs none. */
  #take(context: FunctionContext): void {
    if (this.conversation || this.#why !== undefined) return;
    try {
      this.conversation = context.conversation;
    } catch (err) {
      this.#why = err;
    }
  }
}

const methods = {
  MESSAGE_INBOUND: 'handleMessageInbound', MESSAGE_INBOUND_SMART_CONVERSATION_REDACTION: 'handleMessageRedaction', MESSAGE_SUBMIT: 'handleMessageSubmit',
  MESSAGE_DELIVERY: 'handleMessageDelivery', EVENT_INBOUND: 'handleEventInbound', EVENT_DELIVERY: 'handleEventDelivery', CONVERSATION_START: 'handleConversationStart',
  CONVERSATION_STOP: 'handleConversationStop', CONVERSATION_DELETE: 'handleConversationDelete', CONTACT_CREATE: 'handleContactCreate', CONTACT_DELETE: 'handleContactDelete',
  CONTACT_MERGE: 'handleContactMerge', CONTACT_UPDATE: 'handleContactUpdate', CONTACT_IDENTITIES_DUPLICATION: 'handleContactIdentitiesDuplication', CAPABILITY: 'handleCapability',
  OPT_IN: 'handleOptIn', OPT_OUT: 'handleOptOut', CHANNEL_EVENT: 'handleChannelEvent', UNSUPPORTED: 'handleUnsupported', SMART_CONVERSATIONS: 'handleSmartConversations',
  RECORD_NOTIFICATION: 'handleRecordNotification',
} as const satisfies Record<ConversationTrigger, keyof ConversationController>;
