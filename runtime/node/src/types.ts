// The public types of @postern/functions. Declarations only: this text is also
// what `postern functions init` writes for the editor, as an ambient module.

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

// The clients of the official SDK, as the project has installed it. All throw when their variables are there and the package is not.

/** @ts-ignore any in a project without @sinch/sdk-core */
type VoiceService = import('@sinch/sdk-core').VoiceService;
/** Of the first voice API; also as v1. */
export type VoiceClient = VoiceService & { readonly v1: VoiceService };
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

export interface SocketEvent { readonly type: string; readonly target: FunctionSocket }
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
export interface SocketErrorEvent extends SocketEvent { readonly error: Error; readonly message: string }

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

export type SocketListening = boolean | { once?: boolean; signal?: AbortSignal };

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
  readonly requestContext: { readonly requestId: string; readonly identity: EventIdentity };
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
    readonly http: { readonly method: string; readonly path: string; readonly protocol: string; readonly sourceIp: string; readonly userAgent: string };
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

