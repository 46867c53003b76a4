import { ConversationController, createConfig, type FunctionContext, type FunctionRequest, getIdentity, getText, type MessageDeliveryEvent, type MessageInboundEvent } from '@postern/functions';

class Responder extends ConversationController {
  #hours: string;

  constructor(context: FunctionContext) {
    super(context.conversation, context.env);
    this.#hours = createConfig(context).getVariable('OPENING_HOURS', 'every day');
  }

  override async handleMessageInbound(event: MessageInboundEvent) {
    const word = getText(event)?.trim().toUpperCase();
    if (word === undefined) return; // a picture, a place: nothing to say
    if (word === 'HOURS') await this.reply(event, `We are open ${this.#hours}.`);
    else if (word === 'HELP') await this.reply(event, 'Write HOURS, and we tell you when we are open.');
    else await this.reply(event, `Thank you, we have your message. HELP tells what we understand.`);
  }

  override handleMessageDelivery(event: MessageDeliveryEvent) {
    const { status, reason } = event.message_delivery_report;
    if (status === 'FAILED') console.warn(`an answer to ${getIdentity(event)} did not arrive: ${reason?.code ?? 'no reason given'}`);
  }
}

/** At /webhook/conversation. The gateway has verified who sends this before a line here runs. */
export function conversationWebhook(context: FunctionContext, request: FunctionRequest) {
  return new Responder(context).getWebhookHandler()(context, request);
}
