// Types of Postern's runtime, for the editor. Written by postern functions init; safe to write again.

declare module '@postern/functions' {
  export * from 'postern:types/index';
}

declare module '@sinch/functions-runtime' {
  export * from 'postern:types/index';
}

declare module '@postern/functions/voice' {
  export * from 'postern:types/voice/index';
}

declare module '@postern/functions/voice/v2' {
  export * from 'postern:types/voice/index';
}

declare module '@sinch/functions-runtime/voice' {
  export * from 'postern:types/voice/index';
}

declare module '@sinch/functions-runtime/voice/v2' {
  export * from 'postern:types/voice/index';
}

declare module '@postern/functions/testing' {
  export * from 'postern:types/testing';
}

declare module 'postern:types/config' {
  import type { ApplicationCredentials, Config, FunctionContext } from 'postern:types/types';
  export type Environment = Readonly<Record<string, string | undefined>>;
  /** A variable or secret is missing, or cannot be what it is. */
  export class ConfigError extends Error {
    readonly code = "config_invalid";
    /** The name of the variable. */
    readonly key: string;
    constructor(key: string, message: string);
  }
  /** A variable as it stands. What an environment inherits from Object.prototype is none. */
  export function read(env: Environment, key: string): string | undefined;
  export function requireVariable(env: Environment, key: string): string;
  /** Reads the function's configuration, of the context of a request or of a start. */
  export function createConfig(context: Pick<FunctionContext, 'env' | 'config'>): Config;
  /** The same as createConfig. */
  export const createUniversalConfig: typeof createConfig;
  /** The key and secret of the voice application; null unless there are both. */
  export function applicationCredentials(env: Environment): ApplicationCredentials | null;
}

declare module 'postern:types/conversation/controller' {
  import type { ConversationClient, FunctionContext, FunctionRequest, FunctionResult } from 'postern:types/types';
  import type { ConversationSource } from 'postern:types/conversation/message';
  import type { AppMessage, ConversationEvent, ConversationRecipient, ConversationSettings, EventInboundEvent, MessageDeliveryEvent, MessageInboundEvent, SendMessageData, SendMessageResponse } from 'postern:types/conversation/types';
  /** What a method that handles an event returns is the answer; nothing is 200. */
  export type ConversationResult = FunctionResult | Promise<FunctionResult>;
  /**
   * Takes the callbacks of a Conversation app: extend it, override the methods of the events that you want, and export its handler as
   * conversationWebhook, which is at /webhook/conversation.
   */
  export class ConversationController {
    #private;
    /** The SDK's client; that of the context, unless it was given. */
    protected conversation: ConversationClient | null | undefined;
    protected readonly settings: ConversationSettings;
    constructor(conversation?: ConversationClient | null, settings?: ConversationSettings);
    /** A contact wrote. */
    handleMessageInbound(_event: MessageInboundEvent): ConversationResult;
    /** What became of a message that was sent. */
    handleMessageDelivery(_event: MessageDeliveryEvent): ConversationResult;
    handleMessageSubmit(_event: ConversationEvent): ConversationResult;
    handleMessageRedaction(_event: ConversationEvent): ConversationResult;
    /** A contact did something without writing. */
    handleEventInbound(_event: EventInboundEvent): ConversationResult;
    handleEventDelivery(_event: ConversationEvent): ConversationResult;
    handleConversationStart(_event: ConversationEvent): ConversationResult;
    handleConversationStop(_event: ConversationEvent): ConversationResult;
    handleConversationDelete(_event: ConversationEvent): ConversationResult;
    handleContactCreate(_event: ConversationEvent): ConversationResult;
    handleContactDelete(_event: ConversationEvent): ConversationResult;
    handleContactMerge(_event: ConversationEvent): ConversationResult;
    handleContactUpdate(_event: ConversationEvent): ConversationResult;
    handleContactIdentitiesDuplication(_event: ConversationEvent): ConversationResult;
    handleCapability(_event: ConversationEvent): ConversationResult;
    handleOptIn(_event: ConversationEvent): ConversationResult;
    handleOptOut(_event: ConversationEvent): ConversationResult;
    handleChannelEvent(_event: ConversationEvent): ConversationResult;
    handleUnsupported(_event: ConversationEvent): ConversationResult;
    handleSmartConversations(_event: ConversationEvent): ConversationResult;
    handleRecordNotification(_event: ConversationEvent): ConversationResult;
    /** The handler to export. A body that is no event is 400, and no method is called. What a method throws is the request's failure. */
    getWebhookHandler(): (context: FunctionContext, request: FunctionRequest) => Promise<FunctionResult>;
    /** Answers a message: to whom it is from, on the same channel. */
    reply(source: ConversationSource, message: string | AppMessage): Promise<SendMessageResponse>;
    /** What reply sends. */
    createReply(source: ConversationSource, message: string | AppMessage): SendMessageData;
    /** A message to anybody, to send. */
    createMessage(to: ConversationRecipient, message: string | AppMessage, channel?: string): SendMessageData;
    send(data: SendMessageData): Promise<SendMessageResponse>;
  }
}

declare module 'postern:types/conversation/message' {
  import type { ConversationEvent, ConversationMessage, LocationMessage, MediaMessage } from 'postern:types/conversation/types';
  /** An event of the Conversation API, or the message of one. */
  export type ConversationSource = ConversationEvent | ConversationMessage;
  type Content = Partial<ConversationMessage>;
  /** What an event is about: the message, or the report or event that has an identity as a message has. */
  export function contentOf(source: ConversationSource): Content;
  /** The text of a message; of media with a caption, that. */
  export const getText: (source: ConversationSource) => string | undefined;
  /** The image, sound or file of a message. */
  export const getMedia: (source: ConversationSource) => MediaMessage | undefined;
  /** What was set for the choice that the contact took. */
  export const getPostbackData: (source: ConversationSource) => string | undefined;
  export const getLocation: (source: ConversationSource) => LocationMessage | undefined;
  /** Empty or absent in dispatch mode, which has no contacts. */
  export const getContactId: (source: ConversationSource) => string | undefined;
  /** Empty or absent in dispatch mode, which has no conversations. */
  export const getConversationId: (source: ConversationSource) => string | undefined;
  /** Such as SMS or WHATSAPP. */
  export const getChannel: (source: ConversationSource) => string | undefined;
  /** Who the contact is on the channel, such as their number. */
  export const getIdentity: (source: ConversationSource) => string | undefined;
  /** What the contact wrote to, such as a number of yours. */
  export const getTo: (source: ConversationSource) => string | undefined;
  export const isTextMessage: (source: ConversationSource) => boolean;
  export const isMediaMessage: (source: ConversationSource) => boolean;
  /** The contact took a choice. */
  export const isPostback: (source: ConversationSource) => boolean;
  export {};
}

declare module 'postern:types/conversation/send' {
  import { type ConversationSource } from 'postern:types/conversation/message';
  import type { AppMessage, ConversationRecipient, ConversationSettings, SendMessageData } from 'postern:types/conversation/types';
  /** A message on a channel. A string is a text; anything else is a message of the API, such as { choice_message }. */
  export function createChannelMessage(channel: string, to: ConversationRecipient, message: string | AppMessage, settings?: ConversationSettings): SendMessageData;
  export const createSms: (to: ConversationRecipient, message: string | AppMessage, settings?: ConversationSettings) => SendMessageData;
  export const createWhatsApp: (to: ConversationRecipient, message: string | AppMessage, settings?: ConversationSettings) => SendMessageData;
  export const createMessenger: (to: ConversationRecipient, message: string | AppMessage, settings?: ConversationSettings) => SendMessageData;
  /** A text that answers a message or event: to whom it is from, on the same channel. */
  export const textReply: (source: ConversationSource, text: string, settings?: ConversationSettings) => SendMessageData;
  /** An answer. It comes from FROM_NUMBER or, without that, from what the contact wrote to. */
  export function createReply(source: ConversationSource, message: string | AppMessage, settings?: ConversationSettings): SendMessageData;
}

declare module 'postern:types/conversation/types' {
  export type ConversationTrigger = 'MESSAGE_INBOUND' | 'MESSAGE_INBOUND_SMART_CONVERSATION_REDACTION' | 'MESSAGE_SUBMIT' | 'MESSAGE_DELIVERY' | 'EVENT_INBOUND' | 'EVENT_DELIVERY' | 'CONVERSATION_START' | 'CONVERSATION_STOP' | 'CONVERSATION_DELETE' | 'CONTACT_CREATE' | 'CONTACT_DELETE' | 'CONTACT_MERGE' | 'CONTACT_UPDATE' | 'CONTACT_IDENTITIES_DUPLICATION' | 'CAPABILITY' | 'OPT_IN' | 'OPT_OUT' | 'CHANNEL_EVENT' | 'UNSUPPORTED' | 'SMART_CONVERSATIONS' | 'RECORD_NOTIFICATION';
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
      readonly reason?: {
        readonly code?: string;
        readonly description?: string;
        readonly sub_code?: string;
        readonly channel_code?: string;
      };
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
      readonly text_message?: {
        readonly text: string;
      };
      readonly media_message?: MediaMessage;
      readonly media_card_message?: MediaMessage & {
        readonly caption?: string;
      };
      readonly location_message?: LocationMessage;
      readonly choice_response_message?: {
        readonly message_id?: string;
        readonly postback_data: string;
      };
      readonly fallback_message?: {
        readonly raw_message?: string;
        readonly reason?: any;
      };
      readonly product_response_message?: any;
      readonly channel_specific_message?: any;
      readonly reply_to?: {
        readonly message_id?: string;
      } | null;
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
    readonly coordinates: {
      readonly latitude: number;
      readonly longitude: number;
    };
    readonly title?: string;
    readonly label?: string;
  }
  /** Whom a message is for: an identity on the channel, such as a number, or a recipient as the API has it. */
  export type ConversationRecipient = string | {
    readonly contact_id: string;
  } | {
    readonly identified_by: {
      readonly channel_identities: readonly ChannelIdentity[];
    };
  };
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
}

declare module 'postern:types/helpers' {
  import type { FunctionResponse } from 'postern:types/types';
  /** 200 with a body, 204 without. */
  export const ok: (body?: unknown) => FunctionResponse;
  /** 201, and where what was made is found. */
  export const created: (body?: unknown, location?: string) => FunctionResponse;
  /** 202: it will be done. */
  export const accepted: (body?: unknown) => FunctionResponse;
  /** 204. */
  export const noContent: () => FunctionResponse;
  /** 302, or another status, to a location. */
  export const redirect: (location: string, statusCode?: number) => FunctionResponse;
  /** 400 with { error }. */
  export const badRequest: (error?: string) => FunctionResponse;
  /** 401 with { error }. */
  export const unauthorized: (error?: string) => FunctionResponse;
  /** 403 with { error }. */
  export const forbidden: (error?: string) => FunctionResponse;
  /** 404 with { error }. */
  export const notFound: (error?: string) => FunctionResponse;
  /** 409 with { error }. */
  export const conflict: (error?: string) => FunctionResponse;
  /** 429 with { error }, and the seconds after which to try again. */
  export const tooManyRequests: (error?: string, retryAfter?: number) => FunctionResponse;
  /** 500 with { error }. What went wrong belongs into the log, and not in here. */
  export const serverError: (error?: string) => FunctionResponse;
  /** JSON, also of a string. */
  export const json: (body: unknown, statusCode?: number) => FunctionResponse;
  /** A page. What it is put together from must be escaped. */
  export const html: (body: string, statusCode?: number) => FunctionResponse;
  /** Plain text. */
  export const text: (body: string, statusCode?: number) => FunctionResponse;
}

declare module 'postern:types/index' {
  export { ConfigError, createConfig, createUniversalConfig } from 'postern:types/config';
  export { ConversationController } from 'postern:types/conversation/controller';
  export { getChannel, getContactId, getConversationId, getIdentity, getLocation, getMedia, getPostbackData, getText, getTo, isMediaMessage, isPostback, isTextMessage, } from 'postern:types/conversation/message';
  export { createChannelMessage, createMessenger, createSms, createWhatsApp, textReply } from 'postern:types/conversation/send';
  export { accepted, badRequest, conflict, created, forbidden, html, json, noContent, notFound, ok, redirect, serverError, text, tooManyRequests, unauthorized } from 'postern:types/helpers';
  export type { ConversationResult } from 'postern:types/conversation/controller';
  export type { ConversationSource } from 'postern:types/conversation/message';
  export type { AppMessage, ChannelIdentity, ConversationEvent, ConversationMessage, ConversationRecipient, ConversationSettings, ConversationTrigger, EventInboundEvent, LocationMessage, MediaMessage, MessageDeliveryEvent, MessageInboundEvent, SendMessageData, SendMessageResponse, } from 'postern:types/conversation/types';
  export type { ApplicationCredentials, CallInit, Config, ConversationClient, EventHandler, EventIdentity, EventResponse, EventV2, FunctionCache, FunctionContext, FunctionEvent, FunctionHandler, FunctionIdentity, FunctionLog, FunctionRequest, FunctionResponse, FunctionResult, FunctionRuntime, FunctionSocket, FunctionStorage, Functions, NumbersClient, SmsClient, SocketCloseEvent, SocketErrorEvent, SocketEvent, SocketHandler, SocketMessageEvent, SocketOptions, StorageData, VoiceClient, } from 'postern:types/types';
  export * from 'postern:types/voice/v1';
  export { CommandBuilder, commands, onCall } from 'postern:types/voice/v2';
  export type { Call, CallFlow, CallHandler, CallHandlers, CallResult, Command, Endpoint, Flow, ManagedCall, MenuInput } from 'postern:types/voice/v2';
}

declare module 'postern:types/testing' {
  import type { FunctionCache, FunctionContext, FunctionIdentity, FunctionStorage } from 'postern:types/types';
  /** What to call a handler with. All of it may be left out. */
  export interface TestRequest {
    /** GET, or POST where there is a body. */
    method?: string;
    /** Below the function's address; "/" if it is left out. A query may follow. */
    path?: string;
    query?: URLSearchParams | Readonly<Record<string, string | readonly string[]>>;
    headers?: Readonly<Record<string, string>>;
    /** What the route's pattern has taken from the path, and the pattern. */
    params?: Readonly<Record<string, string>>;
    route?: string;
    /** Text, bytes, a form, or anything that JSON can say. */
    body?: unknown;
    /** Gives the body as a ReadableStream, as a handler with "body": "stream" has it. */
    stream?: boolean;
    /** Who calls; somebody with an access key if it is left out, nobody if it is null. */
    identity?: FunctionIdentity | null;
    ip?: string;
    signal?: AbortSignal;
    context?: TestContext;
  }
  /** What a handler finds in its context. Members that are not named here are taken as they are, such as a fake client: { sms: fake }. */
  export interface TestContext {
    /** The variables and secrets; nothing of the process's own environment. */
    env?: Readonly<Record<string, string>>;
    /** The other functions of the project, by name: their handlers. */
    functions?: Readonly<Record<string, Handler>>;
    readonly [member: string]: unknown;
  }
  /** Handlers take what theirs takes: a context and a request, data or an event. */
  export type Handler = (...given: any[]) => unknown;
  /** How events look; a handler that is called with it takes events. */
  export interface TestStyle {
    event?: 'simple' | 'v2';
  }
  /** What the gateway would send. */
  export interface Answer {
    readonly status: number;
    readonly headers: Headers;
    readonly body: Uint8Array;
    text(): string;
    json(): any;
  }
  /** A module whose handlers are found as the runtime finds them. */
  export interface TestModule {
    /** The names of the handlers. */
    readonly handlers: readonly string[];
    readonly auth: null | '*' | readonly string[];
    /** Calls a handler by its name. Callbacks get their data, handlers of events an event. */
    call(name: string, request?: TestRequest): Promise<Answer>;
  }
  /**
   * Calls a handler of a context and a request or, with a style, one of events. A body that does not parse is 400, as at the gateway. What the
   * handler throws is thrown, and so is what is wrong with its result.
   */
  function call(handler: Handler, request?: TestRequest, style?: TestStyle): Promise<Answer>;
  /** A cache and a storage in memory, empty; calls that are given the same share it: { context: { ...state } }. */
  const state: () => {
    cache: FunctionCache;
    storage: FunctionStorage;
  };
  /** Finds the handlers of a module, as `await import('./function.js')` gives it. `style` and `eventFormat` are those of the manifest. Its calls share a state. */
  function load(namespace: object, manifest?: {
    style?: 'event' | 'context';
    eventFormat?: 'simple' | 'v2';
  }): TestModule;
  /** A context, for code that takes one and is no handler. */
  const context: (init?: TestContext) => FunctionContext;
  /** Calls handlers without a server. */
  export const testing: {
    readonly call: typeof call;
    readonly load: typeof load;
    readonly context: typeof context;
    readonly state: typeof state;
  };
  export {};
}

declare module 'postern:types/types' {
  /** What the caller sent. The path is decoded once, and is the very one that was routed and guarded. */
  export interface FunctionRequest<Body = any> {
    readonly method: string;
    /** The path below the function's address, beginning with a slash. */
    readonly path: string;
    /** Path and query. */
    readonly url: string;
    /** Names in lower case; repeated headers joined with ", " (cookies with "; "). Credentials are not among them. */
    readonly headers: Readonly<Record<string, string>>;
    /** Query parameters; one that stands several times is an array. */
    readonly query: Readonly<Record<string, string | string[]>>;
    /** The parameters of the route's pattern, decoded once; empty for a handler that was found by its name. */
    readonly params: Readonly<Record<string, string>>;
    /** The pattern of the route, as the manifest has it; empty for a handler that was found by its name. */
    readonly route: string;
    /** Of the cookie header; of several with one name the first. */
    readonly cookies: Readonly<Record<string, string>>;
    /**
     * JSON and forms parsed, text as a string, anything else as bytes; undefined when there is none. Of a form a field is a string and a file a
     * File; one that stands several times is an array. A ReadableStream for a handler with "body": "stream".
     */
    readonly body: Body;
    /** The bytes as they came; empty for a handler with "body": "stream". */
    readonly rawBody: Uint8Array;
    /** The address of the caller. */
    readonly ip: string;
    readonly requestId: string;
    /** Who called, as the gateway recognised them; null for an open handler. */
    readonly identity: FunctionIdentity | null;
    /** Aborted when the caller goes away or the time is over. */
    readonly signal: AbortSignal;
  }
  export interface FunctionIdentity {
    /** The access key's ID; of a trusted issuer's token that issuer, "#" and the subject; empty for a signed callback and for the function's own user. */
    readonly keyId: string;
    readonly projectId: string;
    /** How the caller was recognised: "basic" or "apikey" by the bare secret, "bearer" or "dpop" by a token, "serviceplan" by a plan's token, "signature" for a callback, "admin" for the function's own user (ADMIN_USER), "function" where another function calls. */
    readonly method: string;
    readonly scopes: readonly string[];
    /** Of a callback: how it was signed, such as "stripe". */
    readonly scheme?: string;
    /** Of a callback whose sender says it: the message's ID. Sent again it is the same; what must be done once is done once for each. */
    readonly messageId?: string;
    /** Of the function that calls; undefined where none does. The name is empty where that function was deleted meanwhile. */
    readonly functionId?: string;
    readonly functionName?: string;
    /** The request in which that function calls. */
    readonly parentRequestId?: string;
  }
  export interface FunctionContext {
    readonly config: {
      readonly projectId: string;
      readonly functionName: string;
      readonly environment: string;
      /** The variables of the manifest. */
      readonly variables: Readonly<Record<string, string>>;
      /** A variable that must be there, and not empty. Throws an error that names it and says what to type. */
      requireVariable(key: string): string;
    };
    readonly env: Readonly<Record<string, string | undefined>>;
    readonly log: FunctionLog;
    /** Short-lived values, shared by all workers of the function and kept over restarts and deploys. */
    readonly cache: FunctionCache;
    /** Files of the function's own, kept until they are deleted, over restarts and deploys. */
    readonly storage: FunctionStorage;
    /** The path of the function's own SQLite file, which the function makes and opens; kept and copied by the platform over restarts and deploys. */
    readonly database: string;
    /** The text of a file in assets/, or its bytes. Rejects where there is none, naming those that are like it. */
    assets(name: string, as?: 'text'): Promise<string>;
    assets(name: string, as: 'buffer'): Promise<Uint8Array>;
    /** The other functions of the project. */
    readonly functions: Functions;
    /** Needs VOICE_APPLICATION_KEY and VOICE_APPLICATION_SECRET; null without them. */
    readonly voice: VoiceClient | null;
    /** Needs CONVERSATION_APP_ID and the project's key; null without them. */
    readonly conversation: ConversationClient | null;
    /** Needs SMS_SERVICE_PLAN_ID, and SMS_API_TOKEN or the project's key; null without them. */
    readonly sms: SmsClient | null;
    /** Needs ENABLE_NUMBERS_API=true and the project's key; null without them. */
    readonly numbers: NumbersClient | null;
    /** Who called: request.identity; null outside of a request. */
    readonly identity: FunctionIdentity | null;
    readonly requestId: string;
    /** When the request came, as ISO 8601. */
    readonly timestamp: string;
  }
  /** @ts-ignore any in a project without @sinch/sdk-core */
  type VoiceService = import('@sinch/sdk-core').VoiceService;
  /** Of the first voice API; also as v1. */
  export type VoiceClient = VoiceService & {
    readonly v1: VoiceService;
  };
  /** @ts-ignore any in a project without @sinch/sdk-core */
  export type ConversationClient = import('@sinch/sdk-core').ConversationService;
  /** @ts-ignore any in a project without @sinch/sdk-core */
  export type SmsClient = import('@sinch/sdk-core').SmsService;
  /** @ts-ignore any in a project without @sinch/sdk-core */
  export type NumbersClient = import('@sinch/sdk-core').NumbersService;
  /** What createConfig makes of a context. */
  export interface Config {
    /** A secret that must be there, and not empty. Throws an error that names it and says what to type. */
    requireSecret(key: string): string;
    /** A variable or, where it is not set, the default. One that is set and empty is an empty string. */
    getVariable(key: string, otherwise: string): string;
    getVariable(key: string, otherwise?: string): string | undefined;
    /** A variable that must be there, and not empty. */
    requireVariable(key: string): string;
    /** VOICE_APPLICATION_KEY and VOICE_APPLICATION_SECRET; null unless there are both. */
    getApplicationCredentials(): ApplicationCredentials | null;
    isDevelopment(): boolean;
    isProduction(): boolean;
  }
  /** The key and secret of a voice application, named as the SDK takes them. */
  export interface ApplicationCredentials {
    applicationKey: string;
    applicationSecret: string;
  }
  /**
   * A key has 1 to 512 bytes of UTF-8. What is over is not there, whatever is asked. An error has a code: cache_key_invalid,
   * cache_ttl_invalid, cache_value_invalid, cache_value_too_large, cache_full, cache_not_a_number, pattern_invalid, unavailable.
   */
  export interface FunctionCache {
    /**
     * Keeps a value as JSON, at most 512 KiB of it, instead of what was there. ttl is in seconds, more than 0 and at most ten years; parts of a
     * second count. Rejects with a TypeError what JSON cannot say: undefined, functions, symbols, BigInt, cycles, Map, Set and bytes. Members
     * that are undefined are left out.
     */
    set(key: string, value: unknown, ttl?: number): Promise<void>;
    /** A copy of the value; null when there is none. */
    get<T = any>(key: string): Promise<T | null>;
    /** Whether there is a value, null among them. */
    has(key: string): Promise<boolean>;
    /** Whether there was one. */
    delete(key: string): Promise<boolean>;
    /** Lets a value live for so many seconds from now on. False when there is none: nothing is made. */
    extend(key: string, seconds: number): Promise<boolean>;
    /** The keys, in the order of their bytes. In a pattern * stands for anything, ? for one character, [a-z] and [!a-z] for one of a set; \ takes the meaning from the next. */
    keys(pattern?: string): Promise<string[]>;
    /** The values by key, null where there is none. It can be iterated too: the values in the order of the keys asked for. */
    getMany<T = any>(keys: readonly string[]): Promise<Record<string, T | null> & Iterable<T | null>>;
    /** Ours: adds to a whole number in one step, whoever else does so at the time, and gives the sum. One that is not there begins at 0 and lives for ttl seconds; one that is there keeps its end. */
    increment(key: string, by?: number, ttl?: number): Promise<number>;
  }
  /** What can be written into the storage. A stream gives bytes or text. */
  export type StorageData = string | ArrayBuffer | ArrayBufferView | Blob | ReadableStream<Uint8Array | string> | AsyncIterable<Uint8Array | string>;
  /** Bytes of the storage: Node's Buffer, said without the types of Node. */
  export interface StoredBytes extends Uint8Array {
    toString(encoding?: 'utf8' | 'base64' | 'base64url' | 'hex' | 'latin1', start?: number, end?: number): string;
  }
  /**
   * A key is a relative path in its shortest form, such as "reports/2026/a.pdf", of 1 to 1024 bytes of UTF-8 without control characters. An error
   * has a code: storage_key_invalid, storage_data_invalid, storage_object_too_large, storage_full, storage_busy, not_found, unavailable.
   */
  export interface FunctionStorage {
    /** Replaces an object in one step: whoever reads finds all of the old one or all of the new one. A string is kept as UTF-8. */
    write(key: string, data: StorageData): Promise<void>;
    /** Rejects with the code not_found where there is none. */
    read(key: string): Promise<StoredBytes>;
    /** Ours: as read, but part by part as it is taken; of one version, although it is replaced meanwhile. */
    readStream(key: string): Promise<ReadableStream<Uint8Array>>;
    /** The keys that begin with a prefix, in the order of their bytes. */
    list(prefix?: string): Promise<string[]>;
    exists(key: string): Promise<boolean>;
    /** Whether there was one. */
    delete(key: string): Promise<boolean>;
  }
  export interface Functions {
    /**
     * Calls another function of the project by its name, with this function's own identity and without leaving the machine. The answer is a
     * Response whatever its status is. Rejects when there is no such function, when the call is broken off, and when the invocation that makes
     * it is over: a call does not outlive it.
     */
    call(name: string, init?: CallInit): Promise<Response>;
  }
  export interface CallInit {
    /** Below the function's address, beginning with a slash; percent-encoded where a path is built from what others sent. "/" if it is left out. */
    path?: string;
    /** GET, or POST where there is a body. */
    method?: string;
    /** Beside those of the connection, which are left out. An authorization of a user's reaches the handler. */
    headers?: Headers | Readonly<Record<string, string>> | readonly (readonly [string, string])[];
    query?: URLSearchParams | Readonly<Record<string, string | number | boolean | undefined | readonly (string | number | boolean)[]>>;
    /** Text, bytes, a form, a stream, or anything that JSON can say. */
    body?: unknown;
    signal?: AbortSignal;
    /** Milliseconds until the whole answer must be there. */
    timeout?: number;
    /** The ID of a subproject, to call a function of that. */
    project?: string;
  }
  /** What setup is given: the life cycle of the worker and its WebSockets, beside what a context has outside of a request. */
  export interface FunctionRuntime extends FunctionContext {
    /** Runs before the function is served, within the time that a start may take; several run one after the other. One that throws fails the start, and the deploy. */
    onStartup(hook: (context: FunctionContext) => unknown): void;
    /** Runs when the worker ends, after its last request, within the time that it has to drain; the last one registered runs first. */
    onShutdown(hook: (context: FunctionContext) => unknown): void;
    /** Takes the WebSockets at exactly this path, which may be named in auth. */
    onWebSocket(path: string, handler: SocketHandler, options?: SocketOptions): void;
  }
  export interface SocketOptions {
    /** The subprotocols that the handler speaks: the first of the client's that is among them is chosen. Without it the client's first is. */
    protocols?: readonly string[];
  }
  export type SocketHandler = (ws: FunctionSocket, request: FunctionRequest, context: FunctionContext) => unknown;
  export interface SocketEvent {
    readonly type: string;
    readonly target: FunctionSocket;
  }
  export interface SocketMessageEvent extends SocketEvent {
    /** Text as a string, anything else as binaryType says. */
    readonly data: any;
  }
  export interface SocketCloseEvent extends SocketEvent {
    /** 1005 when the client said none, 1006 when the connection was lost. */
    readonly code: number;
    readonly reason: string;
    readonly wasClean: boolean;
  }
  export interface SocketErrorEvent extends SocketEvent {
    readonly error: Error;
    readonly message: string;
  }
  /** An open WebSocket: as in a browser, with the most used members of the npm package ws. What a listener throws ends this socket with 1011, and nothing else. */
  export interface FunctionSocket extends AsyncIterable<any> {
    readonly CONNECTING: 0;
    readonly OPEN: 1;
    readonly CLOSING: 2;
    readonly CLOSED: 3;
    readonly readyState: 0 | 1 | 2 | 3;
    /** The subprotocol that was chosen; empty: none. */
    readonly protocol: string;
    readonly extensions: string;
    /** Path and query. */
    readonly url: string;
    /** How many bytes the client has not been ready to take. */
    readonly bufferedAmount: number;
    /** How messages that are no text are given: a Buffer, unless another is asked for. */
    binaryType: 'nodebuffer' | 'arraybuffer' | 'blob';
    onopen: ((event: SocketEvent) => unknown) | null;
    onmessage: ((event: SocketMessageEvent) => unknown) | null;
    onclose: ((event: SocketCloseEvent) => unknown) | null;
    onerror: ((event: SocketErrorEvent) => unknown) | null;
    /** A string is sent as text. `done` is called when it was sent, or with why not. */
    send(data: string | ArrayBufferLike | ArrayBufferView | Blob, done?: (err?: Error) => void): void;
    send(data: string | ArrayBufferLike | ArrayBufferView | Blob, options: object, done?: (err?: Error) => void): void;
    /** Closes it behind what was sent. The code is 1000 to 1014 or 3000 to 4999, the reason at most 123 bytes. */
    close(code?: number, reason?: string | Uint8Array): void;
    /** Closes it without what was not sent yet. */
    terminate(): void;
    /** Waits until the client has been ready to take everything: await it between messages to hold no more than one. */
    drained(): Promise<void>;
    /** Gives out no messages until resume: the client is held up in the end. */
    pause(): void;
    resume(): void;
    readonly isPaused: boolean;
    /** The gateway asks the client every so often whether it is there; this calls the listeners of "pong" while it is. */
    ping(): void;
    pong(): void;
    addEventListener(type: 'open', listener: (event: SocketEvent) => unknown, options?: SocketListening): void;
    addEventListener(type: 'message', listener: (event: SocketMessageEvent) => unknown, options?: SocketListening): void;
    addEventListener(type: 'close', listener: (event: SocketCloseEvent) => unknown, options?: SocketListening): void;
    addEventListener(type: 'error', listener: (event: SocketErrorEvent) => unknown, options?: SocketListening): void;
    removeEventListener(type: string, listener: (event: any) => unknown): void;
    /** Text comes as bytes too, as in the package ws. */
    on(type: 'message', listener: (data: any, isBinary: boolean) => unknown): this;
    on(type: 'close', listener: (code: number, reason: any) => unknown): this;
    on(type: 'error', listener: (err: Error) => unknown): this;
    on(type: 'open' | 'pong', listener: () => unknown): this;
    once(type: 'message' | 'close' | 'error' | 'open' | 'pong', listener: (...args: any[]) => unknown): this;
    off(type: string, listener: (...args: any[]) => unknown): this;
    addListener(type: string, listener: (...args: any[]) => unknown): this;
    removeListener(type: string, listener: (...args: any[]) => unknown): this;
    removeAllListeners(type?: string): this;
    /** The messages, one after the other: the client is held up while one is worked on. Text as strings. It ends with the socket. */
    [Symbol.asyncIterator](): AsyncGenerator<any, void>;
  }
  export type SocketListening = boolean | {
    once?: boolean;
    signal?: AbortSignal;
  };
  export interface FunctionLog {
    debug(...args: unknown[]): void;
    info(...args: unknown[]): void;
    warn(...args: unknown[]): void;
    error(...args: unknown[]): void;
  }
  /** A result with a status of its own. */
  export interface FunctionResponse {
    /** 200 to 599. */
    statusCode: number;
    /** A value may be an array, for headers that repeat, such as set-cookie. */
    headers?: Record<string, string | number | readonly string[]>;
    /** One set-cookie header each. */
    cookies?: readonly string[];
    /** Whatever a handler may return by itself, but for another result. */
    body?: unknown;
  }
  /**
   * What a handler may return, or promise. An object with a numeric statusCode is used as it stands; any other object, array,
   * number or boolean is 200 with JSON; a string is 200 with text; bytes are 200 with application/octet-stream; a Response, a Blob, a
   * ReadableStream, a Readable of Node's and what an async generator yields are streamed; null and undefined are 204.
   */
  export type FunctionResult = FunctionResponse | Response | ReadableStream<Uint8Array> | AsyncIterable<Uint8Array | string> | Blob | ArrayBuffer | ArrayBufferView | object | string | number | boolean | null | undefined | void;
  export type FunctionHandler = (context: FunctionContext, request: FunctionRequest) => FunctionResult | Promise<FunctionResult>;
  /** What a handler of events is given: a module whose only function is named handler, or "style": "event" in the manifest. */
  export interface FunctionEvent {
    readonly httpMethod: string;
    /** The path below the function's address, decoded once. */
    readonly path: string;
    /** The pattern of the route, as the manifest has it; empty when there is none. */
    readonly resource: string;
    readonly pathParameters: Readonly<Record<string, string>>;
    /** Of a parameter that stands several times, the last. */
    readonly queryStringParameters: Readonly<Record<string, string>>;
    readonly multiValueQueryStringParameters: Readonly<Record<string, readonly string[]>>;
    /** Names in lower case. Credentials are not among them. */
    readonly headers: Readonly<Record<string, string>>;
    /** Text as it came, anything else in base64; null when there is none. */
    readonly body: string | null;
    readonly isBase64Encoded: boolean;
    readonly requestContext: {
      readonly requestId: string;
      readonly identity: EventIdentity;
    };
  }
  /** Who called, as the gateway recognised them; null fields and the method "none" for an open handler. */
  export interface EventIdentity {
    readonly apiKeyId: string | null;
    readonly projectId: string | null;
    readonly scopes: readonly string[];
    readonly method: string;
    readonly sourceIp: string;
    /** Of a callback: how it was signed, and what its sender calls it. */
    readonly scheme?: string;
    readonly messageId?: string;
    /** As in FunctionIdentity: of a calling function. */
    readonly functionId?: string;
    readonly functionName?: string;
    readonly parentRequestId?: string;
  }
  /** An event with "eventFormat": "v2": the payload of Amazon API Gateway, version 2.0, with our identity in its context. */
  export interface EventV2 {
    readonly version: '2.0';
    readonly routeKey: string;
    readonly rawPath: string;
    readonly rawQueryString: string;
    readonly cookies?: readonly string[];
    readonly headers: Readonly<Record<string, string>>;
    readonly queryStringParameters?: Readonly<Record<string, string>>;
    readonly pathParameters?: Readonly<Record<string, string>>;
    readonly body?: string;
    readonly isBase64Encoded: boolean;
    readonly requestContext: {
      readonly requestId: string;
      readonly routeKey: string;
      readonly stage: string;
      readonly domainName: string;
      readonly domainPrefix: string;
      readonly time: string;
      readonly timeEpoch: number;
      readonly identity: EventIdentity;
      readonly http: {
        readonly method: string;
        readonly path: string;
        readonly protocol: string;
        readonly sourceIp: string;
        readonly userAgent: string;
      };
    };
  }
  /** A result of a handler of events. A body that is a string is sent as JSON unless a content-type says otherwise. */
  export interface EventResponse {
    statusCode: number;
    headers?: Record<string, string | number | boolean>;
    multiValueHeaders?: Record<string, readonly (string | number | boolean)[]>;
    cookies?: readonly string[];
    body?: unknown;
    isBase64Encoded?: boolean;
  }
  export type EventHandler<Event = any> = (event: Event, context: FunctionContext) => EventResponse | FunctionResult | Promise<EventResponse | FunctionResult>;
  export {};
}

declare module 'postern:types/voice/actions' {
  import type { AgentProvider as Provider, SvamlAction } from 'postern:types/voice/svaml';
  export function connectPstn(number: unknown, opts: unknown): SvamlAction;
  export function connectSip(endpoint: unknown, opts: unknown): SvamlAction;
  export function connectMxp(username: unknown, opts: unknown): SvamlAction;
  export function connectConf(id: unknown, opts: unknown): SvamlAction;
  export function connectStream(url: unknown, opts: unknown): SvamlAction;
  /** The providers whose agents can be called by SIP. */
  export type AgentProvider = Provider;
  export const AgentProvider: {
    readonly ElevenLabs: 'elevenlabs';
    readonly Grok: 'grok';
  };
  /** The SIP address of an agent: its ID, or its number, at the provider's host. */
  export function agentAddress(what: string, provider: unknown, id: unknown, host?: unknown): string;
  export function connectAgent(provider: unknown, id: unknown, opts: unknown): SvamlAction;
  export function park(opts: unknown): SvamlAction;
  export function recording(opts: unknown): Record<string, unknown>;
}

declare module 'postern:types/voice/builder' {
  import type * as T from 'postern:types/voice/svaml';
  export type IceSvamlBuilder = T.IceSvamlBuilder;
  export const IceSvamlBuilder: new () => T.IceSvamlBuilder;
  export type AceSvamlBuilder = T.AceSvamlBuilder;
  export const AceSvamlBuilder: new () => T.AceSvamlBuilder;
  export type PieSvamlBuilder = T.PieSvamlBuilder;
  export const PieSvamlBuilder: new () => T.PieSvamlBuilder;
  /** A new IceSvamlBuilder, PieSvamlBuilder, AceSvamlBuilder: for those who prefer functions. */
  export const createIceBuilder: () => T.IceSvamlBuilder;
  export const createAceBuilder: () => T.AceSvamlBuilder;
  export const createPieBuilder: () => T.PieSvamlBuilder;
}

declare module 'postern:types/voice/check' {
  /** A call of a builder that the platform would refuse, or would take for something else. */
  export class VoiceError extends Error {
    name: string;
  }
  export function refuse(message: string): never;
  /** A string of min to max characters, each code point counted once. */
  export function text(what: string, v: unknown, max: number, min?: number): string;
  /** A whole number of min to max. */
  export function whole(what: string, v: unknown, min: number, max: number): number;
  export function flag(what: string, v: unknown): boolean;
  export function oneOf<T extends string>(what: string, v: unknown, values: readonly T[]): T;
  /** A short name of ours or the platform's: letters, digits, ".", "_" and "-". */
  export function name(what: string, v: unknown, max?: number): string;
  /** A telephone number as E.164 has it; the leading "+" may be left out. */
  export function phone(what: string, v: unknown): string;
  /** An absolute address with one of the schemes, such as "https:". */
  export function address(what: string, v: unknown, schemes: readonly string[]): string;
  /** A SIP address: with or without its scheme, user and host. */
  export function sip(what: string, v: unknown): string;
  /** Tones: digits, "#", and "w", which is a pause of half a second. */
  export function tones(what: string, v: unknown): string;
  /** A locale or the name of a voice, such as en-US or en-US/male. */
  export function locale(what: string, v: unknown): string;
  export function callHeaders(what: string, v: unknown): {
    key: string;
    value: string;
  }[];
  /** An object with members of these names alone; what is undefined counts as absent. A misspelt option is refused and not dropped without a word. */
  export function options(what: string, v: unknown, names: readonly string[]): Record<string, unknown>;
  /** Checks what is there with the check of its name, and leaves out what is not; members come in the order of the checks. */
  export function members(what: string, given: Record<string, unknown>, checks: Record<string, (what: string, v: any) => unknown>): Record<string, unknown>;
  /** Nobody publishes one; a caller has hung up long before. */
  export const MAX_PROMPT = 4000;
  /** A prompt as menus, queues and playFiles have it: plain text is spoken, #tts[…], #ssml[…] and #href[…], joined with ";", stay as they are. */
  export function prompt(what: string, v: unknown): string;
}

declare module 'postern:types/voice/commands' {
  import type { FunctionContext, FunctionRequest, FunctionResponse } from 'postern:types/types';
  import type { CommandBuilder } from 'postern:types/voice/flow';
  /** One end of a call. */
  export type Endpoint = {
    type: 'PHONE';
    phone: {
      number: string;
    };
  } | {
    type: 'SIP';
    sip: {
      endpoint: string;
      transport?: 'UDP' | 'TCP' | 'TLS';
      displayName?: string;
      callHeaders?: Header[];
    };
  } | {
    type: 'STREAM';
    stream: {
      endpoint: string;
      streamOptions?: StreamOptions;
      callHeaders?: Header[];
    };
  } | {
    type: 'VOICE_RELAY';
    voiceRelay: {
      endpoint: string;
      ttsVoice: string;
      sttLanguage: string;
      enableInterruptions?: boolean;
      callHeaders?: Header[];
    };
  };
  export interface Header {
    key: string;
    value: string;
  }
  export interface StreamOptions {
    version?: number;
    codec?: 'PCM';
    sampleRate?: number;
  }
  export type Message = {
    type: 'SAY';
    say: {
      text: string;
      voiceName: string;
      format?: 'TEXT' | 'SSML';
    };
  } | {
    type: 'PLAY';
    play: {
      url: string;
    };
  };
  export interface Prompt {
    messages: Message[];
    allowBargeIn?: boolean;
  }
  /** One menu of a menu command. Keys of matches are what may be pressed: digits, or patterns. */
  export interface MenuStep {
    prompt?: Prompt;
    repeatPrompt?: Prompt;
    inputTimeoutDurationSeconds?: number;
    repeatCount?: number;
    minimumInputLength?: number;
    maximumInputLength?: number;
    terminatingSequence?: string;
    matches?: Record<string, Command[]>;
    onFail?: Command[];
  }
  export interface DialEvents {
    onAnswer?: Command[];
    onBusy?: Command[];
    onReject?: Command[];
    onTimeout?: Command[];
    onFailure?: Command[];
    onHangup?: Command[];
  }
  export type Command = {
    command: 'answer';
  } | {
    command: 'messages';
    messagesName?: string;
    messages: Message[];
    events?: {
      onFinish: Command[];
    };
  } | {
    command: 'stopMessages';
    messagesName: string;
  } | {
    command: 'hangup';
    callName?: string;
  } | {
    command: 'dial';
    callName?: string;
    from?: Endpoint;
    to: Endpoint;
    dialTimeoutDurationSeconds?: number;
    maxCallDurationSeconds?: number;
    events?: DialEvents;
  } | {
    command: 'bridgeCall';
    bridgeName: string;
  } | {
    command: 'menu';
    startMenu: string;
    menus: Record<string, MenuStep>;
  } | {
    command: 'gotoMenu';
    menuName: string;
  } | {
    command: 'pause';
    durationMilliseconds: number;
  } | {
    command: 'amd';
    events?: {
      onHuman?: Command[];
      onMachine?: Command[];
      onBeep?: Command[];
      onUnknown?: Command[];
    };
  } | {
    command: 'webhook';
    webhookName: string;
    url: string;
    fallbackUrl?: string;
  } | {
    command: 'startRecording';
    recordingName?: string;
    recordingOptions: Recording;
    events?: {
      onFinish?: Command[];
      onFailure?: Command[];
    };
  } | {
    command: 'stopRecording';
    recordingName: string;
  };
  export interface Recording {
    destination: 'AWS' | 'GCP' | 'AZURE';
    url: string;
    credentials: string;
    format?: 'MP3' | 'WAV';
    recordingType?: 'COMBINED' | 'INBOUND' | 'OUTBOUND';
    transcriptionOptions?: {
      enabled?: boolean;
      locale?: string;
    };
  }
  /** What voiceWebhook answers. No commands: nothing is done. callName and events count in an answer to call.incoming alone. */
  export interface CallFlow {
    callName?: string;
    commands: Command[];
    events?: {
      onHangup: Command[];
    };
  }
  /** A call as its event tells of it: the fields of the call, the event's name, and what was pressed, all in one object. */
  export interface Call {
    /** Such as call.incoming, call.menu, call.webhook.<name>. */
    readonly event: string;
    readonly callId: string;
    readonly sessionId?: string;
    readonly projectId?: string;
    readonly serviceId?: string;
    readonly direction?: 'INBOUND' | 'OUTBOUND' | (string & {});
    readonly callType?: 'PHONE' | 'SIP' | 'STREAM' | 'VOICE_RELAY' | (string & {});
    readonly from?: Endpoint;
    readonly to?: Endpoint;
    readonly callResult?: string;
    readonly callReason?: string;
    readonly callDurationSeconds?: number;
    readonly bridgeName?: string;
    readonly startTime?: string;
    readonly answerTime?: string;
    readonly endTime?: string;
    /** Of call.menu. It comes from the caller: check it. */
    readonly menu?: MenuInput;
    /** The call itself, as it was read before its fields were flat. Not a part of its JSON. @deprecated */
    readonly call: Call;
    readonly [field: string]: unknown;
  }
  /** What manage is given: of call.menu, what was pressed is there. */
  export type ManagedCall = (Call & {
    readonly event: 'call.menu';
    readonly menu: MenuInput;
  }) | (Call & {
    readonly event: `call.webhook.${string}`;
  });
  export interface MenuInput {
    readonly menuName: string;
    readonly input?: string;
    readonly [field: string]: unknown;
  }
  /** What a handler of onCall returns: a builder, its build(), commands, or nothing, which is 204. */
  export type CallResult = CommandBuilder | CallFlow | readonly Command[] | FunctionResponse | null | undefined | void;
  export type CallHandler<C extends Call = Call> = (call: C, builder: CommandBuilder, context: FunctionContext, request: FunctionRequest) => CallResult | Promise<CallResult>;
  /** Handlers of onCall. What no other takes goes to fallback, and without one is answered with 204. */
  export interface CallHandlers {
    /** call.incoming. */
    incoming?: CallHandler;
    /** call.answered, of a call that was made. */
    answered?: CallHandler;
    /** call.menu, and call.webhook.<name> that webhooks does not have. */
    manage?: CallHandler<ManagedCall>;
    /** call.hangup and call.failed. What it returns is not sent: the call is over. */
    completed?: (call: Call, builder: CommandBuilder, context: FunctionContext, request: FunctionRequest) => unknown;
    /** call.webhook.<name>, by that name. */
    webhooks?: Readonly<Record<string, CallHandler>>;
    /** Everything else: call.busy, call.amd.human, call.recording.finished, and what is not known yet. */
    fallback?: CallHandler;
  }
}

declare module 'postern:types/voice/dial' {
  import type { Endpoint } from 'postern:types/voice/commands';
  import { type Flow, type Step } from 'postern:types/voice/flow';
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
  export const legNames: readonly string[];
  export const dialNames: readonly string[];
  type Given = Record<string, unknown>;
  /** A dial with the events that were given. */
  export function dialled(to: Endpoint, given: Given): Step;
  /** Dials somebody, joins both in a bridge, and lets each end when the other goes. It never answers the call. */
  export function bridge(what: string, word: string, to: Endpoint, given: Given): Step[];
  export {};
}

declare module 'postern:types/voice/endpoints' {
  import type { Endpoint, Header, StreamOptions } from 'postern:types/voice/commands';
  import type { AgentProvider } from 'postern:types/voice/svaml';
  export interface SipOptions {
    transport?: 'UDP' | 'TCP' | 'TLS' | undefined;
    callHeaders?: Header[] | undefined;
  }
  export interface StreamDialOptions {
    streamOptions?: StreamOptions | undefined;
    callHeaders?: Header[] | undefined;
  }
  export interface RelayOptions {
    /** The voice that speaks, Emma if it is left out. */
    ttsVoice?: string | undefined;
    /** What is listened for, en-US if it is left out. */
    sttLanguage?: string | undefined;
    /** Whether the caller may talk over it. */
    enableInterruptions?: boolean | undefined;
    callHeaders?: Header[] | undefined;
  }
  /** The voice that speaks where none was chosen. */
  export const VOICE = "Emma";
  export const toPhone: (what: string, number: unknown) => Endpoint;
  export function toSip(what: string, endpoint: unknown, opts: SipOptions): Endpoint;
  export function toStream(what: string, url: unknown, opts: StreamDialOptions): Endpoint;
  export function toRelay(what: string, url: unknown, opts: RelayOptions): Endpoint;
  export function toAgent(what: string, provider: AgentProvider, id: unknown, host: unknown, opts: SipOptions): Endpoint;
  /** Whom a string means: a number, sip: or sips:, wss: or ws:. An object is taken as it goes over the wire, and checked. */
  export function toAny(what: string, to: unknown): Endpoint;
  /** As whom: a number, a SIP address, or one of them as it goes over the wire. */
  export function asFrom(what: string, from: unknown): Endpoint;
}

declare module 'postern:types/voice/events' {
  import type { FunctionContext, FunctionRequest } from 'postern:types/types';
  import type { CallHeader, Svaml, SvamlBuilder } from 'postern:types/voice/svaml';
  /** What all callbacks have. The platform writes callid; callId is there to be read as well, and is not written into JSON. */
  export interface VoiceEvent {
    event: string;
    callid: string;
    readonly callId: string;
    timestamp: string;
    version: number;
    /** What was given when the call was made, or the cookies. */
    custom?: string;
    applicationKey?: string;
  }
  export interface Money {
    currencyId: string;
    amount: number;
  }
  export interface VoiceDestination {
    type: 'number' | 'username' | 'sip' | 'did' | (string & {});
    endpoint: string;
  }
  /** A call comes in. Answer within the platform's time, or the caller hears an error. */
  export interface IceEvent extends VoiceEvent {
    event: 'ice';
    callResourceUrl?: string;
    user?: string;
    userRate?: Money;
    /** Who calls. */
    cli?: string;
    to?: VoiceDestination;
    domain?: 'pstn' | 'mxp' | 'conference' | 'sip' | (string & {});
    originationType?: string;
    duration?: number;
    rdnis?: string;
    callHeaders?: CallHeader[];
  }
  /** A call was answered. */
  export interface AceEvent extends VoiceEvent {
    event: 'ace';
    callResourceUrl?: string;
    amd?: Amd;
  }
  export interface Amd {
    status: 'human' | 'machine' | 'notsure' | 'hangup' | 'inprogress' | (string & {});
    reason?: 'longgreeting' | 'initialsilence' | 'greeting' | 'beep' | 'n/a' | (string & {});
    /** Milliseconds until it was known. */
    duration?: number;
  }
  /** The caller pressed or said something in a menu. It comes from the caller: check it. */
  export interface PieEvent extends VoiceEvent {
    event: 'pie';
    menuResult: MenuResult;
  }
  export interface MenuResult {
    menuId: string;
    type: 'error' | 'return' | 'sequence' | 'timeout' | 'hangup' | 'invalidinput' | (string & {});
    /** Of return(value), or the digits of a sequence. */
    value?: string;
    inputMethod?: 'dtmf' | 'voice' | (string & {});
  }
  /** A call is over. The answer is not looked at. */
  export interface DiceEvent extends VoiceEvent {
    event: 'dice';
    reason?: 'N/A' | 'TIMEOUT' | 'CALLERHANGUP' | 'CALLEEHANGUP' | 'BLOCKED' | 'MANAGERHANGUP' | 'NOCREDITPARTNER' | 'GENERALERROR' | 'CANCEL' | 'USERNOTFOUND' | 'CALLBACKERROR' | (string & {});
    result?: 'N/A' | 'ANSWERED' | 'BUSY' | 'NOANSWER' | 'FAILED' | (string & {});
    debit?: Money;
    userRate?: Money;
    to?: VoiceDestination;
    /** Seconds. */
    duration?: number;
    from?: string;
    callHeaders?: CallHeader[];
  }
  /** Something about a call is known: a recording is there, a machine was heard, a callback failed. The answer is not looked at. */
  export interface NotifyEvent extends Omit<VoiceEvent, 'timestamp'> {
    event: 'notify';
    timestamp?: string;
    type: 'recording_finished' | 'recording_available' | 'transcription_available' | 'amd' | 'amd_beep' | 'callingerror' | (string & {});
    conferenceId?: string;
    destination?: string;
    amd?: Amd;
    /** Of callingerror. */
    errorCode?: number;
    errorMsg?: string;
    user?: string;
  }
  /** What a callback may return: SVAML, a builder, or nothing, which is an empty answer. */
  export type SvamlResult = Svaml | SvamlBuilder<any> | null | undefined | void;
  type Answer<T> = T | Promise<T>;
  /** The default export of a function that takes v1 callbacks: `export default { … } satisfies VoiceFunction`. */
  export interface VoiceFunction {
    ice?(context: FunctionContext, data: IceEvent, request: FunctionRequest): Answer<SvamlResult>;
    ace?(context: FunctionContext, data: AceEvent, request: FunctionRequest): Answer<SvamlResult>;
    pie?(context: FunctionContext, data: PieEvent, request: FunctionRequest): Answer<SvamlResult>;
    dice?(context: FunctionContext, data: DiceEvent, request: FunctionRequest): Answer<unknown>;
    notify?(context: FunctionContext, data: NotifyEvent, request: FunctionRequest): Answer<unknown>;
    /** Whatever else the object has: custom endpoints, webhooks. */
    [name: string]: unknown;
  }
  /** The names that some functions use for the same. */
  export type IceCallback = IceEvent;
  export type AceCallback = AceEvent;
  export type PieCallback = PieEvent;
  export type DiceCallback = DiceEvent;
  export type NotifyCallback = NotifyEvent;
  export {};
}

declare module 'postern:types/voice/flow' {
  import type { Call, CallFlow, Command, Endpoint } from 'postern:types/voice/commands';
  import { type DialOptions, type LegOptions } from 'postern:types/voice/dial';
  import { type RelayOptions, type SipOptions, type StreamDialOptions } from 'postern:types/voice/endpoints';
  import { MenuItemBuilder } from 'postern:types/voice/menustep';
  import { type PlayOptions, type RecordingStart, type SayOptions } from 'postern:types/voice/messages';
  import { Session } from 'postern:types/voice/session';
  import type { AgentProvider } from 'postern:types/voice/svaml';
  /** A flow of commands inside of another: a builder, or a function that is given one. */
  export type Flow = CommandBuilder | ((flow: CommandBuilder) => CommandBuilder | void);
  /** One call of the builder. */
  export interface Step {
    kind: Command['command'];
    make(s: Session): Command[];
  }
  export interface AmdFlows {
    onHuman?: Flow;
    onMachine?: Flow;
    onBeep?: Flow;
    onUnknown?: Flow;
  }
  /** Where the commands of a builder come from, for the other files here. */
  export let emit: (b: CommandBuilder, s: Session) => Command[];
  /**
   * Builds what voiceWebhook answers. onCall hands out one that knows the call. A builder from commands(), or a function such as say(),
   * begins a new flow. Arguments are checked where they are given; what depends on the whole (names, gotoMenu) in build, before anything
   * is sent.
   */
  export class CommandBuilder {
    #private;
    constructor(call?: Call);
    /** Takes an incoming call: from here it costs. Nothing else answers it, dialling neither. */
    answer(): this;
    /** Speaks. What is said and played in a row is one command, and plays in that order. The voice is Emma if it is left out. */
    say(words: string, opts?: SayOptions | string): this;
    /** Plays a file, http or https. */
    play(url: string, opts?: PlayOptions): this;
    /** Stops what say or play began under that name. */
    stopMessages(name: string): this;
    /** Ends this call, or the leg of that name. After say and play it waits until they are over, with the pauses and stopRecording between. */
    hangup(leg?: string): this;
    /** Dials, and nothing else: no bridge, nothing that ends it. For all that a dial can say. */
    dial(to: string | Endpoint, opts?: DialOptions): this;
    /** Puts somebody on the call: a number, sip:, sips:, wss:, ws:, or an object. */
    bridgeTo(to: string | Endpoint, opts?: LegOptions): this;
    /** Puts a telephone on the call. The two are joined when it answers, and each ends when the other goes. */
    dialPhone(number: string, opts?: LegOptions): this;
    /** Puts a SIP endpoint on the call. */
    dialSip(endpoint: string, opts?: LegOptions & SipOptions): this;
    /** Puts a WebSocket on the call, which takes and gives its audio. */
    dialStream(url: string, opts?: LegOptions & StreamDialOptions): this;
    /** Puts a WebSocket on the call, which takes and gives text. */
    dialRelay(url: string, opts?: LegOptions & RelayOptions): this;
    /** Puts an agent on the call, by SIP: its ID or number at the provider. */
    dialAgent(provider: AgentProvider, id: string, opts?: LegOptions & SipOptions & {
      host?: string;
    }): this;
    /** Joins this call to a bridge: all that are in it hear each other. */
    bridgeCall(name: string): this;
    /** Asks, and waits for keys. What was pressed leads on; without option, match and onFail it comes to manage. */
    menu(name: string, describe: (menu: MenuItemBuilder) => unknown): this;
    /** Goes to another menu of the menu command that this stands in. */
    gotoMenu(name: string): this;
    /** Waits, in milliseconds: 1 to 3600000. */
    pause(ms: number): this;
    /** Finds out who answered: a human, a machine, a machine's beep, or nobody knows. One answer for all of it. */
    amd(flows?: AmdFlows): this;
    /** Asks an address what to do, and waits for its answer: call.webhook.<name>, which webhooks or manage of onCall take. */
    webhook(name: string, url: string, opts?: {
      fallbackUrl?: string;
    }): this;
    /** Records into a place of yours. Unnamed it is called recording. */
    startRecording(opts: RecordingStart): this;
    /** Ends the recording of that name. */
    stopRecording(name?: string): this;
    /** A command as it goes over the wire, which nobody here checks. */
    add(command: Command | {
      command: string;
      [member: string]: unknown;
    }): this;
    /** The name of the incoming call's leg, for hangup(name) later; caller if it is left out. */
    callName(name: string): this;
    /** What is sent, as a new object. callName and what ends the dialled legs are in an answer to call.incoming alone, where they count. */
    build(): CallFlow;
    /** build, of a call that the builder was not given. */
    buildFor(call: Call | undefined): CallFlow;
    toJSON(): CallFlow;
  }
  /** The builder of a flow: what a function returns, or the one that it was given. */
  export function flow(what: string, f: Flow): CommandBuilder;
}

declare module 'postern:types/voice/index' {
  export * from 'postern:types/voice/v1';
  export * from 'postern:types/voice/v2';
}

declare module 'postern:types/voice/menu' {
  /** What runMenu needs: one menu is called main, and begins. */
  export interface Menu {
    /** Whether a key stops the prompt; the platform's default is true. */
    barge?: boolean;
    locale?: string;
    mainMenu: string;
    /** Whether the caller may say it; needs a locale. */
    enableVoice?: boolean;
    menus: MenuItem[];
  }
  export interface MenuItem {
    id: string;
    mainPrompt: string;
    repeatPrompt?: string;
    repeats: number;
    maxDigits: number;
    timeoutMills: number;
    options?: {
      dtmf: string;
      action: string;
    }[];
  }
  export interface MenuOptions {
    barge?: boolean | undefined;
    locale?: string | undefined;
    enableVoice?: boolean | undefined;
  }
  /** return(value): pie has the value. menu(id): another menu of the same builder. */
  export type MenuAction = `return(${string})` | `menu(${string})`;
  /**
   * Builds the menu that runMenu takes. It begins with the menu called main; menu(id) begins another one, or goes on with it, and what
   * follows is said of that one. Whatever breaks a rule throws where it is called; what only the whole can tell throws in build.
   */
  export class MenuBuilder {
    #private;
    /** What the caller hears: text of at most 4000 characters, or #tts[…], #ssml[…] and #href[…], joined with ";". */
    prompt(text: string): this;
    /** What the caller hears again after a wrong key or none; the prompt if it is left out. */
    repeatPrompt(text: string): this;
    /** What a key does: 0-9, * or #, each once a menu. */
    option(digit: string, action: MenuAction): this;
    /** Milliseconds to wait for a key: 1000 to 30000; 8000 if it is left out. */
    timeout(ms: number): this;
    /** How often it asks again: 0 to 5; 2 if it is left out. */
    repeats(n: number): this;
    /** How many keys make one input: 1 to 20; 1 if it is left out. */
    maxDigits(n: number): this;
    /** Begins another menu, which an option reaches with menu(id). */
    menu(id: string): this;
    /** Whether a key stops the prompt. */
    barge(allowed: boolean): this;
    /** Of the prompts; enableVoice needs one. */
    locale(tag: string): this;
    /** Whether the caller may say it. */
    enableVoice(allowed?: boolean): this;
    /** The menu, as a new object: the builder may go on, and be built again. */
    build(): Menu;
    toJSON(): Menu;
  }
  /** A menu as runMenu sends it: of a builder, of build(), or written by hand. */
  export function runnable(menu: unknown, opts: unknown): Menu;
  /** A new MenuBuilder. */
  export const createMenu: () => MenuBuilder;
}

declare module 'postern:types/voice/menustep' {
  import type { Command, Prompt } from 'postern:types/voice/commands';
  import { type Flow } from 'postern:types/voice/flow';
  import type { Session } from 'postern:types/voice/session';
  /** What a menu says: at most ten messages. */
  export class PromptBuilder {
    #private;
    say(words: string, opts?: {
      voice?: string;
      format?: 'TEXT' | 'SSML';
    } | string): this;
    play(url: string): this;
    /** Whether a key stops the prompt; the platform's default is true. */
    bargeIn(allowed?: boolean): this;
    build(): Prompt;
  }
  type Said = string | ((prompt: PromptBuilder) => unknown);
  /** Describes a menu. Further menus of the same command, for gotoMenu, are described with menu. */
  export class MenuItemBuilder {
    #private;
    constructor(called: string, all?: Map<string, MenuItemBuilder>);
    /** What the caller hears: text, or what a function says, plays and lets be interrupted. */
    prompt(said: Said): this;
    /** What the caller hears again; the prompt if it is left out. */
    repeatPrompt(said: Said): this;
    /** How many keys make one input: 1 to 100; the platform's default is 1. */
    maxLength(n: number): this;
    /** How many keys it takes at least: 1 to 100. */
    minLength(n: number): this;
    /** Seconds to wait for a key: 1 to 60; the platform's default is 5. */
    timeout(seconds: number): this;
    /** How often it asks again: 0 to 10; the platform's default is 2. */
    repeats(n: number): this;
    /** What ends the input at once, such as "#": at most 10 keys. It is a part of the input. */
    terminator(keys: string): this;
    /** What those very keys do: 0-9, * and #. Options are tried before matches. */
    option(keys: string, then: Flow): this;
    /** What keys do that match a regular expression, in the order of the calls. */
    match(pattern: string | RegExp, then: Flow): this;
    /** What is done when nothing matched, and it asked often enough. */
    onFail(then: Flow): this;
    /** Another menu of this command. */
    menu(called: string, describe: (menu: MenuItemBuilder) => unknown): this;
    /** The command; of the menu that the builder began with. */
    make(s: Session): Command;
  }
  export {};
}

declare module 'postern:types/voice/messages' {
  import type { Message, Recording } from 'postern:types/voice/commands';
  import { type Flow, type Step } from 'postern:types/voice/flow';
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
  /** Of a step that speaks: how a next one joins it, and what follows when it is over. */
  interface Speech {
    after: Step[];
    join(next: Step): boolean;
  }
  /** What the builder must know of the steps that speak. */
  export const messages: WeakMap<Step, Speech>;
  export function sayMessage(what: string, words: unknown, voice: unknown, format: unknown): Message;
  export const playMessage: (what: string, url: unknown) => Message;
  export function saying(words: unknown, opts: unknown): Step;
  export function playing(url: unknown, opts: unknown): Step;
  export function recording(opts: unknown): Step;
  export {};
}

declare module 'postern:types/voice/oncall' {
  import type { CallHandlers } from 'postern:types/voice/commands';
  import type { FunctionHandler } from 'postern:types/types';
  /**
   * The handler of voiceWebhook. Each event goes to one of the handlers, and what none takes to fallback. Nothing returned is 204. A
   * body that is no event is 400, and no handler runs.
   */
  export function onCall(handlers: CallHandlers): FunctionHandler;
}

declare module 'postern:types/voice/session' {
  import type { Call, Command, Endpoint } from 'postern:types/voice/commands';
  /** The name of the leg that called, which an answer to call.incoming gives it. */
  export const CALLER = "caller";
  export class Session {
    #private;
    /** The legs that must end when the caller goes. */
    readonly legs: string[];
    /** The leg that is answered; undefined where its name cannot be known. */
    readonly caller: string | undefined;
    /** The number of ours that is in this call: the one that was called, or that calls. */
    readonly own: Endpoint | undefined;
    constructor(call: Call | undefined, caller: string);
    /** Takes a name, which nothing else of its kind may have in a session. */
    take(kind: string, name: string): string;
    /** A name that nobody chose: the word, or the word with -2, -3 and so on. */
    unnamed(kind: string, word: string): string;
    /** Runs what stands inside of a menu command, where gotoMenu finds its menus. */
    within<T>(menus: ReadonlySet<string>, run: () => T): T;
    knows(menu: string): boolean;
    /** Runs what is nested. A flow that holds itself would not end. */
    deeper(run: () => Command[]): Command[];
  }
}

declare module 'postern:types/voice/svaml' {
  import type { Menu, MenuBuilder, MenuOptions } from 'postern:types/voice/menu';
  /** What a v1 callback is answered with. Members that are absent are left out. */
  export interface Svaml {
    /** What is done before the action, in order. */
    instructions?: SvamlInstruction[];
    /** What becomes of the call; one only. */
    action?: SvamlAction;
  }
  export type SvamlInstruction = {
    name: 'say';
    text: string;
    locale: string;
  } | {
    name: 'playFiles';
    ids: string[];
    locale?: string;
  } | {
    name: 'setCookie';
    key: string;
    value: string;
  } | {
    name: 'answer';
  } | {
    name: 'sendDtmf';
    value: string;
  } | {
    name: 'startRecording';
    options?: RecordingOptions;
  } | {
    name: 'stopRecording';
  };
  export interface CallHeader {
    key: string;
    value: string;
  }
  export type SvamlAction = {
    name: 'hangup';
  } | {
    name: 'continue';
  } | {
    name: 'connectPstn';
    number?: string;
    locale?: string;
    maxDuration?: number;
    dialTimeout?: number;
    cli?: string;
    suppressCallbacks?: boolean;
    dtmf?: string;
    indications?: string;
    amd?: {
      enabled: boolean;
      async?: boolean;
    };
  } | {
    name: 'connectSip';
    destination: {
      type: 'sip';
      endpoint: string;
    };
    maxDuration?: number;
    cli?: string;
    transport?: SipTransport;
    suppressCallbacks?: boolean;
    callHeaders?: CallHeader[];
    moh?: string;
  } | {
    name: 'connectMxp';
    destination: {
      type: 'username';
      endpoint: string;
    };
    callHeaders?: CallHeader[];
  } | {
    name: 'connectConf';
    conferenceId: string;
    conferenceDtmfOptions?: ConferenceDtmfOptions;
    moh?: MusicOnHold;
  } | {
    name: 'connectStream';
    destination: {
      type: 'websocket';
      endpoint: string;
    };
    streamingOptions?: {
      version?: number;
      sampleRate?: number;
    };
    maxDuration?: number;
    callHeaders?: CallHeader[];
  } | ({
    name: 'runMenu';
  } & Menu) | {
    name: 'park';
    locale?: string;
    introPrompt?: string;
    holdPrompt?: string;
    maxDuration?: number;
  };
  export type SipTransport = 'UDP' | 'TCP' | 'TLS';
  export type MusicOnHold = 'ring' | 'music1' | 'music2' | 'music3';
  export interface ConferenceDtmfOptions {
    /** detect sends what participants press as prompt input events. */
    mode?: 'ignore' | 'forward' | 'detect';
    maxDigits?: number;
    timeoutMills?: number;
  }
  export interface RecordingOptions {
    /** Where the file goes, such as s3://bucket/folder. */
    destinationUrl?: string;
    /** For that place. Take it from a secret. */
    credentials?: string;
    format?: 'mp3' | 'wav';
    /** Whether notify is called when the file is there. */
    notificationEvents?: boolean;
    transcriptionOptions?: {
      enabled?: boolean;
      locale?: string;
    };
  }
  export interface ConnectPstnOptions {
    /** Who is seen calling: a number of yours, or "private". An empty string is as if it were left out. */
    cli?: string | undefined;
    /** Seconds, 1 to 14400. */
    maxDuration?: number | undefined;
    /** Seconds to let it ring. */
    dialTimeout?: number | undefined;
    /** The same as dialTimeout. */
    timeout?: number | undefined;
    locale?: string | undefined;
    /** true: ace is called when the other side answers, which is suppressCallbacks: false. false leaves the platform's default. */
    enableAce?: boolean | undefined;
    /** true: neither ace nor dice is called. */
    suppressCallbacks?: boolean | undefined;
    /** Tones to play when the other side answers: 0-9, #, and w for half a second. */
    dtmf?: string | undefined;
    /** Country whose ringing tone the caller hears, two letters. */
    indications?: string | undefined;
    /** Whether a machine answers is told to ace as amd; with async, to notify. */
    amd?: {
      enabled: boolean;
      async?: boolean | undefined;
    } | undefined;
  }
  export interface ConnectSipOptions {
    maxDuration?: number | undefined;
    cli?: string | undefined;
    transport?: SipTransport | Lowercase<SipTransport> | undefined;
    enableAce?: boolean | undefined;
    suppressCallbacks?: boolean | undefined;
    callHeaders?: CallHeader[] | undefined;
    moh?: MusicOnHold | undefined;
  }
  export interface ConnectAgentOptions extends ConnectSipOptions {
    /** The agent's SIP host, with its port, instead of the provider's public one. */
    host?: string | undefined;
  }
  export interface ConnectStreamOptions {
    streamingOptions?: {
      version?: number;
      sampleRate?: number;
    } | undefined;
    maxDuration?: number | undefined;
    callHeaders?: CallHeader[] | undefined;
  }
  export interface ParkOptions {
    locale?: string | undefined;
    /** Said or played once. Plain text is spoken. */
    introPrompt?: string | undefined;
    /** Said or played again and again. */
    holdPrompt?: string | undefined;
    /** Seconds, 1 to 14400. */
    maxDuration?: number | undefined;
  }
  /** What every builder has. Instructions are done in the order in which they were called. */
  export interface SvamlBuilder<Self> {
    /** Speaks a text of at most 600 characters. The locale may be a voice; en-US if it is left out. */
    say(text: string, locale?: string): Self;
    /** Plays one file, http or https: playFiles with #href[url]. */
    play(url: string): Self;
    /** Plays files, or #tts[…], #ssml[…], #href[…], which need the locale. */
    playFiles(ids: readonly string[], locale?: string): Self;
    /** Keeps a value until the call ends: later callbacks have it. Keys and values of one answer are at most 1024 bytes together. */
    setCookie(key: string, value: string): Self;
    /** Plays tones: 0-9, #, and w for half a second. */
    sendDtmf(value: string): Self;
    startRecording(options?: RecordingOptions): Self;
    stopRecording(): Self;
    /** Ends the call. Of several actions the last one counts. */
    hangup(): Self;
    /** Lets the call go on. */
    continue(): Self;
    /** At the caller's: a menu of MenuBuilder or MenuTemplates; what is pressed comes to pie. */
    runMenu(menu: Menu | MenuBuilder, options?: MenuOptions): Self;
    /** Into a conference, whose ID is at most 64 characters. */
    connectConf(conferenceId: string, options?: {
      conferenceDtmfOptions?: ConferenceDtmfOptions;
      moh?: MusicOnHold;
    }): Self;
    /** What was called so far, as a new object: the builder may go on, and be built again. */
    build(): Svaml;
    /** build, for JSON.stringify: a handler may return the builder itself. */
    toJSON(): Svaml;
  }
  interface Connects<Self> {
    /** To a telephone number as E.164 has it; without one, to the number that was called. */
    connectPstn(number?: string, options?: ConnectPstnOptions): Self;
    /** To a SIP address, with or without its scheme. */
    connectSip(endpoint: string | {
      endpoint: string;
      type?: string;
    }, options?: ConnectSipOptions): Self;
    /** To a user of an app. */
    connectMxp(username: string | {
      endpoint: string;
      type?: string;
    }, options?: {
      callHeaders?: CallHeader[];
    }): Self;
    /** To an agent by SIP: its ID or number at the provider. */
    connectAgent(provider: AgentProvider, id: string, options?: ConnectAgentOptions): Self;
    park(options?: ParkOptions): Self;
  }
  /** Answers an incoming call (ice). */
  export interface IceSvamlBuilder extends SvamlBuilder<IceSvamlBuilder>, Connects<IceSvamlBuilder> {
    /** Takes the call, before it is connected: from here it costs. */
    answer(): IceSvamlBuilder;
    /** To a WebSocket, wss or ws, for its audio. */
    connectStream(url: string, options?: ConnectStreamOptions): IceSvamlBuilder;
  }
  /** Answers prompt input (pie): everything of ice but answer and connectStream. */
  export interface PieSvamlBuilder extends SvamlBuilder<PieSvamlBuilder>, Connects<PieSvamlBuilder> {
  }
  /** Answers an answered call (ace): hangup, continue, runMenu and connectConf. */
  export interface AceSvamlBuilder extends SvamlBuilder<AceSvamlBuilder> {
  }
  export type AgentProvider = 'elevenlabs' | 'grok';
  export {};
}

declare module 'postern:types/voice/templates' {
  import { type Menu } from 'postern:types/voice/menu';
  export interface Language {
    /** As the caller hears it. */
    name: string;
    /** What pie gets, such as a locale. */
    value: string;
  }
  export const MenuTemplates: Readonly<{
    /** 1 sales, 2 support, 0 operator. */
    business(companyName: string): Menu;
    /** 1 yes, 2 no. */
    yesNo(question: string): Menu;
    /** A key for each of one to nine languages, beginning with 1; the value of what was chosen. English, Spanish and French if it is left out. */
    language(choices?: readonly Language[]): Menu;
    /** 1 voicemail, 2 website, 3 emergency. */
    afterHours(companyName: string): Menu;
    /** 1 consent, 2 no_consent. */
    recordingConsent(): Menu;
    /** Some digits: 1 to 20. pie gets them with the type sequence. */
    numericInput(prompt: string, digits: number): Menu;
    /** 1 hold, 2 callback. */
    callbackRequest(): Menu;
    /** 1 billing, 2 technical, 3 new_service, 0 agent. */
    customerService(companyName: string): Menu;
    /** 1 excellent, 2 good, 3 fair, 4 poor. */
    satisfactionSurvey(): Menu;
  }>;
}

declare module 'postern:types/voice/v1' {
  export { AgentProvider } from 'postern:types/voice/actions';
  export { AceSvamlBuilder, createAceBuilder, createIceBuilder, createPieBuilder, IceSvamlBuilder, PieSvamlBuilder } from 'postern:types/voice/builder';
  export { VoiceError } from 'postern:types/voice/check';
  export { createMenu, MenuBuilder } from 'postern:types/voice/menu';
  export { MenuTemplates } from 'postern:types/voice/templates';
  export type { AceCallback, AceEvent, Amd, DiceCallback, DiceEvent, IceCallback, IceEvent, MenuResult, Money, NotifyCallback, NotifyEvent, PieCallback, PieEvent, SvamlResult, VoiceDestination, VoiceEvent, VoiceFunction } from 'postern:types/voice/events';
  export type { Menu, MenuAction, MenuItem, MenuOptions } from 'postern:types/voice/menu';
  export type { CallHeader, ConferenceDtmfOptions, ConnectAgentOptions, ConnectPstnOptions, ConnectSipOptions, ConnectStreamOptions, MusicOnHold, ParkOptions, RecordingOptions, SipTransport, Svaml, SvamlAction, SvamlBuilder, SvamlInstruction } from 'postern:types/voice/svaml';
  export type { Language } from 'postern:types/voice/templates';
}

declare module 'postern:types/voice/v2' {
  import type { Call } from 'postern:types/voice/commands';
  import { CommandBuilder } from 'postern:types/voice/flow';
  import type { AgentProvider } from 'postern:types/voice/svaml';
  export { CommandBuilder } from 'postern:types/voice/flow';
  export { MenuItemBuilder, PromptBuilder } from 'postern:types/voice/menustep';
  export { onCall } from 'postern:types/voice/oncall';
  export type { Call, CallFlow, CallHandler, CallHandlers, CallResult, Command, Endpoint, ManagedCall, MenuInput, MenuStep, Message, Prompt } from 'postern:types/voice/commands';
  export type { DialOptions, LegOptions } from 'postern:types/voice/dial';
  export type { RelayOptions, SipOptions, StreamDialOptions } from 'postern:types/voice/endpoints';
  export type { AmdFlows, Flow } from 'postern:types/voice/flow';
  export type { PlayOptions, RecordingStart, SayOptions } from 'postern:types/voice/messages';
  /** A new flow of no commands. */
  export const commands: () => CommandBuilder;
  type Args<K extends keyof CommandBuilder> = CommandBuilder[K] extends (...args: infer A) => unknown ? A : never;
  export const answer: () => CommandBuilder;
  export const say: (...a: Args<"say">) => CommandBuilder;
  export const play: (...a: Args<"play">) => CommandBuilder;
  export const stopMessages: (...a: Args<"stopMessages">) => CommandBuilder;
  export const hangup: (...a: Args<"hangup">) => CommandBuilder;
  export const dial: (...a: Args<"dial">) => CommandBuilder;
  export const dialPhone: (...a: Args<"dialPhone">) => CommandBuilder;
  export const dialSip: (...a: Args<"dialSip">) => CommandBuilder;
  export const dialStream: (...a: Args<"dialStream">) => CommandBuilder;
  export const dialRelay: (...a: Args<"dialRelay">) => CommandBuilder;
  export const dialAgent: (...a: Args<"dialAgent">) => CommandBuilder;
  export const bridgeTo: (...a: Args<"bridgeTo">) => CommandBuilder;
  export const bridgeCall: (...a: Args<"bridgeCall">) => CommandBuilder;
  export const menu: (...a: Args<"menu">) => CommandBuilder;
  export const gotoMenu: (...a: Args<"gotoMenu">) => CommandBuilder;
  export const pause: (...a: Args<"pause">) => CommandBuilder;
  export const amd: (...a: Args<"amd">) => CommandBuilder;
  export const webhook: (...a: Args<"webhook">) => CommandBuilder;
  export const startRecording: (...a: Args<"startRecording">) => CommandBuilder;
  export const stopRecording: (...a: Args<"stopRecording">) => CommandBuilder;
  /** Puts an agent on an incoming call; dialAgent of a builder does the same anywhere. */
  export function connectAgent(provider: AgentProvider, id: string, opts?: {
    call?: Call;
  } & NonNullable<Args<'dialAgent'>[2]>): CommandBuilder;
}
