import type { FunctionContext, FunctionRequest } from '@postern/functions';

export const auth = [];

// talk writes its lines as they are due, however late its timer comes.
export async function talk(_: FunctionContext, request: FunctionRequest) {
  const rate = Number(request.query['rate']), lines = rate * Number(request.query['seconds']);
  const began = Date.now();
  let n = 0;
  while (n < lines) {
    for (const due = Math.min(lines, (Date.now() - began) * rate / 1000); n < due; n++) console.log(`line ${n} of order A-${n % 9000}, which is as long as lines of a log are wont to be`);
    await new Promise((done) => setTimeout(done, 10));
  }
  return { lines: n, milliseconds: Date.now() - began };
}
