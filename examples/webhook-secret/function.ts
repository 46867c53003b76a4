import { createHmac } from 'node:crypto';
import { badRequest, created, createConfig, type FunctionContext, type FunctionRequest } from '@postern/functions';

/** Takes the orders of a shop. The gateway has verified that they are the shop's, and new, before a line here runs. */
export async function order(context: FunctionContext, request: FunctionRequest) {
  const config = createConfig(context);
  // Asked for first: without it nothing may be promised. The error names it, and never what is in it.
  const secret = config.requireSecret('RECEIPT_SECRET');
  const number = request.body?.order;
  if (typeof number !== 'string' || number === '') return badRequest('an order is missing');
  console.log(`order ${number} in message ${request.identity?.messageId}`);
  const receipt = `${config.getVariable('COMPANY_NAME', 'We')} took order ${number} at ${context.timestamp}`;
  return created({ receipt, signature: createHmac('sha256', secret).update(receipt).digest('hex') });
}
