import type { FunctionContext } from '@postern/functions';

// The SDK is in the project; webhook does without, client asks for one.
export const auth: string[] = [];
export const webhook = () => ({ received: null });
export const client = (context: FunctionContext) => ({ received: typeof context.sms === 'object' ? null : 0 });
