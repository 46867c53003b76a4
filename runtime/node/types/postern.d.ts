// Types of Postern's runtime, for the editor. Written by postern functions init; safe to write again.

declare module '@postern/functions' {
  type Environment = Readonly<Record<string, string | undefined>>;
  /** A variable or secret is missing, or cannot be what it is. */
  export class ConfigError extends Error {
    readonly code = "config_invalid";
    /** The name of the variable. */
    readonly key: string;
    constructor(key: string, message: string);
  }
  function requireVariable(env: Environment, key: string): string;
  /** Reads the function's configuration, of the context of a request or of a start. */
  export function createConfig(context: Pick<FunctionContext, 'env' | 'config'>): Config;
  /** The same as createConfig. */
  export const createUniversalConfig: typeof createConfig;
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
    /** JSON and forms parsed, text as a string, anything else as bytes; undefined when there is none. A ReadableStream for a handler with "body": "stream". */
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
  export type VoiceClient = import('@sinch/sdk-core').VoiceService & {
    readonly v1: import('@sinch/sdk-core').VoiceService;
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
    /** A string, bytes, a ReadableStream, or anything that JSON can say. */
    body?: unknown;
  }
  /**
   * What a handler may return, or promise. An object with a numeric statusCode is used as it stands; any other object, array,
   * number or boolean is 200 with JSON; a string is 200 with text; bytes are 200 with application/octet-stream; a Response or a
   * ReadableStream is streamed; null and undefined are 204.
   */
  export type FunctionResult = FunctionResponse | Response | ReadableStream<Uint8Array> | Uint8Array | object | string | number | boolean | null | undefined | void;
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
  /** An event of the Conversation API, or the message of one. */
  export type ConversationSource = ConversationEvent | ConversationMessage;
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
  /** A message on a channel. A string is a text; anything else is a message of the API, such as { choice_message }. */
  export function createChannelMessage(channel: string, to: ConversationRecipient, message: string | AppMessage, settings?: ConversationSettings): SendMessageData;
  export const createSms: (to: ConversationRecipient, message: string | AppMessage, settings?: ConversationSettings) => SendMessageData;
  export const createWhatsApp: (to: ConversationRecipient, message: string | AppMessage, settings?: ConversationSettings) => SendMessageData;
  export const createMessenger: (to: ConversationRecipient, message: string | AppMessage, settings?: ConversationSettings) => SendMessageData;
  /** A text that answers a message or event: to whom it is from, on the same channel. */
  export const textReply: (source: ConversationSource, text: string, settings?: ConversationSettings) => SendMessageData;
  /** An answer. It comes from FROM_NUMBER or, without that, from what the contact wrote to. */
  function createReply(source: ConversationSource, message: string | AppMessage, settings?: ConversationSettings): SendMessageData;
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
  export {};
}

declare module '@sinch/functions-runtime' {
  export * from '@postern/functions';
}
