import { createHmac } from 'node:crypto';
import { badRequest, created, createConfig, type FunctionContext, type FunctionRequest } from '@postern/functions';

/** Takes an order of whoever has an access key, and gives a receipt that only we can have written. */
export async function webhook(context: FunctionContext, request: FunctionRequest) {
  const config = createConfig(context);
  // Asked for first: without it nothing may be promised. The error names it, and never what is in it.
  const secret = config.requireSecret('RECEIPT_SECRET');
  const order = request.body?.order;
  if (typeof order !== 'string' || order === '') return badRequest('an order is missing');
  const receipt = `${config.getVariable('COMPANY_NAME', 'We')} took order ${order} at ${context.timestamp}`;
  return created({ receipt, signature: createHmac('sha256', secret).update(receipt).digest('hex') });
}
