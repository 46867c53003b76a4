// Voice 1: what a function imports to answer ice, ace and pie.
export { AgentProvider } from './actions.ts';
export { AceSvamlBuilder, createAceBuilder, createIceBuilder, createPieBuilder, IceSvamlBuilder, PieSvamlBuilder } from './builder.ts';
export { VoiceError } from './check.ts';
export { createMenu, MenuBuilder } from './menu.ts';
export { MenuTemplates } from './templates.ts';
export type { AceCallback, AceEvent, Amd, DiceCallback, DiceEvent, IceCallback, IceEvent, MenuResult, Money, NotifyCallback, NotifyEvent, PieCallback, PieEvent, SvamlResult, VoiceDestination, VoiceEvent, VoiceFunction } from './events.ts';
export type { Menu, MenuAction, MenuItem, MenuOptions } from './menu.ts';
export type { CallHeader, ConferenceDtmfOptions, ConnectAgentOptions, ConnectPstnOptions, ConnectSipOptions, ConnectStreamOptions, MusicOnHold, ParkOptions, RecordingOptions, SipTransport, Svaml, SvamlAction, SvamlBuilder, SvamlInstruction } from './svaml.ts';
export type { Language } from './templates.ts';
