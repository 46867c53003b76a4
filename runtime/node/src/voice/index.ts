// @postern/functions/voice: both voices. The names of the two do not meet.
export * from './v1.ts';
export * from './v2.ts';
