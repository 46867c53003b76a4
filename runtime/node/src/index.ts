// The public API of @postern/functions: what user code imports.
export { ConfigError, createConfig, createUniversalConfig } from './config.ts';
export { ConversationController } from './conversation/controller.ts';
export {
  getChannel, getContactId, getConversationId, getIdentity, getLocation, getMedia, getPostbackData, getText, getTo, isMediaMessage, isPostback, isTextMessage,
} from './conversation/message.ts';
export { createChannelMessage, createMessenger, createSms, createWhatsApp, textReply } from './conversation/send.ts';
export { accepted, badRequest, conflict, created, forbidden, html, json, noContent, notFound, ok, redirect, serverError, text, tooManyRequests, unauthorized } from './helpers.ts';
export type { ConversationResult } from './conversation/controller.ts';
export type { ConversationSource } from './conversation/message.ts';
export type {
  AppMessage, ChannelIdentity, ConversationEvent, ConversationMessage, ConversationRecipient, ConversationSettings, ConversationTrigger, EventInboundEvent,
  LocationMessage, MediaMessage, MessageDeliveryEvent, MessageInboundEvent, SendMessageData, SendMessageResponse,
} from './conversation/types.ts';
export type {
  ApplicationCredentials, CallInit, Config, ConversationClient, EventHandler, EventIdentity, EventResponse, EventV2, FunctionCache, FunctionContext, FunctionEvent,
  FunctionHandler, FunctionIdentity, FunctionLog, FunctionRequest, FunctionResponse, FunctionResult, FunctionRuntime, FunctionSocket, FunctionStorage, Functions, NumbersClient, SmsClient,
  SocketCloseEvent, SocketErrorEvent, SocketEvent, SocketHandler, SocketMessageEvent, SocketOptions, StorageData, VoiceClient,
} from './types.ts';
export * from './voice/v1.ts';
export { CommandBuilder, commands, onCall } from './voice/v2.ts';
export type { Call, CallFlow, CallHandler, CallHandlers, CallResult, Command, Endpoint, Flow, ManagedCall, MenuInput } from './voice/v2.ts';
