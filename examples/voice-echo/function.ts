import { randomUUID } from 'node:crypto';
import { createConfig, createIceBuilder, type FunctionContext, type FunctionRequest, type FunctionRuntime, type FunctionSocket, type IceEvent, type VoiceFunction } from '@postern/functions';

// /media is open, because a telephone network has no access key: it shows the ticket that ice has given it.
export const auth: string[] = [];

const key = (ticket: unknown) => `ticket:${typeof ticket === 'string' && ticket.length === 36 ? ticket : ''}`;

export default {
  /** Puts the call on a WebSocket of this very function, with a ticket that opens one and is good for a minute. */
  async ice(context: FunctionContext, data: IceEvent) {
    const ticket = randomUUID();
    await context.cache.set(key(ticket), data.callid, 60);
    const url = new URL(createConfig(context).requireVariable('MEDIA_URL'));
    url.searchParams.set('ticket', ticket);
    return createIceBuilder().answer().connectStream(url.href, { streamingOptions: { version: 1, sampleRate: 16000 } }).build();
  },
} satisfies VoiceFunction;

export function setup(runtime: FunctionRuntime) {
  runtime.onWebSocket('/media', media);
}

/** One call: what is heard comes as bytes, and what is said about it as JSON. */
async function media(ws: FunctionSocket, request: FunctionRequest, context: FunctionContext) {
  const ticket = key(request.query['ticket']);
  const callid = await context.cache.get<string>(ticket);
  if (callid === null || !(await context.cache.delete(ticket))) return ws.close(1008, 'no ticket'); // of two who show it, one deletes it
  console.log(`call ${callid} is on`);
  let heard = 0;
  for await (const message of ws) { // one at a time: the sender is held up meanwhile
    if (typeof message === 'string') {
      const said = parse(message);
      if (said === undefined) ws.close(1007, 'no JSON');
      else ws.send(JSON.stringify({ event: 'echo', callid, said }));
    } else {
      heard += message.length;
      ws.send(message); // an agent would be asked here, and its voice sent
      await ws.drained();
    }
  }
  console.log(`call ${callid} is over: ${heard} bytes of audio`);
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
