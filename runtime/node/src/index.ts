// The public API of @postern/functions: what user code imports.
export { ConfigError, createConfig, createUniversalConfig } from './config.ts';
export { accepted, badRequest, conflict, created, forbidden, html, json, noContent, notFound, ok, redirect, serverError, text, tooManyRequests, unauthorized } from './helpers.ts';
export type {
  ApplicationCredentials, CallInit, Config, ConversationClient, EventHandler, EventIdentity, EventResponse, EventV2, FunctionContext, FunctionEvent,
  FunctionHandler, FunctionIdentity, FunctionLog, FunctionRequest, FunctionResponse, FunctionResult, Functions, NumbersClient, SmsClient, VoiceClient,
} from './types.ts';
export * from './voice/v1.ts';
export { CommandBuilder, commands, onCall } from './voice/v2.ts';
export type { Call, CallFlow, CallHandler, CallHandlers, CallResult, Command, Endpoint, Flow, ManagedCall, MenuInput } from './voice/v2.ts';
