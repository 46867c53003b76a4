// A function as users write it, which must type-check with what is published: what is wrong in it is marked, and must be found.
import {
  badRequest, ConversationController, createConfig, created, createIceBuilder, createSms, type ConversationMessage, type EventHandler, type FunctionContext, type FunctionHandler, type FunctionRequest,
  type FunctionResponse, getText, type MessageInboundEvent, ok, type VoiceFunction,
} from '@postern/functions';

export const auth = ['order'];

export async function order(context: FunctionContext, request: FunctionRequest<{ item?: string } | undefined>): Promise<FunctionResponse> {
  const config = createConfig(context);
  const company: string = config.getVariable('COMPANY_NAME', 'Acme Corp');
  const maybe: string | undefined = config.getVariable('COMPANY_NAME');
  // @ts-expect-error without a default it may be undefined
  const certain: string = config.getVariable('COMPANY_NAME');
  const params: string | undefined = request.params['id'];
  if (!request.body?.item) return badRequest('an item is missing');
  return created({ item: request.body.item, company, maybe, certain, params }, `/orders/${request.body.item}`);
}

export class Bot extends ConversationController {
  override async handleMessageInbound(event: MessageInboundEvent) {
    const message: ConversationMessage = event.message;
    const text: string | undefined = getText(event) ?? getText(message);
    if (event.trigger === 'MESSAGE_INBOUND' && text !== undefined) await this.reply(event, `you said ${text}`);
    // @ts-expect-error this event is no other
    event.trigger === 'OPT_IN';
  }
  // @ts-expect-error there is no such event
  override handleNothing() {}
}
/** Never called: what must not compile. */
const refused = (context: FunctionContext, request: FunctionRequest) => {
  // @ts-expect-error credentials may be null
  createConfig(context).getApplicationCredentials().applicationKey;
  // @ts-expect-error there is no such member
  context.nothing;
  // @ts-expect-error a context is not to be changed
  context.requestId = 'x';
  // @ts-expect-error nobody may have called
  request.identity.keyId;
  // @ts-expect-error a status is a number
  const wrong: FunctionHandler = (): FunctionResponse => ({ statusCode: '200' });
  // @ts-expect-error a result may have no headers
  ok({}).headers.location;
  // @ts-expect-error a message needs a recipient
  createSms();
  return wrong;
};
void refused;

export const conversationWebhook = (context: FunctionContext, request: FunctionRequest) => new Bot(context.conversation, context.env).getWebhookHandler()(context, request);
export const event: EventHandler = (e) => ({ statusCode: 200, body: e.body });
export default {
  async ice(_context, data) {
    return createIceBuilder().say(`you call from ${data.cli}`).hangup().build();
  },
} satisfies VoiceFunction;
