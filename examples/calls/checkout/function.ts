import type { FunctionContext, FunctionRequest } from '@postern/functions';

export async function order(context: FunctionContext, request: FunctionRequest<{ items: string[] }>) {
  let total = 0;
  for (const item of request.body.items) {
    const answer = await context.functions.call('prices', { path: '/price', query: { item }, timeout: 2000 });
    if (!answer.ok) return { statusCode: 422, body: await answer.json() };
    total += ((await answer.json()) as { cents: number }).cents;
  }
  return { total };
}
