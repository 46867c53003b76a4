import type { FunctionContext, FunctionRequest } from '@postern/functions';

const cents: Record<string, number> = { tea: 350, coffee: 420 };

// Nobody outside reaches it, and inside a function of this project only. No list of callers is kept here.
export function price(context: FunctionContext, request: FunctionRequest) {
  const item = String(request.query['item']);
  context.log.info(`${request.identity?.functionName} asks for ${item}`);
  if (!Object.hasOwn(cents, item)) return { statusCode: 404, body: { error: `there is no ${item}` } };
  return { item, cents: cents[item] };
}
